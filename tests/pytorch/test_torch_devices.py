# SPDX-License-Identifier: MIT
"""Tensors on CUDA devices: what their device draws, what is copied, and how few launches it takes.

No card is needed: CPU tensors stand in, and the fake driver runs the text of the kernels.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

import fastinit as fi
from fastinit import cuda
from fastinit.errors import BackendError, BackendWarning
from fastinit.memory.regions import region_of
from fastinit.numerics.dtypes import resolve
from fastinit.schemes.sampling import sampler
from fastinit.values.stream import checked

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
ft = pytest.importorskip("fastinit.torch")

import cuda_tensors  # noqa: E402 - it imports torch
import fake_driver  # noqa: E402
from tensor_layouts import DTYPES, LAYOUTS, bits, expected_bits  # noqa: E402
from torch import nn  # noqa: E402

from fastinit.torch import copies, devices, init  # noqa: E402

CUDA = torch.device("cuda", 0)


@pytest.fixture
def driver():
    with fake_driver.installed() as installed:
        yield installed


@pytest.fixture
def cards(driver):
    with cuda_tensors.pretended() as pretended:
        yield pretended


@pytest.fixture
def drawn(monkeypatch):
    """The tasks of every call of `fastinit.cuda.draw`, which draws them, too."""
    calls = []
    real = cuda.draw

    def draw(tasks):
        calls.append(list(tasks))
        real(calls[-1])

    monkeypatch.setattr(cuda, "draw", draw)
    return calls


@pytest.fixture
def copied(monkeypatch):
    """The regions that were drawn on the CPU and copied."""
    parts = []
    real = copies.draw

    def draw(tensor, source, part, workers):
        parts.append(part)
        real(tensor, source, part, workers)

    monkeypatch.setattr(copies, "draw", draw)
    return parts


def model():
    """Layers that share a weight, a padded embedding, a table, buffers and a number of its own."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(50, 24, padding_idx=3)
            self.up, self.norm, self.down = nn.Linear(24, 40), nn.LayerNorm(24), nn.Linear(40, 24)
            self.gate = nn.Linear(24, 8, dtype=torch.float64)
            self.head = nn.Linear(24, 50, bias=False)
            self.tied = nn.Linear(40, 24)
            self.tied.weight = self.down.weight
            self.ramp = nn.Parameter(torch.arange(24.0) / 32)
            self.batch = nn.BatchNorm1d(24)
            self.register_buffer("angles", 1 / 10 ** (torch.arange(12.0) / 12))
            nn.init.trunc_normal_(self.head.weight, std=0.02)

    return Model()


def materialised(make=model, **options):
    with ft.deferred():
        module = make()
    return ft.materialize(module, seed=3, **options)


def state(module):
    return {name: bits(torch, tensor) for name, tensor in module.state_dict().items()}


def equal(module, reference):
    found, wanted = state(module), state(reference)
    return found.keys() == wanted.keys() and all(
        np.array_equal(found[name], wanted[name]) for name in wanted
    )


# --- one tensor --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_device_draws_every_layout(cards, drawn, copied, layout, dtype):
    shape, make = LAYOUTS[layout]
    tensor = cards.put(make(torch, getattr(torch, dtype)))
    before = tensor._version
    assert fi.fill(tensor, "normal(0.02)", seed=26, name="w") is tensor
    assert tensor._version > before
    assert len(drawn) == (tensor.numel() > 0)
    assert not copied
    wanted = expected_bits(shape, "normal(0.02)", dtype, seed=26, name="w")
    assert np.array_equal(bits(torch, tensor), wanted)


