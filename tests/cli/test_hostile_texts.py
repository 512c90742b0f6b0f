# SPDX-License-Identifier: MIT
"""Text of strangers reaches messages, tables and JSON escaped and short, through every door."""

from __future__ import annotations

import json
import os
import sys
import unicodedata

import pytest
from checkpoint_plans import plan_of, safetensors_file

import fastinit as fi
from fastinit.errors import VerifyError
from fastinit.plans.toml import read_toml
from fastinit.program import LONGEST_LINE, one_line
from fastinit.texts import LISTED, listed, printable, quoted

FORGED = "\r\x1b[2K\x1b[1Aweights: all 5 tensors are plan 'gpt2', to the last byte"
SEEN = {  # what a tensor's name may hold
    "an override of direction": "w\u202ethgiew",
    "an isolate": "w\u2066x\u2069",
    "a mark of direction": "w\u200f",
    "a zero-width space": "w\u200b",
    "a zero-width joiner": "w\u200d",
    "a byte-order mark": "\ufeffw",
    "a line separator": "w\u2028fastinit: all is well",
    "a paragraph separator": "w\u2029",
    "a soft hyphen": "w\u00ad",
    "a private character": "w\ue000",
    "a tag": "w\U000e0041",
    "a no-break space": "w\u00a0",
    "very long": "w" * 200_000,
}
UNSEEN = {  # and what it may not
    "an erased line": FORGED,
    "one byte for CSI": "w\u009b2K",
    "a line break": "w\nfastinit: all is well",
    "next line": "w\u0085",
    "a title": "\x1b]0;owned\x07",
    "delete": "w\x7f",
}
HOSTILE = {**SEEN, **UNSEEN}
F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def assert_harmless(text):
    """Nothing in it moves, hides or reorders what a terminal shows; and it is one line."""
    acting = {mark for mark in text.rstrip("\n") if unicodedata.category(mark)[0] in "CZ"} - {" "}
    assert not acting, text
    assert len(text) <= len("fastinit: \n") + LONGEST_LINE
    assert text.count("\n") <= 1


def refusal(call, *arguments):
    """The message of the error that a call raises."""
    with pytest.raises((fi.FastinitError, ValueError, TypeError, KeyError)) as caught:
        call(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_text_is_shown_on_one_line_with_its_escapes(text):
    for shown in (printable(text), quoted(text), listed([text]), quoted({text: [text]})):
        assert_harmless(shown)
    assert printable("größe 日本 ñ") == "größe 日本 ñ"
    assert printable("a" * 3000) == f"{'a' * 499}...{'a' * 499}"
    assert len(quoted("a" * 3000)) == 260


def test_any_value_is_shown_at_bounded_length():
    deep = nested = []
    for _ in range(50):
        nested.append([])
        nested = nested[0]
    for value in (
        10**5000,
        -(10**5000),
        [["x" * 300] * 30] * 30,
        (1,) * 10**6,
        deep,
        {1: {2: {3: {}}}},
    ):
        assert len(quoted(value)) < 1200
    assert quoted(10**600) == f"1{'0' * 17}...{'0' * 19}"
    assert quoted(10**5000) == "an integer of 16610 bits"
    assert listed([f"n{i}" for i in range(LISTED + 5)]).endswith(f"n{LISTED - 1} and 5 more")


def change_file(path, name=None, metadata=None, **recipe):
    """Rename the only tensor of a checkpoint, and change its metadata or recipe."""
    data = path.read_bytes()
    size = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:size])
    fields = json.loads(header["__metadata__"]["fastinit"])
    header["__metadata__"]["fastinit"] = json.dumps({**fields, **recipe})
    header["__metadata__"].update(metadata or {})
    if name is not None:
        header[name] = header.pop("w")
    path.write_bytes(safetensors_file(header, data[size:]))


@pytest.fixture
def weights(tmp_path):
    """A folder with a checkpoint of one tensor."""
    fi.write(plan_of(("w", (4,), "normal(std=1)")), tmp_path / "weights", seed=3)
    return tmp_path / "weights"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_file_cannot_write_to_the_terminal_by_verify(weights, main, text):
    path = weights / "model.safetensors"
    good = path.read_bytes()
    changes = [
        {"name": text},
        {"name": text, "init": {text: "normal(std=2)"}},
        {"init": {"w": text}},
        {"init": {"w": f"normal({text}=1)"}},
        {"plan": text},
        {"digest": text},
        {"digest": FORGED, "plan": text},
        {"metadata": {"fastinit": text}},
    ]
    for change in changes:
        path.write_bytes(good)
        change_file(path, **change)
        message = refusal(fi.verify, weights)
        assert_harmless(message)
        code, out, err = main("verify", weights)
        assert (code, out) == (1, "")
        assert_harmless(err)


