# SPDX-License-Identifier: MIT
# cython: language_level=3, freethreading_compatible=True, binding=False, auto_pickle=False
"""The Cython border of the kernels: check sizes, drop the GIL, call C, turn a status into an error.

No arithmetic beyond sizes and no loops over numbers live here; the numbers are made in src_c/.
"""

from cpython.buffer cimport (
    PyBUF_ND,
    PyBUF_STRIDED,
    PyBUF_STRIDED_RO,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from fastinit.backends._native cimport (
    FI_DTYPE_COUNT,
    FI_MOST_AXES,
    FI_OK,
    fi_axis,
    fi_copy,
    fi_dtype_name,
    fi_dtype_size,
    fi_fill,
    fi_isa_active,
    fi_isa_name,
    fi_isa_select,
    fi_isa_supported,
    fi_map,
    fi_measure,
    fi_moments,
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


def fill(out not None, Spec spec not None, uint64_t start):
    """Fill `out` (writable bytes, a whole number of elements) with the elements from `start`."""
    cdef Py_buffer to
    cdef fi_rows rows
    PyObject_GetBuffer(out, &to, PyBUF_WRITABLE)
    try:
        if to.len % spec.item_size:
            raise ValueError(
                f"{to.len} bytes are not a whole number of {spec.item_size}-byte elements"
            )
        rows.start, rows.count, rows.axes = start, to.len // spec.item_size, 0
        if rows.count:
            draw(to.buf, &rows, rows.count, spec)
    finally:
        PyBuffer_Release(&to)


def fill_rows(
    out not None,
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
    cdef Py_buffer to
    PyObject_GetBuffer(out, &to, PyBUF_WRITABLE)
    try:
        draw_rows(&to, spec, start, start_step, rows, count, out_step)
    finally:
        PyBuffer_Release(&to)


cdef int draw_rows(
    const Py_buffer *out,
    Spec spec,
    uint64_t start,
    uint64_t start_step,
    size_t rows,
    size_t count,
    size_t out_step,
) except -1:
    cdef size_t size = <size_t>out.len
    cdef fi_rows c_rows
    cdef fi_axis axis
    if rows == 0 or count == 0:
        return 0
    if count > size // spec.item_size or out_step < count * spec.item_size:
        raise ValueError(f"rows of {count} elements do not fit in {size} bytes")
    if rows - 1 > (size - count * spec.item_size) // out_step:
        raise ValueError(f"{rows} rows {out_step} bytes apart do not fit in {size} bytes")
    axis.count, axis.start_step, axis.out_step = rows, start_step, <ptrdiff_t>out_step
    c_rows.start, c_rows.count, c_rows.axes, c_rows.axis = start, count, 1, &axis
    return draw(out.buf, &c_rows, rows * count, spec)


def fill_array(out not None, Spec spec not None, uint64_t start, steps not None):
    """Fill a writable array of any strides: the element at `index` is that of number
    ``start + sum(index * steps)``.

    `out` has an axis, its elements have the size of the dtype's, and none lies where another does;
    `steps` are 0 or more.
    """
    cdef Py_buffer view
    cdef fi_axis axes[FI_MOST_AXES]
    cdef fi_rows rows
    cdef Py_ssize_t count = 1
    cdef int axis
    PyObject_GetBuffer(out, &view, PyBUF_STRIDED)
    try:
        if not 0 < view.ndim == len(steps) <= FI_MOST_AXES or <size_t>view.itemsize != spec.item_size:
            raise ValueError(f"an array of {view.ndim} axes and {view.itemsize}-byte elements does not "
                             f"fit {len(steps)} steps and {spec.item_size}-byte values")
        for axis in range(view.ndim):
            axes[axis].count = view.shape[axis]
            axes[axis].start_step = steps[axis]
            axes[axis].out_step = view.strides[axis]
            count *= view.shape[axis]
        rows.start, rows.count, rows.axes, rows.axis = start, 1, view.ndim, axes
        if axes[view.ndim - 1].start_step == 1 and view.strides[view.ndim - 1] == view.itemsize:
            rows.count, rows.axes = view.shape[view.ndim - 1], view.ndim - 1
        draw(view.buf, &rows, count, spec)
    finally:
        PyBuffer_Release(&view)


cdef int draw(void *out, const fi_rows *rows, size_t count, Spec spec) except -1:
    """`count` is of all rows together."""
    cdef fi_status status
    if count < SHORT:
        return check(fi_fill(out, spec.dtype, rows, &spec.c))
    with nogil:
        status = fi_fill(out, spec.dtype, rows, &spec.c)
    return check(status)


def words(out not None, uint64_t start, uint64_t key, uint64_t subsequence):
    """Fill `out` with the raw words of a stream from word `start`."""
    cdef Py_buffer to
    cdef size_t count
    cdef fi_status status
    PyObject_GetBuffer(out, &to, PyBUF_WRITABLE | PyBUF_ND)
    try:
        count = count_words(&to)
        if count == 0:
            return
        with nogil:
            status = fi_words(<uint32_t *>to.buf, start, count, key, subsequence)
        check(status)
    finally:
        PyBuffer_Release(&to)


def map_words(out not None, Spec spec not None, words not None):
    """Put in `out` the values that the words `words` stand for, two words per float64 value."""
    cdef size_t count, per_value = 2 if spec.item_size == 8 else 1
    cdef Py_buffer to, origin
    cdef fi_status status
    PyObject_GetBuffer(out, &to, PyBUF_WRITABLE)
    try:
        PyObject_GetBuffer(words, &origin, PyBUF_ND)
        try:
            count = count_words(&origin)
            if count == 0:
                return
            if <size_t>to.len * per_value != count * spec.item_size:
                raise ValueError(f"{count} words do not make {to.len} bytes of values")
            with nogil:
                status = fi_map(to.buf, spec.dtype, <const uint32_t *>origin.buf, count, &spec.c)
            check(status)
        finally:
            PyBuffer_Release(&origin)
    finally:
        PyBuffer_Release(&to)


cdef Py_ssize_t count_words(const Py_buffer *words) except -1:
    """How many words a buffer holds; C reads and writes them as uint32_t."""
    if words.itemsize != sizeof(uint32_t) or <size_t>words.buf % sizeof(uint32_t) != 0:
        raise ValueError(f"words are 4 bytes each, aligned: these are {words.itemsize} bytes each")
    return words.len // words.itemsize


def copy(out not None, source not None, bint bypass_cache=False):
    """Copy the array `source` into the writable array `out` of its shape, which has an axis, and
    element size.

    Any strides; the two may not overlap.  `bypass_cache`: the caches cannot hold the output.
    """
    cdef Py_buffer to, origin
    cdef fi_status status
    PyObject_GetBuffer(out, &to, PyBUF_STRIDED)
    try:
        PyObject_GetBuffer(source, &origin, PyBUF_STRIDED_RO)
        try:
            if not same_shape(&to, &origin):
                raise ValueError("copy needs two arrays of one shape and element size")
            with nogil:
                status = fi_copy(to.buf, <const ptrdiff_t *>to.strides, origin.buf,
                                 <const ptrdiff_t *>origin.strides, <const size_t *>to.shape,
                                 <size_t>to.ndim, <size_t>to.itemsize, bypass_cache)
            check(status)
        finally:
            PyBuffer_Release(&origin)
    finally:
        PyBuffer_Release(&to)


cdef bint same_shape(const Py_buffer *one, const Py_buffer *other) noexcept:
    """Whether two buffers have the same shape and element size."""
    cdef int axis
    if one.ndim != other.ndim or one.itemsize != other.itemsize:
        return False
    for axis in range(one.ndim):
        if one.shape[axis] != other.shape[axis]:
            return False
    return True


def measure(out not None, source not None, uint32_t dtype, double unit=1.0):
    """Put the moments of the elements in `source` (bytes) into `out`, as C lays them out."""
    cdef Py_buffer to, origin
    cdef size_t count, item_size = fi_dtype_size(dtype)
    cdef fi_moments found
    cdef fi_status status
    PyObject_GetBuffer(out, &to, PyBUF_WRITABLE)
    try:
        PyObject_GetBuffer(source, &origin, PyBUF_ND)
        try:
            if item_size == 0 or <size_t>origin.len % item_size or to.len != sizeof(fi_moments):
                raise ValueError(f"{origin.len} bytes are not elements of dtype code {dtype}, or "
                                 f"{to.len} bytes no room for their moments")
            count = <size_t>origin.len // item_size
            if count < SHORT:
                check(fi_measure(origin.buf, dtype, count, unit, &found))
            else:
                with nogil:
                    status = fi_measure(origin.buf, dtype, count, unit, &found)
                check(status)
            memcpy(to.buf, &found, sizeof(found))
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


def dtypes():
    """Every dtype of this build and its code, which is what `Spec` takes."""
    cdef uint32_t code = 0
    found = {}
    while fi_dtype_name(code) != NULL:
        found[fi_dtype_name(code).decode()] = code
        code += 1
    return found


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
