# SPDX-License-Identifier: MIT
"""Checkpoints in object stores by requests: parts, faults of the network, killed processes.

object_server.py is the store; at the end moto, which somebody else wrote, is one too.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter

import pytest
from checkpoint_plans import arrays_plan, contents, mixed_plan, plan_of
from command_line import assert_one_line, command
from object_server import Bucket, serving

from fastinit.checkpoints import write
from fastinit.errors import CheckpointError

pytestmark = [
    pytest.mark.frameworks,
    # JAX, if another test has imported it: a child that only execs is no danger.
    pytest.mark.filterwarnings("ignore:os.fork.. was called:RuntimeWarning"),
]
pytest.importorskip("obstore")
stores = pytest.importorskip("obstore.store")

LARGE = plan_of(
    ("a", (2**20 + 5, 3), "normal()"),
    ("b", (2**22,), "ones()"),
    ("c", (7,), "zeros()"),
    name="large",
    config={"model_type": "x"},
)
"""12 MiB and 16 MiB: two and three parts."""

CALL = {"seed": 3, "max_shard_size": 2**24}
SMALL = plan_of(("a", (50, 3), "normal()"), ("b", (70,), "ones()"), config={"model_type": "x"})
URL = "s3://bucket/deep/er"
BEGUN = re.compile(r"\.stream-.*\.begun\.fastinit")
PREFIX = "deep/er"


@pytest.fixture
def bucket(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    with serving(Bucket()) as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        yield bucket


def folder(path, *arguments, **options):
    write(*arguments[:1], path, **options)
    return contents(path)


def at_once(bucket):
    """A store object for the bucket that tries each request once."""
    options = {name.lower(): value for name, value in bucket.environment.items()}
    del options["aws_allow_http"]
    return stores.S3Store(
        "bucket",
        prefix=PREFIX,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
        **options,
    )


def kind(request):
    """What a request does, without names: "PUT ?partNumber", "PUT index.json"."""
    method, _, rest = request.partition(" ")
    name, mark, query = rest.rpartition("?") if "?" in rest else (rest, "", "")
    short = BEGUN.sub("claim", name.rpartition("/")[2])
    return f"{method} {mark}{query}" if mark else f"{method} {short}"


# --- requests --------------------------------------------------------------------------------


def test_shards_go_up_in_parts_and_the_index_comes_last(bucket, tmp_path):
    report = write(LARGE, URL, **CALL)
    assert report.folder == URL
    assert bucket.contents(PREFIX) == folder(tmp_path / "folder", LARGE, **CALL)
    assert bucket.uploads == {}
    kinds = [kind(request) for request in bucket.requests]
    assert Counter(kinds)["PUT ?partNumber"] == 2 + 3
    puts = [k for k in kinds if not k.startswith(("GET", "HEAD"))]
    assert puts[:2] == ["PUT claim", "PUT config.json"]
    assert puts[-2:] == ["PUT model.safetensors.index.json", "POST ?delete"]


@pytest.mark.parametrize("plan", [mixed_plan, arrays_plan])
def test_small_files_need_one_request_each(bucket, tmp_path, plan):
    form = "npy" if plan is arrays_plan else "safetensors"
    write(plan(), URL, seed=1, format=form)
    assert bucket.contents(PREFIX) == folder(tmp_path / "folder", plan(), seed=1, format=form)
    assert not [request for request in bucket.requests if "?upload" in request]


def test_the_root_of_a_bucket_will_do(bucket, tmp_path):
    write(SMALL, "s3://bucket", seed=1)
    expected = folder(tmp_path / "folder", SMALL, seed=1)
    assert {name: content for name, (content, _) in bucket.objects.items()} == expected


def test_names_with_signs_are_names(bucket):
    names = ["a b", "100%", "x#y", "q?", "s*", "~", "[x]", "größe", "a'b", "`", "{}", "^", "&lt;"]
    write(plan_of(*((name, (3,), "ones()") for name in names)), URL, seed=1, format="npy")
    assert {f"{name}.npy" for name in names} <= bucket.contents(PREFIX).keys()
    with pytest.raises(CheckpointError, match="already holds"):
        write(SMALL, URL, seed=1, format="npy")
    write(SMALL, URL, seed=1, format="npy", overwrite=True)
    assert bucket.contents(PREFIX).keys() == {"a.npy", "b.npy", "config.json", "fastinit.json"}


# --- faults ----------------------------------------------------------------------------------


class Now_and_then:
    """Every n-th request fails."""

    def __init__(self, every, fault):
        self.every, self.fault, self.count = every, fault, 0

    def __call__(self, request):
        self.count += 1
        return self.fault if self.count % self.every == 0 else None


@pytest.mark.parametrize(("every", "fault"), [(3, 500), (2, 503), (4, "drop")])
def test_faults_that_pass_are_not_noticed(bucket, tmp_path, every, fault):
    bucket.fault = Now_and_then(every, fault)
    write(LARGE, URL, **CALL)
    assert bucket.contents(PREFIX) == folder(tmp_path / "folder", LARGE, **CALL)
    assert bucket.uploads == {}


def failure(*arguments, **options):
    """What a write says when it fails, else nothing."""
    try:
        write(*arguments, **options)
    except CheckpointError as error:
        return str(error)
    return ""


def _fails(bucket, number, fault):
    count = 0

    def fails(_):
        nonlocal count
        count += 1
        return fault if count >= number else None

    bucket.fault = fails


@pytest.mark.parametrize("form", ["safetensors", "npy"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_store_fails_for_good_at_every_request(bucket, tmp_path, form, overwrite):
    """From the n-th request on nothing works; then the same call completes what is there."""
    options = {"seed": 3, "max_shard_size": 500, "format": form}
    expected = folder(tmp_path / "new", SMALL, **options)
    old = folder(tmp_path / "old", SMALL, seed=9, max_shard_size=500, format=form)
    index = "fastinit.json" if form == "npy" else "model.safetensors.index.json"
    store, number = at_once(bucket), 0
    while True:
        number += 1
        bucket.objects.clear()
        bucket.fault = lambda _: None
        if overwrite:
            write(SMALL, store, seed=9, max_shard_size=500, format=form)
        _fails(bucket, number, 403)
        if not (message := failure(SMALL, store, **options, threads=1, overwrite=overwrite)):
            break
        assert re.search("cannot .* s3://bucket/deep/er.*AccessDenied", message), message
        assert "let these credentials list, read, write and delete there" in message
        left = bucket.contents(PREFIX)
        if index in left:
            shown = {name: left[name] for name in left if not name.startswith(".")}
            assert shown in (old, expected)
        bucket.fault = lambda _: None
        if message := failure(SMALL, store, **options, overwrite=overwrite):
            assert "already holds" in message, "only the claim was left to remove"
            write(SMALL, store, **options, overwrite=True)
        assert bucket.contents(PREFIX) == expected
    assert number > 10
    assert bucket.contents(PREFIX) == expected


@pytest.mark.parametrize("fault", [500, "drop"])
def test_unfinished_uploads_are_taken_back(bucket, fault):
    """Also if the store fails at the last part, or does not put the parts together."""
    for failing in ("?partNumber", "?uploadId"):
        bucket.fault = lambda r, f=failing: fault if f in r and not r.startswith("DEL") else None
        with pytest.raises(CheckpointError, match=r"cannot upload s3://bucket/deep/er/model-0000"):
            write(LARGE, at_once(bucket), **CALL)
        assert "model.safetensors.index.json" not in bucket.contents(PREFIX)
        if failing == "?uploadId":
            assert bucket.uploads == {}


@pytest.mark.parametrize("threads", [1, 3])
def test_an_exception_takes_uploads_back(bucket, threads):
    count = 0

    def progress(_):
        nonlocal count
        count += 1
        if count == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(LARGE, URL, **CALL, threads=threads, progress=progress)
    assert bucket.uploads == {}
    assert [r for r in bucket.requests if "?uploads" in r]
    assert not [name for name in bucket.contents(PREFIX) if name.startswith("model")]


# --- explained -------------------------------------------------------------------------------


def test_a_missing_bucket(bucket):
    with pytest.raises(CheckpointError, match=r"list s3://nobody/x: .*; create the bucket"):
        write(SMALL, "s3://nobody/x", seed=1)


def test_no_permission(bucket):
    bucket.fault = lambda request: 403 if request.startswith("PUT") else None
    with pytest.raises(CheckpointError, match=r"cannot write .*: AccessDenied: As asked; let"):
        write(SMALL, URL, seed=1)
    assert bucket.objects == {}


def test_an_endpoint_where_nobody_listens(bucket):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    store = at_once(bucket).__class__(
        "bucket",
        endpoint=f"http://127.0.0.1:{port}",
        access_key_id="x",
        secret_access_key="y",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    with pytest.raises(CheckpointError, match=r"list s3://bucket: .*; check the network, the end"):
        write(SMALL, store, seed=1)


def test_http_has_to_be_allowed(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(CheckpointError, match="set AWS_ALLOW_HTTP=true if the endpoint begins"):
        write(SMALL, URL, seed=1)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        ("Server returned 403: InvalidAccessKeyId", "does not know these credentials"),
        ("PUT http://169.254.169.254/latest/api/token", "give it credentials: AWS_ACCESS_KEY_ID"),
        ("<Code>PermanentRedirect</Code>", "set AWS_REGION to the bucket's"),
        ("501 NotImplemented", "this store cannot do that: choose another"),
        ("something new", "run the same command again to carry on"),
    ],
)
def test_answers_have_advice(answer, advice):
    from fastinit.checkpoints.objects.answers import explained
    from fastinit.checkpoints.targets import Url

    with pytest.raises(CheckpointError, match=advice) as caught, explained(Url("s3://b"), "list"):
        raise ValueError(f"{answer}\n\nDebug source:\nGeneric {{ ... }}")
    assert "Debug" not in str(caught.value)
    assert "\n" not in str(caught.value)


# --- processes -------------------------------------------------------------------------------


def toml(path):
    path.write_text(
        '[[tensor]]\nname = "a"\nshape = "(1048581, 3)"\ninit = "normal()"\n'
        '[[tensor]]\nname = "b"\nshape = "(4194304,)"\ninit = "ones()"\n'
    )
    return path


def begun(bucket, path, *options):
    """A process that writes; returns when its first part is there."""
    process = subprocess.Popen(
        command("write", path, URL, "--max-shard-size", str(2**24), *options),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **bucket.environment},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    end = time.monotonic() + 30
    while not [r for r in bucket.requests if "?partNumber" in r]:
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    return process


def slowly(request):
    if "?partNumber" in request:
        time.sleep(0.4)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_takes_uploads_back(bucket, tmp_path, number):
    bucket.fault = slowly
    process = begun(bucket, toml(tmp_path / "plan.toml"))
    process.send_signal(number)
    begin = time.monotonic()
    _, error = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert time.monotonic() - begin < 6
    assert_one_line(error, "the same command carries on")
    assert bucket.uploads == {}
    assert "model.safetensors.index.json" not in bucket.contents(PREFIX)


@pytest.mark.slow
def test_a_network_that_stalls_does_not_keep_ctrl_c(bucket, tmp_path):
    bucket.fault = lambda request: "stall" if "?partNumber" in request else None
    process = begun(bucket, toml(tmp_path / "plan.toml"))
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert_one_line(error, "interrupted; the same command carries on")
    assert time.monotonic() - start < 10
    assert [name for name in bucket.contents(PREFIX) if not BEGUN.fullmatch(name)] == []


def test_a_killed_process_leaves_nothing_that_can_be_seen(bucket, tmp_path):
    bucket.fault = slowly
    path = toml(tmp_path / "plan.toml")
    process = begun(bucket, path)
    process.kill()
    process.communicate()
    left = bucket.contents(PREFIX)
    assert [name for name in left if not BEGUN.fullmatch(name)] == []
    assert bucket.uploads, "as the pages say"
    bucket.fault = lambda _: None
    write(str(path), URL, seed=0, max_shard_size=2**24)
    expected = folder(tmp_path / "folder", str(path), seed=0, max_shard_size=2**24)
    assert bucket.contents(PREFIX) == expected


@pytest.mark.slow
def test_a_process_is_killed_at_every_request(bucket, tmp_path):
    path = toml(tmp_path / "plan.toml")
    expected = folder(tmp_path / "folder", str(path), seed=0, max_shard_size=2**24)
    for number in range(1, 100):
        bucket.objects.clear()
        bucket.requests.clear()
        running = []

        def kills(_, running=running, number=number):
            if len(bucket.requests) == number:
                running[0].kill()

        bucket.fault = kills
        running.append(
            subprocess.Popen(command("write", path, URL, "--max-shard-size", str(2**24)))
        )
        if running[0].wait(30) == 0:
            break
        left = bucket.contents(PREFIX)
        shown = {name for name in left if not name.startswith(".")}
        assert shown <= expected.keys()
        assert all(left[name] == expected[name] for name in shown)
        bucket.fault = lambda _: None
        if "model.safetensors.index.json" in left:
            assert shown == expected.keys()
        else:
            write(str(path), URL, seed=0, max_shard_size=2**24)
            assert bucket.contents(PREFIX) == expected
    assert number > 12


# --- moto ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto():
    """The endpoint of a moto server in a process, with a bucket."""
    pytest.importorskip("moto")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                request = urllib.request.Request(f"{endpoint}/bucket", method="PUT")
                urllib.request.urlopen(request, timeout=10).close()
                break
            except OSError:
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.1)
        yield endpoint
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_moto_gets_the_bytes_of_a_folder_and_no_unfinished_upload(moto, tmp_path):
    store = stores.S3Store(
        "bucket",
        prefix="x",
        endpoint=moto,
        access_key_id="x",
        secret_access_key="y",
        client_options={"allow_http": True},
    )
    count = 0

    def progress(_):
        nonlocal count
        count += 1
        if count == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(LARGE, store, **CALL, progress=progress)
    with urllib.request.urlopen(f"{moto}/bucket?uploads") as answer:
        assert b"<Upload>" not in answer.read()
    write(LARGE, store, **CALL)
    with pytest.raises(CheckpointError, match="already holds a checkpoint"):
        write(LARGE, store, **CALL)
    write(LARGE, store, seed=4, overwrite=True)
    expected = folder(tmp_path / "folder", LARGE, seed=4)
    import obstore

    found = [row["path"] for rows in obstore.list(store) for row in rows]
    assert sorted(found) == sorted(expected)
    assert all(bytes(obstore.get(store, n).bytes()) == expected[n] for n in found)