@pytest.mark.parametrize("scheme", ["uniform(-1, 1)", "truncated_normal(0.02)", "constant(3)"])
def test_a_region_of_a_tensor_that_is_nowhere(cards, drawn, scheme):
    start = 2**34 - 700
    tensor = torch.empty(1_500, device="cuda")
    options = {"seed": 1, "name": "w", "shape": (2**40,), "region": range(start, start + 1_500)}
    fi.fill(tensor, scheme, **options)
    wanted = fi.fill(np.empty(1_500, "float32"), scheme, **options)
    assert np.array_equal(bits(torch, tensor), wanted.view("i4"))
    (((task,),)) = drawn
    assert task.out.device == 0


def test_what_lies_around_a_view_stays(cards):
    whole = torch.zeros(9, 9, device="cuda")
    fi.fill(whole[2:5, 3:7], "normal(1)", seed=0, name="w")
    inside = torch.zeros(9, 9, dtype=torch.bool)
    inside[2:5, 3:7] = True
    assert torch.equal(whole.cpu() != 0, inside)


def test_inference_tensors_and_leaves_are_drawn_in_place(cards, drawn, copied):
    wanted = torch.from_numpy(fi.array((6, 4), "normal(1)", seed=0, name="w"))
    with torch.inference_mode():
        fixed = torch.empty(6, 4, device="cuda")
    leaf = torch.empty(6, 4, device="cuda").requires_grad_()
    saved = (leaf * leaf).sum()
    for tensor in (fixed, leaf):
        fi.fill(tensor, "normal(1)", seed=0, name="w")
        assert torch.equal(tensor.detach().cpu(), wanted)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.backward()
    assert len(drawn) == 2
    assert not copied


def test_a_negated_view_is_copied_to(cards, drawn, copied):
    view = cards.put(torch.zeros(6, dtype=torch.complex64)).conj().imag
    assert view.is_neg()
    fi.fill(view, "normal(1)", seed=0, name="w")
    assert len(copied) == 1
    assert not drawn
    assert np.array_equal(
        bits(torch, view), expected_bits((6,), "normal(1)", "float32", seed=0, name="w")
    )


@pytest.mark.parametrize(
    "scheme", ["orthogonal()", "identity()", "parts(normal(), '0:1', identity())", "sparse(0.5)"]
)
def test_what_a_device_cannot_draw_is_copied(cards, drawn, copied, monkeypatch, scheme):
    monkeypatch.setattr(copies, "_pinned", copies._pageable)  # torch has no pinned memory here
    tensor = torch.empty(6, 4, device="cuda")
    fi.fill(tensor, scheme, seed=26, name="w")
    assert not drawn
    assert len(copied) == 1
    wanted = expected_bits((6, 4), scheme, "float32", seed=26, name="w")
    assert np.array_equal(bits(torch, tensor), wanted)


COMPOUNDS = {
    "padded": "parts(normal(0.02), '3', zeros())",
    "stacked": "parts(normal(0.02), '0:10', uniform(-1, 1), '10:20', truncated_normal(0.5))",
    "columns": "parts(normal(0.02), ':, 5:9', uniform(-1, 1))",
    "steps": "parts(normal(0.02), ':, ::3', ones())",
    "packed": "xavier_normal(packed=(4, 10, 16))",
    "nested": "parts(normal(0.02), '4:9, 2:7', zeros(), '5:6', uniform(-1, 1))",
}


