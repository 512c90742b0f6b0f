/* SPDX-License-Identifier: MIT
 * Runs each kernel once, in a function of its own, for callgrind to count the instructions of.
 * Prints one line a kernel: its name.  instructions.py builds it, runs it and reads the counts.
 *
 *     instructions ISA SAMPLES CALLS        (CALLS: of each kernel; 1, or 2 to see a gate fail) */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "fastinit.h"

typedef struct kernel {
    const char *name;
    fi_spec spec;
} kernel;

/* As fastinit.normal(std=0.02) and its kin are given to the C layer, with seed 0.  The words are
 * the same each time, so every branch that looks at them goes the same way.  The bounds, 5/128,
 * are a number of every dtype. */
#define BOUND 0.0390625
#define BELL .scale = 0.02

static const kernel KERNELS[] = {
    {"uniform", {.distribution = FI_UNIFORM, .scale = 0x1p-30, .low = -BOUND, .high = BOUND}},
    {"normal", {.distribution = FI_NORMAL, BELL, .low = -DBL_MAX, .high = DBL_MAX}},
    {"clipped", {.distribution = FI_CLIPPED, BELL, .low = -BOUND, .high = BOUND}},
    {"truncated -2..2",
     {.distribution = FI_SYMMETRIC,
      BELL,
      .low = -BOUND,
      .high = BOUND,
      .base = {0x1.74bc7cp+26, 0x1.74bc7cp+26}, /* 2^32 Q(2) */
      .slope = {0.9544997f, 0.9544997f},        /* 1 - 2 Q(2) */
      .sign_and = 0x80000000u}},
    {"truncated -1..2",
     {.distribution = FI_TRUNCATED,
      BELL,
      .low = -BOUND,
      .high = BOUND,
      .base = {0x1.74bc7cp+26, 0x1.44ed5p+29}, /* 2^32 Q(2), 2^32 Q(1) */
      .slope = {0.81859463f, 0.81859463f},     /* 1 - Q(2) - Q(1) */
      .sign_and = 0x80000000u}},
};
enum { KERNEL_COUNT = sizeof KERNELS / sizeof KERNELS[0], NORMAL_ROW = 1 };

static const struct {
    const char *name;
    uint32_t code;
} DTYPES[] = {{"float32", FI_FLOAT32}, {"bfloat16", FI_BFLOAT16}, {"float16", FI_FLOAT16}};
enum { DTYPE_COUNT = sizeof DTYPES / sizeof DTYPES[0] };

/* What callgrind counts: everything from the call of this function to its return. */
__attribute__((noinline)) static void measured(void *out, uint32_t dtype, const fi_rows *rows,
                                               const fi_spec *spec, int calls) {
    fi_status status = FI_OK;
    for (; calls && status == FI_OK; calls--)
        status =
            spec ? fi_fill(out, dtype, rows, spec) : fi_words(out, rows->start, rows->count, 0, 0);
    if (status != FI_OK) exit(3);
}

int main(int argc, char **argv) {
    if (argc != 4 || fi_isa_select(argv[1]) != FI_OK) return 2;
    fi_rows rows = {.count = strtoul(argv[2], NULL, 10)};
    int calls = atoi(argv[3]);
    void *out = aligned_alloc(4096, rows.count * sizeof(double));
    if (!out) return 2;
    puts("words");
    measured(out, FI_FLOAT32, &rows, NULL, calls);
    for (int d = 0; d < DTYPE_COUNT; d++)
        for (int k = 0; k < KERNEL_COUNT; k++) {
            printf("%s %s\n", KERNELS[k].name, DTYPES[d].name);
            measured(out, DTYPES[d].code, &rows, &KERNELS[k].spec, calls);
        }
    const fi_spec *normal = &KERNELS[NORMAL_ROW].spec;
    puts("normal float64");
    measured(out, FI_FLOAT64, &rows, normal, calls);
    puts("normal float32, two of three in memory");
    const fi_axis pairs = {rows.count / 2, 2, 12};
    measured(out, FI_FLOAT32, &(fi_rows){.count = 2, .axes = 1, .axis = &pairs}, normal, calls);
    puts("normal float32, one of 4,096");
    const fi_axis column = {rows.count, 4096, 4};
    measured(out, FI_FLOAT32, &(fi_rows){.count = 1, .axes = 1, .axis = &column}, normal, calls);
    free(out);
    return 0;
}
