# SPDX-License-Identifier: MIT
"""LSUV: unit variances, against the paper's algorithm written without hooks; the report.

Hard layers, mistakes and the state of the module afterwards are in test_lsuv_cases.py.
"""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

import fastinit as fi

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.frameworks

from watched_modules import normals  # noqa: E402

from fastinit.torch import lsuv_  # noqa: E402


def mlp(*widths, activation=nn.ReLU, bias=True):
    layers = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out, bias=bias), activation()]
    return nn.Sequential(*layers[:-1])


def outputs(module, batch, kinds):
    """The output of every layer, by its index, as a Sequential computes it."""
    found = {}
    with torch.no_grad():
        for name, part in module.named_children():
            batch = part(batch)
            if isinstance(part, kinds):
                found[name] = batch.clone()
    return found


def variances(module, batch, kinds=(nn.Linear, nn.Conv2d)):
    found = outputs(module, batch, kinds)
    return {name: float(np.var(output.double().numpy())) for name, output in found.items()}


def test_every_output_has_variance_1():
    net, batch = mlp(16, 64, 64, 64, 10), normals(128, 16)
    report = lsuv_(net, batch, seed=3)
    found = variances(net, batch)
    assert list(found) == [row.name for row in report.layers] == ["0", "2", "4", "6"]
    for row in report.layers:
        assert abs(found[row.name] - 1) < 1e-5
        assert row.after == pytest.approx(found[row.name], rel=1e-5)
        assert row.converged
        assert row.iterations == 1


def test_the_numbers_are_those_of_the_algorithm_without_hooks():
    """Orthogonal weights by name, divided by the std of what they give, one layer after another."""
    net, batch = mlp(12, 40, 20, 5, activation=nn.Tanh), normals(64, 12)
    report = lsuv_(net, batch, seed=7)
    x = batch.double().numpy()
    for row, index in zip(report.layers, (0, 2, 4), strict=True):
        shape = tuple(net[index].weight.shape)
        q = fi.array(shape, fi.orthogonal(), seed=7, name=f"{index}.weight").astype(np.float64)
        y = x @ q.T
        assert row.before == pytest.approx(y.var(), rel=1e-5)
        assert row.scale == pytest.approx(1 / y.std(), rel=1e-5)
        np.testing.assert_allclose(net[index].weight.detach().numpy(), q / y.std(), rtol=2e-5)
        assert not net[index].bias.detach().any()
        x = np.tanh(y / y.std())


