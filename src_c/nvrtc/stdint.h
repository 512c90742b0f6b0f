/* SPDX-License-Identifier: MIT
 * What NVRTC, which has no headers, needs of this one: no other compiler is shown this folder. */
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#define UINT64_C(a) a##ull
