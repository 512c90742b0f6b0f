/* SPDX-License-Identifier: MIT
 * The kernels of one instruction set, assembled from the vocabulary in force: tiles of words,
 * through a map, to a dtype.  Included once by each isa_<name>.c, which defines FI_NAME. */
#include "philox.h"
#include "quantile.h"
#include "values.h"
#include "narrow.h"
#include "float64.h"

#define FI_PASTE_(a, b) a##b
#define FI_PASTE(a, b) FI_PASTE_(a, b)

enum {
    PASS_VECTORS = V_GROUPS * V_VECTORS, /* vectors that philox_words makes at a time */
    PASS_BLOCKS = V_GROUPS * V_BLOCKS,
    PASSES = FI_TILE_BLOCKS / PASS_BLOCKS,
};
_Static_assert(PASSES * PASS_BLOCKS == FI_TILE_BLOCKS, "a tile is a whole number of passes");
_Static_assert(PASS_VECTORS % V_BATCH == 0, "a pass is a whole number of batches");
_Static_assert(PASS_VECTORS * V_LANES == 4 * PASS_BLOCKS, "words fill their vectors");

FI_INLINE size_t width(fi_dtype dtype) {
    if (dtype == FI_FLOAT64) return 8;
    if (dtype == FI_FLOAT32) return 4;
    return dtype == FI_FLOAT16 || dtype == FI_BFLOAT16 ? 2 : 1;
}

/* The words of one pass, mapped, rounded and stored; returns where the next pass begins. */
FI_INLINE unsigned char *store_pass(unsigned char *out, const vu32 words[PASS_VECTORS],
                                    fi_distribution distribution, fi_dtype dtype,
                                    const values *v, const fi_spec *spec) {
    if (dtype == FI_FLOAT64) {
        for (int n = 0; n < PASS_VECTORS * V_LANES / 2 / V_LANES64; n++, out += 8 * V_LANES64)
            vf64_store(out, value64(spec, distribution, vu64_from_words(words, n)));
        return out;
    }
    /* Float8 saturates: its clamp is always on. */
    const int clamp = distribution != FI_NORMAL || width(dtype) == 1;
#pragma GCC unroll 8
    for (int n = 0; n < PASS_VECTORS; n += V_BATCH) {
        vf32 batch[V_BATCH];
        values_of(v, distribution, clamp, words + n, batch, V_BATCH);
        store_values(out, dtype, batch);
        out += V_BATCH * V_LANES * width(dtype);
    }
    return out;
}

FI_INLINE void draw(unsigned char *out, uint64_t block, size_t tiles, const fi_spec *spec,
                    fi_distribution distribution, fi_dtype dtype) {
    const philox p = philox_start(spec->key, spec->subsequence, (uint32_t)(block >> 32));
    const values v = values_start(spec);
    uint32_t low = (uint32_t)block;
    for (size_t pass = tiles * PASSES; pass; pass--, low += PASS_BLOCKS) {
        vu32 words[PASS_VECTORS];
        philox_words(&p, low, words);
        out = store_pass(out, words, distribution, dtype, &v, spec);
    }
}

FI_INLINE void convert(unsigned char *out, const uint32_t *words, size_t tiles,
                       const fi_spec *spec, fi_distribution distribution, fi_dtype dtype) {
    const values v = values_start(spec);
    for (size_t pass = tiles * PASSES; pass; pass--, words += 4 * PASS_BLOCKS) {
        vu32 given[PASS_VECTORS];
        for (int i = 0; i < PASS_VECTORS; i++) given[i] = vu32_load(words + i * V_LANES);
        out = store_pass(out, given, distribution, dtype, &v, spec);
    }
}

static void draw_words(unsigned char *out, uint64_t block, size_t tiles, const fi_spec *spec) {
    const philox p = philox_start(spec->key, spec->subsequence, (uint32_t)(block >> 32));
    uint32_t low = (uint32_t)block;
    for (size_t pass = tiles * PASSES; pass; pass--, low += PASS_BLOCKS) {
        vu32 words[PASS_VECTORS];
        philox_words(&p, low, words);
        for (int i = 0; i < PASS_VECTORS; i++, out += 4 * V_LANES) vu32_store(out, words[i]);
    }
}

/* One function for each distribution and dtype, and the table of them. */
#define FI_EACH_DTYPE(X, distribution)                                                           \
    X(distribution, FI_FLOAT32) X(distribution, FI_FLOAT16) X(distribution, FI_BFLOAT16)         \
    X(distribution, FI_FLOAT8_E4M3FN) X(distribution, FI_FLOAT8_E5M2) X(distribution, FI_FLOAT64)
#define FI_EACH(X)                                                                               \
    FI_EACH_DTYPE(X, FI_UNIFORM) FI_EACH_DTYPE(X, FI_NORMAL) FI_EACH_DTYPE(X, FI_CLIPPED)        \
    FI_EACH_DTYPE(X, FI_SYMMETRIC) FI_EACH_DTYPE(X, FI_TRUNCATED)

#define FI_DEFINE(distribution, dtype)                                                           \
    static void draw_##distribution##_##dtype(unsigned char *out, uint64_t block, size_t tiles,  \
                                              const fi_spec *spec) {                             \
        draw(out, block, tiles, spec, distribution, dtype);                                      \
    }                                                                                            \
    static void convert_##distribution##_##dtype(unsigned char *out, const uint32_t *words,      \
                                                 size_t tiles, const fi_spec *spec) {            \
        convert(out, words, tiles, spec, distribution, dtype);                                   \
    }
FI_EACH(FI_DEFINE)

#define FI_DRAW_ROW(distribution, dtype) [distribution][dtype] = draw_##distribution##_##dtype,
#define FI_CONVERT_ROW(distribution, dtype) \
    [distribution][dtype] = convert_##distribution##_##dtype,
const fi_kernels FI_PASTE(fi_kernels_, FI_NAME) = {
    .words = draw_words,
    .draw = {FI_EACH(FI_DRAW_ROW)},
    .convert = {FI_EACH(FI_CONVERT_ROW)},
};
