# SPDX-License-Identifier: MIT
"""What people guess who come from a framework: the message says what to write.

Frameworks' objects are stood in for by types of their module and name, which is all that is looked
at; test_frameworks.py has the real ones.
"""

from __future__ import annotations

import re
import sys
import types

import numpy as np
import pytest
from fills import same

import fastinit as fi
from fastinit.memory import arrays
from fastinit.texts import home, quoted
from fastinit.values.distributions import Normal


def stand_in(module, name, text="", **members):
    """An object of a type of that module and name."""
    return type(name, (), {"__module__": module, "__repr__": lambda self: text, **members})()


def derived(thing):
    """An object of a class of another package that is derived from the class of `thing`."""
    return type("Tagged", (type(thing),), {"__module__": "users.package"})()


def xavier_uniform_(tensor):
    """As in torch.nn.init."""


TORCH_BFLOAT16 = stand_in("torch", "dtype", "torch.bfloat16")
TENSOR = stand_in("torch", "Tensor", "tensor([[0., 0.],\n        [0., 0.]])", shape=(2, 2))
PARAMETER = stand_in("torch.nn.parameter", "Parameter", shape=(2, 2))
JAX_ARRAY = stand_in("jaxlib._jax", "ArrayImpl", shape=(2, 2))
GLOROT = stand_in("keras.src.initializers.random_initializers", "GlorotUniform", "<keras>")
HUGE = 10**5000  # more digits than Python writes


def made(shape=(3,), scheme="normal(0.02)", **options):
    return lambda: fi.array(shape, scheme, **{"seed": 0, "name": "w", **options})


def filled(out, scheme="normal(0.02)"):
    return lambda: fi.fill(out, scheme, seed=0, name="w")


