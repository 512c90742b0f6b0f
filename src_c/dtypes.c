/* SPDX-License-Identifier: MIT
 * The names and sizes of the dtypes, for callers of the library. */
#include "kernels.h"

const char *fi_dtype_name(uint32_t dtype) {
    switch (dtype) {
#define FI_DTYPE(code, name, size)                                                                 \
    case code: return #name;
#include "dtype_list.h"
    default: return NULL;
    }
}

size_t fi_dtype_size(uint32_t dtype) { return fi_item_size(dtype); }
