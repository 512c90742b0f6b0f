/* SPDX-License-Identifier: MIT
 * Which instruction set is in force.  Chosen once, at import; no lazy branch on the way to a
 * kernel.  Nothing here makes numbers. */
#if defined(__AVX__)
#error "this file runs on any x86-64: build it without -mavx or -march=native"
#endif

#include <string.h>

#include "kernels.h"

#if defined(__x86_64__)
/* GCC 10 and clang 16 do not know "f16c" in __builtin_cpu_supports, which on Windows also needs a
 * library of the compiler that the linker does not know. */
#include <cpuid.h>

static int all_set(unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; }

/* Whether the processor has these features (leaf 1, ECX; leaf 7, EBX), and the system saves these
 * registers (XCR0). */
static int cpu_has(unsigned leaf1, unsigned leaf7, unsigned saved) {
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !all_set(c, leaf1 | bit_OSXSAVE)) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !all_set(b, leaf7)) return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return all_set(low, saved);
}
static int cpu_has_avx2(void) { return cpu_has(bit_AVX | bit_FMA | bit_F16C, bit_AVX2, 0x6); }
static int cpu_has_avx512(void) {
    const unsigned features = bit_AVX512F | bit_AVX512VL | bit_AVX512DQ | bit_AVX512BW;
    return cpu_has_avx2() && cpu_has(bit_AVX, features, 0xE6);
}
#elif defined(__AARCH64EL__)
static int cpu_has_neon(void) { return 1; }
#endif
static int cpu_has_scalar(void) { return 1; }

typedef struct isa {
    const char *name;
    const fi_kernels *kernels;
    int (*supported)(void);
} isa;

static const isa ISAS[] = {
#define FI_ISA(name) {#name, &fi_kernels_##name, cpu_has_##name},
#include "isa_list.h"
};
enum { ISA_COUNT = sizeof ISAS / sizeof ISAS[0] };

static const isa *active = &ISAS[ISA_COUNT - 1];

fi_status fi_isa_select(const char *name) {
    for (const isa *one = ISAS; one < ISAS + ISA_COUNT; one++)
        if (one->supported() && (!name || !strcmp(one->name, name))) {
            active = one;
            return FI_OK;
        }
    return FI_ERR_ISA;
}

const char *fi_isa_active(void) { return active->name; }
const fi_kernels *fi_active_kernels(void) { return active->kernels; }
const char *fi_isa_name(size_t index) { return index < ISA_COUNT ? ISAS[index].name : NULL; }
int fi_isa_supported(size_t index) { return index < ISA_COUNT && ISAS[index].supported(); }
