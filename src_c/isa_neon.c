/* SPDX-License-Identifier: MIT
 * The NEON build of the kernels.  Every AArch64 has it: no pragma is needed. */
#if defined(__AARCH64EL__)
#include <arm_neon.h>
#include <string.h>

#include "kernels.h"
#include "simd/neon.h"
#define FI_NAME neon
#include "kernels/all.h"
#else
typedef int fi_no_neon; /* ISO C wants something in every file */
#endif
