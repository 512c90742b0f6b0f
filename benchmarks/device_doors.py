# SPDX-License-Identifier: MIT
"""Whether everything that fills device memory gives the CPU's bits on a card.

One check for each way in: torch's streams, graphs and shards, CuPy, Numba, DLPack, JAX,
transformers, kernels of a user's own.  The fake driver of the tests cannot show what is checked
here.  A check whose package is missing is named, and counts as neither right nor wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import fastinit as fi
import fastinit.torch as ft
from fastinit.cuda import choice, devices
from fastinit.errors import BackendError

TESTS = Path(__file__).parents[1] / "tests"
SHAPE = (301, 517)
SCHEME = "truncated_normal(0.02)"

Check = Callable[[torch.device], None]
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    """Add a check to the list."""
    CHECKS.append(function)
    return function


def run(device: torch.device) -> dict[str, Any]:
    """Every check, in order: "right", "no NAME" for a missing package, or how it failed."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX would take the memory
    found = {each.__name__: _outcome(each, device) for each in CHECKS}
    wrong = [name for name, said in found.items() if said != "right" and not said.startswith("no ")]
    return {"checks": found, "wrong": wrong}


def _outcome(each: Check, device: torch.device) -> str:
    try:
        each(device)
        torch.cuda.synchronize()
    except ModuleNotFoundError as error:
        return f"no {error.name}"
    except Exception:  # noqa: BLE001 - a report of all is wanted, whatever one of them meets
        return traceback.format_exc(limit=-4)
    return "right"


def expected(dtype: str = "float32", scheme: str = SCHEME, **options: Any) -> np.ndarray:
    """The values on the CPU."""
    return fi.array(options.pop("shape", SHAPE), scheme, seed=3, name="w", dtype=dtype, **options)


def same(found: Any, wanted: np.ndarray) -> None:
    """Compare bytes."""
    found = np.ascontiguousarray(found)
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    different = (found.view(np.uint8) != np.ascontiguousarray(wanted).view(np.uint8)).sum()
    assert not different, f"{different} of {wanted.nbytes} bytes differ"


def on_the_cpu(tensor: torch.Tensor) -> np.ndarray:
    """The bytes of a tensor, in the shape of its elements."""
    here = tensor.detach().cpu().contiguous()
    return here.view(torch.uint8).numpy()


def same_tensor(tensor: torch.Tensor, wanted: torch.Tensor) -> None:
    """Compare the bytes of a tensor on a device with one on the CPU."""
    assert tensor.is_cuda, tensor.device
    same(on_the_cpu(tensor), on_the_cpu(wanted))


def tensor_of(dtype: torch.dtype = torch.float32, **options: Any) -> torch.Tensor:
    """The values on the CPU as a tensor."""
    out = torch.empty(options.pop("shape", SHAPE), dtype=dtype)
    return fi.fill(out, options.pop("scheme", SCHEME), seed=3, name="w", **options)


def model() -> torch.nn.Module:
    """Weights that share memory, a padded row, and a matrix that the CPU draws."""

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(300, 64, padding_idx=2)
            self.body = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(5)))
            self.square = torch.nn.Parameter(torch.empty(64, 64))
            torch.nn.init.orthogonal_(self.square)
            self.head = torch.nn.Linear(64, 300, bias=False)
            self.head.weight = self.embedding.weight

    return Model()


def same_module(module: torch.nn.Module, wanted: torch.nn.Module) -> None:
    """Compare all parameters, on a device and on the CPU."""
    for (name, one), (other_name, other) in zip(
        module.named_parameters(), wanted.named_parameters(), strict=True
    ):
        assert name == other_name, (name, other_name)
        same_tensor(one, other)


