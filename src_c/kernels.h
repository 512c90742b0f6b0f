/* SPDX-License-Identifier: MIT
 * What every instruction set provides: one table of kernels.  Not for callers of the library. */
#ifndef FASTINIT_KERNELS_H
#define FASTINIT_KERNELS_H

#include "fastinit.h"

#define FI_INLINE static inline __attribute__((always_inline))

/* A tile is what a kernel makes at a time: 32 Philox blocks, 128 words. */
enum { FI_TILE_BLOCKS = 32, FI_TILE_WORDS = 4 * FI_TILE_BLOCKS };

/* The octave table of docs/stream.md, coefficient by coefficient, the deepest octave first.  One
 * more row holds the value of the largest float below 2^31 as a constant, for f = 2^31 itself. */
enum { FI_OCTAVES = 160, FI_ROWS = FI_OCTAVES + 1, FI_COEFFICIENTS = 8 };
extern const float fi_octaves[FI_COEFFICIENTS][FI_ROWS];
/* A kernel looks at 32 neighbouring octaves: scaled tail probabilities from 2^-1 up to 2^31, whose
 * float32 bits >> 23 are these; and that row. */
enum { FI_LOWEST_EXPONENT = 126, FI_HIGHEST_EXPONENT = 157, FI_TOP_EXPONENT = 158 };

/* Whole tiles from Philox block `block`. */
typedef struct fi_piece {
    unsigned char *out;
    uint64_t block;
    size_t tiles;
} fi_piece;

/* Pieces, of which the first says what the upper 32 bits of every block number are: what is made
 * once a call is worth a hundred values. */
typedef void fi_draw(const fi_piece *pieces, size_t count, const fi_spec *spec);
/* Whole tiles from given words instead. */
typedef void fi_convert(unsigned char *out, const uint32_t *words, size_t tiles,
                        const fi_spec *spec);

/* A uniform whose values all lie within its bounds as they are, which is the rule: no clamp. */
enum { FI_UNIFORM_INSIDE = FI_CONSTANT + 1, FI_KERNEL_COUNT };

typedef struct fi_kernels {
    fi_draw *words;
    fi_draw *draw[FI_KERNEL_COUNT][FI_DTYPE_COUNT];
    fi_convert *convert[FI_KERNEL_COUNT][FI_DTYPE_COUNT];
} fi_kernels;

/* The kernels in force; the last row of isa_list.h until fi_isa_select is called. */
const fi_kernels *fi_active_kernels(void);

#define FI_ISA(name) extern const fi_kernels fi_kernels_##name;
#include "isa_list.h"
#undef FI_ISA

#endif
