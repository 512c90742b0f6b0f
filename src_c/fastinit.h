/* SPDX-License-Identifier: MIT
 * The public face of the C layer: what a fill is, the few functions that do it, a copy
 * between memory orders and a clock.
 * Nothing here allocates, reads a file or knows of Python.  The numbers are defined in
 * docs/stream.md. */
#ifndef FASTINIT_H
#define FASTINIT_H

#include <stddef.h>
#include <stdint.h>

typedef enum fi_status {
    FI_OK = 0,
    FI_ERR_ISA = 1,   /* no such instruction set in this build, or not on this machine */
    FI_ERR_RANGE = 2, /* an argument outside its range; nothing was written */
} fi_status;

typedef enum fi_dtype {
    FI_FLOAT32 = 0,
    FI_FLOAT16 = 1,
    FI_BFLOAT16 = 2,
    FI_FLOAT8_E4M3FN = 3,
    FI_FLOAT8_E5M2 = 4,
    FI_FLOAT64 = 5,
    FI_DTYPE_COUNT = 6,
} fi_dtype;

typedef enum fi_distribution {
    FI_UNIFORM = 0,   /* shift + scale * s, s an odd integer; then low..high */
    FI_NORMAL = 1,    /* shift + scale * z, z a standard normal */
    FI_CLIPPED = 2,   /* the same, then low..high */
    FI_SYMMETRIC = 3, /* truncated at -c and c sigma */
    FI_TRUNCATED = 4, /* truncated at any two bounds */
    FI_DISTRIBUTION_COUNT = 5,
    FI_CONSTANT = 5, /* the bytes of `pattern`, again and again: no kernel */
} fi_distribution;

/* What to draw.  For every dtype but float64 the real numbers are float32 values. */
typedef struct fi_spec {
    uint64_t key;         /* the seed */
    uint64_t subsequence; /* from the tensor's name; counter words 2 and 3 */
    double shift, scale;
    double low, high; /* the last clamp, bounds included; values of the output dtype */
    /* Truncated only, indexed by the word's top bit: tail probability = base + slope * T. */
    double base[2], slope[2];
    uint32_t sign_and, sign_xor; /* sign = (word & sign_and) ^ sign_xor: bit 31 or nothing */
    uint32_t octave;             /* tail probabilities are scaled by 2^(32 + octave) */
    uint32_t distribution;       /* fi_distribution */
    uint64_t pattern;            /* FI_CONSTANT only: one element, in its lowest bytes */
} fi_spec;

/* Rows of a fill: row r takes `count` elements from `start + r * start_step` and puts them
 * at `out + r * out_step` bytes.  One row is a plain run. */
typedef struct fi_rows {
    uint64_t start, start_step;
    size_t count, rows;
    ptrdiff_t out_step;
} fi_rows;

size_t fi_dtype_size(uint32_t dtype); /* 0 for an unknown dtype */

fi_status fi_fill(void *out, uint32_t dtype, const fi_rows *rows, const fi_spec *spec);

/* `count` raw words from word `start`, which may be any 64-bit number. */
fi_status fi_words(uint32_t *out, uint64_t start, size_t count, uint64_t key, uint64_t subsequence);

/* The map from given words to float32 or narrower values (`count` words, any number), for tests
 * that put in chosen or all 2^32 words.  float64 takes two words a value. */
fi_status fi_map(void *out, uint32_t dtype, const uint32_t *words, size_t count,
                 const fi_spec *spec);

/* Copy an array of elements of `size` bytes from one strided layout to another; strides in bytes, at
 * most FI_MOST_AXES axes.  The two may not overlap.  `stream`: the caches cannot hold the output. */
enum { FI_MOST_AXES = 64 };
fi_status fi_copy(void *out, const ptrdiff_t *out_strides, const void *in,
                  const ptrdiff_t *in_strides, const size_t *counts, size_t axes, size_t size, int stream);

/* The calling thread's floating-point state as IEEE 754 has it by default (to nearest, denormals
 * kept), until fi_float_leave is given back what this returned.  Another library in the process
 * may have set another; no bit of ours may change for it. */
uint64_t fi_float_enter(void);
void fi_float_leave(uint64_t saved);

void fi_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

/* 0 + step + step + ..., `count` times, each waiting for the one before: a clock for benchmarks. */
uint64_t fi_dependent_adds(uint64_t count, uint64_t step);

fi_status fi_isa_select(const char *name); /* NULL: the best this machine has */
const char *fi_isa_active(void);
const char *fi_isa_name(size_t index); /* NULL past the last */
int fi_isa_supported(size_t index);

#endif
