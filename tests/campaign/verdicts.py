# SPDX-License-Identifier: MIT
"""A process that says what fastinit and safetensors make of checkpoints.  Never imported.

Each line of standard input is the path of one; each line of output is JSON.  A child looks at
each, so a crash or a hang is a verdict like any other, and none sees what the others left behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import safetensors
import tqdm  # noqa: F401 - the command imports it late: once here, rather than in each child

import fastinit
from fastinit.checkpoints.formats.safetensors.dtypes import ARRAYS
from fastinit.cli import main

PATIENCE = 60  # seconds
Tensor = tuple[list[int], str]  # shape and digest of the bytes
Said = dict[str, Any]


def attempt(function: Callable[[], Any]) -> Said:
    """What it returns, or what it raises."""
    try:
        return {"value": function()}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the verdict
        return {
            "error": type(error).__name__,
            "ours": isinstance(error, fastinit.FastinitError),
            "invalid": isinstance(error, fastinit.errors.InvalidCheckpointError),
            "text": str(error)[:300],
        }


def digest(shape: tuple[int, ...], data: bytes) -> Tensor:
    return list(shape), hashlib.sha256(data).hexdigest()


def opened(path: str) -> dict[str, dict[str, tuple[str, Tensor]]]:
    """File -> tensor -> dtype, shape and digest, as fastinit reads them."""
    codes = {kind: code for code, kind in ARRAYS.items()}
    checkpoint = fastinit.open(path)
    found: dict[str, dict[str, tuple[str, Tensor]]] = {}
    for name, array in checkpoint.items():
        tensor = codes[array.dtype], digest(array.shape, array.tobytes())
        found.setdefault(str(checkpoint.weight_map[name]), {})[name] = tensor
    return found


def theirs(path: str, files: list[str]) -> dict[str, dict[str, tuple[str, Tensor]]]:
    """The same as safetensors reads them."""
    found = {}
    for file in files:
        whole = os.path.join(path, file) if os.path.isdir(path) else path
        with open(whole, "rb") as stream:
            tensors = safetensors.deserialize(stream.read())
        found[file] = {
            name: (said["dtype"], digest(said["shape"], bytes(said["data"])))
            for name, said in tensors
        }
    return found


def command(path: str) -> Said:
    """Exit code and standard error of `fastinit verify`."""
    with tempfile.TemporaryFile() as err:
        os.dup2(err.fileno(), 2)
        sys.argv = ["fastinit", "verify", path]
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = 0 if end.code is None else end.code
        sys.stderr.flush()
        err.seek(0)
        return {"code": code, "err": err.read().decode(errors="backslashreplace")}


def verdict(path: str) -> Said:
    """Everything about one checkpoint."""
    said = {"open": attempt(lambda: opened(path))}
    if "value" in said["open"]:
        said["theirs"] = attempt(lambda: theirs(path, list(said["open"]["value"])))
    said["verify"] = attempt(lambda: str(fastinit.verify(path, threads=1).plan))
    said["command"] = attempt(lambda: command(path))
    return said


def in_a_child(path: str) -> bytes:
    """The verdict of a child of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            with open(writer, "wb") as stream:
                stream.write(json.dumps(verdict(path)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    text = b""
    with open(reader, "rb", buffering=0) as stream:
        while select.select([stream], [], [], PATIENCE)[0] and (piece := stream.read(2**20)):
            text += piece
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if text:
        return text
    return json.dumps({"end": "hangs" if os.WTERMSIG(status) == 9 else "crashes"}).encode()


for line in sys.stdin:
    print(in_a_child(json.loads(line)).decode(), flush=True)
