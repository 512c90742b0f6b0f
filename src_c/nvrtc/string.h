/* SPDX-License-Identifier: MIT
 * What NVRTC, which has no headers, needs of this one: nothing, since it knows memcpy. */
