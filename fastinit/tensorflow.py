# SPDX-License-Identifier: MIT
"""TensorFlow without Keras: `initializer` makes what TensorFlow calls an initializer of a scheme.

TensorFlow is imported at the first call.  Keras's variables are the room keras's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsIndex

from fastinit.memory.arrays import array
from fastinit.numerics.checks import check_shape
from fastinit.schemes import Scheme
from fastinit.schemes import scheme as scheme_of
from fastinit.texts import quoted
from fastinit.values.stream import checked

__all__ = ["initializer"]


def initializer(scheme: Scheme | str, *, seed: SupportsIndex, name: str) -> Callable[..., Any]:
    """An initializer of TensorFlow: a function from a shape and a dtype to a tensor.

    It takes what TensorFlow passes its own: ``initializer(shape, dtype=tf.float32)``, and the part
    of a partitioned variable, which has the values of that part of the whole: as
    ``partition_shape`` and ``partition_offset`` from ``tf.distribute`` with a
    ``variable_partitioner``, or as ``partition_info`` from ``tf.compat.v1.get_variable`` with a
    ``partitioner``.  Each call returns the same values.

    Args:
        scheme: such as ``fastinit.he_normal(in_axis=0, out_axis=1)``, or its text form.  Schemes
            count fans as of (out, in, \\*kernel) unless they say ``layout="keras"``.
        seed: 0 <= seed < 2**64.
        name: the tensor's name; another name gives other values.

    Raises:
        TypeError, ValueError, IndexError: as for `fastinit.array`, some when it is called.
        ImportError: when it is called: TensorFlow is not installed.

    >>> import tensorflow as tf
    >>> import fastinit.tensorflow as ftf
    >>> init = ftf.initializer("he_normal(layout='keras')", seed=0, name="w")
    >>> w = tf.Variable(init((128, 64), tf.bfloat16))
    """
    drawn = scheme if isinstance(scheme, Scheme) else scheme_of(scheme)
    stream = checked(seed, name)

    def initialize(
        shape: Any,
        dtype: Any = "float32",
        partition_info: Any = None,
        *,
        partition_shape: Any = None,
        partition_offset: Any = None,
    ) -> Any:
        tf = _tensorflow()
        kind = tf.as_dtype(dtype).name
        whole, region = check_shape(tf.TensorShape(shape).as_list()), None
        if partition_info is not None:  # then `shape` is that of the part
            partition_shape, partition_offset = whole, partition_info.var_offset
            whole = check_shape(partition_info.full_shape)
        if partition_offset is not None or partition_shape is not None:
            region = _part(partition_offset, partition_shape)
        values = array(whole, drawn, seed=stream.seed, name=stream.name, dtype=kind, region=region)
        return tf.convert_to_tensor(values)

    return initialize


def _part(offset: Any, shape: Any) -> tuple[slice, ...]:
    """The region of a part of a variable."""
    if offset is None or shape is None:
        raise TypeError(
            f"partition_offset is {quoted(offset)} and partition_shape is {quoted(shape)}: a part "
            "needs both"
        )
    firsts, counts = ([int(number) for number in numbers] for numbers in (offset, shape))
    if min(firsts, default=0) < 0:
        raise IndexError(f"partition_offset is {firsts}: need numbers >= 0")
    return tuple(slice(first, first + n) for first, n in zip(firsts, counts, strict=True))


def _tensorflow() -> Any:
    try:
        import tensorflow
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise ImportError(
            "fastinit.tensorflow needs TensorFlow, which is not installed: pip install tensorflow",
            name="tensorflow",
        ) from None
    return tensorflow