GUESSES = {
    # a scheme
    "scheme not called": (made(scheme=fi.he_normal), TypeError, r": call it, he_normal\(\)$"),
    "scheme with arguments": (made(scheme=fi.uniform), TypeError, r"uniform\(low=..., high=...\)$"),
    "fill, not called": (filled(np.empty(3), fi.zeros), TypeError, r"call it, zeros\(\)$"),
    "text, not called": (lambda: fi.scheme(fi.ones), TypeError, r"call it, ones\(\)$"),
    "plan, not called": (
        lambda: fi.Tensor("w", (3,), fi.he_normal),
        TypeError,
        r"tensor 'w' has scheme .* not a Scheme; call it, he_normal\(\)$",
    ),
    "rule, not called": (lambda: fi.Rules({"*": fi.zeros}), TypeError, r"call it, zeros\(\)$"),
    "torch's function": (
        made(scheme=xavier_uniform_),
        TypeError,
        r"^scheme is <function xavier_uniform_ .*: .*'s is fastinit.schemes.xavier_uniform\(\)$",
    ),
    "keras's object": (made(scheme=GLOROT), TypeError, r"fastinit.schemes.glorot_uniform\(\)$"),
    "keras's class": (
        made(scheme=type(GLOROT)),
        TypeError,
        r"fastinit.schemes.glorot_uniform\(\)$",
    ),
    "distribution in a plan": (
        lambda: fi.Tensor("w", (3,), Normal(1.0, 0.0)),
        TypeError,
        r"a distribution belongs to one shape: give the scheme, such as fastinit.normal\(0.02\)$",
    ),
    "a number": (made(scheme=0.02), TypeError, r"scheme is 0.02: need one such as fastinit.norm"),
    # its arguments
    "mean first": (
        lambda: fi.normal(0, 0.02),
        TypeError,
        r"arguments; PyTorch and NumPy take the mean first: here write std=0.02, mean=0$",
    ),
    "absolute bounds": (
        lambda: fi.truncated_normal(0.0, 1.0, -2, 2),
        TypeError,
        r"write std=1.0, mean=0.0, and low and high by name, in sigmas$",
    ),
    "shape as gain": (
        lambda: fi.orthogonal((64, 32)),
        TypeError,
        r"gain is \(64, 32\): need a number; a scheme takes no shape: give both to fastinit.array",
    ),
    "tensor as gain": (
        lambda: fi.xavier_uniform(TENSOR),
        TypeError,
        r"gain is tensor\(\[\[0., 0.\], \[0., 0.\]\]\): need a number; a scheme takes no array",
    ),
    "array as std": (
        lambda: fi.normal(np.zeros((300, 400))),
        TypeError,
        r"^std is array.{100,1000}: need a number; a scheme takes no array",
    ),
    "text as std": (
        lambda: fi.normal("0.02"),
        TypeError,
        "std is '0.02': need a number, without quotes: std=0.02$",
    ),
    "word as std": (lambda: fi.normal("small"), TypeError, "std is 'small': need a number$"),
    "meta tensor as std": (
        lambda: fi.normal(
            stand_in("torch", "Tensor", "tensor(..., device='meta')", __float__=fail)
        ),
        TypeError,
        r"std is tensor\(..., device='meta'\): need a number$",
    ),
    # a dtype
    "torch's int8": (
        made(dtype=stand_in("torch", "dtype", "torch.int8")),
        ValueError,
        "dtype torch.int8 is not supported: .*float64$",
    ),
    "fp16": (made(dtype="fp16"), ValueError, "; write 'float16'$"),
    "bf16": (made(dtype="bf16"), ValueError, "; write 'bfloat16'$"),
    "half": (made(dtype="half"), ValueError, "; write 'float16'$"),
    "double": (made(dtype="double"), ValueError, "; write 'float64'$"),
    "F32": (made(dtype="F32"), ValueError, "; write 'float32'$"),
    "F8_E4M3": (made(dtype="F8_E4M3"), ValueError, "; write 'float8_e4m3fn'$"),
    "e5m2": (made(dtype="e5m2"), ValueError, "; write 'float8_e5m2'$"),
    "fp8": (made(dtype="fp8"), ValueError, "; write 'float8_e4m3fn' or 'float8_e5m2'$"),
    "float": (made(dtype="float"), ValueError, "; write 'float32' or 'float64'$"),
    "torch's text": (made(dtype="torch.float32"), ValueError, "; write 'float32'$"),
    "capitals": (made(dtype="BFloat16"), ValueError, "; write 'bfloat16'$"),
    "plan's dtype": (lambda: fi.Plan([], dtype="bf16"), ValueError, "; write 'bfloat16'$"),
    # out
    "jax array as out": (
        filled(JAX_ARRAY),
        TypeError,
        "because JAX arrays are immutable: to make one, call fastinit.jax.array, or fastinit.jax",
    ),
    "list as out": (filled([0.0]), TypeError, r"out is a list: .*such as np.empty\(shape, 'float"),
    "scheme first": (
        filled(fi.zeros(), np.empty(3)),
        TypeError,
        "^out is a Scheme: need a NumPy array, and the scheme after it$",
    ),
    # a seed, a name
    "no seed": (made(seed=None), TypeError, "^seed is None: need an integer, such as seed=0$"),
    "a generator": (
        made(seed=np.random.Generator(np.random.PCG64(0))),
        TypeError,
        r"^seed is Generator\(PCG64\).*: need an integer, such as seed=0$",
    ),
    "no name": (made(name=None), TypeError, "^name is None: need a string, such as 'h.0.attn"),
    # a shape
    "shape in quotes": (made("(3, 4)"), TypeError, r"^shape is '\(3, 4\)': need integers, such as"),
    "a float": (made(3.0), TypeError, "^shape is 3.0: need integers, such as"),
    "a float axis": (made((3.0, 4)), ValueError, "^shape has an axis of 3.0: need integers >= 0$"),
    "a text axis": (made((3, "4")), ValueError, "^shape has an axis of '4': need integers >= 0$"),
    "an array": (made(np.zeros((2, 2))), ValueError, r"^shape has an axis of array\(\[0., 0.\]\)"),
    "an array in it": (made((np.array([3]),)), ValueError, r"^shape has an axis of array\(\[3\]\)"),
    "a dictionary": (made({3: 4}), TypeError, r"^shape is \{3: 4\}: need integers"),
    # numbers of too many digits to be written
    "huge seed": (made(seed=HUGE), ValueError, r"^seed is an integer of 16610 bits: need 0 <= "),
    "huge axis": (
        made((HUGE,)),
        ValueError,
        r"^shape \(an integer of 16610 bits,\) has 2\*\*63 el",
    ),
    "huge negative": (made((-HUGE,)), ValueError, "^shape has an axis of an integer of 16610 bit"),
    "huge std": (lambda: fi.normal(HUGE), ValueError, "std is an integer of 16610 bits: need a fi"),
    "huge layers": (
        lambda: fi.schemes.gpt2_residual(layers=HUGE),
        ValueError,
        r"^layers is an integer of 16610 bits: need less than 2\*\*63$",
    ),
    "huge negative layers": (
        lambda: fi.schemes.gpt2_residual(layers=-HUGE),
        ValueError,
        "^layers is an integer of 16610 bits: need a whole number of 1 or more$",
    ),
    "huge groups": (
        lambda: fi.he_normal(groups=HUGE).distribution((3, 4)),
        ValueError,
        "^groups=an integer of 16610 bits does not divide the 3 outputs",
    ),
    "huge negative groups": (
        lambda: fi.he_normal(groups=-HUGE),
        ValueError,
        "^groups is an integer of 16610 bits: need a whole number of 1 or more$",
    ),
    "huge dirac groups": (
        lambda: fi.dirac(HUGE).distribution((3, 4, 1)),
        ValueError,
        "^groups=an integer of 16610 bits does not divide the 3 outputs",
    ),
    "huge batch axis": (
        lambda: fi.he_normal(batch_axis=HUGE).distribution((3, 4)),
        ValueError,
        "^axis an integer of 16610 bits does not exist in shape",
    ),
    "huge region": (
        made(region=slice(0, HUGE)),
        IndexError,
        "^region 0:an integer of 16610 bits leaves axis 0",
    ),
    "huge index": (made(region=HUGE), IndexError, "^region an integer of 16610 bits leaves axis 0"),
    "huge range": (
        made(region=range(HUGE)),
        IndexError,
        "^region a range that cannot be shown lea",
    ),
}


