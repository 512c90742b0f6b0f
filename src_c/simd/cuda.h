/* SPDX-License-Identifier: MIT
 * The vocabulary of one thread on a device.  simd/scalar.h says what each word means.
 *
 * A thread is a lane.  Four vectors are the words of its block, so a plane is a Philox word of
 * FI_THREADS blocks, one in each thread, and a thread's groups lie FI_THREADS blocks apart.
 * Operations on floats are called by their names: NVRTC fuses a * b + c, but not these. */
#define V_LANES 1
#define V_BLOCKS FI_THREADS
#define V_VECTORS 4
#if !defined(V_GROUPS)
#define V_GROUPS 4
#endif
#define V_BATCH 4
#define V_OCTAVES 33
#define V_TOP FI_TOP_EXPONENT

typedef uint32_t vu32;
typedef float vf32;
typedef uint64_t vu64;
typedef double vf64;

/* ---- planes: a product's halves are separate registers.  Of 64-bit operands, NVRTC multiplies the
 * upper halves too, although it knows that they are zero. ---- */
typedef struct vplane {
    uint32_t word, high; /* high: of a product only */
} vplane;
FI_INLINE vplane plane_of(uint32_t word, uint32_t high) {
    vplane p = {word, high};
    return p;
}
FI_INLINE vplane plane_set(uint32_t a) { return plane_of(a, 0); }
/* `low` is the number of the thread's own block, unlike on a CPU; so is what is loaded. */
FI_INLINE vplane plane_counter(uint32_t low) { return plane_of(low, 0); }
FI_INLINE vplane plane_load(const uint32_t *low) { return plane_of(*low, 0); }
FI_INLINE vplane plane_multiply(vplane a, vplane b) {
#if defined(__CUDA_ARCH__)
    vplane p;
    asm("{ .reg .u64 both; mul.wide.u32 both, %2, %3; mov.b64 {%0, %1}, both; }"
        : "=r"(p.word), "=r"(p.high)
        : "r"(a.word), "r"(b.word));
    return p;
#else
    return plane_of(a.word * b.word, __umulhi(a.word, b.word));
#endif
}
FI_INLINE vplane plane_high(vplane a) { return plane_of(a.high, 0); }
FI_INLINE vplane plane_xor(vplane a, vplane b) { return plane_of(a.word ^ b.word, 0); }
FI_INLINE vplane plane_xor3(vplane a, vplane b, vplane c) {
    return plane_of(a.word ^ b.word ^ c.word, 0);
}
FI_INLINE void plane_weave(const vplane x[4], vu32 out[V_VECTORS]) {
    FI_UNROLL
    for (int j = 0; j < 4; j++) out[j] = x[j].word;
}

/* ---- 32-bit integers ---- */
FI_INLINE vu32 vu32_set(uint32_t a) { return a; }
FI_INLINE void vu32_store_low8(void *p, vu32 a) { *(unsigned char *)p = (unsigned char)a; }
FI_INLINE vu32 vu32_and(vu32 a, vu32 b) { return a & b; }
FI_INLINE vu32 vu32_or(vu32 a, vu32 b) { return a | b; }
FI_INLINE vu32 vu32_xor(vu32 a, vu32 b) { return a ^ b; }
FI_INLINE vu32 vu32_and_or(vu32 a, vu32 b, vu32 c) { return (a & b) | c; }
FI_INLINE vu32 vu32_and_xor(vu32 a, vu32 b, vu32 c) { return (a & b) ^ c; }
FI_INLINE vu32 vu32_min(vu32 a, vu32 b) { return a < b ? a : b; }
FI_INLINE vu32 vu32_add(vu32 a, vu32 b) { return a + b; }
FI_INLINE vu32 vu32_sub(vu32 a, vu32 b) { return a - b; }
#define vu32_shift_right(a, n) ((vu32)((a) >> (n)))
#define vu32_shift_right_signed(a, n) ((vu32)((int32_t)(a) >> (n)))

