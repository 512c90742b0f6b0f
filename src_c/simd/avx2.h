/* SPDX-License-Identifier: MIT
 * The vocabulary, eight lanes wide.  simd/scalar.h says what each word means. */
#define V_LANES 8
#define V_BLOCKS 4
#define V_VECTORS 2
#define V_GROUPS 4
#define V_BATCH 4
#define V_OCTAVES 8
#define V_TOP FI_HIGHEST_EXPONENT

typedef __m256i vplane;
typedef __m256i vu32;
typedef __m256 vf32;
typedef __m256i vu64;
typedef __m256d vf64;

/* ---- planes: a Philox word of four blocks, one in each 64-bit lane ---- */
FI_INLINE vplane plane_set(uint32_t a) { return _mm256_set1_epi64x(a); }
/* Blocks 0 2 1 3, so that plane_weave needs no shuffle across 128-bit lanes. */
FI_INLINE vplane plane_counter(uint32_t low) {
    return _mm256_add_epi32(_mm256_set1_epi64x(low), _mm256_setr_epi64x(0, 2, 1, 3));
}
FI_INLINE vplane plane_load(const uint32_t *low) {
    __m256i given = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low));
    return _mm256_permutevar8x32_epi32(given, _mm256_setr_epi32(0, 0, 2, 0, 1, 0, 3, 0));
}
FI_INLINE vplane plane_multiply(vplane a, vplane b) { return _mm256_mul_epu32(a, b); }
FI_INLINE vplane plane_high(vplane a) { return _mm256_srli_epi64(a, 32); }
FI_INLINE vplane plane_xor(vplane a, vplane b) { return _mm256_xor_si256(a, b); }
FI_INLINE vplane plane_xor3(vplane a, vplane b, vplane c) {
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}
FI_INLINE void plane_weave(const vplane x[4], vu32 out[V_VECTORS]) {
    vplane front = _mm256_blend_epi32(x[0], _mm256_slli_epi64(x[1], 32), 0xAA);
    vplane back = _mm256_blend_epi32(x[2], _mm256_slli_epi64(x[3], 32), 0xAA);
    out[0] = _mm256_unpacklo_epi64(front, back);
    out[1] = _mm256_unpackhi_epi64(front, back);
}

/* ---- 32-bit integers ---- */
FI_INLINE vu32 vu32_set(uint32_t a) { return _mm256_set1_epi32((int)a); }
FI_INLINE vu32 vu32_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
FI_INLINE vu32 vu32_load_low8(const void *p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
FI_INLINE void vu32_store(void *p, vu32 a) { _mm256_storeu_si256((__m256i *)p, a); }
FI_INLINE void vu32_store_low8(void *p, vu32 a) {
    const vu32 low8 = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                       0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    vu32 packed = _mm256_shuffle_epi8(a, low8);
    __m128i pair =
        _mm_unpacklo_epi32(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1));
    _mm_storel_epi64((__m128i *)p, pair);
}
FI_INLINE vu32 vu32_and(vu32 a, vu32 b) { return _mm256_and_si256(a, b); }
FI_INLINE vu32 vu32_or(vu32 a, vu32 b) { return _mm256_or_si256(a, b); }
FI_INLINE vu32 vu32_xor(vu32 a, vu32 b) { return _mm256_xor_si256(a, b); }
FI_INLINE vu32 vu32_and_or(vu32 a, vu32 b, vu32 c) { return vu32_or(vu32_and(a, b), c); }
FI_INLINE vu32 vu32_and_xor(vu32 a, vu32 b, vu32 c) { return vu32_xor(vu32_and(a, b), c); }
FI_INLINE vu32 vu32_min(vu32 a, vu32 b) { return _mm256_min_epu32(a, b); }
FI_INLINE vu32 vu32_max(vu32 a, vu32 b) { return _mm256_max_epu32(a, b); }
FI_INLINE vu32 vs32_min(vu32 a, vu32 b) { return _mm256_min_epi32(a, b); }
FI_INLINE vu32 vs32_max(vu32 a, vu32 b) { return _mm256_max_epi32(a, b); }
FI_INLINE vu32 vu32_add(vu32 a, vu32 b) { return _mm256_add_epi32(a, b); }
FI_INLINE vu32 vu32_sub(vu32 a, vu32 b) { return _mm256_sub_epi32(a, b); }
#define vu32_shift_left(a, n) _mm256_slli_epi32(a, n)
#define vu32_shift_right(a, n) _mm256_srli_epi32(a, n)
#define vu32_shift_right_signed(a, n) _mm256_srai_epi32(a, n)

