# SPDX-License-Identifier: MIT
"""Checkpoints in object stores: the same bytes as in a folder, resumed, replaced and refused.

obstore's own stores in memory and on disk stand for a cloud's; test_object_requests.py has a
server.
"""

from __future__ import annotations

import _thread
import json
import math
import re
import sys
import threading
import time
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest
from checkpoint_plans import arrays_plan, contents, mixed_plan, plan_of
from hypothesis import given
from hypothesis import strategies as st

import fastinit as fi
from fastinit.checkpoints import Shard, layout_of, write, write_shard
from fastinit.checkpoints.objects import requirement, uploads
from fastinit.checkpoints.targets import Url, located
from fastinit.errors import CheckpointError

pytestmark = pytest.mark.frameworks
obstore = pytest.importorskip("obstore")
stores = pytest.importorskip("obstore.store")

SMALL = plan_of(("a", (50, 3), "normal()"), ("b", (70,), "ones()"), config={"model_type": "x"})
CALL = {"seed": 3, "max_shard_size": 500}
FILES = [
    "config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
]


def objects(store):
    """Name -> bytes of everything in a store."""
    return {
        row["path"]: bytes(obstore.get(store, row["path"]).bytes())
        for rows in obstore.list(store)
        for row in rows
    }


def in_a_folder(path, *arguments, **options):
    write(*arguments[:1], path, **options)
    return contents(path)


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    if request.param == "memory":
        return stores.MemoryStore()
    return stores.LocalStore(tmp_path / "store", mkdir=True)


class Interruption(Exception):
    pass


class Until:
    """A progress that raises at the n-th call, or calls something then."""

    def __init__(self, count, then=None):
        self.count = count
        self.then = then

    def __call__(self, size):
        self.count -= size > 0
        if self.count == 0:
            if self.then is None:
                raise Interruption
            self.then()


# --- the same bytes --------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", ["5GB", 50_000])
@pytest.mark.parametrize(("plan", "form"), [(mixed_plan, "safetensors"), (arrays_plan, "npy")])
def test_a_store_gets_the_bytes_of_a_folder(store, tmp_path, plan, form, size, threads):
    options = {"seed": 1, "format": form, "max_shard_size": size, "threads": threads}
    report = write(plan(), store, **options)
    assert objects(store) == in_a_folder(tmp_path / "folder", plan(), **options)
    expected = write(plan(), tmp_path / "again", **options)
    assert report.files == expected.files
    assert (report.tensors, report.parameters, report.size) == (
        expected.tensors,
        expected.parameters,
        expected.size,
    )
    assert report.resumed == ()
    assert report.durability == "full"
    assert not [t for t in threading.enumerate() if t.name.startswith("fastinit")]


PART = 8192


@pytest.mark.parametrize("parts", [0, 1, 2, 3, 20])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_files_of_any_number_of_parts(monkeypatch, tmp_path, parts, more):
    """The header has 4096 bytes; a file is a byte less, none or one more than whole parts."""
    monkeypatch.setattr(uploads, "PART_SIZE", PART)
    size = max(0, parts * PART + more - 4096)
    plan = plan_of(("w", (size,), "normal()", "float8_e4m3fn"))
    store = stores.MemoryStore()
    write(plan, store, seed=1)
    assert objects(store) == in_a_folder(tmp_path / "folder", plan, seed=1)


def test_many_files_are_under_way_at_once_and_memory_is_bounded(monkeypatch, tmp_path):
    monkeypatch.setattr(uploads, "IN_FLIGHT", 10_000)
    plan = plan_of(*((f"t{i}", (7 * i,), "normal()") for i in range(60)))
    store = stores.MemoryStore()
    write(plan, store, seed=1, format="npy")
    assert objects(store) == in_a_folder(tmp_path / "folder", plan, seed=1, format="npy")


