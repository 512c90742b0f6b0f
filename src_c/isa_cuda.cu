/* SPDX-License-Identifier: MIT
 * The CUDA build of the kernels: one C++ text, for NVRTC or nvcc, of the headers that the CPU's
 * kernels are made of.
 *
 * As it stands it defines every kernel.  With -DFI_ONLY=FI_ROWS(FI_NORMAL,FI_FLOAT32) it defines
 * that one, with -DV_GROUPS=1 for short rows; kernels/device.h has the others' names.  NVRTC wants
 * -default-device, for the constants, and -std=c++20. */
#define FI_CUDA
#include <string.h>

#include "kernels.h"

enum { FI_THREADS = 256 }; /* in a block of threads */
#include "simd/cuda.h"
#include "octaves.c"
#include "kernels/device.h"
