# SPDX-License-Identifier: MIT
"""LSUV: how a batch is passed, and the state of the module afterwards."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.frameworks

from watched_modules import normals, same, state  # noqa: E402

from fastinit.torch import lsuv_  # noqa: E402

# ---- how a batch is passed ----------------------------------------------------------------------


class Sum(nn.Module):
    """Two inputs."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(4, 8), nn.Linear(6, 8)

    def forward(self, x, y):
        return self.one(x) + self.other(y)


@pytest.mark.parametrize(
    ("batch", "forward"),
    [
        ((normals(16, 4), normals(16, 6)), None),
        ([normals(16, 4), normals(16, 6)], None),
        ({"y": normals(16, 6), "x": normals(16, 4)}, None),
        ([{"in": [normals(16, 4)]}, normals(16, 6)], lambda m, b: m(b[0]["in"][0], b[1])),
    ],
    ids=["tuple", "list", "mapping", "forward"],
)
def test_a_batch_may_be(batch, forward):
    net, other = Sum(), Sum()
    report = lsuv_(net, batch, forward=forward)
    assert [row.name for row in report.layers] == ["one", "other"]
    lsuv_(other, (normals(16, 4), normals(16, 6)))
    assert same(state(net), state(other))


def test_a_batch_that_cannot_be_passed():
    with pytest.raises(TypeError, match=r"batch is 3: need a tensor, a tuple .* or forward="):
        lsuv_(nn.Linear(4, 4), 3)


def test_a_batch_is_not_changed_by_layers_that_work_in_place():
    net, batch = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)), normals(16, 4)
    before = batch.clone()
    lsuv_(net, batch)
    assert torch.equal(batch, before)


# ---- what is put back ---------------------------------------------------------------------------


def busy():
    """Dropout, batch statistics, mixed modes, a frozen layer and gradients."""
    net = nn.Sequential(
        nn.Linear(8, 32),
        nn.BatchNorm1d(32),
        nn.Dropout(0.5),
        nn.ReLU(inplace=True),
        nn.Linear(32, 4),
    )
    net[0].eval()
    net[4].weight.requires_grad_(False)
    net(normals(16, 8)).sum().backward()
    return net


def test_everything_but_weights_and_biases_is_put_back():
    net = busy()
    torch.manual_seed(11)
    generator, buffers = torch.get_rng_state(), {n: b.clone() for n, b in net.named_buffers()}
    objects = dict(net.named_buffers())
    gradients = {
        n: (p.grad, None if p.grad is None else p.grad.clone()) for n, p in net.named_parameters()
    }
    flags = [part.training for part in net.modules()]
    required = [p.requires_grad for p in net.parameters()]
    version = net[0].weight._version
    lsuv_(net, normals(16, 8))
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(buffer is objects[name] for name, buffer in net.named_buffers())
    assert same({n: b.clone() for n, b in net.named_buffers()}, buffers)
    for name, parameter in net.named_parameters():
        kept, values = gradients[name]
        assert parameter.grad is kept
        assert kept is None or torch.equal(kept, values)
    assert [part.training for part in net.modules()] == flags
    assert [p.requires_grad for p in net.parameters()] == required
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in net.modules())
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.is_grad_enabled()
    assert net[0].weight._version > version  # autograd notices that saved weights have changed


def test_dropout_does_not_change_the_result():
    trained, evaluated = busy(), busy()
    evaluated.load_state_dict(trained.state_dict())
    evaluated.eval()
    assert lsuv_(trained.train(), normals(16, 8)) == lsuv_(evaluated, normals(16, 8))
    assert same(state(trained), state(evaluated))


def test_a_module_with_state_sees_the_same_state_twice():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.register_buffer("count", torch.zeros(()))
            self.register_buffer("shown", torch.zeros(1).expand(3))

        def forward(self, x):
            self.count += 1
            return self.layer(x * self.count)

    net = Counting()
    row = lsuv_(net, normals(64, 4)).layers[0]
    assert float(net.count) == 0
    with torch.no_grad():
        assert float(net(normals(64, 4)).var(correction=0)) == pytest.approx(row.after, rel=1e-5)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_forward_that_fails_leaves_everything_as_it_was(failing):
    net, calls = busy(), []
    before, flags = state(net), [part.training for part in net.modules()]

    def forward(module, batch):
        calls.append(module(batch))
        if len(calls) == failing:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lsuv_(net, normals(16, 8), forward=forward)
    assert same(state(net), before)
    assert [part.training for part in net.modules()] == flags
    assert not any(part._forward_pre_hooks for part in net.modules())
