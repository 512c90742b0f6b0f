/* SPDX-License-Identifier: MIT
 * From words to float32 values: uniform, normal, clipped and truncated normal.
 * One word, one value; nothing here depends on how many lanes there are. */

/* Everything a map needs, in registers' form, made once a call. */
typedef struct values {
    vf32 shift, scale, low, high;
    vf32 base[2], slope[2];
    vu32 sign_and, sign_xor;
    vtable table;
    const float *entries;
} values;

/* `has_table`: whether the values are looked up in the table; those of a uniform are not. */
FI_INLINE values values_start(const fi_spec *spec, int has_table) {
    values v = {
        .shift = vf32_set((float)spec->shift),
        .scale = vf32_set((float)spec->scale),
        .low = vf32_set((float)spec->low),
        .high = vf32_set((float)spec->high),
        .base = {vf32_set((float)spec->base[0]), vf32_set((float)spec->base[1])},
        .slope = {vf32_set((float)spec->slope[0]), vf32_set((float)spec->slope[1])},
        .sign_and = vu32_set(spec->sign_and),
        .sign_xor = vu32_set(spec->sign_xor),
        .entries = fi_octaves[0] + (FI_OCTAVES - 32 - spec->octave),
    };
    if (has_table) v.table = vtable_load(v.entries);
    return v;
}

FI_INLINE fi_distribution kernel_distribution(int kernel) {
    return kernel == FI_UNIFORM_INSIDE ? FI_UNIFORM : (fi_distribution)kernel;
}

/* A plain normal has no bounds; but float8 saturates. */
FI_INLINE int kernel_clamps(int kernel, fi_dtype dtype) {
    return kernel != FI_UNIFORM_INSIDE && (kernel != FI_NORMAL || fi_item_size(dtype) == 1);
}

/* s is odd, -2^24 < s < 2^24, and every such s has 2^8 words. */
FI_INLINE vf32 value_uniform(const values *v, vu32 word) {
    vu32 s = vu32_or(vu32_shift_right_signed(word, 7), vu32_set(1));
    return vf32_fused(vf32_from_signed(s), v->scale, v->shift);
}

/* T = the lower 31 bits + 1/2, rounded: from 1/2 to 2^31, both included. */
FI_INLINE vf32 tail(vu32 word) {
    vu32 low31 = vu32_and(word, vu32_set(0x7FFFFFFFu));
    return vf32_add(vf32_from_signed(low31), vf32_set(0.5f));
}

/* Tail probabilities f and signs (bit 31) of a vector of words. */
FI_INLINE vf32 value_tail(const values *v, fi_distribution distribution, vu32 word, vu32 *sign) {
    const vu32 bit31 = vu32_set(0x80000000u);
    vf32 f = tail(word);
    *sign = vu32_and(word, bit31);
    if (distribution == FI_SYMMETRIC) f = vf32_fused(f, v->slope[0], v->base[0]);
    if (distribution == FI_TRUNCATED) {
        f = vf32_fused(f, vf32_choose(word, v->slope[0], v->slope[1]),
                       vf32_choose(word, v->base[0], v->base[1]));
        /* Past the middle it is the other tail's turn. */
        vu32 past = vf32_as_bits(vf32_sub(vf32_set(0x1p31f), f));
        *sign = vu32_xor(vu32_and_xor(word, v->sign_and, v->sign_xor), vu32_and(past, bit31));
        f = vf32_max(vf32_min(f, vf32_sub(vf32_set(0x1p32f), f)), vf32_set(0.5f));
    }
    /* A truncation to far bounds looks at deeper octaves; the entry above them is an octave's. */
    if (V_TOP == FI_TOP_EXPONENT && distribution != FI_TRUNCATED) return f;
    return vf32_bits(vu32_min(vf32_as_bits(f), vf32_as_bits(vf32_set(FI_LARGEST_F))));
}

/* The float32 values of `count` vectors of words. */
FI_INLINE void values_of(const values *v, fi_distribution distribution, int clamp,
                         const vu32 *words, vf32 *out, int count) {
    if (distribution == FI_UNIFORM) {
        FI_UNROLL
        for (int i = 0; i < count; i++) out[i] = value_uniform(v, words[i]);
    } else {
        vu32 sign[V_BATCH];
        vf32 f[V_BATCH];
        FI_UNROLL
        for (int i = 0; i < count; i++) f[i] = value_tail(v, distribution, words[i], &sign[i]);
        quantiles(&v->table, v->entries, f, out, count);
        FI_UNROLL
        for (int i = 0; i < count; i++)
            out[i] =
                vf32_fused(vf32_bits(vu32_xor(vf32_as_bits(out[i]), sign[i])), v->scale, v->shift);
    }
    if (clamp) {
        FI_UNROLL
        for (int i = 0; i < count; i++) out[i] = vf32_min(vf32_max(out[i], v->low), v->high);
    }
}
