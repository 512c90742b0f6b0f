/* SPDX-License-Identifier: MIT
 * float64 has its own draw: two words a value, 63 bits of tail, and Wichura's algorithm.
 *
 * Wichura (1988), "Algorithm AS 241: the percentage points of the normal distribution", Applied
 * Statistics 37(3), 477-484, routine PPND16: about 1 part in 10^16.  Its logarithm is made here
 * from + - * / alone, and no operation is fused, so every backend has the same bits. */

#define EACH64                                                                                     \
    FI_UNROLL                                                                                      \
    for (int i = 0; i < V_BATCH64; i++)

static const double CENTRE[2][8] = {
    {3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3,
     1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
     3.3430575583588128105e+4, 2.5090809287301226727e+3},
    {1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
     2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4,
     5.2264952788528545610e+3}};
static const double MIDDLE[2][8] = {
    {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
     3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
     2.27238449892691845833e-2, 7.74545014278341407640e-4},
    {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
     1.05075007164441684324e-9}};
static const double FAR[2][8] = {
    {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
     2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
     2.71155556874348757815e-5, 2.01033439929228813265e-7},
    {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
     2.04426310338993978564e-15}};

/* a[0] + a[1] r + ... + a[7] r^7 */
FI_INLINE void polynomials(const double a[8], const vf64 r[V_BATCH64], vf64 sum[V_BATCH64]) {
    EACH64 sum[i] = vf64_set(a[7]);
    FI_UNROLL
    for (int j = 6; j >= 0; j--) EACH64 sum[i] = vf64_add(vf64_mul(sum[i], r[i]), vf64_set(a[j]));
}

FI_INLINE void ratios(const double a[2][8], const vf64 r[V_BATCH64], vf64 out[V_BATCH64]) {
    vf64 below[V_BATCH64];
    polynomials(a[0], r, out);
    polynomials(a[1], r, below);
    EACH64 out[i] = vf64_div(out[i], below[i]);
}

/* -log p for normal numbers 0 < p < 1: p = 2^k m, sqrt(1/2) <= m < sqrt(2), log m = 2 atanh(s) with
 * s = (m - 1) / (m + 1), |s| < 0.172, by its series up to s^21. */
FI_INLINE void minus_logs(const vf64 p[V_BATCH64], vf64 out[V_BATCH64]) {
    const vu64 root_half = vu64_set(0x3FE6A09E667F3BCDu); /* the bits of sqrt(1/2) */
    const vf64 one = vf64_set(1.0), log_2 = vf64_set(0x1.62e42fefa39efp-1);
    vu64 k[V_BATCH64];
    vf64 s[V_BATCH64], s2[V_BATCH64];
    EACH64 {
        vu64 shifted =
            vu64_add(vf64_as_bits(p[i]), vu64_set(0x3FF0000000000000u - 0x3FE6A09E667F3BCDu));
        k[i] = vu64_add(vu64_shift_right(shifted, 52), vu64_set((uint64_t)-1023));
        vf64 m = vf64_bits(vu64_add(vu64_and(shifted, vu64_set(0x000FFFFFFFFFFFFFu)), root_half));
        s[i] = vf64_div(vf64_sub(m, one), vf64_add(m, one));
        s2[i] = vf64_mul(s[i], s[i]);
        out[i] = vf64_set(1.0 / 21);
    }
    FI_UNROLL
    for (int n = 19; n >= 1; n -= 2)
        EACH64 out[i] = vf64_add(vf64_mul(out[i], s2[i]), vf64_set(1.0 / n));
    EACH64 {
        vf64 log_m = vf64_mul(vf64_add(s[i], s[i]), out[i]);
        out[i] = vf64_sub(vf64_mul(vf64_sub(vf64_set(0.0), vf64_from_signed(k[i])), log_2), log_m);
    }
}

/* How many sigma out a tail of probability p begins, for 0.075 <= p <= 1/2.  A lane whose p is
 * smaller has its bit in `outside` set, and any value. */
