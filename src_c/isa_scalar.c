/* SPDX-License-Identifier: MIT
 * The scalar build of the kernels: any CPU, and the specification of every vector one. */
#include <string.h>

#include "kernels.h"
#include "simd/scalar.h"
#define FI_NAME scalar
#include "kernels/all.h"
