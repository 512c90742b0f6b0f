# SPDX-License-Identifier: MIT
"""LSUV of layers that are shared, hidden or fused, and mistakes."""

from __future__ import annotations

import math

import pytest

import fastinit as fi

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.frameworks

from watched_modules import normals, same, state  # noqa: E402

from fastinit.torch import lsuv_  # noqa: E402


class Twice(nn.Module):
    """One layer, called on its own output."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        return self.layer(torch.relu(self.layer(x)))


class Tied(nn.Module):
    """Two layers of one weight, of which the second one registered is executed first."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.Linear(8, 8)
        self.encoder = nn.Linear(8, 8)
        self.encoder.weight = self.decoder.weight

    def forward(self, x):
        return self.decoder(torch.relu(self.encoder(x)))


# ---- hard layers --------------------------------------------------------------------------------


def test_a_layer_called_twice_is_scaled_for_its_first_call():
    net, batch = Twice(), 3 * normals(64, 8)
    row = lsuv_(net, batch).layers[0]
    assert (row.calls, row.iterations) == (2, 1)
    with torch.no_grad():
        assert float(net.layer(batch).var(correction=0)) == pytest.approx(1, abs=1e-5)


def test_a_tied_weight_is_scaled_once_for_the_layer_executed_first():
    net, batch = Tied(), 3 * normals(64, 8)
    report = lsuv_(net, batch)
    assert [(row.name, row.tied, row.iterations) for row in report.layers] == [
        ("encoder", None, 1),
        ("decoder", "encoder", 0),
    ]
    with torch.no_grad():
        hidden = net.encoder(batch)
        assert float(hidden.var(correction=0)) == pytest.approx(1, abs=1e-5)
        after = float(net.decoder(torch.relu(hidden)).var(correction=0))
    assert report.layers[1].after == pytest.approx(after, rel=1e-5)
    assert not report.layers[1].converged
    assert report.converged
    assert net.encoder.weight is net.decoder.weight
    drawn = fi.array((8, 8), fi.orthogonal(), seed=0, name="decoder.weight")  # its first name
    assert torch.equal(net.encoder.weight, torch.from_numpy(drawn) * report.layers[0].scale)
    assert "tied to encoder" in str(report)


def test_layers_that_are_not_reached():
    net = nn.ModuleDict({"used": nn.Linear(4, 4), "unused": nn.Linear(4, 4)})
    before = state(net)
    run = {"forward": lambda module, x: module["used"](x)}
    with pytest.raises(ValueError, match=r"no call of 1 of 2 layers: unused; leave them out"):
        lsuv_(net, normals(16, 4), **run)
    assert same(state(net), before)
    report = lsuv_(net, normals(16, 4), strict=False, **run)
    assert report.unreached == ("unused",)
    assert str(report).splitlines()[-1].split() == ["unused", "not", "reached"]
    after = state(net)
    assert torch.equal(after["unused.weight"], before["unused.weight"])
    assert torch.equal(after["unused.bias"], before["unused.bias"])


def test_the_linear_layers_of_a_fused_transformer_layer_are_reached():
    """In evaluation mode torch would otherwise compute them without calling them."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    report = lsuv_(layer, normals(8, 5, 16), strict=False)
    assert [row.name for row in report.layers] == ["linear1", "linear2"]
    assert report.unreached == ("self_attn.out_proj",)  # torch uses its weight without a call


def test_padding_is_not_cut_away():
    """In evaluation mode torch would otherwise pass nested tensors from layer to layer."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2)
    padding = torch.arange(5)[None] >= torch.tensor([[5], [3], [2]])
    report = lsuv_(
        encoder,
        {"src": normals(3, 5, 16), "src_key_padding_mask": padding},
        layers=lambda name, _: name.endswith(("linear1", "linear2")),
    )
    assert [row.name for row in report.layers] == [
        f"layers.{block}.{name}" for block in (0, 1) for name in ("linear1", "linear2")
    ]
    assert report.converged


