/* SPDX-License-Identifier: MIT
 * Power sums, extremes and counts of elements that exist already.  Nothing here draws a value, and
 * how the results of many calls are joined is for the caller to know.
 *
 * Each block of MEASURE_BLOCK elements is read as integers, whose order is that of the numbers, for
 * its extremes, zeros and what is not finite, and as numbers for its sums.  One loop does both: the
 * comparisons run while the sums wait for their last addition.  It sums in float32, in MEASURE_LANES
 * lanes of MEASURE_STEPS additions each, which are added up in float64.  If the extremes turn out to
 * be too large or too small for that, the block is summed again in float64; float64 always is.
 * Which lane an element is in follows from its place, and every operation is spelled out, so the
 * sums have the same bits on every instruction set. */

enum {
    MEASURE_LANES = 32,
    MEASURE_STEPS = 128,
    MEASURE_BLOCK = MEASURE_LANES * MEASURE_STEPS,
    MEASURE_PARTS = MEASURE_LANES / 2 / V_LANES,
    POWERS = FI_POWERS,
    KEPT = 4,      /* vectors of codes that hold the extremes of a block */
    GUESSED = 256, /* evenly spaced elements at most, whose mean stands for that of all */
};
_Static_assert(MEASURE_PARTS * 2 * V_LANES == MEASURE_LANES, "two vectors a part");

/* What the codes of a dtype mean, without the sign bit. */
typedef struct codes {
    uint64_t largest;   /* the largest finite number */
    uint64_t infinity;  /* infinity, or what no code is; all other larger codes are NaN */
    uint64_t low, high; /* fourth powers of block maxima from low to high are far from overflow and
                           underflow in float32: 2^-24 and 2^24, where the dtype has them */
} codes;

#define NO_CODE UINT64_MAX

FI_INLINE codes codes_of(fi_dtype dtype) {
    switch (dtype) {
    case FI_FLOAT16: return (codes){0x7BFF, 0x7C00, 0, NO_CODE};
    case FI_BFLOAT16: return (codes){0x7F7F, 0x7F80, (127 - 24) << 7, (127 + 24) << 7};
    case FI_FLOAT8_E4M3FN: return (codes){0x7E, NO_CODE, 0, NO_CODE};
    case FI_FLOAT8_E5M2: return (codes){0x7B, 0x7C, 0, NO_CODE};
    case FI_FLOAT64: return (codes){0x7FEFFFFFFFFFFFFFu, 0x7FF0000000000000u, 0, 0};
    default: return (codes){0x7F7FFFFF, 0x7F800000, (127 - 24) << 23, (127 + 24) << 23};
    }
}

FI_INLINE uint64_t code_at(const unsigned char *in, fi_dtype dtype) {
    uint8_t code8;
    uint16_t code16;
    uint32_t code32;
    uint64_t code64;
    switch (fi_item_size(dtype)) {
    case 1: memcpy(&code8, in, 1); return code8;
    case 2: memcpy(&code16, in, 2); return code16;
    case 4: memcpy(&code32, in, 4); return code32;
    default: memcpy(&code64, in, 8); return code64;
    }
}

FI_INLINE uint64_t sign_of(fi_dtype dtype) { return UINT64_C(1) << (8 * fi_item_size(dtype) - 1); }

/* Exponent and mantissa of an 8- or 16-bit float at the top of a float32, whose exponent has
 * another bias: this makes up for it, exactly, and denormals come out right. */
FI_INLINE float rebias(fi_dtype dtype) {
    return dtype == FI_FLOAT8_E4M3FN ? 0x1p120f : 0x1p112f; /* biases 7, and 15 */
}
FI_INLINE uint32_t widening(fi_dtype dtype) { /* how far it moves up */
    return dtype == FI_FLOAT16 ? 13 : dtype == FI_FLOAT8_E5M2 ? 21 : 20;
}

/* The number of a finite code. */
FI_INLINE double number_of(uint64_t code, fi_dtype dtype) {
    const uint64_t sign = sign_of(dtype), magnitude = code & ~sign;
    uint32_t bits = (uint32_t)magnitude;
    float narrow;
    double wide;
    if (dtype == FI_FLOAT64) {
        memcpy(&wide, &code, 8);
        return wide;
    }
    if (dtype == FI_BFLOAT16) bits <<= 16;
    if (dtype != FI_BFLOAT16 && dtype != FI_FLOAT32) bits <<= widening(dtype);
    memcpy(&narrow, &bits, 4);
    if (dtype != FI_BFLOAT16 && dtype != FI_FLOAT32) narrow *= rebias(dtype);
    return code & sign ? -(double)narrow : (double)narrow;
}

