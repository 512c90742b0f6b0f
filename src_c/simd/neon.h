/* SPDX-License-Identifier: MIT
 * The vocabulary, four lanes wide (AArch64, little-endian).  simd/scalar.h says what each word
 * means.
 *
 * Two registers, eight octaves, can be looked up in one step (TBL).  Four would be sixteen octaves
 * but three steps, and only 1 lane in 256 lies deeper than eight.
 *
 * In GCC 12's code a word takes 7.6 instructions and nothing is spilled; a normal float32 value
 * takes 20.5, of which 2 move spilled registers.  V_GROUPS 4 hides more latency but spills more. */
#define V_LANES 4
#define V_BLOCKS 4
#define V_VECTORS 4
#define V_GROUPS 2
#define V_BATCH 4
#define V_OCTAVES 8
#define V_TOP FI_HIGHEST_EXPONENT

typedef uint32x4_t vu32;
typedef float32x4_t vf32;
typedef uint64x2_t vu64;
typedef float64x2_t vf64;

/* ---- planes: a Philox word of four blocks.  A product is made in two halves, whose 64-bit lanes
 * are taken apart into the low words, kept side by side, and the high ones.  The halves are kept
 * too: weaving the last round's starts from them, and what nobody reads is never made. ---- */
typedef struct vplane {
    vu32 word;
    vu32 front, back; /* of a product only: low and high words of blocks 0 1 and 2 3 */
} vplane;

FI_INLINE vplane plane_set(uint32_t a) {
    return (vplane){vdupq_n_u32(a), vdupq_n_u32(0), vdupq_n_u32(0)};
}
FI_INLINE vplane plane_of(vu32 a) { return (vplane){a, a, a}; }
FI_INLINE vplane plane_counter(uint32_t low) {
    static const uint32_t LANES[4] = {0, 1, 2, 3};
    return plane_of(vaddq_u32(vdupq_n_u32(low), vld1q_u32(LANES)));
}
FI_INLINE vplane plane_load(const uint32_t *low) { return plane_of(vld1q_u32(low)); }
FI_INLINE vplane plane_multiply(vplane a, vplane b) {
    vplane p;
    p.front = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(a.word), vget_low_u32(b.word)));
    p.back = vreinterpretq_u32_u64(vmull_high_u32(a.word, b.word));
    p.word = vuzp1q_u32(p.front, p.back);
    return p;
}
FI_INLINE vplane plane_high(vplane a) { return plane_of(vuzp2q_u32(a.front, a.back)); }
FI_INLINE vplane plane_xor(vplane a, vplane b) { return plane_of(veorq_u32(a.word, b.word)); }
/* b and c are there before a, the product. */
FI_INLINE vplane plane_xor3(vplane a, vplane b, vplane c) { return plane_xor(a, plane_xor(b, c)); }
FI_INLINE void plane_weave(const vplane x[4], vu32 out[V_VECTORS]) {
    vu32 even_front = vzip1q_u32(x[0].word, x[2].word);
    vu32 even_back = vzip2q_u32(x[0].word, x[2].word);
    vu32 odd_front = vtrn1q_u32(x[1].front, x[3].front);
    vu32 odd_back = vtrn1q_u32(x[1].back, x[3].back);
    out[0] = vzip1q_u32(even_front, odd_front);
    out[1] = vzip2q_u32(even_front, odd_front);
    out[2] = vzip1q_u32(even_back, odd_back);
    out[3] = vzip2q_u32(even_back, odd_back);
}

