# SPDX-License-Identifier: MIT
"""`deferred` and `materialize`: what users can do between them, and what cannot be made."""

from __future__ import annotations

import copy
import math
import random
import threading

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402 - only where torch is

import fastinit as fi  # noqa: E402
import fastinit.torch as ft  # noqa: E402
from fastinit.errors import ModuleError  # noqa: E402


def built(make, **options):
    with ft.deferred():
        module = make()
    return ft.materialize(module, **{"seed": 0, **options})


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


class One(nn.Module):
    """A module whose only parameter a function makes."""

    def __init__(self, make):
        super().__init__()
        self.weight = nn.Parameter(make())


def test_nothing_is_drawn_or_allocated():
    state = torch.random.get_rng_state()
    with ft.deferred():
        layer = nn.Linear(2**20, 2**20)  # 4 TiB
    assert layer.weight.is_meta
    assert layer.bias.is_meta
    assert torch.equal(torch.random.get_rng_state(), state)
    built(mlp)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_every_tensor_has_the_values_of_its_full_name():
    module = built(mlp, seed=7)
    for name, scheme in (
        ("0.weight", fi.schemes.torch_linear()),
        ("0.bias", fi.schemes.torch_bias(fan_in=8)),
        ("2.weight", fi.schemes.torch_linear()),
        ("2.bias", fi.schemes.torch_bias(fan_in=16)),
    ):
        tensor = module.get_parameter(name)
        wanted = fi.array(tuple(tensor.shape), scheme, seed=7, name=name)
        assert np.array_equal(tensor.detach().numpy(), wanted)


def test_other_layers_change_no_layer():
    small = built(mlp)
    large = built(lambda: nn.Sequential(*mlp(), nn.Linear(4, 4)))
    for name, tensor in small.named_parameters():
        assert torch.equal(tensor, large.get_parameter(name))


def test_a_module_is_named_from_where_it_ends_up():
    with ft.deferred():
        inner = mlp()
        outer = nn.ModuleDict({"body": inner})
    ft.materialize(outer, seed=0)
    wanted = fi.array((16, 8), fi.schemes.torch_linear(), seed=0, name="body.0.weight")
    assert np.array_equal(inner[0].weight.detach().numpy(), wanted)
    assert np.array_equal(
        built(mlp, prefix="body")[0].weight.detach().numpy(), inner[0].weight.detach().numpy()
    )


def test_functions_of_torch_are_restored():
    function, code = nn.init.kaiming_uniform_, nn.init.kaiming_uniform_.__code__
    names = set(vars(torch.nn.init))
    with ft.deferred():
        assert nn.init.kaiming_uniform_ is function
        assert function.__code__ is not code
        with ft.deferred():
            nn.Linear(2, 2)
        assert function.__code__ is not code
    assert function.__code__ is code
    assert set(vars(torch.nn.init)) == names
    with pytest.raises(ZeroDivisionError), ft.deferred():
        raise ZeroDivisionError
    assert function.__code__ is code
    assert nn.Linear(2, 2).weight.device.type == "cpu"


def test_other_threads_are_not_affected():
    found = []

    def work():
        layer = nn.Linear(3, 4)
        nn.init.trunc_normal_(layer.weight)
        found.append(layer)

    with ft.deferred():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        inside = nn.Linear(3, 4)
    assert not found[0].weight.is_meta
    assert found[0].weight.abs().max() > 0
    assert inside.weight.is_meta


def test_the_dtype_is_asked_for_at_the_end():
    class Islands(nn.Module):
        def __init__(self):
            super().__init__()
            self.free = nn.Linear(4, 4)
            self.kept = nn.Linear(4, 4, dtype=torch.float32)
            self.norm = nn.BatchNorm1d(4)

    module = built(Islands, dtype=torch.bfloat16)
    assert module.free.weight.dtype == torch.bfloat16
    assert module.kept.weight.dtype == torch.float32
    assert module.norm.running_var.dtype == torch.bfloat16
    assert module.norm.num_batches_tracked.dtype == torch.int64
    plain = built(Islands)
    assert torch.equal(module.free.weight, plain.free.weight.to(torch.bfloat16))
    assert built(Islands, dtype="float16").free.weight.dtype == torch.float16


def test_the_default_dtype_is_that_of_the_constructor():
    torch.set_default_dtype(torch.float64)
    try:
        module = built(mlp)
    finally:
        torch.set_default_dtype(torch.float32)
    assert module[0].weight.dtype == torch.float64
    wanted = fi.array((16, 8), fi.schemes.torch_linear(), seed=0, name="0.weight", dtype="float64")
    assert np.array_equal(module[0].weight.detach().numpy(), wanted)


