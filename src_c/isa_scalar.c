/* SPDX-License-Identifier: MIT
 * The scalar build of the kernels: any CPU, and the specification of every vector one. */
#define FI_NAME scalar
#define FI_VOCABULARY "simd/scalar.h"
#include "isa.h"
