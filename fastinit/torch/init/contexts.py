# SPDX-License-Identifier: MIT
"""Which name and seed a tensor has: those of the modules that `names` was entered with.

What is drawn is in init.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple, SupportsIndex

import torch

from fastinit.torch.slots import check_module, slots_of
from fastinit.torch.tensors import is_named
from fastinit.torch.views import Geometry, Numbering, numbers_of, slices_of
from fastinit.values.stream import checked


class NamedPart(NamedTuple):
    """A tensor that is a parameter or buffer, or a view of one."""

    seed: Any
    name: str
    whole: Geometry | None = None
    """For a view, the parameter or buffer."""
    numbering: Numbering | None = None
    """For a view, which elements of the whole it has."""
    view: Geometry | None = None

    def view_name(self) -> str | None:
        """What to call a random matrix that fills a view alone; None if that is no slice.

        A slice that is all of the parameter has the parameter's name.
        """
        if self.view is None or self.whole is None:
            return self.name
        slices = slices_of(self.view, self.whole)
        if slices is None:
            return None
        texts = [
            ":" if along == range(dim) else f"{along.start}:{along.stop}{_every(along)}"
            for along, dim in zip(slices.box, self.whole.shape, strict=True)
        ]
        return self.name if set(texts) <= {":"} else f"{self.name}[{', '.join(texts)}]"


@dataclass(slots=True)
class _Names:
    """The names of a module's tensors, by identity and by storage."""

    module: torch.nn.Module
    seed: int
    prefix: str
    by_identity: dict[int, tuple[torch.Tensor, str]] = field(default_factory=dict)
    by_storage: dict[int, list[tuple[torch.Tensor, str]]] = field(default_factory=dict)

    def read(self) -> None:
        """Look at the module, whose tensors may be others than before."""
        by_identity: dict[int, tuple[torch.Tensor, str]] = {}
        by_storage: dict[int, list[tuple[torch.Tensor, str]]] = {}
        for slot in slots_of(self.module, prefix=self.prefix):
            by_identity[id(slot.tensor)] = slot.tensor, slot.name
            key = _storage(slot.tensor)
            if key is not None:
                by_storage.setdefault(key, []).append((slot.tensor, slot.name))
        self.by_identity, self.by_storage = by_identity, by_storage

    def find(self, tensor: torch.Tensor) -> NamedPart | None:
        """What is known of `tensor`; None if it is no tensor of the module, nor a view of one."""
        same, name = self.by_identity.get(id(tensor), (None, ""))
        if same is tensor:
            return NamedPart(self.seed, name)
        views = (self._view(tensor, base, name) for base, name in self.sharing(tensor))
        found = [known for known in views if known is not None]
        return min(found, key=lambda known: known.numbering is not None, default=None)

    def sharing(self, tensor: torch.Tensor) -> list[tuple[torch.Tensor, str]]:
        """The tensors of the module in the storage of `tensor`, with their names."""
        key = _storage(tensor)
        rows = [] if key is None else self.by_storage.get(key, [])
        return [row for row in rows if _storage(row[0]) == key]

    def _view(self, tensor: torch.Tensor, base: torch.Tensor, name: str) -> NamedPart | None:
        """What is known of `tensor` if it is a view of `base`, which has the same storage."""
        if tensor.dtype != base.dtype:
            return None
        if is_named(base, "DTensor"):  # its local tensor is no view of the whole
            same = is_named(tensor, "DTensor") and tensor.shape == base.shape
            return NamedPart(self.seed, name) if same else None
        mine, whole = Geometry.of(tensor), Geometry.of(base)
        if mine == whole:
            return NamedPart(self.seed, name)
        numbering = numbers_of(mine, whole)
        return numbering and NamedPart(self.seed, name, whole, numbering, mine)


_ACTIVE: ContextVar[tuple[_Names, ...]] = ContextVar("fastinit.torch.init.names", default=())


