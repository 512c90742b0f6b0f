# SPDX-License-Identifier: MIT
"""Whole modules between `deferred` and `materialize`: what is shared, kept, changed or nested."""

from __future__ import annotations

import copy
import functools
import gc

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402 - only where torch is
from torch_samples import assert_as_pytorch_makes, materialised, tensors_of  # noqa: E402

import fastinit.torch as ft  # noqa: E402
from fastinit.errors import ModuleError  # noqa: E402


def with_parts(fill):
    """A function that makes a module which `fill` gave its parts."""

    def make():
        module = nn.Module()
        fill(module)
        return module

    return make


def recorded(make):
    with ft.deferred():
        return make()


@functools.lru_cache
def shared_table():
    return torch.arange(7.0)


def tied_by_data(module):
    module.embedding, module.head = nn.Embedding(20, 10), nn.Linear(10, 20, bias=False)
    module.head.weight.data = module.embedding.weight.data
    nn.init.normal_(module.head.weight, std=0.02)


def momentum(module):
    module.online, module.target = nn.Linear(30, 20), nn.Linear(30, 20)
    module.target.load_state_dict(module.online.state_dict())


def lists(module):
    module.layers = nn.ParameterList([torch.randn(6, 5) * 0.1 for _ in range(3)])
    module.named = nn.ParameterDict({"a": torch.randn(6, 5), "b": nn.Parameter(torch.zeros(3))})


def evaluated(module):
    """A forward pass that only asks for a shape, with running statistics left alone."""
    module.layer, module.norm = nn.Linear(3, 2), nn.BatchNorm1d(2).eval()
    with torch.no_grad():
        width = module.norm(module.layer(torch.zeros(1, 3))).shape[-1]
    module.out = nn.Linear(width, 4)


def moved(module):
    module.layer = nn.Linear(30, 20).to("cpu").cpu().to(device="cpu", dtype=torch.bfloat16)


def by_hook(module):
    module.layer = nn.Linear(30, 20)
    module.layer.register_forward_pre_hook(lambda layer, _: nn.init.ones_(layer.weight))
    module.layer(torch.ones(1, 30))


def on_the_cpu(module):
    with torch.device("cpu"):
        module.layer = nn.Linear(30, 20)


def cached(module):
    module.register_buffer("table", shared_table())


MODULES = [tied_by_data, momentum, lists, evaluated, moved, by_hook, on_the_cpu]


@pytest.mark.parametrize("fill", MODULES, ids=lambda fill: fill.__name__)
def test_a_module_is_made_as_its_constructor_makes_it(fill):
    assert_as_pytorch_makes(with_parts(fill), 30)


def test_tensors_in_lists_become_real():
    def fill(module):
        module.layer = nn.Linear(2, 2)
        module.steps = [torch.arange(3.0), {"a": torch.ones(2), "b": (torch.zeros(1),)}]

    module = materialised(with_parts(fill), 0)
    assert module.steps[0].tolist() == [0, 1, 2]
    assert module.steps[1]["a"].tolist() == [1, 1]
    assert module.steps[1]["b"][0].tolist() == [0]


def test_two_models_share_a_cached_table():
    first, second = recorded(with_parts(cached)), recorded(with_parts(cached))
    for module in (second, first):
        assert ft.materialize(module, seed=0).table.tolist() == list(range(7))
    shared_table.cache_clear()


def test_nested_recordings_are_one():
    def fill(module):
        with ft.deferred():
            weight = torch.zeros(60, 50)
            nn.init.trunc_normal_(weight)
        module.weight = nn.Parameter(weight)

    module = recorded(with_parts(fill))
    assert 0.7 < ft.materialize(module, seed=0).weight.std() < 1


def test_a_later_recording_goes_on():
    inner = recorded(lambda: nn.Linear(3, 4))
    with ft.deferred():
        outer = nn.Sequential(inner, nn.Linear(4, 3))
        nn.init.zeros_(inner.weight)
        with torch.no_grad():
            inner.bias.mul_(2)
    ft.materialize(outer, seed=0)
    alone = ft.materialize(recorded(lambda: nn.Sequential(nn.Linear(3, 4))), seed=0)
    assert not inner.weight.any()
    assert torch.equal(inner.bias, alone[0].bias * 2)


def test_parts_from_outside_are_kept():
    trained = nn.Linear(3, 4)
    model = recorded(lambda: nn.Sequential(trained, nn.Linear(4, 3)))
    nn.init.constant_(trained.weight, 7)
    ft.materialize(model, seed=0)
    assert bool((trained.weight == 7).all())
    report = ft.initialize_(model, seed=1)
    assert report["0.weight"].outcome == "computed"
    assert bool((trained.weight == 7).all())
    ft.verify(model, seed=1)
    assert str(ft.plan(model)["0.weight"].scheme) == "constant(value=7)"
    ruled = ft.initialize_(model, seed=1, rules=[("0.weight", "zeros()")])
    assert ruled["0.weight"].outcome == "drawn"
    assert not trained.weight.any()


