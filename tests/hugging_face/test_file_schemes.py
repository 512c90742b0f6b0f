# SPDX-License-Identifier: MIT
"""The tensors of a model's files: their schemes, and what cannot be told.

The files of whole models are in test_file_names.py.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from file_models import by_name, made  # noqa: E402 - only where transformers is

import fastinit as fi  # noqa: E402
import fastinit.torch as ft  # noqa: E402
from fastinit.transformers import names  # noqa: E402
from fastinit.transformers.names import FilePart, FileTensor, file_tensors, scheme_for  # noqa: E402

# ---- schemes ------------------------------------------------------------------------------------

INIT = fi.normal(0.02)
JOINED = (
    "parts(zeros(), '0:4', same_as(of='a', init=normal(std=0.02)), "
    "'4:', slice_of(of='b', shape=(9, 6), region='::3', init=normal(std=0.02)))"
)
WHOLE = FilePart("", "a", (4, 6), "")
HALF = FilePart("", "a", (4, 6), ":, 3:")


def file_tensor(*found, name="f", shape=(4, 6)):
    return FileTensor(name, shape, torch.float32, found)


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (file_tensor(WHOLE, name="a"), "normal(std=0.02)"),
        (file_tensor(WHOLE), "same_as(of='a', init=normal(std=0.02))"),
        (
            file_tensor(HALF, shape=(4, 3)),
            "slice_of(of='a', shape=(4, 6), region=':, 3:', init=normal(std=0.02))",
        ),
        (
            file_tensor(
                FilePart("0:4", "a", (4, 6), ""), FilePart("4:", "b", (9, 6), "::3"), shape=(7, 6)
            ),
            JOINED,
        ),
        (
            file_tensor(FilePart("0", "a", (4, 6), ""), name="a", shape=(1, 4, 6)),
            "parts(zeros(), '0', same_as(of='a', init=normal(std=0.02)))",
        ),
        (file_tensor(shape=(0, 6)), "zeros()"),
    ],
)
def test_the_scheme_is_as_short_as_it_can_be(tensor, text):
    scheme = scheme_for(tensor, {"a": INIT, "b": INIT})
    assert str(scheme) == text
    assert fi.scheme(text) == scheme
    scheme.distribution(tensor.shape)


def test_what_is_constant_needs_no_other_tensor():
    both = file_tensor(FilePart("0:4", "a", (4, 6), ""), FilePart("4:", "b", (4, 6), ""))
    assert scheme_for(file_tensor(HALF), {"a": fi.constant(3)}) == fi.constant(3)
    assert scheme_for(both, {"a": fi.zeros(), "b": fi.zeros()}) == fi.zeros()
    mixed = scheme_for(both, {"a": fi.zeros(), "b": fi.ones()})
    assert str(mixed) == "parts(zeros(), '0:4', zeros(), '4:', ones())"


def test_the_reason_of_a_scheme_is_kept():
    with ft.deferred():
        model = made("GteForMaskedLM")
    schemes = {tensor.name: tensor.scheme for tensor in ft.plan(model)}
    for tensor in file_tensors(model):
        reasons = {schemes[part.of].reason for part in tensor.parts}
        assert "" not in reasons
        assert all(reason in scheme_for(tensor, schemes).reason for reason in reasons)


def test_a_scheme_of_too_many_parts_is_an_error_that_names_the_tensor():
    model = made("Kimi_K25Model")
    many = next(t for t in file_tensors(model) if t.name.endswith("0.wqkv.weight"))
    assert len(many.parts) > 9
    with pytest.raises(
        fi.errors.ModuleError, match=r"wqkv.weight': of \d+ parts, .* characters as text"
    ):
        scheme_for(many, dict.fromkeys((part.of for part in many.parts), INIT))


# ---- what cannot be told ------------------------------------------------------------------------


def converting(monkeypatch, convert):
    """A small model, of which transformers would convert the embeddings in some way."""

    def revert(model, state):
        return state | {"new.weight": convert(state["transformer.wte.weight"])}

    monkeypatch.setattr("transformers.core_model_loading.revert_weight_conversion", revert)
    return made("GPT2LMHeadModel")  # whose embeddings have shape (120, 32)


@pytest.mark.parametrize(
    ("convert", "place", "region"),
    [
        (lambda w: w[3], "", "3"),
        (lambda w: w[3:4], "", "3:4"),
        (lambda w: w[:, ::2].contiguous(), "", ":, 0:31:2"),
        (lambda w: w[None, 5:7], "0", "5:7"),
        (lambda w: w[5:7, None], ":, 0", "5:7"),
        (lambda w: w[:, 4, None, None], ":, :, 0", ":, 4:5"),
        (lambda w: w[7, 9], "", "7, 9"),
        (lambda w: torch.cat([w.new_zeros(2, 32), w[5:8]]), "2:5", "5:8"),
    ],
)
def test_regions_are_written_as_schemes_read_them(convert, place, region, monkeypatch):
    told = by_name(file_tensors(converting(monkeypatch, convert)))["new.weight"]
    (part,) = told.parts
    assert (part.place, part.region) == (place, region)
    scheme = scheme_for(told, {"transformer.wte.weight": INIT})
    expected = convert(torch.from_numpy(fi.array((120, 32), INIT, seed=1, name=part.of)))
    assert (fi.array(told.shape, scheme, seed=1, name=told.name) == expected.numpy()).all()


@pytest.mark.parametrize(
    ("convert", "why"),
    [
        (lambda w: w.t().contiguous(), "'new.weight': it is transposed"),
        (lambda w: w + 1, "'new.weight': torch's add computes it"),
        (lambda w: w.half(), "'new.weight': it is turned from torch.float32 into torch.float16"),
        (lambda w: w.reshape(60, 64), "'new.weight': it has another shape than the tensor of the"),
        (
            lambda w: w.reshape(120, 4, 8),
            "'new.weight': it has another shape than the tensor of the",
        ),
        (
            lambda w: w.diagonal(),
            "'new.weight': its elements are no slices of a tensor of the module",
        ),
        (lambda w: w[:, :1].expand(120, 2), "'new.weight': its elements are no slices of a tensor"),
        (lambda w: torch.ones(3, device="meta"), "'new.weight': torch's ones computes it"),
    ],
)
def test_what_cannot_be_told_is_an_error_that_names_the_tensor(convert, why, monkeypatch):
    model = converting(monkeypatch, convert)
    with pytest.raises(fi.errors.ModuleError, match=re.escape(why)) as caught:
        file_tensors(model)
    assert list(caught.value.problems) == ["new.weight"]
    assert "Take the names of the module instead" in str(caught.value)


def test_a_long_list_of_such_tensors_is_cut(monkeypatch):
    def revert(model, state):
        return {f"new.{n}": tensor + 1 for n, tensor in enumerate(state.values())}

    monkeypatch.setattr("transformers.core_model_loading.revert_weight_conversion", revert)
    with pytest.raises(fi.errors.ModuleError, match=r"\n  and \d+ more\n") as caught:
        file_tensors(made("GPT2LMHeadModel"))
    assert str(caught.value).count("computes it") == names.MOST_LISTED_NAMES
    assert len(caught.value.problems) > names.MOST_LISTED_NAMES


def test_what_a_state_dict_has_beside_tensors_of_the_module_is_an_error(monkeypatch):
    model = made("GPT2LMHeadModel")
    state = {**model.state_dict(), "extra": torch.zeros(2)}
    monkeypatch.setattr(model, "state_dict", lambda: state)
    with pytest.raises(fi.errors.ModuleError, match="'extra': it is in the state_dict, but no"):
        file_tensors(model)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("core_model_loading", "revert_weight_conversion"),
        ("modeling_utils", "remove_tied_weights_from_state_dict"),
    ],
)
def test_another_transformers_is_an_error_with_the_versions_that_work(module, name, monkeypatch):
    model = made("GPT2LMHeadModel")
    monkeypatch.delattr(f"transformers.{module}.{name}")
    words = rf"has no {module}.{name}, which tells .* known to work are {names.KNOWN_VERSIONS};"
    with pytest.raises(ImportError, match=words):
        file_tensors(model)


def test_other_modules_and_other_weights_are_refused():
    with pytest.raises(
        TypeError, match=r"^model is a Linear: need a transformers.PreTrainedModel$"
    ):
        file_tensors(torch.nn.Linear(2, 2))
    model = made("GPT2LMHeadModel")
    for attribute, words in (("hf_quantizer", "quantised"), ("_hf_peft_config_loaded", "adapters")):
        setattr(model, attribute, SimpleNamespace())
        with pytest.raises(fi.errors.ModuleError, match=f"^the model .* {words}, and transformers"):
            file_tensors(model)
        setattr(model, attribute, None)