FI_INLINE void quantiles64_centre(const vf64 p[V_BATCH64], vf64 z[V_BATCH64],
                                  unsigned outside[V_BATCH64]) {
    vf64 q[V_BATCH64], r[V_BATCH64];
    EACH64 {
        q[i] = vf64_sub(vf64_set(0.5), p[i]);
        outside[i] = vf64_negative(vf64_sub(vf64_set(0.425), q[i]));
        r[i] = vf64_sub(vf64_set(0.180625), vf64_mul(q[i], q[i]));
    }
    ratios(CENTRE, r, z);
    EACH64 z[i] = vf64_mul(q[i], z[i]);
}

/* The same for 0 < p < 0.075. */
FI_INLINE void quantiles64_tail(const vf64 p[V_BATCH64], vf64 z[V_BATCH64]) {
    vf64 root[V_BATCH64], r[V_BATCH64];
    unsigned beyond = 0;
    minus_logs(p, root);
    EACH64 {
        root[i] = vf64_sqrt(root[i]);
        r[i] = vf64_sub(root[i], vf64_set(1.6));
        beyond |= vf64_negative(vf64_sub(vf64_set(5.0), root[i]));
    }
    ratios(MIDDLE, r, z);
    if (__builtin_expect(beyond != 0, 0)) {
        vf64 far[V_BATCH64];
        EACH64 r[i] = vf64_sub(root[i], vf64_set(5.0));
        ratios(FAR, r, far);
        EACH64 z[i] = vf64_choose(vf64_as_bits(vf64_sub(vf64_set(5.0), root[i])), z[i], far[i]);
    }
}