@pytest.mark.parametrize("region", [None, np.s_[2:17], range(43, 61), range(43, 305)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("scheme", COMPOUNDS.values(), ids=COMPOUNDS)
def test_a_device_draws_parts_of_a_tensor(cards, drawn, copied, scheme, dtype, region):
    options = {"seed": 5, "name": "w", "shape": (30, 14), "region": region}
    wanted = fi.array(options["shape"], scheme, seed=5, name="w", dtype=dtype, region=region)
    tensor = torch.zeros(wanted.size + 2, dtype=getattr(torch, dtype), device="cuda")
    fi.fill(tensor[1:-1].view(wanted.shape), scheme, **options)
    assert len(drawn) == 1
    assert not copied
    assert np.array_equal(bits(torch, tensor[1:-1]), wanted.view(f"i{wanted.itemsize}").reshape(-1))
    assert not tensor.cpu()[[0, -1]].any()


@pytest.mark.parametrize(
    ("scheme", "make"),
    [
        (COMPOUNDS["padded"], lambda: torch.zeros(14, 30, device="cuda").T),
        (COMPOUNDS["padded"], lambda: torch.zeros(30, 15, device="cuda")[:, :14]),
        ("parts(normal(), '::2', ones())", lambda: torch.zeros(130, 14, device="cuda")),
        ("parts(normal(), ':, 2:5, 1:3', ones())", lambda: torch.zeros(8, 9, 6, device="cuda")),
    ],
    ids=["transposed", "gaps", "many parts", "nested parts"],
)
def test_parts_without_a_simple_cut_are_copied(cards, drawn, copied, monkeypatch, scheme, make):
    monkeypatch.setattr(copies, "_pinned", copies._pageable)
    tensor = make()
    fi.fill(tensor, scheme, seed=26, name="w")
    assert not drawn
    assert len(copied) == 1
    wanted = expected_bits(tuple(tensor.shape), scheme, "float32", seed=26, name="w")
    assert np.array_equal(bits(torch, tensor), wanted)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda put: put(torch.zeros(3, 1)).expand(3, 4), "several elements share one address"),
        (lambda put: freed(put(torch.zeros(3, 4))), "its storage has 0 bytes: it was freed"),
        (lambda put: put(torch.zeros(3, 4, dtype=torch.complex64)), "view_as_real"),
    ],
    ids=["expanded", "freed", "complex"],
)
def test_errors_come_before_a_launch(cards, drawn, make, message):
    with pytest.raises(ValueError, match=message):
        fi.fill(make(cards.put), "normal(1)", seed=0, name="w")
    assert not drawn


def freed(tensor):
    tensor.untyped_storage().resize_(0)
    return tensor


def test_launches_go_to_the_current_stream_of_the_tensors_device():
    two = fake_driver.Card(), fake_driver.Card()
    with fake_driver.installed(*two) as driver, cuda_tensors.pretended() as cards:
        cards.streams.update({0: 71, 1: 82})
        driver.streams.update({71: 0, 82: 1})
        for device in ("cuda:1", "cuda:0"):
            fi.fill(torch.empty(5, device=device), "normal(1)", seed=0, name="w")
        assert [(one.device, one.stream) for one in driver.launched] == [(1, 82), (0, 71)]


def test_init_draws_on_the_device(cards, drawn):
    layer = nn.Linear(8, 6, device="meta").to_empty(device="cuda")
    with init.names(layer, seed=4):
        init.kaiming_normal_(layer.weight)
        init.trunc_normal_(layer.weight.detach()[:, 2:5], std=0.1)
        init.zeros_(layer.bias)
    assert len(drawn) == 2  # torch fills constants
    reference = nn.Linear(8, 6)
    with init.names(reference, seed=4):
        init.kaiming_normal_(reference.weight)
        init.trunc_normal_(reference.weight.detach()[:, 2:5], std=0.1)
        init.zeros_(reference.bias)
    assert equal(layer, reference)


# --- what decides ------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["FASTINIT_CUDA", "HIP"])
def test_the_cpu_draws_where_kernels_are_not_wanted(cards, drawn, copied, monkeypatch, why):
    monkeypatch.setattr(copies, "_pinned", copies._pageable)
    if why == "HIP":
        monkeypatch.setattr(torch.version, "hip", "6.4")
    else:
        monkeypatch.setenv("FASTINIT_CUDA", "copy")
    tensor = fi.fill(torch.empty(7, device="cuda"), "normal(1)", seed=0, name="w")
    assert not drawn
    assert len(copied) == 1
    assert torch.equal(tensor.cpu(), torch.from_numpy(fi.array(7, "normal(1)", seed=0, name="w")))