@contextmanager
def names(module: torch.nn.Module, *, seed: SupportsIndex, prefix: str = "") -> Iterator[None]:
    """A context in which functions of `fastinit.torch.init` know the tensors of a module.

    So code that initialises a module needs no `seed` and `name` in its calls.  A parameter or
    buffer gets its full name in the module, a tied parameter its first one.  It may be reached by
    ``.data``, ``.detach()`` or a view: a view draws those elements of the parameter that it has,
    with a scale that follows from the view's shape, as in PyTorch.

    Contexts nest, and hold for the thread or the asyncio task that entered them; the innermost one
    that knows the tensor counts.  Two modules in one process need different seeds or prefixes, or
    their tensors of equal names get equal values.

    Args:
        module: whose parameters and buffers have names.
        seed: 0 <= seed < 2**64.
        prefix: what the names begin with, before a dot: the module's name in a larger one.

    Raises:
        TypeError: `module` is not a module; the seed is not an integer; the prefix is no text.
        ValueError: the seed is out of range.

    >>> import torch
    >>> from fastinit.torch import init
    >>> layer = torch.nn.Linear(4, 3)
    >>> with init.names(layer, seed=0, prefix="up"):
    ...     weight = init.normal_(layer.weight, std=0.02)
    >>> again = init.normal_(torch.empty(3, 4), std=0.02, seed=0, name="up.weight")
    >>> torch.equal(weight, again)
    True
    """
    check_module(module, prefix)
    entered = _Names(module, checked(seed, prefix).seed, prefix)
    entered.read()
    token = _ACTIVE.set((*_ACTIVE.get(), entered))
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def known(function: str, tensor: torch.Tensor, seed: Any, name: str | None) -> NamedPart:
    """The name, the seed and the whole of a tensor, as given or as the context knows them.

    What is given is not checked here.

    Raises:
        ValueError: neither the call nor the context says what the name or the seed is.
    """
    active = _ACTIVE.get()
    if name is None and active:
        found = _look_up(active, tensor)
        if found is not None:
            return found if seed is None else found._replace(seed=seed)
    if name is not None and (seed is not None or active):
        return NamedPart(active[-1].seed if seed is None else seed, name)
    raise ValueError(_missing(function, tensor, active, seed, name))


def _look_up(active: tuple[_Names, ...], tensor: torch.Tensor) -> NamedPart | None:
    """What the innermost context that knows the tensor knows of it."""
    for look_again in (False, True):
        for entered in reversed(active):
            if look_again:
                entered.read()
            if found := entered.find(tensor):
                return found
    return None


def _missing(
    function: str, tensor: torch.Tensor, active: tuple[_Names, ...], seed: object, name: object
) -> str:
    shown = f"{function} of a tensor of shape {tuple(tensor.shape)}"
    if active:
        where = type(active[-1].module).__name__
        shared = [name for entered in active for _, name in entered.sharing(tensor)]
        hint = f" (but it shares the memory of {shared[0]!r})" if shared else ""
        return (
            f"{shown} and {tensor.dtype}: it is neither a parameter nor a buffer of the {where} "
            "that init.names was entered with, nor a view of one with its dtype whose elements lie "
            f"a constant step apart{hint}; write {function}(..., name='...')"
        )
    needs = [text for text, given in (("a seed", seed), ("a name", name)) if given is None]
    return (
        f"{shown} needs {' and '.join(needs)}, from which its values follow: write {function}(..., "
        "seed=0, name='layer.weight'), or call it inside `with init.names(module, seed=0):`"
    )


def _storage(tensor: torch.Tensor) -> int | None:
    """What is the same for all tensors in one storage; None for one without a storage."""
    if is_named(tensor, "DTensor"):
        tensor = tensor._local_tensor
    try:
        return tensor.untyped_storage()._cdata
    except RuntimeError:
        return None


def _every(along: range) -> str:
    return f":{along.step}" if along.step != 1 else ""
