# SPDX-License-Identifier: MIT
"""How many CPUs a process may use: affinity and the quotas of control groups, in trees of files."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastinit.machine import cgroups, cpus
from fastinit.machine.cgroups import Group
from fastinit.machine.parallel import default_threads, thread_count

V2 = "0::/user.slice/job/step\n"
V2_MOUNT = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "9:name=systemd:/x\n4:cpuset:/\n3:cpu,cpuacct:/docker/abc\n"
V1_MOUNT = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"


class Tree:
    """A file system of fake /proc and control groups."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path, content):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content)

    def process(self, memberships, mounts):
        self.write("/proc/self/cgroup", memberships)
        self.write("/proc/self/mountinfo", f"21 1 0:5 / /proc rw - proc proc rw\n{mounts}")

    def v1(self, folder, quota, period=100_000):
        self.write(f"{folder}/cpu.cfs_quota_us", f"{quota}\n")
        self.write(f"{folder}/cpu.cfs_period_us", f"{period}\n")

    @property
    def quota(self):
        return cpus.quota(self.root)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


# --- trees -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "quota"),
    [
        ("200000 100000\n", 2.0),
        ("150000 100000\n", 1.5),
        ("5000 100000\n", 0.05),
        ("max 100000\n", math.inf),
    ],
)
def test_a_quota_of_version_2_is_a_share_of_a_period(tree, content, quota):
    tree.process(V2, V2_MOUNT)
    tree.write("/sys/fs/cgroup/user.slice/job/step/cpu.max", content)
    assert tree.quota == quota


@pytest.mark.parametrize("tight", ["/user.slice", "/user.slice/job", "/user.slice/job/step"])
def test_the_tightest_of_all_groups_above_counts(tree, tight):
    tree.process(V2, V2_MOUNT)
    for folder in ("/user.slice", "/user.slice/job", "/user.slice/job/step"):
        share = 300_000 if folder == tight else 700_000
        tree.write(f"/sys/fs/cgroup{folder}/cpu.max", f"{share} 100000\n")
    tree.write("/sys/fs/cgroup/user.slice/other/cpu.max", "100000 100000\n")
    assert tree.quota == 3.0


def test_the_groups_are_named_from_the_innermost_up(tree):
    tree.process(V2, V2_MOUNT)
    point = tree.root / "sys/fs/cgroup"
    folders = [point / "user.slice/job/step", point / "user.slice/job", point / "user.slice", point]
    assert cgroups.groups("cpu", tree.root) == tuple(Group(2, folder) for folder in folders)


@pytest.mark.parametrize(("share", "quota"), [(250_000, 2.5), (-1, math.inf), (0, math.inf)])
def test_a_quota_of_version_1_is_in_two_files(tree, share, quota):
    tree.process(V1, V1_MOUNT)
    tree.v1("/sys/fs/cgroup/cpu,cpuacct/docker/abc", share)
    assert tree.quota == quota


def test_a_period_need_not_be_a_tenth_of_a_second(tree):
    tree.process(V1, V1_MOUNT)
    tree.v1("/sys/fs/cgroup/cpu,cpuacct/docker", 30_000, 10_000)
    assert tree.quota == 3.0


def test_both_versions_at_once_are_both_asked(tree):
    mounts = V1_MOUNT + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    tree.process(V1 + "0::/session\n", mounts)
    tree.v1("/sys/fs/cgroup/cpu,cpuacct/docker/abc", 400_000)
    assert tree.quota == 4.0
    tree.write("/sys/fs/cgroup/unified/session/cpu.max", "200000 100000\n")
    assert tree.quota == 2.0


def test_only_hierarchies_of_the_controller_are_asked(tree):
    mounts = V1_MOUNT + "34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    tree.process("4:memory:/small\n3:cpu,cpuacct:/\n", mounts)
    tree.v1("/sys/fs/cgroup/memory/small", 100_000)
    assert tree.quota == math.inf
    assert {group.folder.name for group in cgroups.groups("memory", tree.root)} == {
        *("memory", "small")
    }


