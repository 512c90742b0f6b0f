# SPDX-License-Identifier: MIT
"""fastinit.torch.init against torch.nn.init: calls, numbers to the bit, values, errors."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import warnings

import numpy as np
import pytest
from intercepts import assert_same, torch_draws
from scipy import stats

import fastinit as fi
from fastinit.values.distributions import Normal, TruncatedNormal, Uniform

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
init = pytest.importorskip("fastinit.torch.init")
theirs = torch.nn.init

STREAM = {"seed": 5, "name": "w"}
DETERMINISTIC = ["constant_", "ones_", "zeros_", "eye_", "dirac_"]
DRAWN = [
    "uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_",
    "kaiming_uniform_", "kaiming_normal_", "orthogonal_", "sparse_",
]  # fmt: skip
NEEDED = {"constant_": (0.5,), "sparse_": (0.3,)}
"""Arguments without a default."""


def shape_for(name):
    return (4, 2, 3) if name == "dirac_" else (6, 4)


# --- the calls ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", theirs.__all__)
def test_a_function_has_torchs_arguments_and_defaults(name):
    mine = inspect.signature(getattr(init, name))
    original = inspect.signature(inspect.unwrap(getattr(theirs, name)))
    if name == "calculate_gain":
        assert getattr(init, name) is theirs.calculate_gain
        return
    if not name.endswith("_"):
        original = inspect.signature(getattr(theirs, f"{name}_"))
    expected = [(p.name, p.default, p.kind) for p in original.parameters.values()]
    found = [(p.name, p.default, p.kind) for p in mine.parameters.values()]
    assert found[: len(expected)] == expected
    more = inspect.Parameter.KEYWORD_ONLY
    assert found[len(expected) :] == [("seed", None, more), ("name", None, more)]


def test_all_of_torchs_names_are_here_and_names():
    public = {name for name in theirs.__all__ if name in init.__all__}
    assert public == set(theirs.__all__)
    assert set(init.__all__) - public == {"names"}
    assert dir(init) == sorted(init.__all__)
    assert {*DETERMINISTIC, *DRAWN} == {name for name in init.__all__ if name.endswith("_")}


@pytest.mark.parametrize("name", [*DETERMINISTIC, *DRAWN])
@pytest.mark.parametrize("parameter", [False, True])
def test_a_function_returns_its_tensor_and_keeps_its_flags(name, parameter):
    tensor = torch.full(shape_for(name), math.nan)
    tensor = torch.nn.Parameter(tensor) if parameter else tensor
    found = getattr(init, name)(tensor, *NEEDED.get(name, ()), **STREAM)
    assert found is tensor
    assert (tensor.requires_grad, tensor.is_leaf, tensor.grad_fn) == (parameter, True, None)
    assert tensor.isfinite().all()


@pytest.mark.parametrize("name", [name for name in theirs.__all__ if not name.endswith("_")][1:])
def test_an_old_name_warns_as_torchs_does(name):
    needed = NEEDED.get(f"{name}_", ())
    tensor, other = torch.empty(shape_for(f"{name}_")), torch.empty(shape_for(f"{name}_"))
    with pytest.warns(FutureWarning) as original:
        getattr(theirs, name)(other, *needed)
    with pytest.warns(FutureWarning) as mine:
        assert getattr(init, name)(tensor, *needed, **STREAM) is tensor
    assert [str(w.message) for w in mine] == [str(w.message) for w in original]
    assert mine[0].filename == __file__
    assert torch.equal(
        tensor, getattr(init, f"{name}_")(torch.empty(tensor.shape), *needed, **STREAM)
    )
    assert getattr(init, name).__name__ == name


# --- numbers to the bit ------------------------------------------------------------------------

SHAPES = [(6, 4), (1, 7), (64, 3, 7, 7), (5, 2, 3), (30, 4, 1, 2, 3), (1, 1), (1031, 769)]
FANS = [(), (2.0,), (1 / 3,), (0,), (5 / 3,)]
KAIMING = [
    (),
    (math.sqrt(5),),
    (0.2, "fan_out"),
    (0, "FAN_OUT", "relu"),
    (1e-3, "fan_in", "leaky_relu"),
    *((0, "fan_in", name) for name in ("linear", "tanh", "selu", "sigmoid", "conv_transpose2d")),
]
PLAIN = [(), (1,), (0.1, 0.3), (0, 0), (-3, 1e30), (2, 2)]
CALLS = [
    *itertools.product(["xavier_uniform_", "xavier_normal_"], SHAPES, FANS),
    *itertools.product(["kaiming_uniform_", "kaiming_normal_"], SHAPES, KAIMING),
    *itertools.product(["uniform_", "normal_"], [(), (3,), (2, 3)], PLAIN),
]


def asked_by_torch(name, shape, args):
    with torch_draws(torch) as draws:
        getattr(theirs, name)(torch.empty(shape, dtype=torch.float64), *args)
    ((_, asked),) = draws
    return asked


@pytest.fixture
def asked(monkeypatch):
    """What fastinit fills tensors with; it does not fill them."""
    from fastinit.torch.init import drawing

    found = []
    monkeypatch.setattr(drawing.memory, "fill", lambda tensor, what, **_: found.append(what))
    return found


@pytest.mark.parametrize(("name", "shape", "args"), CALLS)
def test_the_numbers_are_torchs_to_the_bit(name, shape, args, asked):
    getattr(init, name)(torch.empty(shape), *args, **STREAM)
    (found,) = asked
    mine = {
        Uniform: lambda: ("uniform", found.low, found.high),
        Normal: lambda: ("normal", found.centre, found.sigma),
    }[type(found)]()
    assert_same(mine, asked_by_torch(name, shape, args))


TRUNCATED = [
    (),
    (0, 0.02),
    (0, 0.02, -0.04, 0.04),
    (0, 1 / 3, -2 / 3, 2 / 3),
    (0.1, 0.3, -0.2, 0.7),
    (0.5, 0.1, 0.3, math.inf),
    (-1, 0.7, -math.inf, -0.1),
    (1, 3, -1, 4.7),
]


@pytest.mark.parametrize("args", TRUNCATED)
def test_a_truncated_normal_has_torchs_mean_and_std_and_stays_within_its_bounds(args, asked):
    init.trunc_normal_(torch.empty(3, 5), *args, **STREAM)
    (found,) = asked
    with torch_draws(torch) as draws:
        theirs.trunc_normal_(torch.empty(3, 5), *args)
    assert isinstance(found, TruncatedNormal)
    assert ("normal", found.centre, found.sigma) == draws[0][1]
    low, high = (*args, *(0, 1, -2, 2)[len(args) :])[2:]
    for bound, sigmas, inwards in ((low, found.low, 1), (high, found.high, -1)):
        if math.isinf(bound):
            assert sigmas == bound
            continue
        inside = (found.centre + sigmas * found.sigma - bound) * inwards
        assert 0 <= inside <= math.ulp(max(abs(bound), abs(found.centre)))


@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
@pytest.mark.parametrize("seed", range(4))
def test_bounds_are_never_passed(seed):
    generator = np.random.default_rng(seed)
    for _ in range(500):
        mean, std = generator.normal(), 10 ** generator.uniform(-4, 1)
        low, high = sorted(mean + std * generator.uniform(-4, 4, 2))
        if high - low < std / 500:
            continue
        wide = torch.empty(50, dtype=torch.float64)
        init.trunc_normal_(wide, mean, std, low, high, **STREAM)
        assert low <= wide.min()
        assert wide.max() <= high


# --- values ------------------------------------------------------------------------------------

SAME = {
    "uniform_": ((-1, 2), fi.uniform(-1, 2)),
    "normal_": ((0.5, 2), fi.normal(2, mean=0.5)),
    "trunc_normal_": ((0, 0.5, -1, 1), fi.truncated_normal(0.5, low=-2, high=2)),
    "xavier_uniform_": ((2,), fi.xavier_uniform(2)),
    "xavier_normal_": ((2,), fi.xavier_normal(2)),
    "kaiming_uniform_": ((1,), fi.kaiming_uniform(1)),
    "kaiming_normal_": ((1, "fan_out", "tanh"), fi.kaiming_normal(1, "fan_out", "tanh")),
    "orthogonal_": ((2,), fi.orthogonal(2)),
    "sparse_": ((0.3, 0.5), fi.sparse(0.3, 0.5)),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "float8_e4m3fn"])
@pytest.mark.parametrize("name", DRAWN)
def test_the_values_are_those_of_the_scheme(name, dtype):
    arguments, scheme = SAME[name]
    tensor = getattr(init, name)(
        torch.empty(33, 20, dtype=getattr(torch, dtype)), *arguments, **STREAM
    )
    wanted = fi.array((33, 20), scheme, dtype=dtype, **STREAM)
    np.testing.assert_array_equal(tensor.double().numpy(), wanted.astype(np.float64))


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "complex64", "bool"])
def test_what_is_not_random_is_torchs_for_any_dtype(name, dtype):
    for shape in [shape_for(name), shape_for(name)[::-1], (1,) * len(shape_for(name))]:
        mine, other = (torch.ones(shape, dtype=getattr(torch, dtype)) for _ in range(2))
        getattr(init, name)(mine, *NEEDED.get(name, ()))
        getattr(theirs, name)(other, *NEEDED.get(name, ()))
        assert torch.equal(mine, other)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 0, -0.0, 1e30])
def test_any_constant_is_torchs(value):
    mine, other = init.constant_(torch.empty(3), value), theirs.constant_(torch.empty(3), value)
    assert torch.equal(mine.view(torch.int32), other.view(torch.int32))


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("shape", [(6, 2, 3), (6, 4, 2, 5), (12, 3, 1, 2, 4), (6, 0, 3), (0, 2, 3)])
def test_dirac_is_torchs_elements(shape, groups):
    mine, other = torch.full(shape, 7.0), torch.full(shape, 7.0)
    assert torch.equal(init.dirac_(mine, groups), theirs.dirac_(other, groups))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 2, 3), (2, 3, 4, 5), (1, 9), (7, 7)])
@pytest.mark.parametrize("gain", [1, 5 / 3, -2, 0])
def test_an_orthogonal_matrix_is_one_of_the_flattened_axes(shape, gain):
    w = init.orthogonal_(torch.empty(shape), gain, **STREAM).flatten(1).double()
    other = theirs.orthogonal_(torch.empty(shape), gain).flatten(1).double()
    for q in (w, other):
        product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
        assert torch.allclose(product, gain**2 * torch.eye(len(product)).double(), atol=1e-5)


def test_a_sparse_matrix_has_torchs_number_of_zeros():
    for rows, sparsity in ((10, 0.25), (7, 0), (7, 1), (100, 0.29), (1, 0.5)):
        mine = init.sparse_(torch.empty(rows, 5), sparsity, **STREAM)
        other = theirs.sparse_(torch.empty(rows, 5), sparsity)
        assert torch.equal((mine == 0).sum(0), (other == 0).sum(0))


FAR = [
    (0, 1, 2, 3),
    (0, 1, 1.5, math.inf),
    (5, 1, -2, 2),
    (0, 0.5, -3, -0.9),
    (0, 1, 0.3, 0.4),
]


@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
@pytest.mark.parametrize("args", [*TRUNCATED[2:], *FAR])
def test_truncated_values_are_distributed_as_torchs(args):
    """Two samples of 200,000; a right implementation fails once in a million runs of each."""
    mine = init.trunc_normal_(torch.empty(200_000), *args, **STREAM)
    generator = torch.Generator().manual_seed(3)
    other = torch.empty(200_000)
    try:
        theirs.trunc_normal_(other, *args, generator=generator)
    except RuntimeError:  # its uniform candidates need finite bounds
        mean, std, low, high = args
        a, b = (low - mean) / std, (high - mean) / std
        assert stats.kstest(mine.numpy(), stats.truncnorm(a, b, mean, std).cdf).pvalue > 1e-6
        return
    assert stats.ks_2samp(mine.numpy(), other.numpy()).pvalue > 1e-6


def test_equal_bounds_are_a_constant_as_in_torch():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (init.trunc_normal_(torch.empty(3), 0, 1, 0.5, 0.5, **STREAM) == 0.5).all()


# --- errors and warnings -----------------------------------------------------------------------

REFUSED = {
    "no fans": ("xavier_uniform_", (3,), ()),
    "no fans, normal": ("xavier_normal_", (), ()),
    "no fans, kaiming": ("kaiming_uniform_", (3,), ()),
    "mode": ("kaiming_normal_", (3, 4), (0, "fan_avg")),
    "mode, no text": ("kaiming_normal_", (3, 4), (0, None)),
    "nonlinearity": ("kaiming_uniform_", (3, 4), (0, "fan_in", "gelu")),
    "slope": ("kaiming_uniform_", (3, 4), ("1",)),
    "flag as slope": ("kaiming_uniform_", (3, 4), (True,)),
    "no fans at all": ("xavier_normal_", (0, 0), ()),
    "bounds": ("uniform_", (3,), (1, 0)),
    "std": ("normal_", (3,), (0, -1)),
    "gain": ("xavier_normal_", (3, 4), (-1,)),
    "gain, uniform": ("xavier_uniform_", (3, 4), (-1,)),
    "eye": ("eye_", (3,), ()),
    "dirac": ("dirac_", (3, 4), ()),
    "dirac groups": ("dirac_", (4, 2, 3), (3,)),
    "orthogonal": ("orthogonal_", (3,), ()),
    "sparse": ("sparse_", (3, 4, 5), (0.1,)),
    "bound": ("uniform_", (3,), (0, math.nan)),
    "text": ("normal_", (3,), ("0", 1)),
    "None": ("uniform_", (3,), (None,)),
    "order": ("trunc_normal_", (3,), (0, 1, 2, 1)),
    "sigma of 0": ("trunc_normal_", (3,), (0, 0)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_torch_refuses_is_refused_in_its_words(case):
    name, shape, args = REFUSED[case]
    with pytest.raises(Exception) as original:  # noqa: PT011 - whatever torch raises
        getattr(theirs, name)(torch.empty(shape), *args)
    tensor = torch.full(shape, 7.0)
    with pytest.raises(original.type) as mine:
        getattr(init, name)(tensor, *args, **STREAM)
    assert mine.type is original.type
    words = str(original.value).partition(", but found ")[0]  # then come numbers
    assert str(mine.value).startswith(words)
    assert (tensor == 7).all()


OURS = {
    "std": ("normal_", (0, math.inf), ValueError, "std is inf: need a finite number"),
    "std < 0": ("trunc_normal_", (0, -1), ValueError, "std is -1.0: need std >= 0"),
    "flag": ("normal_", (0, True), TypeError, "^std is True: need a number$"),
    "far": ("trunc_normal_", (0, 1, 14, 15), ValueError, "at most 13 sigma out"),
    "narrow": ("trunc_normal_", (0, 1, 0, 1e-6), ValueError, "use uniform.low, high"),
    "sparsity": ("sparse_", (1.5,), ValueError, "sparsity is 1.5: need 0 <= sparsity <= 1"),
    "gain": ("orthogonal_", (math.nan,), ValueError, "gain is nan"),
}


@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
@pytest.mark.parametrize("case", OURS)
def test_what_has_no_distribution_is_refused(case):
    name, args, error, words = OURS[case]
    tensor = torch.full((3, 4), 7.0)
    with pytest.raises(error, match=words):
        getattr(init, name)(tensor, *args, **STREAM)
    assert (tensor == 7).all()


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_nothing_to_do_warns_as_torchs_does(name):
    tensor = torch.empty(0, 3)
    with pytest.warns(UserWarning, match="zero-element") as original:
        getattr(theirs, name)(tensor)
    with pytest.warns(UserWarning, match="zero-element") as mine:
        assert getattr(init, name)(tensor) is tensor
    assert [str(w.message) for w in mine] == [str(w.message) for w in original]
    assert mine[0].filename == __file__


@pytest.mark.parametrize("args", [(5, 1, -2, 2), (-2.5, 0.1, -2, 2)])
def test_a_far_mean_warns_as_torchs_does(args):
    with pytest.warns(UserWarning, match="mean is more") as original:
        theirs.trunc_normal_(torch.empty(3), *args)
    with pytest.warns(UserWarning, match="mean is more") as mine:
        init.trunc_normal_(torch.empty(3), *args, **STREAM)
    assert str(mine[0].message) == str(original[0].message)
    assert mine[0].filename == __file__


@pytest.mark.parametrize("name", DRAWN)
def test_a_generator_is_refused(name):
    tensor = torch.full((3, 4), 7.0)
    generator = torch.Generator()
    with pytest.raises(ValueError, match=rf"^{name} got a generator, whose values depend on what"):
        getattr(init, name)(tensor, *NEEDED.get(name, ()), generator=generator, **STREAM)
    assert (tensor == 7).all()


@pytest.mark.parametrize("name", DRAWN)
def test_without_seed_and_name_it_says_what_to_write(name):
    call = functools.partial(getattr(init, name), torch.full((3, 4), 7.0), *NEEDED.get(name, ()))
    with pytest.raises(
        ValueError, match=rf"^{name} of a tensor of shape \(3, 4\) needs a seed and"
    ):
        call()
    with pytest.raises(ValueError, match=r"needs a name, from which its values follow: write"):
        call(seed=0)
    with pytest.raises(ValueError, match=r"needs a seed, .*with init.names\(module, seed=0\):`$"):
        call(name="w")
    with pytest.raises(ValueError, match="seed is -1"):
        call(name="w", seed=-1)
    with pytest.raises(TypeError, match="name is 3: need a string"):
        call(name=3, seed=0)


@pytest.mark.parametrize("name", DRAWN)
def test_a_tensor_without_elements_needs_nothing(name):
    tensor = torch.empty(0, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert getattr(init, name)(tensor, *NEEDED.get(name, ())) is tensor


@pytest.mark.parametrize("name", [*DRAWN, *DETERMINISTIC])
def test_what_is_no_tensor_is_refused(name):
    with pytest.raises((TypeError, AttributeError), match="list"):
        getattr(init, name)([1.0], *NEEDED.get(name, ()), **STREAM)


@pytest.mark.parametrize("name", DRAWN)
def test_a_lazy_parameter_is_refused(name):
    lazy = torch.nn.LazyLinear(3).weight
    with pytest.raises(ValueError, match="run the module forward once"):
        getattr(init, name)(lazy, *NEEDED.get(name, ()), **STREAM)


# --- without memory ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*DRAWN, *DETERMINISTIC])
def test_on_meta_torchs_own_function_is_called(name, monkeypatch):
    """So that whoever replaced it, to record calls, sees this one."""
    calls = []
    original = getattr(theirs, name)

    @functools.wraps(original)
    def record(tensor, *args, **kwargs):
        calls.append((tensor, inspect.signature(original).bind(tensor, *args, **kwargs)))
        return original(tensor, *args, **kwargs)

    monkeypatch.setattr(theirs, name, record)
    tensor = torch.empty(shape_for(name), device="meta")
    needed = NEEDED.get(name, ())
    assert getattr(init, name)(tensor, *needed) is tensor
    assert getattr(init, name)(tensor, *needed, **STREAM) is tensor
    assert len(calls) == 2
    for given, bound in calls:
        assert given is tensor
        bound.apply_defaults()
        plain = inspect.signature(original).bind(tensor, *needed)
        plain.apply_defaults()
        assert bound.arguments == plain.arguments


def test_on_meta_all_arguments_are_passed_on(monkeypatch):
    calls = []
    monkeypatch.setattr(
        theirs, "trunc_normal_", lambda *args, **kwargs: calls.append((args, kwargs))
    )
    tensor, generator = torch.empty(3, device="meta"), torch.Generator()
    init.trunc_normal_(tensor, 1, 2, a=3, b=4, generator=generator)
    assert calls == [((tensor, 1, 2, 3, 4), {"generator": generator})]


def test_a_fake_tensor_stays_fake():
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        tensor = torch.empty(3, 4)
        assert init.normal_(tensor) is tensor
        assert init.kaiming_uniform_(tensor) is tensor