/* ---- 32-bit integers ---- */
FI_INLINE vu32 vu32_set(uint32_t a) { return vdupq_n_u32(a); }
FI_INLINE vu32 vu32_load(const void *p) { return vreinterpretq_u32_u8(vld1q_u8(p)); }
FI_INLINE vu32 vu32_load_low8(const void *p) {
    uint32_t four;
    memcpy(&four, p, 4);
    return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four))));
}
FI_INLINE void vu32_store(void *p, vu32 a) { vst1q_u8(p, vreinterpretq_u8_u32(a)); }
FI_INLINE void vu32_store_low8(void *p, vu32 a) {
    static const uint8_t LOW8[16] = {0, 4, 8, 12};
    uint8x16_t packed = vqtbl1q_u8(vreinterpretq_u8_u32(a), vld1q_u8(LOW8));
    uint32_t four = vgetq_lane_u32(vreinterpretq_u32_u8(packed), 0);
    memcpy(p, &four, 4);
}
FI_INLINE vu32 vu32_and(vu32 a, vu32 b) { return vandq_u32(a, b); }
FI_INLINE vu32 vu32_or(vu32 a, vu32 b) { return vorrq_u32(a, b); }
FI_INLINE vu32 vu32_xor(vu32 a, vu32 b) { return veorq_u32(a, b); }
FI_INLINE vu32 vu32_and_or(vu32 a, vu32 b, vu32 c) { return vorrq_u32(vandq_u32(a, b), c); }
FI_INLINE vu32 vu32_and_xor(vu32 a, vu32 b, vu32 c) { return veorq_u32(vandq_u32(a, b), c); }
FI_INLINE vu32 vu32_min(vu32 a, vu32 b) { return vminq_u32(a, b); }
FI_INLINE vu32 vu32_max(vu32 a, vu32 b) { return vmaxq_u32(a, b); }
FI_INLINE vu32 vs32_min(vu32 a, vu32 b) {
    return vreinterpretq_u32_s32(vminq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b)));
}
FI_INLINE vu32 vs32_max(vu32 a, vu32 b) {
    return vreinterpretq_u32_s32(vmaxq_s32(vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b)));
}
FI_INLINE int vu32_any_below(vu32 a, vu32 b) {
    uint16x4_t below = vmovn_u32(vcltq_u32(a, b));
    return vget_lane_u64(vreinterpret_u64_u16(below), 0) != 0;
}
FI_INLINE vu32 vu32_add(vu32 a, vu32 b) { return vaddq_u32(a, b); }
FI_INLINE vu32 vu32_sub(vu32 a, vu32 b) { return vsubq_u32(a, b); }
#define vu32_shift_left(a, n) vshlq_n_u32(a, n)
#define vu32_shift_right(a, n) vshrq_n_u32(a, n)
#define vu32_shift_right_signed(a, n)                                                              \
    vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_u32(a), n))

/* ---- narrower integers ---- */
FI_INLINE vu32 vu8_min(vu32 a, vu32 b) {
    return vreinterpretq_u32_u8(vminq_u8(vreinterpretq_u8_u32(a), vreinterpretq_u8_u32(b)));
}
FI_INLINE vu32 vu8_max(vu32 a, vu32 b) {
    return vreinterpretq_u32_u8(vmaxq_u8(vreinterpretq_u8_u32(a), vreinterpretq_u8_u32(b)));
}
FI_INLINE vu32 vs8_min(vu32 a, vu32 b) {
    return vreinterpretq_u32_s8(vminq_s8(vreinterpretq_s8_u32(a), vreinterpretq_s8_u32(b)));
}
FI_INLINE vu32 vs8_max(vu32 a, vu32 b) {
    return vreinterpretq_u32_s8(vmaxq_s8(vreinterpretq_s8_u32(a), vreinterpretq_s8_u32(b)));
}
FI_INLINE vu32 vu16_min(vu32 a, vu32 b) {
    return vreinterpretq_u32_u16(vminq_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b)));
}
FI_INLINE vu32 vu16_max(vu32 a, vu32 b) {
    return vreinterpretq_u32_u16(vmaxq_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b)));
}
FI_INLINE vu32 vs16_min(vu32 a, vu32 b) {
    return vreinterpretq_u32_s16(vminq_s16(vreinterpretq_s16_u32(a), vreinterpretq_s16_u32(b)));
}
FI_INLINE vu32 vs16_max(vu32 a, vu32 b) {
    return vreinterpretq_u32_s16(vmaxq_s16(vreinterpretq_s16_u32(a), vreinterpretq_s16_u32(b)));
}

