/* SPDX-License-Identifier: MIT
 * The vocabulary, one lane wide.  This file is the specification: every other header in simd/
 * must agree with it bit for bit.  Plain C11 and the IEEE operations + - * / and sqrt. */
#define V_LANES 1    /* 32-bit lanes in a vector */
#define V_BLOCKS 1   /* Philox blocks in a plane */
#define V_VECTORS 4  /* vectors that the words of V_BLOCKS blocks fill */
#define V_GROUPS 2   /* groups of V_BLOCKS blocks generated side by side */
#define V_BATCH 4    /* vectors mapped side by side */
#define V_OCTAVES 33 /* entries that a lookup reaches; deeper lanes are repaired one by one */
#define V_TOP FI_TOP_EXPONENT /* the highest of them: FI_TOP_EXPONENT or FI_HIGHEST_EXPONENT */

typedef uint64_t vplane; /* one 32-bit word per lane, in the low half; the high half is junk */
typedef uint32_t vu32;
typedef float vf32;
typedef uint64_t vu64;
typedef double vf64;

/* ---- planes: a Philox word of several blocks ---- */
FI_INLINE vplane plane_set(uint32_t a) { return a; }
FI_INLINE vplane plane_counter(uint32_t low) { return low; }
/* The same from V_BLOCKS given numbers. */
FI_INLINE vplane plane_load(const uint32_t *low) { return *low; }
FI_INLINE vplane plane_multiply(vplane a, vplane b) { return (uint64_t)(uint32_t)a * (uint32_t)b; }
FI_INLINE vplane plane_high(vplane a) { return a >> 32; }
FI_INLINE vplane plane_xor(vplane a, vplane b) { return a ^ b; }
FI_INLINE vplane plane_xor3(vplane a, vplane b, vplane c) { return a ^ b ^ c; }
/* Four words of each block, block after block: the order of docs/stream.md. */
FI_INLINE void plane_weave(const vplane x[4], vu32 out[V_VECTORS]) {
    for (int j = 0; j < 4; j++) out[j] = (uint32_t)x[j];
}

/* ---- 32-bit integers ---- */
FI_INLINE vu32 vu32_set(uint32_t a) { return a; }
FI_INLINE vu32 vu32_load(const void *p) {
    vu32 a;
    memcpy(&a, p, 4);
    return a;
}
FI_INLINE vu32 vu32_load_low8(const void *p) { return *(const unsigned char *)p; }
FI_INLINE void vu32_store(void *p, vu32 a) { memcpy(p, &a, 4); }
FI_INLINE void vu32_store_low8(void *p, vu32 a) { *(unsigned char *)p = (unsigned char)a; }
FI_INLINE vu32 vu32_and(vu32 a, vu32 b) { return a & b; }
FI_INLINE vu32 vu32_or(vu32 a, vu32 b) { return a | b; }
FI_INLINE vu32 vu32_xor(vu32 a, vu32 b) { return a ^ b; }
FI_INLINE vu32 vu32_and_or(vu32 a, vu32 b, vu32 c) { return (a & b) | c; }
FI_INLINE vu32 vu32_and_xor(vu32 a, vu32 b, vu32 c) { return (a & b) ^ c; }
FI_INLINE vu32 vu32_min(vu32 a, vu32 b) { return a < b ? a : b; }
FI_INLINE vu32 vu32_max(vu32 a, vu32 b) { return a > b ? a : b; }
FI_INLINE vu32 vs32_min(vu32 a, vu32 b) { return (int32_t)a < (int32_t)b ? a : b; }
FI_INLINE vu32 vs32_max(vu32 a, vu32 b) { return (int32_t)a > (int32_t)b ? a : b; }
FI_INLINE vu32 vu32_add(vu32 a, vu32 b) { return a + b; }
FI_INLINE vu32 vu32_sub(vu32 a, vu32 b) { return a - b; }
#define vu32_shift_left(a, n) ((vu32)((a) << (n)))
#define vu32_shift_right(a, n) ((vu32)((a) >> (n)))
/* The sign bit moves along. */
#define vu32_shift_right_signed(a, n) ((vu32)((int32_t)(a) >> (n)))

/* ---- the same bits as narrower integers, unsigned (vu) or two's complement (vs) ---- */
#define FI_NARROW(name, type, is)                                                                  \
    FI_INLINE vu32 name(vu32 a, vu32 b) {                                                          \
        type x[4 / sizeof(type)], y[4 / sizeof(type)];                                             \
        memcpy(x, &a, 4), memcpy(y, &b, 4);                                                        \
        for (size_t i = 0; i < 4 / sizeof(type); i++) x[i] = x[i] is y[i] ? x[i] : y[i];           \
        memcpy(&a, x, 4);                                                                          \
        return a;                                                                                  \
    }