def test_rules_decide_before_the_record():
    module = built(mlp, rules=[("*.bias", "zeros()"), ("2.*", fi.he_normal())])
    assert not module[0].bias.any()
    wanted = fi.array((4, 16), fi.he_normal(), seed=0, name="2.weight")
    assert np.array_equal(module[2].weight.detach().numpy(), wanted)
    with pytest.raises(ValueError, match=r"rule 1 .* is never used: it matches no tensor"):
        built(mlp, rules={"nothing": "zeros()"})


def test_rules_make_what_the_record_cannot():
    make = lambda: One(lambda: torch.empty(4, 4))  # noqa: E731
    with pytest.raises(ModuleError, match="'weight': it was never initialised"):
        built(make)
    assert built(make, rules={"weight": "ones()"}).weight.sum() == 16


def test_a_module_can_be_changed_on_meta_in_between():
    with ft.deferred():
        module = mlp()
    module[2] = nn.Identity()
    module.append(module[0])
    ft.materialize(module, seed=0)
    assert module[3].weight is module[0].weight
    with ft.deferred():
        moved = mlp()
    moved.to_empty(device="cpu")
    ft.materialize(moved, seed=0)
    assert torch.equal(moved[0].weight, built(mlp)[0].weight)


def test_an_optimiser_made_before_stays_right():
    with ft.deferred():
        module = mlp()
        optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    ft.materialize(module, seed=0)
    before = module[0].weight.detach().clone()
    module(torch.ones(2, 8)).sum().backward()
    optimiser.step()
    assert not torch.equal(module[0].weight, before)


def test_attributes_of_parameters_survive():
    class Marked(nn.Parameter):
        pass

    def make():
        layer = nn.Linear(4, 4)
        layer.weight._no_weight_decay = True
        layer.bias = Marked(torch.zeros(4), requires_grad=False)
        return layer

    layer = built(make)
    assert layer.weight._no_weight_decay
    assert type(layer.bias) is Marked
    assert not layer.bias.requires_grad


def test_rnns_run_afterwards():
    lstm = built(lambda: nn.LSTM(4, 5, num_layers=2))
    out, _ = lstm(torch.ones(3, 2, 4))
    assert out.isfinite().all()
    assert out.abs().max() > 0
    assert all(a is b for a, b in zip(lstm._flat_weights, lstm.parameters(), strict=True))


def test_channels_last_stays():
    def make():
        return nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)

    layer = built(make)
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(layer.weight, built(lambda: nn.Conv2d(4, 8, 3)).weight)


def test_copies_are_distinct_or_equal():
    def make():
        return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3)

    module = built(make)
    first, second = (module.layers[k].linear1.weight for k in (0, 1))
    assert not torch.equal(first, second)
    equal = built(make, clones="equal")
    assert torch.equal(equal.layers[0].linear1.weight, equal.layers[2].linear1.weight)
    assert torch.equal(equal.layers[0].linear1.weight, first)
    assert equal.layers[0].linear1.weight is not equal.layers[2].linear1.weight
    with pytest.raises(ValueError, match="clones is 'same': choose 'distinct' or 'equal'"):
        built(make, clones="same")