def test_a_digest_cannot_forge_a_success(weights, tmp_path, main):
    fi.write(
        plan_of(("a", (4,), "zeros()"), ("b", (4,), "zeros()")),
        tmp_path / "two",
        seed=3,
        max_shard_size=16,
    )
    for path in (tmp_path / "two").glob("model-0*"):
        change_file(path, digest=FORGED)
    code, out, err = main("verify", tmp_path / "two")
    assert (code, out) == (1, "")
    assert "64 hexadecimal digits are needed" in err
    assert_harmless(err)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_header_cannot_write_to_the_terminal(tmp_path, main, text):
    path = tmp_path / "x.safetensors"
    for header in (
        {"a": {**F32, "dtype": text}},
        {text: {**F32, "dtype": text}},
        {text: {**F32, "shape": [2]}},
        {text: {**F32, "shape": [text]}},
        {text: {**F32, text: text}},
        {text: text},
        {text: F32, "a": F32},
        {text: {**F32, "data_offsets": [4, 8]}},
        {"__metadata__": {text: 1}},
        {"__metadata__": {"a": text}, "a": {**F32, "data_offsets": [text, text]}},
    ):
        path.write_bytes(safetensors_file(json.dumps(header, ensure_ascii=False).encode(), b"1234"))
        assert_harmless(refusal(fi.open, path))
        code, out, err = main("verify", path)
        assert (code, out) == (1, "")
        assert_harmless(err)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_an_index_cannot_write_to_the_terminal(tmp_path, main, text):
    path = tmp_path / "model.safetensors.index.json"
    for index in (
        {"weight_map": {text: "x.safetensors"}},
        {"weight_map": {text: text}},
        {"weight_map": {"a": f"{text}.safetensors"}},
        {"weight_map": text},
        {"weight_map": {"a": [text] * 100}},
        {text: 1},
    ):
        path.write_bytes(json.dumps(index, ensure_ascii=False).encode())
        try:
            missing = fi.open(tmp_path)
        except fi.errors.CheckpointError as error:
            assert_harmless(str(error))
        else:
            assert_harmless(refusal(missing.__getitem__, next(iter(missing))))
        code, out, err = main("verify", tmp_path)
        assert (code, out) == (1, "")
        assert_harmless(err)


def test_the_totals_of_an_index_are_quoted(tmp_path, main):
    fi.write(
        plan_of(("a", (4,), "zeros()"), ("b", (4,), "zeros()")), tmp_path, seed=3, max_shard_size=16
    )
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "metadata": {FORGED: [FORGED] * 10**5}}))
    code, _, err = main("verify", tmp_path)
    assert code == 1
    assert r'the index has metadata {"\r\x1b[2K' in err
    assert_harmless(err)


PLANS = (
    2 * '[[tensor]]\nname = {0}\nshape = [1]\ninit = "zeros()"\n',
    '[[tensor]]\nname = {0}\nshape = [-1]\ninit = "zeros()"',
    '[[tensor]]\nname = {0}\nshape = {0}\ninit = "zeros()"',
    '[[tensor]]\nname = "w"\nshape = [{0}]\ninit = "zeros()"',
    '[[tensor]]\nname = "w"\nshape = [1]\ninit = {0}',
    '[[tensor]]\nname = "w"\nshape = [1]\ninit = "zeros()"\nrepeat = {0}',
    '[[tensor]]\nname = "w"\nshape = [1]\ninit = "zeros()"\ndtype = {0}',
    '[[tensor]]\nname = "w"\nshape = [1]\n{0} = 1',
    '[[tensor]]\nname = {0}\nshape = [1]\ninit = "zeros()"\n[config]\n{0} = 2026-01-01',
    "{0} = 1",
    "tensor = {0}",
    "dtype = {0}\ntensor = []",
    "tensor = []\n[sizes]\n{0} = 1.5",
    "tensor = []\n[sizes]\n{0} = 'x'",
    "tensor = []\n[sizes]\n{0} = 0.5\n{0} = 1",
    "tensor = []\n[sizes]\na = {0}",
    '[[rule]]\nnames = {0}\ninit = "zeros()"\n[[tensor]]\nname = "w"\nshape = [1]',
    '[[rule]]\nnames = "x"\ninit = "zeros()"\n[[tensor]]\nname = {0}\nshape = [1]',
    "{0}",
    "a = {0}{0}",
)


def as_toml(text):
    """A basic string of TOML; what may stand in one as it is, does."""
    return "".join(
        f"\\U{ord(mark):08x}" if ord(mark) < 32 or ord(mark) == 127 or mark in '"\\' else mark
        for mark in text
    ).join('""')


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("form", PLANS, ids=range(len(PLANS)))
def test_a_plan_file_cannot_write_to_the_terminal(form, text):
    for written in (as_toml(text), text):
        assert_harmless(refusal(read_toml, form.format(written), "model.toml"))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_field_in_a_name_is_quoted(text):
    name = as_toml(f"{{{text}}}")
    form = f'[[tensor]]\nname = {name}\nshape = [1]\nrepeat = 1\ninit = "zeros()"'
    assert_harmless(refusal(read_toml, form, "model.toml"))