def test_a_device_that_is_too_old_is_copied_to_unless_kernels_are_asked_for(copied, monkeypatch):
    monkeypatch.setattr(copies, "_pinned", copies._pageable)
    old = fake_driver.Card(architecture=70)
    with fake_driver.installed(old), cuda_tensors.pretended():
        tensor = torch.zeros(7, device="cuda")
        with monkeypatch.context() as patch:
            patch.setenv("FASTINIT_CUDA", "kernels")
            with pytest.raises(BackendError, match=r"^FASTINIT_CUDA=kernels: they cannot run on"):
                fi.fill(tensor, "normal(1)", seed=0, name="w")
        assert not tensor.cpu().any()
        assert not copied
        with pytest.warns(BackendWarning, match="^the CPU draws the values of CUDA device 0"):
            fi.fill(tensor, "normal(1)", seed=0, name="w")
        fi.fill(tensor, "normal(1)", seed=0, name="w")  # says it once
        assert len(copied) == 2
        wanted = torch.from_numpy(fi.array(7, "normal(1)", seed=0, name="w"))
        assert torch.equal(tensor.cpu(), wanted)


@pytest.mark.parametrize("captured", [0, 1])
def test_no_copy_is_captured_into_a_graph(captured):
    """Neither on the device of the tensor, which is not the current one, nor on that."""
    two = fake_driver.Card(), fake_driver.Card()
    with fake_driver.installed(*two) as driver, cuda_tensors.pretended() as cards:
        cards.capturing.add(captured)
        tensor = torch.zeros(6, 4, device="cuda:1")
        with pytest.raises(ValueError, match=r"on the device cuda:1, and a CUDA graph is being ca"):
            fi.fill(tensor, "orthogonal()", seed=0, name="w")
        assert not tensor.cpu().any()
        fi.fill(tensor, "normal(1)", seed=0, name="w")
        assert driver.launches == 1


@pytest.mark.parametrize("scheme", ["orthogonal()", "normal(1)"])
def test_a_tensor_without_elements_needs_no_device(cards, drawn, copied, monkeypatch, scheme):
    monkeypatch.setenv("FASTINIT_CUDA", "unknown")
    cards.capturing.add(0)
    fi.fill(torch.empty(0, 4, device="cuda"), scheme, seed=0, name="w")
    assert not drawn
    assert not copied


def test_the_callers_floating_point_state_chooses_no_kernel(cards, driver):
    """Without denormals, this scale of 2**-1074 would seem to need no clamp."""
    tensor = torch.empty(9, dtype=torch.float64, device="cuda")
    law, stream = "uniform(-3.3e-308, 3.3e-308)", {"seed": 0, "name": "w"}
    fi.fill(tensor, law, **stream)
    source = sampler(law, (9,), checked(0, "w"), resolve("float64"))
    task = cuda.DeviceTask(devices.array_on_device(tensor), source, region_of((9,), None))
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has no such state")
    try:
        fi.fill(tensor, law, **stream)
        cuda.draw([task])
    finally:
        torch.set_flush_denormal(False)
    assert [one.symbol for one in driver.launched] == ["rows_FI_UNIFORM_FI_FLOAT64"] * 3


# --- modules -----------------------------------------------------------------------------------


def test_a_module_is_one_batch(cards, drawn, copied, monkeypatch):
    monkeypatch.setattr(copies, "_pinned", copies._pageable)
    reference = materialised()
    module = materialised(device="cuda")
    assert all(tensor.is_cuda for tensor in module.state_dict().values())
    assert module.tied.weight is module.down.weight
    assert equal(module, reference)
    assert [len(tasks) for tasks in drawn] == [17]  # the padded embedding is three
    assert not copied
    assert ft.verify(module, seed=3) == ft.verify(reference, seed=3)


def test_a_dtype_is_the_rounded_model_on_a_device(cards, drawn):
    make = lambda: nn.Sequential(nn.Linear(30, 40), nn.LayerNorm(40))  # noqa: E731
    module = materialised(make, device="cuda", dtype=torch.bfloat16)
    assert equal(module, materialised(make, dtype=torch.bfloat16))
    assert len(drawn) == 1


