/* SPDX-License-Identifier: MIT
 * Every dtype: its constant, its name and the size of an element in bytes.  A dtype's code is its
 * place in this list; nothing that is stored depends on it.
 *
 * FI_DTYPE lists those that are made of one word: a float32 value rounded once.  FI_DTYPE64 lists
 * the wide one, made of two words.  Where both are treated alike, FI_DTYPE alone is defined. */
#if !defined(FI_DTYPE64)
#define FI_DTYPE64 FI_DTYPE
#endif
FI_DTYPE(FI_FLOAT32, float32, 4)
FI_DTYPE(FI_FLOAT16, float16, 2)
FI_DTYPE(FI_BFLOAT16, bfloat16, 2)
FI_DTYPE(FI_FLOAT8_E4M3FN, float8_e4m3fn, 1)
FI_DTYPE(FI_FLOAT8_E5M2, float8_e5m2, 1)
FI_DTYPE64(FI_FLOAT64, float64, 8)
#undef FI_DTYPE
#undef FI_DTYPE64