/* ---- extremes and counts ---- */
typedef struct extremes {
    uint64_t positive, negative; /* the largest magnitudes among elements of either sign */
    uint64_t nearest;            /* the smallest magnitude */
    int has_positive, has_negative;
} extremes;

/* The largest signed integer is the largest positive number, the largest unsigned one the most
 * negative; twice a code is twice its magnitude. */
#define SCAN(bits)                                                                                 \
    FI_INLINE extremes scan##bits(const unsigned char *in, size_t count) {                         \
        const uint##bits##_t sign = (uint##bits##_t)(UINT64_C(1) << (bits - 1));                   \
        int##bits##_t top = INT##bits##_MIN;                                                       \
        uint##bits##_t far = 0, near = UINT##bits##_MAX;                                           \
        for (size_t i = 0; i < count; i++) {                                                       \
            uint##bits##_t code, twice;                                                            \
            memcpy(&code, in + i * sizeof code, sizeof code);                                      \
            twice = (uint##bits##_t)(code + code);                                                 \
            top = (int##bits##_t)code > top ? (int##bits##_t)code : top;                           \
            far = code > far ? code : far;                                                         \
            near = twice < near ? twice : near;                                                    \
        }                                                                                          \
        return (extremes){(uint##bits##_t)top, far & (uint##bits##_t) ~sign, near >> 1, top >= 0,  \
                          far >= sign};                                                            \
    }                                                                                              \
    FI_INLINE uint64_t zeros##bits(const unsigned char *in, size_t count) {                        \
        uint32_t zeros = 0;                                                                        \
        for (size_t i = 0; i < count; i++) {                                                       \
            uint##bits##_t code;                                                                   \
            memcpy(&code, in + i * sizeof code, sizeof code);                                      \
            zeros += (uint##bits##_t)(code + code) == 0;                                           \
        }                                                                                          \
        return zeros;                                                                              \
    }
SCAN(8)
SCAN(16)
SCAN(32)
SCAN(64)

FI_INLINE extremes scan(const unsigned char *in, size_t count, fi_dtype dtype) {
    switch (fi_item_size(dtype)) {
    case 1: return scan8(in, count);
    case 2: return scan16(in, count);
    case 4: return scan32(in, count);
    default: return scan64(in, count);
    }
}

FI_INLINE uint64_t zeros_in(const unsigned char *in, size_t count, fi_dtype dtype) {
    switch (fi_item_size(dtype)) {
    case 1: return zeros8(in, count);
    case 2: return zeros16(in, count);
    case 4: return zeros32(in, count);
    default: return zeros64(in, count);
    }
}

/* Keep of each lane the extremes, signed and unsigned: among them are those of all lanes. */
#define KEEP(bits)                                                                                 \
    FI_INLINE void keep##bits(vu32 kept[KEPT], vu32 codes) {                                       \
        kept[0] = vs##bits##_max(kept[0], codes);                                                  \
        kept[1] = vu##bits##_max(kept[1], codes);                                                  \
        kept[2] = vs##bits##_min(kept[2], codes);                                                  \
        kept[3] = vu##bits##_min(kept[3], codes);                                                  \
    }
KEEP(8)
KEEP(16)
KEEP(32)

FI_INLINE void keep(vu32 kept[KEPT], vu32 codes, fi_dtype dtype) {
    switch (fi_item_size(dtype)) {
    case 1: keep8(kept, codes); break;
    case 2: keep16(kept, codes); break;
    default: keep32(kept, codes);
    }
}

FI_INLINE uint64_t largest_in(const extremes *found) {
    const uint64_t positive = found->has_positive ? found->positive : 0;
    const uint64_t negative = found->has_negative ? found->negative : 0;
    return positive > negative ? positive : negative;
}

FI_INLINE void reach(fi_moments *out, double x) {
    if (x < out->low) out->low = x;
    if (x > out->high) out->high = x;
}

/* Extremes and counts of a block of finite elements. */
FI_INLINE void note_finite(const unsigned char *in, const extremes *found, size_t count,
                           fi_dtype dtype, fi_moments *out) {
    const uint64_t sign = sign_of(dtype), nearest = found->nearest;
    reach(out, number_of(found->has_negative ? found->negative | sign : nearest, dtype));
    reach(out, number_of(found->has_positive ? found->positive : nearest | sign, dtype));
    out->finite += count;
    if (nearest == 0) out->zeros += zeros_in(in, count, dtype);
}

/* The same, element by element, where some are not finite. */
FI_INLINE void note_each(const unsigned char *in, size_t count, fi_dtype dtype, fi_moments *out) {
    const codes of = codes_of(dtype);
    for (size_t i = 0; i < count; i++) {
        const uint64_t code = code_at(in + i * fi_item_size(dtype), dtype);
        const uint64_t magnitude = code & ~sign_of(dtype);
        if (magnitude == of.infinity)
            out->infinities[code != magnitude]++;
        else if (magnitude > of.largest)
            out->nans++;
        else {
            out->finite++;
            out->zeros += magnitude == 0;
            reach(out, number_of(code, dtype));
        }
    }
}

/* ---- sums ---- */
typedef struct totals {
    double lane[POWERS][MEASURE_LANES];
} totals;

/* In float64; what is not finite is left out. */
FI_INLINE void add_wide(const unsigned char *in, size_t count, fi_dtype dtype, double unit,
                        double shift, totals *to) {
    const codes of = codes_of(dtype);
    for (size_t i = 0; i < count; i += MEASURE_LANES) {
        const size_t some = count - i < MEASURE_LANES ? count - i : MEASURE_LANES;
        for (size_t lane = 0; lane < some; lane++) {
            const uint64_t code = code_at(in + (i + lane) * fi_item_size(dtype), dtype);
            const int finite = (code & ~sign_of(dtype)) <= of.largest;
            const double d = finite ? number_of(code, dtype) * unit - shift : 0.0, square = d * d;
            to->lane[0][lane] += d;
            to->lane[1][lane] += square;
            to->lane[2][lane] += square * d;
            to->lane[3][lane] += square * square;
        }
    }
}

/* Part `part` of MEASURE_LANES elements: V_LANES lanes of the lower half, and of the upper.  Of
 * bfloat16, the even elements are the lower half: they are shifted into place, the odd ones are
 * there. */
FI_INLINE void load_part(const unsigned char *in, fi_dtype dtype, int part, vf32 out[2]) {
    const size_t size = fi_item_size(dtype);
    const int little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    if (dtype == FI_BFLOAT16) {
        const vu32 both = vu32_load(in + part * 4 * V_LANES);
        out[!little] = vf32_bits(vu32_shift_left(both, 16));
        out[little] = vf32_bits(vu32_and(both, vu32_set(0xFFFF0000u)));
        return;
    }
    for (int half = 0; half < 2; half++) {
        const unsigned char *from = in + (size_t)(half * MEASURE_LANES / 2 + part * V_LANES) * size;
        if (dtype == FI_FLOAT32)
            out[half] = vf32_load(from);
        else if (dtype == FI_FLOAT16)
            out[half] = vf32_load_half(from);
        else {
            const vu32 code = vu32_load_low8(from);
            const vu32 moved =
                dtype == FI_FLOAT8_E4M3FN ? vu32_shift_left(code, 20) : vu32_shift_left(code, 21);
            const vu32 mask = vu32_set(0x7Fu << widening(dtype));
            const vu32 sign = vu32_and(vu32_shift_left(code, 24), vu32_set(0x80000000u));
            const vf32 biased = vf32_bits(vu32_and_or(moved, mask, sign));
            out[half] = vf32_fused(biased, vf32_set(rebias(dtype)), vf32_set(0.0f));
        }
    }
}

/* The float32 sums of a whole block, and its extremes.  A step adds 2 * V_LANES elements and compares
 * as many, but at another place: it walks the block once as vectors of codes, and MEASURE_PARTS times
 * as lanes.  Two steps share a vector of 8-bit codes. */
FI_INLINE extremes sum_narrow(const unsigned char *in, fi_dtype dtype, float shift, int shifted,
                              float sums[POWERS][MEASURE_LANES]) {
    const size_t size = fi_item_size(dtype);
    const unsigned char *next = in;
    unsigned char candidates[KEPT * 4 * V_LANES];
    vu32 kept[KEPT];
    for (int i = 0; i < KEPT; i++) kept[i] = vu32_load(in);
    for (int part = 0; part < MEASURE_PARTS; part++) {
        const unsigned char *from = in;
        vf32 sum[2][POWERS];
        for (int half = 0; half < 2; half++)
            for (int power = 0; power < POWERS; power++) sum[half][power] = vf32_set(0.0f);
#pragma GCC unroll 2
        for (int step = 0; step < MEASURE_STEPS; step++) {
            vf32 d[2];
            if (size > 1 || step % 2 == 0) keep(kept, vu32_load(next), dtype);
            if (size > 2) keep(kept, vu32_load(next + 4 * V_LANES), dtype);
            next += 2 * V_LANES * size;
            load_part(from, dtype, part, d);
            from += MEASURE_LANES * size;
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                if (shifted) d[half] = vf32_sub(d[half], vf32_set(shift));
                const vf32 square = vf32_mul(d[half], d[half]);
                sum[half][0] = vf32_add(sum[half][0], d[half]);
                sum[half][1] = vf32_add(sum[half][1], square);
                sum[half][2] = vf32_fused(square, d[half], sum[half][2]);
                sum[half][3] = vf32_fused(square, square, sum[half][3]);
            }
        }
        for (int half = 0; half < 2; half++)
            for (int power = 0; power < POWERS; power++)
                vf32_store(sums[power] + half * MEASURE_LANES / 2 + part * V_LANES,
                           sum[half][power]);
    }
    for (int i = 0; i < KEPT; i++) vu32_store(candidates + i * 4 * V_LANES, kept[i]);
    return scan(candidates, sizeof candidates / size, dtype);
}