@check
def a_tensor_on_a_stream_of_its_own(device: torch.device) -> None:
    """Values come after what is on the stream, and nothing waits."""
    stream = torch.cuda.Stream(device)
    out = torch.zeros(SHAPE, device=device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(20):
            torch.cuda._sleep(10**6)
            out.fill_(1)
        fi.fill(out, SCHEME, seed=3, name="w")
        doubled = out * 2
    torch.cuda.current_stream(device).wait_stream(stream)
    same_tensor(doubled, tensor_of() * 2)


@check
def a_graph_that_is_replayed(device: torch.device) -> None:
    """A replay writes the values again."""
    out = torch.empty(SHAPE, device=device)
    fi.fill(out, SCHEME, seed=3, name="w")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        fi.fill(out, SCHEME, seed=3, name="w")
    for _ in range(3):
        out.zero_()
        graph.replay()
        same_tensor(out, tensor_of())


@check
def a_graph_without_a_loaded_kernel(device: torch.device) -> None:
    """It is refused, and so is a copy; the same works afterwards."""
    out = torch.empty(SHAPE, device=device, dtype=torch.float64).T
    devices.device(device.index)._kernels.clear()
    for scheme in ("clipped_normal(1, low=-1, high=2)", "orthogonal()"):
        said = "nothing"
        try:
            with torch.cuda.graph(torch.cuda.CUDAGraph()):
                fi.fill(out, scheme, seed=3, name="w")
        except (BackendError, ValueError) as error:  # no kernel is loaded; the CPU would draw
            said = str(error)
        assert "graph" in said, f"{scheme}: {said}"
        torch.cuda.synchronize()
    fi.fill(out, "clipped_normal(1, low=-1, high=2)", seed=3, name="w")
    wanted = torch.empty(SHAPE, dtype=torch.float64).T
    same_tensor(out, fi.fill(wanted, "clipped_normal(1, low=-1, high=2)", seed=3, name="w"))


@check
def every_dtype_by_a_copy(device: torch.device) -> None:
    """FASTINIT_CUDA=copy gives the same bytes."""
    with mock.patch.dict(os.environ, {choice.CUDA_VARIABLE: "copy"}):
        for dtype in (torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.float64):
            out = torch.empty(SHAPE, dtype=dtype, device=device)
            same_tensor(fi.fill(out, SCHEME, seed=3, name="w"), tensor_of(dtype))
            out = torch.empty(SHAPE[::-1], dtype=dtype, device=device).T
            same_tensor(fi.fill(out, SCHEME, seed=3, name="w"), tensor_of(dtype))


@check
def more_elements_than_2_to_the_32(device: torch.device) -> None:
    """One launch cannot hold them; the ends and the seam are compared."""
    count = 2**32 + 2**20 + 7
    out = torch.empty(count, dtype=torch.float8_e5m2, device=device)
    fi.fill(out, "normal(1)", seed=3, name="w")
    for first in (0, 2**31 - 10**5, 2**32 - 10**5, count - 10**6):
        part = slice(first, min(first + 10**6, count))
        wanted = torch.empty(part.stop - part.start, dtype=torch.float8_e5m2)
        fi.fill(wanted, "normal(1)", seed=3, name="w", shape=(count,), region=part)
        same_tensor(out[part], wanted)


@check
def a_model_that_is_accelerated(device: torch.device) -> None:
    """Constructors under `accelerate`."""
    with ft.accelerate(seed=0, device=device):
        there = model()
    with ft.accelerate(seed=0):
        here = model()
    same_module(there, here)


@check
def a_model_in_place_and_verified(device: torch.device) -> None:
    """`initialize_` and `verify` of a module on the device."""
    there, here = (torch.nn.Transformer(64, 4, 2, 2, 128, batch_first=True) for _ in range(2))
    there.to(device)
    ft.initialize_(there, seed=5)
    ft.initialize_(here, seed=5)
    same_module(there, here)
    assert ft.verify(there, seed=5)


@check
def shards_on_a_mesh_of_one(device: torch.device) -> None:
    """FSDP2 by NCCL, with one process."""
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard

    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group(
            "nccl", init_method=f"file://{folder}/store", rank=0, world_size=1, device_id=device
        )
        try:
            with torch.device("meta"):
                module = torch.nn.Sequential(*(torch.nn.Linear(64, 96) for _ in range(3)))
            fully_shard(module)
            module.to_empty(device=device)
            ft.initialize_(module, seed=5)
            here = torch.nn.Sequential(*(torch.nn.Linear(64, 96) for _ in range(3)))
            ft.initialize_(here, seed=5)
            for one, other in zip(module.parameters(), here.parameters(), strict=True):
                same_tensor(one.full_tensor(), other)
        finally:
            dist.destroy_process_group()


@check
def a_model_of_transformers(device: torch.device) -> None:
    """A small Llama in bfloat16."""
    import transformers

    import fastinit.transformers as fh

    config = transformers.LlamaConfig(
        hidden_size=128, intermediate_size=352, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=1_000,
    )  # fmt: skip
    options = {"architecture": "causal-lm", "seed": 1, "dtype": torch.bfloat16}
    there = fh.from_config(config, device=device, **options)
    same_module(there, fh.from_config(config, **options))
    with torch.no_grad():
        said = there(torch.arange(8, device=device)[None]).logits
    assert bool(torch.isfinite(said).all())


@check
def arrays_of_cupy(device: torch.device) -> None:
    """Contiguous, strided, on a stream, and drawn by the CPU."""
    import cupy

    with cupy.cuda.Device(device.index):
        for dtype in ("float32", "float16", "float64"):
            out = fi.fill(cupy.empty(SHAPE, dtype), SCHEME, seed=3, name="w")
            same(cupy.asnumpy(out), expected(dtype))
        out = cupy.zeros((2 * SHAPE[0], SHAPE[1]), "float32")
        fi.fill(out[::-2], SCHEME, seed=3, name="w")
        same(cupy.asnumpy(out[::-2]), expected())
        assert not cupy.asnumpy(out[::2]).any()
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            out = fi.fill(cupy.empty(SHAPE, "float32"), SCHEME, seed=3, name="w") * 2
        stream.synchronize()
        same(cupy.asnumpy(out), 2 * expected())
        out = fi.fill(cupy.empty((64, 64), "float32"), "orthogonal()", seed=3, name="w")
        same(cupy.asnumpy(out), expected(scheme="orthogonal()", shape=(64, 64)))


@check
def arrays_of_numba(device: torch.device) -> None:
    """Device arrays of numba-cuda."""
    from numba import cuda

    with cuda.gpus[device.index]:
        out = cuda.device_array(SHAPE, np.float32)
        fi.fill(out, SCHEME, seed=3, name="w")
        same(out.copy_to_host(), expected())


@check
def arrays_by_dlpack(device: torch.device) -> None:
    """Memory that is shown by DLPack alone, in dtypes that the array interface lacks."""

    class Shown:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor

        def __dlpack_device__(self) -> Any:
            return self.tensor.__dlpack_device__()

        def __dlpack__(self, **options: Any) -> Any:
            return self.tensor.__dlpack__(**options)

    for dtype in (torch.float32, torch.bfloat16):
        tensor = torch.empty(SHAPE, dtype=dtype, device=device)
        fi.fill(Shown(tensor), SCHEME, seed=3, name="w")
        torch.cuda.synchronize()
        same_tensor(tensor, tensor_of(dtype))


@check
def arrays_of_jax(device: torch.device) -> None:
    """Arrays on JAX's card, whole and sharded over one device; others keep their zeros."""
    import jax

    import fastinit.jax as fj

    card = jax.devices("gpu")[0]
    beside = jax.block_until_ready(jax.numpy.zeros(SHAPE))
    mesh = jax.sharding.Mesh([card], "x")
    sharded = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    for dtype in ("float32", "bfloat16", "float8_e4m3fn"):
        for sharding in (None, sharded):
            out = fj.array(SHAPE, SCHEME, seed=3, name="w", dtype=dtype, sharding=sharding)
            assert out.devices() == {card}, out.devices()
            same(np.asarray(out).view(np.uint8), expected(dtype).view(np.uint8))
    assert not np.asarray(beside).any()


@check
def a_tree_of_jax(device: torch.device) -> None:
    """`fastinit.jax.init` of a function, on the card."""
    import jax

    import fastinit.jax as fj

    def start(key: Any) -> Any:
        return {"w": jax.nn.initializers.he_normal()(key, SHAPE), "b": jax.numpy.zeros(7)}

    tree = fj.init(start, jax.random.key(0), seed=3)
    assert tree["w"].devices() == {jax.devices("gpu")[0]}, tree["w"].devices()
    same(np.asarray(tree["w"]), expected(scheme="he_normal(layout='jax')"))
    assert not np.asarray(tree["b"]).any()


COMPILING = """
import pathlib, sys, torch, fastinit as fi, fastinit.cuda.kept
fastinit.cuda.kept.CODE_FOLDER = pathlib.Path(sys.argv[1])
out = torch.empty(1000, device="cuda")
fi.fill(out, "truncated_normal(0.02)", seed=3, name="w")
print(out.cpu().numpy().tobytes().hex())
"""


@check
def processes_that_compile_at_once(device: torch.device) -> None:
    """Four processes that begin with nothing on disk."""
    wanted = tensor_of(shape=(1000,)).numpy().tobytes().hex()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-c", COMPILING, folder]
        started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        said = [process.communicate()[0].strip() for process in started]
        kept = [each.name for each in Path(folder).iterdir()]
    assert said == 4 * [wanted], [text[:40] for text in said]
    assert len(kept) == 1, kept


@check
def kernels_of_a_users_own(device: torch.device) -> None:
    """Functions of fastinit.numba in kernels of numba-cuda: the checks of the tests' simulator."""
    from numba import cuda

    try:
        import numba.cuda.cudaimpl  # noqa: F401 - Numba imports it when it compiles
    except AttributeError as error:
        raise ModuleNotFoundError(name=f"numba-cuda that works here ({error})") from error
    sys.path.insert(0, str(TESTS))
    import cuda_checks

    def launch(kernel: Any, out: np.ndarray, *arguments: Any) -> None:
        cuda.jit(kernel)[-(-out.size // 128), 128](out, *arguments)

    with cuda.gpus[device.index]:
        for each in cuda_checks.CHECKS:
            each(launch, step=61)
