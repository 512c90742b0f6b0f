# SPDX-License-Identifier: MIT
"""The rooms of docs/architecture.md: imports go down the list."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import fastinit

PACKAGE = Path(fastinit.__file__).parent
ROOMS = (
    "cli",
    "bench",
    "transformers",
    "torch",
    "keras",
    "jax",
    "tensorflow",
    "numba",
    "engines",
    "checkpoints",
    "plans",
    "cuda",
    "memory",
    "automatic",
    "schemes",
    "backends",
    "values",
    "numerics",
    "machine",
)
"""From the command line down; a room imports from itself and from rooms below."""

EVERYWHERE = {
    *("docstrings", "errors", "figures", "integers", "magic", "properties", "suggestions"),
    *("texts", "versions"),
}
"""Modules that import no room."""

ENTRANCES = {"__init__", "__main__", "start", "program"}
"""They put the rooms together, or begin the process before there are any."""

USERS = {"cli", "bench"}
"""Rooms that use the package as its users do, by `import fastinit`."""

FILES = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")])


def module_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def room_of(module):
    return module.partition(".")[0]


def imports_of(path):
    """The modules of fastinit that a file imports anywhere, for types too, without "fastinit."."""
    text = path.read_text("utf-8")
    if path.suffix == ".pyx":  # Cython, which ast cannot read; only _native imports, its own .pxd
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name == "fastinit":
                    yield "__init__"
                if name.name.startswith("fastinit."):
                    yield name.name.removeprefix("fastinit.")
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, or this test would not see them"
            if node.module == "fastinit":
                yield from (name.name for name in node.names)
            elif node.module.startswith("fastinit."):
                yield node.module.removeprefix("fastinit.")


def test_every_file_lies_in_a_room():
    found = {room_of(module_of(path)) for path in FILES}
    assert found == {*ROOMS, *EVERYWHERE, *ENTRANCES}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_down(path):
    room = room_of(module_of(path))
    if room in ENTRANCES:
        return
    allowed = set(EVERYWHERE)
    if room in ROOMS:
        allowed |= set(ROOMS[ROOMS.index(room) :])
    if room in USERS:
        allowed.add("__init__")
    if room == "cli":
        allowed.add("program")
    upward = {name for name in imports_of(path) if room_of(name) not in allowed}
    assert not upward


def test_contributing_lists_the_rooms():
    page = (PACKAGE.parent / "CONTRIBUTING.md").read_text("utf-8")
    folders = tuple(room for room in ROOMS if (PACKAGE / room).is_dir())
    assert tuple(re.findall(r"^    (\w+)/ ", page.partition("\ntests/")[0], re.M)) == folders


def test_the_kernels_are_reached_through_their_backend_alone():
    word = re.compile(
        r"^\s*(from fastinit\.backends import .*\b_native\b|.*import fastinit\.backends\._native)",
        re.M,
    )
    users = {module_of(path) for path in FILES if word.search(path.read_text("utf-8"))}
    assert users == {"backends.native", "backends.instruction_sets"}


DOORS = {
    "torch": ("torch", "transformers"),
    "transformers": ("transformers",),
    "jax": ("jax", "keras"),
    "flax": ("jax",),
    "keras": ("keras",),
    "tensorflow": ("tensorflow.py",),
    "numba": ("numba",),
    "llvmlite": ("numba",),
    "ray": ("engines",),
    "distributed": ("engines",),
    "mpi4py": ("engines",),
    "obstore": ("checkpoints/objects",),
    "cuda": ("cuda",),
}
"""A framework, and the rooms that alone may import it."""

PEERS = PACKAGE / "bench/peers.py"
"""It imports the packages that it races by their names, when they are raced."""


def foreign_imports(path):
    """The packages that a file imports, by a statement or by the text that it passes on."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (room_of(name.name) for name in node.names)
        if isinstance(node, ast.ImportFrom):
            yield room_of(node.module)
        if isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            texts = (a.value for a in node.args if isinstance(a, ast.Constant))
            yield from (room_of(text) for text in texts if isinstance(text, str))


def test_a_framework_is_imported_in_its_room_alone():
    found = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        for package in DOORS.keys() & set(foreign_imports(path)):
            found[package].add(path)
    for package, rooms in DOORS.items():
        inside = {p for p in found[package] if any(p.is_relative_to(PACKAGE / r) for r in rooms)}
        assert inside
        assert found[package] - inside <= {PEERS}
    assert PEERS in found["torch"], "or this test would not see imports by name"


def test_no_folder_of_tests_is_taken_for_a_framework():
    """pytest puts tests/ on the path, where a folder torch would be found if torch is missing."""
    folders = {path.name for path in Path(__file__).parents[1].iterdir() if path.is_dir()}
    assert not folders & {"torch", "jax", "keras", "transformers", "tensorflow", "flax", "numba"}


TYPE_VARIABLES = {"TypeVar", "ParamSpec"}

BY_CONTRACT = {"BACKEND"}
"""Names that each module of a kind has, because another looks them up."""


NAMES_OF_KERAS = PACKAGE / "keras/initializers.py"
"""Its classes have the names of Keras's, such as `Orthogonal`."""


def public_names(path):
    """The classes, type aliases and constants that a file defines."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
            continue
        value = getattr(node, "value", None)
        called = value.func if isinstance(value, ast.Call) else None
        if isinstance(called, ast.Name) and called.id in TYPE_VARIABLES:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_a_name_means_one_thing():
    """No class, type alias or constant is defined in two modules, except private ones."""
    where = defaultdict(set)
    for path in {*PACKAGE.rglob("*.py")} - {NAMES_OF_KERAS}:
        for name in public_names(path):
            if not name.startswith("_") and name not in BY_CONTRACT:
                where[name].add(module_of(path))
    assert len(where) > 200
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}
