/* SPDX-License-Identifier: MIT
 * Every instruction set this build holds, best first; the last one runs anywhere. */
#if defined(__x86_64__)
FI_ISA(avx512)
FI_ISA(avx2)
#elif defined(__AARCH64EL__)
FI_ISA(neon)
#endif
FI_ISA(scalar)
#undef FI_ISA
