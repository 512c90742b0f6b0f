# SPDX-License-Identifier: MIT
"""Custom distributions in texts, plans, files and the command line: named, trusted, compared."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")

import custom_laws as laws  # noqa: E402 - only with Numba

import fastinit as fi  # noqa: E402
import fastinit.numba as fn  # noqa: E402
from fastinit.checkpoints import layout_of  # noqa: E402
from fastinit.checkpoints.layout import Shard  # noqa: E402
from fastinit.checkpoints.recipe import Recipe  # noqa: E402
from fastinit.checkpoints.write import write_shard  # noqa: E402
from fastinit.schemes.custom import labels_in  # noqa: E402

TESTS = Path(__file__).parents[1]
USED = [laws.laplace, laws.logarithmic, laws.student]
REFUSED = (
    r"custom_laws:laplace.* custom distributions?, and no text makes fastinit import a module: if "
    r"you trust custom_laws, pass custom=\[laplace.*\], imported from there, or on the command "
    r"line --trust custom_laws$"
)


def plan_of(*schemes):
    return fi.Plan([fi.Tensor(f"t{n}", (64, 32), scheme) for n, scheme in enumerate(schemes)])


PLAN = plan_of(
    laws.laplace(scale=0.02),
    laws.logarithmic(scale=0.02),
    fi.schemes.parts(fi.zeros(), "3:9", laws.student()),
    fi.normal(std=1),
    fi.schemes.mapped(laws.logarithmic(), "minimum(maximum(x, -1), 1)"),
)


# ---- texts --------------------------------------------------------------------------------------

TEXTS = [
    "custom_laws:laplace(scale=0.02)",
    "custom_laws:laplace()",
    "mapped(init=custom_laws:laplace(scale=2), expression='minimum(maximum(x, -1), 1)')",
    "parts(zeros(), '3:9, :', custom_laws:laplace(scale=2))",
    "same_as(of='a.b:c', init=custom_laws:laplace(scale=0.1))",
    "slice_of(of='a.b:c', shape=(9, 9), region='2:5', init=custom_laws:laplace(scale=0.1))",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_read_back_and_name_their_functions(text):
    scheme = fi.scheme(text, custom=[laws.laplace])
    assert str(scheme) == text
    assert scheme.functions == (laws.laplace,)
    assert labels_in(text) == ("custom_laws:laplace",)
    with pytest.raises(fi.errors.UntrustedError, match=REFUSED):
        fi.scheme(text)
    with pytest.raises(fi.errors.UntrustedError, match=REFUSED):
        fi.array((9, 9), text, seed=0, name="w")


def test_labels_in_quotes_are_no_labels():
    assert labels_in("same_as(of='a.b:c', init=zeros())") == ()
    assert labels_in("parts(zeros(), '3:9', ones())") == ()
    assert labels_in("'" + "a:b" * 400) == ()


def test_texts_may_use_sizes_and_arithmetic():
    text = "custom_laws:laplace(scale=1 / sqrt(2 * layers))"
    assert fi.scheme(text, {"layers": 8}, custom=[laws.laplace]) == laws.laplace(scale=0.25)
    assert fi.scheme(" custom_laws:laplace ", custom=[laws.laplace]) == laws.laplace()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("custom_laws:laplace(0.1)", "got 0.1 without a name: write custom_laws:laplace"),
        ("custom_laws:laplace(std=1)", "has no number 'std'"),
        ("custom_laws:laplace(scale='x')", "custom_laws:laplace: scale is 'x'"),
        ("custom_laws: laplace()", "cannot be read"),
        ("mapped(custom_laws:laplace, 'x')", "unknown size 'custom_laws:laplace'"),
        ("custom_laws:laplace(scale=a:b)", "unknown size 'a:b'"),
        ("custom_laws:laplace.x()", "write a scheme as name"),
        ("fastinit.numba.gallery:no_such_thing()", "No module named|has no distribution"),
    ],
)
def test_texts_with_mistakes_say_which(text, words):
    with pytest.raises((ValueError, ImportError), match=words):
        fi.scheme(text, custom=[laws.laplace])


@pytest.mark.parametrize(
    ("custom", "error", "words"),
    [
        (laws.laplace, TypeError, r"need a list, such as \[laplace\]"),
        ("custom_laws", TypeError, "need a list"),
        (None, TypeError, r"custom is None: need a list"),
        ([laws], TypeError, r"custom holds <module .*: need what fastinit\.numba\.distribution"),
        ([laws.laplace()], TypeError, "custom holds custom_laws:laplace"),
    ],
)
def test_only_custom_distributions_can_be_trusted(custom, error, words):
    with pytest.raises(error, match=words):
        fi.plan("gpt2", custom=custom)
    with pytest.raises(error, match=words):
        fi.scheme("custom_laws:laplace()", custom=custom)


def test_two_functions_of_one_name_are_refused(monkeypatch):
    again = fn.distribution(laws.laplace.__wrapped__)
    with pytest.raises(ValueError, match="two functions that are called custom_laws:laplace"):
        fi.plan("gpt2", custom=[laws.laplace, again])


# ---- plans --------------------------------------------------------------------------------------

TOML = """
[sizes]
width = 16
[[rule]]
names = "*.bias"
init = "custom_laws:laplace(scale=1 / width)"
[[tensor]]
name = "h.{i}.bias"
repeat = 2
shape = "(width,)"
[[tensor]]
name = "h.{i}.weight"
repeat = 2
shape = "(width, 2 * width)"
init = "parts(zeros(), '3:5', custom_laws:laplace(scale=i + 1))"
"""


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(TOML)
    return path


def test_plans_in_toml_name_what_is_given(toml):
    found = fi.plan(toml, custom=[laws.laplace])
    assert found["h.1.bias"].scheme == laws.laplace(scale=1 / 16)
    inner = fi.schemes.parts(fi.zeros(), "3:5", laws.laplace(scale=2))
    assert found["h.1.weight"].scheme == inner
    with pytest.raises(fi.errors.PlanError, match=f"plan.toml: rule 1: {REFUSED}"):
        fi.plan(toml)
    with pytest.raises(fi.errors.PlanError, match=REFUSED):
        fi.write(toml, toml.parent / "new", seed=0)
    assert not (toml.parent / "new").exists()
    assert fi.write(toml, toml.parent / "new", seed=0, custom=[laws.laplace]).tensors == 4


def test_plans_in_json_name_what_is_given():
    form = json.loads(json.dumps(PLAN.to_json()))
    assert fi.Plan.from_json(form, custom=USED) == PLAN
    with pytest.raises(fi.errors.PlanError, match=f"entry 1: {REFUSED}"):
        fi.Plan.from_json(form)
    with pytest.raises(fi.errors.UntrustedError, match=REFUSED):
        fi.Tensor("a", (3,), "custom_laws:laplace()")


# ---- files --------------------------------------------------------------------------------------


@pytest.fixture(params=["safetensors", "npy"])
def folder(request, tmp_path):
    fi.write(PLAN, tmp_path / "weights", seed=3, dtype="float32", format=request.param)
    return tmp_path / "weights"


def recipe_in(folder):
    if (folder / "fastinit.json").exists():
        return json.loads((folder / "fastinit.json").read_text())
    data = (folder / "model.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    return json.loads(header["__metadata__"]["fastinit"])


def test_a_recipe_has_each_functions_digest_once(folder):
    recipe = recipe_in(folder)
    assert list(recipe) == ["stream", "seed", "plan", "digest", "init", "custom"]
    assert recipe["custom"] == {function.label: function.digest for function in USED}
    assert recipe["init"]["t0"] == "custom_laws:laplace(scale=0.02)"


def test_a_recipe_without_them_keeps_its_bytes():
    recipe = Recipe(1, "", "0" * 64, {"a": "zeros()"})
    assert (
        recipe.text()
        == f'{{"stream":1,"seed":1,"plan":"","digest":"{"0" * 64}","init":{{"a":"zeros()"}}}}'
    )
    fields = layout_of(plan_of(fi.zeros()), seed=0).shards[0].to_json()
    assert set(fields) == {"file", "seed", "plan", "digest", "entries", "format"}


def test_verify_takes_what_it_is_given_and_imports_nothing(folder):
    report = fi.verify(folder, custom=USED)
    assert (report.rounded, report.not_portable) == (0, 2)
    assert report.custom == tuple(sorted(function.label for function in USED))
    with pytest.raises(fi.errors.UntrustedError, match=REFUSED):
        fi.verify(folder)
    words = r"^custom_laws:student is a custom distribution, and .* pass custom=\[student\], "
    with pytest.raises(fi.errors.UntrustedError, match=words):
        fi.verify(folder, custom=USED[:2])


def test_verify_finds_another_source(folder, monkeypatch):
    was = laws.student.digest
    monkeypatch.setattr(laws.student, "_digest", "1" * 64)
    words = (
        rf"custom_laws:student has another source here than when the file was written: its "
        rf"SHA-256 is 1{{64}}, but the recipe says {was}; use the version of custom_laws that"
    )
    with pytest.raises(fi.errors.VerifyError, match=words):
        fi.verify(folder, custom=USED)


def changed(path, tensor, element, factor):
    """Multiply one element of a safetensors file."""
    data = bytearray(path.read_bytes())
    size = struct.unpack("<Q", data[:8])[0]
    begin = json.loads(data[8 : 8 + size])[tensor]["data_offsets"][0] + 8 + size
    values = np.frombuffer(data, np.float32, offset=begin)
    values[element] *= np.float32(factor)
    path.write_bytes(data)


@pytest.mark.parametrize(("ulps", "right"), [(0, True), (2, True), (6, True), (12, False)])
@pytest.mark.parametrize("tensor", ["t1", "t4"])
def test_values_that_are_not_portable_are_compared_within_a_tolerance(
    tmp_path, tensor, ulps, right
):
    fi.write(PLAN, tmp_path / "w", seed=3, dtype="float32")
    changed(tmp_path / "w/model.safetensors", tensor, 77, 1 + ulps * 2.0**-23)
    if right:
        fi.verify(tmp_path / "w", custom=USED)
    else:
        with pytest.raises(fi.errors.VerifyError, match=rf"'{tensor}', element 77 \(row 2, col"):
            fi.verify(tmp_path / "w", custom=USED)


def test_portable_values_are_compared_to_the_bit(tmp_path):
    fi.write(PLAN, tmp_path / "w", seed=3, dtype="float32")
    changed(tmp_path / "w/model.safetensors", "t0", 77, 1 + 2.0**-22)
    with pytest.raises(fi.errors.VerifyError, match="'t0', element 77"):
        fi.verify(tmp_path / "w", custom=USED)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3fn", "float64"])
def test_narrow_and_wide_checkpoints_are_verified(tmp_path, dtype):
    fi.write(PLAN, tmp_path / "w", seed=3, dtype=dtype)
    assert fi.verify(tmp_path / "w", custom=USED).not_portable == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.pop("custom"), r"its schemes name \[.*\], but it has the digests of \[\]"),
        (lambda r: r["custom"].pop("custom_laws:student"), "but it has the digests of"),
        (lambda r: r["custom"].update({"os:system": "0" * 64}), "but it has the digests of"),
        (lambda r: r["custom"].update({"custom_laws:student": "0"}), "is '0': need SHA-256 in hex"),
        (lambda r: r.update(custom=3), "its custom is not of type dict"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_wrong(tmp_path, change, words):
    fi.write(PLAN, tmp_path / "w", seed=3, dtype="float32", format="npy")
    path = tmp_path / "w/fastinit.json"
    recipe = json.loads(path.read_text())
    change(recipe)
    path.write_text(json.dumps(recipe))
    with pytest.raises(fi.errors.VerifyError, match=words):
        fi.verify(tmp_path / "w", custom=USED)


def test_values_that_the_recipe_cannot_give_are_a_wrong_checkpoint(tmp_path):
    fi.write(plan_of(laws.reciprocal(scale=1)), tmp_path / "w", seed=3, format="npy")
    path = tmp_path / "w/fastinit.json"
    path.write_text(
        path.read_text().replace("custom_laws:reciprocal()", "custom_laws:reciprocal(scale=1e38)")
    )
    with pytest.raises(
        fi.errors.VerifyError, match=r"tensor 't0' cannot be drawn: .* not a finite"
    ):
        fi.verify(tmp_path / "w", custom=[laws.reciprocal])


def test_a_write_whose_values_are_refused_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="a value that is not a finite float32 number"):
        fi.write(plan_of(fi.zeros(), laws.nowhere()), tmp_path / "w", seed=3)
    assert [path for path in (tmp_path / "w").iterdir() if path.is_file()] == []


def test_shards_travel_with_digests(tmp_path):
    layout = layout_of(PLAN, seed=3, dtype="float32", max_shard_size=20_000)
    assert len(layout.shards) > 1
    for shard in layout.shards:
        fields = json.loads(json.dumps(shard.to_json()))
        assert fields["custom"] == {function.label: function.digest for function in USED}
        assert Shard.from_json(fields, tuple(USED)).header == shard.header
        if shard.recipe.custom:
            with pytest.raises(fi.errors.UntrustedError, match="no text makes fastinit import"):
                write_shard(fields, tmp_path / "w")
            fields["custom"][next(iter(shard.recipe.custom))] = "2" * 64
            with pytest.raises(ValueError, match="has another source here"):
                write_shard(fields, tmp_path / "w", custom=USED)
        write_shard(shard.to_json(), tmp_path / "w", custom=USED)
    fi.write(PLAN, tmp_path / "w", seed=3, dtype="float32", max_shard_size=20_000)
    assert fi.verify(tmp_path / "w", custom=USED).tensors == 5


@pytest.mark.parametrize("format", ["safetensors", "npy"])
def test_another_source_does_not_carry_on_what_one_began(tmp_path, format, monkeypatch):
    """A .npy file has no recipe: what it was begun with is the name of a claim."""
    options = {"seed": 3, "dtype": "float32", "format": format, "max_shard_size": 9_000}
    first = layout_of(PLAN, **options).shards[0]
    assert first.recipe.custom
    write_shard(first.to_json(), tmp_path / "w", custom=USED)
    monkeypatch.setattr(laws.student, "_digest", "1" * 64)
    if format == "npy":
        with pytest.raises(fi.errors.CheckpointError, match="of another call, which is not finish"):
            fi.write(PLAN, tmp_path / "w", **options)
    monkeypatch.setattr(laws.laplace, "_digest", "1" * 64)
    with pytest.raises(fi.errors.CheckpointError, match=r"another call|not what this call would"):
        fi.write(PLAN, tmp_path / "w", **options)
    monkeypatch.undo()
    fi.write(PLAN, tmp_path / "w", **options)
    assert fi.verify(tmp_path / "w", custom=USED).tensors == 5


# ---- functions that no file can name ------------------------------------------------------------


def nested():
    @fn.distribution
    def inside(z):
        return z

    return inside


def unnamed(module):
    scope = {"__name__": module}
    exec("def f(z): return z", scope)
    return fn.distribution(scope["f"])


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (nested(), r"nested.<locals>.inside: it is defined in a function or a class: move it to"),
        (unnamed("__main__"), "__main__:f: it is defined in the program that runs, .* move it to"),
        (unnamed("made_up"), "made_up:f: its source cannot be found: write it into a .py file"),
    ],
)
def test_what_no_file_can_name_works_in_memory_and_is_not_written(tmp_path, function, words):
    assert fi.array(9, function(), seed=0, name="w").any()
    with pytest.raises(ValueError, match=f"a recipe cannot name .*{words}"):
        fi.write(plan_of(function()), tmp_path / "w", seed=0)
    assert not (tmp_path / "w").exists()


# ---- the command line ---------------------------------------------------------------------------

MODULE = """
import fastinit.numba as fn
print("ran")
@fn.distribution
def law(z, a=1.0):
    return z * a