def test_no_chunk_is_made_long_before_it_is_uploaded(monkeypatch):
    """The pieces of a tensor keep its sampler, which may be a whole matrix."""
    made, ahead = [], []
    chunks = Shard.chunks

    def counted(shard, limit, wanted):
        for pieces in chunks(shard, limit, wanted):
            made.append(pieces)
            yield pieces

    monkeypatch.setattr(Shard, "chunks", counted)
    plan = plan_of(("w", (5 * 2**20,), "zeros()"))
    write(plan, stores.MemoryStore(), seed=1, threads=2, progress=lambda _: ahead.append(len(made)))
    uploaded = range(len(ahead))
    assert len(ahead) == len(made) + 1
    assert max(number - done for number, done in zip(ahead, uploaded, strict=True)) <= 3


@given(st.integers(0, uploads.OBJECT_PARTS * uploads.LARGEST_PART))
def test_parts_suit_s3_and_memory(size):
    part = uploads.part_size(size)
    assert 5 * 2**20 <= part <= uploads.LARGEST_PART
    assert -(-size // part) <= uploads.OBJECT_PARTS
    assert 1 <= uploads.at_once(part) <= uploads.PARTS_AT_ONCE
    assert part * (uploads.at_once(part) + 1) <= max(uploads.IN_FLIGHT, 2 * part)
    assert part == uploads.PART_SIZE or 2 * part <= 2 * size / uploads.OBJECT_PARTS + 2**21


def test_an_object_that_is_too_large_for_a_store_is_refused_before_anything_is_drawn():
    store = stores.MemoryStore()
    plan = plan_of(("w", (uploads.OBJECT_PARTS * uploads.LARGEST_PART,), "zeros()"))
    with pytest.raises(CheckpointError, match="an object has 53,687,091,200,000 at most: pass a"):
        write(plan, store, seed=1)
    assert objects(store) == {}


def test_progress_and_the_report_count_what_was_there(store):
    with pytest.raises(Interruption):
        write(SMALL, store, **CALL, threads=1, progress=Until(1))
    sizes = []
    report = write(SMALL, store, **CALL, progress=sizes.append)
    assert sum(sizes) == report.size
    assert report.resumed == ("model-00001-of-00002.safetensors",)


# --- interrupted, continued, refused -----------------------------------------------------------


@pytest.mark.parametrize("form", ["safetensors", "npy"])
@pytest.mark.parametrize("count", [1, 2])
def test_the_same_call_carries_on(store, tmp_path, form, count):
    options = {**CALL, "format": form}
    with pytest.raises(Interruption):
        write(SMALL, store, **options, threads=1, progress=Until(count))
    left = objects(store)
    assert not {"model.safetensors.index.json", "fastinit.json"} & left.keys()
    expected = in_a_folder(tmp_path / "folder", SMALL, **options)
    shards = {name for name in left if not name.startswith((".", "config"))}
    assert len(shards) == count
    assert all(left[name] == expected[name] for name in shards)
    report = write(SMALL, store, **options)
    assert set(report.resumed) == shards
    assert objects(store) == expected


@pytest.mark.parametrize("form", ["safetensors", "npy"])
def test_another_call_does_not_carry_on(store, form):
    with pytest.raises(Interruption):
        write(SMALL, store, **CALL, format=form, threads=1, progress=Until(2))
    before = objects(store)
    with pytest.raises(CheckpointError, match="holds files of another call, which is not fin"):
        write(SMALL, store, seed=4, max_shard_size=500, format=form)
    assert objects(store) == before
    write(SMALL, store, seed=4, max_shard_size=500, format=form, overwrite=True)
    assert not [name for name in objects(store) if name.startswith(".")]


@pytest.mark.parametrize("form", ["safetensors", "npy"])
def test_a_checkpoint_is_replaced_only_if_asked(store, tmp_path, form):
    write(SMALL, store, **CALL, format=form)
    before = objects(store)
    with pytest.raises(CheckpointError, match=r"already holds a checkpoint \(.*\): pass ov"):
        write(SMALL, store, seed=4, format=form)
    assert objects(store) == before
    other = "npy" if form == "safetensors" else "safetensors"
    for overwrite in (False, True):
        with pytest.raises(CheckpointError, match=r"holds a checkpoint in another format"):
            write(SMALL, store, seed=4, format=other, overwrite=overwrite)
    assert objects(store) == before
    write(SMALL, store, seed=4, format=form, overwrite=True)
    assert objects(store) == in_a_folder(tmp_path / "folder", SMALL, seed=4, format=form)


def test_strangers_objects_are_refused(store):
    obstore.put(store, FILES[1], b"x")
    with pytest.raises(CheckpointError, match=rf"{FILES[1]} is not what this call would write"):
        write(SMALL, store, **CALL)
    obstore.delete(store, FILES[1])
    obstore.put(store, "config.json", b"{}")
    with pytest.raises(CheckpointError, match=r"config\.json differs from this plan's: remove it"):
        write(SMALL, store, **CALL)
    assert objects(store) == {"config.json": b"{}"}


def test_an_array_without_a_claim_is_refused(store, tmp_path):
    expected = in_a_folder(tmp_path / "folder", SMALL, **CALL, format="npy")
    obstore.put(store, "a.npy", expected["a.npy"])
    with pytest.raises(CheckpointError, match=r"a\.npy is not what this call would write there"):
        write(SMALL, store, **CALL, format="npy")


def test_what_is_deeper_or_unrelated_stays(store):
    others = {"sub/model.safetensors": b"1", "notes.txt": b"2", "x.npy": b"3"}
    for name, content in others.items():
        obstore.put(store, name, content)
    write(SMALL, store, **CALL)
    write(SMALL, store, seed=4, overwrite=True)
    assert others.items() <= objects(store).items()


# --- replaced --------------------------------------------------------------------------------


def test_shards_of_the_old_checkpoint_go(store, tmp_path):
    write(SMALL, store, seed=3, max_shard_size=100)
    write(SMALL, store, **CALL, overwrite=True)
    assert objects(store) == in_a_folder(tmp_path / "folder", SMALL, **CALL)


def test_arrays_of_the_old_checkpoint_go_and_others_stay(store, tmp_path):
    larger = plan_of(("a", (5,), "ones()"), ("c", (5,), "ones()"))
    write(larger, store, seed=3, format="npy")
    obstore.put(store, "mine.npy", b"x")
    write(SMALL, store, seed=4, format="npy", overwrite=True)
    expected = in_a_folder(tmp_path / "folder", SMALL, seed=4, format="npy")
    assert objects(store) == {**expected, "mine.npy": b"x"}


@pytest.mark.parametrize("form", ["safetensors", "npy"])
@pytest.mark.parametrize("count", [1, 2])
def test_an_interrupted_replacement_carries_on(store, tmp_path, form, count):
    """The shards that it had replaced are kept, those of the old checkpoint are not."""
    options = {**CALL, "format": form, "overwrite": True}
    write(SMALL, store, seed=9, max_shard_size=500, format=form)
    with pytest.raises(Interruption):
        write(SMALL, store, **options, threads=1, progress=Until(count))
    assert not {"model.safetensors.index.json", "fastinit.json"} & objects(store).keys()
    report = write(SMALL, store, **options)
    assert len(report.resumed) == count
    del options["overwrite"]
    assert objects(store) == in_a_folder(tmp_path / "folder", SMALL, **options)


def test_a_repair_draws_every_shard_again(store, tmp_path):
    write(SMALL, store, **CALL)
    damaged = objects(store)[FILES[1]][:-1] + b"?"
    obstore.put(store, FILES[1], damaged)
    report = write(SMALL, store, **CALL, overwrite=True)
    assert report.resumed == ()
    assert objects(store) == in_a_folder(tmp_path / "folder", SMALL, **CALL)


def test_a_single_file_is_replaced_in_one_step(store):
    plan = plan_of(("a", (2**20,), "normal()"), config={"model_type": "x"})
    write(plan, store, seed=1)
    before = objects(store)
    with pytest.raises(Interruption):
        write(plan, store, seed=2, threads=1, overwrite=True, progress=Until(1))
    after = objects(store)
    assert after["model.safetensors"] == before["model.safetensors"]
    write(plan, store, seed=2, overwrite=True)
    assert objects(store)["model.safetensors"] != before["model.safetensors"]


# --- two at once -----------------------------------------------------------------------------


def test_a_shard_that_another_call_replaces_meanwhile_is_noticed():
    store = stores.MemoryStore()

    def replace():
        while FILES[1] not in objects(store):
            time.sleep(0.001)
        obstore.put(store, FILES[1], b"another's")

    other = Until(2, replace)
    with pytest.raises(CheckpointError, match=rf"{FILES[1]} was replaced or removed meanwhile"):
        write(SMALL, store, **CALL, threads=1, progress=other)
    assert FILES[3] not in objects(store)


def test_an_index_that_appears_meanwhile_is_not_replaced():
    store = stores.MemoryStore()
    other = Until(2, lambda: obstore.put(store, FILES[3], b"another's"))
    with pytest.raises(CheckpointError, match=r"index\.json appeared meanwhile: another cal"):
        write(SMALL, store, **CALL, threads=1, progress=other)
    assert objects(store)[FILES[3]] == b"another's"


def test_the_same_call_twice_at_once(tmp_path):
    store = stores.MemoryStore()
    write(SMALL, store, **CALL, threads=1, progress=Until(1, lambda: write(SMALL, store, **CALL)))
    assert objects(store) == in_a_folder(tmp_path / "folder", SMALL, **CALL)


def test_of_two_calls_that_begin_at_once_one_sees_the_other():
    store = stores.MemoryStore()

    def begin_another():
        with pytest.raises(CheckpointError, match="holds files of another call"):
            write(SMALL, store, seed=4, max_shard_size=500)

    write(SMALL, store, **CALL, threads=1, progress=Until(1, begin_another))
    assert not [name for name in objects(store) if name.startswith(".")]


# --- what a target is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("", "path is '': it is empty"),
        ("file:///tmp/x", r"not the URL of an object store \(s3://, .*\): pass the path alone"),
        ("hf://me/model", "upload that with hf upload"),
        ("gcs://bucket/x", "begin it with gs://"),
        ("memory:///x", r"pass an obstore\.store\.MemoryStore"),
        ("https://host/x", "pass a store object of obstore, or s3:// and the variable AWS_"),
        ("ftp://host/x", "pass a folder, or one of those"),
        ("s3://bucket/x?y", r"has '\?', which begins another part of a URL: write %3F"),
        ("s3://bucket/x#y", "has '#', which begins another part of a URL: write %23"),
        (Path("s3://bucket/x"), "a Path joins the slashes of a URL; pass the text 's3://bucket/x'"),
        (
            PurePosixPath("gs://bucket"),
            "a Path joins the slashes of a URL; pass the text 'gs://bucket'",
        ),
    ],
)
def test_targets_that_are_neither_a_folder_nor_a_store(target, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        write(SMALL, target, **CALL)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_may_look_a_little_like_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(SMALL, "x:/y", **CALL)
    write(SMALL, Path("s3"), **CALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s3", "x:"]
    assert located("S3://bucket") == Url("S3://bucket")


@pytest.mark.parametrize("url", ["s3://bucket", "abfs://container/x", "GS://bucket/a/b"])
def test_only_a_write_takes_a_url(url):
    for call in (fi.verify, fi.open, lambda u: write_shard({**SHARD}, u)):
        with pytest.raises(ValueError, match="only `write` reaches an object store; copy the"):
            call(url)


SHARD = layout_of(SMALL, **CALL).shards[0].to_json()


def test_a_url_is_not_a_source_of_a_plan():
    with pytest.raises(ValueError, match="it is a URL, and only files on disk are read: copy it"):
        fi.plan("s3://bucket/x/model.safetensors")


def test_a_refusal_names_the_program_that_copies():
    with pytest.raises(ValueError, match=r"first, as by aws s3 sync s3://b/x FOLDER$"):
        fi.verify("s3://b/x")
    with pytest.raises(ValueError, match=r"first$"):
        fi.verify("az://b/x")


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://bucket//x", "abfs://box@"])
def test_urls_that_obstore_refuses(url):
    with pytest.raises(CheckpointError, match=rf"cannot open {url}: .*; write a bucket and a pref"):
        write(SMALL, url, **CALL)


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(
        ValueError, match=r"has a password, which is not used: leave it out"
    ) as found:
        write(SMALL, "s3://key:secret@bucket/x", **CALL)
    assert "secret" not in str(found.value)
    assert located("abfs://box@account.dfs.core.windows.net/x:y@z")


def test_store_objects_have_names(monkeypatch):
    from fastinit.checkpoints.objects.prefix import _url_of

    options = {"region": "us-east-1", "skip_signature": True}
    assert _url_of(stores.S3Store("b", prefix="x/y", **options)) == "s3://b/x/y"
    assert _url_of(stores.S3Store("b", **options)) == "s3://b"
    assert _url_of(stores.AzureStore("c", account_name="a")) == "az://c"
    assert _url_of(stores.MemoryStore()) == "MemoryStore"
    assert _url_of(stores.LocalStore("/tmp")) == "/tmp"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "a")
    assert _url_of(stores.from_url("az://c/x")) == "az://c/x"
    assert _url_of(stores.from_url("gs://b/x")) == "gs://b/x"


def test_azure_needs_an_account(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(CheckpointError, match="Account must be specified; set AZURE_STORAGE_ACC"):
        write(SMALL, "az://container/x", **CALL)


# --- obstore itself --------------------------------------------------------------------------


def test_without_obstore_a_url_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ImportError, match=r"not installed: pip install 'fastinit-.*\[cloud\]'"):
        write(SMALL, "s3://bucket/x", **CALL)


def test_a_part_of_obstore_that_is_missing_is_another_error(monkeypatch):
    class Finder:
        def find_spec(self, name, *_):
            if name == "obstore":
                raise ModuleNotFoundError("No module named 'typing_extensions'", name="typing_ext")

    monkeypatch.delitem(sys.modules, "obstore")
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match="typing_extensions"):
        requirement.check()


