# SPDX-License-Identifier: MIT
"""What goes wrong with drivers, devices and captures: what is said, and what is left."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import fake_driver
import numpy as np
import pytest
from device_arrays import Interface
from every_scheme import CALLS
from fake_driver import Card, Status
from fills import NORMAL, filled, same, sampler_of
from test_device_draw import LAWS, same_bits, task

import fastinit as fi
from fastinit import cuda
from fastinit.backends import selection
from fastinit.cuda import copies, devices, requirement
from fastinit.errors import BackendError


def zeros(*shape):
    return np.zeros(shape, np.float32)


def one(out, **where):
    return [task(out, NORMAL, out.shape, **where)]


def test_two_devices_have_contexts_and_kernels_of_their_own(driver):
    driver.cards = (Card(90, 4), Card(80, 2))
    outs = [zeros(100), zeros(100), zeros(100)]
    cuda.draw([*one(outs[0], device=0), *one(outs[1], device=1), *one(outs[2], device=0)])
    assert [launch.device for launch in driver.launched] == [0, 1]
    assert [options[0] for options in driver.compiled] == ["-arch=sm_90", "-arch=sm_80"]
    assert all(same_bits(out, fi.array(100, NORMAL, seed=7, name="w")) for out in outs)


def test_streams_are_those_of_the_arrays(driver):
    driver.streams.update({77: 0, 78: 0})
    outs = [zeros(100) for _ in range(4)]
    cuda.draw([t for out, s in zip(outs, (77, 78, 77, 0), strict=True) for t in one(out, stream=s)])
    assert [launch.stream for launch in driver.launched] == [77, 78, 0]


def test_a_stream_of_another_device_is_the_drivers_error(driver):
    driver.cards = (Card(), Card())
    driver.streams[77] = 1
    with pytest.raises(BackendError, match="failed: CUDA_ERROR_INVALID_HANDLE"):
        cuda.draw(one(zeros(9), stream=77))


def test_the_context_that_was_current_is_current_again(driver):
    other = fake_driver._Context(9)
    driver.contexts.append(other)
    cuda.draw(one(zeros(9)))
    assert driver.contexts == [other]
    driver.fails["cuLaunchKernel"] = Status.CUDA_ERROR_LAUNCH_FAILED
    with pytest.raises(BackendError, match="cuLaunchKernel of rows_FI_NORMAL_FI_FLOAT32 failed"):
        cuda.draw(one(zeros(9)))
    assert driver.contexts == [other]
    driver.contexts.clear()


def test_a_captured_stream_takes_loaded_kernels_only(driver):
    driver.streams[77] = 0
    driver.capturing.add(77)
    with pytest.raises(BackendError, match=r"cannot load a kernel while .* before the capture"):
        cuda.draw(one(zeros(9), stream=77))
    with pytest.raises(BackendError, match="cannot load a kernel"):
        cuda.prepare(one(zeros(9), stream=77))
    assert driver.launches == 0
    driver.capturing.clear()
    out = zeros(9)
    cuda.prepare(one(out, stream=77))
    assert (driver.launches, driver.loads) == (0, 1)
    driver.capturing.add(77)
    cuda.draw(one(out, stream=77))
    assert driver.launches == 1


def test_a_captured_stream_takes_no_copies(driver):
    driver.capturing.add(1)
    with pytest.raises(BackendError, match=r"cannot copy .* CUDA graph: fill outside the capt"):
        filled(Interface(zeros(3, 4)), fi.orthogonal())


@pytest.mark.parametrize(
    ("function", "status", "words"),
    [
        ("cuLibraryLoadData", Status.CUDA_ERROR_OUT_OF_MEMORY, "OUT_OF_MEMORY: no memory is left"),
        ("cuDevicePrimaryCtxRetain", Status.CUDA_ERROR_OUT_OF_MEMORY, "PrimaryCtxRetain failed"),
        ("cuCtxPushCurrent", Status.CUDA_ERROR_NOT_INITIALIZED, "forked after CUDA was used"),
        ("nvrtcCompileProgram", fake_driver.NvrtcStatus(6), "cannot compile a kernel .*unclear$"),
    ],
)
def test_an_error_of_the_driver_is_raised_before_a_launch_and_may_pass(
    driver, function, status, words
):
    driver.fails[function] = status
    out = zeros(9)
    with pytest.raises(BackendError, match=words):
        cuda.draw(one(out))
    assert driver.launches == 0
    driver.fails.clear()
    cuda.draw(one(out))
    assert driver.launches == 1


def test_a_kernel_that_one_device_cannot_load_stops_the_launches_of_all(driver):
    driver.cards = (Card(90), Card(80))
    cuda.draw(one(zeros(9), device=0))
    driver.fails["nvrtcCompileProgram"] = fake_driver.NvrtcStatus.NVRTC_ERROR_COMPILATION
    out = zeros(9)
    with pytest.raises(BackendError, match="cannot compile a kernel"):
        cuda.draw([*one(out, device=0), *one(zeros(9), device=1)])
    assert driver.launches == 1
    assert not out.any()


def test_a_kernel_that_cannot_be_loaded_stops_all_launches(driver):
    cuda.draw(one(zeros(9)))
    driver.fails["cuLibraryLoadData"] = Status.CUDA_ERROR_OUT_OF_MEMORY
    with pytest.raises(BackendError, match="cuLibraryLoadData of rows_FI_CONSTANT"):
        cuda.draw([*one(zeros(9)), task(zeros(9), LAWS["constant"], (9,))])
    assert driver.launches == 1


def test_an_interrupted_compilation_can_be_repeated(driver):
    driver.fails["nvrtcCompileProgram"] = KeyboardInterrupt()
    out = zeros(9)
    with pytest.raises(KeyboardInterrupt):
        cuda.draw(one(out))
    driver.fails.clear()
    cuda.draw(one(out))
    assert same_bits(out, fi.array(9, NORMAL, seed=7, name="w"))


def test_tasks_that_cannot_be_are_errors_before_any_launch(driver):
    right = one(zeros(9))
    wrong_shape = cuda.DeviceTask(right[0].out, right[0].source, task(zeros(8), NORMAL, (8,)).part)
    matrix = task(zeros(3, 4), fi.orthogonal(), (3, 4))
    unaligned = cuda.DeviceTask(
        cuda.DeviceArray(right[0].out.pointer + 1, (9,), (4,), 0, 0), right[0].source, right[0].part
    )
    nowhere = cuda.DeviceTask(cuda.DeviceArray(0, (9,), (4,), 0, 0), right[0].source, right[0].part)
    for wrong, words in [
        (wrong_shape, r"shape \(9,\) and strides \(4,\) does not fit a region of shape \(8,\)"),
        (matrix, "kernels draw independent values only"),
        (nowhere, "no memory: its address is 0"),
        (unaligned, "a device needs its elements of 4 bytes at multiples of 4"),
    ]:
        with pytest.raises(ValueError, match=words):
            cuda.draw([*right, wrong])
    assert driver.launches == 0


@pytest.mark.parametrize("name", sorted(CALLS))
def test_whether_a_device_can_draw_a_scheme_is_whether_it_gives_it_the_same_bits(driver, name):
    for call, shape in CALLS[name]:
        dtype = "float64" if "1e-310" in call else "float32"
        source = sampler_of(call, shape, dtype)
        if not cuda.can_draw(source):
            assert source.stream is None
            continue
        out = np.zeros(shape, dtype)
        cuda.draw([task(out, call, shape)])
        assert same_bits(out, fi.array(shape, call, seed=7, name="w", dtype=dtype))


def test_what_is_independent_can_be_drawn_by_a_device():
    for law in LAWS.values():
        assert cuda.can_draw(sampler_of(law, (3, 4)))
    for call in ("orthogonal()", "mapped(normal(), 'x + 1')", "identity()", "sparse(0.5)"):
        assert not cuda.can_draw(sampler_of(call, (3, 4)))


# What is wrong with the machine.


def problem_of(*cards, number=0, **options):
    with fake_driver.installed(*cards, **options):
        return cuda.problem(number)


def test_a_machine_in_order_has_no_problem():
    assert problem_of() is None
    assert problem_of(Card(120), Card(75), number=1) is None


@pytest.mark.parametrize(
    ("cards", "options", "words"),
    [
        ((Card(70),), {}, "capability 7.0, and NVRTC 13.0 compiles for 7.5 and newer"),
        (
            (Card(),),
            {"cuda": 12080},
            "driver is for CUDA 12.8, but the NVRTC installed is for 13.0",
        ),
        ((Card(),), {"cuda": 11080, "nvrtc": (11, 8)}, "need a driver for 12.0 or newer"),
        (fake_driver.NO_CARDS, {}, "the NVIDIA driver shows no CUDA device"),
        ((Card(),), {"number": 3}, "there is no CUDA device 3: the driver shows 1"),
    ],
    ids=["architecture", "driver", "old driver", "no device", "number"],
)
def test_a_problem_says_what_would_help(cards, options, words):
    assert words in problem_of(*cards, **options)


def test_a_library_that_is_missing_is_a_problem_with_what_to_install():
    for function, words in [
        ("cuDriverGetVersion", "the library of the NVIDIA driver (libcuda) is not found: install"),
        ("nvrtcVersion", "NVRTC, which compiles CUDA kernels, is not found: pip install"),
    ]:
        with fake_driver.installed() as driver:
            driver.fails[function] = RuntimeError("none")
            assert words in cuda.problem(0)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("12.9.1", "need cuda-bindings 13.0 or newer, but 12.9.1 is installed: pip install"),
        ("", "has no version"),
    ],
)
def test_bindings_that_are_too_old_are_a_problem(version, words):
    with fake_driver.installed():
        sys.modules["cuda.bindings"].__version__ = version
        assert words in cuda.problem(0)


def test_bindings_that_are_missing_or_broken_are_a_problem():
    with fake_driver.installed(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cuda.bindings", None)
        patch.setitem(sys.modules, "cuda", None)
        assert "and it is not installed: pip install 'fastinit-weights[cuda]'" in cuda.problem(0)
        with pytest.raises(ImportError, match="it is not installed"):
            cuda.draw(one(zeros(9)))
    with fake_driver.installed(), pytest.MonkeyPatch.context() as patch:

        class Broken:
            __path__ = ()
            __version__ = "13.0.3"

            def __getattr__(self, name):
                raise OSError("wrong ELF class")

        patch.setitem(sys.modules, "cuda.bindings", Broken())
        assert "does not work (OSError: wrong ELF class)" in cuda.problem(0)


def test_a_newer_architecture_gets_ptx_of_the_newest_that_is_known():
    with fake_driver.installed(Card(130)) as driver:
        assert cuda.problem(0) is None
        driver.count_only()
        cuda.draw(one(zeros(9)))
        assert driver.compiled[0][0] == "-arch=compute_120"


def test_the_environment_decides(driver, monkeypatch):
    assert cuda.decide(0)
    monkeypatch.setenv("FASTINIT_CUDA", "copy")
    assert not cuda.decide(0)
    assert cuda.problem(0) == "FASTINIT_CUDA=copy asks for the CPU"
    monkeypatch.setenv("FASTINIT_CUDA", "kernels")
    assert cuda.decide(0)
    driver.cards = (Card(70),)
    fake_driver.forget()
    with pytest.raises(BackendError, match="FASTINIT_CUDA=kernels: they cannot run on CUDA device"):
        cuda.decide(0)
    monkeypatch.setenv("FASTINIT_CUDA", "gpu")
    for function in (cuda.decide, cuda.problem, lambda _: cuda.summary()):
        with pytest.raises(BackendError, match="FASTINIT_CUDA=gpu means nothing: choose from kern"):
            function(0)


def test_a_backend_called_cuda_is_not_selected():
    with pytest.raises(BackendError, match=r"finds its kernels by itself .* are native, numba"):
        selection.select("cuda")


def test_the_summary_has_a_line_per_device_and_makes_no_context():
    with fake_driver.installed(Card(90), Card(70, 80, "Tesla V100")) as driver:
        first, second = cuda.summary()
        assert first == "0: NVIDIA H100 80GB HBM3, sm_90: kernels"
        assert second.startswith("1: Tesla V100, sm_70: copies of what the CPU draws: the device")
        assert not driver.retained
        assert not driver.loads
    with fake_driver.installed(*fake_driver.NO_CARDS):
        assert cuda.summary().startswith("none: the NVIDIA driver shows no CUDA device")


def test_info_shows_it(main):
    with fake_driver.installed(Card(90)):
        _, out, _ = main("info")
    assert "cuda             0: NVIDIA H100 80GB HBM3, sm_90: kernels" in out.splitlines()


def test_threads_that_draw_at_once_load_a_kernel_once(driver):
    driver.count_only()
    outs = [zeros(100) for _ in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(cuda.draw, [one(out) for out in outs]))
    assert (driver.loads, driver.launches) == (1, 40)


@pytest.mark.frameworks
def test_the_fake_has_the_functions_and_types_of_the_bindings():
    driver = pytest.importorskip("cuda.bindings.driver")
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    for name in vars(fake_driver.FakeDriver):
        assert not name.startswith("cu") or name == "cuda" or callable(getattr(driver, name))
        if name.startswith("nvrtc"):
            assert callable(getattr(nvrtc, name))
    assert int(driver.CUstream(77)) == int(driver.CUdeviceptr(77)) == 77
    for kinds in ("CUdevice_attribute", "CUpointer_attribute"):
        for name in vars(getattr(fake_driver.KINDS, kinds)):
            assert hasattr(getattr(driver, kinds), name)
    for status in Status:
        assert getattr(driver.CUresult, status.name) == status
    assert driver.CUevent_flags.CU_EVENT_DISABLE_TIMING == copies.WITHOUT_TIMES


def test_what_was_loaded_is_kept_for_the_process(driver):
    assert devices.device(0) is devices.device(0)
    assert requirement.loaded() is requirement.loaded()
    out = zeros(9)
    for _ in range(3):
        cuda.draw(one(out))
    assert (driver.loads, len(driver.compiled), driver.launches) == (1, 1, 3)
    assert same(out, fi.array(9, NORMAL, seed=7, name="w"))
