# SPDX-License-Identifier: MIT
"""What is checked of a small model of transformers, against transformers' own `from_config`.

a  The plan and the model have the names, shapes, dtypes, strides and ties of the model that
   transformers builds on a CPU, in float32 and in bfloat16, and buffers have the same values.
b  Whatever is the same in each of their builds is the same in ours, to the bit, and what is random
   has their distribution: a two-sample test of Kolmogorov and Smirnov for each group of parameters.
c  The plan, written to a folder, is loaded by `from_pretrained` with nothing missing, unexpected or
   mismatched, and holds what `save_pretrained` writes.  The loaded model has the bits of the model
   that is made in memory from the same seed; tables may differ by rounding, as the plan says.
d  A forward pass is finite.

Each check returns what is wrong as texts.  The tests and the table of docs/architectures.md use
these functions.  Models are in small_models.py, inputs in model_inputs.py.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from scipy import stats
from small_models import Architecture
from torch.utils._pytree import tree_leaves
from torch_samples import constant, equal_values, same_memory, tensors_of, values_of

import fastinit as fi
import fastinit.transformers as fh

FAILURES = 1e-6
"""How often check b fails for an architecture although all distributions are right.

It is divided by the groups of the architecture (Bonferroni); the seeds are fixed.
"""
BUILDS = 3
"""Builds that are compared, by PyTorch's generator and by fastinit."""
SEED = 2026
DTYPES = torch.float32, torch.bfloat16
ROUNDED = re.compile(r"up to rounding: (\S+)$")


def planned(architecture: Architecture, dtype: torch.dtype, names: Any = "module") -> fi.Plan:
    """The plan of fastinit."""
    config = architecture.config()
    return fh.plan(config, architecture=architecture.cls, names=names, dtype=dtype)


def made(architecture: Architecture, dtype: torch.dtype, seed: int = SEED) -> torch.nn.Module:
    """The model of fastinit."""
    config = architecture.config()
    model = fh.from_config(config, architecture=architecture.cls, seed=seed, dtype=dtype)
    assert isinstance(model, torch.nn.Module)
    return model.eval()


def built(architecture: Architecture, dtype: torch.dtype, seed: int = SEED) -> torch.nn.Module:
    """The model of transformers."""
    torch.manual_seed(seed)
    return architecture.cls._from_config(architecture.config(), dtype=dtype).eval()


def structure(architecture: Architecture) -> Iterator[str]:
    """Check a."""
    for dtype in DTYPES:
        theirs, ours = built(architecture, dtype), made(architecture, dtype)
        for text in (
            *_plan_differs(planned(architecture, dtype), theirs),
            *_models_differ(ours, theirs),
        ):
            yield f"{str(dtype).removeprefix('torch.')}: {text}"


def _plan_differs(plan: fi.Plan, theirs: torch.nn.Module) -> Iterator[str]:
    """A plan holds each floating-point tensor of a state dict once."""
    first: dict[int, str] = {}
    wanted = {}
    for name, tensor in theirs.state_dict(keep_vars=True).items():
        if tensor.is_floating_point() and first.setdefault(id(tensor), name) == name:
            wanted[name] = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    found = {tensor.name: (tensor.shape, tensor.dtype) for tensor in plan}
    for name in wanted.keys() | found.keys():
        if wanted.get(name) != found.get(name):
            yield f"{name} is {found.get(name)} in the plan, and {wanted.get(name)} in the model"


def _models_differ(ours: torch.nn.Module, theirs: torch.nn.Module) -> Iterator[str]:
    one, other = tensors_of(ours), tensors_of(theirs)
    if list(one) != list(other):
        yield f"other names: {sorted(one.keys() ^ other.keys())}"
        return
    for name, tensor in other.items():
        if (found := _described(one[name])) != (wanted := _described(tensor)):
            yield f"{name} is {found}, and {wanted} in transformers"
    if sorted(same_memory(one)) != sorted(same_memory(other)):
        yield f"other ties: {sorted(set(same_memory(one)) ^ set(same_memory(other)))}"
    persistent = ours.state_dict().keys(), theirs.state_dict().keys()
    if persistent[0] != persistent[1]:
        yield f"other persistent tensors: {sorted(persistent[0] ^ persistent[1])}"
    for (name, buffer), (_, wanted) in zip(
        ours.named_buffers(), theirs.named_buffers(), strict=True
    ):
        if not torch.equal(torch.nan_to_num(buffer), torch.nan_to_num(wanted)):
            yield f"the buffer {name} has other values"


