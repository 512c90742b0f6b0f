# SPDX-License-Identifier: MIT
"""Propagation: what is measured, against theory and against computations without hooks.

Which layers are seen, mistakes and the state of the module afterwards: test_propagation_cases.py.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import fastinit as fi

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.frameworks

from watched_modules import normals  # noqa: E402

from fastinit.torch import propagation  # noqa: E402


def stack(depth, width, scheme, activation=None, seed=0):
    """`depth` square linear layers without biases, each followed by the activation."""
    layers = []
    for number in range(depth):
        layer = nn.Linear(width, width, bias=False)
        made = fi.array((width, width), scheme, seed=seed, name=f"{number}.weight")
        layer.weight = nn.Parameter(torch.from_numpy(made))
        layers += [layer] if activation is None else [layer, activation()]
    return nn.Sequential(*layers)


def squares(result, kind, direction="activation"):
    """Second moments of the layers of a type, in order of execution."""
    return np.array(
        [getattr(row, direction).rms ** 2 for row in result.signals if row.kind == kind]
    )


# ---- theory as oracle ---------------------------------------------------------------------------

WIDTH, DEPTH, SEEDS = 128, 12, 24


def growth(scheme, activation, kind="Linear", direction="activation"):
    """For each seed, the last second moment as a multiple of the first."""
    found = []
    for seed in range(SEEDS):
        net = stack(DEPTH, WIDTH, scheme, activation, seed)
        all_squares = squares(propagation(net, normals(1, WIDTH)), kind, direction)
        found.append(all_squares[-1] / all_squares[0])
    return np.array(found)


def allowed(relative_variance):
    """5 standard errors of the mean over seeds of a product of DEPTH - 1 independent factors."""
    return 5 * math.sqrt(((1 + relative_variance) ** (DEPTH - 1) - 1) / SEEDS)


# Of the mean over WIDTH of relu(g)^2, g standard normal: (3/2 - 1/4) / (1/2)^2 = 5.
RELU_FACTOR = 5 / WIDTH
# Of the mean over WIDTH of g^2.
LINEAR_FACTOR = 2 / WIDTH


@pytest.mark.parametrize("scheme", [fi.he_normal(), fi.he_uniform(), fi.kaiming_normal()], ids=str)
def test_he_keeps_the_second_moment_through_relu(scheme):
    """In the mean over weights exactly, whatever the width."""
    found = growth(scheme, nn.ReLU)
    assert abs(found.mean() - 1) < allowed(RELU_FACTOR)


def test_lecun_halves_it_with_each_relu():
    found = growth(fi.lecun_normal(), nn.ReLU) * 2 ** (DEPTH - 1)
    assert abs(found.mean() - 1) < allowed(RELU_FACTOR)


@pytest.mark.parametrize("scheme", [fi.lecun_normal(), fi.xavier_normal()], ids=str)
def test_lecun_and_xavier_keep_it_through_square_linear_layers(scheme):
    found = growth(scheme, None)
    assert abs(found.mean() - 1) < allowed(LINEAR_FACTOR)


def test_he_keeps_gradients_too():
    """From the last layer to the first; with equal widths fan_in and fan_out are one."""
    found = 1 / growth(fi.he_normal(), nn.ReLU, direction="gradient")
    assert abs(found.mean() - 1) < allowed(RELU_FACTOR)


def test_the_factors_of_a_bottleneck_are_those_of_fan_in_and_fan_out():
    """A layer of 512 to 64 with variance 1 / fan_in: 1 forward, 64 / 512 backward."""
    forward, backward = [], []
    for seed in range(SEEDS):
        net = nn.Sequential(nn.Identity(), nn.Linear(512, 64, bias=False))
        made = fi.array((64, 512), fi.lecun_normal(), seed=seed, name="w")
        net[1].weight = nn.Parameter(torch.from_numpy(made))
        first, last = propagation(net, normals(1, 512), seed=seed).signals
        forward.append((last.activation.rms / first.activation.rms) ** 2)
        backward.append((first.gradient.rms / last.gradient.rms) ** 2)
    assert abs(np.mean(forward) - 1) < 5 * math.sqrt(2 / 64 / SEEDS)
    assert abs(np.mean(backward) * 8 - 1) < 5 * math.sqrt((2 / 512 + 2 / 64) / SEEDS)


def test_orthogonal_layers_keep_it_to_rounding():
    net = stack(50, 64, fi.orthogonal())
    result = propagation(net, normals(16, 64))
    for direction in ("activation", "gradient"):
        found = squares(result, "Linear", direction)
        np.testing.assert_allclose(found / found[0], 1, atol=1e-5)


def test_tanh_after_orthogonal_layers_follows_the_mean_field_recursion():
    """q' = E tanh(sqrt(q) z)^2, z standard normal; Poole et al. (2016), arXiv:1606.05340."""
    depth, width = 8, 1024
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    weights = weights / weights.sum()
    batch = normals(4, width)
    found = squares(propagation(stack(depth, width, fi.orthogonal(), nn.Tanh), batch), "Tanh")
    q, expected = float(batch.square().mean()), []
    for _ in range(depth):
        q = float(weights @ np.tanh(math.sqrt(q) * nodes) ** 2)
        expected.append(q)
    np.testing.assert_allclose(found, expected, rtol=5 * math.sqrt(2 * depth / (4 * width)))


