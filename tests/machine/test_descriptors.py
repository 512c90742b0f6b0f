# SPDX-License-Identifier: MIT
"""Open files: each is closed once, by whatever comes first, and no other file is.

That signals change nothing of it is in test_interrupts.py.
"""

from __future__ import annotations

import errno
import fcntl
import os

import pytest
from broken_calls import always

from fastinit.machine.descriptors import OpenFile, OpenFiles


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def closed_by_with(file):
    with file:
        pass


@pytest.mark.parametrize("end", [OpenFile.release, closed_by_with, lambda file: file.close()])
def test_a_file_is_closed_once_and_its_number_may_be_used_again(tmp_path, end):
    file = OpenFile()
    descriptor = file.open(tmp_path, os.O_RDONLY)
    assert file.fileno() == descriptor
    assert not os.get_inheritable(descriptor)
    file.lock()
    end(file)
    assert not is_open(descriptor)
    other = os.open(tmp_path, os.O_RDONLY)
    assert other == descriptor  # the system gives the lowest number that is free
    fcntl.flock(other, fcntl.LOCK_EX)
    for again in (OpenFile.release, closed_by_with, lambda file: file.close()):
        again(file)
    del file
    assert is_open(other)
    third = OpenFile()
    third.open(tmp_path, os.O_RDONLY)
    assert third.lock() is False  # nor has the other file lost its lock
    third.release()
    os.close(other)


def test_a_file_that_nobody_holds_any_more_is_closed(tmp_path):
    file = OpenFile()
    descriptor = file.open(tmp_path, os.O_RDONLY)
    del file
    assert not is_open(descriptor)


def test_a_file_that_could_not_be_opened_has_nothing_to_close(tmp_path):
    with OpenFile() as file:
        with pytest.raises(FileNotFoundError):
            file.open(tmp_path / "missing", os.O_RDONLY)
        file.release()
        with pytest.raises(IndexError):
            file.fileno()


def test_files_are_closed_together(tmp_path):
    with OpenFiles() as opened:
        files = [opened.new() for _ in range(4)]
        numbers = [file.open(tmp_path, os.O_RDONLY) for file in files[:3]]
        opened.release(files[1])
        opened.release(files[1])
        assert [is_open(number) for number in numbers] == [True, False, True]
        files[0].close()
    assert not any(map(is_open, numbers))


def test_an_error_of_the_body_passes_through():
    with pytest.raises(NotADirectoryError), OpenFiles() as opened, opened.new() as file:
        file.open(__file__, os.O_RDONLY | os.O_DIRECTORY)


def test_a_lock_is_had_or_not_or_there_are_none(tmp_path, monkeypatch):
    with OpenFile() as first, OpenFile() as second:
        first.open(tmp_path, os.O_RDONLY)
        second.open(tmp_path, os.O_RDONLY)
        assert first.lock() is True
        assert second.lock() is False
        first.release()
        assert second.lock() is True
        monkeypatch.setattr(fcntl, "flock", always(errno.ENOLCK))
        assert second.lock() is None
        second.release()
        monkeypatch.setattr(fcntl, "flock", always(errno.EIO))
        first = OpenFile()
        first.open(tmp_path, os.O_RDONLY)
        with first, pytest.raises(OSError, match="Input/output error"):
            first.lock()


def test_closing_a_copy_tells_what_closing_says_and_leaves_the_file_open(tmp_path, monkeypatch):
    with OpenFile() as file:
        descriptor = file.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
        file.check()
        assert is_open(descriptor)
        monkeypatch.setattr(os, "close", always(errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            file.check()