def _described(tensor: torch.Tensor) -> tuple[Any, ...]:
    stride = [step for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]
    kind = type(tensor).__name__
    return tuple(tensor.shape), tensor.dtype, *stride, kind, tensor.requires_grad


def distributions(architecture: Architecture) -> Iterator[str]:
    """Check b, in float32."""
    seeds = range(1, BUILDS + 1)
    ours = [tensors_of(made(architecture, torch.float32, 100 + seed)) for seed in seeds]
    theirs = [tensors_of(built(architecture, torch.float32, seed)) for seed in seeds]
    yield from differences(ours, theirs)
    if sorted(equal_values(ours[0])) != sorted(equal_values(theirs[0])):
        other = set(equal_values(ours[0])) ^ set(equal_values(theirs[0]))
        yield f"tensors are equal in one of the two only: {sorted(other)}"


def differences(
    ours: list[dict[str, torch.Tensor]], theirs: list[dict[str, torch.Tensor]]
) -> Iterator[str]:
    """What differs in distribution between two samples of the same model's builds."""
    groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for name in theirs[0]:
        one, other = values_of(ours, name), values_of(theirs, name)
        fixed = constant(other)
        if not np.array_equal(constant(one), fixed):
            yield f"{name}: other elements are random"
        elif not np.array_equal(one[0][fixed], other[0][fixed], equal_nan=True):
            yield f"{name}: other constants"
        elif not fixed.all():
            groups[_group(name)].append(_standardised(one[:, ~fixed], other[:, ~fixed]))
    for group, pairs in groups.items():
        one, other = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
        found = stats.ks_2samp(one, other, method="asymp")
        if not found.pvalue > FAILURES / len(groups):
            yield (
                f"{group}: another distribution, by {found.statistic:.3f} of {one.size:,} values "
                f"(p = {found.pvalue:.0e}), deviations {one.std():.3f} and {other.std():.3f}"
            )


def _group(name: str) -> str:
    """The parameters of the same name in all layers."""
    return re.sub(r"\d+", "#", name)


