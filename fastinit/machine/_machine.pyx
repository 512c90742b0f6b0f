# SPDX-License-Identifier: MIT
# cython: language_level=3, freethreading_compatible=True, binding=False, auto_pickle=False
"""What Python cannot do by itself: end what was begun although signals arrive, count clock cycles.

Python runs the handlers of signals between its own instructions.  None can run between a line here
and its `finally`, so a floating-point state is always restored and a lock always released.
"""

from libc.stdint cimport uint64_t


cdef extern from "machine.h" nogil:
    uint64_t fi_float_enter() noexcept
    void fi_float_leave(uint64_t saved) noexcept
    uint64_t fi_dependent_adds(uint64_t count, uint64_t step) noexcept


def in_default_floats(function, tuple args, dict kwargs):
    """Call `function` in IEEE 754's default floating-point state.

    No signal's handler can run between a state and its `finally`: in Python one could, and the
    thread would keep our state.
    """
    cdef uint64_t saved = fi_float_enter()
    try:
        return function(*args, **kwargs)
    finally:
        fi_float_leave(saved)


cdef class DefaultFloats:
    """IEEE 754's default floating-point state, from the making until `__exit__`.

    Should a signal's handler raise before that, the object dies, and the state is left then.
    """

    cdef uint64_t saved
    cdef bint left

    def __cinit__(self):
        self.saved = fi_float_enter()

    def __enter__(self):
        return None

    def __exit__(self, *_):
        self.leave()

    def __dealloc__(self):
        self.leave()

    cdef void leave(self) noexcept:
        if not self.left:
            self.left = True
            fi_float_leave(self.saved)


def holding(lock, function, *args):
    """Call `function` while `lock` is held; no signal's handler can run between it and `finally`."""
    lock.acquire()
    try:
        return function(*args)
    finally:
        lock.release()


def work_together(work, join, lock, list errors not None, list helping not None):
    """Call `work`, wait until each lock in `helping` is free, and call `join` until it returns.

    Errors are raised by none of these: the first is put into `errors`, which ends the work of the
    helpers.  Python runs signal handlers in Python functions and in calls that wait, so here
    none can come between an error and what must follow, however many signals there are.

    Args:
        lock: held by a helper while it adds to `helping`, which it does not do once the work ended.
    """
    cdef Py_ssize_t index = 0
    try:
        work()
    except BaseException as error:
        note(errors, error)
    pass_through(lock, errors)
    while index < len(helping):
        pass_through(helping[index], errors)
        index += 1
    while True:
        try:
            join()
            return
        except BaseException as error:
            note(errors, error)


cdef int pass_through(lock, list errors) except -1:
    """Wait until `lock` is free."""
    while True:
        try:
            lock.acquire()
            lock.release()
            return 0
        except BaseException as error:
            note(errors, error)


cdef int note(list errors, error) except -1:
    """Keep the first error."""
    if not errors:
        errors.append(error)
    return 0


def dependent_adds(uint64_t count, uint64_t step=1):
    """`count` times `step`, by additions that each wait for the last: one clock cycle each."""
    cdef uint64_t total
    with nogil:
        total = fi_dependent_adds(count, step)
    return total