def test_an_old_obstore_is_refused(monkeypatch):
    old = ModuleType("obstore")
    old.__version__ = "0.8.2"
    monkeypatch.setitem(sys.modules, "obstore", old)
    with pytest.raises(ImportError, match=r"obstore 0\.12 or newer, but 0\.8\.2 is installed"):
        requirement.check()


def test_a_store_that_cannot_create_conditionally_gets_the_index_anyway(monkeypatch, tmp_path):
    from obstore.exceptions import NotSupportedError

    put = obstore.put

    def unconditional(*arguments, mode, **options):
        if mode == "create":
            raise NotSupportedError("no conditions here")
        return put(*arguments, mode=mode, **options)

    monkeypatch.setattr(obstore, "put", unconditional)
    store = stores.MemoryStore()
    write(SMALL, store, **CALL)
    assert objects(store) == in_a_folder(tmp_path / "folder", SMALL, **CALL)


# --- the command line ------------------------------------------------------------------------


def test_a_dry_run_reaches_no_store(main, small):
    code, out, err = main("write", small, "s3://no-such-bucket/x", "--dry-run")
    assert (code, err) == (0, "")
    assert "s3://no-such-bucket/x/model.safetensors  " in out
    code, out, _ = main("write", small, "s3://no-such-bucket/x", "--dry-run", "--json")
    assert json.loads(out)["folder"] == "s3://no-such-bucket/x"


@pytest.mark.parametrize("command", ["write", "verify", "plan"])
def test_urls_of_other_kinds_are_mistakes(main, small, command):
    arguments = [small] if command == "write" else []
    code, out, err = main(command, *arguments, "hf://me/model")
    assert (code, out) == (2, "")
    assert re.search(r"^fastinit: 'hf://me/model' is not ", err), err


def test_waits_end():
    from fastinit.checkpoints.objects import calls

    assert calls.wait(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        calls.wait(lambda: 1 // 0)
    gate = threading.Event()
    pending = calls.begin(lambda: gate.wait(10))
    with pytest.raises(TimeoutError):
        pending.wait(0.01)
    gate.set()
    assert pending.wait(math.inf)
    assert pending.wait(math.inf)


def test_without_more_threads_the_caller_calls(monkeypatch, tmp_path):
    def start(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", start)
    store = stores.MemoryStore()
    write(SMALL, store, **CALL, threads=1)
    monkeypatch.undo()
    assert objects(store) == in_a_folder(tmp_path / "folder", SMALL, **CALL)
