/* SPDX-License-Identifier: MIT
 * The kernels of one instruction set, built: what every isa_<name>.c shares.  Such a file defines
 *     FI_NAME         the name of the instruction set
 *     FI_VOCABULARY   its header in simd/
 *     FI_TARGET       the extensions that it needs, if not every such machine has them
 * and includes this one, once.  A pragma opens the target for that file alone: no file needs
 * compiler flags, and the rest of the library runs on any x86-64.  A file for one kind of machine
 * includes kernels.h whatever the machine: ISO C wants a declaration in every file. */
#include <string.h>

#include "kernels.h"

#define FI_PRAGMA_(...) _Pragma(#__VA_ARGS__)
#define FI_PRAGMA(...) FI_PRAGMA_(__VA_ARGS__)

#if defined(FI_TARGET) && defined(__clang__)
FI_PRAGMA(clang attribute push(__attribute__((target(FI_TARGET))), apply_to = function))
#elif defined(FI_TARGET)
#pragma GCC push_options
FI_PRAGMA(GCC target(FI_TARGET))
#endif

#include FI_VOCABULARY
#include "kernels/all.h"

#if defined(FI_TARGET) && defined(__clang__)
#pragma clang attribute pop
#elif defined(FI_TARGET)
#pragma GCC pop_options
#endif
