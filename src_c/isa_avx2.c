/* SPDX-License-Identifier: MIT
 * The AVX2 build of the kernels (with FMA and F16C, which came with it). */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define FI_NAME avx2
#define FI_VOCABULARY "simd/avx2.h"
#define FI_TARGET "avx2,fma,f16c"
#include "isa.h"
#endif