FI_INLINE unsigned lanes_count(unsigned lanes) {
#if defined(__POPCNT__)
    return (unsigned)__builtin_popcount(lanes);
#else
    static const unsigned char COUNTS[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
    return COUNTS[lanes & 15] + (V_LANES64 > 4 ? COUNTS[lanes >> 4] : 0u);
#endif
}

/* The tail probability of a word; its bit 63 is the sign that the value will have. */
FI_INLINE vf64 tail64(const fi_spec *spec, fi_distribution distribution, vu64 word) {
    const vu64 bit63 = vu64_set(UINT64_C(1) << 63);
    vf64 t = vf64_from_signed(vu64_and(word, vu64_set(~(UINT64_C(1) << 63))));
    vf64 p = vf64_add(t, vf64_set(0.5));
    vu64 sign = vu64_and(word, bit63);
    if (distribution == FI_NORMAL || distribution == FI_CLIPPED) {
        p = vf64_mul(p, vf64_set(0x1p-64));
    } else {
        vf64 slope = vf64_choose(word, vf64_set(spec->slope[0]), vf64_set(spec->slope[1]));
        vf64 base = vf64_choose(word, vf64_set(spec->base[0]), vf64_set(spec->base[1]));
        p = vf64_add(vf64_mul(p, slope), base);
        vu64 past = vf64_as_bits(vf64_sub(vf64_set(0.5), p));
        vu64 sign_and = vu64_set((uint64_t)spec->sign_and << 32);
        vu64 sign_xor = vu64_set((uint64_t)spec->sign_xor << 32);
        sign = vu64_xor(vu64_xor(vu64_and(word, sign_and), sign_xor), vu64_and(past, bit63));
        p = vf64_min(p, vf64_sub(vf64_set(1.0), p));
    }
    return vf64_bits(vu64_or(vf64_as_bits(p), sign));
}

/* s is odd, -2^53 < s < 2^53. */
FI_INLINE vf64 uniform64(vu64 word) {
    vu64 s = vu64_shift_right(vu64_xor(word, vu64_set(UINT64_C(1) << 63)), 10);
    s = vu64_or(vu64_add(s, vu64_set(UINT64_C(0) - (UINT64_C(1) << 53))), vu64_set(1));
    return vf64_from_signed(s);
}

FI_INLINE vf64 placed64(const fi_spec *spec, int clamp, vf64 x) {
    x = vf64_add(vf64_mul(x, vf64_set(spec->scale)), vf64_set(spec->shift));
    if (clamp) x = vf64_min(vf64_max(x, vf64_set(spec->low)), vf64_set(spec->high));
    return x;
}

FI_INLINE void split_signs(vf64 p[V_BATCH64], vu64 sign[V_BATCH64]) {
    EACH64 {
        sign[i] = vu64_and(vf64_as_bits(p[i]), vu64_set(UINT64_C(1) << 63));
        p[i] = vf64_bits(vu64_xor(vf64_as_bits(p[i]), sign[i]));
    }
}

FI_INLINE vf64 signed64(vf64 z, vu64 sign) { return vf64_bits(vu64_xor(vf64_as_bits(z), sign)); }

FI_INLINE void store_uniforms64(unsigned char *out, const vu32 *words, int first,
                                const fi_spec *spec, int clamp) {
    EACH64 {
        vf64 x = uniform64(vu64_from_words(words, first + i));
        vf64_store(out + 8 * V_LANES64 * i, placed64(spec, clamp, x));
    }
}

/* The lanes that lie outside the centre, 15 % of a normal's, are collected over many vectors: the
 * logarithm and what follows it are then done for full vectors of them, side by side.  There is
 * room for what is stored past the last one. */
enum {
    MANY_VECTORS64 = 512 / V_LANES64,
    MANY_TAILS64 = (MANY_VECTORS64 + V_BATCH64) * V_LANES64,
};

/* Store V_BATCH64 vectors of values in `out`, except for the lanes that are collected: their
 * probabilities go to `tails`, which lanes they are to `lanes`.  Returns how many there are. */
FI_INLINE unsigned store_centres64(unsigned char *out, double *tails, unsigned char *lanes,
                                   const vu32 *words, int first, const fi_spec *spec,
                                   fi_distribution distribution, int clamp) {
    vf64 p[V_BATCH64], z[V_BATCH64], both[V_BATCH64];
    vu64 sign[V_BATCH64];
    unsigned outside[V_BATCH64], count = 0;
    EACH64 both[i] = p[i] = tail64(spec, distribution, vu64_from_words(words, first + i));
    split_signs(p, sign);
    quantiles64_centre(p, z, outside);
    EACH64 {
        vf64_store(out + 8 * V_LANES64 * i, placed64(spec, clamp, signed64(z[i], sign[i])));
        vf64_pack(tails + count, outside[i], both[i]);
        lanes[i] = (unsigned char)outside[i];
        count += lanes_count(outside[i]);
    }
    return count;
}

/* The values of `count` collected lanes, put in their places in the `vectors` from `out` on. */
FI_INLINE void store_tails64(unsigned char *out, double *tails, unsigned count,
                             const unsigned char *lanes, int vectors, const fi_spec *spec,
                             int clamp) {
    for (int i = 0; i < V_BATCH64; i++) /* something harmless for the lanes left over */
        vf64_store(tails + count + i * V_LANES64, vf64_set(0.05));
    for (unsigned done = 0; done < count; done += V_BATCH64 * V_LANES64) {
        vf64 p[V_BATCH64], z[V_BATCH64];
        vu64 sign[V_BATCH64];
        EACH64 p[i] = vf64_load(tails + done + i * V_LANES64);
        split_signs(p, sign);
        quantiles64_tail(p, z);
        EACH64 vf64_store(tails + done + i * V_LANES64,
                          placed64(spec, clamp, signed64(z[i], sign[i])));
    }
    for (int n = 0; n < vectors; n++, out += 8 * V_LANES64) {
        if (V_LANES64 == 1 && !lanes[n]) continue;
        vf64_store(out, vf64_unpack(tails, lanes[n], vf64_load(out)));
        tails += lanes_count(lanes[n]);
    }
}