/* ---- float32 ---- */
FI_INLINE vf32 vf32_set(float a) { return vdupq_n_f32(a); }
FI_INLINE vf32 vf32_bits(vu32 a) { return vreinterpretq_f32_u32(a); }
FI_INLINE vu32 vf32_as_bits(vf32 a) { return vreinterpretq_u32_f32(a); }
FI_INLINE vf32 vf32_from_signed(vu32 a) { return vcvtq_f32_s32(vreinterpretq_s32_u32(a)); }
FI_INLINE vf32 vf32_add(vf32 a, vf32 b) { return vaddq_f32(a, b); }
FI_INLINE vf32 vf32_sub(vf32 a, vf32 b) { return vsubq_f32(a, b); }
FI_INLINE vf32 vf32_mul(vf32 a, vf32 b) { return vmulq_f32(a, b); }
/* FMIN and FMAX order the zeros: of -0 and 0 they would not always take b. */
FI_INLINE vf32 vf32_min(vf32 a, vf32 b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
FI_INLINE vf32 vf32_max(vf32 a, vf32 b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
FI_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
FI_INLINE vf32 vf32_fused(vf32 a, vf32 b, vf32 c) { return vfmaq_f32(c, a, b); }
FI_INLINE vf32 vf32_choose(vu32 choose, vf32 a, vf32 b) {
    return vbslq_f32(vcltzq_s32(vreinterpretq_s32_u32(choose)), b, a);
}
FI_INLINE vu32 vf32_below(vf32 a, vf32 b, vu32 c, vu32 d) {
    return vbslq_u32(vcltq_f32(a, b), c, d);
}
FI_INLINE void vf32_store(void *p, vf32 a) { vst1q_u8(p, vreinterpretq_u8_f32(a)); }
FI_INLINE vf32 vf32_load(const void *p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
FI_INLINE vf32 vf32_load_half(const void *p) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}
FI_INLINE void vf32_store_half(void *p, vf32 a) {
    vst1_u8(p, vreinterpret_u8_f16(vcvt_f16_f32(a)));
}

/* The upper half of bits + 0x8000, one less where that half is even: the tie goes down. */
FI_INLINE void vf32_store_bfloat16(void *p, vf32 a, vf32 b) {
    const vu32 last = vdupq_n_u32(0x10000u), one = vdupq_n_u32(1);
    vu32 bits[2] = {vf32_as_bits(a), vf32_as_bits(b)};
    uint16x4_t front = vrsubhn_u32(vsubq_u32(bits[0], one), vtstq_u32(bits[0], last));
    uint16x8_t both = vrsubhn_high_u32(front, vsubq_u32(bits[1], one), vtstq_u32(bits[1], last));
    vst1q_u8(p, vreinterpretq_u8_u16(both));
}

/* The float from 1 up to 2 that has the mantissa of these bits. */
FI_INLINE vf32 vf32_mantissa(vu32 bits) {
    return vf32_bits(vu32_and_or(bits, vu32_set(0x007FFFFFu), vu32_set(0x3F800000u)));
}

/* ---- the octave table: the eight upper octaves of a coefficient are 32 bytes, and a lookup wants
 * the four numbers of its bytes: 4 * octave + 0 1 2 3 ---- */
typedef struct vtable {
    uint8x16x2_t upper[FI_COEFFICIENTS];
} vtable;
FI_INLINE vtable vtable_load(const float *entries) {
    const float *upper = entries + V_TOP + 1 - V_OCTAVES - FI_LOWEST_EXPONENT;
    vtable t;
    for (int j = 0; j < FI_COEFFICIENTS; j++) {
        t.upper[j].val[0] = vreinterpretq_u8_f32(vld1q_f32(upper + j * FI_ENTRIES));
        t.upper[j].val[1] = vreinterpretq_u8_f32(vld1q_f32(upper + j * FI_ENTRIES + 4));
    }
    return t;
}
typedef vu32 ventry; /* the exponent */
FI_INLINE ventry vtable_entry(const vtable *t, vu32 bits) {
    (void)t;
    return vu32_shift_right(bits, 23);
}
FI_INLINE vf32 vtable_look(const vtable *t, int j, ventry exponent) {
    const uint32_t lowest = V_TOP + 1 - V_OCTAVES;
    vu32 bytes = vmlaq_u32(vdupq_n_u32(0x03020100u - lowest * 0x04040404u), exponent,
                           vdupq_n_u32(0x04040404u));
    return vreinterpretq_f32_u8(vqtbl2q_u8(t->upper[j], vreinterpretq_u8_u32(bytes)));
}

/* ---- float64 ---- */
#define V_BATCH64 4
#define V_LANES64 2
FI_INLINE vu64 vu64_from_words(const vu32 *words, int n) { return vreinterpretq_u64_u32(words[n]); }
FI_INLINE vu64 vu64_set(uint64_t a) { return vdupq_n_u64(a); }
FI_INLINE vu64 vu64_and(vu64 a, vu64 b) { return vandq_u64(a, b); }
FI_INLINE vu64 vu64_or(vu64 a, vu64 b) { return vorrq_u64(a, b); }
FI_INLINE vu64 vu64_xor(vu64 a, vu64 b) { return veorq_u64(a, b); }
FI_INLINE vu64 vu64_add(vu64 a, vu64 b) { return vaddq_u64(a, b); }
#define vu64_shift_right(a, n) vshrq_n_u64(a, n)
FI_INLINE vf64 vf64_set(double a) { return vdupq_n_f64(a); }
FI_INLINE vf64 vf64_bits(vu64 a) { return vreinterpretq_f64_u64(a); }
FI_INLINE vu64 vf64_as_bits(vf64 a) { return vreinterpretq_u64_f64(a); }
FI_INLINE vf64 vf64_from_signed(vu64 a) { return vcvtq_f64_s64(vreinterpretq_s64_u64(a)); }
FI_INLINE vf64 vf64_add(vf64 a, vf64 b) { return vaddq_f64(a, b); }
FI_INLINE vf64 vf64_sub(vf64 a, vf64 b) { return vsubq_f64(a, b); }
FI_INLINE vf64 vf64_mul(vf64 a, vf64 b) { return vmulq_f64(a, b); }
FI_INLINE vf64 vf64_div(vf64 a, vf64 b) { return vdivq_f64(a, b); }
FI_INLINE vf64 vf64_sqrt(vf64 a) { return vsqrtq_f64(a); }
FI_INLINE vf64 vf64_min(vf64 a, vf64 b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
FI_INLINE vf64 vf64_max(vf64 a, vf64 b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
FI_INLINE vf64 vf64_choose(vu64 choose, vf64 a, vf64 b) {
    return vbslq_f64(vcltzq_s64(vreinterpretq_s64_u64(choose)), b, a);
}
FI_INLINE unsigned vf64_negative(vf64 a) {
    vu64 negative = vshrq_n_u64(vf64_as_bits(a), 63);
    return (unsigned)(vgetq_lane_u64(negative, 0) | vgetq_lane_u64(negative, 1) << 1);
}
FI_INLINE vf64 vf64_load(const void *p) { return vreinterpretq_f64_u8(vld1q_u8(p)); }
FI_INLINE void vf64_store(void *p, vf64 a) { vst1q_u8(p, vreinterpretq_u8_f64(a)); }
FI_INLINE void vf64_pack(double *to, unsigned lanes, vf64 a) {
    vst1q_lane_f64(to, a, 0);
    vst1q_lane_f64(to + (lanes & 1), a, 1);
}
FI_INLINE vf64 vf64_unpack(const double *from, unsigned lanes, vf64 a) {
    const vu64 shifted =
        vcombine_u64(vcreate_u64((uint64_t)lanes << 63), vcreate_u64((uint64_t)lanes << 62));
    return vf64_choose(shifted, a, vcombine_f64(vld1_f64(from), vld1_f64(from + (lanes & 1))));
}