def test_in_a_container_of_version_1_the_mount_is_the_containers_own_group(tree):
    mount = "33 31 0:30 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
    tree.process(V1, mount)
    tree.v1("/sys/fs/cgroup/cpu,cpuacct", 200_000)
    assert tree.quota == 2.0
    tree.process(V1.replace("abc", "abc/inner"), mount)
    tree.v1("/sys/fs/cgroup/cpu,cpuacct/inner", 100_000)
    assert tree.quota == 1.0


@pytest.mark.parametrize("path", ["/elsewhere", "/../../outside", "/docker/abcdef"])
def test_a_group_that_no_mount_shows_leaves_what_is_mounted(tree, path):
    mount = "33 31 0:30 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n"
    tree.process(f"3:cpu:{path}\n", mount)
    tree.v1("/sys/fs/cgroup/cpu", 200_000)
    tree.v1("/outside", 100_000)
    tree.v1("/sys/fs/cgroup/cpu/def", 100_000)
    assert tree.quota == 2.0


def test_in_a_namespace_the_groups_own_path_is_the_root(tree):
    tree.process("0::/\n", V2_MOUNT)
    tree.write("/sys/fs/cgroup/cpu.max", "350000 100000\n")
    assert tree.quota == 3.5


def test_mounts_may_be_anywhere_and_their_names_escaped(tree):
    tree.process("0::/a b\n", "30 20 0:26 / /odd\\040place\\134 rw shared:9 - cgroup2 none rw\n")
    tree.write("/odd place\\/a b/cpu.max", "100000 100000\n")
    assert tree.quota == 1.0


def test_of_several_mounts_the_one_that_shows_most_is_asked(tree):
    inner = "35 20 0:26 /user.slice/job /inner rw - cgroup2 cgroup2 rw\n"
    tree.process(V2, inner + V2_MOUNT)
    tree.write("/sys/fs/cgroup/user.slice/cpu.max", "100000 100000\n")
    assert tree.quota == 1.0


def test_a_group_with_a_colon_in_its_name(tree):
    tree.process("0::/pod:1:2\n", V2_MOUNT)
    tree.write("/sys/fs/cgroup/pod:1:2/cpu.max", "100000 100000\n")
    assert tree.quota == 1.0


def test_a_process_that_moves_is_asked_again(tree):
    tree.process(V2, V2_MOUNT)
    tree.write("/sys/fs/cgroup/user.slice/job/cpu.max", "100000 100000\n")
    assert tree.quota == 1.0
    tree.process("0::/user.slice\n", V2_MOUNT)
    assert tree.quota == math.inf


@pytest.mark.parametrize(
    "content",
    ["", "\n", "max", "100000", "a b", "1 2 3", "-5 100000", "100000 0", "1e5 1e5",
     b"\xff\xfe", f"{10**400} 1", f"{'9' * 5000} 1"],
)  # fmt: skip
def test_a_quota_that_makes_no_sense_is_none(tree, content):
    tree.process(V2, V2_MOUNT)
    tree.write("/sys/fs/cgroup/user.slice/job/step/cpu.max", content)
    assert tree.quota == math.inf
    tree.write("/sys/fs/cgroup/user.slice/cpu.max", "200000 100000\n")
    assert tree.quota == 2.0


