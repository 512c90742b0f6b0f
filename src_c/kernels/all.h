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
_Static_assert(MANY_PASSES64 > 0 && V_LANES64 <= 8, "tails have room, their lanes a byte");

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

/* What all pieces of a call share. */
typedef struct shared {
    philox philox;
    values values;
    const fi_spec *spec;
} shared;

FI_INLINE shared shared_start(const fi_spec *spec, uint64_t block) {
    return (shared){philox_start(spec->key, spec->subsequence, (uint32_t)(block >> 32)),
                    values_start(spec), spec};
}

/* A piece of any type but float64; from given words, if there are any. */
FI_INLINE void run(const fi_piece *piece, const uint32_t *given, const shared *s,
                   fi_distribution distribution, fi_dtype dtype, int clamp) {
    unsigned char *out = piece->out;
    uint32_t low = (uint32_t)piece->block;
    for (size_t pass = piece->tiles * PASSES; pass; pass--, low += PASS_BLOCKS) {
        vu32 words[PASS_VECTORS];
        pass_words(&s->philox, low, given, words);
        if (given) given += 4 * PASS_BLOCKS;
#pragma GCC unroll 8
        for (int n = 0; n < PASS_VECTORS; n += V_BATCH) {
            vf32 batch[V_BATCH];
            values_of(&s->values, distribution, clamp, words + n, batch, V_BATCH);
            store_values(out, dtype, batch);
            out += V_BATCH * V_LANES * width(dtype);
        }
    }
}

/* The same for float64, whose tails are put off: a number of passes, then what they left. */
FI_INLINE void run64(const fi_piece *piece, const uint32_t *given, const shared *s,
                     fi_distribution distribution, int clamp) {
    unsigned char *out = piece->out;
    uint32_t low = (uint32_t)piece->block;
    for (size_t left = piece->tiles * PASSES; left;) {
        unsigned char *begin = out;
        double tails[MANY_TAILS64];
        unsigned char lanes[MANY_VECTORS64];
        unsigned found = 0;
        int vectors = 0;
        size_t some = left < MANY_PASSES64 ? left : MANY_PASSES64;
        for (left -= some; some; some--, low += PASS_BLOCKS) {
            vu32 words[PASS_VECTORS];
            pass_words(&s->philox, low, given, words);
            if (given) given += 4 * PASS_BLOCKS;
#pragma GCC unroll 8
            for (int n = 0; n < PASS_VECTORS64; n += V_BATCH64) {
                if (distribution == FI_UNIFORM)
                    store_uniforms64(out, words, n, s->spec, clamp);
                else
                    found += store_centres64(out, tails + found, lanes + vectors + n, words, n,
                                             s->spec, distribution, clamp);
                out += 8 * V_LANES64 * V_BATCH64;
            }
            vectors += PASS_VECTORS64;
        }
        if (distribution != FI_UNIFORM)
            store_tails64(begin, tails, found, lanes, vectors, s->spec, clamp);
    }
}

FI_INLINE void any_run(const fi_piece *piece, const uint32_t *given, const shared *s, int kernel,
                       fi_dtype dtype) {
    /* A plain normal has no bounds; but float8 saturates. */
    const int clamp = kernel != FI_UNIFORM_INSIDE && (kernel != FI_NORMAL || width(dtype) == 1);
    const fi_distribution distribution = kernel == FI_UNIFORM_INSIDE ? FI_UNIFORM : kernel;
    if (dtype == FI_FLOAT64)
        run64(piece, given, s, distribution, clamp);
    else
        run(piece, given, s, distribution, dtype, clamp);
}

static void draw_words(const fi_piece *pieces, size_t count, const fi_spec *spec) {
    const philox p = philox_start(spec->key, spec->subsequence, (uint32_t)(pieces->block >> 32));
    for (; count; count--, pieces++) {
        unsigned char *out = pieces->out;
        uint32_t low = (uint32_t)pieces->block;
        for (size_t pass = pieces->tiles * PASSES; pass; pass--, low += PASS_BLOCKS) {
            vu32 words[PASS_VECTORS];
            philox_words(&p, low, words);
            for (int i = 0; i < PASS_VECTORS; i++, out += 4 * V_LANES) vu32_store(out, words[i]);
        }
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

/* A piece is a function of its own, for the compiler to keep its registers for. */
#define FI_DEFINE(kernel, dtype)                                                                   \
    static __attribute__((noinline)) void piece_##kernel##_##dtype(const fi_piece *piece,          \
                                                                   const shared *s) {              \
        any_run(piece, NULL, s, kernel, dtype);                                                    \
    }                                                                                              \
    static void draw_##kernel##_##dtype(const fi_piece *pieces, size_t count,                      \
                                        const fi_spec *spec) {                                     \
        const shared s = shared_start(spec, pieces->block);                                        \
        for (size_t i = 0; i < count; i++) piece_##kernel##_##dtype(pieces + i, &s);               \
    }                                                                                              \
    static void convert_##kernel##_##dtype(unsigned char *out, const uint32_t *words,              \
                                           size_t tiles, const fi_spec *spec) {                    \
        const fi_piece piece = {out, 0, tiles};                                                    \
        const shared s = shared_start(spec, 0);                                                    \
        any_run(&piece, words, &s, kernel, dtype);                                                 \
    }
FI_EACH(FI_DEFINE)

#define FI_DRAW_ROW(kernel, dtype) [kernel][dtype] = draw_##kernel##_##dtype,
#define FI_CONVERT_ROW(kernel, dtype) [kernel][dtype] = convert_##kernel##_##dtype,
const fi_kernels FI_PASTE(fi_kernels_, FI_NAME) = {
    .words = draw_words,
    .draw = {FI_EACH(FI_DRAW_ROW)},
    .convert = {FI_EACH(FI_CONVERT_ROW)},
};