/* ---- narrower integers ---- */
FI_INLINE vu32 vu8_min(vu32 a, vu32 b) { return _mm256_min_epu8(a, b); }
FI_INLINE vu32 vu8_max(vu32 a, vu32 b) { return _mm256_max_epu8(a, b); }
FI_INLINE vu32 vs8_min(vu32 a, vu32 b) { return _mm256_min_epi8(a, b); }
FI_INLINE vu32 vs8_max(vu32 a, vu32 b) { return _mm256_max_epi8(a, b); }
FI_INLINE vu32 vu16_min(vu32 a, vu32 b) { return _mm256_min_epu16(a, b); }
FI_INLINE vu32 vu16_max(vu32 a, vu32 b) { return _mm256_max_epu16(a, b); }
FI_INLINE vu32 vs16_min(vu32 a, vu32 b) { return _mm256_min_epi16(a, b); }
FI_INLINE vu32 vs16_max(vu32 a, vu32 b) { return _mm256_max_epi16(a, b); }

/* ---- float32 ---- */
FI_INLINE vf32 vf32_set(float a) { return _mm256_set1_ps(a); }
FI_INLINE vf32 vf32_bits(vu32 a) { return _mm256_castsi256_ps(a); }
FI_INLINE vu32 vf32_as_bits(vf32 a) { return _mm256_castps_si256(a); }
FI_INLINE vf32 vf32_from_signed(vu32 a) { return _mm256_cvtepi32_ps(a); }
FI_INLINE vf32 vf32_add(vf32 a, vf32 b) { return _mm256_add_ps(a, b); }
FI_INLINE vf32 vf32_sub(vf32 a, vf32 b) { return _mm256_sub_ps(a, b); }
FI_INLINE vf32 vf32_mul(vf32 a, vf32 b) { return _mm256_mul_ps(a, b); }
FI_INLINE vf32 vf32_min(vf32 a, vf32 b) { return _mm256_min_ps(a, b); }
FI_INLINE vf32 vf32_max(vf32 a, vf32 b) { return _mm256_max_ps(a, b); }
FI_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
FI_INLINE vf32 vf32_fused(vf32 a, vf32 b, vf32 c) { return _mm256_fmadd_ps(a, b, c); }
FI_INLINE vf32 vf32_choose(vu32 choose, vf32 a, vf32 b) {
    return _mm256_blendv_ps(a, b, _mm256_castsi256_ps(choose));
}
FI_INLINE vu32 vf32_below(vf32 a, vf32 b, vu32 c, vu32 d) {
    return _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(d), _mm256_castsi256_ps(c),
                                                _mm256_cmp_ps(a, b, _CMP_LT_OQ)));
}
FI_INLINE int vu32_any_below(vu32 a, vu32 b) {
    return _mm256_movemask_epi8(_mm256_cmpgt_epi32(b, a)) != 0;
}
FI_INLINE void vf32_store(void *p, vf32 a) { _mm256_storeu_ps(p, a); }
FI_INLINE vf32 vf32_load(const void *p) { return _mm256_loadu_ps((const float *)p); }
FI_INLINE vf32 vf32_load_half(const void *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
FI_INLINE void vf32_store_half(void *p, vf32 a) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

FI_INLINE vu32 round_bfloat16(vf32 a) {
    vu32 bits = vf32_as_bits(a), odd = vu32_and(vu32_shift_right(bits, 16), vu32_set(1));
    return vu32_shift_right(vu32_add(vu32_add(bits, vu32_set(0x7FFFu)), odd), 16);
}
FI_INLINE void vf32_store_bfloat16(void *p, vf32 a, vf32 b) {
    vu32 mixed = _mm256_packus_epi32(round_bfloat16(a), round_bfloat16(b));
    _mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(mixed, 0xD8));
}