FI_INLINE void add_narrow(float sums[POWERS][MEASURE_LANES], totals *to) {
    for (int power = 0; power < POWERS; power++)
        for (int lane = 0; lane < MEASURE_LANES; lane++)
            to->lane[power][lane] += (double)sums[power][lane];
}

/* A number near the mean, if the mean is so far from 0 that squares would cancel; else 0. */
FI_INLINE double guess(const unsigned char *in, size_t count, fi_dtype dtype, double unit) {
    const codes of = codes_of(dtype);
    const size_t step = count / GUESSED + 1;
    double sum = 0.0, squares = 0.0;
    size_t finite = 0;
    for (size_t i = 0; i < count; i += step) {
        const uint64_t code = code_at(in + i * fi_item_size(dtype), dtype);
        if ((code & ~sign_of(dtype)) > of.largest) continue;
        const double x = number_of(code, dtype) * unit;
        sum += x;
        squares += x * x;
        finite++;
    }
    if (finite == 0) return 0.0;
    const double mean = sum / (double)finite, square = mean * mean;
    if (!(4.0 * square > squares / (double)finite)) return 0.0;
    return dtype == FI_FLOAT64 ? mean : (double)(float)mean;
}

/* Whether differences from the shift, which are no smaller than 2^-24 of it, suit float32. */
FI_INLINE int suits_float32(double shift) {
    const double size = shift < 0.0 ? -shift : shift;
    return size == 0.0 || (size >= 0x1p-6 && size < 0x1p24);
}

