/* SPDX-License-Identifier: MIT
 * The AVX-512 build of the kernels (F, VL, DQ and BW: Skylake-SP, Zen 4 and later). */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define FI_NAME avx512
#define FI_VOCABULARY "simd/avx512.h"
#define FI_TARGET "avx2,fma,f16c,avx512f,avx512vl,avx512dq,avx512bw"
#include "isa.h"
#endif
