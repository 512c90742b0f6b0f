# SPDX-License-Identifier: MIT
"""An interpreter of PTX, for what NVVM makes of the functions of fastinit.numba.  No test.

It runs all threads of one block at a time, as NumPy arrays with one entry per thread, by the rules
of the PTX ISA: https://docs.nvidia.com/cuda/parallel-thread-execution.  Threads that branch wait
for those that are behind.  An instruction that it does not know is an error, and so is one that
flushes denormals or approximates.  What the assembler makes of PTX for a card is not seen here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import reference as ref

Array = np.ndarray[Any, Any]
Operation = Callable[..., Array]

TYPES = {
    **{f"{kind}{width}": f"u{width // 8}" for kind in "ub" for width in (8, 16, 32, 64)},
    **{f"s{width}": f"i{width // 8}" for width in (8, 16, 32, 64)},
    "f32": "f4",
    "f64": "f8",
    "pred": "?",
}
"""Types of PTX as types of NumPy."""

COMPARISONS: dict[str, Operation] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "hi": np.greater,
    "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b),
}
"""Those that end in u, of floats, hold for a NaN too."""


def _quotient(a: Array, b: Array) -> Array:
    """Towards zero; threads that do not take part may divide by zero."""
    b = np.where(b == 0, 1, b).astype(b.dtype)
    return np.where((a < 0) != (b < 0), -(np.abs(a) // np.abs(b)), np.abs(a) // np.abs(b))


def _bit_field(a: Array, b: Array, start: Array, length: Array) -> Array:
    mask = ((np.uint64(1) << length.astype("u8")) - np.uint64(1)) << start.astype("u8")
    return (b & ~mask) | (a << start.astype("u8")) & mask


OPERATIONS: dict[str, Operation] = {
    "add": np.add,
    "sub": np.subtract,
    "mul.lo": np.multiply,
    "neg": np.negative,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "mov": lambda a: a,
    "cvta.to.global": lambda a: a,
    "cvta.local": lambda a: a,
    "cvta.const": lambda a: a,
    "min": np.minimum,
    "max": np.maximum,
    "div": _quotient,
    "rem": lambda a, b: a - _quotient(a, b) * b,
    "selp": lambda a, b, holds: np.where(holds, a, b),
}
"""Of whole numbers; wraparound is NumPy's."""

FLOATS: dict[str, Operation] = {
    "add.rn": np.add,
    "sub.rn": np.subtract,
    "mul.rn": np.multiply,
    "div.rn": np.divide,
    "sqrt.rn": np.sqrt,
    "neg": np.negative,
    "mov": lambda a: a,
    "selp": lambda a, b, holds: np.where(holds, a, b),
}


LOADS = {"ld", "ld.param", "ld.const", "ld.global", "ld.local"}
STORES = {"st", "st.global", "st.local"}
"""All spaces are one memory here, so addresses need no conversion."""


class Instruction(NamedTuple):
    """One instruction; `guard` is the predicate that a thread needs, or the empty text."""

    guard: str
    name: str
    operands: list[str]


class Program:
    """The kernel in a text of PTX."""

    def __init__(self, text: str) -> None:
        head, body = text.split(".entry", 1)
        names, body = body.split("\n)", 1)
        self.parameters = re.findall(r"\.param .*?(\w+),?$", names, re.MULTILINE)
        self.constants = {
            name: np.array(values.split(","), "u1")
            for name, values in re.findall(r"\.const .*? (\S+)\[\d+\] = {(.*?)};", head)
        }
        depot = re.search(r"\.local .*?(\w+)\[(\d+)\];", body)
        self.depot = (depot[1], int(depot[2])) if depot else None
        self.instructions: list[Instruction] = []
        self.labels: dict[str, int] = {}
        for line in re.sub(r"//.*", "", body).split("\n"):
            block = re.fullmatch(r"\s*[{}](.*?)}?\s*", line)
            self._read(block[1] if block else line)

    def _read(self, line: str) -> None:
        for part in filter(None, map(str.strip, line.split(";"))):
            if part.endswith(":"):
                self.labels[part[:-1]] = len(self.instructions)
            elif not part.startswith("."):
                guard, name, operands = re.fullmatch(r"(@\S+\s+)?(\S+)\s*(.*)", part).groups()
                found = re.findall(r"{.*?}|\[.*?\]|[^,\s]+", operands)
                self.instructions.append(Instruction((guard or "").strip("@ "), name, found))

    def names(self) -> set[str]:
        """The instructions that occur."""
        return {instruction.name for instruction in self.instructions}

    def run(self, threads: int, *arguments: Any) -> None:
        """Launch one block; arrays are changed in place.  Arguments are those of the kernel."""
        Launch(self, threads, arguments).run()