"""


def run(*arguments, path, **variables):
    """The command line in a process that finds modules in a folder: exit code, stdout, stderr."""
    environment = {**os.environ, "PYTHONPATH": str(path), **variables}
    found = subprocess.run(
        [sys.executable, "-m", "fastinit", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    return found.returncode, found.stdout, found.stderr


def test_the_command_line_imports_what_is_trusted_and_nothing_else(tmp_path):
    (tmp_path / "trusted_law.py").write_text(MODULE)
    (tmp_path / "empty_law.py").write_text("")
    plan, folder = tmp_path / "plan.toml", tmp_path / "w"
    plan.write_text('[[tensor]]\nname = "a"\nshape = "(8,)"\ninit = "trusted_law:law(a=2)"\n')
    refusal = (
        r"^fastinit: .*if you trust trusted_law, pass custom=\[law\], .* --trust trusted_law\n$"
    )
    for command in (("plan", plan), ("write", plan, folder)):
        code, out, error = run(*command, path=tmp_path)
        assert (code, out) == (2, "")
        assert re.search(refusal, error)
        assert "ran\n" not in error
    code, out, error = run("plan", plan, "--trust", "trusted_law", path=tmp_path)
    assert (code, error) == (0, "ran\n")
    assert "trusted_law:law(a=2)" in out
    assert run("write", plan, folder, "--trust", "trusted_law", path=tmp_path)[0] == 0
    code, out, error = run("verify", folder, path=tmp_path)
    assert (code, out) == (2, "")
    assert re.search(refusal, error)
    assert "ran\n" not in error
    code, out, error = run("verify", folder, "--trust", "trusted_law", "--json", path=tmp_path)
    assert code == 0
    assert json.loads(out)["custom"] == ["trusted_law:law"]
    (tmp_path / "bad_law.py").write_text("1 / 0\n")
    (tmp_path / "program.py").write_text("import sys; sys.exit(0)\n")
    for module, words in (
        ("empty_law", "it defines no custom distribution; name the module"),
        ("no_law", "it cannot be imported (ModuleNotFoundError: "),
        ("bad_law", "it cannot be imported (ZeroDivisionError: "),
        ("program", "it cannot be imported (SystemExit: 0)"),
    ):
        code, _, error = run("verify", folder, "--trust", module, path=tmp_path)
        assert code == 2
        assert error.startswith(f"fastinit: --trust {module}: {words}")
    (tmp_path / "trusted_law.py").write_text(MODULE.replace("z * a", "a * z"))
    code, _, error = run("verify", folder, "--trust", "trusted_law", path=tmp_path)
    assert code == 1
    assert "trusted_law:law has another source here" in error


def test_the_report_says_what_is_not_equal_to_the_bit(main, tmp_path):
    """And a module is not trusted because it happens to be imported."""
    fi.write(PLAN, tmp_path / "w", seed=3, dtype="float32")
    code, out, _ = main("verify", tmp_path / "w", "--trust", "custom_laws")
    assert code == 0
    assert "(2 by custom distributions that are not portable, to a few units in the last" in out
    code, out, error = main("verify", tmp_path / "w")
    assert (code, out) == (2, "")
    assert re.search(REFUSED, error.strip())


def test_two_functions_of_one_name_in_one_scheme_are_refused(tmp_path):
    """The text would name one of them twice, and its values would be written for both."""
    again = fn.distribution(laws.laplace.__wrapped__)
    assert again.label == laws.laplace.label
    both = fi.schemes.parts(laws.laplace(), "3:9", again())
    assert both.functions == (laws.laplace, again)
    with pytest.raises(ValueError, match=r"two functions that are called custom_laws:laplace$"):
        fi.write(plan_of(both), tmp_path / "w", seed=0)
    assert not (tmp_path / "w").exists()
    with pytest.raises(pickle.PicklingError, match="something else of this name"):
        pickle.dumps(both)


def test_norms_of_values_that_are_not_portable_are_verified(tmp_path):
    clipped = fi.schemes.mapped(laws.logarithmic(scale=0.5), "minimum(maximum(x, -1), 1)")
    norms = fi.schemes.norms_of("v", (64, 32), 0, clipped)
    plan = fi.Plan([fi.Tensor("v", (64, 32), clipped), fi.Tensor("g", (64, 1), norms)])
    fi.write(plan, tmp_path / "w", seed=3, dtype="float32")
    changed(tmp_path / "w/model.safetensors", "g", 5, 1 + 2.0**-22)
    assert fi.verify(tmp_path / "w", custom=USED).not_portable == 2
    changed(tmp_path / "w/model.safetensors", "g", 5, 1 + 2.0**-17)
    with pytest.raises(fi.errors.VerifyError, match="'g', element 5"):
        fi.verify(tmp_path / "w", custom=USED)


def test_slices_of_values_that_are_not_portable_are_verified(tmp_path):
    scheme = fi.schemes.slice_of("v", (64, 32), ":, 1::2", laws.logarithmic(scale=0.5))
    plan = fi.Plan([fi.Tensor("s", (64, 16), scheme)])
    fi.write(plan, tmp_path / "w", seed=3, dtype="float32")
    changed(tmp_path / "w/model.safetensors", "s", 37, 1 + 2.0**-22)
    assert fi.verify(tmp_path / "w", custom=USED).not_portable == 1
    changed(tmp_path / "w/model.safetensors", "s", 37, 1 + 2.0**-17)
    with pytest.raises(fi.errors.VerifyError, match="'s', element 37"):
        fi.verify(tmp_path / "w", custom=USED)


def test_without_numba_the_refusals_say_what_to_install(tmp_path):
    (tmp_path / "trusted_law.py").write_text(MODULE)
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['numba'] = None\n")
    plan = tmp_path / "plan.toml"
    install = r"pip install 'fastinit-weights\[numba\]'"
    for label, options in (
        ("trusted_law:law", ()),
        ("trusted_law:law", ("--trust", "trusted_law")),
        ("fastinit.numba.gallery:laplace", ()),
    ):
        plan.write_text(f'[[tensor]]\nname = "a"\nshape = "(8,)"\ninit = "{label}()"\n')
        code, _, error = run("plan", plan, *options, path=tmp_path)
        assert code == 2
        assert re.search(install, error)


def test_the_sidecar_of_a_mapped_file_names_them(tmp_path):
    text = "custom_laws:laplace(scale=0.5)"
    found = fi.memmap(tmp_path / "e.bin", (9, 5), text, seed=3, custom=[laws.laplace])
    assert (found == fi.array((9, 5), laws.laplace(scale=0.5), seed=3, name="e")).all()
    assert fi.verify(tmp_path / "e.bin", custom=[laws.laplace]).custom == ("custom_laws:laplace",)
    with pytest.raises(fi.errors.UntrustedError, match=REFUSED):
        fi.verify(tmp_path / "e.bin")
    with pytest.raises(fi.errors.UntrustedError, match="custom_laws:laplace"):
        fi.memmap(tmp_path / "f.bin", (9, 5), text, seed=3)
    assert (fi.memmap(tmp_path / "e.bin") == found).all()
    assert (fi.memmap(tmp_path / "e.bin", (9, 5), laws.laplace(scale=0.5), seed=3) == found).all()


def test_a_tensor_is_refilled_by_a_custom_distribution(tmp_path):
    fi.write(plan_of(fi.ones(), fi.zeros()), tmp_path, seed=1)
    with pytest.raises(fi.errors.UntrustedError, match=REFUSED):
        fi.refill(tmp_path, "t0", scheme="custom_laws:laplace(scale=2)")
    fi.refill(tmp_path, "t0", scheme="custom_laws:laplace(scale=2)", custom=[laws.laplace])
    wanted = fi.array((64, 32), laws.laplace(scale=2), seed=1, name="t0")
    assert (fi.open(tmp_path)["t0"] == wanted).all()
    with pytest.raises(fi.errors.UntrustedError, match=REFUSED):
        fi.verify(tmp_path)
    assert fi.verify(tmp_path, custom=[laws.laplace]).custom == ("custom_laws:laplace",)
    before = (tmp_path / "model.safetensors").read_bytes()
    fi.refill(tmp_path, "t1", scheme=fi.ones(), seed=3)  # it names none, and needs none
    with pytest.raises(fi.errors.UntrustedError, match=REFUSED):
        fi.refill(tmp_path, "t0")
    fi.refill(tmp_path, "t1", scheme="zeros()", seed=1)
    fi.refill(tmp_path, "t0", custom=[laws.laplace])
    assert fi.open(tmp_path)["t0"].tobytes() in before
    fi.refill(tmp_path, "t0", scheme=laws.laplace())
    fi.refill(tmp_path, "t0", scheme="ones()")
    assert fi.verify(tmp_path).custom == ()


def test_a_recipe_names_one_source_of_a_distribution(tmp_path):
    """Another source is refused as long as another tensor has the old one."""
    fi.write(plan_of(laws.laplace(), laws.laplace()), tmp_path, seed=1)
    path = tmp_path / "model.safetensors"
    old = path.read_bytes()
    path.write_bytes(old.replace(laws.laplace.digest.encode(), b"0" * 64))
    with pytest.raises(ValueError, match="has another source here than when the file was written"):
        fi.refill(tmp_path, "t0", scheme=laws.laplace(), seed=1)
    fi.refill(tmp_path, "t?", scheme=laws.laplace(), seed=1)
    assert path.read_bytes() == old