def test_residual_blocks_double_it():
    class Residual(nn.Module):
        def __init__(self, seed, number):
            super().__init__()
            self.branch = nn.Linear(WIDTH, WIDTH, bias=False)
            made = fi.array((WIDTH, WIDTH), fi.lecun_normal(), seed=seed, name=f"{number}")
            self.branch.weight = nn.Parameter(torch.from_numpy(made))

        def forward(self, x):
            return x + self.branch(x)

    found = []
    for seed in range(SEEDS):
        net = nn.Sequential(*(Residual(seed, number) for number in range(DEPTH)))
        result = propagation(net, normals(1, WIDTH), layers=Residual)
        forward = squares(result, "Residual")
        backward = squares(result, "Residual", "gradient")
        found.append((forward[-1] / forward[0], backward[0] / backward[-1]))
    # |x + g|^2 with |g| = |x| in the mean: variance 4 / WIDTH of the cross term, 2 of the square
    relative = (4 + 2) / WIDTH / 2**2
    for column in np.array(found).T:
        assert abs(column.mean() / 2 ** (DEPTH - 1) - 1) < allowed(relative)


def test_what_vanishes_is_still_measured():
    """float32 has no 1e-60; variances are computed in float64."""
    net = stack(6, 64, fi.normal(std=1e-6))
    last = propagation(net, normals(4, 64)).signals[-1].activation
    assert 0 < last.variance < 1e-50
    assert last.variance == pytest.approx(last.rms**2, rel=0.1)


# ---- an independent computation -----------------------------------------------------------------


def moments_of(tensor):
    values = tensor.detach().double().numpy()
    return {
        "mean": values.mean(),
        "variance": values.var(),
        "rms": math.sqrt((values**2).mean()),
        "zeros": (values == 0).mean(),
    }


def assert_moments(found, tensor):
    for key, value in moments_of(tensor).items():
        assert getattr(found, key) == pytest.approx(value, rel=1e-9, abs=1e-12), key


def convolutional():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 7), nn.Tanh()
    )


def test_the_numbers_are_those_of_retained_gradients():
    net, batch = convolutional(), normals(8, 1, 8, 8)
    result = propagation(net, batch)
    outputs, x = [], batch.clone().requires_grad_()
    for layer in net:
        x = layer(x)
        x.retain_grad()
        outputs.append(x)
    loss = (x * torch.where(normals(8, 7, name="propagation.loss") < 0, -1, 1)).sum()
    loss.backward()
    assert [signal.layer for signal in result.signals] == ["0", "1", "2", "3", "4", "5"]
    for signal, output in zip(result.signals, outputs, strict=True):
        assert signal.shape == tuple(output.shape)
        assert_moments(signal.activation, output)
        assert_moments(signal.gradient, output.grad)
    assert result.loss == pytest.approx(float(loss.detach()), rel=1e-6)
    assert result.signals[-1].gradient.rms == 1
    assert [signal.weighted for signal in result.signals] == [True, True, False, False, True, False]


