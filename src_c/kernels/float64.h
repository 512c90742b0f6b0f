/* SPDX-License-Identifier: MIT
 * float64 has its own draw: two words a value, 63 bits of tail, and Wichura's algorithm.
 *
 * Wichura (1988), "Algorithm AS 241: the percentage points of the normal distribution", Applied
 * Statistics 37(3), 477-484, routine PPND16: about 1 part in 10^16.  Its logarithm is made here
 * from + - * / alone, and no operation is fused, so every backend has the same bits. */

/* a[0] + a[1] r + ... + a[7] r^7 */
FI_INLINE vf64 polynomial(const double a[8], vf64 r) {
    vf64 sum = vf64_set(a[7]);
#pragma GCC unroll 8
    for (int j = 6; j >= 0; j--) sum = vf64_add(vf64_mul(sum, r), vf64_set(a[j]));
    return sum;
}

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

FI_INLINE vf64 ratio(const double a[2][8], vf64 r) {
    return vf64_div(polynomial(a[0], r), polynomial(a[1], r));
}

/* -log p for a normal 0 < p < 1: p = 2^k m, sqrt(1/2) <= m < sqrt(2), log m = 2 atanh(s) with
 * s = (m - 1) / (m + 1), |s| < 0.172, by its series up to s^21. */
FI_INLINE vf64 minus_log(vf64 p) {
    const vu64 root_half = vu64_set(0x3FE6A09E667F3BCDu); /* the bits of sqrt(1/2) */
    const vu64 shifted = vu64_add(vf64_as_bits(p), vu64_set(0x3FF0000000000000u - 0x3FE6A09E667F3BCDu));
    vu64 k = vu64_add(vu64_shift_right(shifted, 52), vu64_set((uint64_t)-1023));
    vf64 m = vf64_bits(vu64_add(vu64_and(shifted, vu64_set(0x000FFFFFFFFFFFFFu)), root_half));
    vf64 one = vf64_set(1.0);
    vf64 s = vf64_div(vf64_sub(m, one), vf64_add(m, one)), s2 = vf64_mul(s, s);
    vf64 sum = vf64_set(1.0 / 21);
#pragma GCC unroll 16
    for (int n = 19; n >= 1; n -= 2) sum = vf64_add(vf64_mul(sum, s2), vf64_set(1.0 / n));
    vf64 log_m = vf64_mul(vf64_add(s, s), sum);
    vf64 log_2 = vf64_set(0x1.62e42fefa39efp-1);
    return vf64_sub(vf64_mul(vf64_sub(vf64_set(0.0), vf64_from_signed(k)), log_2), log_m);
}

/* How many sigma out a tail of probability p begins, 0 < p <= 1/2. */
FI_INLINE vf64 quantile64(vf64 p) {
    vf64 q = vf64_sub(vf64_set(0.5), p);
    vf64 z = vf64_mul(q, ratio(CENTRE, vf64_sub(vf64_set(0.180625), vf64_mul(q, q))));
    vf64 outside = vf64_sub(vf64_set(0.425), q); /* negative where the centre ends */
    if (vf64_any_negative(outside)) {
        vf64 r = vf64_sqrt(minus_log(p));
        vf64 tail = ratio(MIDDLE, vf64_sub(r, vf64_set(1.6)));
        vf64 beyond = vf64_sub(vf64_set(5.0), r);
        if (vf64_any_negative(beyond))
            tail = vf64_choose(vf64_as_bits(beyond), tail, ratio(FAR, vf64_sub(r, vf64_set(5.0))));
        z = vf64_choose(vf64_as_bits(outside), z, tail);
    }
    return z;
}

/* One vector of float64 values from one of 64-bit words. */
FI_INLINE vf64 value64(const fi_spec *spec, fi_distribution distribution, vu64 word) {
    const vu64 bit63 = vu64_set(UINT64_C(1) << 63);
    vf64 x;
    if (distribution == FI_UNIFORM) { /* s odd, -2^53 < s < 2^53 */
        vu64 s = vu64_shift_right(vu64_xor(word, bit63), 10);
        s = vu64_or(vu64_add(s, vu64_set(UINT64_C(0) - (UINT64_C(1) << 53))), vu64_set(1));
        x = vf64_from_signed(s);
    } else {
        vu64 sign = vu64_and(word, bit63);
        vf64 t = vf64_from_signed(vu64_and(word, vu64_set(~(UINT64_C(1) << 63))));
        vf64 p = vf64_add(t, vf64_set(0.5));
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
        x = vf64_bits(vu64_xor(vf64_as_bits(quantile64(p)), sign));
    }
    x = vf64_add(vf64_mul(x, vf64_set(spec->scale)), vf64_set(spec->shift));
    if (distribution != FI_NORMAL)
        x = vf64_min(vf64_max(x, vf64_set(spec->low)), vf64_set(spec->high));
    return x;
}
