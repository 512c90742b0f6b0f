/* SPDX-License-Identifier: MIT
 * This thread's floating-point state, and a clock of additions.  Nothing here draws a value. */
#ifndef FI_MACHINE_H
#define FI_MACHINE_H

#include <stdint.h>

/* The calling thread's floating-point state as IEEE 754 has it by default (to nearest, denormals
 * kept), until fi_float_leave is given back what this returned.  Another library in the process
 * may have set another; no bit of ours may change for it. */
uint64_t fi_float_enter(void);
void fi_float_leave(uint64_t saved);

/* 0 + step + step + ..., `count` times, each waiting for the one before: a clock for benchmarks. */
uint64_t fi_dependent_adds(uint64_t count, uint64_t step);

#endif