/* The float from 1 up to 2 that has the mantissa of these bits. */
FI_INLINE vf32 vf32_mantissa(vu32 bits) {
    return vf32_bits(vu32_and_or(bits, vu32_set(0x007FFFFFu), vu32_set(0x3F800000u)));
}

/* ---- the octave table: a permute looks at the low three bits of an index, so the eight upper
 * octaves are held rotated and no index is ever shifted ---- */
typedef struct vtable {
    vf32 upper[FI_COEFFICIENTS];
} vtable;
FI_INLINE vtable vtable_load(const float *entries) {
    const float *upper = entries + V_TOP + 1 - V_OCTAVES - FI_LOWEST_EXPONENT;
    vu32 lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    vu32 rotate = _mm256_sub_epi32(lane, _mm256_set1_epi32(V_TOP + 1 - V_OCTAVES));
    vtable t;
    for (int j = 0; j < FI_COEFFICIENTS; j++)
        t.upper[j] = _mm256_permutevar8x32_ps(_mm256_loadu_ps(upper + j * FI_ENTRIES), rotate);
    return t;
}
typedef vu32 ventry; /* the exponent */
FI_INLINE ventry vtable_entry(const vtable *t, vu32 bits) {
    (void)t;
    return vu32_shift_right(bits, 23);
}
FI_INLINE vf32 vtable_look(const vtable *t, int j, ventry exponent) {
    return _mm256_permutevar8x32_ps(t->upper[j], exponent);
}

/* ---- float64 ---- */
#define V_BATCH64 4
#define V_LANES64 4
FI_INLINE vu64 vu64_from_words(const vu32 *words, int n) { return words[n]; }
FI_INLINE vu64 vu64_set(uint64_t a) { return _mm256_set1_epi64x((long long)a); }
FI_INLINE vu64 vu64_and(vu64 a, vu64 b) { return _mm256_and_si256(a, b); }
FI_INLINE vu64 vu64_or(vu64 a, vu64 b) { return _mm256_or_si256(a, b); }
FI_INLINE vu64 vu64_xor(vu64 a, vu64 b) { return _mm256_xor_si256(a, b); }
FI_INLINE vu64 vu64_add(vu64 a, vu64 b) { return _mm256_add_epi64(a, b); }
#define vu64_shift_right(a, n) _mm256_srli_epi64(a, n)
FI_INLINE vf64 vf64_set(double a) { return _mm256_set1_pd(a); }
FI_INLINE vf64 vf64_bits(vu64 a) { return _mm256_castsi256_pd(a); }
FI_INLINE vu64 vf64_as_bits(vf64 a) { return _mm256_castpd_si256(a); }
FI_INLINE vf64 vf64_add(vf64 a, vf64 b) { return _mm256_add_pd(a, b); }
FI_INLINE vf64 vf64_sub(vf64 a, vf64 b) { return _mm256_sub_pd(a, b); }
FI_INLINE vf64 vf64_mul(vf64 a, vf64 b) { return _mm256_mul_pd(a, b); }
FI_INLINE vf64 vf64_div(vf64 a, vf64 b) { return _mm256_div_pd(a, b); }
FI_INLINE vf64 vf64_sqrt(vf64 a) { return _mm256_sqrt_pd(a); }
FI_INLINE vf64 vf64_min(vf64 a, vf64 b) { return _mm256_min_pd(a, b); }
FI_INLINE vf64 vf64_max(vf64 a, vf64 b) { return _mm256_max_pd(a, b); }
/* There is no such instruction: set the two halves as integers inside 2^52 and 2^84, whose sum
 * is rounded once and so correctly. */
