/* SPDX-License-Identifier: MIT
 * What every instruction set provides: one table of kernels.  Not for callers of the library. */
#ifndef FASTINIT_KERNELS_H
#define FASTINIT_KERNELS_H

#include "fastinit.h"

/* The text of kernels/ is compiled as C for a CPU, and as C++ for a device by isa_cuda.cu. */
#if defined(FI_CUDA)
#define FI_INLINE static __device__ __forceinline__
#define FI_NOINLINE static __device__ __noinline__
#else
#define FI_INLINE static inline __attribute__((always_inline))
#define FI_NOINLINE static __attribute__((noinline))
#endif
#if defined(__CUDACC__)
#define FI_UNROLL _Pragma("unroll")
#else
#define FI_UNROLL _Pragma("GCC unroll 16")
#endif

/* Bytes of an element, 0 for an unknown dtype; a constant where the compiler knows the dtype. */
FI_INLINE size_t fi_item_size(uint32_t dtype) {
    switch (dtype) {
#define FI_DTYPE(code, name, size)                                                                 \
    case code: return size;
#include "dtype_list.h"
    default: return 0;
    }
}

/* A tile is the least that a kernel makes: 32 Philox blocks, 128 words. */
enum { FI_TILE_BLOCKS = 32, FI_TILE_WORDS = 4 * FI_TILE_BLOCKS };

/* The octave table of docs/stream.md, coefficient by coefficient, the deepest octave first.  One
 * more entry holds the value of the largest float below 2^31 as a constant, for f = 2^31 itself. */
enum { FI_OCTAVES = 160, FI_ENTRIES = FI_OCTAVES + 1, FI_COEFFICIENTS = 8 };
extern const float fi_octaves[FI_COEFFICIENTS][FI_ENTRIES];
/* A kernel looks at 32 neighbouring octaves: scaled tail probabilities from 2^-1 up to 2^31, whose
 * float32 bits >> 23 are these; and that last entry. */
enum { FI_LOWEST_EXPONENT = 126, FI_HIGHEST_EXPONENT = 157, FI_TOP_EXPONENT = 158 };

/* Whole tiles from Philox block `block`. */
typedef struct fi_piece {
    unsigned char *out;
    uint64_t block;
    size_t tiles;
} fi_piece;

/* Draw pieces whose block numbers all have the same upper 32 bits.  Set-up per call costs about as
 * much as 100 values. */
typedef void fi_draw(const fi_piece *pieces, size_t count, const fi_spec *spec);
/* The same for whole tiles of given words. */
typedef void fi_convert(unsigned char *out, const uint32_t *words, size_t tiles,
                        const fi_spec *spec);

/* The usual uniform: all values lie within its bounds, so there is no clamp. */
enum { FI_UNIFORM_INSIDE = FI_CONSTANT + 1, FI_KERNEL_COUNT };

/* The words of `count` blocks, a multiple of FI_TILE_BLOCKS, which need not follow each other: the
 * lower 32 bits of their numbers are `low[0]`, `low[1]`..., the upper ones `high`. */
typedef void fi_gather(uint32_t *out, const uint32_t *low, size_t count, uint32_t high,
                       const fi_spec *spec);

typedef void fi_measurer(const unsigned char *in, size_t count, double unit, fi_moments *out);

typedef struct fi_kernels {
    fi_draw *words;
    fi_gather *gather;
    fi_draw *draw[FI_KERNEL_COUNT][FI_DTYPE_COUNT];
    fi_convert *convert[FI_KERNEL_COUNT][FI_DTYPE_COUNT];
    fi_measurer *measure[FI_DTYPE_COUNT];
} fi_kernels;

/* The kernels in force: the last of isa_list.h until fi_isa_select is called. */
const fi_kernels *fi_active_kernels(void);

#if !defined(FI_CUDA)
#define FI_ISA(name) extern const fi_kernels fi_kernels_##name;
#include "isa_list.h"
#endif

#endif
