# SPDX-License-Identifier: MIT
"""Keras's initializers by Keras's names, and `Initializer`, which draws any scheme.

``"fastinit>HeNormal"`` stands for one of them in Keras once this module is imported.  How they are
called is in named.py, and their formulas are those of schemes.py.
"""

from __future__ import annotations

from typing import Any, SupportsIndex

import keras

from fastinit.keras.named import PACKAGE, KerasInitializer, NamedInitializer, checked_name
from fastinit.keras.named import resolved_seed as _resolved_seed
from fastinit.keras.schemes import in_keras_layout
from fastinit.numerics.checks import Shape
from fastinit.schemes import Scheme
from fastinit.schemes import scheme as _scheme_of_text
from fastinit.texts import quoted


class RandomNormal(KerasInitializer, keras.initializers.RandomNormal):
    r"""Normal values, as ``keras.initializers.RandomNormal``.

    .. math:: w \sim \mathcal N(\text{mean}, \text{stddev}^2)

    Args:
        mean: of the values, finite.
        stddev: standard deviation, >= 0.
        seed, name: as for `KerasInitializer`.

    Raises:
        all: as for `KerasInitializer`.

    >>> RandomNormal(stddev=0.02).scheme((64, 10))
    normal(std=0.02)
    """


class RandomUniform(KerasInitializer, keras.initializers.RandomUniform):
    r"""Uniform values, as ``keras.initializers.RandomUniform``.

    .. math:: w \sim \mathcal U[\text{minval}, \text{maxval}]

    Args:
        minval, maxval: the bounds, finite.
        seed, name: as for `KerasInitializer`.

    Raises:
        all: as for `KerasInitializer`.

    >>> RandomUniform().scheme((64, 10))
    uniform(low=-0.05, high=0.05)
    """


class TruncatedNormal(KerasInitializer, keras.initializers.TruncatedNormal):
    r"""Normal values within two sigma of the mean, as ``keras.initializers.TruncatedNormal``.

    .. math:: w \sim \mathcal N(\text{mean}, \text{stddev}^2)
              \text{ given } |w - \text{mean}| \le 2 \, \text{stddev}

    Args:
        mean: of the values, finite.
        stddev: standard deviation of the normal before truncation, >= 0; that of the values is
            0.87962566 times as much.
        seed, name: as for `KerasInitializer`.

    Raises:
        all: as for `KerasInitializer`.

    >>> TruncatedNormal(stddev=0.02).scheme((64, 10))
    truncated_normal(std=0.02)
    """


class VarianceScaling(KerasInitializer, keras.initializers.VarianceScaling):
    r"""Values of variance scale / n, where n is a fan, as ``keras.initializers.VarianceScaling``.

    .. math:: \sigma^2 = \text{scale} / n, \quad
              n \in \{ f_\text{in}, f_\text{out}, (f_\text{in} + f_\text{out}) / 2 \}

    Args:
        scale: factor on the variance, > 0.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal" or "normal" (truncated at 2 sigma, and widened so that the
            values have this variance), "untruncated_normal", or "uniform".
        seed, name: as for `KerasInitializer`.
        input_axes, output_axes: as for `KerasInitializer`.

    Raises:
        all: as for `KerasInitializer`.

    >>> VarianceScaling(2.0, "fan_out", "uniform").scheme((64, 10))
    variance_scaling(scale=2, mode='fan_out', distribution='uniform', layout='keras')
    """


class GlorotNormal(KerasInitializer, keras.initializers.GlorotNormal):
    r"""Truncated normal values of variance 2 / (fan_in + fan_out).

    Keras's ``GlorotNormal``; `fastinit.glorot_normal` has the formula and its source.

    Args:
        seed, name: as for `KerasInitializer`.
        input_axes, output_axes: as for `KerasInitializer`.

    Raises:
        all: as for `KerasInitializer`.

    >>> GlorotNormal().scheme((64, 10))
    glorot_normal(layout='keras')
    """


class GlorotUniform(KerasInitializer, keras.initializers.GlorotUniform):
    r"""Uniform values of variance 2 / (fan_in + fan_out): what most of Keras's layers start with.

    Keras's ``GlorotUniform``; `fastinit.glorot_uniform` has the formula and its source.

    Args:
        seed, name: as for `KerasInitializer`.
        input_axes, output_axes: as for `KerasInitializer`.

    Raises:
        all: as for `KerasInitializer`.

    >>> GlorotUniform().scheme((64, 10))
    glorot_uniform(layout='keras')
    """


class HeNormal(KerasInitializer, keras.initializers.HeNormal):
    r"""Truncated normal values of variance 2 / fan_in.

    Keras's ``HeNormal``; `fastinit.he_normal` has the formula and its source.

    Args:
        seed, name: as for `KerasInitializer`.
        input_axes, output_axes: as for `KerasInitializer`.

    Raises:
        all: as for `KerasInitializer`.

    >>> import keras
    >>> layer = keras.layers.Dense(64, kernel_initializer="fastinit>HeNormal", name="up")
    >>> layer.build((None, 128))
    >>> import fastinit as fi
    >>> same = fi.array((128, 64), fi.he_normal(layout="keras"), seed=0, name="up/kernel")
    >>> bool((layer.get_weights()[0] == same).all())
    True
    """


