/* SPDX-License-Identifier: MIT
 * The vocabulary, sixteen lanes wide.  simd/scalar.h says what each word means. */
#define V_LANES 16
#define V_BLOCKS 8
#define V_VECTORS 2
#define V_GROUPS 4
#define V_BATCH 4
#define V_OCTAVES 16
#define V_TOP FI_TOP_EXPONENT

typedef __m512i vplane;
typedef __m512i vu32;
typedef __m512 vf32;
typedef __m512i vu64;
typedef __m512d vf64;

/* ---- planes: a Philox word of eight blocks, one in each 64-bit lane ---- */
FI_INLINE vplane plane_set(uint32_t a) { return _mm512_set1_epi64(a); }
/* Blocks 0 4 1 5 2 6 3 7, so that plane_weave needs no shuffle across 128-bit lanes. */
FI_INLINE vplane plane_counter(uint32_t low) {
    return _mm512_add_epi32(_mm512_set1_epi64(low), _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7));
}
FI_INLINE vplane plane_load(const uint32_t *low) {
    __m512i given = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)low));
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 0, 4, 0, 1, 0, 5, 0, 2, 0, 6, 0, 3, 0, 7, 0), given);
}
FI_INLINE vplane plane_multiply(vplane a, vplane b) { return _mm512_mul_epu32(a, b); }
FI_INLINE vplane plane_high(vplane a) { return _mm512_srli_epi64(a, 32); }
FI_INLINE vplane plane_xor(vplane a, vplane b) { return _mm512_xor_si512(a, b); }
FI_INLINE vplane plane_xor3(vplane a, vplane b, vplane c) {
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}
FI_INLINE void plane_weave(const vplane x[4], vu32 out[V_VECTORS]) {
    vplane front = _mm512_mask_shuffle_epi32(x[0], 0xAAAA, x[1], _MM_PERM_CCAA);
    vplane back = _mm512_mask_shuffle_epi32(x[2], 0xAAAA, x[3], _MM_PERM_CCAA);
    out[0] = _mm512_unpacklo_epi64(front, back);
    out[1] = _mm512_unpackhi_epi64(front, back);
}

/* ---- 32-bit integers ---- */
FI_INLINE vu32 vu32_set(uint32_t a) { return _mm512_set1_epi32((int)a); }
FI_INLINE vu32 vu32_load(const void *p) { return _mm512_loadu_si512(p); }
FI_INLINE vu32 vu32_load_low8(const void *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
FI_INLINE void vu32_store(void *p, vu32 a) { _mm512_storeu_si512(p, a); }
FI_INLINE void vu32_store_low8(void *p, vu32 a) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a));
}
FI_INLINE vu32 vu32_and(vu32 a, vu32 b) { return _mm512_and_si512(a, b); }
FI_INLINE vu32 vu32_or(vu32 a, vu32 b) { return _mm512_or_si512(a, b); }
FI_INLINE vu32 vu32_xor(vu32 a, vu32 b) { return _mm512_xor_si512(a, b); }
FI_INLINE vu32 vu32_and_or(vu32 a, vu32 b, vu32 c) {
    return _mm512_ternarylogic_epi32(a, b, c, 0xEA);
}
FI_INLINE vu32 vu32_and_xor(vu32 a, vu32 b, vu32 c) {
    return _mm512_ternarylogic_epi32(a, b, c, 0x6A);
}
FI_INLINE vu32 vu32_min(vu32 a, vu32 b) { return _mm512_min_epu32(a, b); }
FI_INLINE vu32 vu32_max(vu32 a, vu32 b) { return _mm512_max_epu32(a, b); }
FI_INLINE vu32 vs32_min(vu32 a, vu32 b) { return _mm512_min_epi32(a, b); }
FI_INLINE vu32 vs32_max(vu32 a, vu32 b) { return _mm512_max_epi32(a, b); }
FI_INLINE vu32 vu32_add(vu32 a, vu32 b) { return _mm512_add_epi32(a, b); }
FI_INLINE vu32 vu32_sub(vu32 a, vu32 b) { return _mm512_sub_epi32(a, b); }
#define vu32_shift_left(a, n) _mm512_slli_epi32(a, n)
#define vu32_shift_right(a, n) _mm512_srli_epi32(a, n)
#define vu32_shift_right_signed(a, n) _mm512_srai_epi32(a, n)