FI_INLINE vf64 vf64_from_signed(vu64 a) {
    vu64 low = _mm256_blend_epi32(vu64_set(0x4330000000000000u), a, 0x55); /* 2^52 + low */
    vu64 high = vu64_xor(vu64_shift_right(a, 32), vu64_set(0x4530000080000000u));
    vf64 offset = vf64_bits(vu64_set(0x4530000080100000u)); /* 2^84 + 2^63 + 2^52 */
    return vf64_add(vf64_sub(vf64_bits(high), offset), vf64_bits(low));
}
FI_INLINE vf64 vf64_choose(vu64 choose, vf64 a, vf64 b) {
    return _mm256_blendv_pd(a, b, _mm256_castsi256_pd(choose));
}
/* Every choice of four lanes has its own shuffle, of their halves.  Digit i of PACK[choice] is the
 * lane that goes to place i, digit i of UNPACK[choice] the place that lane i comes from. */
#define LANE(n) 2 * (n), 2 * (n) + 1
#define LANES(a, b, c, d) {LANE(a), LANE(b), LANE(c), LANE(d)}
static const uint32_t PACK[16][8] = {
    LANES(0, 0, 0, 0), LANES(0, 0, 0, 0), LANES(1, 0, 0, 0), LANES(0, 1, 0, 0),
    LANES(2, 0, 0, 0), LANES(0, 2, 0, 0), LANES(1, 2, 0, 0), LANES(0, 1, 2, 0),
    LANES(3, 0, 0, 0), LANES(0, 3, 0, 0), LANES(1, 3, 0, 0), LANES(0, 1, 3, 0),
    LANES(2, 3, 0, 0), LANES(0, 2, 3, 0), LANES(1, 2, 3, 0), LANES(0, 1, 2, 3)};
static const uint32_t UNPACK[16][8] = {
    LANES(0, 0, 0, 0), LANES(0, 0, 0, 0), LANES(0, 0, 0, 0), LANES(0, 1, 0, 0),
    LANES(0, 0, 0, 0), LANES(0, 0, 1, 0), LANES(0, 0, 1, 0), LANES(0, 1, 2, 0),
    LANES(0, 0, 0, 0), LANES(0, 0, 0, 1), LANES(0, 0, 0, 1), LANES(0, 1, 0, 2),
    LANES(0, 0, 0, 1), LANES(0, 0, 1, 2), LANES(0, 0, 1, 2), LANES(0, 1, 2, 3)};
FI_INLINE vf64 vf64_shuffle(vf64 a, const uint32_t halves[8]) {
    return _mm256_castps_pd(
        _mm256_permutevar8x32_ps(_mm256_castpd_ps(a), _mm256_loadu_si256((const __m256i *)halves)));
}
FI_INLINE void vf64_pack(double *to, unsigned lanes, vf64 a) {
    _mm256_storeu_pd(to, vf64_shuffle(a, PACK[lanes]));
}
FI_INLINE vf64 vf64_unpack(const double *from, unsigned lanes, vf64 a) {
    /* Bit i becomes the sign of lane i, which is all that blendv looks at. */
    vu64 mine = _mm256_sllv_epi64(vu64_set(lanes), _mm256_setr_epi64x(63, 62, 61, 60));
    vf64 taken = vf64_shuffle(_mm256_loadu_pd(from), UNPACK[lanes]);
    return _mm256_blendv_pd(a, taken, _mm256_castsi256_pd(mine));
}
FI_INLINE unsigned vf64_negative(vf64 a) { return (unsigned)_mm256_movemask_pd(a); }
FI_INLINE vf64 vf64_load(const void *p) { return _mm256_loadu_pd(p); }
FI_INLINE void vf64_store(void *p, vf64 a) { _mm256_storeu_pd(p, a); }
