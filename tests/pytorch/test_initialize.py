# SPDX-License-Identifier: MIT
"""`initialize_`, `verify` and `plan` of modules that exist, and `accelerate`."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning"),
]
torch = pytest.importorskip("torch")

import torch_modules  # noqa: E402 - only where torch is
from torch import nn  # noqa: E402

import fastinit as fi  # noqa: E402
import fastinit.torch as ft  # noqa: E402
from fastinit.errors import ModuleError  # noqa: E402

UNREACHED = {  # what only a constructor does
    "weight norm of old",
    "weight norm",
    "weight norm of axis 1",
    "weight norm of one channel",
    "weight norm of all",
}


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def tensors_of(module):
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


REACHED = {name: make for name, make in torch_modules.LAYERS.items() if name not in UNREACHED}


@pytest.mark.parametrize("make", REACHED.values(), ids=REACHED)
def test_layers_of_torch_get_what_their_constructors_make(make):
    """Reset functions and constructors agree, so both ways give the same bits."""
    with ft.deferred():
        recorded = make()
    recorded = ft.materialize(recorded, seed=3)
    module = make()
    report = ft.initialize_(module, seed=3)
    assert set(report.left) <= set(dict(module.named_buffers()))
    for (name, one), (_, other) in zip(
        module.named_parameters(), recorded.named_parameters(), strict=True
    ):
        assert torch.equal(one, other), name
    assert ft.verify(module, seed=3) == ft.verify(recorded, seed=3)
    again = ft.initialize_(module, seed=3)
    assert again == report


@pytest.mark.parametrize("name", sorted(UNREACHED))
def test_what_only_a_constructor_does_is_not_reached(name):
    module = torch_modules.LAYERS[name]()
    before = {key: tensor.detach().clone() for key, tensor in tensors_of(module).items()}
    with pytest.raises(ModuleError, match="fastinit cannot draw") as caught:
        ft.initialize_(module, seed=0)
    assert caught.value.problems
    for key, tensor in tensors_of(module).items():
        assert torch.equal(tensor, before[key])


class Own(nn.Module):
    """A model that initialises all its layers by one function, as libraries do."""

    def __init__(self, std: float = 0.02):
        super().__init__()
        self.std = {"linear": std}  # a plain object that resets depend on
        self.embedding = nn.Embedding(30, 8)
        self.layers = nn.ModuleList(mlp() for _ in range(2))
        self.head = nn.Linear(8, 30, bias=False)
        self.head.weight = self.embedding.weight
        self.apply(self._init_weights)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=self.std["linear"])
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=2 * self.std["linear"])


def test_the_model_s_own_function_decides_last():
    module = Own()
    report = ft.initialize_(module, seed=0)
    assert report["layers.0.0.weight"].scheme == "normal(std=0.02)"
    assert "_init_weights" in report["layers.0.0.weight"].why
    assert report["layers.1.2.bias"].scheme == "zeros()"
    assert report["head.weight"].outcome == "tied"
    assert report["head.weight"].scheme == "embedding.weight"
    assert not report.left
    module.std["linear"] = 0.5
    assert ft.initialize_(module, seed=0)["layers.0.0.weight"].scheme == "normal(std=0.5)"


def test_strict_or_not():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.scale = nn.Parameter(torch.full((4,), 3.0))

    module = Half()
    with pytest.raises(ModuleError, match="'scale': no reset_parameters or _init_weights"):
        ft.initialize_(module, seed=0)
    report = ft.initialize_(module, seed=0, strict=False)
    assert report.left == ("scale",)
    assert module.scale.tolist() == [3.0] * 4
    assert ft.initialize_(module, seed=0, rules={"scale": "zeros()"}).left == ()
    assert not module.scale.any()


def test_a_report_is_a_table():
    report = ft.initialize_(Own(), seed=0)
    lines = str(report).splitlines()
    assert len(report) == len(lines) - 1 == 10
    assert lines[0].split() == ["name", "shape", "dtype", "outcome", "scheme", "why"]
    assert [row.name for row in report] == [line.split()[0] for line in lines[1:]]
    assert "30 x 8" in lines[1]
    with pytest.raises(KeyError):
        report["nothing"]


def test_the_module_itself_does_not_run():
    """Resets run on a twin: the module's tensors and the generator are not touched by them."""
    state = torch.random.get_rng_state()
    module = Own()
    torch.random.set_rng_state(state)
    ft.initialize_(module, seed=0)
    assert torch.equal(torch.random.get_rng_state(), state)
    with ft.deferred():
        pass
    ft.verify(module, seed=0)
    assert all(not tensor.is_meta for tensor in tensors_of(module).values())


