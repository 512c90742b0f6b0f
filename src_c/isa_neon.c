/* SPDX-License-Identifier: MIT
 * The NEON build of the kernels.  Every AArch64 has it: no target is needed. */
#include "kernels.h"

#if defined(__AARCH64EL__)
#include <arm_neon.h>

#define FI_NAME neon
#define FI_VOCABULARY "simd/neon.h"
#include "isa.h"
#endif
