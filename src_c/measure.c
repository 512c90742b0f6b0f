/* SPDX-License-Identifier: MIT
 * Measuring elements that exist already.  kernels/measure.h does it. */
#include "kernels.h"

fi_status fi_measure(const void *in, uint32_t dtype, size_t count, double unit, fi_moments *out) {
    if (dtype >= FI_DTYPE_COUNT || !(unit > 0.0)) return FI_ERR_RANGE;
    fi_active_kernels()->measure[dtype](in, count, unit, out);
    return FI_OK;
}
