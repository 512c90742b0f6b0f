# SPDX-License-Identifier: MIT
"""`fill` of torch tensors: every layout and dtype, autograd, and what has no memory."""

from __future__ import annotations

import copy
import types
import warnings

import ml_dtypes
import numpy as np
import pytest
from tensor_layouts import DTYPES, LAYOUTS, bits, expected_bits

import fastinit as fi
from fastinit.numerics.dtypes import resolve

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
ft = pytest.importorskip("fastinit.torch")
StorageWeakRef = pytest.importorskip("torch.multiprocessing.reductions").StorageWeakRef

STREAM = {"seed": 26, "name": "w"}


def filled(tensor, scheme="normal(0.02)", **options):
    return fi.fill(tensor, scheme, **{**STREAM, **options})


def holds(tensor, scheme="normal(0.02)", **options):
    """Whether a tensor has the values of the array of its shape."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    wanted = expected_bits(tuple(tensor.shape), scheme, dtype, **{**STREAM, **options})
    return np.array_equal(bits(torch, tensor), wanted)


# --- what comes out ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tensor_of_any_layout_is_filled_in_place(layout, dtype):
    shape, make = LAYOUTS[layout]
    tensor = make(torch, getattr(torch, dtype))
    before = tensor.data_ptr(), tensor.stride(), tensor.requires_grad, tensor._version
    assert filled(tensor) is tensor
    assert tuple(tensor.shape) == shape
    assert (tensor.data_ptr(), tensor.stride(), tensor.requires_grad) == before[:3]
    assert tensor._version > before[3]
    assert holds(tensor)


@pytest.mark.parametrize("layout", ["every other", "columns", "offset", "diagonal"])
def test_elements_beside_a_view_stay(layout):
    view = LAYOUTS[layout][1](torch, torch.float32)
    base = view._base
    filled(view)
    view.zero_()
    assert not base.any()


def test_a_region_of_a_whole_tensor_may_be_filled():
    whole = filled(torch.empty(6, 4))
    rows = filled(torch.empty(2, 4), shape=(6, 4), region=np.s_[2:4])
    assert torch.equal(rows, whole[2:4])
    run = filled(torch.empty(7), shape=(6, 4), region=range(3, 10))
    assert torch.equal(run, whole.flatten()[3:10])
    assert torch.equal(filled(torch.empty(6, 4), shape=torch.Size([6, 4])), whole)


@pytest.mark.parametrize("scheme", ["orthogonal()", "sparse(0.5)", "dirac()", "identity()"])
def test_matrices_are_those_of_arrays(scheme):
    shape = (4, 2, 3) if scheme == "dirac()" else (6, 4)
    assert holds(filled(torch.empty(shape), scheme), scheme)
    transposed = torch.empty(shape[::-1]).permute(*reversed(range(len(shape))))
    assert holds(filled(transposed, scheme), scheme)


def test_threads_change_no_bit():
    tensor = torch.empty(3, 1_000_003)
    assert holds(filled(tensor, threads=3))


def test_the_threads_of_torch_and_its_flushing_of_denormals_change_no_bit():
    flushing = torch.set_flush_denormal(True)
    try:
        tensor = filled(torch.empty(9, dtype=torch.float64), "normal(1e-310)")
    finally:
        torch.set_flush_denormal(False)
    assert flushing in (True, False)
    assert tensor.any()
    assert holds(tensor, "normal(1e-310)")


@pytest.mark.parametrize("name", DTYPES)
def test_torchs_dtypes_are_taken_wherever_a_dtype_is(name, tmp_path):
    dtype = getattr(torch, name)
    made = fi.array((3,), fi.normal(0.1), dtype=dtype, **STREAM)
    assert made.dtype.name == name
    plan = fi.Plan([fi.Tensor("w", (3,), fi.normal(0.1), dtype)])
    assert plan["w"].dtype == name
    fi.write(fi.Plan([fi.Tensor("w", (3,), fi.normal(0.1))]), tmp_path, seed=26, dtype=dtype)
    assert fi.open(tmp_path)["w"].tobytes() == made.tobytes()
    assert fi.normal(0.1).distribution((3,)).numbers(dtype) == fi.normal(0.1).distribution(
        (3,)
    ).numbers(name)


@pytest.mark.parametrize("name", ["int8", "complex64", "bool", "float8_e8m0fnu"])
def test_other_dtypes_of_torch_are_refused(name):
    with pytest.raises(ValueError, match=rf"^dtype torch\.{name} is not supported: choose from"):
        fi.array((3,), fi.normal(), dtype=getattr(torch, name), **STREAM)


# --- array_of ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_array_views_the_tensor_itself(layout, dtype):
    tensor = LAYOUTS[layout][1](torch, getattr(torch, dtype))
    array = ft.memory.array_of(tensor)
    assert (array.shape, array.dtype.name) == (tuple(tensor.shape), dtype)
    array[...] = 2
    assert (tensor.detach().float() == 2).all()
    if tensor.numel():
        assert array.ctypes.data == tensor.data_ptr()
        steps = [stride // array.itemsize for stride in array.strides]
        assert tuple(steps) == tensor.stride()


def test_an_array_leaves_the_storage_resizable():
    tensor = torch.empty(4, dtype=torch.bfloat16)
    ft.memory.array_of(tensor)[:] = ml_dtypes.bfloat16(3)
    filled(tensor)
    assert tensor.untyped_storage().resizable()
    other = torch.empty(4)
    other.numpy()
    assert not other.untyped_storage().resizable(), "or this test would be of nothing"


def test_an_array_keeps_nothing_alive():
    tensor = torch.empty(4)
    storage = StorageWeakRef(tensor.untyped_storage())
    array = ft.memory.array_of(tensor)
    assert not storage.expired()
    del tensor
    assert storage.expired()
    assert array.shape == (4,)


# --- autograd ----------------------------------------------------------------------------------


def test_a_stale_graph_is_an_error_of_autograd():
    weight = torch.nn.Parameter(torch.ones(3))
    loss = (weight * weight).sum()
    filled(weight)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("layout", ["plain", "transposed"])
def test_a_call_that_fails_leaves_the_graph_valid(layout):
    weight = LAYOUTS[layout][1](torch, torch.float32).requires_grad_()
    loss = (weight * weight).sum()
    with pytest.raises(ValueError, match="std is -1"):
        filled(weight, "normal(-1)")
    with pytest.raises(ValueError, match="but the region of shape"):
        filled(weight, shape=(7, 7))
    loss.backward()
    assert not weight.grad.any()


def test_a_fill_is_seen_through_the_version_of_every_view():
    base = torch.zeros(6, 4)
    view, alias = base[2:], base.detach()
    filled(view)
    assert base._version == alias._version == view._version > 0


def test_filling_a_leaf_records_nothing():
    layer = torch.nn.Linear(4, 3)
    filled(layer.weight)
    assert layer.weight.is_leaf
    assert layer.weight.grad_fn is None
    layer(torch.ones(2, 4)).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize("inside", [False, True])
def test_inference_tensors_are_filled_inside_and_outside_inference_mode(inside):
    with torch.inference_mode():
        tensor = torch.zeros(3, 4)
    with torch.inference_mode(inside):
        filled(tensor)
    assert holds(tensor.clone())
    with torch.inference_mode():
        assert holds(filled(torch.zeros(2)))


# --- classes, modes ----------------------------------------------------------------------------


class Tagged(torch.Tensor):
    """A subclass with memory, as in torchvision; every method must stay untouched."""

    calls = ()

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.calls = (*cls.calls, func)
        return super().__torch_function__(func, types, args, kwargs or {})


def test_a_subclass_with_memory_is_filled_below_its_overrides():
    tensor = torch.zeros(3, 4).as_subclass(Tagged)
    Tagged.calls = ()
    assert filled(tensor) is tensor
    assert Tagged.calls == ()
    assert holds(tensor.as_subclass(torch.Tensor))
    parameter = torch.nn.Parameter(tensor)
    assert type(parameter) is Tagged
    assert filled(parameter, name="other") is parameter


def test_a_copy_of_what_is_lazily_shared_is_made_first():
    first = torch.zeros(5)
    second = torch._lazy_clone(first)
    filled(second)
    assert not first.any()
    assert holds(second)


def test_shared_memory_and_pickled_parameters_are_filled():
    shared = torch.zeros(5).share_memory_()
    assert holds(filled(shared))
    assert holds(filled(copy.deepcopy(torch.nn.Parameter(torch.zeros(5)))))


def test_a_default_device_changes_nothing():
    tensor = torch.zeros(5)
    with torch.device("meta"):
        filled(tensor)
        assert ft.empty((3,)).device.type == "cpu"
    assert holds(tensor)


def test_negated_views_hold_the_values():
    """Their memory holds the negatives."""
    complex_ = torch.zeros(3, 4, dtype=torch.complex64)
    view = complex_.conj().imag
    assert view.is_neg()
    filled(view)
    assert holds(view)
    assert torch.equal(complex_.imag, -view)
    with pytest.raises(ValueError, match=r"^out is a negated view: no array can view its values"):
        ft.memory.array_of(view)


def test_no_array_views_the_memory_of_another_device():
    """There is no other device here, so something stands in for its tensor."""
    tensor = types.SimpleNamespace(is_cpu=False, is_meta=False, device="cuda:0")
    with pytest.raises(ValueError, match=r"^out is on the device cuda:0: no array can view"):
        ft.tensors.viewed(tensor, resolve("float32"))


# --- what cannot be filled ---------------------------------------------------------------------


def freed():
    tensor = torch.zeros(5)
    tensor.untyped_storage().resize_(0)
    return tensor


def cut_short():
    tensor = torch.zeros(3, 4)
    tensor.untyped_storage().resize_(40)
    return tensor


def fake():
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        return torch.zeros(3)


def nested(layout):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the API is a prototype
        return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=layout)


def wrapper():
    from torch.testing._internal.two_tensor import TwoTensor

    return TwoTensor(torch.zeros(3), torch.zeros(3))


def sparse_csr():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the layout is in beta
        return torch.eye(3).to_sparse_csr()


def quantized():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        return torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)


REFUSED = {
    "module": (lambda: torch.nn.Linear(2, 2), TypeError, "a Linear: .*initialize_.module, seed="),
    "size": (lambda: torch.Size([3]), TypeError, "^out is a Size: need a torch tensor or param"),
    "meta": (lambda: torch.empty(3, device="meta"), ValueError, "on the meta device.*to_empty"),
    "fake": (fake, ValueError, "^out is a FakeTensor, which has no memory: make it real first"),
    "lazy": (
        lambda: torch.nn.LazyLinear(3).weight,
        ValueError,
        "^out is an UninitializedParameter, which has no shape yet: run the module forward once",
    ),
    "expanded": (
        lambda: torch.zeros(3, 1).expand(3, 4),
        ValueError,
        r"strides \(1, 0\): several elements share one address; pass what was broadcast or exp",
    ),
    "overlapping": (
        lambda: torch.zeros(9).as_strided((3, 4), (2, 1)),
        ValueError,
        r"strides \(2, 1\): several elements share",
    ),
    "sparse": (
        lambda: torch.eye(3).to_sparse(),
        ValueError,
        "of layout torch.sparse_coo: .* fill a dense tensor, and convert it",
    ),
    "csr": (sparse_csr, ValueError, "of layout torch.sparse_csr"),
    "nested": (lambda: nested(torch.strided), ValueError, "^out is a nested tensor: .* one block"),
    "jagged": (lambda: nested(torch.jagged), (TypeError, ValueError), "NestedTensor|jagged"),
    "quantized": (quantized, ValueError, "qint8 is not supported.*fill a float tensor, and quan"),
    "complex": (
        lambda: torch.zeros(3, dtype=torch.complex64),
        ValueError,
        r"^dtype torch.complex64 is not supported.*; torch.view_as_real\(out\) has the real",
    ),
    "integer": (
        lambda: torch.zeros(3, dtype=torch.int64),
        ValueError,
        "^dtype torch.int64 is not supported: choose from float32, .*float64$",
    ),
    "wrapper": (wrapper, TypeError, "^out is a TwoTensor, which keeps its elements in other"),
    "freed": (freed, ValueError, r"shape \(5,\), but its storage has 0 bytes: it was freed"),
    "cut short": (cut_short, ValueError, r"shape \(3, 4\), but its storage has 40 bytes"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_filled_is_explained(kind):
    make, error, words = REFUSED[kind]
    out = make()
    with pytest.raises(error, match=words):
        filled(out)
    if kind not in ("expanded", "overlapping"):
        with pytest.raises(error, match=words):
            ft.memory.array_of(out)


@pytest.mark.parametrize("transform", ["vmap", "grad", "functionalize"])
def test_inside_a_transform_there_is_no_memory(transform):
    def inside(tensor):
        filled(tensor)
        return tensor.sum()

    with pytest.raises(
        ValueError, match=r"^out has no memory here, as inside .*: fill it outside$"
    ):
        getattr(torch.func, transform)(inside)(torch.zeros(3, 4))


def test_errors_of_arrays_are_those_of_tensors():
    tensor = torch.zeros(2, 3)
    for options, error, words in (
        ({"scheme": "normal(-1)"}, ValueError, "std is -1"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"name": None}, TypeError, "name is None"),
        ({"threads": 0}, ValueError, "threads is 0"),
        ({"shape": (4, 5)}, ValueError, r"out has shape \(2, 3\), but the region of shape \(4, 5"),
        ({"region": np.s_[0:3]}, IndexError, "leaves axis 0"),
    ):
        with pytest.raises(error, match=words):
            filled(tensor, **options)
    assert not tensor.any()


# --- empty -------------------------------------------------------------------------------------


def test_an_empty_tensor_is_torchs():
    for dtype in ("bfloat16", torch.bfloat16):
        tensor = ft.empty((3, 5), dtype)
        assert (tuple(tensor.shape), tensor.dtype) == ((3, 5), torch.bfloat16)
    assert ft.empty(7).dtype == torch.float32
    assert ft.empty((2, 3), torch.int64).dtype == torch.int64
    assert ft.empty((2, 3), device="meta").is_meta
    assert ft.empty(2**20 + 1).untyped_storage().resizable()
    assert not ft.empty(3).requires_grad


def test_a_large_empty_tensor_is_filled():
    assert holds(filled(ft.empty((3, 2**20 + 7))))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (((-1,),), ValueError, "an axis of -1"),
        (("3",), TypeError, "shape is '3'"),
        ((3, "int8"), ValueError, "'int8' is not supported"),
    ],
)
def test_an_empty_tensor_needs_a_shape_and_a_dtype(arguments, error, words):
    with pytest.raises(error, match=words):
        ft.empty(*arguments)