def test_a_reset_that_reaches_outside_is_an_error():
    outside = nn.Linear(2, 2)

    class Leaky(nn.Linear):
        def reset_parameters(self):
            super().reset_parameters()
            nn.init.ones_(outside.weight)

    module = Leaky(2, 2)
    outside.reset_parameters()
    before = outside.weight.detach().clone()
    with pytest.raises(
        ModuleError, match=r"Leaky\.reset_parameters: it writes to a tensor that is not its own"
    ):
        ft.initialize_(module, seed=0)
    assert torch.equal(outside.weight, before)


def test_a_reset_that_fails_on_meta_says_so():
    class Reads(nn.Linear):
        def reset_parameters(self):
            super().reset_parameters()
            if self.weight.std().item() > 1:
                self.weight.data.zero_()

    with torch.no_grad():
        module = Reads(2, 2)
    with pytest.raises(ModuleError, match=r"Reads.reset_parameters fails on the meta device"):
        ft.initialize_(module, seed=0)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_names_of_wrappers_are_left_out():
    inner = mlp()
    wrapped = nn.DataParallel(inner)
    report = ft.initialize_(wrapped, seed=0)
    assert [row.name for row in report] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    compiled = torch.compile(inner)
    assert ft.verify(compiled, seed=0) == sum(p.numel() for p in inner.parameters())

    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(2, 2)  # a user's own name

    assert [row.name for row in ft.initialize_(Holder(), seed=0)] == [
        "module.weight",
        "module.bias",
    ]


def test_checkpoint_wrappers_are_left_out():
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    module = nn.Sequential(checkpoint_wrapper(nn.Linear(2, 2)))
    assert [row.name for row in ft.initialize_(module, seed=0)] == ["0.weight", "0.bias"]


def test_verify_says_where_a_tensor_differs_first():
    module = mlp()
    ft.initialize_(module, seed=0)
    with torch.no_grad():
        module[0].weight[3, 5] += 1
        module[2].bias[1] = float("nan")
    with pytest.raises(ModuleError) as caught:
        ft.verify(module, seed=0)
    assert caught.value.problems == {
        "0.weight": "it differs from its recipe first at index (3, 5)",
        "2.bias": "it differs from its recipe first at index (1,)",
    }
    with pytest.raises(ModuleError, match="seed 1 does not make\n4 tensors:"):
        ft.verify(module, seed=1)


def test_verify_of_matrices_and_parts():
    class Matrices(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.empty(40, 30))
            self.halves = nn.Parameter(torch.empty(40, 30))

        def reset_parameters(self):
            nn.init.orthogonal_(self.weight)
            nn.init.orthogonal_(self.halves[:20])
            nn.init.normal_(self.halves[20:])

    module = Matrices()
    ft.initialize_(module, seed=0)
    assert ft.verify(module, seed=0) == 2400
    product = module.weight.T @ module.weight
    assert torch.allclose(product, torch.eye(30), atol=1e-5)
    half = module.halves[:20]
    assert torch.allclose(half @ half.T, torch.eye(20), atol=1e-5)


def test_verify_compares_the_bits_around_a_matrix():
    """Of a matrix, which another machine computes a little differently, it does not."""

    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(40, 30))

        def reset_parameters(self):
            nn.init.orthogonal_(self.weight[:20])
            nn.init.zeros_(self.weight[20:])

    module = Half()
    ft.initialize_(module, seed=0)
    with torch.no_grad():
        module.weight[3, 5] *= 1 + 2**-23
    assert ft.verify(module, seed=0) == 1200
    with torch.no_grad():
        module.weight[25, 3] = -0.0
    with pytest.raises(ModuleError) as caught:
        ft.verify(module, seed=0)
    words = "it differs from its recipe first at index (25, 3)"
    assert caught.value.problems == {"weight": words}


def test_a_plan_is_what_the_module_holds(tmp_path):
    with ft.deferred():
        module = Own()
    plan = ft.plan(module, name="own", config={"std": 0.02})
    assert [tensor.name for tensor in plan] == list(dict(module.named_parameters()))
    assert "test_initialize.py" in plan["layers.0.0.weight"].scheme.reason
    fi.write(plan, tmp_path, seed=5)
    fi.verify(tmp_path)
    ft.materialize(module, seed=5)
    checkpoint = fi.open(tmp_path)
    for name, tensor in module.named_parameters():
        assert np.array_equal(checkpoint[name], tensor.detach().numpy())
    changed = plan.with_rules([("*.bias", "ones()"), ("*", "normal(std=1)")])
    assert str(changed["layers.0.0.bias"].scheme) == "ones()"