FI_NARROW(vu8_min, uint8_t, <)
FI_NARROW(vu8_max, uint8_t, >)
FI_NARROW(vs8_min, int8_t, <)
FI_NARROW(vs8_max, int8_t, >)
FI_NARROW(vu16_min, uint16_t, <)
FI_NARROW(vu16_max, uint16_t, >)
FI_NARROW(vs16_min, int16_t, <)
FI_NARROW(vs16_max, int16_t, >)

/* ---- float32; every operation rounds to nearest, ties to even ---- */
FI_INLINE vf32 vf32_set(float a) { return a; }
FI_INLINE vf32 vf32_bits(vu32 a) {
    float f;
    memcpy(&f, &a, 4);
    return f;
}
FI_INLINE vu32 vf32_as_bits(vf32 a) {
    uint32_t u;
    memcpy(&u, &a, 4);
    return u;
}
/* From a two's complement integer. */
FI_INLINE vf32 vf32_from_signed(vu32 a) { return (float)(int32_t)a; }
FI_INLINE vf32 vf32_add(vf32 a, vf32 b) { return a + b; }
FI_INLINE vf32 vf32_sub(vf32 a, vf32 b) { return a - b; }
FI_INLINE vf32 vf32_mul(vf32 a, vf32 b) { return a * b; }
FI_INLINE vf32 vf32_min(vf32 a, vf32 b) { return a < b ? a : b; }
FI_INLINE vf32 vf32_max(vf32 a, vf32 b) { return a > b ? a : b; }
/* a * b + c with one rounding.  Without fused hardware: the product of two floats is exact in a
 * double, and rounding the double sum again to a float is right unless the sum has just become
 * the middle between two floats (or the result is denormal).  Then the sum is rounded to odd
 * first (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums"). */
__attribute__((unused)) FI_NOINLINE double round_to_odd(double product, double c) {
    double sum = product + c, back = sum - product;
    double lost = (product - (sum - back)) + (c - back); /* exact: Knuth's two-sum */
    uint64_t bits;
    memcpy(&bits, &sum, 8);
    if (lost != 0.0 && !(bits & 1)) bits = (lost > 0.0) == (sum > 0.0) ? bits + 1 : bits - 1;
    memcpy(&sum, &bits, 8);
    return sum;
}
FI_INLINE float fused(float a, float b, float c) {
#if defined(__FP_FAST_FMAF)
    return __builtin_fmaf(a, b, c);
#else
    double product = (double)a * b, sum = product + c;
    uint64_t bits;
    memcpy(&bits, &sum, 8);
    int middle = (bits & 0x1FFFFFFFu) == 0x10000000u;
    int small = (bits & 0x7FFFFFFFFFFFFFFFu) < 0x3810000000000000u; /* 2^-126 */
    if (__builtin_expect(middle | small, 0)) sum = round_to_odd(product, c);
    return (float)sum;
#endif
}
FI_INLINE vf32 vf32_fused(vf32 a, vf32 b, vf32 c) { return fused(a, b, c); }
/* Where bit 31 of `choose` is set b, elsewhere a. */
FI_INLINE vf32 vf32_choose(vu32 choose, vf32 a, vf32 b) { return choose >> 31 ? b : a; }
/* Where a < b the bits of c, elsewhere those of d. */
FI_INLINE vu32 vf32_below(vf32 a, vf32 b, vu32 c, vu32 d) { return a < b ? c : d; }
/* Both below 2^31. */
FI_INLINE int vu32_any_below(vu32 a, vu32 b) { return a < b; }
FI_INLINE void vf32_store(void *p, vf32 a) { memcpy(p, &a, 4); }
FI_INLINE vf32 vf32_load(const void *p) {
    vf32 a;
    memcpy(&a, p, 4);
    return a;
}
/* From IEEE half precision, finite: 2^112 makes up for the other bias of the exponent. */
FI_INLINE vf32 vf32_load_half(const void *p) {
    uint16_t half;
    memcpy(&half, p, 2);
    float size = vf32_bits((half & 0x7FFFu) << 13) * 0x1p112f;
    return half >> 15 ? -size : size;
}
/* IEEE half precision, rounded to nearest even; 65520 and more become infinite. */
FI_INLINE void vf32_store_half(void *p, vf32 a) {
    uint32_t bits = vf32_as_bits(a), size = bits & 0x7FFFFFFFu, half;
    if (size >= 0x47800000u) /* 2^16 */
        half = 0x7C00u;
    else if (size < 0x38800000u) /* 2^-14: adding 1/2 rounds to multiples of 2^-24 */
        half = vf32_as_bits(vf32_bits(size) + 0.5f) - 0x3F000000u;
    else
        half = (size - (112u << 23) + 0xFFFu + ((size >> 13) & 1u)) >> 13;
    uint16_t stored = (uint16_t)(half | (bits >> 16 & 0x8000u));
    memcpy(p, &stored, 2);
}