def test_explicit_copies_are_equal():
    class Momentum(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key = nn.Linear(4, 4), nn.Linear(4, 4)
            for a, b in zip(self.query.parameters(), self.key.parameters(), strict=True):
                b.data.copy_(a.data)

    module = built(Momentum)
    assert torch.equal(module.query.weight, module.key.weight)
    assert torch.equal(module.query.bias, module.key.bias)


def test_a_copied_module_is_made_as_the_first():
    with ft.deferred():
        module = copy.deepcopy(mlp())
    later = copy.deepcopy(module)
    assert torch.equal(ft.materialize(module, seed=0)[0].weight, built(mlp)[0].weight)
    assert torch.equal(ft.materialize(later, seed=0)[0].weight, module[0].weight)


def test_tensors_that_are_neither_parameter_nor_buffer_become_real():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = torch.arange(4) / 2
            self.layer = nn.Linear(2, 2)

    assert built(Plain).steps.tolist() == [0, 0.5, 1, 1.5]


def test_tied_storage_is_drawn_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.b = nn.Linear(4, 4)
            self.b.weight = self.a.weight

    module = built(Tied)
    assert module.a.weight is module.b.weight
    wanted = fi.array((4, 4), fi.schemes.torch_linear(), seed=0, name="a.weight")
    assert np.array_equal(module.b.weight.detach().numpy(), wanted)


CANNOT = {
    "never written": (lambda: torch.empty(3, 4), "it was never initialised"),
    "half written": (
        lambda: torch.cat([torch.randn(2, 4), torch.empty(1, 4)]),
        "it was never initialised",
    ),
    "normalised": (lambda: (w := torch.randn(3, 4)) / w.norm(), "from a draw by torch's"),
    "svd": (lambda: torch.linalg.svd(torch.randn(4, 4))[0], "from a draw by torch's"),
    "mask": (lambda: torch.randn(3, 4) * (torch.rand(3, 4) > 0.5), "from a draw by torch's"),
    "two draws": (lambda: torch.randn(3, 4) + torch.rand(3, 4), "from a draw by torch's"),
    "aligned otherwise": (lambda: (w := torch.randn(4, 4)) + w.T, "from a draw by torch's"),
    "repeated": (lambda: torch.randn(1, 4).repeat(3, 1), "one draw is repeated"),
    "expanded": (lambda: torch.randn(1, 4).expand(3, 4).clone(), "one draw is repeated"),
    "bernoulli": (lambda: torch.bernoulli(torch.full((3, 4), 0.5)), "by torch's bernoulli"),
    "integers": (lambda: torch.randint(0, 3, (3, 4)).float(), "by torch's randint"),
    "generator": (
        lambda: torch.empty(3, 4).normal_(generator=torch.Generator()),
        "it is drawn from a torch.Generator",
    ),
    "numpy": (lambda: torch.from_numpy(np.random.rand(3, 4)), "drawn by numpy.random"),
    "python": (lambda: torch.tensor([random.random(), random.random()]), "drawn by random"),
    "sine": (lambda: torch.sin(torch.randn(3, 4)), "from a draw by torch's sin"),
    "sorted": (lambda: torch.randn(4).sort()[0], "from a draw by torch's sort"),
}


@pytest.mark.parametrize(("make", "why"), CANNOT.values(), ids=CANNOT)
def test_what_cannot_be_made_is_an_error_with_its_line(make, why):
    with ft.deferred():
        module = One(make)
    with pytest.raises(ModuleError, match=why) as caught:
        ft.materialize(module, seed=0)
    assert list(caught.value.problems) == ["weight"]
    assert "test_deferred.py:" in str(caught.value)
    assert module.weight.is_meta or "numpy" in why


def test_all_problems_are_listed_at_once():
    with ft.deferred():
        module = nn.ModuleList(One(lambda: torch.empty(2, 2)) for _ in range(30))
    with pytest.raises(ModuleError, match="fastinit cannot make\n30 tensors:") as caught:
        ft.materialize(module, seed=0)
    assert len(caught.value.problems) == 30
    assert "and 10 more" in str(caught.value)


def test_what_reads_values_raises_with_its_line():
    def make():
        weight = torch.randn(3)
        return weight / weight.std().item()

    with pytest.raises(RuntimeError, match="meta"), ft.deferred():
        One(make)


def test_a_module_made_elsewhere_is_an_error():
    layer = nn.Linear(2, 2)
    with pytest.raises(ModuleError, match=r"it was not made under fastinit.torch.deferred\(\)"):
        ft.materialize(layer, seed=0)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"dtype": "int8"}, ValueError, "dtype 'int8' is not supported"),
    ],
)
def test_bad_arguments(options, error, match):
    with ft.deferred():
        module = mlp()
    with pytest.raises(error, match=match):
        ft.materialize(module, **{"seed": 0, **options})
    assert module[0].weight.is_meta
    with pytest.raises(TypeError, match=r"module is a int: need a torch.nn.Module"):
        ft.materialize(3, seed=0)


def test_lazy_modules_say_what_to_do():
    with pytest.raises(ModuleError, match=r"'weight': .*run one forward"):
        built(lambda: nn.LazyLinear(4))


def test_spectral_norm_says_what_it_is():
    with pytest.raises(ModuleError, match="_u"):
        built(lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)))


def test_the_seed_and_the_name_decide():
    one, other = built(mlp, seed=1), built(mlp, seed=2)
    assert not torch.equal(one[0].weight, other[0].weight)
    stds = [layer.weight.std() * math.sqrt(3 * layer.in_features) for layer in one[::2]]
    assert all(0.7 < std < 1.3 for std in stds)


def test_a_cast_in_between_is_kept():
    with ft.deferred():
        module = mlp()
    module.bfloat16()
    ft.materialize(module, seed=0)
    assert module[0].weight.dtype == torch.bfloat16
    assert torch.equal(module[0].weight, built(mlp)[0].weight.bfloat16())