/* ---- float32.  fminf and fmaxf order the zeros: of -0 and 0 they would not always take b. ---- */
FI_INLINE vf32 vf32_set(float a) { return a; }
FI_INLINE vf32 vf32_bits(vu32 a) { return __uint_as_float(a); }
FI_INLINE vu32 vf32_as_bits(vf32 a) { return __float_as_uint(a); }
FI_INLINE vf32 vf32_from_signed(vu32 a) { return __int2float_rn((int32_t)a); }
FI_INLINE vf32 vf32_add(vf32 a, vf32 b) { return __fadd_rn(a, b); }
FI_INLINE vf32 vf32_sub(vf32 a, vf32 b) { return __fsub_rn(a, b); }
FI_INLINE vf32 vf32_min(vf32 a, vf32 b) { return a < b ? a : b; }
FI_INLINE vf32 vf32_max(vf32 a, vf32 b) { return a > b ? a : b; }
FI_INLINE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
FI_INLINE vf32 vf32_fused(vf32 a, vf32 b, vf32 c) { return __fmaf_rn(a, b, c); }
FI_INLINE vf32 vf32_choose(vu32 choose, vf32 a, vf32 b) { return choose >> 31 ? b : a; }
FI_INLINE vu32 vf32_below(vf32 a, vf32 b, vu32 c, vu32 d) { return a < b ? c : d; }
FI_INLINE int vu32_any_below(vu32 a, vu32 b) { return a < b; }
FI_INLINE void vf32_store(void *p, vf32 a) { memcpy(p, &a, 4); }
FI_INLINE vf32 vf32_load(const void *p) {
    vf32 a;
    memcpy(&a, p, 4);
    return a;
}
/* Conversions of the hardware round to nearest even and keep denormals.  Where it has none, and on
 * the CPU that the text is tested on, they are those of simd/scalar.h. */
FI_INLINE void vf32_store_half(void *p, vf32 a) {
    uint16_t half;
#if defined(__CUDA_ARCH__)
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(a));
#else
    uint32_t bits = vf32_as_bits(a), size = bits & 0x7FFFFFFFu, code;
    if (size >= 0x47800000u) /* 2^16 */
        code = 0x7C00u;
    else if (size < 0x38800000u) /* 2^-14 */
        code = vf32_as_bits(__fadd_rn(vf32_bits(size), 0.5f)) - 0x3F000000u;
    else
        code = (size - (112u << 23) + 0xFFFu + ((size >> 13) & 1u)) >> 13;
    half = (uint16_t)(code | (bits >> 16 & 0x8000u));
#endif
    memcpy(p, &half, 2);
}
FI_INLINE void vf32_store_bfloat16(void *p, vf32 a, vf32 b) {
    uint32_t both;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(b), "f"(a));
#else
    uint32_t low = vf32_as_bits(a), high = vf32_as_bits(b);
    low = (low + 0x7FFFu + (low >> 16 & 1u)) >> 16;
    both = ((high + 0x7FFFu + (high >> 16 & 1u)) & 0xFFFF0000u) | low;
#endif
    memcpy(p, &both, 4);
}
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
#define V_FLOAT8
#define FI_STORE_FLOAT8(name, type)                                                                \
    FI_INLINE void name(void *p, const vf32 values[4]) {                                           \
        uint32_t four;                                                                             \
        asm("{ .reg .b16 low, high; cvt.rn.satfinite." type ".f32 low, %2, %1; "                   \
            "cvt.rn.satfinite." type ".f32 high, %4, %3; mov.b32 %0, {low, high}; }"               \
            : "=r"(four)                                                                           \
            : "f"(values[0]), "f"(values[1]), "f"(values[2]), "f"(values[3]));                     \
        memcpy(p, &four, 4);                                                                       \
    }
FI_STORE_FLOAT8(vf32_store_e4m3fn, "e4m3x2")
FI_STORE_FLOAT8(vf32_store_e5m2, "e5m2x2")
#endif

/* The bits of the exponent, in their place.  By asm: the compiler would otherwise mask them again
 * after the shift, with a constant that it has to load. */