def fail(self):
    raise RuntimeError("Tensor.item() cannot be called on meta tensors")


@pytest.mark.parametrize("guess", GUESSES)
def test_a_message_says_what_to_write(guess):
    call, error, words = GUESSES[guess]
    with pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_torchs_dtype_is_taken_by_its_name():
    """torch itself is not needed for that."""
    assert same(made(dtype=TORCH_BFLOAT16)(), made(dtype="bfloat16")())
    assert fi.Tensor("w", (3,), fi.zeros(), TORCH_BFLOAT16).dtype == "bfloat16"
    assert fi.Plan([], dtype=TORCH_BFLOAT16).dtype == "bfloat16"


@pytest.mark.parametrize(
    "out", [TENSOR, PARAMETER, derived(TENSOR)], ids=lambda out: repr(type(out))
)
def test_a_tensor_is_handed_to_its_door(monkeypatch, out):
    """A door takes all arguments of `fill`; what it returns is what `fill` returns."""
    taken = []

    def fill(*args, **kwargs):
        taken.append((args, kwargs))
        return "filled"

    monkeypatch.setitem(sys.modules, "door", types.SimpleNamespace(fill=fill))
    monkeypatch.setitem(arrays.DOORS, "torch", "door")
    assert filled(out)() == "filled"
    options = {"seed": 0, "name": "w", "shape": None, "region": None, "threads": None}
    assert taken == [((out, "normal(0.02)"), options)]


@pytest.mark.parametrize("shape", [[2, 3], np.array([2, 3]), (np.int64(2), 3), range(2, 4)])
def test_whatever_holds_integers_is_a_shape(shape):
    assert made(shape)().shape == (2, 3)
    assert fi.fans(shape) == (3, 2)


def test_a_single_integer_is_a_shape():
    assert made(np.array(3))().shape == made(np.int64(3))().shape == (3,)


def test_what_is_quoted_is_one_short_line():
    class Faulty:
        def __repr__(self):
            raise ZeroDivisionError

    assert quoted(Faulty()) == "a Faulty that cannot be shown"
    assert len(quoted("x" * 5000)) < 300
    assert quoted(np.zeros((3, 3))) == re.sub(r"\s+", " ", repr(np.zeros((3, 3))))
    assert (home(PARAMETER), home(3), home(np.zeros(3))) == ("torch", "builtins", "numpy")


def test_no_number_of_an_argument_is_infinite_without_saying_so():
    with pytest.raises(ValueError, match=r"^the bound that follows from the arguments is inf"):
        fi.schemes.siren(1e-320).distribution((3, 4))
    with pytest.raises(ValueError, match=r"^std is inf: .* finite number; take smaller arguments$"):
        fi.schemes.mup_normal(1e300, width_multiplier=1e-320)
    with pytest.raises(
        ValueError, match=r"leaky_relu is 1e\+155: need a finite number with a fini"
    ):
        fi.schemes.gain("leaky_relu", 1e155)