def test_a_layer_that_the_new_weights_no_longer_reach():
    """As an expert to which nothing is routed any more."""
    net = nn.ModuleDict({"router": nn.Linear(4, 4), "expert": nn.Linear(4, 4)})
    nn.init.ones_(net["router"].bias)
    before = state(net)

    def forward(module, x):
        routed = module["router"](x)
        return module["expert"](routed) if module["router"].bias.any() else routed

    with pytest.raises(ValueError, match="reaches no call of 1 of 2 layers: expert"):
        lsuv_(net, normals(16, 4), forward=forward)
    assert same(state(net), before)
    assert lsuv_(net, normals(16, 4), forward=forward, strict=False).unreached == ("expert",)


@pytest.mark.parametrize("where", ["root", "child", "in place"])
def test_compiled_modules_run_uncompiled(where):
    plain, batch = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), normals(32, 6)
    expected = lsuv_(plain, batch)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    if where == "root":
        compiled = torch.compile(net, backend="eager")
    elif where == "child":
        compiled = nn.Sequential(*net[:2], torch.compile(net[2], backend="eager"))
    else:
        net.compile(backend="eager")
        compiled = net
    assert lsuv_(compiled, batch) == expected
    assert torch.equal(net[2].weight, plain[2].weight)


def test_autocast_sees_the_scaled_weight():
    """Its cache holds the narrow copy of a weight until the context ends."""
    net, batch = nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 8)), 10 * normals(64, 16)

    def forward(module, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return module(x)

    report = lsuv_(net, batch, forward=forward, tol=0.03)
    with torch.no_grad():
        hidden = forward(net[0], batch)
        assert float(hidden.double().var(correction=0)) == pytest.approx(1, abs=0.02)
        assert float(forward(net, batch).double().var(correction=0)) == pytest.approx(1, abs=0.02)
    assert [row.iterations for row in report.layers] == [1, 1]


def test_a_dead_relu_upstream_is_an_error_that_names_the_layer_it_starves():
    net = nn.Sequential(nn.Linear(4, 4), nn.Threshold(1e9, 0.0), nn.Linear(4, 4))
    before = state(net)
    with pytest.raises(ValueError, match="layer '2': all elements of its output are equal"):
        lsuv_(net, normals(16, 4))
    assert same(state(net), before)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_outputs_that_are_not_finite(value):
    net, batch = nn.Linear(4, 4), normals(16, 4)
    batch[3, 1] = value
    before = state(net)
    with pytest.raises(ValueError, match="variance of its output on this batch is nan; pass a fin"):
        lsuv_(net, batch)
    assert same(state(net), before)


def test_zero_weights_have_no_scale():
    net = nn.Linear(4, 4, bias=False)
    nn.init.zeros_(net.weight)
    with pytest.raises(ValueError, match="weights that are not zero"):
        lsuv_(net, normals(16, 4), orthogonal=False)


def test_an_empty_batch_has_no_variance():
    with pytest.raises(ValueError, match="variance of its output on this batch is nan"):
        lsuv_(nn.Linear(4, 4), torch.empty(0, 4))


def test_a_bias_that_varies_too_much_is_a_warning():
    net = nn.Linear(4, 64)
    with torch.no_grad():
        net.bias.copy_(9 * normals(64, name="bias"))
    with pytest.warns(RuntimeWarning, match=r"1 of 1 layers did not reach the variance: .*bias"):
        report = lsuv_(net, normals(64, 4), orthogonal=False, max_iterations=3)
    assert report.layers[0].iterations == 3
    assert not report.converged
    assert "not converged" in str(report)


def test_a_scalar_weight_of_a_custom_layer():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(7.0))

        def forward(self, x, *, offset):
            return self.weight * x + offset

    net = Scale()
    row = lsuv_(
        net, {"x": normals(512), "offset": 3.0}, layers=Scale, orthogonal=False, tol=1e-6
    ).layers[0]
    assert row.before == pytest.approx(49, rel=0.3)
    assert float(net.weight.detach()) == pytest.approx(
        1 / float(normals(512).std(correction=0)), rel=1e-5
    )


# ---- mistakes -----------------------------------------------------------------------------------