FI_INLINE vu32 exponent_bits(vu32 bits) {
#if defined(__CUDA_ARCH__)
    vu32 exponent;
    asm("and.b32 %0, %1, 0x7F800000;" : "=r"(exponent) : "r"(bits));
    return exponent;
#else
    return bits & 0x7F800000u;
#endif
}
FI_INLINE vf32 vf32_mantissa(vu32 bits) {
    return vf32_bits(bits - exponent_bits(bits) + 0x3F800000u);
}

/* ---- the octave table, in shared memory: an entry is two 16-byte reads.  The halves of the entries
 * lie apart, so that eight neighbouring entries share no bank. ---- */
typedef struct vtable {
    const float4 *entries;
} vtable;
typedef struct ventry {
    float coefficient[FI_COEFFICIENTS];
} ventry;
/* Every thread of the block has to come here, once. */
FI_INLINE vtable vtable_load(const float *entries) {
    __shared__ float4 shared[2 * V_OCTAVES];
    for (unsigned i = threadIdx.x; i < FI_COEFFICIENTS * V_OCTAVES; i += FI_THREADS) {
        const unsigned j = i / V_OCTAVES, octave = i % V_OCTAVES;
        ((float *)shared)[(j / 4 * V_OCTAVES + octave) * 4 + j % 4] =
            entries[j * FI_ENTRIES + octave];
    }
    __syncthreads();
    vtable t = {shared};
    return t;
}
/* In bytes, of which an octave has 16: the shifted exponent is the offset. */
FI_INLINE ventry vtable_entry(const vtable *t, vu32 bits) {
    const char *at =
        (const char *)t->entries + (int)(exponent_bits(bits) >> 19) - 16 * FI_LOWEST_EXPONENT;
    const float4 low = *(const float4 *)at, high = *(const float4 *)(at + 16 * V_OCTAVES);
    ventry entry = {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
    return entry;
}
FI_INLINE vf32 vtable_look(const vtable *t, int j, ventry entry) {
    (void)t;
    return entry.coefficient[j];
}

/* ---- float64 ---- */
#define V_BATCH64 1
#define V_LANES64 1
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
FI_INLINE vf64 vf64_bits(vu64 a) { return __longlong_as_double((long long)a); }
FI_INLINE vu64 vf64_as_bits(vf64 a) { return (uint64_t)__double_as_longlong(a); }
FI_INLINE vf64 vf64_from_signed(vu64 a) { return __ll2double_rn((long long)a); }
FI_INLINE vf64 vf64_add(vf64 a, vf64 b) { return __dadd_rn(a, b); }
FI_INLINE vf64 vf64_sub(vf64 a, vf64 b) { return __dsub_rn(a, b); }
FI_INLINE vf64 vf64_mul(vf64 a, vf64 b) { return __dmul_rn(a, b); }
FI_INLINE vf64 vf64_div(vf64 a, vf64 b) { return __ddiv_rn(a, b); }
FI_INLINE vf64 vf64_sqrt(vf64 a) { return __dsqrt_rn(a); }
FI_INLINE vf64 vf64_min(vf64 a, vf64 b) { return a < b ? a : b; }
FI_INLINE vf64 vf64_max(vf64 a, vf64 b) { return a > b ? a : b; }
FI_INLINE vf64 vf64_choose(vu64 choose, vf64 a, vf64 b) { return choose >> 63 ? b : a; }
FI_INLINE unsigned vf64_negative(vf64 a) { return (unsigned)(vf64_as_bits(a) >> 63); }
FI_INLINE void vf64_pack(double *to, unsigned lanes, vf64 a) {
    (void)lanes;
    *to = a;
}
FI_INLINE vf64 vf64_unpack(const double *from, unsigned lanes, vf64 a) { return lanes ? *from : a; }
FI_INLINE vf64 vf64_load(const void *p) {
    vf64 a;
    memcpy(&a, p, 8);
    return a;
}
FI_INLINE void vf64_store(void *p, vf64 a) { memcpy(p, &a, 8); }