def test_a_loss_can_be_given():
    net, batch, labels = convolutional(), normals(8, 1, 8, 8), torch.arange(8) % 7
    result = propagation(net, batch, loss=lambda y: nn.functional.cross_entropy(y, labels))
    output = net(batch)
    output.retain_grad()
    loss = nn.functional.cross_entropy(output, labels)
    loss.backward()
    assert result.loss == pytest.approx(float(loss.detach()), rel=1e-6)
    assert_moments(result.signals[-1].gradient, output.grad)


def test_gradients_of_all_uses_are_summed():
    class Reused(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            hidden = self.layer(x)
            return hidden + 2 * hidden + hidden.detach()

    signal = propagation(Reused(), normals(8, 4)).signals[0]
    assert signal.gradient.rms == pytest.approx(3)


def test_what_changes_in_place_is_measured_before():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(inplace=True), nn.Linear(16, 3))
    other = nn.Sequential(net[0], nn.ReLU(), net[2])
    assert propagation(net, normals(8, 4)) == propagation(other, normals(8, 4))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_signs_are_those_of_the_seed(seed):
    net = nn.Linear(4, 3)
    result = propagation(net, normals(5, 4), seed=seed)
    signs = fi.array((5, 3), fi.normal(std=1.0), seed=seed, name="propagation.loss") >= 0
    assert result.signals[0].gradient.mean == pytest.approx(2 * signs.mean() - 1)


def test_an_output_without_axes_is_the_loss():
    class Loss(nn.Linear):
        def forward(self, x):
            return super().forward(x).square().mean()

    net, batch = Loss(4, 1), normals(8, 4)
    result = propagation(net, batch)
    assert result.loss == pytest.approx(float(net(batch).detach()), rel=1e-6)
    assert result.signals[0].gradient.mean == 1


@pytest.mark.parametrize(
    ("layer", "values", "share"),
    [
        (nn.Tanh(), [-9, -0.5, 0, 9], 0.5),
        (nn.Sigmoid(), [-9, -0.5, 0, 9, 9], 0.6),
        (nn.Hardsigmoid(), [-9, 0, 0, 0], 0.25),
        (nn.Softsign(), [-0.5, 0.5], 0),
        (nn.ReLU6(), [-1, 5.9, 7, 8], 0.75),
        (nn.Hardtanh(-2, 2), [1.9, 1.97, -3, 0], 0.5),
        (nn.ReLU(), [-1, 1], None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_saturation(layer, values, share):
    signal = propagation(layer, torch.tensor(values, dtype=torch.float32)).signals[0]
    assert signal.saturated == (None if share is None else pytest.approx(share))


# ---- the result ---------------------------------------------------------------------------------


def test_the_result_is_a_table():
    net = nn.Sequential(nn.Embedding(9, 16), nn.Tanh(), nn.Linear(16, 2))
    lines = str(propagation(net, torch.arange(9))).splitlines()
    assert len({len(line) for line in lines[1:]}) == 1
    assert lines[0].split() == ["activation", "gradient"]
    assert lines[0].index("gradient") > lines[1].index("saturated")
    assert lines[1].split()[:4] == ["layer", "type", "mean", "variance"]
    assert [line.split()[:2] for line in lines[2:]] == [
        ["0", "Embedding"],
        ["1", "Tanh"],
        ["2", "Linear"],
    ]
    assert float(lines[4].split()[-1]) == 1


def test_the_result_is_json():
    result = propagation(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), normals(5, 4))
    read = json.loads(json.dumps(result.to_json()))
    assert read["loss"] == result.loss
    assert [signal["layer"] for signal in read["signals"]] == ["0", "1"]
    assert read["signals"][0]["shape"] == [5, 3]
    assert read["signals"][0]["activation"]["variance"] == result.signals[0].activation.variance
    assert read["signals"][1]["gradient"]["rms"] == 1