def test_modules_that_were_dropped_leave_no_trace():
    def make():
        for _ in range(300):
            nn.Linear(2, 2)
        gc.collect()
        return nn.Linear(30, 20)

    assert materialised(make, 0).weight.device.type == "cpu"


def replaced(module):
    module.weight = nn.Parameter(torch.ones(5, 6))


def cut(module):
    module.weight.data = module.weight.data[:2]


def initialised(module):
    nn.init.normal_(module.weight)


def scaled(module):
    with torch.no_grad():
        module.weight[1:].mul_(2)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (replaced, r"its shape is \(5, 6\), and \(4, 3\) was recorded"),
        (cut, r"its shape is \(2, 3\), and \(4, 3\) was recorded"),
        (initialised, "it was written to after fastinit.torch.deferred"),
        (scaled, "it was written to after fastinit.torch.deferred"),
    ],
)
def test_what_is_done_after_the_recording_is_an_error(change, why):
    module = recorded(lambda: nn.Linear(3, 4))
    change(module)
    with pytest.raises(ModuleError, match=why) as caught:
        ft.materialize(module, seed=0)
    assert list(caught.value.problems) == ["weight"]
    assert module.bias.is_meta


def test_materialize_inside_a_recording_is_an_error():
    with pytest.raises(ModuleError, match="call it after the block of deferred"), ft.deferred():
        ft.materialize(nn.Linear(2, 2), seed=0)
    outer = pytest.raises(ModuleError, match=r"leave out the accelerate\(\)")
    with outer, ft.accelerate(seed=0), ft.accelerate(seed=1):
        layer = nn.Linear(2, 2)
    with ft.accelerate(seed=0), ft.deferred():
        layer = nn.Linear(2, 2)
    assert layer.weight.device.type == "cpu"


def test_initialize_of_a_module_on_meta_changes_nothing():
    trained = nn.Linear(3, 4)
    before = trained.weight.detach().clone()
    model = nn.Sequential(trained, nn.Linear(4, 3, device="meta"))
    with pytest.raises(ModuleError, match=r"(?s)no memory to write to for.*'1.weight': it is on"):
        ft.initialize_(model, seed=0)
    assert torch.equal(trained.weight, before)


def test_initialize_draws_one_memory_once():
    model = with_parts(tied_by_data)()
    rules = {"embedding.weight": "normal(std=1)"}
    report = ft.initialize_(model, seed=0, rules=rules)
    assert report["head.weight"].outcome == "tied"
    assert torch.equal(model.head.weight, model.embedding.weight)
    ft.verify(model, seed=0, rules=rules)


def test_batch_norm_in_training_changes_what_it_does_not_name():
    def fill(module):
        module.norm = nn.BatchNorm1d(2)
        module.norm(torch.randn(5, 2))

    with pytest.raises(ModuleError, match="torch's native_batch_norm changes it") as caught:
        materialised(with_parts(fill), 0)
    assert list(caught.value.problems) == ["norm.running_mean", "norm.running_var"]


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (lambda w: w.sum().item(), "item"),
        (lambda w: w.tolist(), "tolist"),
        (lambda w: w.numpy(), "numpy"),
        (lambda w: w[w > 0], "index"),
        (lambda w: torch.tensor([w[0], 1.0]), "tensor"),
    ],
)
def test_the_values_of_a_draw_cannot_be_read(ask, name):
    with pytest.raises(RuntimeError, match=f"torch's {name} needs the values .* drawn") as caught:
        recorded(lambda: ask(torch.randn(3)))
    assert "test_recordings.py:" in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.sparse_coo_tensor(torch.zeros(2, 1), torch.ones(1), (3, 3)),
    ],
)
def test_sparse_tensors_say_what_to_do(make):
    with pytest.raises(NotImplementedError, match=r"a torch.sparse_coo tensor cannot be recorded"):
        recorded(make)


@pytest.mark.filterwarnings("ignore:(?s).*Dynamo detected a call:UserWarning")
def test_a_compiled_function_runs_inside():
    double = torch.compile(lambda x: x * 2, backend="eager")
    module = materialised(with_parts(lambda m: m.register_buffer("b", double(torch.ones(3)))), 0)
    assert tensors_of(module)["b"].tolist() == [2, 2, 2]


def test_a_copy_of_a_recorded_module_is_its_own():
    module = recorded(lambda: nn.Linear(3, 4))
    other = copy.deepcopy(module)
    ft.materialize(module, seed=0)
    assert module.weight.any()
    assert other.weight.is_meta
    assert torch.equal(ft.materialize(other, seed=0).weight, module.weight)
