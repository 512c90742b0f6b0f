/* SPDX-License-Identifier: MIT
 * Rounding float32 to the narrower types, to nearest, ties to even, and storing the result.
 * Input is finite and already inside the type's range; nothing here clamps.
 *
 * bfloat16 is made with integers: the hardware's conversion treats denormals as zero. */

/* Eight bits: one sign, 7 - m exponent, m mantissa; `bias` the exponent's.  Below the smallest
 * normal, adding a float whose last place is the smallest denormal does the rounding. */
#define STORE_FLOAT8(out, value, m, bias)                                                          \
    do {                                                                                           \
        const uint32_t least = (128u - (bias)) << 23;            /* the smallest normal */         \
        const uint32_t adder = (128u - (bias) + 23 - (m)) << 23; /* whose last place is its */     \
        vu32 bits = vf32_as_bits(value);                                                           \
        vu32 size = vu32_and(bits, vu32_set(0x7FFFFFFFu));                                         \
        vu32 odd = vu32_and(vu32_shift_right(size, 23 - (m)), vu32_set(1));                        \
        vu32 half = vu32_set((1u << (22 - (m))) - 1 - ((127u - (bias)) << 23));                    \
        vu32 normal = vu32_shift_right(vu32_add(vu32_add(size, half), odd), 23 - (m));             \
        vf32 sum = vf32_add(vf32_bits(size), vf32_bits(vu32_set(adder)));                          \
        vu32 denormal = vu32_sub(vf32_as_bits(sum), vu32_set(adder));                              \
        vu32 code = vf32_below(vf32_bits(size), vf32_bits(vu32_set(least)), denormal, normal);     \
        vu32 sign = vu32_and(vu32_shift_right(bits, 24), vu32_set(0x80u));                         \
        vu32_store_low8(out, vu32_or(code, sign));                                                 \
    } while (0)

/* One function for each dtype that is made of float32 values: store V_BATCH vectors one after the
 * other. */
FI_INLINE void store_float32(unsigned char *out, const vf32 values[V_BATCH]) {
    FI_UNROLL
    for (int i = 0; i < V_BATCH; i++) vf32_store(out + 4 * V_LANES * i, values[i]);
}
FI_INLINE void store_float16(unsigned char *out, const vf32 values[V_BATCH]) {
    FI_UNROLL
    for (int i = 0; i < V_BATCH; i++) vf32_store_half(out + 2 * V_LANES * i, values[i]);
}
FI_INLINE void store_bfloat16(unsigned char *out, const vf32 values[V_BATCH]) {
    FI_UNROLL
    for (int i = 0; i < V_BATCH; i += 2)
        vf32_store_bfloat16(out + 2 * V_LANES * i, values[i], values[i + 1]);
}
#if defined(V_FLOAT8) /* the vocabulary has an instruction for V_BATCH of them */
FI_INLINE void store_float8_e4m3fn(unsigned char *out, const vf32 values[V_BATCH]) {
    vf32_store_e4m3fn(out, values);
}
FI_INLINE void store_float8_e5m2(unsigned char *out, const vf32 values[V_BATCH]) {
    vf32_store_e5m2(out, values);
}
#else
FI_INLINE void store_float8_e4m3fn(unsigned char *out, const vf32 values[V_BATCH]) {
    FI_UNROLL
    for (int i = 0; i < V_BATCH; i++) STORE_FLOAT8(out + V_LANES * i, values[i], 3, 7);
}
FI_INLINE void store_float8_e5m2(unsigned char *out, const vf32 values[V_BATCH]) {
    FI_UNROLL
    for (int i = 0; i < V_BATCH; i++) STORE_FLOAT8(out + V_LANES * i, values[i], 2, 15);
}
#endif

FI_INLINE void store_values(unsigned char *out, fi_dtype dtype, const vf32 values[V_BATCH]) {
    switch (dtype) {
#define FI_DTYPE(code, name, size)                                                                 \
    case code: store_##name(out, values); break;
#define FI_DTYPE64(code, name, size) /* float64.h stores those */
#include "dtype_list.h"
    default: break;
    }
}
