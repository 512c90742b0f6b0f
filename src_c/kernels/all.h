/* SPDX-License-Identifier: MIT
 * The kernels of one instruction set, assembled from the vocabulary in force: tiles of words,
 * through a map, to a dtype.  Included once by each isa_<name>.c, which defines FI_NAME. */
enum {
    PASS_VECTORS = V_GROUPS * V_VECTORS, /* vectors that philox_words makes at a time */
    PASS_VECTORS64 = PASS_VECTORS * V_LANES / 2 / V_LANES64,
    PASS_BLOCKS = V_GROUPS * V_BLOCKS,
    PASSES = FI_TILE_BLOCKS / PASS_BLOCKS,
};
_Static_assert(PASSES * PASS_BLOCKS == FI_TILE_BLOCKS, "a tile is a whole number of passes");
_Static_assert(PASS_VECTORS % V_BATCH == 0, "a pass is a whole number of batches");
_Static_assert(PASS_VECTORS * V_LANES == 4 * PASS_BLOCKS, "words fill their vectors");
_Static_assert(PASS_VECTORS64 % V_BATCH64 == 0, "a pass is a whole number of float64 batches");

#include "philox.h"
#include "quantile.h"
#include "values.h"
#include "narrow.h"
#include "float64.h"

enum { MANY_PASSES64 = MANY_VECTORS64 / PASS_VECTORS64 };

#define FI_PASTE_(a, b) a##b
#define FI_PASTE(a, b) FI_PASTE_(a, b)

FI_INLINE size_t width(fi_dtype dtype) {
    if (dtype == FI_FLOAT64) return 8;
    if (dtype == FI_FLOAT32) return 4;
    return dtype == FI_FLOAT16 || dtype == FI_BFLOAT16 ? 2 : 1;
}

/* The words of a pass: of Philox block `low` and those after it, or `given` ones. */
FI_INLINE void pass_words(const philox *p, uint32_t low, const uint32_t *given,
                          vu32 words[PASS_VECTORS]) {
    if (!given)
        philox_words(p, low, words);
    else
        for (int i = 0; i < PASS_VECTORS; i++) words[i] = vu32_load(given + i * V_LANES);
}

/* Whole tiles of values, from block `block` or, if there are any, from given words. */
FI_INLINE void run(unsigned char *out, uint64_t block, const uint32_t *given, size_t tiles,
                   const fi_spec *spec, fi_distribution distribution, fi_dtype dtype, int clamp) {
    const philox p = philox_start(spec->key, spec->subsequence, (uint32_t)(block >> 32));
    const values v = values_start(spec);
    uint32_t low = (uint32_t)block;
    for (size_t pass = tiles * PASSES; pass; pass--, low += PASS_BLOCKS) {
        vu32 words[PASS_VECTORS];
        pass_words(&p, low, given, words);
        if (given) given += 4 * PASS_BLOCKS;
#pragma GCC unroll 8
        for (int n = 0; n < PASS_VECTORS; n += V_BATCH) {
            vf32 batch[V_BATCH];
            values_of(&v, distribution, clamp, words + n, batch, V_BATCH);
            store_values(out, dtype, batch);
            out += V_BATCH * V_LANES * width(dtype);
        }
    }
}

FI_INLINE void run64(unsigned char *out, uint64_t block, const uint32_t *given, size_t tiles,
                     const fi_spec *spec, fi_distribution distribution, int clamp) {
    const philox p = philox_start(spec->key, spec->subsequence, (uint32_t)(block >> 32));
    uint32_t low = (uint32_t)block;
    size_t left = tiles * PASSES;
    while (left) {
        unsigned char *begin = out;
        double tails[MANY_TAILS64];
        unsigned char lanes[MANY_VECTORS64];
        unsigned found = 0;
        int vectors = 0;
        size_t some = left < MANY_PASSES64 ? left : MANY_PASSES64;
        for (left -= some; some; some--, low += PASS_BLOCKS) {
            vu32 words[PASS_VECTORS];
            pass_words(&p, low, given, words);
            if (given) given += 4 * PASS_BLOCKS;
#pragma GCC unroll 8
            for (int n = 0; n < PASS_VECTORS64; n += V_BATCH64, out += 8 * V_LANES64 * V_BATCH64)
                if (distribution == FI_UNIFORM)
                    EACH64 vf64_store(out + 8 * V_LANES64 * i,
                                      placed64(spec, clamp, uniform64(vu64_from_words(words, n + i))));
                else
                    found += store_centres64(out, tails + found, lanes + vectors + n, words, n, spec,
                                             distribution, clamp);
            vectors += PASS_VECTORS64;
        }
        if (distribution != FI_UNIFORM)
            store_tails64(begin, tails, found, lanes, vectors, spec, clamp);
    }
}

FI_INLINE void any_run(unsigned char *out, uint64_t block, const uint32_t *given, size_t tiles,
                       const fi_spec *spec, int distribution, fi_dtype dtype) {
    /* A plain normal has no bounds; but float8 saturates. */
    const int clamp = distribution != FI_UNIFORM_INSIDE && (distribution != FI_NORMAL || width(dtype) == 1);
    if (distribution == FI_UNIFORM_INSIDE) distribution = FI_UNIFORM;
    if (dtype == FI_FLOAT64)
        run64(out, block, given, tiles, spec, distribution, clamp);
    else
        run(out, block, given, tiles, spec, distribution, dtype, clamp);
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
    FI_EACH_DTYPE(X, FI_SYMMETRIC) FI_EACH_DTYPE(X, FI_TRUNCATED)                                \
    FI_EACH_DTYPE(X, FI_UNIFORM_INSIDE)

#define FI_DEFINE(distribution, dtype)                                                           \
    static void draw_##distribution##_##dtype(unsigned char *out, uint64_t block, size_t tiles,  \
                                              const fi_spec *spec) {                             \
        any_run(out, block, NULL, tiles, spec, distribution, dtype);                                      \
    }                                                                                            \
    static void convert_##distribution##_##dtype(unsigned char *out, const uint32_t *words,      \
                                                 size_t tiles, const fi_spec *spec) {            \
        any_run(out, 0, words, tiles, spec, distribution, dtype);                                   \
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
