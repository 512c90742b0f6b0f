# SPDX-License-Identifier: MIT
# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The Cython border: check sizes, drop the GIL, call C, turn a status into an error.

No arithmetic beyond sizes and no loops over numbers live here; the numbers are made in src_c/.
"""

from cpython.buffer cimport (
    PyBUF_STRIDED,
    PyBUF_STRIDED_RO,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint32_t, uint64_t

from fastinit._native cimport (
    FI_DTYPE_COUNT,
    FI_OK,
    fi_copy,
    fi_dependent_adds,
    fi_dtype_size,
    fi_fill,
    fi_float_enter,
    fi_float_leave,
    fi_isa_active,
    fi_isa_name,
    fi_isa_select,
    fi_isa_supported,
    fi_map,
    fi_philox4x32,
    fi_rows,
    fi_spec,
    fi_status,
    fi_words,
)


# Fewer elements are drawn with the GIL: threads that hand it over every microsecond only wait.
cdef size_t SHORT = 8192


cdef int check(fi_status status) except -1:
    if status != FI_OK:
        raise ValueError("fastinit's C layer was given an argument outside its range")
    return 0


cdef class Spec:
    """What to draw: a stream, a distribution and its numbers, as C has them.  Immutable."""

    cdef fi_spec c
    cdef uint32_t dtype
    cdef readonly size_t item_size

    def __cinit__(self):
        self.dtype = FI_DTYPE_COUNT  # until __init__ has run, C refuses it

    def __init__(
        self,
        *,
        uint32_t dtype,
        uint32_t distribution,
        uint64_t key,
        uint64_t subsequence,
        double shift=0.0,
        double scale=1.0,
        double low=0.0,
        double high=0.0,
        base=(0.0, 0.0),
        slope=(0.0, 0.0),
        uint32_t sign_and=0,
        uint32_t sign_xor=0,
        uint32_t octave=0,
        uint64_t pattern=0,
    ):
        self.dtype = dtype
        self.item_size = fi_dtype_size(dtype)
        if self.item_size == 0:
            raise ValueError(f"dtype code {dtype} is unknown to the C layer")
        self.c.distribution = distribution
        self.c.key = key
        self.c.subsequence = subsequence
        self.c.shift = shift
        self.c.scale = scale
        self.c.low = low
        self.c.high = high
        self.c.base[0], self.c.base[1] = base
        self.c.slope[0], self.c.slope[1] = slope
        self.c.sign_and = sign_and
        self.c.sign_xor = sign_xor
        self.c.octave = octave
        self.c.pattern = pattern

    def of(self, uint64_t key, uint64_t subsequence):
        """The same distribution's draw from another stream."""
        cdef Spec made = Spec.__new__(Spec)
        made.dtype = self.dtype
        made.item_size = self.item_size
        made.c = self.c
        made.c.key = key
        made.c.subsequence = subsequence
        return made