def test_a_plan_of_a_module_that_exists_and_of_one_on_meta():
    plan = ft.plan(mlp())
    with torch.device("meta"):
        assert ft.plan(mlp()) == plan
    with ft.deferred():
        module = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4, dtype=torch.float64))
    plan = ft.plan(module, dtype="bfloat16")
    assert [(t.name, t.dtype) for t in plan] == [
        ("0.weight", "bfloat16"),
        ("0.bias", "bfloat16"),
        ("0.running_mean", "bfloat16"),
        ("0.running_var", "bfloat16"),
        ("1.weight", "float64"),
        ("1.bias", "float64"),
    ]


def test_tables_of_a_plan():
    with ft.deferred():
        module = torch_modules.Tables()
    plan = ft.plan(module)
    assert str(plan["table"].scheme) == "sinusoid(kind='halves')"
    assert str(plan["pair"].scheme) == "literal(values=((1, 2), (3, 4.5)))"
    assert "positions" not in plan
    assert "frequencies" not in plan
    for name in ("scale", "ramp", "pair", "array", "eye"):
        values = fi.array(plan[name].shape, plan[name].scheme, seed=0, name=name)
        theirs = torch_modules.Tables().get_parameter(name)
        assert np.array_equal(values, theirs.detach().numpy()), name


def test_accelerate_changes_one_line():
    with ft.accelerate(seed=0):
        model = mlp()
    ft.verify(model, seed=0)
    with ft.accelerate(seed=0, dtype=torch.bfloat16, rules={"*.bias": "zeros()"}):
        model = mlp()
    assert model[0].weight.dtype == torch.bfloat16
    assert not model[0].bias.any()


def test_accelerate_of_several_models_needs_names():
    def models(*names):
        with ft.accelerate(seed=0) as named:
            for name in names:
                named(name, mlp())

    def two():
        with ft.accelerate(seed=0):
            return mlp(), mlp()

    with pytest.raises(ModuleError, match="2 models without a name were made"):
        two()
    with ft.accelerate(seed=0) as named:
        one, other = named("one", mlp()), named("other", mlp())
    assert not torch.equal(one[0].weight, other[0].weight)
    ft.verify(one, seed=0, prefix="one")
    with pytest.raises(ValueError, match="two models have the name 'one'"):
        models("one", "one")
    with pytest.raises(ValueError, match="the name of a model is ''"):
        models("")
    with pytest.raises(TypeError, match="module is a str"), ft.accelerate(seed=0) as named:
        named("one", "mlp")


def test_accelerate_passes_errors_on():
    with pytest.raises(ZeroDivisionError), ft.accelerate(seed=0):
        raise ZeroDivisionError


class TiedHead(nn.Module):
    """An embedding tied to a head, by a constructor that initialises neither of them again."""

    def __init__(self, head):
        super().__init__()
        self.embedding = nn.Embedding(30, 8, padding_idx=0)
        self.head = head
        self.head.weight = self.embedding.weight


def test_modules_that_share_a_tensor_must_agree_on_it():
    module = TiedHead(nn.Linear(8, 30, bias=False))
    why = "modules share it, and Embedding.reset_parameters and Linear.reset_parameters make it"
    with pytest.raises(ModuleError, match=why):
        ft.initialize_(module, seed=0)
    report = ft.initialize_(module, seed=0, rules={"embedding.weight": "normal(std=1)"})
    assert report["embedding.weight"].scheme == "normal()"
    alike = TiedHead(nn.Embedding(30, 8, padding_idx=0))
    assert ft.initialize_(alike, seed=0)["head.weight"].scheme == "embedding.weight"
    with ft.deferred():
        recorded = TiedHead(nn.Linear(8, 30, bias=False))
    assert not ft.materialize(recorded, seed=0).head.weight[0].any()


def test_a_reset_around_all_that_share_a_tensor_decides():
    class Around(TiedHead):
        def reset_parameters(self):
            nn.init.normal_(self.head.weight, std=0.1)

    report = ft.initialize_(Around(nn.Linear(8, 30, bias=False)), seed=0)
    assert report["embedding.weight"].scheme == "normal(std=0.1)"
