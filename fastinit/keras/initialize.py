# SPDX-License-Identifier: MIT
"""`initialize`: the weights of a model that was built are drawn anew, by its own layers' rule."""

from __future__ import annotations

from typing import Any, SupportsIndex

from fastinit.docstrings import shares
from fastinit.keras import memory, plans
from fastinit.memory.arrays import fill
from fastinit.plans.rules import Rows, Rules
from fastinit.values.stream import check_seed

_INSTEAD = (
    "Give them a scheme by rules=[(name, scheme)], or leave them as they are by strict=False.  "
    "Nothing was changed."
)


@shares(plans.plan, fill)
def initialize(
    model: Any,
    *,
    seed: SupportsIndex,
    rules: Rules | Rows | None = None,
    name: str | None = None,
    strict: bool = True,
    threads: int | None = None,
) -> dict[str, str]:
    """Draw the weights of a model of Keras anew, each by its path and its layer's initializer.

    Each weight gets the distribution that its layer's own initializer has, whatever its values are
    now, and the values that `HeNormal` and others give a variable of this path.  The variables
    stay the same; the state of optimizers, metrics and seed generators is not touched, and neither
    are weights that `plan` leaves out.  Tensors of PyTorch are filled in place; arrays of JAX keep
    their sharding, and each process draws its own part.  Errors are raised before anything changes.

    Args:
        model, rules, name: as for `plan`.
        seed, threads: as for `fill`.
        strict: whether a weight without a scheme is an error; if not, it stays as it is.

    Returns:
        What was left as it was: from the name of a weight to the reason.

    Raises:
        all: as for `plan`.

    >>> import keras
    >>> import fastinit.keras as fk
    >>> model = keras.Sequential([keras.layers.Dense(64, name="up")], name="mlp")
    >>> model.build((None, 128))
    >>> fk.initialize(model, seed=0)
    {}
    """
    whole = check_seed(seed)
    rows = plans.with_rules(plans.weight_schemes(model, name), rules)
    must = rows if strict else [row for row in rows if not row.problem]
    plans.check(must, "fastinit cannot draw", _INSTEAD)
    for row in rows:
        if row.scheme is not None:
            memory.filled(row.weight.variable, row.scheme, whole, row.name, threads)
    return {row.name: row.left or row.problem for row in rows if row.scheme is None}
