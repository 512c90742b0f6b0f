/* SPDX-License-Identifier: MIT
 * The public face of the C layer: what a fill is, the few functions that do it, and a copy
 * between memory orders.
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
#define FI_DTYPE(code, name, size) code,
#include "dtype_list.h"
    FI_DTYPE_COUNT
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

/* One axis of a fill: `count` steps of `start_step` elements in the tensor and of `out_step` bytes
 * in memory. */
typedef struct fi_axis {
    size_t count;
    uint64_t start_step;
    ptrdiff_t out_step;
} fi_axis;

/* The rows of a fill: each has `count` elements that follow each other both in the tensor and in
 * memory.  The first begins with element `start`; the others lie along the axes, of which there are
 * FI_MOST_AXES at most and the last is the innermost.  Without an axis there is one row. */
enum { FI_MOST_AXES = 64 };
typedef struct fi_rows {
    uint64_t start;
    size_t count, axes;
    const fi_axis *axis;
} fi_rows;

const char *fi_dtype_name(uint32_t dtype); /* NULL for an unknown dtype */
size_t fi_dtype_size(uint32_t dtype);      /* 0 for an unknown dtype */

fi_status fi_fill(void *out, uint32_t dtype, const fi_rows *rows, const fi_spec *spec);

/* `count` raw words from word `start`, which may be any 64-bit number. */
fi_status fi_words(uint32_t *out, uint64_t start, size_t count, uint64_t key, uint64_t subsequence);

/* The map from given words to float32 or narrower values (`count` words, any number), for tests
 * that put in chosen or all 2^32 words.  float64 takes two words a value. */
fi_status fi_map(void *out, uint32_t dtype, const uint32_t *words, size_t count,
                 const fi_spec *spec);

/* Copy an array of elements of `size` bytes from one strided layout to another.  Strides are in
 * bytes; there are at most FI_MOST_AXES axes; the two may not overlap.  `bypass_cache`: the caches
 * cannot hold the output, so it goes past them. */
fi_status fi_copy(void *out, const ptrdiff_t *out_strides, const void *in,
                  const ptrdiff_t *in_strides, const size_t *counts, size_t axes, size_t size,
                  int bypass_cache);

/* Of `count` elements: how many are finite, zero, NaN, plus and minus infinity; the extremes of the
 * finite ones (infinities the other way round, if there are none); and the sums of the first four
 * powers of x * unit - shift over the finite ones.  `shift` is near the mean, or 0 where the mean is
 * near 0.  A pure function of the bytes and of `unit`, a power of two by which float64 elements
 * are kept from overflow; for others it is 1. */
enum { FI_POWERS = 4 };
typedef struct fi_moments {
    uint64_t finite, zeros, nans, infinities[2];
    double low, high, shift, sums[FI_POWERS];
} fi_moments;

fi_status fi_measure(const void *in, uint32_t dtype, size_t count, double unit, fi_moments *out);

void fi_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

fi_status fi_isa_select(const char *name); /* NULL: the best this machine has */
const char *fi_isa_active(void);
const char *fi_isa_name(size_t index); /* NULL past the last */
int fi_isa_supported(size_t index);

#endif
