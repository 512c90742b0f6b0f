/* SPDX-License-Identifier: MIT
 * A chain of additions that takes one clock cycle each, whatever the machine: what benchmarks
 * count cycles with, where nothing lets them read the processor's own counter. */
#include "machine.h"

uint64_t fi_dependent_adds(uint64_t count, uint64_t step) {
    uint64_t sum = 0;
/* Each sum goes through the register that the next one needs, and no compiler may look into it.
 * `step` is not a constant: some processors make an addition of a constant vanish. */
#define ADD                                                                                        \
    sum += step;                                                                                   \
    __asm__ volatile("" : "+r"(sum));
#define ADD_FIVE ADD ADD ADD ADD ADD
    for (uint64_t i = 0; i < count / 20; i++) { ADD_FIVE ADD_FIVE ADD_FIVE ADD_FIVE }
    for (uint64_t i = 0; i < count % 20; i++) { ADD }
    return sum;
}