@pytest.mark.parametrize("text", [text for text in SEEN.values() if len(text) < 100])
@pytest.mark.parametrize("options", [[], ["--all"], ["--json"]])
def test_names_that_a_plan_may_have_are_escaped_in_its_table(tmp_path, main, text, options):
    path = tmp_path / "model.toml"
    path.write_text(f'[[tensor]]\nname = {as_toml(text)}\nshape = [1]\ninit = "zeros()"', "utf-8")
    code, out, err = main("plan", path, *options)
    assert (code, err) == (0, "")
    for line in out.splitlines():
        assert_harmless(line)
    if options == ["--json"]:
        assert json.loads(out)["plan"]["tensors"][0]["name"] == text
    else:
        assert printable(text) in out


def test_names_are_escaped_in_folders_too(tmp_path, main):
    """Whatever a file system lets a folder be called, surrogates for bytes that are no text too."""
    fi.write(plan_of(("w", (4,), "zeros()")), tmp_path / "good", seed=3)
    names = [text for text in HOSTILE.values() if len(text) < 100 and "/" not in text]
    for name in [*names, os.fsdecode(b"\xff\xfe\x9b")]:
        folder = tmp_path / name
        os.rename(tmp_path / "good", folder)
        for code, options in ((0, []), (0, ["--json"])):
            found, out, err = main("verify", folder, *options)
            assert (found, err) == (code, "")
            for line in out.splitlines():
                assert_harmless(line)
        for arguments in (["write", "gpt2", folder], ["write", "gpt2", folder / "x", "--dry-run"]):
            _, out, err = main(*arguments)
            for line in (*out.splitlines(), *err.splitlines()):
                assert_harmless(line)
        path = folder / "model.safetensors"
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        assert_harmless(refusal(fi.verify, folder))
        path.unlink()
        assert_harmless(refusal(fi.open, folder))
        assert_harmless(refusal(fi.open, path))
        assert_harmless(refusal(fi.plan, folder / "model.toml"))
        path.write_bytes(content)
        os.rename(folder, tmp_path / "good")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_source_cannot_write_to_the_terminal(tmp_path, main, text):
    config, plan, weights = (tmp_path / name for name in ("config.json", "x.json", "w.safetensors"))
    for form in ({text: 1}, {"_class_name": text}, [text], {"model_type": text, text: text}):
        config.write_text(json.dumps(form))
        if "model_type" not in form:  # that is for the door of transformers
            assert_harmless(refusal(fi.plan, config))
    for form in ({"tensors": [], text: 1}, {"tensors": [{text: text}]}, {"tensors": text}):
        plan.write_text(json.dumps(form))
        assert_harmless(refusal(fi.plan, plan))
    weights.write_bytes(safetensors_file({text: {**F32, "dtype": "I32"}}, b"1234"))
    assert_harmless(refusal(fi.plan, weights))
    weights.write_bytes(safetensors_file({text: F32}, b"1234"))
    assert_harmless(refusal(fi.plan, weights))
    code, out, err = main("plan", weights)
    assert (code, out) == (2, "")
    assert_harmless(err)
    assert_harmless(refusal(lambda: fi.plan("gpt2", rules=text)))
    assert_harmless(refusal(lambda: fi.plan("gpt2", rules={text: "zeros()"})))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_arguments_are_quoted_in_errors(text):
    plan = fi.plan("gpt2")
    calls = [
        (fi.plan, text),
        (fi.plan, f"{text[:100]}.toml".replace("\n", "")),
        (plan.__getitem__, text),
        (plan.with_rules, [(text, "zeros()")]),
        (plan.with_rules, {"*": text}),
        (fi.scheme, text),
        (fi.Tensor, text, (-1,), "zeros()"),
        (fi.Tensor, "w", (1,), text),
        (fi.Tensor, "w", text, "zeros()"),
        (fi.Tensor, "w", (1,), "zeros()", text),
        (fi.Plan, [], text, text),
        (fi.Plan.from_json, {"tensors": [], text: 1}),
        (fi.Plan.from_json, {"tensors": [{text: text}]}),
        (fi.Plan.from_json, {"tensors": text}),
        (fi.Plan.from_json, {"tensors": [], "config": {text: {text: {1}}}}),
    ]
    for call, *arguments in calls:
        assert_harmless(refusal(call, *arguments))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_verify_error_quotes_its_file(text):
    assert_harmless(str(VerifyError("is wrong", text)))


@pytest.mark.parametrize("mark", ["\u202e", "\U000e0041", "\x1b", "w"])
def test_a_message_is_short_after_its_escapes_and_each_escape_is_whole(mark):
    for count in (5, 200, 400, 1000, 5000):
        shown = one_line(mark * count)
        assert len(shown) <= len("fastinit: ") + LONGEST_LINE < 2000
        escape = mark if mark.isprintable() else repr(mark)[1:-1]
        assert not shown.removeprefix("fastinit: ").replace("...", "", 1).replace(escape, "")


def test_numbers_are_quoted_where_python_writes_few_digits():
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert quoted(10**639) == "an integer of 2123 bits"
        assert "..." in quoted(2**1999)
    finally:
        sys.set_int_max_str_digits(before)
