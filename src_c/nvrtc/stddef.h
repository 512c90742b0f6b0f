/* SPDX-License-Identifier: MIT
 * What NVRTC, which has no headers, needs of this one; it knows size_t. */
typedef decltype((char *)0 - (char *)0) ptrdiff_t;
#if !defined(NULL)
#define NULL 0
#endif