def test_accelerate_makes_the_model_on_the_device(cards, drawn):
    with ft.accelerate(seed=3, device="cuda"):
        module = nn.Sequential(nn.Linear(9, 5), nn.Conv2d(3, 4, 3))
    assert all(parameter.is_cuda for parameter in module.parameters())
    assert [len(tasks) for tasks in drawn] == [4]


@pytest.mark.parametrize("way", ["materialize", "initialize_"])
def test_no_tensor_of_a_module_is_written_if_a_device_must_draw_and_cannot(
    cards, drawn, monkeypatch, way
):
    """A table comes first here, which no device computes."""

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("angles", 1 / 10 ** (torch.arange(12.0) / 12))

    with ft.deferred():
        module = nn.Sequential(Table(), nn.Linear(3, 4))
    monkeypatch.setenv("FASTINIT_CUDA", "unknown")
    if way == "materialize":
        with pytest.raises(BackendError, match="FASTINIT_CUDA=unknown means nothing"):
            ft.materialize(module, seed=3, device="cuda")
        assert all(tensor.is_meta for tensor in module.state_dict().values())
    else:
        module = module.to_empty(device="cuda")
        before = {name: tensor._version for name, tensor in module.state_dict().items()}
        with pytest.raises(BackendError, match="FASTINIT_CUDA=unknown means nothing"):
            ft.initialize_(module, seed=3)
        assert before == {name: t._version for name, t in module.state_dict().items()}
    assert not drawn


def test_views_of_parameters_are_made_again_after_the_values_are_there(cards, drawn):
    """As an RNN does, which copies its weights into one block of memory."""
    seen = []

    class Flattening(nn.Linear):
        def _apply(self, fn, recurse=True):
            seen.append(len(drawn))
            return super()._apply(fn, recurse)

    materialised(lambda: Flattening(3, 4), device="cuda")
    assert seen[-1] == len(drawn) == 1


def test_a_module_is_initialised_in_place(cards, drawn):
    layers = lambda: nn.Sequential(nn.Linear(30, 40), nn.LayerNorm(40), nn.GRUCell(4, 3))  # noqa: E731
    module, reference = layers().to_empty(device="cuda"), layers()
    pointers = [parameter.data_ptr() for parameter in module.parameters()]
    versions = [parameter._version for parameter in module.parameters()]
    report = ft.initialize_(module, seed=3)
    assert str(report) == str(ft.initialize_(reference, seed=3))
    assert equal(module, reference)
    assert [parameter.data_ptr() for parameter in module.parameters()] == pointers
    assert all(p._version > v for p, v in zip(module.parameters(), versions, strict=True))
    assert len(drawn) == 1
    assert ft.verify(module, seed=3) == sum(p.numel() for p in module.parameters())


def test_what_was_installed_has_values_if_a_later_tensor_fails(cards, drawn, monkeypatch):
    from fastinit.torch import installation

    with ft.deferred():
        module = nn.Sequential(nn.Linear(30, 40), nn.Linear(40, 20))
    real = installation.allocated

    def short(recipe, device):
        if recipe.name == "1.bias":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(recipe, device)

    monkeypatch.setattr(installation, "allocated", short)
    with pytest.raises(torch.OutOfMemoryError):
        ft.materialize(module, seed=3, device="cuda")
    assert [len(tasks) for tasks in drawn] == [3]
    wanted = fi.array((40, 30), "kaiming_uniform(a=sqrt(5))", seed=3, name="0.weight")
    assert torch.equal(module[0].weight.detach().cpu(), torch.from_numpy(wanted))


