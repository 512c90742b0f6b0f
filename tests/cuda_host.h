/* SPDX-License-Identifier: MIT
 * CUDA's words in plain C++, so that the device text runs on a CPU, one thread after the other.
 * What the text has under __CUDA_ARCH__, such as assembly, is not seen here. */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __device__
#define __global__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __shared__ static
#define __launch_bounds__(...)

struct place {
    unsigned x, y, z;
};
static place threadIdx, blockIdx, gridDim;

/* The threads of a block run twice if they meet at a barrier: each up to there, then, once shared
 * memory is full, each from beginning to end.  What comes before the barrier happens twice. */
static jmp_buf barrier;
static bool stops_at_barrier;
static inline void __syncthreads() {
    if (stops_at_barrier) longjmp(barrier, 1);
}

struct alignas(16) float4 {
    float x, y, z, w;
};

template <typename To, typename From> static inline To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline float __uint_as_float(uint32_t a) { return same_bits<float>(a); }
static inline uint32_t __float_as_uint(float a) { return same_bits<uint32_t>(a); }
static inline double __longlong_as_double(long long a) { return same_bits<double>(a); }
static inline long long __double_as_longlong(double a) { return same_bits<long long>(a); }
static inline uint32_t __umulhi(uint32_t a, uint32_t b) {
    return (uint32_t)((uint64_t)a * b >> 32);
}
static inline float __int2float_rn(int a) { return (float)a; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double __ll2double_rn(long long a) { return (double)a; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __dsqrt_rn(double a) { return __builtin_sqrt(a); }