FI_INLINE void measure(const unsigned char *in, size_t count, fi_dtype dtype, double unit,
                       fi_moments *out) {
    const codes of = codes_of(dtype);
    const double shift = guess(in, count, dtype, unit);
    const int narrow = dtype != FI_FLOAT64 && unit == 1.0 && suits_float32(shift);
    totals to = {{{0.0}}};
    *out = (fi_moments){.low = __builtin_inf(), .high = -__builtin_inf(), .shift = shift};
    while (count) {
        const size_t some = count < MEASURE_BLOCK ? count : MEASURE_BLOCK;
        const int summed = narrow && some == MEASURE_BLOCK;
        float sums[POWERS][MEASURE_LANES];
        const extremes found = !summed        ? scan(in, some, dtype)
                               : shift == 0.0 ? sum_narrow(in, dtype, 0.0f, 0, sums)
                                              : sum_narrow(in, dtype, (float)shift, 1, sums);
        const uint64_t largest = largest_in(&found);
        if (largest <= of.largest)
            note_finite(in, &found, some, dtype, out);
        else
            note_each(in, some, dtype, out);
        if (summed && largest <= of.largest &&
            (largest == 0 || (largest >= of.low && largest < of.high)))
            add_narrow(sums, &to);
        else
            add_wide(in, some, dtype, unit, shift, &to);
        in += some * fi_item_size(dtype), count -= some;
    }
    for (int power = 0; power < POWERS; power++)
        for (int lane = 0; lane < MEASURE_LANES; lane++) out->sums[power] += to.lane[power][lane];
}
