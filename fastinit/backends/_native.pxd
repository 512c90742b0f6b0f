# SPDX-License-Identifier: MIT
"""fastinit.h, declaration by declaration."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint32_t, uint64_t


cdef extern from "fastinit.h" nogil:
    ctypedef enum fi_status:
        FI_OK
        FI_ERR_ISA
        FI_ERR_RANGE

    ctypedef struct fi_spec:
        uint64_t key
        uint64_t subsequence
        double shift
        double scale
        double low
        double high
        double base[2]
        double slope[2]
        uint32_t sign_and
        uint32_t sign_xor
        uint32_t octave
        uint32_t distribution
        uint64_t pattern

    ctypedef struct fi_axis:
        size_t count
        uint64_t start_step
        ptrdiff_t out_step

    enum:
        FI_MOST_AXES

    ctypedef struct fi_rows:
        uint64_t start
        size_t count
        size_t axes
        const fi_axis *axis

    enum:
        FI_DTYPE_COUNT
    const char *fi_dtype_name(uint32_t dtype) noexcept
    size_t fi_dtype_size(uint32_t dtype) noexcept
    fi_status fi_fill(void *out, uint32_t dtype, const fi_rows *rows,
                      const fi_spec *spec) noexcept
    fi_status fi_words(uint32_t *out, uint64_t start, size_t count, uint64_t key,
                       uint64_t subsequence) noexcept
    fi_status fi_map(void *out, uint32_t dtype, const uint32_t *words, size_t count,
                     const fi_spec *spec) noexcept
    fi_status fi_copy(void *out, const ptrdiff_t *out_strides, const void *source,
                      const ptrdiff_t *in_strides, const size_t *counts, size_t axes,
                      size_t size, int bypass_cache) noexcept

    enum:
        FI_POWERS
    ctypedef struct fi_moments:
        uint64_t finite
        uint64_t zeros
        uint64_t nans
        uint64_t infinities[2]
        double low
        double high
        double shift
        double sums[FI_POWERS]
    fi_status fi_measure(const void *source, uint32_t dtype, size_t count, double unit,
                         fi_moments *out) noexcept
    void fi_philox4x32(uint32_t *out, const uint32_t *counter, const uint32_t *key) noexcept
    fi_status fi_isa_select(const char *name) noexcept
    const char *fi_isa_active() noexcept
    const char *fi_isa_name(size_t index) noexcept
    int fi_isa_supported(size_t index) noexcept
