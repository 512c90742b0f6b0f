# SPDX-License-Identifier: MIT
"""`fastinit.fill` of arrays that show a device's memory, by the array interface and by DLPack."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from device_arrays import Capsule, Interface
from fills import filled, made, same

import fastinit as fi
from fastinit.cuda import copies
from fastinit.errors import BackendError, BackendWarning

MATRIX = fi.orthogonal()
MAPPED = fi.schemes.mapped(fi.normal(), "x ** 3")


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_the_array_interface_is_filled_with_the_bits_of_the_cpu(driver, dtype):
    array = np.zeros((40, 30), dtype)
    out = Interface(array)
    assert filled(out) is out
    assert same(array, made((40, 30), dtype=dtype))
    assert driver.launches == 1
    assert not driver.copied


def test_an_embedding_with_a_row_of_zeros_is_drawn_in_parts(driver):
    array, scheme = np.ones((40, 30), np.float32), fi.schemes.parts(fi.normal(), "3", fi.zeros())
    filled(Interface(array), scheme)
    assert same(array, made((40, 30), scheme))
    assert not array[3].any()
    assert driver.launches == 2  # the zeros, and what is above and below
    assert not driver.copied


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_strides_and_regions_are_those_of_the_interface(driver, order):
    array = np.zeros((5, 6, 7), np.float32).transpose(order)[::-1]
    region = tuple(slice(0, dim) for dim in array.shape)
    dims = tuple(dim + 2 for dim in array.shape)
    filled(Interface(array), shape=dims, region=region)
    assert same(array, made(dims, region=region))


@pytest.mark.parametrize(("stream", "handle"), [(None, 1), (1, 1), (2, 2), (4711, 4711)])
def test_the_stream_is_that_of_the_interface(driver, stream, handle):
    driver.streams[4711] = 0
    filled(Interface(np.zeros(9, np.float32), stream=stream))
    assert driver.launched[0].stream == handle


def test_an_interface_of_an_older_version_has_no_stream(driver):
    class Older(Interface):
        @property
        def __cuda_array_interface__(self):
            found = Interface.__cuda_array_interface__.fget(self)
            return {key: found[key] for key in ("shape", "typestr", "data")} | {"version": 1}

    array = np.zeros((3, 4), np.float32)
    filled(Older(array))
    assert same(array, made((3, 4)))
    assert driver.launched[0].stream == 1


def test_the_device_is_that_of_the_pointer(driver):
    driver.cards = (*driver.cards, driver.cards[0])
    array = np.zeros(9, np.float32)
    driver.devices_of[array.ctypes.data] = 1
    filled(Interface(array))
    assert driver.launched[0].device == 1
    assert driver.retained == {1}


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_an_array_without_elements_needs_no_device(driver, shape):
    filled(Interface(np.zeros(shape, np.float32), data=(0, False)))
    assert driver.launches == 0
    assert not driver.retained


READ_ONLY = np.zeros(3, np.float32)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (Interface(READ_ONLY), "out is read-only: pass a writable"),
        (Interface(np.zeros(3, np.float32), mask=np.ones(3)), "out has a mask: pass an array with"),
        (Interface(np.zeros(3, np.int32)), "dtype dtype\\('int32'\\) is not supported: choose"),
        (Interface(np.zeros(3, ">f4")), "dtype dtype\\('>f4'\\) is not supported: choose"),
        (Interface(np.zeros(3, ml_dtypes.bfloat16)), "is not supported: choose from float32"),
        (Interface(np.broadcast_to(np.float32(1), (2, 3)), data=(64, False)), "share one address"),
        (Interface(np.zeros(3, np.float32), data=(66, False)), "at multiples of 4; pass an align"),
        (Interface(np.zeros(3, np.float32), strides=(6,)), "at multiples of 4; pass an align"),
        (Interface(np.zeros(3, np.float32), data=(0, False)), "no memory: its address is 0"),
        (Interface(np.zeros(3, np.float32), data=(None, False)), "no memory: its address is 0"),
        (
            Interface(np.zeros(3, np.float32), strides=(4, 4)),
            "but strides \\(4, 4\\): its array int",
        ),
        (Interface(np.zeros((3, 4), np.float32), shape=(3,)), "shape \\(3,\\), but the region of"),
    ],
    ids=[
        "read-only",
        "mask",
        "int",
        "endian",
        "opaque",
        "shared",
        "pointer",
        "stride",
        "null",
        "none",
        "strides",
        "shape",
    ],
)
def test_what_cannot_be_filled_is_said_before_anything_is_launched(driver, out, words):
    with pytest.raises(ValueError, match=words):
        filled(out, shape=(3, 4) if "shape" in words else None)
    assert driver.launches == 0


def test_a_class_without_memory_has_no_door():
    with pytest.raises(TypeError, match="out is a list: need a NumPy array"):
        filled([0.0])


def test_an_interface_that_an_object_lacks_is_an_error(driver):
    class OnTheCpu:
        @property
        def __cuda_array_interface__(self):
            raise AttributeError("not on a device")

    with pytest.raises(TypeError, match="OnTheCpu that shows no memory of a CUDA device"):
        filled(OnTheCpu())


@pytest.mark.frameworks
@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_dlpack_is_filled_with_the_bits_of_the_cpu(driver, torch, dtype, versioned):
    tensor = torch.zeros(7, 40, dtype=getattr(torch, dtype))
    out = Capsule(tensor[1:, 3:], versioned=versioned)
    assert filled(out) is out
    assert tensor[0].eq(0).all()
    assert tensor[:, :3].eq(0).all()
    bits = tensor[1:, 3:].contiguous().view(torch.uint8).numpy()
    assert bits.tobytes() == made((6, 37), dtype=dtype).tobytes()
    assert set(out.streams) == {1}


@pytest.mark.frameworks
@pytest.mark.parametrize(("dtype", "code"), [("float8_e4m3fn", 10), ("float8_e5m2", 12)])
def test_float8_has_the_type_codes_of_dlpack(driver, torch, dtype, code):
    tensor = torch.zeros(300, dtype=torch.uint8)
    filled(Capsule(tensor, code=code))
    assert tensor.numpy().tobytes() == made(300, dtype=dtype).tobytes()


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"flags": 1}, ValueError, "out is read-only"),
        ({"flags": 2}, ValueError, "shows a copy of its memory"),
        ({"device": (1, 0)}, TypeError, "not that of a CUDA device: need a NumPy array, such as"),
        ({"code": 0}, ValueError, "DLPack's type code 0 with 32 bits and 1 lanes"),
        ({"lanes": 4}, ValueError, "with 32 bits and 4 lanes"),
        ({"code": 8, "bits": 8}, ValueError, "DLPack's type code 8 with 8 bits"),
    ],
)
def test_a_capsule_that_cannot_be_filled_is_said(driver, torch, changes, error, words):
    with pytest.raises(error, match=words):
        filled(Capsule(torch.zeros(3), **changes))
    assert driver.launches == 0


@pytest.mark.frameworks
def test_dlpack_is_read_whatever_others_do_to_the_functions_of_python(driver, torch, monkeypatch):
    shared = ctypes.pythonapi.PyCapsule_GetPointer
    monkeypatch.setattr(shared, "restype", ctypes.POINTER(ctypes.c_int64))
    tensor = torch.zeros(30)
    filled(Capsule(tensor))
    assert same(tensor.numpy(), made(30))
    assert shared.restype is ctypes.POINTER(ctypes.c_int64)


@pytest.mark.frameworks
def test_a_later_dlpack_and_what_is_no_capsule_are_errors(driver, torch, monkeypatch):
    from fastinit.cuda import protocols

    class NoCapsule(Capsule):
        def __dlpack__(self, **arguments):
            return "capsule"

    class Unshared(Capsule):
        def __dlpack__(self, **arguments):
            raise BufferError("in use")

    with pytest.raises(TypeError, match="gives 'capsule' instead of a DLPack capsule"):
        filled(NoCapsule(torch.zeros(3)))
    with pytest.raises(ValueError, match="Unshared that cannot be shared: in use"):
        filled(Unshared(torch.zeros(3)))
    out = Capsule(torch.zeros(3))
    capsule = out.__dlpack__(max_version=(1, 0))
    monkeypatch.setattr(protocols, "DLPACK_VERSION", (2, 0))
    monkeypatch.setattr(out, "__dlpack__", lambda **_: capsule, raising=False)
    with pytest.raises(ValueError, match=r"shown by DLPack 1\.\d, and fastinit reads"):
        protocols._tensor_in(capsule)


@pytest.mark.frameworks
def test_an_opaque_interface_is_read_by_dlpack_on_its_own_stream(driver, torch):
    class Both(Capsule):
        @property
        def __cuda_array_interface__(self):
            data = self.tensor.data_ptr(), False
            return {"shape": (30,), "typestr": "<V2", "data": data, "version": 3, "stream": 2}

    tensor = torch.zeros(30, dtype=torch.bfloat16)
    out = Both(tensor)
    filled(out)
    assert tensor.view(torch.uint8).numpy().tobytes() == made(30, dtype="bfloat16").tobytes()
    assert out.streams == [2]
    assert driver.launched[0].stream == 2


@pytest.mark.parametrize("scheme", [MATRIX, MAPPED], ids=["matrix", "mapped"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_the_device_cannot_draw_is_drawn_on_the_cpu_and_copied(driver, scheme, order):
    array = np.zeros((30, 20), np.float32, order=order)
    filled(Interface(array), scheme)
    assert same(array, made((30, 20), scheme))
    assert driver.launches == 0
    assert driver.copied == [2400]


def test_copies_are_made_in_chunks_of_pinned_memory(driver, monkeypatch):
    real = copies.draw
    monkeypatch.setattr(copies, "draw", lambda *arguments: real(*arguments, size=1000))
    array = np.zeros((9, 70), np.float32)
    filled(Interface(array), MAPPED)
    assert same(array, made((9, 70), MAPPED))
    assert driver.copied == [840, 840, 840]
    assert driver.synchronized


@pytest.mark.parametrize("region", [None, np.s_[2:, ::-1]], ids=["whole", "region"])
@pytest.mark.parametrize("back", [np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-1]])
def test_a_copy_may_go_backwards(driver, back, region):
    values = made((12, 20), MAPPED, region=region)
    array = np.zeros(values.shape, np.float32)[back]
    filled(Interface(array), MAPPED, shape=(12, 20), region=region)
    assert same(array, values)


def test_a_copy_that_fails_after_its_call_is_an_error(driver):
    from fake_driver import Status

    driver.fails["cuStreamSynchronize"] = Status.CUDA_ERROR_LAUNCH_FAILED
    with pytest.raises(BackendError, match="cuStreamSynchronize failed: CUDA_ERROR_LAUNCH_FAILED"):
        filled(Interface(np.zeros((3, 4), np.float32)), MATRIX)


def test_shapes_and_strides_may_be_numbers_of_numpy(driver):
    array = np.zeros((40, 30), np.float32)
    shape, strides = map(np.int64, array.shape), map(np.int64, array.strides)
    data = np.int64(array.ctypes.data), False
    filled(Interface(array, shape=tuple(shape), strides=tuple(strides), data=data))
    assert same(array, made((40, 30)))


def test_a_copy_needs_memory_without_gaps(driver):
    array = np.zeros((30, 40), np.float32)
    with pytest.raises(ValueError, match=r"gaps between elements: .* fill a contiguous arr"):
        filled(Interface(array[:, ::2]), MATRIX)
    assert not array.any()
    assert not driver.retained


@pytest.mark.parametrize("function", ["cuMemHostAlloc", "cuMemcpyHtoDAsync", "cuEventCreate"])
def test_a_failing_copy_gives_pinned_memory_back(driver, function):
    from fake_driver import Status

    driver.fails[function] = Status.CUDA_ERROR_OUT_OF_MEMORY
    with pytest.raises(BackendError, match=f"{function} failed: CUDA_ERROR_OUT_OF_MEMORY"):
        filled(Interface(np.zeros((3, 4), np.float32)), MATRIX)


def test_kernels_can_be_forbidden(driver, monkeypatch):
    monkeypatch.setenv("FASTINIT_CUDA", "copy")
    array = np.zeros(50, np.float32)
    filled(Interface(array))
    assert same(array, made(50))
    assert driver.launches == 0
    assert driver.copied == [200]


def test_a_device_without_kernels_gets_a_copy_and_one_warning(driver):
    driver.cards = (driver.cards[0]._replace(architecture=70),)
    array = np.zeros(50, np.float32)
    with pytest.warns(BackendWarning, match="values of CUDA device 0, and they are copied") as said:
        filled(Interface(array))
    assert len(said) == 1
    filled(Interface(array))  # warnings are errors in these tests
    assert same(array, made(50))
    assert driver.launches == 0


@pytest.mark.parametrize("what", ["NVRTC is missing", "an older driver"])
def test_a_copy_needs_no_compiler(driver, what):
    if what == "NVRTC is missing":
        driver.fails["nvrtcVersion"] = RuntimeError("none")
    else:
        driver.cuda = 11080
    array = np.zeros(50, np.float32)
    with pytest.warns(BackendWarning, match="and they are copied: .*NVRTC"):
        filled(Interface(array))
    assert same(array, made(50))
    array = np.zeros((30, 20), np.float32)
    filled(Interface(array), MATRIX)
    assert same(array, made((30, 20), MATRIX))


@pytest.mark.frameworks
def test_jax_arrays_keep_their_error(driver):
    jax = pytest.importorskip("jax")
    with pytest.raises(TypeError, match="because JAX arrays are immutable"):
        filled(jax.numpy.zeros(3))


def test_filling_on_the_cpu_imports_no_room_and_the_room_no_bindings():
    code = (
        "import sys, numpy as np, fastinit as fi;"
        "fi.fill(np.empty(30, 'float32'), fi.normal(), seed=0, name='w');"
        "found = [m for m in sys.modules if m.split('.')[0] == 'cuda' or 'fastinit.cuda' in m];"
        "assert not found, found;"
        "import fastinit.cli.group;"
        "found = [m for m in sys.modules if m.split('.')[0] == 'cuda' or 'fastinit.cuda' in m];"
        "assert not found, found;"
        "import fastinit.cuda;"
        "assert not [m for m in sys.modules if m.split('.')[0] == 'cuda']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