class HeUniform(KerasInitializer, keras.initializers.HeUniform):
    r"""Uniform values of variance 2 / fan_in.

    Keras's ``HeUniform``; `fastinit.he_uniform` has the formula and its source.

    Args:
        seed, name: as for `KerasInitializer`.
        input_axes, output_axes: as for `KerasInitializer`.

    Raises:
        all: as for `KerasInitializer`.

    >>> HeUniform().scheme((64, 10))
    he_uniform(layout='keras')
    """


class LecunNormal(KerasInitializer, keras.initializers.LecunNormal):
    r"""Truncated normal values of variance 1 / fan_in.

    Keras's ``LecunNormal``; `fastinit.lecun_normal` has the formula and its source.

    Args:
        seed, name: as for `KerasInitializer`.
        input_axes, output_axes: as for `KerasInitializer`.

    Raises:
        all: as for `KerasInitializer`.

    >>> LecunNormal().scheme((64, 10))
    lecun_normal(layout='keras')
    """


class LecunUniform(KerasInitializer, keras.initializers.LecunUniform):
    r"""Uniform values of variance 1 / fan_in.

    Keras's ``LecunUniform``; `fastinit.lecun_uniform` has the formula and its source.

    Args:
        seed, name: as for `KerasInitializer`.
        input_axes, output_axes: as for `KerasInitializer`.

    Raises:
        all: as for `KerasInitializer`.

    >>> LecunUniform().scheme((64, 10))
    lecun_uniform(layout='keras')
    """


class Orthogonal(KerasInitializer, keras.initializers.Orthogonal):
    r"""`gain` times a random matrix with orthonormal rows or columns, whichever are fewer.

    Keras's ``Orthogonal``; `fastinit.orthogonal` has the formula and its source.  It also makes
    bfloat16 and float16.

    Args:
        gain: factor on the matrix, >= 0.
        seed, name: as for `KerasInitializer`.

    Raises:
        all: as for `KerasInitializer`.
        ValueError: when it is called: a shape of fewer than two axes.

    >>> Orthogonal().scheme((64, 10))
    orthogonal(layout='keras')
    """


@keras.saving.register_keras_serializable(PACKAGE)
class Zeros(keras.initializers.Zeros):
    """Zeros.  It is Keras's own initializer, which draws nothing, under fastinit's name.

    >>> import keras
    >>> type(keras.initializers.get("fastinit>Zeros")).__name__
    'Zeros'
    """


@keras.saving.register_keras_serializable(PACKAGE)
class Ones(keras.initializers.Ones):
    """Ones.  It is Keras's own initializer, which draws nothing, under fastinit's name."""


@keras.saving.register_keras_serializable(PACKAGE)
class Constant(keras.initializers.Constant):
    """One value.  It is Keras's own initializer, which draws nothing, under fastinit's name.

    Args:
        value: of all elements.
    """


@keras.saving.register_keras_serializable(PACKAGE)
class Identity(keras.initializers.Identity):
    """`gain` on the diagonal.  It is Keras's own initializer, under fastinit's name.

    Args:
        gain: the value on the diagonal.
    """


@keras.saving.register_keras_serializable(PACKAGE)
class Initializer(NamedInitializer):
    """An initializer that draws any scheme of fastinit.

    Args:
        scheme: such as ``fastinit.truncated_normal(0.02)``, or its text form.  A scheme that counts
            fans, and says nothing of a layout, counts them in Keras's: the last two axes are inputs
            and outputs.
        seed, name: as for `HeNormal`.

    Raises:
        TypeError: scheme is neither a scheme nor a text; seed or name is of the wrong type.
        ValueError: scheme is not the text of one; seed is out of range.

    >>> import keras
    >>> import fastinit.keras as fk
    >>> embeddings = fk.Initializer("truncated_normal(0.02, low=-3, high=3)", seed=1)
    >>> layer = keras.layers.Embedding(1000, 64, embeddings_initializer=embeddings)
    >>> fk.Initializer("he_normal()").get_config()
    {'scheme': "he_normal(layout='keras')", 'seed': None, 'name': None}
    """

    def __init__(
        self,
        scheme: Scheme | str,
        seed: SupportsIndex | None = None,
        *,
        name: str | None = None,
    ) -> None:
        found = scheme if isinstance(scheme, Scheme) else _scheme_of_text(scheme)
        self._scheme = in_keras_layout(found)
        self.seed = _resolved_seed(seed)
        self._init_seed = None if seed is None else self.seed
        self.name = checked_name(name)

    def scheme(self, shape: Shape) -> Scheme:
        """The scheme, whatever the shape."""
        return self._scheme

    def get_config(self) -> dict[str, Any]:
        """The arguments, for JSON.

        Raises:
            ValueError: the scheme is a custom distribution, which no text can bring back.
        """
        if self._scheme.functions:
            raise ValueError(
                f"{quoted(str(self._scheme))} is made of a custom distribution, which a saved "
                "model cannot bring back: save the weights alone, by model.save_weights"
            )
        return {"scheme": str(self._scheme), "seed": self._init_seed, "name": self.name}
