/* SPDX-License-Identifier: MIT
 * The floating-point state of a thread: IEEE 754's default, and what it was before. */
#include "machine.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

/* The x87 unit too: some LAPACKs still compute norms there. */
enum { X87_DEFAULT = 0x37F }; /* all exceptions masked, to nearest, 64-bit significands */
static uint16_t x87_control(void) {
    uint16_t control;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    return control;
}
static void x87_set_control(uint16_t control) {
    /* Exceptions that are pending are cleared, or the new mask would raise them. */
    __asm__ volatile("fnclex; fldcw %0" ::"m"(control));
}

uint64_t fi_float_enter(void) {
    const uint16_t control = x87_control();
    const unsigned int saved = _mm_getcsr();
    if (control != X87_DEFAULT) x87_set_control(X87_DEFAULT);
    _mm_setcsr(0x1F80); /* all exceptions masked, to nearest, denormals kept */
    return saved | (uint64_t)control << 32;
}
void fi_float_leave(uint64_t saved) {
    const uint16_t control = (uint16_t)(saved >> 32);
    if (control != X87_DEFAULT) x87_set_control(control);
    _mm_setcsr((unsigned int)saved);
}
#elif defined(__aarch64__)
uint64_t fi_float_enter(void) {
    uint64_t saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" ::"r"(UINT64_C(0)));
    return saved;
}
void fi_float_leave(uint64_t saved) { __asm__ volatile("msr fpcr, %0" ::"r"(saved)); }
#else
uint64_t fi_float_enter(void) { return 0; }
void fi_float_leave(uint64_t saved) { (void)saved; }
#endif