def fill(unsigned char[::1] out not None, Spec spec not None, uint64_t start):
    """Fill `out` (writable bytes, a whole number of elements) with the elements from `start`."""
    if out.shape[0] % spec.item_size:
        raise ValueError(f"{out.shape[0]} bytes are not a whole number of {spec.item_size}-byte elements")
    draw_rows(out, spec, start, 0, 1, out.shape[0] // spec.item_size, out.shape[0])


def fill_rows(
    unsigned char[::1] out not None,
    Spec spec not None,
    uint64_t start,
    uint64_t start_step,
    size_t rows,
    size_t count,
    size_t out_step,
):
    """Fill `rows` rows of `count` elements, `out_step` bytes apart in `out`.

    Row r takes its elements from `start + r * start_step` on.  Rows may not overlap nor leave
    `out`, which is checked.
    """
    draw_rows(out, spec, start, start_step, rows, count, out_step)


cdef int draw_rows(
    unsigned char[::1] out,
    Spec spec,
    uint64_t start,
    uint64_t start_step,
    size_t rows,
    size_t count,
    size_t out_step,
) except -1:
    cdef size_t size = <size_t>out.shape[0]
    cdef fi_rows c_rows
    cdef fi_status status
    if rows == 0 or count == 0:
        return 0
    if count > size // spec.item_size or out_step < count * spec.item_size:
        raise ValueError(f"rows of {count} elements do not fit in {size} bytes")
    if rows - 1 > (size - count * spec.item_size) // out_step:
        raise ValueError(f"{rows} rows {out_step} bytes apart do not fit in {size} bytes")
    c_rows.start = start
    c_rows.start_step = start_step
    c_rows.count = count
    c_rows.rows = rows
    c_rows.out_step = <ptrdiff_t>out_step
    if rows * count < SHORT:
        return check(fi_fill(&out[0], spec.dtype, &c_rows, &spec.c))
    with nogil:
        status = fi_fill(&out[0], spec.dtype, &c_rows, &spec.c)
    return check(status)


def words(uint32_t[::1] out not None, uint64_t start, uint64_t key, uint64_t subsequence):
    """Fill `out` with the raw words of a stream from word `start`."""
    cdef size_t count = <size_t>out.shape[0]
    cdef fi_status status
    if count == 0:
        return
    with nogil:
        status = fi_words(&out[0], start, count, key, subsequence)
    check(status)


def map_words(unsigned char[::1] out not None, Spec spec not None, const uint32_t[::1] words):
    """Put in `out` the values that the words `words` stand for; two words a float64 value."""
    cdef size_t count = <size_t>words.shape[0], per_value = 2 if spec.item_size == 8 else 1
    cdef fi_status status
    if count == 0:
        return
    if <size_t>out.shape[0] * per_value != count * spec.item_size:
        raise ValueError(f"{count} words do not make {out.shape[0]} bytes of values")
    with nogil:
        status = fi_map(&out[0], spec.dtype, &words[0], count, &spec.c)
    check(status)


def copy(out not None, source not None, bint stream=False):
    """Copy the array `source` into the writable array `out` of its shape, which has an axis, and
    element size.

    Any strides; the two may not overlap.  `stream`: the caches cannot hold the output.
    """
    cdef Py_buffer to, origin
    cdef fi_status status
    PyObject_GetBuffer(out, &to, PyBUF_STRIDED)
    try:
        PyObject_GetBuffer(source, &origin, PyBUF_STRIDED_RO)
        try:
            same = to.ndim == origin.ndim and to.itemsize == origin.itemsize
            if not same or any([to.shape[axis] != origin.shape[axis] for axis in range(to.ndim)]):
                raise ValueError("copy needs two arrays of one shape and element size")
            with nogil:
                status = fi_copy(to.buf, <const ptrdiff_t *>to.strides, origin.buf,
                                 <const ptrdiff_t *>origin.strides, <const size_t *>to.shape,
                                 <size_t>to.ndim, <size_t>to.itemsize, stream)
            check(status)
        finally:
            PyBuffer_Release(&origin)
    finally:
        PyBuffer_Release(&to)


def philox4x32(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1):
    """One Philox4x32-10 block."""
    cdef uint32_t[4] counter = [c0, c1, c2, c3]
    cdef uint32_t[2] key = [k0, k1]
    cdef uint32_t[4] out
    fi_philox4x32(out, counter, key)
    return out[0], out[1], out[2], out[3]


def float_enter():
    """Give this thread IEEE 754's default floating-point state; returns what `float_leave` takes."""
    return fi_float_enter()


def float_leave(uint64_t saved):
    """Give this thread back the floating-point state it had."""
    fi_float_leave(saved)


def dependent_adds(uint64_t count, uint64_t step=1):
    """`count` times `step`, by additions that each wait for the last: one clock cycle each."""
    cdef uint64_t total
    with nogil:
        total = fi_dependent_adds(count, step)
    return total


def select_isa(name):
    """Put the instruction set `name` in force, or the best one for None; False if it cannot be."""
    cdef bytes text
    if name is None:
        return fi_isa_select(NULL) == FI_OK
    text = name.encode()
    return fi_isa_select(text) == FI_OK


def active_isa():
    """The name of the instruction set in force."""
    return fi_isa_active().decode()


def isas():
    """Every instruction set of this build, best first, and whether this machine has it."""
    found = {}
    index = 0
    while fi_isa_name(index) != NULL:
        found[fi_isa_name(index).decode()] = bool(fi_isa_supported(index))
        index += 1
    return found
