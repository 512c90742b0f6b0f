/* SPDX-License-Identifier: MIT
 * The kernels of one instruction set, assembled from the vocabulary in force: tiles of words,
 * through a map, to a dtype.  Included once by isa.h, for each isa_<name>.c. */
enum {
    PASS_VECTORS = V_GROUPS * V_VECTORS, /* vectors that philox_words makes at a time */
    PASS_VECTORS64 = PASS_VECTORS * V_LANES / 2 / V_LANES64,
    PASS_BLOCKS = V_GROUPS * V_BLOCKS,
    PASSES = FI_TILE_BLOCKS / PASS_BLOCKS,
};
_Static_assert(FI_TILE_BLOCKS == PASSES * PASS_BLOCKS, "a tile is a whole number of passes");
_Static_assert(PASS_VECTORS % V_BATCH == 0, "a pass is a whole number of batches");
_Static_assert(4 * PASS_BLOCKS == PASS_VECTORS * V_LANES, "words fill their vectors");
_Static_assert(PASS_VECTORS64 % V_BATCH64 == 0, "a pass is a whole number of float64 batches");

#include "philox.h"
#include "quantile.h"
#include "values.h"
#include "narrow.h"
#include "float64.h"
#include "measure.h"

enum { MANY_PASSES64 = MANY_VECTORS64 / PASS_VECTORS64 };
_Static_assert(MANY_PASSES64 > 0 && V_LANES64 <= 8, "tails have room, their lanes a byte");

#define FI_PASTE_(a, b) a##b
#define FI_PASTE(a, b) FI_PASTE_(a, b)

/* The words of a pass: of Philox block `low` and those after it, or `given` ones. */
FI_INLINE void pass_words(const philox *p, uint32_t low, const uint32_t *given,
                          vu32 words[PASS_VECTORS]) {
    if (!given)
        philox_words(p, low, NULL, words);
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
                    values_start(spec, 1), spec};
}

/* A piece of any type but float64; from given words, if there are any. */
FI_INLINE void make_piece(const fi_piece *piece, const uint32_t *given, const shared *s,
                          fi_distribution distribution, fi_dtype dtype, int clamp) {
    unsigned char *out = piece->out;
    uint32_t low = (uint32_t)piece->block;
    for (size_t pass = piece->tiles * PASSES; pass; pass--, low += PASS_BLOCKS) {
        vu32 words[PASS_VECTORS];
        pass_words(&s->philox, low, given, words);
        if (given) given += 4 * PASS_BLOCKS;
        FI_UNROLL
        for (int n = 0; n < PASS_VECTORS; n += V_BATCH) {
            vf32 batch[V_BATCH];
            values_of(&s->values, distribution, clamp, words + n, batch, V_BATCH);
            store_values(out, dtype, batch);
            out += V_BATCH * V_LANES * fi_item_size(dtype);
        }
    }
}

/* The same for float64: tail lanes are collected over many passes and then mapped together. */
FI_INLINE void make_piece64(const fi_piece *piece, const uint32_t *given, const shared *s,
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
            FI_UNROLL
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

FI_INLINE void make_any_piece(const fi_piece *piece, const uint32_t *given, const shared *s,
                              int kernel, fi_dtype dtype) {
    const int clamp = kernel_clamps(kernel, dtype);
    const fi_distribution distribution = kernel_distribution(kernel);
    if (dtype == FI_FLOAT64)
        make_piece64(piece, given, s, distribution, clamp);
    else
        make_piece(piece, given, s, distribution, dtype, clamp);
}

static void draw_words(const fi_piece *pieces, size_t count, const fi_spec *spec) {
    const philox p = philox_start(spec->key, spec->subsequence, (uint32_t)(pieces->block >> 32));
    for (; count; count--, pieces++) {
        unsigned char *out = pieces->out;
        uint32_t low = (uint32_t)pieces->block;
        for (size_t pass = pieces->tiles * PASSES; pass; pass--, low += PASS_BLOCKS) {
            vu32 words[PASS_VECTORS];
            philox_words(&p, low, NULL, words);
            for (int i = 0; i < PASS_VECTORS; i++, out += 4 * V_LANES) vu32_store(out, words[i]);
        }
    }
}

static void gather_words(uint32_t *out, const uint32_t *low, size_t count, uint32_t high,
                         const fi_spec *spec) {
    const philox p = philox_start(spec->key, spec->subsequence, high);
    for (; count; count -= PASS_BLOCKS, low += PASS_BLOCKS) {
        vu32 words[PASS_VECTORS];
        philox_words(&p, 0, low, words);
        for (int i = 0; i < PASS_VECTORS; i++, out += V_LANES) vu32_store(out, words[i]);
    }
}

/* One function for each distribution and dtype, and the table of them. */
// clang-format off
#define FI_EACH_KERNEL(X, dtype)                                                                   \
    X(FI_UNIFORM, dtype) X(FI_NORMAL, dtype) X(FI_CLIPPED, dtype)                                  \
    X(FI_SYMMETRIC, dtype) X(FI_TRUNCATED, dtype) X(FI_UNIFORM_INSIDE, dtype)
// clang-format on

/* `piece` is a separate function so that the loop has all registers to itself.  `convert` is never
 * given NULL for words; the attribute says so, and the compiler leaves Philox out of it. */
#define FI_DEFINE(kernel, dtype)                                                                   \
    FI_NOINLINE void piece_##kernel##_##dtype(const fi_piece *piece, const shared *s) {            \
        make_any_piece(piece, NULL, s, kernel, dtype);                                             \
    }                                                                                              \
    static void draw_##kernel##_##dtype(const fi_piece *pieces, size_t count,                      \
                                        const fi_spec *spec) {                                     \
        const shared s = shared_start(spec, pieces->block);                                        \
        for (size_t i = 0; i < count; i++) piece_##kernel##_##dtype(pieces + i, &s);               \
    }                                                                                              \
    static __attribute__((nonnull)) void convert_##kernel##_##dtype(                               \
        unsigned char *out, const uint32_t *words, size_t tiles, const fi_spec *spec) {            \
        const fi_piece piece = {out, 0, tiles};                                                    \
        const shared s = shared_start(spec, 0);                                                    \
        make_any_piece(&piece, words, &s, kernel, dtype);                                          \
    }
#define FI_DTYPE(code, name, size) FI_EACH_KERNEL(FI_DEFINE, code)
#include "dtype_list.h"

#define FI_DTYPE(code, name, size)                                                                 \
    static void measure_##name(const unsigned char *in, size_t count, double unit,                 \
                               fi_moments *out) {                                                  \
        measure(in, count, code, unit, out);                                                       \
    }
#include "dtype_list.h"

#define FI_ENTRY(kernel, dtype)                                                                    \
    .draw[kernel][dtype] = draw_##kernel##_##dtype,                                                \
    .convert[kernel][dtype] = convert_##kernel##_##dtype,
const fi_kernels FI_PASTE(fi_kernels_, FI_NAME) = {
    .words = draw_words,
    .gather = gather_words,
#define FI_DTYPE(code, name, size) .measure[code] = measure_##name,
#include "dtype_list.h"
#define FI_DTYPE(code, name, size) FI_EACH_KERNEL(FI_ENTRY, code)
#include "dtype_list.h"
};
