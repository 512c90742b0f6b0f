# SPDX-License-Identifier: MIT
"""Build the one extension, `fastinit._native`: the C kernels and their Cython border.

Everything else about the package is in pyproject.toml.  One switch: FASTINIT_WERROR=1 turns
compiler warnings into errors.
"""

import os
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

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

# One wheel for every Python from 3.11 on; free-threaded ones know no limited API.
LIMITED_API = [("Py_LIMITED_API", "0x030B0000"), ("CYTHON_LIMITED_API", "1")]
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    LIMITED_API = []

native = Extension(
    "fastinit._native",
    sources=["fastinit/_native.pyx", *sorted(map(str, Path("src_c").glob("*.c")))],
    depends=sorted(map(str, Path("src_c").rglob("*.h"))),
    include_dirs=["src_c"],
    define_macros=LIMITED_API,
    extra_compile_args=C_FLAGS,
    py_limited_api=bool(LIMITED_API),
)

setup(
    ext_modules=cythonize([native], language_level=3),
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED_API else {},
)
