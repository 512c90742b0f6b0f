/* SPDX-License-Identifier: MIT
 * From a tail probability to the normal's distance from zero, in float32.
 *
 * f is a tail probability times 2^(32 + octave), between 2^-1 and 2^31; z is how many sigma out
 * that tail begins.  Each octave [2^e, 2^(e+1)) of f has a polynomial of degree 7 in the centred
 * mantissa m - 3/2, -1/2 <= m - 3/2 < 1/2: no logarithm, no square root, no libm.
 * make_table.py fits the coefficients; docs/stream.md prints them.
 *
 * A vector register holds V_OCTAVES entries of each coefficient, up to V_TOP.  A lane that lies
 * deeper (AVX2, NEON: 1 in 256, AVX-512: 1 in 32,768 of the plain normal) is mapped again, alone.
 * Where the entries reach FI_TOP_EXPONENT, f may be 2^31 or a little more and has the value of
 * FI_LARGEST_F; a register of eight has no entry to spare for that, and f is kept below. */
#define FI_LARGEST_F 0x1.fffffep30f /* the largest float below 2^31 */
#define V_FLOOR_EXPONENT (V_TOP + 1 - V_OCTAVES)

FI_INLINE float quantile_alone(const float *entries, float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    const float *entry = entries + (bits >> 23) - FI_LOWEST_EXPONENT;
    bits = (bits & 0x007FFFFFu) | 0x3F800000u;
    float m;
    memcpy(&m, &bits, 4);
    float d = m - 1.5f, z = entry[7 * FI_ENTRIES];
    for (int j = 6; j >= 0; j--) z = fused(z, d, entry[j * FI_ENTRIES]);
    return z;
}

FI_NOINLINE vf32 quantile_repaired(const float *entries, vf32 f, vf32 z) {
    const float floor = (float)(UINT64_C(1) << ((V_FLOOR_EXPONENT - 127) & 31));
    float lanes[V_LANES], values[V_LANES];
    vf32_store(lanes, f);
    vf32_store(values, z);
    for (int i = 0; i < V_LANES; i++)
        if (lanes[i] < floor) values[i] = quantile_alone(entries, lanes[i]);
    return vf32_load(values);
}

/* `count` vectors side by side; 2^-1 <= f <= 2^31. */
FI_INLINE void quantiles(const vtable *table, const float *entries, const vf32 *f, vf32 *z,
                         int count) {
    ventry entry[V_BATCH];
    vf32 d[V_BATCH];
    FI_UNROLL
    for (int i = 0; i < count; i++) {
        vu32 bits = vf32_as_bits(f[i]);
        vf32 mantissa = vf32_mantissa(bits);
        entry[i] = vtable_entry(table, bits);
        d[i] = vf32_sub(mantissa, vf32_set(1.5f));
        z[i] = vtable_look(table, 7, entry[i]);
    }
    FI_UNROLL
    for (int j = 6; j >= 0; j--) {
        FI_UNROLL
        for (int i = 0; i < count; i++)
            z[i] = vf32_fused(z[i], d[i], vtable_look(table, j, entry[i]));
    }
    if (V_FLOOR_EXPONENT > FI_LOWEST_EXPONENT) {
        /* Floats above zero are in the order of their bits. */
        const vu32 floor = vu32_set((uint32_t)V_FLOOR_EXPONENT << 23);
        vu32 least = vf32_as_bits(f[0]);
        FI_UNROLL
        for (int i = 1; i < count; i++) least = vu32_min(least, vf32_as_bits(f[i]));
        if (__builtin_expect(vu32_any_below(least, floor), 0)) {
            FI_UNROLL
            for (int i = 0; i < count; i++)
                if (vu32_any_below(vf32_as_bits(f[i]), floor))
                    z[i] = quantile_repaired(entries, f[i], z[i]);
        }
    }
}