class Launch:
    """The state of one block: registers, memory, and where each thread is."""

    def __init__(self, program: Program, threads: int, arguments: Sequence[Any]) -> None:
        self.program, self.threads = program, threads
        self.registers: dict[str, Array] = {}
        self.places: dict[str, int] = {}
        self.arrays: list[tuple[Array, int]] = []
        self.memory = np.zeros(0, np.uint8)
        for name, constant in program.constants.items():
            self.places[name] = self._placed(constant)
        if program.depot:
            name, size = program.depot
            self.stride = size + -size % 16
            self.places[name] = self._placed(np.zeros(threads * self.stride, np.uint8))
        plain = [number for argument in arguments for number in self._flat(argument)]
        assert len(plain) == len(program.parameters)
        self.given = dict(zip(program.parameters, plain, strict=True))

    def _placed(self, array: Array) -> int:
        place = self.memory.size
        room = -array.nbytes % 64 + 64
        raw = np.frombuffer(array.tobytes(), np.uint8)
        self.memory = np.concatenate([self.memory, raw, np.zeros(room, np.uint8)])
        return place

    def _flat(self, argument: Any) -> list[Any]:
        """The parameters of an argument; of an array, the fields of numba-cuda's array."""
        if isinstance(argument, np.ndarray):
            place = self._placed(argument)
            self.arrays.append((argument, place))
            fields = (0, 0, argument.size, argument.itemsize, place, argument.size)
            return [np.uint64(number) for number in (*fields, argument.itemsize)]
        if isinstance(argument, tuple):
            return [number for part in argument for number in self._flat(part)]
        return [argument]

    def run(self) -> None:
        code = self.program.instructions
        at = np.zeros(self.threads, np.int64)
        with np.errstate(all="ignore"):
            while (next_one := int(at.min())) < len(code):
                active = at == next_one
                at[active] += 1
                instruction = code[next_one]
                guard = instruction.guard
                if guard:
                    holds = self._value(guard.strip("!"), "?")
                    active = active & (holds != guard.startswith("!"))
                if instruction.name in ("bra", "bra.uni"):
                    at[active] = self.program.labels[instruction.operands[0]]
                elif instruction.name == "ret":
                    at[active] = len(code)
                else:
                    self._step(instruction, active)
        for array, place in self.arrays:
            raw = self.memory[place : place + array.nbytes]
            array[...] = raw.view(array.dtype).reshape(array.shape)

    # ---- operands: registers hold bits, in 64-bit words ----

    def _value(self, text: str, dtype: str) -> Array:
        special = {"%tid.x": None, "%ntid.x": self.threads, "%ctaid.x": 0, "%nctaid.x": 1}
        if text in special:
            bits = np.arange(self.threads) if text == "%tid.x" else special[text]
        elif text in self.registers:
            bits = self.registers[text]
        elif self.program.depot and text == self.program.depot[0]:
            bits = self.places[text] + self.stride * np.arange(self.threads)  # a thread its own
        elif text in self.places:
            bits = self.places[text]
        elif text.startswith(("0f", "0d")):
            bits = int(text[2:], 16)
        else:
            bits = int(text) % 2**64
        words = np.broadcast_to(np.asarray(bits, np.uint64), self.threads)
        if dtype == "?":
            return words != 0
        return words.astype(f"u{np.dtype(dtype).itemsize}").view(dtype)

    def _write(self, name: str, values: Array, active: Array) -> None:
        raw = values.astype("u1") if values.dtype == bool else values
        words = raw.view(f"u{raw.dtype.itemsize}").astype("u8")
        old = self.registers.get(name, np.zeros(self.threads, np.uint64))
        self.registers[name] = np.where(active, words, old)

    # ---- instructions ----

    def _step(self, instruction: Instruction, active: Array) -> None:
        *words, kind = instruction.name.split(".")
        name, dtype, operands = ".".join(words), TYPES[kind], instruction.operands
        if name in LOADS:
            found = self._loaded(operands[1], dtype, active)
        elif name in STORES:
            places = self._address(operands[0])[active] // np.dtype(dtype).itemsize
            self.memory.view(dtype)[places] = self._value(operands[1], dtype)[active]
            return
        elif operands[0].startswith("{"):
            self._taken_apart(operands, dtype, active)
            return
        elif words[0] == "cvt":
            found = self._converted(words[1:], operands[1], dtype)
        elif words[0] == "setp":
            found = COMPARISONS[words[1]](*(self._value(each, dtype) for each in operands[1:]))
        else:
            found = self._computed(name, operands[1:], dtype)
        self._write(operands[0], found, active)

    def _taken_apart(self, operands: list[str], dtype: str, active: Array) -> None:
        """The halves of a register, lower first; the register ``_`` is none."""
        half = f"u{np.dtype(dtype).itemsize // 2}"
        halves = np.ascontiguousarray(self._value(operands[1], dtype)).view(half).reshape(-1, 2)
        for name, values in zip(operands[0].strip("{}").split(","), halves.T, strict=True):
            self._write(name.strip(), values.copy(), active)

    def _computed(self, name: str, operands: list[str], dtype: str) -> Array:
        last = ["?"] if name == "selp" else ["u4"] if name in ("shl", "shr") else []
        types = [dtype] * (len(operands) - len(last)) + last
        types = [dtype, dtype, "u4", "u4"] if name == "bfi" else types
        values = [self._value(each, kind) for each, kind in zip(operands, types, strict=True)]
        width = np.dtype(dtype).itemsize
        if name in ("shl", "shr"):
            # From the width on PTX shifts everything out; NumPy leaves that undefined.
            few = np.minimum(values[1], 8 * width - 1).astype(dtype)
            shifted = values[0] << few if name == "shl" else values[0] >> few
            gone = (values[1] >= 8 * width) & (np.dtype(dtype).kind == "u")
            return np.where(gone, 0, shifted).astype(dtype)
        if name == "mul.wide":
            double = f"{dtype[0]}{2 * width}"
            return values[0].astype(double) * values[1].astype(double)
        if name == "fma.rn":
            assert dtype == "f4"
            return ref.fused(*values)
        if name == "bfi":
            return _bit_field(*values)
        table = FLOATS if dtype in ("f4", "f8") else OPERATIONS
        return table[name](*values).astype(dtype)

    def _converted(self, words: list[str], operand: str, source: str) -> Array:
        rounding, target = words[:-1], TYPES[words[-1]]
        # Only to a float is there anything to round; the others cut bits off or extend the sign.
        assert rounding == (["rn"] if target in ("f4", "f8") else [])
        return self._value(operand, source).astype(target)

    def _address(self, text: str) -> Array:
        base, _, offset = text.strip("[]").partition("+")
        return self._value(base, "i8") + int(offset or 0)

    def _loaded(self, text: str, dtype: str, active: Array) -> Array:
        if text.strip("[]") in self.given:
            number = np.array(self.given[text.strip("[]")])
            assert number.dtype.itemsize == np.dtype(dtype).itemsize
            return np.full(self.threads, number).view(dtype)
        places = np.where(active, self._address(text), 0) // np.dtype(dtype).itemsize
        return self.memory.view(dtype)[places]
