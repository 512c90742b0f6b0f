/* SPDX-License-Identifier: MIT
 * The AVX2 build of the kernels (with FMA and F16C, which came with it).
 * The pragma opens the instruction set for this file alone, so that no file needs flags of its
 * own and the rest of the library runs on any x86-64. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "kernels.h"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#include "simd/avx2.h"
#define FI_NAME avx2
#include "kernels/all.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int fi_no_avx2; /* ISO C wants something in every file */
#endif