def test_memory_lives_until_its_batch_is_drawn(cards, drawn):
    from fastinit.torch.devices import Batch
    from fastinit.torch.memory import fill_with

    batch = Batch()
    view = torch.zeros(4, 1_000, device="cuda")
    fill_with(batch, view[1], "normal(1)", seed=0, name="w")
    kept = view.untyped_storage().data_ptr()
    del view
    gc.collect()
    assert torch.empty(4, 1_000).data_ptr() != kept
    assert not drawn
    batch.draw()
    batch.draw()
    assert [len(tasks) for tasks in drawn] == [1]


def test_shards_of_a_dtensor_are_drawn_on_their_device(cards, drawn, copied):
    from torch import distributed
    from torch.distributed.tensor import DTensor, Shard
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", rank=1, world_size=4, store=FakeStore())
    try:
        mesh = distributed.init_device_mesh("cpu", (4,), mesh_dim_names=("cards",))
        local = torch.zeros(2, 12, device="cuda")
        options = {"shape": torch.Size((8, 12)), "stride": (12, 1), "run_check": False}
        tensor = DTensor.from_local(local, mesh, [Shard(0)], **options)
        versions = tensor._version, local._version
        fi.fill(tensor, "he_normal()", seed=3, name="w")
        assert tensor._version > versions[0]
        assert local._version > versions[1]
    finally:
        distributed.destroy_process_group()
    wanted = fi.array((8, 12), "he_normal()", seed=3, name="w")[2:4]
    assert np.array_equal(local.cpu().numpy(), wanted)
    assert len(drawn) == 1
    assert not copied


def test_a_flat_parameter_is_one_batch(cards, drawn, copied, monkeypatch):
    """What FSDP1 leaves: one-dimensional memory, in which each parameter has a run."""
    from fastinit.torch import slots
    from fastinit.torch.flat import FlatTensor
    from fastinit.torch.shards import LocalPart

    layer = nn.Linear(5, 7)
    flat = torch.zeros(30, device="cuda")
    held = {
        "weight": FlatTensor("weight", (7, 5), [LocalPart(flat[:25], range(10, 35))], flat),
        "bias": FlatTensor("bias", (7,), [LocalPart(flat[25:30], range(5))], flat),
    }
    monkeypatch.setattr(slots, "flat_parts", lambda module: list(held.values()))
    monkeypatch.setattr("fastinit.torch.initialize.signature_of", lambda module: None)
    before = flat._version
    ft.initialize_(layer, seed=3)
    whole = nn.Linear(5, 7)
    monkeypatch.setattr(slots, "flat_parts", lambda module: [])
    ft.initialize_(whole, seed=3)
    wanted = torch.cat([whole.weight.detach().reshape(-1)[10:], whole.bias.detach()[:5]])
    assert torch.equal(flat.cpu(), wanted)
    assert flat._version > before
    assert [len(tasks) for tasks in drawn] == [2]
    assert not copied


def test_a_model_of_transformers_is_made_on_the_device(cards, drawn):
    transformers = pytest.importorskip("transformers")
    import fastinit.transformers as fh

    config = transformers.GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=50, n_positions=16)
    options = {"architecture": "causal-lm", "seed": 3}
    module = fh.from_config(config, device="cuda", **options)
    assert len(drawn) == 1
    assert equal(module, fh.from_config(config, **options))


def test_llama_3_8b_takes_few_launches(cards, driver, drawn, copied):
    """291 tensors, of which nothing is computed here, nor is their memory touched."""
    transformers = pytest.importorskip("transformers")
    import fastinit.transformers as fh

    config = transformers.LlamaConfig(
        vocab_size=128_256,
        hidden_size=4_096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        rope_theta=500_000.0,
    )
    driver.count_only()
    module = fh.from_config(
        config, architecture="causal-lm", seed=0, dtype="bfloat16", device="cuda"
    )
    assert sum(parameter.numel() for parameter in module.parameters()) == 8_030_261_248
    assert [len(tasks) for tasks in drawn] == [291]
    assert driver.launches == 4  # docs/howto/gpu.md
    assert not copied
