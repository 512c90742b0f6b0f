# SPDX-License-Identifier: MIT
"""`init.names`: tensors of a module, their views and aliases, by name; contexts, threads, tasks."""

from __future__ import annotations

import asyncio
import threading

import pytest

import fastinit as fi

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
init = pytest.importorskip("fastinit.torch.init")
nn = torch.nn


def drawn(shape, name, scheme="normal(0.02)", seed=0):
    return torch.from_numpy(fi.array(shape, scheme, seed=seed, name=name))


class Block(nn.Module):
    """A weight of each kind."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(24, 8)
        self.embed = nn.Embedding(10, 8)
        self.head = nn.Linear(8, 10, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("table", torch.zeros(4, 4))
        self.image = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)


def test_parameters_and_buffers_have_their_full_names():
    block = Block()
    with init.names(block, seed=3):
        for tensor in (*block.parameters(), *block.buffers()):
            init.normal_(tensor, std=0.02)
    for name, tensor in (*block.named_parameters(), *block.named_buffers()):
        assert torch.equal(tensor, drawn(tensor.shape, name, seed=3)), name


def test_a_prefix_begins_the_names():
    layer = nn.Linear(4, 3)
    with init.names(layer, seed=0, prefix="h.0.mlp"):
        init.normal_(layer.weight, std=0.02)
    assert torch.equal(layer.weight, drawn((3, 4), "h.0.mlp.weight"))


def test_a_tied_parameter_has_its_first_name():
    block = Block()
    with init.names(block, seed=0):
        init.normal_(block.head.weight, std=0.02)
    assert torch.equal(block.embed.weight, drawn((10, 8), "embed.weight"))


ALIASES = {
    "data": lambda t: t.data,
    "detached": lambda t: t.detach(),
    "view": lambda t: t.view(t.shape),
    "squeezed": lambda t: t[None][0],
}


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_of_a_parameter_has_its_name(alias):
    block = Block()
    with init.names(block, seed=0):
        init.kaiming_uniform_(ALIASES[alias](block.qkv.weight))
        init.normal_(ALIASES[alias](block.image.weight), std=0.02)
    assert torch.equal(block.qkv.weight, drawn((24, 8), "qkv.weight", "kaiming_uniform()"))
    assert torch.equal(block.image.weight, drawn((4, 3, 3, 3), "image.weight"))


VIEWS = {
    "chunk": lambda t: t.chunk(3)[1],
    "transposed": lambda t: t.T,
    "transposed chunk": lambda t: t[8:16].T,
    "row": lambda t: t[5],
    "flat run": lambda t: t.view(-1)[3:19],
    "heads": lambda t: t.view(3, 8, 8)[:, 2:4],
    "diagonal": lambda t: t.diagonal(),
    "columns": lambda t: t.data[:, ::3],
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_draws_its_elements_of_the_parameter(view):
    block = Block()
    with torch.no_grad():
        block.qkv.weight.zero_()
    with init.names(block, seed=0):
        init.normal_(VIEWS[view](block.qkv.weight), std=0.02)
    whole = drawn((24, 8), "qkv.weight")
    assert torch.equal(VIEWS[view](block.qkv.weight), VIEWS[view](whole))
    VIEWS[view](block.qkv.weight.data).zero_()
    assert not block.qkv.weight.any()


@pytest.mark.parametrize("view", ["rows", "transposed"])
def test_a_view_of_a_parameter_in_another_layout(view):
    make = {"rows": lambda t: t[1:3, :, ::2], "transposed": lambda t: t.permute(3, 1, 0, 2)}[view]
    block = Block()
    assert not block.image.weight.is_contiguous()
    with init.names(block, seed=0):
        init.normal_(make(block.image.weight), std=0.02)
    assert torch.equal(make(block.image.weight), make(drawn((4, 3, 3, 3), "image.weight")))


def test_the_scale_of_a_view_follows_from_the_view():
    """As in torch: q, k and v each have the fans of a square matrix."""
    block = Block()
    with init.names(block, seed=0):
        for part in block.qkv.weight.chunk(3):
            init.xavier_uniform_(part)
        init.xavier_uniform_(block.out.weight.T)
    scheme = fi.xavier_uniform().distribution((8, 8))
    assert torch.equal(block.qkv.weight, drawn((24, 8), "qkv.weight", scheme))
    scheme = fi.xavier_uniform().distribution((24, 8))
    assert torch.equal(block.out.weight, drawn((8, 24), "out.weight", scheme))


def test_a_random_matrix_in_a_view_has_the_name_of_the_slice():
    block = Block()
    with init.names(block, seed=0):
        for part in block.qkv.weight.chunk(3):
            init.orthogonal_(part)
        init.sparse_(block.out.weight[:, ::2].T, 0.5)
        init.orthogonal_(block.embed.weight.T)
    for first in (0, 8, 16):
        name = f"qkv.weight[{first}:{first + 8}, :]"
        assert torch.equal(block.qkv.weight[first : first + 8], drawn((8, 8), name, "orthogonal()"))
    wanted = drawn((12, 8), "out.weight[:, 0:23:2]", "sparse(0.5)")
    assert torch.equal(block.out.weight[:, ::2].T, wanted)
    assert torch.equal(block.embed.weight.T, drawn((8, 10), "embed.weight", "orthogonal()"))


def test_a_random_matrix_in_a_view_that_is_no_slice_needs_a_name():
    block = Block()
    heads = block.qkv.weight.data.view(3, 8, 8)[:, :2]
    with init.names(block, seed=0):
        with pytest.raises(ValueError, match=r"^orthogonal_ of a view of 'qkv.weight' that is not"):
            init.orthogonal_(heads)
        init.orthogonal_(heads, name="first heads")
    assert torch.equal(heads, drawn((3, 2, 8), "first heads", "orthogonal()"))


def test_a_given_name_or_seed_comes_first():
    layer = nn.Linear(4, 3)
    with init.names(layer, seed=7):
        init.normal_(layer.weight[1:], std=0.02, name="other")
        assert torch.equal(layer.weight[1:], drawn((2, 4), "other", seed=7))
        init.normal_(layer.weight[1:], std=0.02, seed=1)
        assert torch.equal(layer.weight[1:], drawn((3, 4), "weight", seed=1)[1:])
        init.normal_(layer.weight, std=0.02, seed=1, name="both")
        assert torch.equal(layer.weight, drawn((3, 4), "both", seed=1))


def test_a_module_may_change_meanwhile():
    layer = nn.Linear(4, 3)
    with init.names(layer, seed=0):
        layer.weight = nn.Parameter(torch.empty(5, 4))
        init.normal_(layer.weight, std=0.02)
        assert torch.equal(layer.weight, drawn((5, 4), "weight"))
        layer.double()
        init.normal_(layer.weight.data[1:], std=0.02)
        wanted = fi.array((5, 4), "normal(0.02)", seed=0, name="weight", dtype="float64")
        assert torch.equal(layer.weight[1:], torch.from_numpy(wanted)[1:])


def test_memory_that_the_module_gave_up_has_no_name():
    layer = nn.Linear(4, 3)
    with init.names(layer, seed=0):
        old = layer.weight.data
        layer.weight.data = torch.empty(3, 4)
        with pytest.raises(ValueError, match="neither a parameter nor a buffer of the Linear"):
            init.normal_(old)
        init.normal_(layer.weight.data, std=0.02)
    assert torch.equal(layer.weight, drawn((3, 4), "weight"))


def test_an_unknown_tensor_is_explained():
    layer = nn.Linear(4, 3)
    with init.names(layer, seed=0):
        for tensor in (torch.empty(3, 4), layer.weight.clone()):
            with pytest.raises(
                ValueError,
                match=r"of the Linear that .*apart; write normal_\(..., name='...'\)$",
            ):
                init.normal_(tensor)


def test_a_view_of_another_dtype_is_explained():
    layer = nn.Linear(4, 3)
    with init.names(layer, seed=0):
        words = layer.weight.data.view(torch.bfloat16)
        with pytest.raises(ValueError, match=r"bfloat16: it is nei.*shares the memory of 'weight'"):
            init.normal_(words)


def test_an_outer_module_may_know_what_shares_the_memory_of_an_inner_one():
    flat = torch.zeros(24)
    outer, inner = nn.Module(), nn.Module()
    outer.first = nn.Parameter(flat[:12].view(3, 4))
    inner.second = nn.Parameter(flat[12:].view(3, 4))
    with init.names(outer, seed=0), init.names(inner, seed=0):
        init.normal_(outer.first.data, std=0.02)
        with pytest.raises(ValueError, match=r"shares the memory of 'first'"):
            init.normal_(flat)
    assert torch.equal(flat[:12].view(3, 4), drawn((3, 4), "first"))
    assert not flat[12:].any()


def test_tensors_that_share_one_flat_memory_have_their_own_names():
    flat = torch.zeros(24)
    module = nn.Module()
    module.first = nn.Parameter(flat[:12].view(3, 4))
    module.second = nn.Parameter(flat[12:].view(3, 4))
    with init.names(module, seed=0):
        init.normal_(module.second.data, std=0.02)
        init.normal_(module.first.data[1], std=0.02)
    assert torch.equal(flat[12:].view(3, 4), drawn((3, 4), "second"))
    assert torch.equal(flat[4:8], drawn((3, 4), "first")[1])
    assert not flat[:4].any()


# --- contexts ----------------------------------------------------------------------------------


def test_contexts_nest_and_two_modules_have_their_own_names():
    first, second = nn.Linear(4, 3), nn.Linear(4, 3)
    with init.names(first, seed=1, prefix="a"), init.names(second, seed=2, prefix="b"):
        init.normal_(first.weight, std=0.02)
        init.normal_(second.weight, std=0.02)
        with init.names(first, seed=9):
            init.normal_(first.bias, std=0.02)
            init.normal_(second.bias, std=0.02)
    assert torch.equal(first.weight, drawn((3, 4), "a.weight", seed=1))
    assert torch.equal(second.weight, drawn((3, 4), "b.weight", seed=2))
    assert torch.equal(first.bias, drawn((3,), "bias", seed=9))
    assert torch.equal(second.bias, drawn((3,), "b.bias", seed=2))
    with pytest.raises(ValueError, match="needs a seed and a name"):
        init.normal_(first.weight)


def test_an_error_inside_ends_the_context():
    layer = nn.Linear(4, 3)
    with pytest.raises(ZeroDivisionError), init.names(layer, seed=0):
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="needs a seed and a name"):
        init.normal_(layer.weight)


def test_a_context_holds_in_its_thread_alone():
    layer = nn.Linear(4, 3)
    errors = []

    def other():
        try:
            init.normal_(layer.weight)
        except ValueError as error:
            errors.append(str(error))

    with init.names(layer, seed=0):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "needs a seed and a name" in errors[0]


def test_tasks_have_their_own_contexts():
    layers = [nn.Linear(4, 3) for _ in range(4)]

    async def work(number):
        with init.names(layers[number], seed=number):
            for parameter in layers[number].parameters():
                await asyncio.sleep(0)
                init.normal_(parameter, std=0.02)

    async def together():
        await asyncio.gather(*map(work, range(4)))

    asyncio.run(together())
    for number, layer in enumerate(layers):
        assert torch.equal(layer.weight, drawn((3, 4), "weight", seed=number))
        assert torch.equal(layer.bias, drawn((3,), "bias", seed=number))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((nn.Linear, 0, ""), TypeError, "^module is a type: need a torch.nn.Module, whose"),
        ((torch.zeros(3), 0, ""), TypeError, "^module is a Tensor: need a torch.nn.Module"),
        ((nn.Linear(1, 1), -1, ""), ValueError, "^seed is -1: need 0 <= seed"),
        ((nn.Linear(1, 1), None, ""), TypeError, "^seed is None: need an integer"),
        ((nn.Linear(1, 1), 0, 3), TypeError, "^prefix is 3: need a text, such as"),
    ],
)
def test_a_context_needs_a_module_and_a_seed(arguments, error, words):
    module, seed, prefix = arguments
    with pytest.raises(error, match=words), init.names(module, seed=seed, prefix=prefix):
        pass


def test_code_written_for_torch_runs_unchanged():
    """A model's own `_init_weights`, with another `init`."""

    def initialise(module):
        if isinstance(module, nn.Linear):
            init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=0.02)

    block = Block()
    with init.names(block, seed=4):
        block.apply(initialise)
    scheme = fi.truncated_normal(0.02, low=-100, high=100)
    assert torch.equal(block.qkv.weight, drawn((24, 8), "qkv.weight", scheme, seed=4))
    assert not block.qkv.bias.any()
    assert torch.equal(block.embed.weight, drawn((10, 8), "embed.weight", scheme, seed=4))


def test_what_wrappers_put_into_names_is_left_out():
    layer = torch.nn.Linear(4, 3)
    with init.names(torch.nn.DataParallel(layer), seed=0):
        init.normal_(layer.weight)
    assert torch.equal(layer.weight, init.normal_(torch.empty(3, 4), seed=0, name="weight"))