/* ---- narrower integers ---- */
FI_INLINE vu32 vu8_min(vu32 a, vu32 b) { return _mm512_min_epu8(a, b); }
FI_INLINE vu32 vu8_max(vu32 a, vu32 b) { return _mm512_max_epu8(a, b); }
FI_INLINE vu32 vs8_min(vu32 a, vu32 b) { return _mm512_min_epi8(a, b); }
FI_INLINE vu32 vs8_max(vu32 a, vu32 b) { return _mm512_max_epi8(a, b); }
FI_INLINE vu32 vu16_min(vu32 a, vu32 b) { return _mm512_min_epu16(a, b); }
FI_INLINE vu32 vu16_max(vu32 a, vu32 b) { return _mm512_max_epu16(a, b); }
FI_INLINE vu32 vs16_min(vu32 a, vu32 b) { return _mm512_min_epi16(a, b); }
FI_INLINE vu32 vs16_max(vu32 a, vu32 b) { return _mm512_max_epi16(a, b); }

/* ---- float32 ---- */
FI_INLINE vf32 vf32_set(float a) { return _mm512_set1_ps(a); }
FI_INLINE vf32 vf32_bits(vu32 a) { return _mm512_castsi512_ps(a); }
FI_INLINE vu32 vf32_as_bits(vf32 a) { return _mm512_castps_si512(a); }
FI_INLINE vf32 vf32_from_signed(vu32 a) { return _mm512_cvtepi32_ps(a); }
FI_INLINE vf32 vf32_add(vf32 a, vf32 b) { return _mm512_add_ps(a, b); }
FI_INLINE vf32 vf32_sub(vf32 a, vf32 b) { return _mm512_sub_ps(a, b); }
FI_INLINE vf32 vf32_mul(vf32 a, vf32 b) { return _mm512_mul_ps(a, b); }
FI_INLINE vf32 vf32_min(vf32 a, vf32 b) { return _mm512_min_ps(a, b); }
FI_INLINE vf32 vf32_max(vf32 a, vf32 b) { return _mm512_max_ps(a, b); }
FI_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
FI_INLINE vf32 vf32_fused(vf32 a, vf32 b, vf32 c) { return _mm512_fmadd_ps(a, b, c); }
FI_INLINE vf32 vf32_choose(vu32 choose, vf32 a, vf32 b) {
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(choose), a, b);
}
FI_INLINE vu32 vf32_below(vf32 a, vf32 b, vu32 c, vu32 d) {
    return _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), d, c);
}
FI_INLINE int vu32_any_below(vu32 a, vu32 b) { return _mm512_cmplt_epu32_mask(a, b) != 0; }
FI_INLINE void vf32_store(void *p, vf32 a) { _mm512_storeu_ps(p, a); }
FI_INLINE vf32 vf32_load(const void *p) { return _mm512_loadu_ps(p); }
FI_INLINE vf32 vf32_load_half(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
FI_INLINE void vf32_store_half(void *p, vf32 a) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

/* Rounding is up if the lower half is above 0x8000 once it has got the upper's last bit. */
FI_INLINE void vf32_store_bfloat16(void *p, vf32 a, vf32 b) {
    const vu32 lower =
        _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26,
                         24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const vu32 upper = _mm512_or_si512(lower, _mm512_set1_epi16(1)), one = _mm512_set1_epi16(1);
    vu32 high = _mm512_permutex2var_epi16(vf32_as_bits(a), upper, vf32_as_bits(b));
    vu32 low = _mm512_permutex2var_epi16(vf32_as_bits(a), lower, vf32_as_bits(b));
    low = _mm512_ternarylogic_epi32(low, high, one, 0xF8); /* low | (high & one) */
    __mmask32 up = _mm512_cmpgt_epu16_mask(low, _mm512_set1_epi16((short)0x8000));
    _mm512_storeu_si512(p, _mm512_mask_add_epi16(high, up, high, one));
}

/* The float from 1 up to 2 that has the mantissa of these bits. */
FI_INLINE vf32 vf32_mantissa(vu32 bits) {
    return vf32_bits(vu32_and_or(bits, vu32_set(0x007FFFFFu), vu32_set(0x3F800000u)));
}

/* ---- the octave table: a permute looks at the low four bits of an index, so the sixteen upper
 * entries are held rotated and no index is ever shifted ---- */
typedef struct vtable {
    vf32 upper[FI_COEFFICIENTS];
} vtable;
FI_INLINE vtable vtable_load(const float *entries) {
    const float *upper = entries + V_TOP + 1 - V_OCTAVES - FI_LOWEST_EXPONENT;
    vu32 lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    vu32 rotate = _mm512_sub_epi32(lane, _mm512_set1_epi32(V_TOP + 1 - V_OCTAVES));
    vtable t;
    for (int j = 0; j < FI_COEFFICIENTS; j++)
        t.upper[j] = _mm512_permutexvar_ps(rotate, _mm512_loadu_ps(upper + j * FI_ENTRIES));
    return t;
}
typedef vu32 ventry; /* the exponent */
FI_INLINE ventry vtable_entry(const vtable *t, vu32 bits) {
    (void)t;
    return vu32_shift_right(bits, 23);
}
FI_INLINE vf32 vtable_look(const vtable *t, int j, ventry exponent) {
    return _mm512_permutexvar_ps(exponent, t->upper[j]);
}

/* ---- float64 ---- */
#define V_BATCH64 4
#define V_LANES64 8
FI_INLINE vu64 vu64_from_words(const vu32 *words, int n) { return words[n]; }
FI_INLINE vu64 vu64_set(uint64_t a) { return _mm512_set1_epi64((long long)a); }
FI_INLINE vu64 vu64_and(vu64 a, vu64 b) { return _mm512_and_si512(a, b); }
FI_INLINE vu64 vu64_or(vu64 a, vu64 b) { return _mm512_or_si512(a, b); }
FI_INLINE vu64 vu64_xor(vu64 a, vu64 b) { return _mm512_xor_si512(a, b); }
FI_INLINE vu64 vu64_add(vu64 a, vu64 b) { return _mm512_add_epi64(a, b); }
#define vu64_shift_right(a, n) _mm512_srli_epi64(a, n)
FI_INLINE vf64 vf64_set(double a) { return _mm512_set1_pd(a); }
FI_INLINE vf64 vf64_bits(vu64 a) { return _mm512_castsi512_pd(a); }
FI_INLINE vu64 vf64_as_bits(vf64 a) { return _mm512_castpd_si512(a); }
FI_INLINE vf64 vf64_from_signed(vu64 a) { return _mm512_cvtepi64_pd(a); }
FI_INLINE vf64 vf64_add(vf64 a, vf64 b) { return _mm512_add_pd(a, b); }
FI_INLINE vf64 vf64_sub(vf64 a, vf64 b) { return _mm512_sub_pd(a, b); }
FI_INLINE vf64 vf64_mul(vf64 a, vf64 b) { return _mm512_mul_pd(a, b); }
FI_INLINE vf64 vf64_div(vf64 a, vf64 b) { return _mm512_div_pd(a, b); }
FI_INLINE vf64 vf64_sqrt(vf64 a) { return _mm512_sqrt_pd(a); }
FI_INLINE vf64 vf64_min(vf64 a, vf64 b) { return _mm512_min_pd(a, b); }
FI_INLINE vf64 vf64_max(vf64 a, vf64 b) { return _mm512_max_pd(a, b); }
FI_INLINE vf64 vf64_choose(vu64 choose, vf64 a, vf64 b) {
    return _mm512_mask_blend_pd(_mm512_movepi64_mask(choose), a, b);
}
/* To memory by way of a register: Zen 4's own compressing store takes a hundred cycles. */
FI_INLINE void vf64_pack(double *to, unsigned lanes, vf64 a) {
    _mm512_storeu_pd(to, _mm512_maskz_compress_pd((__mmask8)lanes, a));
}
FI_INLINE vf64 vf64_unpack(const double *from, unsigned lanes, vf64 a) {
    return _mm512_mask_expand_pd(a, (__mmask8)lanes, _mm512_loadu_pd(from));
}
FI_INLINE unsigned vf64_negative(vf64 a) { return _mm512_movepi64_mask(vf64_as_bits(a)); }
FI_INLINE vf64 vf64_load(const void *p) { return _mm512_loadu_pd(p); }
FI_INLINE void vf64_store(void *p, vf64 a) { _mm512_storeu_pd(p, a); }
