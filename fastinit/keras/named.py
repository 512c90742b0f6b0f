# SPDX-License-Identifier: MIT
"""What initializers share: a seed, a name, and how they are called, saved and registered.

Which distribution each has is in schemes.py; how a tensor is made, in memory.py.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, SupportsIndex

import keras

from fastinit.docstrings import completed
from fastinit.keras import memory, paths
from fastinit.keras.schemes import SCHEME_OF_INITIALIZER, scheme_of
from fastinit.numerics.checks import Shape, check_shape
from fastinit.schemes import Scheme
from fastinit.texts import quoted
from fastinit.values.stream import check_seed

PACKAGE = "fastinit"
DEFAULT_SEED = 0


def resolved_seed(seed: SupportsIndex | None) -> int:
    """The seed of an initializer: what was given, or that of ``keras.utils.set_random_seed``, or 0.

    It looks at the latter, and draws nothing from it.

    Raises:
        TypeError: not an integer, such as a ``keras.random.SeedGenerator``, which changes with
            every call.
        ValueError: not in [0, 2**64).
    """
    if seed is None:
        from keras.src.utils.rng_utils import get_random_seed  # no public function says it

        found = get_random_seed()
        seed = DEFAULT_SEED if found is None else found
    elif isinstance(seed, keras.random.SeedGenerator):
        raise TypeError(
            "seed is a SeedGenerator, which changes with every call: need an integer; variables "
            "differ by their paths"
        )
    return check_seed(seed)


class NamedInitializer(keras.initializers.Initializer):
    """An initializer whose values follow from its seed and from the path of the variable."""

    _original: type | None = None
    """The class of Keras whose distribution this one has, if there is one."""

    seed: int
    name: str | None

    def scheme(self, shape: Shape) -> Scheme:
        """The scheme of a whole tensor of `shape`."""
        assert self._original is not None
        return scheme_of(self._original, self, shape)

    def __call__(self, shape: Any, dtype: Any = None, layout: Any = None) -> Any:
        """A tensor of the backend.

        Args:
            shape: of the variable.
            dtype: as Keras names it, by default ``keras.config.floatx()``.
            layout: how JAX distributes the tensor, as a ``keras.distribution.TensorLayout`` or a
                ``jax.sharding.NamedSharding``.  Each process draws its own part.

        Raises:
            ValueError: no variable is being made, and there is no name; it is called for a part of
                a variable, or for a second one of the same path in a layer; the shape or the dtype
                does not suit the distribution.
        """
        dims, kind = check_shape(shape), keras.backend.standardize_dtype(dtype)
        found = paths.caller()
        if found is not None and found.placeholder:
            return keras.ops.zeros(dims, kind)
        what = type(self).__name__
        name = paths.tensor_name(found, dims, self.name, what)
        if found is not None:
            paths.check_only_one(found, self.seed, name, what)
        try:
            return memory.made(dims, self.scheme(dims), self.seed, name, kind, layout)
        except ValueError as error:
            if found is None:
                raise
            path = quoted(found.variable.path)
            raise ValueError(f"{what} cannot draw the variable {path}: {error}") from error


@dataclass(frozen=True, slots=True)
class OfClass:
    """An attribute of a class that its objects do not have.

    Keras looks at the signature of an initializer, to see whether it can be called with a layout.
    """

    value: inspect.Signature

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("it belongs to the class")
        return self.value


class KerasInitializer(NamedInitializer):
    r"""What initializers with a class of Keras's share: Keras's arguments, and `name`.

    Args:
        seed: 0 <= seed < 2**64.  None stands for the seed that ``keras.utils.set_random_seed`` was
            last called with, or 0.
        name: put before the path of the variable, as ``name/path``.  Outside of a variable it is
            the whole name of the tensor, and must be given.
        input_axes, output_axes: the axes of inputs and of outputs; if both are given, all others
            count in no fan.  By default, those of (\*kernel, in, out).

    Raises:
        TypeError: seed is not an integer, or name not a text.
        ValueError: seed is out of range, or what Keras's class refuses.
    """

    __signature__: OfClass

    def __init_subclass__(cls) -> None:
        """Take the arguments of Keras's class, complete the docstring, and register with Keras."""
        super().__init_subclass__()
        cls._original = next(base for base in cls.__mro__ if base in SCHEME_OF_INITIALIZER)
        cls.__doc__ = completed(cls.__doc__, {"KerasInitializer": KerasInitializer})
        signature = inspect.signature(cls._original)
        name = inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=None)
        parameters = [*signature.parameters.values(), name]
        cls.__signature__ = OfClass(signature.replace(parameters=parameters))
        keras.saving.register_keras_serializable(PACKAGE, cls.__name__)(cls)

    def __init__(self, *args: Any, name: str | None = None, **given: Any) -> None:
        bound = inspect.signature(super().__init__).bind(*args, **given)
        seed = bound.arguments.get("seed")
        bound.arguments["seed"] = resolved_seed(seed)
        super().__init__(*bound.args, **bound.kwargs)
        self._init_seed = None if seed is None else self.seed  # for Keras's get_config
        self.name = checked_name(name)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for JSON."""
        config: dict[str, Any] = super().get_config()
        return {**config, "name": self.name}


def checked_name(name: Any) -> str | None:
    """`name`, which is a text that is not empty, or None.

    Raises:
        TypeError, ValueError: it is not.
    """
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f"name is {quoted(name)}: need a text, or None for the variable's path")
    if not name:
        raise ValueError("name is empty: need a text, or None for the variable's path")
    return name