def test_biases_that_are_kept_take_the_papers_iterations():
    """With a bias the variance is not proportional to the square of the scale."""
    net, batch = mlp(6, 30, bias=True), normals(200, 6)
    with torch.no_grad():
        net[0].weight.mul_(5)
        net[0].bias.copy_(0.5 * normals(30, name="bias"))
    w, b = (p.detach().double().numpy().copy() for p in (net[0].weight, net[0].bias))
    x = batch.double().numpy()
    iterations, trail = 0, [(x @ w.T + b).var()]
    while abs(trail[-1] - 1) >= 1e-3 and iterations < 10:
        w = w / np.sqrt(trail[-1])
        trail.append((x @ w.T + b).var())
        iterations += 1
    report = lsuv_(net, batch, orthogonal=False, tol=1e-3)
    row = report.layers[0]
    assert row.iterations == iterations > 1
    assert row.before == pytest.approx(trail[0], rel=1e-5)
    assert row.after == pytest.approx(trail[-1], rel=1e-4)
    np.testing.assert_allclose(net[0].weight.detach().numpy(), w, rtol=1e-4)
    np.testing.assert_array_equal(net[0].bias.detach().numpy(), b.astype(np.float32))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(4, 8, 3), (16, 4, 20)),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), (8, 3, 16, 16)),
        (nn.Conv2d(8, 8, 3, groups=8), (8, 8, 9, 9)),
        (nn.Conv2d(4, 6, (3, 2), dilation=2, padding_mode="circular", padding=2), (8, 4, 9, 9)),
        (nn.Conv3d(2, 4, 2), (4, 2, 5, 5, 5)),
        (nn.ConvTranspose1d(4, 8, 3), (16, 4, 20)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2), (8, 4, 6, 6)),
        (nn.ConvTranspose3d(2, 3, 2), (4, 2, 5, 5, 5)),
        (nn.Linear(7, 9, bias=False), (32, 5, 7)),
        (nn.Linear(1, 1), (64, 1)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_every_linear_layer_and_convolution(layer, shape):
    batch = 3 * normals(*shape)
    report = lsuv_(layer, batch)
    with torch.no_grad():
        assert float(layer(batch).double().var(correction=0)) == pytest.approx(1, abs=1e-5)
    assert [(row.name, row.kind) for row in report.layers] == [("", type(layer).__name__)]


def test_a_deep_network_keeps_its_scale():
    """Which is the point: 60 layers of sigmoid-like gates, each by itself losing most of it."""
    net, batch = mlp(*[32] * 61, activation=nn.Softsign), normals(256, 32)
    before = variances(net, batch)
    assert before["118"] < 0.05
    lsuv_(net, batch, tol=1e-3)
    assert all(abs(found - 1) < 1e-4 for found in variances(net, batch).values())


def test_a_variance_within_the_tolerance_is_left_alone():
    net, batch = mlp(8, 8, bias=False), normals(512, 8)
    with torch.no_grad():
        net[0].weight.copy_(1.03 * torch.eye(8))  # variance about 1.06
    before = net[0].weight.detach().clone()
    row = lsuv_(net, batch, orthogonal=False).layers[0]
    assert row.iterations == 0
    assert row.scale == 1.0
    assert row.before == row.after
    assert torch.equal(net[0].weight, before)
    row = lsuv_(net, batch, orthogonal=False, tol=0.001).layers[0]
    assert row.iterations == 1
    assert not torch.equal(net[0].weight, before)


def test_another_variance_can_be_asked_for():
    net, batch = mlp(16, 64, 64), normals(128, 16)
    lsuv_(net, batch, variance=0.25, tol=1e-3)
    assert all(found == pytest.approx(0.25, rel=1e-5) for found in variances(net, batch).values())


def test_weights_depend_on_names_and_not_on_order():
    """A layer more changes the scale of the others, and nothing else."""

    def forward(module, x):
        for layer in module.values():
            x = torch.tanh(layer(x))

    scales = []
    for names in (("first", "second"), ("first", "between", "second")):
        net = nn.ModuleDict({name: nn.Linear(16, 16) for name in names})
        report = lsuv_(net, normals(64, 16), seed=5, forward=forward)
        for row in report.layers:
            drawn = fi.array((16, 16), fi.orthogonal(), seed=5, name=f"{row.name}.weight")
            assert torch.equal(net[row.name].weight, torch.from_numpy(drawn) * row.scale)
        scales.append([report.layers[0].scale, report.layers[-1].scale])
    assert scales[0][0] == scales[1][0]
    assert scales[0][1] != scales[1][1]


def test_a_seed_decides_everything():
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(made))
        net = mlp(8, 16, 4)
        lsuv_(net, normals(32, 8), seed=seed)
        made.append(net[2].weight.detach())
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_layers_are_scaled_in_the_order_of_execution():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(8, 4)
            self.first = nn.Linear(8, 8)

        def forward(self, x):
            return self.last(torch.relu(self.first(x)))

    net, batch = Backwards(), normals(64, 8)
    assert [row.name for row in lsuv_(net, batch, tol=1e-3).layers] == ["first", "last"]
    with torch.no_grad():
        hidden = net.first(batch)
        assert float(hidden.var(correction=0)) == pytest.approx(1, abs=1e-5)
        assert float(net.last(torch.relu(hidden)).var(correction=0)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        (nn.Linear, ["2", "3"]),
        ((nn.Linear, nn.Conv2d), ["0", "2", "3"]),
        (lambda name, layer: name != "2" and hasattr(layer, "weight"), ["0", "3"]),
    ],
    ids=["type", "types", "predicate"],
)
def test_which_layers_can_be_chosen(layers, names):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 10), nn.Linear(10, 5))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    report = lsuv_(net, normals(32, 1, 8, 8), layers=layers)
    assert [row.name for row in report.layers] == names
    changed = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {f"{name}.{key}" for name in names for key in ("weight", "bias")}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_weights_are_rounded_once(dtype):
    net = mlp(16, 32, 8).to(getattr(torch, dtype))
    report = lsuv_(net, normals(64, 16).to(getattr(torch, dtype)), seed=2)
    for row in report.layers:
        weight = net[int(row.name)].weight
        drawn = torch.from_numpy(
            fi.array(tuple(weight.shape), fi.orthogonal(), seed=2, name=f"{row.name}.weight")
        )
        assert weight.dtype == getattr(torch, dtype)
        assert torch.equal(weight, (drawn * row.scale).to(weight.dtype))
        assert row.converged


def test_float64_weights_are_drawn_as_such():
    net, batch = mlp(16, 32).double(), normals(64, 16).double()
    row = lsuv_(net, batch).layers[0]
    drawn = fi.array((32, 16), fi.orthogonal(), seed=0, name="0.weight", dtype="float64")
    assert torch.equal(net[0].weight, torch.from_numpy(drawn) * row.scale)
    assert abs(row.after - 1) < 1e-12


def test_the_report_is_a_table():
    net = mlp(16, 64, 10)
    text = str(lsuv_(net, normals(128, 16)))
    lines = text.splitlines()
    assert re.fullmatch(r"layer +before +after +scale  iterations", lines[0])
    assert [line.split()[0] for line in lines[1:]] == ["0", "2"]
    assert all(line.split()[2] == "1" and line.split()[4] == "1" for line in lines[1:])
    assert len({len(line) for line in lines}) == 1