def lazy():
    return nn.Sequential(nn.LazyLinear(4))


def wrapped():
    return nn.Sequential(nn.DataParallel(nn.Linear(4, 4)))


def on_meta():
    with torch.device("meta"):
        return nn.Linear(4, 4)


def normed():
    return nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))


def embedded():
    net = nn.Sequential(nn.Embedding(8, 8), nn.Linear(8, 8))
    net[1].weight = net[0].weight
    return net


def integer():
    net = nn.Linear(4, 4)
    net.weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.int8), requires_grad=False)
    return net


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x), None


class Whole(nn.Linear):
    def forward(self, x):
        return super().forward(x).int()


@pytest.mark.parametrize(
    ("make", "options", "error", "words"),
    [
        (lambda: 3, {}, TypeError, "module is 3: need a torch.nn.Module"),
        (lazy, {}, ValueError, r"0\.weight is lazy .* call the module once on a batch, then lsuv_"),
        (wrapped, {}, ValueError, "0 is a DataParallel, .* call lsuv_ on the module inside it"),
        (on_meta, {}, ValueError, "weight is on the meta device and has no values"),
        (nn.Tanh, {}, ValueError, "layers chooses none of the 1 modules of Tanh"),
        (lambda: nn.Linear(4, 4), {"layers": 3}, TypeError, "layers is 3: need a module type"),
        (lambda: nn.Linear(4, 4), {"layers": (nn.Linear, 3)}, TypeError, "need a module type"),
        (lambda: nn.Linear(4, 4), {"layers": int}, TypeError, "need a module type, a tuple"),
        (lambda: nn.Tanh(), {"layers": nn.Tanh}, ValueError, "'', a Tanh, has no parameter 'wei"),
        (normed, {}, ValueError, "computes its weight from other parameters: call lsuv_ before"),
        (embedded, {}, ValueError, "'1', a Linear, shares its weight with 0.weight, which is not"),
        (integer, {}, ValueError, "has a weight of torch.int8: need a real floating dtype"),
        (
            lambda: nn.LayerNorm(4),
            {"layers": nn.LayerNorm},
            ValueError,
            r"weight of shape \(4,\), which cannot be orthogonal: pass orthogonal=False",
        ),
        (lambda: Pair(4, 4), {}, ValueError, "layer '' returns a tuple: LSUV scales layers that"),
        (lambda: Whole(4, 4), {}, ValueError, "layer '' returns a torch.int32: LSUV scales"),
        (lambda: nn.Linear(4, 4), {"tol": 0}, ValueError, r"tol is 0\.0: need a number > 0"),
        (lambda: nn.Linear(4, 4), {"variance": -1}, ValueError, r"variance is -1\.0: need a numb"),
        (lambda: nn.Linear(4, 4), {"tol": "a"}, TypeError, "tol is 'a': need a number"),
        (lambda: nn.Linear(4, 4), {"max_iterations": 0}, ValueError, "max_iterations is 0"),
        (lambda: nn.Linear(4, 4), {"seed": -1}, ValueError, "seed"),
        (lambda: nn.Linear(4, 4), {"orthogonal": 2}, TypeError, "orthogonal"),
        (lambda: nn.Linear(4, 4), {"strict": "no"}, TypeError, "strict"),
    ],
)
def test_mistakes_change_nothing(make, options, error, words):
    net = make()
    real = isinstance(net, nn.Module) and make not in (lazy, on_meta)
    before = state(net) if real else {}
    with pytest.raises(error, match=words):
        lsuv_(net, normals(16, 4), **options)
    assert not real or same(state(net), before)


def test_a_sharded_module_is_refused():
    import torch.distributed as dist
    from torch.distributed.tensor import Replicate, distribute_module, init_device_mesh

    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    try:
        mesh = init_device_mesh("cpu", (1,))
        net = distribute_module(nn.Linear(4, 4), mesh)
        assert Replicate() in net.weight.placements
        with pytest.raises(ValueError, match=r"weight is a DTensor, .* call lsuv_ before sharding"):
            lsuv_(net, normals(16, 4))
    finally:
        dist.destroy_process_group()