/* The lanes of a, then of b, as bfloat16, rounded to nearest even. */
FI_INLINE void vf32_store_bfloat16(void *p, vf32 a, vf32 b) {
    uint32_t bits[2] = {vf32_as_bits(a), vf32_as_bits(b)};
    uint16_t stored[2];
    for (int i = 0; i < 2; i++)
        stored[i] = (uint16_t)((bits[i] + 0x7FFFu + (bits[i] >> 16 & 1u)) >> 16);
    memcpy(p, stored, 4);
}

/* The float from 1 up to 2 that has the mantissa of these bits. */
FI_INLINE vf32 vf32_mantissa(vu32 bits) {
    return vf32_bits(vu32_and_or(bits, vu32_set(0x007FFFFFu), vu32_set(0x3F800000u)));
}

/* ---- the octave table: the entry for a float of these bits, and coefficient j of an entry ---- */
typedef struct vtable {
    const float *entries;
} vtable;
FI_INLINE vtable vtable_load(const float *entries) { return (vtable){entries}; }
typedef vu32 ventry; /* the exponent */
FI_INLINE ventry vtable_entry(const vtable *t, vu32 bits) {
    (void)t;
    return vu32_shift_right(bits, 23);
}
FI_INLINE vf32 vtable_look(const vtable *t, int j, ventry exponent) {
    return t->entries[j * FI_ENTRIES + (int)exponent - FI_LOWEST_EXPONENT];
}

/* ---- float64 ---- */
#define V_BATCH64 4 /* vectors mapped side by side */
#define V_LANES64 1
/* The n-th vector of 64-bit numbers in a tile's words; the earlier word is the low half. */
FI_INLINE vu64 vu64_from_words(const vu32 *words, int n) {
    return words[2 * n] | (uint64_t)words[2 * n + 1] << 32;
}
FI_INLINE vu64 vu64_set(uint64_t a) { return a; }
FI_INLINE vu64 vu64_and(vu64 a, vu64 b) { return a & b; }
FI_INLINE vu64 vu64_or(vu64 a, vu64 b) { return a | b; }
FI_INLINE vu64 vu64_xor(vu64 a, vu64 b) { return a ^ b; }
FI_INLINE vu64 vu64_add(vu64 a, vu64 b) { return a + b; }
#define vu64_shift_right(a, n) ((vu64)((a) >> (n)))
FI_INLINE vf64 vf64_set(double a) { return a; }
FI_INLINE vf64 vf64_bits(vu64 a) {
    double f;
    memcpy(&f, &a, 8);
    return f;
}
FI_INLINE vu64 vf64_as_bits(vf64 a) {
    uint64_t u;
    memcpy(&u, &a, 8);
    return u;
}
/* From a two's complement integer. */
FI_INLINE vf64 vf64_from_signed(vu64 a) { return (double)(int64_t)a; }
FI_INLINE vf64 vf64_add(vf64 a, vf64 b) { return a + b; }
FI_INLINE vf64 vf64_sub(vf64 a, vf64 b) { return a - b; }
FI_INLINE vf64 vf64_mul(vf64 a, vf64 b) { return a * b; }
FI_INLINE vf64 vf64_div(vf64 a, vf64 b) { return a / b; }
FI_INLINE vf64 vf64_sqrt(vf64 a) { return __builtin_sqrt(a); }
FI_INLINE vf64 vf64_min(vf64 a, vf64 b) { return a < b ? a : b; }
FI_INLINE vf64 vf64_max(vf64 a, vf64 b) { return a > b ? a : b; }
/* Where bit 63 of `choose` is set b, elsewhere a. */
FI_INLINE vf64 vf64_choose(vu64 choose, vf64 a, vf64 b) { return choose >> 63 ? b : a; }
/* Bit i: whether lane i is negative. */
FI_INLINE unsigned vf64_negative(vf64 a) { return (unsigned)(vf64_as_bits(a) >> 63); }
/* The lanes of `a` whose bit is set, side by side at `to`, where V_LANES64 numbers are written. */
FI_INLINE void vf64_pack(double *to, unsigned lanes, vf64 a) {
    (void)lanes;
    *to = a;
}
/* The lanes whose bit is set from `from` in turn, the others from a; V_LANES64 numbers are read. */
FI_INLINE vf64 vf64_unpack(const double *from, unsigned lanes, vf64 a) { return lanes ? *from : a; }
FI_INLINE vf64 vf64_load(const void *p) {
    vf64 a;
    memcpy(&a, p, 8);
    return a;
}
FI_INLINE void vf64_store(void *p, vf64 a) { memcpy(p, &a, 8); }