def _standardised(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both samples by the mean and deviation that they have together."""
    both = np.concatenate([one, other])
    mean, std = both.mean(), both.std()
    return ((one - mean) / std).reshape(-1), ((other - mean) / std).reshape(-1)


def loading(architecture: Architecture) -> Iterator[str]:
    """Check c, in float32."""
    ours = made(architecture, torch.float32)
    plan = planned(architecture, torch.float32, names="hub")
    with tempfile.TemporaryDirectory() as folder:
        fi.write(plan, folder, seed=SEED, durability="none")
        ours.config.save_pretrained(folder)
        loaded, report = architecture.cls.from_pretrained(
            folder, output_loading_info=True, dtype=torch.float32
        )
    yield from _other_names(plan, built(architecture, torch.float32))
    integers = {name for name, t in ours.state_dict().items() if not t.is_floating_point()}
    for key, found in report.items():
        missing = sorted(map(str, found))
        if key == "missing_keys":
            if lost := sorted(set(missing) & integers):
                kinds = sorted({name.rpartition(".")[2] for name in lost})
                yield f"integers are not written: {', '.join(kinds)}"
            missing = sorted(set(missing) - integers)
        if missing:
            yield f"{key}: {missing}"
    rounding = _rounding(planned(architecture, torch.float32))
    yield from _other_bits(rounding, ours, loaded.eval())
    pairs = zip(*(_outputs(architecture, model) for model in (ours, loaded)), strict=True)
    if not rounding and not all(_nearly_equal(*pair) for pair in pairs):
        yield "the forward pass of the loaded model is another"


def _other_names(plan: fi.Plan, theirs: Any) -> Iterator[str]:
    """What the plan's files hold other than what transformers saves."""
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        with safe_open(f"{folder}/model.safetensors", framework="pt") as file:
            saved = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no dict
            wanted = {
                name: tuple(part.get_shape())
                for name, part in saved.items()
                if part.get_dtype() in ("F32", "BF16", "F16", "F64")
            }
    found = {tensor.name: tensor.shape for tensor in plan}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            yield f"{name} is {found.get(name)} in the plan, and {wanted.get(name)} when saved"


def running(architecture: Architecture) -> Iterator[str]:
    """Check d."""
    found = _outputs(architecture, made(architecture, torch.float32))
    if not found:
        yield "the forward pass has no outputs"
    if not all(bool(tensor.isfinite().all()) for tensor in found):
        yield "the forward pass is not finite"


def _rounding(plan: fi.Plan) -> dict[str, float]:
    """Tables of a plan that PyTorch computes with other rounding, and by how much."""
    reasons = {tensor.name: ROUNDED.search(tensor.scheme.reason or "") for tensor in plan}
    return {name: float(match[1]) for name, match in reasons.items() if match}


def _nearly_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """But for the order of sums, which follows the alignment of memory."""
    return bool((one - other).abs().max() <= 1e-4 * one.abs().max()) if one.numel() else True


def _other_bits(
    rounding: dict[str, float], ours: torch.nn.Module, loaded: torch.nn.Module
) -> Iterator[str]:
    one, other = tensors_of(ours), tensors_of(loaded)
    for name, tensor in one.items():
        wanted = other.get(name)
        if wanted is None:
            yield f"the loaded model has no {name}"
            continue
        largest = float((tensor - wanted).abs().max()) if name in rounding else 0.0
        if name in rounding and largest > 1.01 * rounding[name]:
            yield f"{name} differs by {largest:.1e}, not by {rounding[name]:.1e}"
        elif name not in rounding and not torch.equal(
            torch.nan_to_num(tensor), torch.nan_to_num(wanted)
        ):
            yield f"{name} has other bits when loaded"


def _outputs(architecture: Architecture, model: torch.nn.Module) -> list[torch.Tensor]:
    """The floating-point tensors that a forward pass returns."""
    torch.manual_seed(0)
    with torch.no_grad():
        out = model(**architecture.inputs(model))
    leaves = tree_leaves(dict(out))
    return [v for v in leaves if isinstance(v, torch.Tensor) and v.is_floating_point()]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found of an architecture: its size, and what is wrong, by check."""

    architecture: Architecture
    parameters: int
    tensors: int
    wrong: dict[str, list[str]]


def examined(architecture: Architecture) -> Outcome:
    """All checks of an architecture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrong = {name: _found(check, architecture) for name, check in CHECKS.items()}
    sizes = _sizes(architecture)
    return Outcome(architecture, sum(sizes), len(sizes), wrong)


def _sizes(architecture: Architecture) -> list[int]:
    """Elements of each parameter; none if the model cannot be made."""
    try:
        model = built(architecture, torch.float32)
    except Exception:  # noqa: BLE001 - every check has said so
        return []
    return [parameter.numel() for parameter in model.parameters()]


CHECKS = {"a": structure, "b": distributions, "c": loading, "d": running}
KNOWN = (
    "integers are not written",
    "values, which are too many for a scheme's text and follow no formula",
    "which no scheme makes",
)
"""What is known not to work, whatever the model."""


def unexpected(outcome: Outcome) -> list[str]:
    """What is wrong beside what is known."""
    return [
        f"{check}: {text}"
        for check, found in outcome.wrong.items()
        for text in found
        if not any(known in text for known in KNOWN)
    ]


def _found(check: Callable[[Architecture], Iterator[str]], architecture: Architecture) -> list[str]:
    """What a check finds; what it raises is a finding, too."""
    try:
        return list(check(architecture))
    except Exception as error:  # noqa: BLE001 - the table reports whatever a model raises
        return [f"{type(error).__name__}: {error}"]