@pytest.mark.parametrize(
    ("memberships", "mounts"),
    [
        ("", ""),
        ("", V2_MOUNT),
        (V2, ""),
        ("0\n0:\n::\n:::\n7::/x\n0::relative\n\0\n", V2_MOUNT),
        (V2, "30 20 0:26 /\n- cgroup2\n30 20 0:26 / /x rw - cgroup2\n - - -\n"),
        (V2, V2_MOUNT.replace("/sys/fs/cgroup", "/\\000")),
        (V2, V2_MOUNT.replace("/sys/fs/cgroup", "/" + "x" * 5000)),
        (b"0::/\xff\n", b"30 20 0:26 / /\xff\xfe rw - cgroup2 cgroup2 rw\n"),
    ],
)
def test_files_of_proc_that_make_no_sense_are_no_quota(tree, memberships, mounts):
    tree.write("/proc/self/cgroup", memberships)
    tree.write("/proc/self/mountinfo", mounts)
    assert tree.quota == math.inf


def test_without_proc_there_is_no_quota(tmp_path):
    assert cpus.quota(tmp_path) == math.inf
    (tmp_path / "proc/self/cgroup").mkdir(parents=True)
    assert cpus.quota(tmp_path) == math.inf
    assert cgroups.groups("cpu", tmp_path) == ()


def test_a_folder_in_place_of_a_quota_is_none(tree):
    tree.process(V2, V2_MOUNT)
    (tree.root / "sys/fs/cgroup/user.slice/job/step/cpu.max").mkdir(parents=True)
    assert tree.quota == math.inf


# --- this process ----------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch):
    """Set the CPUs of this machine and the quota of its groups."""
    monkeypatch.delenv("FASTINIT_THREADS", raising=False)

    def change(number, quota):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(number)))
        monkeypatch.setattr(cpus, "quota", lambda: quota)
        monkeypatch.setattr(cpus, "_read", (-math.inf, math.inf))

    return change


@pytest.mark.parametrize(
    ("number", "quota", "threads"),
    [(64, 2.0, 2), (64, 2.5, 3), (64, 0.05, 1), (2, 64.0, 2), (2, 1.5, 2), (2, 1.0, 1)],
)  # fmt: skip
def test_a_quota_is_rounded_up_and_never_adds_threads(machine, number, quota, threads):
    machine(number, quota)
    assert thread_count() == threads
    reason = default_threads().reason
    assert reason == (
        f"a CPU quota of {quota:g}" if threads < number else "the CPUs that this process may use"
    )


def test_the_variable_and_the_argument_win_over_a_quota(machine, monkeypatch):
    machine(64, 2.0)
    assert thread_count(5) == 5
    monkeypatch.setenv("FASTINIT_THREADS", "7")
    assert default_threads() == (7, "FASTINIT_THREADS")


def test_a_quota_is_read_again_after_a_while_and_not_at_every_call(machine, monkeypatch):
    machine(64, 2.0)
    clock = [1000.0]
    monkeypatch.setattr(cpus.time, "monotonic", lambda: clock[0])
    assert thread_count() == 2
    monkeypatch.setattr(cpus, "quota", lambda: 4.0)
    clock[0] += 0.9 * cpus.QUOTA_SECONDS
    assert thread_count() == 2
    clock[0] += 0.2 * cpus.QUOTA_SECONDS
    assert thread_count() == 4


PRINT = "from fastinit.machine.parallel import default_threads; print(*default_threads(), sep=', ')"


@pytest.fixture
def real_group():
    """A new control group of this machine in which a process has half a CPU."""
    for group in cgroups.groups("cpu"):
        file = "cpu.max" if group.version == 2 else "cpu.cfs_quota_us"
        folder = group.folder / f"fastinit-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / file).write_text("50000 100000" if group.version == 2 else "50000")
            yield folder
            return
        except OSError:
            continue
        finally:
            folder.rmdir()
    pytest.skip("no control group with a CPU quota can be made here")


@pytest.mark.skipif(os.cpu_count() == 1, reason="this machine has one CPU: no quota is less")
def test_in_a_real_control_group_its_quota_counts(real_group):
    """The process puts itself there before Python starts."""
    joining = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', real_group]
    done = subprocess.run(
        [*joining, sys.executable, "-c", PRINT],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "FASTINIT_THREADS": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1, a CPU quota of 0.5\n"
