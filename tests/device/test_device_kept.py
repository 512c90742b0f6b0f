# SPDX-License-Identifier: MIT
"""Compiled kernels on disk: found again, damaged, foreign, written by many processes at once."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import fake_driver
import numpy as np
import pytest
from fake_driver import Card
from fills import NORMAL
from test_device_draw import task

from fastinit import cuda
from fastinit.cuda import compiling, kept, text
from fastinit.cuda.launches import Kernel
from fastinit.errors import BackendError
from fastinit.machine import kept_files

KERNEL = Kernel("rows", "FI_UNIFORM_INSIDE", "FI_FLOAT32", 4)
SOURCES = Path(text.__file__).parents[2] / "src_c"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "kept"


def compilations(folder, *cards):
    """Draw as a new process would; how often it had to compile."""
    with fake_driver.installed(*cards, folder=folder) as driver:
        driver.count_only()
        out = np.zeros(9, np.float32)
        cuda.draw([task(out, NORMAL, (9,))])
        assert driver.launches == 1
        return len(driver.compiled)


def files(folder):
    return sorted(folder.rglob("*.code"))


def test_code_is_found_again(folder):
    assert compilations(folder) == 1
    assert compilations(folder) == 0
    (path,) = files(folder)
    assert re.fullmatch(r"rows_FI_NORMAL_FI_FLOAT32-8-sm_90-[0-9a-f]{24}\.code", path.name)
    assert not list(folder.rglob("*.new"))


@pytest.mark.parametrize("how", ["empty", "short", "half", "a bit", "another's", "a folder"])
def test_a_damaged_file_is_compiled_again(folder, how):
    assert compilations(folder) == 1
    (path,) = files(folder)
    right = path.read_bytes()
    wrong = {
        "empty": b"",
        "short": right[:31],
        "half": right[: len(right) // 2],
        "a bit": right[:-1] + bytes([right[-1] ^ 1]),
        "another's": b"not ours" * 20,
    }
    if how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(wrong[how])
    assert compilations(folder) == 1
    if how != "a folder":
        assert path.read_bytes() == right
        assert compilations(folder) == 0


def test_architectures_have_files_of_their_own(folder):
    assert compilations(folder, Card(90)) == 1
    assert compilations(folder, Card(80)) == 1
    assert compilations(folder, Card(90)) == 0
    assert compilations(folder, Card(130)) == 1
    assert len(files(folder)) == 3


@pytest.mark.parametrize("what", ["text", "nvrtc"])
def test_another_text_or_nvrtc_compiles_and_replaces_the_file(folder, monkeypatch, what):
    assert compilations(folder) == 1
    (old,) = files(folder)
    if what == "text":
        edited = text.Text(text.text().stub + "\n", text.text().headers)
        monkeypatch.setattr(kept, "text", lambda: edited)
    else:
        monkeypatch.setattr(compiling, "version", lambda: (13, 9))
    assert compilations(folder) == 1
    (path,) = files(folder)
    assert path != old


def test_code_in_a_folder_that_cannot_be_written_to_is_used(folder, monkeypatch):
    assert compilations(folder) == 1
    monkeypatch.setattr(kept, "_writable", lambda path: False)
    assert compilations(folder) == 0


def test_to_look_for_code_makes_no_folder(folder, monkeypatch):
    monkeypatch.setattr(compiling, "compiled", None)
    with pytest.raises(TypeError), fake_driver.installed(folder=folder):
        kept.code_for(KERNEL, 90)
    assert not folder.exists()


@pytest.mark.parametrize("error", [PermissionError, OSError])
def test_a_disk_that_cannot_be_written_to_is_no_failure(folder, monkeypatch, error):
    def refuse(*arguments, **options):
        raise error("no")

    monkeypatch.setattr(kept_files.os, "replace", refuse)
    assert compilations(folder) == 1
    assert not list(folder.iterdir())
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert compilations(folder / "other") == 1


def test_an_interrupted_write_leaves_nothing(folder, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(kept_files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compilations(folder)
    assert not list(folder.iterdir())


def test_code_is_kept_beside_the_source_or_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "CODE_FOLDER", tmp_path / "beside")
    assert kept.folder() == tmp_path / "beside"
    monkeypatch.setattr(kept, "CODE_FOLDER", tmp_path / "file" / "beside")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert kept.folder() == tmp_path / "cache" / "fastinit"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert kept.folder() == tmp_path / "home" / ".cache" / "fastinit"
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert kept.folder() is None

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert kept.folder() is None


# The text.


def test_the_text_is_all_that_the_stub_includes_and_no_more():
    found = text.included(SOURCES)
    assert {
        "kernels.h",
        "kernels/device.h",
        "simd/cuda.h",
        "octaves.c",
        "philox.h",
        "stdint.h",
    } <= set(found)
    assert not {"simd/avx2.h", "kernels/all.h", "measure.h"} & set(found)
    assert all(path.is_file() for path in found.values())


def test_a_name_stands_for_one_file_wherever_it_is_included():
    found = text.included(SOURCES)
    for path in [SOURCES / text.STUB, *found.values()]:
        for mark, name in text.INCLUDE.findall(path.read_text("utf-8")):
            if mark == '"' and (path.parent / name).exists():
                assert path.parent / name == found[name]


def test_a_text_that_lacks_a_file_says_which(tmp_path):
    (tmp_path / text.STUB).write_text('#include "kernels.h"\n')
    with pytest.raises(FileNotFoundError, match=r"isa_cuda\.cu includes kernels\.h, which is not"):
        text.included(tmp_path)


def test_a_built_package_has_the_text(tmp_path):
    """What setup.py copies is what the room then reads."""
    rules = runpy.run_path(text.__file__)
    copy = tmp_path / "text"
    for source in [SOURCES / rules["STUB"], *rules["included"](SOURCES).values()]:
        target = copy / source.relative_to(SOURCES)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    text.text.cache_clear()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text, "COPY", copy)
            packaged = text.text()
    finally:
        text.text.cache_clear()
    assert packaged == text.text()


# With NVRTC itself, which needs no card.


@pytest.fixture
def nvrtc(monkeypatch):
    """The real NVRTC; the driver, which is not here, is not looked for."""
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    try:
        nvrtc.nvrtcVersion()
    except RuntimeError:
        pytest.skip("NVRTC is not found")
    monkeypatch.setattr(compiling, "compiler", lambda: nvrtc)
    return nvrtc


@pytest.mark.frameworks
@pytest.mark.parametrize("architecture", [90, 999])
def test_nvrtc_compiles_once_and_what_is_kept_is_what_it_made(
    nvrtc, folder, monkeypatch, architecture
):
    monkeypatch.setattr(kept, "folders", lambda: [folder])
    code = kept.code_for(KERNEL, architecture)
    if architecture == 90:
        assert code[:4] == b"\x7fELF"
    else:
        assert code.startswith(b"//")
        assert code.endswith(b"\0")
    assert KERNEL.symbol.encode() in code
    monkeypatch.setattr(compiling, "compiled", None)
    assert kept.code_for(KERNEL, architecture) == code


@pytest.mark.frameworks
def test_what_nvrtc_says_of_a_text_is_in_the_error(nvrtc):
    wrong = text.Text("\nnot a kernel", {})
    with pytest.raises(BackendError, match=r"isa_cuda\.cu\(2\): error"):
        compiling.compiled(wrong, compiling.options(KERNEL, "sm_90"))


@pytest.mark.frameworks
def test_an_empty_log_changes_no_bytes_of_python(nvrtc):
    _, program = nvrtc.nvrtcCreateProgram(b"int x;", b"x.cu", 0, [], [])
    nvrtc.nvrtcCompileProgram(program, 1, [b"-default-device"])
    log = compiling._bytes(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
    nvrtc.nvrtcDestroyProgram(program)
    assert log == b"\0"
    assert bytes([32])[0] == 32  # Python has one object for all bytes of this value


COMPILE = """
import sys
from pathlib import Path
from cuda.bindings import nvrtc
from fastinit.cuda import compiling, kept
from fastinit.cuda.launches import Kernel

compiling.compiler = lambda: nvrtc
kept.folders = lambda: [Path(sys.argv[1])]
code = kept.code_for(Kernel("rows", "FI_UNIFORM_INSIDE", "FI_FLOAT32", 4), 90)
sys.stdout.buffer.write(code)
"""


@pytest.mark.frameworks
def test_processes_that_compile_at_once_leave_one_right_file(nvrtc, folder, monkeypatch):
    running = [
        subprocess.Popen([sys.executable, "-c", COMPILE, str(folder)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    codes = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert codes[0] == codes[1] == codes[2] != b""
    (path,) = files(folder)
    assert kept_files.read(path) == codes[0]
    assert os.listdir(folder) == [path.name]
