# SPDX-License-Identifier: MIT
"""Build the two extensions: the kernels, and what only C can do to the machine's state.

Everything else about the package is in pyproject.toml.  Three switches: FASTINIT_WERROR=1 turns
compiler warnings into errors; FASTINIT_CFLAGS adds flags, which may replace those below;
FASTINIT_NO_NATIVE=1 builds neither extension, calls no compiler, and marks the package, whose
values Numba then computes (`pip install '.[numba]'`).

On Windows the compiler is clang-cl: Microsoft's lacks GCC's attributes and built-in functions, and
MinGW's GCC does not align vectors on the stack.
"""

import os
import runpy
import shutil
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

NATIVE = os.environ.get("FASTINIT_NO_NATIVE") != "1"

C_FLAGS = [
    "-O3",
    "-std=c11",
    "-ffp-contract=off",  # a compiler that fuses a*b+c on its own changes the bits
    "-fno-math-errno",  # sqrt becomes one instruction; its value is the same
    "-g0",  # Python's own flags ask for debug information: 11 MB of it
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
]
if os.environ.get("FASTINIT_WERROR") == "1":
    C_FLAGS += ["-Werror"]
C_FLAGS += os.environ.get("FASTINIT_CFLAGS", "").split()
WINDOWS = os.name == "nt"
if WINDOWS:
    C_FLAGS = [f"/clang:{flag}" for flag in C_FLAGS]

# One wheel for every Python from 3.11 on; free-threaded ones know no limited API.
LIMITED_API = [("Py_LIMITED_API", "0x030B0000"), ("CYTHON_LIMITED_API", "1")]
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    LIMITED_API = []

# What Cython 3.1 to 3.3 leaves unchecked while the module is initialised, and the same lines with
# the check: an exception there, such as Ctrl-C, would end the interpreter by a segmentation fault.
IMPORT = '    inspect = PyImport_ImportModule("inspect");\n'
TRACEBACK = "    if (__pyx_mstate->__pyx_d && stringtab_initialized) {\n"
CHECKS = {
    IMPORT: IMPORT + "    if (!inspect) return -1;\n",
    # CPython raises nothing when there is no memory for a type's name.
    TRACEBACK: "    if (!PyErr_Occurred()) PyErr_NoMemory();\n" + TRACEBACK,
}


def checked(extension: Extension) -> Extension:
    """Add the checks to the C file that Cython made; tests/cli/test_start.py holds them."""
    border = Path(extension.sources[0])
    code = before = border.read_text(encoding="utf-8")
    for unchecked, with_check in CHECKS.items():
        if with_check not in code:
            code = code.replace(unchecked, with_check)
    if code != before:
        border.write_text(code, encoding="utf-8")
    return extension


def extension(name: str, sources: list[str]) -> Extension:
    """An extension made of its Cython file, whose path follows from its name, and of C files."""
    return Extension(
        name,
        sources=[name.replace(".", "/") + ".pyx", *sources],
        depends=sorted(map(str, Path("src_c").rglob("*.h"))),
        include_dirs=["src_c"],
        define_macros=LIMITED_API,
        extra_compile_args=C_FLAGS,
        py_limited_api=bool(LIMITED_API),
    )


MACHINE = ["src_c/clock.c", "src_c/float_state.c"]
KERNELS = sorted({path.as_posix() for path in Path("src_c").glob("*.c")} - {"src_c/clock.c"})


def extensions() -> list[Extension]:
    """What is compiled; Cython is not needed where nothing is."""
    if not NATIVE:
        return []
    from Cython.Build import cythonize

    both = [
        extension("fastinit.machine._machine", MACHINE),
        extension("fastinit.backends._native", KERNELS),
    ]
    return [checked(one) for one in cythonize(both, language_level=3)]


class BuildExtensions(build_ext):
    """Compiles with clang-cl on Windows, and links as setuptools does."""

    def build_extensions(self) -> None:
        """Exchange the compiler, and build."""
        if WINDOWS:
            clang = shutil.which("clang-cl")
            if not clang:
                raise SystemExit(
                    "clang-cl is not in PATH: install LLVM, or set FASTINIT_NO_NATIVE=1"
                )
            self.compiler.initialize()
            self.compiler.cc = clang
        super().build_extensions()


class BuildPython(build_py):
    """Copies the Python files, and the text of the CUDA kernels, which users' machines compile.

    It also says in the package whether it was built without extensions.
    """

    def run(self) -> None:
        """Copy, and write the mark or remove that of an earlier build."""
        super().run()
        if not self.editable_mode:  # there, the text is found in src_c
            for source, target in self.kernel_text().items():
                target.parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(source), str(target))
        folder = Path("fastinit" if self.editable_mode else f"{self.build_lib}/fastinit")
        mark = folder / "_no_native.py"
        mark.unlink(missing_ok=True)
        if not NATIVE:
            folder.mkdir(parents=True, exist_ok=True)
            mark.write_text(MARK, encoding="utf-8")

    def get_outputs(self, *arguments: bool, **named: bool) -> list[str]:
        """With the file that says so, or `pip uninstall` would leave it."""
        mark = [] if NATIVE or self.editable_mode else [f"{self.build_lib}/fastinit/_no_native.py"]
        text = [] if self.editable_mode else map(str, self.kernel_text().values())
        return [*super().get_outputs(*arguments, **named), *mark, *text]

    def kernel_text(self) -> dict[Path, Path]:
        """The files of the text of the CUDA kernels, and where a built package has them."""
        rules, folder = runpy.run_path("fastinit/cuda/text.py"), Path("src_c")
        sources = [folder / rules["STUB"], *rules["included"](folder).values()]
        home = Path(self.build_lib, "fastinit", "cuda", rules["COPY"].name)
        return {source: home / source.relative_to(folder) for source in sources}


MARK = '''# SPDX-License-Identifier: MIT
"""This package was built without the C extensions, by FASTINIT_NO_NATIVE=1: start.py looks here."""
'''

setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildExtensions, "build_py": BuildPython},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if NATIVE and LIMITED_API else {},
)
