# SPDX-License-Identifier: MIT
"""Propagation: which layers are seen, what is put back, and mistakes."""

from __future__ import annotations

import contextlib

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.frameworks

from torch.utils.checkpoint import checkpoint  # noqa: E402
from watched_modules import normals  # noqa: E402

from fastinit.torch import propagation  # noqa: E402


def layers_of(result):
    return [signal.layer for signal in result.signals]


# ---- which layers -------------------------------------------------------------------------------


def test_calls_of_one_layer_are_told_apart():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Linear(4, 4)

        def forward(self, x):
            for _ in range(3):
                x = 2 * self.cell(x)
            return x

    torch.manual_seed(0)
    net, batch = Recurrent(), normals(8, 4)
    result = propagation(net, batch)
    assert layers_of(result) == ["cell"] * 3
    assert [signal.call for signal in result.signals] == [0, 1, 2]
    assert [signal.label for signal in result.signals] == ["cell", "cell [1]", "cell [2]"]
    x = batch
    for signal in result.signals:
        y = net.cell(x).detach()
        assert signal.activation.mean == pytest.approx(float(y.mean()), abs=1e-6)
        x = 2 * y
    assert result.signals[2].gradient.rms == 2


def test_layers_that_call_no_other_are_seen():
    """Attention computes with the weight of its out_proj, which it does not call."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
    for net in (layer, layer.eval()):
        result = propagation(net, normals(4, 5, 16))
        assert layers_of(result) == [
            *(
                "self_attn",
                "dropout1",
                "norm1",
                "linear1",
                "dropout",
                "linear2",
                "dropout2",
                "norm2",
            )
        ]
        assert all(signal.gradient.rms > 0 for signal in result.signals)


def test_a_parametrized_layer_is_seen_and_what_computes_its_weight_is_not():
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Tanh())
    assert layers_of(propagation(net, normals(8, 4))) == ["0", "1"]


def test_layers_can_be_chosen():
    net = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 2))
    batch = normals(8, 4)
    assert layers_of(propagation(net, batch, layers=nn.Linear)) == ["0.0", "1"]
    assert layers_of(propagation(net, batch, layers=(nn.ReLU, nn.Linear))) == ["0.0", "0.1", "1"]
    assert layers_of(propagation(net, batch, layers=lambda name, _: name in ("", "0"))) == ["0", ""]


@pytest.mark.parametrize("where", ["root", "child"])
def test_compiled_modules_are_seen_under_their_names(where):
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    compiled = torch.compile(net, backend="eager")
    if where == "child":
        compiled = nn.Sequential(net[0], net[1], torch.compile(net[2], backend="eager"))
    for layers in (None, lambda *_: True):
        expected = propagation(net, normals(6, 4), layers=layers)
        assert propagation(compiled, normals(6, 4), layers=layers) == expected


class Checkpointed(nn.Module):
    """Its first layer is called again in the backward pass."""

    def __init__(self, *, reentrant):
        super().__init__()
        self.one, self.other = nn.Linear(4, 8), nn.Linear(8, 3)
        self.reentrant = reentrant

    def forward(self, x):
        return self.other(checkpoint(self.one, x, use_reentrant=self.reentrant))


def test_a_call_that_is_repeated_in_the_backward_pass_is_one_call():
    one, other = propagation(Checkpointed(reentrant=False), normals(6, 4)).signals
    assert (one.layer, other.layer) == ("one", "other")
    assert other.gradient.rms == 1
    assert one.gradient.rms > 0


def test_reentrant_checkpoints_are_refused_by_torch():
    with pytest.raises(RuntimeError, match="set use_reentrant=False"):
        propagation(Checkpointed(reentrant=True), normals(6, 4))


def test_outputs_of_several_tensors_are_seen_by_their_first():
    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 8, batch_first=True)

        def forward(self, x):
            output, (state, _) = self.lstm(x)
            return {"steps": 3, "state": state, "output": output}

    net, batch = Lstm(), normals(2, 5, 4)
    result = propagation(net, batch)
    assert [(signal.layer, signal.shape) for signal in result.signals] == [("lstm", (2, 5, 8))]
    everything = propagation(net, batch, layers=lambda *_: True)
    assert everything.signals[1].shape == (1, 2, 8)
    assert everything.signals[1].gradient.rms == 1


def test_what_gives_no_floating_tensor_is_not_seen():
    class Ids(nn.Module):
        def forward(self, x):
            return (x > 0).long()[..., 0]

    net = nn.Sequential(Ids(), nn.Embedding(2, 3))
    assert layers_of(propagation(net, normals(8, 4))) == ["1"]


def test_frozen_layers_and_whole_numbers_have_gradients_too():
    net = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 2)).requires_grad_(False)
    net[2].requires_grad_(True)
    result = propagation(net, torch.arange(9))
    assert all(signal.gradient.rms > 0 for signal in result.signals)
    assert [p.requires_grad for p in net.parameters()] == [False, False, False, True, True]
    assert propagation(nn.Sequential(nn.Tanh(), nn.ReLU()), normals(8)).signals[0].gradient.rms > 0


def test_a_layer_under_no_grad_has_no_gradient():
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            with torch.no_grad():
                x = self.features(x)
            return self.head(x)

    result = propagation(Frozen(), normals(8, 4))
    assert result.signals[0].gradient is None
    assert str(result).splitlines()[2].split()[-3:] == ["-", "-", "-"]


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_the_callers_mode_does_not_matter(context):
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    expected = propagation(net, normals(8, 4))
    with context():
        assert propagation(net, normals(8, 4)) == expected
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes(dtype):
    net = nn.Sequential(nn.Linear(64, 64), nn.Tanh()).to(dtype)
    result = propagation(net, normals(8, 64).to(dtype))
    assert result.signals[-1].gradient.rms == 1
    assert result.signals[-1].shape == (8, 64)


def test_a_sum_beyond_float16_is_no_loss_of_gradients():
    net = nn.Linear(1, 64, dtype=torch.float16)
    nn.init.zeros_(net.weight)
    nn.init.constant_(net.bias, 60_000)
    signs = torch.where(normals(2, 64, name="propagation.loss") < 0, -1, 1)
    result = propagation(net, torch.zeros(2, 1, dtype=torch.float16))
    assert abs(int(signs.sum())) > 1
    assert result.loss == pytest.approx(6e4 * int(signs.sum()), rel=1e-3)
    assert result.signals[0].gradient.rms == 1


# ---- what is put back ---------------------------------------------------------------------------


def busy():
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Linear(8, 16),
        nn.BatchNorm1d(16),
        nn.Dropout(0.5),
        nn.ReLU(inplace=True),
        nn.utils.parametrizations.spectral_norm(nn.Linear(16, 4)),
    )
    net[0].bias.requires_grad_(False)
    net(normals(16, 8)).sum().backward()
    net[3].eval()
    return net


def snapshot(net):
    return {
        "generator": torch.get_rng_state(),
        "tensors": {name: value.detach().clone() for name, value in net.state_dict().items()},
        "objects": [id(tensor) for tensor in (*net.parameters(), *net.buffers())],
        "gradients": [
            (id(p.grad), p.grad is not None and p.grad.clone()) for p in net.parameters()
        ],
        "required": [p.requires_grad for p in net.parameters()],
        "flags": [part.training for part in net.modules()],
        "hooks": [
            len(part._forward_hooks) + len(part._forward_pre_hooks) for part in net.modules()
        ],
        "versions": [p._version for p in net.parameters()],
        "fast": torch.backends.mha.get_fastpath_enabled(),
    }


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other


def test_nothing_of_the_module_changes():
    net, batch = busy(), normals(16, 8)
    before, kept = snapshot(net), batch.clone()
    first = propagation(net, batch)
    assert_same(snapshot(net), before)
    assert torch.equal(batch, kept)
    assert not batch.requires_grad
    assert propagation(net, batch) == first  # dropout included


def test_layers_that_work_in_place_come_first():
    net, batch = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)), normals(8, 4)
    kept = batch.clone()
    assert layers_of(propagation(net, batch)) == ["0", "1"]
    assert torch.equal(batch, kept)


def test_training_mode_is_that_of_the_module():
    net, batch = busy(), 3 + normals(64, 8)
    trained = propagation(net.train(), batch).signals[1].activation
    evaluated = propagation(net.eval(), batch).signals[1].activation
    assert trained.variance == pytest.approx(1, abs=0.01)
    assert abs(evaluated.mean) > 0.01 > abs(trained.mean)


@pytest.mark.parametrize("failing", ["forward", "loss"])
def test_nothing_changes_if_it_fails(failing):
    net = busy()
    before = snapshot(net)

    def fail(*arguments):
        net(normals(16, 8))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        propagation(net, normals(16, 8), **{failing: fail})
    assert_same(snapshot(net), before)


def test_a_buffer_that_is_replaced_comes_back():
    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.register_buffer("cache", torch.full((2,), torch.nan))
            self.register_buffer("none", None)

        def forward(self, x):
            self.cache.zero_()
            self.cache = self.none = x.detach()
            self.register_buffer("more", x.detach())
            return self.layer(x)

    net = Cached()
    cache = net.cache
    propagation(net, normals(8, 4))
    assert net.cache is cache
    assert bool(cache.isnan().all())
    assert net.none is None
    assert [name for name, _ in net.named_buffers()] == ["cache"]


def test_a_call_that_fails_and_is_caught_is_not_a_layer():
    class Trying(nn.Module):
        def __init__(self):
            super().__init__()
            self.wrong, self.right = nn.Linear(5, 4), nn.Linear(4, 4)

        def forward(self, x):
            try:
                return self.wrong(x)
            except RuntimeError:
                return self.right(x)

    assert layers_of(propagation(Trying(), normals(8, 4))) == ["right"]


def test_a_module_whose_only_call_of_another_fails_is_seen_itself():
    class Alone(nn.Module):
        def __init__(self, *, right):
            super().__init__()
            self.right = nn.Linear(4, 4) if right else None
            self.wrong = nn.Linear(5, 4)

        def forward(self, x):
            x = torch.tanh(x) if self.right is None else self.right(x)
            with contextlib.suppress(RuntimeError):
                self.wrong(x)
            return x

    assert layers_of(propagation(Alone(right=False), normals(8, 4))) == [""]
    assert layers_of(propagation(Alone(right=True), normals(8, 4))) == ["right"]


# ---- mistakes -----------------------------------------------------------------------------------


class Sparse(nn.Module):
    def forward(self, x):
        return x.to_sparse()


@pytest.mark.parametrize(
    ("net", "options", "error", "words"),
    [
        (3, {}, TypeError, "module is 3: need a torch.nn.Module"),
        (nn.LazyLinear(4), {}, ValueError, "weight is lazy .* once on a batch, then propagation"),
        (nn.Linear(4, 4, device="meta"), {}, ValueError, "weight is on the meta device"),
        (nn.Linear(4, 4), {"layers": nn.Tanh}, ValueError, "layers chooses none of the 1 modules"),
        (nn.Linear(4, 4), {"seed": 2**64}, ValueError, "seed"),
        (nn.Linear(4, 4), {"forward": lambda m, x: x}, ValueError, "no layer that gives a floati"),
        (nn.Linear(4, 4), {"loss": lambda y: 3.0}, TypeError, r"the loss is 3\.0: need a tensor"),
        (nn.Linear(4, 4), {"loss": lambda y: y}, ValueError, r"the loss has shape \(8, 4\)"),
        (nn.Linear(4, 4), {"loss": lambda y: y.sum().detach()}, ValueError, "depends on no param"),
        (
            nn.Linear(4, 4),
            {"forward": lambda m, x: m(x).argmax()},
            ValueError,
            r"the module gives tensor\(\d+\), which holds no floating-point tensor: pass loss=",
        ),
        (Sparse(), {}, ValueError, "layer '' gives a tensor of layout torch.sparse_coo: leave"),
    ],
    ids=lambda value: "" if not isinstance(value, str) else value[:20],
)
def test_mistakes(net, options, error, words):
    with pytest.raises(error, match=words):
        propagation(net, normals(8, 4), **options)
