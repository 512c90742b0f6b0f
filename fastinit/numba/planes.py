# SPDX-License-Identifier: MIT
"""The words of many blocks at once: Philox in LLVM's vectors.  No distribution is known here.

LLVM makes vectors of a plain loop over blocks too, but needs twice the time, for the multiplier's
latency and for putting the words in order.  src_c/kernels/philox.h has the idea: a word of several
blocks is a plane, with 64 bits a lane, and half of the first two rounds is the same for all blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from fastinit.numba.compiling import OPTIONS
from fastinit.numba.targets import LANES
from fastinit.numba.words import (
    FIRST_FACTOR,
    FIRST_STEP,
    HALF_WIDTH,
    SECOND_FACTOR,
    SECOND_STEP,
    philox_rounds,
)

i64, u32, u64 = np.int64, np.uint32, np.uint64

PLANE = max(LANES // 2, 1)
"""Blocks in a plane."""

GROUPS = 4
"""How many planes go through each round side by side, to hide the latency of the multiplier."""

BLOCKS_TOGETHER = PLANE * GROUPS
WORDS_TOGETHER = 4 * BLOCKS_TOGETHER


@intrinsic  # type: ignore[untyped-decorator]
def address(typing: Any, array: Any, index: Any) -> Any:
    """Where element `index` of an array of one axis is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.bitcast(builder.gep(struct.data, [arguments[1]]), cgutils.voidptr_t)

    return types.voidptr(array, index), generate


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _round_keys(key: Any, subsequence: Any, high: Any) -> Any:
    """What a pass needs: round 0's c3 ^ k1; round 1's c1 ^ k0, hi(M0 c0) ^ k1; two keys a round.

    In round 2, c3 is the same for all blocks: it is folded into the key.
    """
    k0, k1 = u32(key), u32(key >> HALF_WIDTH)
    product = SECOND_FACTOR * u64(u32(subsequence))
    c0, c1 = u32(u32(product >> HALF_WIDTH) ^ high ^ k0), u32(product)
    first = u32(u32(subsequence >> HALF_WIDTH) ^ k1)
    product = FIRST_FACTOR * u64(c0)
    second0 = u32(c1 ^ u32(k0 + FIRST_STEP))
    second2 = u32(u32(product >> HALF_WIDTH) ^ u32(k1 + SECOND_STEP))
    even = (
        u32(k0 + u32(2) * FIRST_STEP),
        u32(k0 + u32(3) * FIRST_STEP),
        u32(k0 + u32(4) * FIRST_STEP),
        u32(k0 + u32(5) * FIRST_STEP),
        u32(k0 + u32(6) * FIRST_STEP),
        u32(k0 + u32(7) * FIRST_STEP),
        u32(k0 + u32(8) * FIRST_STEP),
        u32(k0 + u32(9) * FIRST_STEP),
    )
    odd = (
        u32(u32(k1 + u32(2) * SECOND_STEP) ^ u32(product)),
        u32(k1 + u32(3) * SECOND_STEP),
        u32(k1 + u32(4) * SECOND_STEP),
        u32(k1 + u32(5) * SECOND_STEP),
        u32(k1 + u32(6) * SECOND_STEP),
        u32(k1 + u32(7) * SECOND_STEP),
        u32(k1 + u32(8) * SECOND_STEP),
        u32(k1 + u32(9) * SECOND_STEP),
    )
    return (first, second0, second2), even, odd


@intrinsic  # type: ignore[untyped-decorator]
def _pass(typing: Any, words: Any, low: Any, starts: Any, even: Any, odd: Any) -> Any:
    """The words of BLOCKS_TOGETHER blocks, in order; `low` is counter word 0 of the first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _Pass(builder).write(*arguments)
        return context.get_dummy_value()

    return types.void(words, low, starts, even, odd), generate


class _Pass:
    """The code of `_pass`."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.plane = ir.VectorType(ir.IntType(64), PLANE)
        self.word = ir.VectorType(ir.IntType(32), 2 * PLANE)

    def write(self, words: Any, low: Any, starts: Any, even: Any, odd: Any) -> None:
        """Ten rounds of every group, side by side, and the words to their places."""
        b, xor = self.builder, self.builder.xor
        first, second0, second2 = (self.everywhere(b.extract_value(starts, n)) for n in range(3))
        keys0 = [self.everywhere(b.extract_value(even, n)) for n in range(8)]
        keys1 = [self.everywhere(b.extract_value(odd, n)) for n in range(8)]
        found = []
        for c0 in self.counters(low):  # round 0
            product = self.product(c0, FIRST_FACTOR)
            found.append([None, None, xor(self.high(product), first), product])
        for x in found:  # round 1
            product = self.product(x[2], SECOND_FACTOR)
            x[:3] = [xor(self.high(product), second0), product, xor(x[3], second2)]
        for number, (key0, key1) in enumerate(zip(keys0, keys1, strict=True)):
            for x in found:
                p0, p1 = self.product(x[0], FIRST_FACTOR), self.product(x[2], SECOND_FACTOR)
                upper = xor(self.high(p0), key1) if number == 0 else self.xor3(p0, x[3], key1)
                x[:] = [self.xor3(p1, x[1], key0), p1, upper, p0]
        for group, x in enumerate(found):
            self.store(x, words, 4 * PLANE * group)

    def everywhere(self, number: Any) -> Any:
        """A plane of one number of 32 bits."""
        b, none = self.builder, ir.Constant(self.plane, ir.Undefined)
        one = b.insert_element(none, b.zext(number, ir.IntType(64)), ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), PLANE), [0] * PLANE)
        return b.shuffle_vector(one, none, zeros)

    def counters(self, low: Any) -> list[Any]:
        """Counter word 0 of each group; in the order that `store` undoes without crossing lanes."""
        b = self.builder
        base = b.bitcast(self.everywhere(low), self.word)
        places = [n for pair in zip(*_halves(range(PLANE)), strict=True) for n in pair]
        counters = []
        for group in range(GROUPS):
            steps = [part for n in places for part in (group * PLANE + n, 0)]
            counters.append(b.bitcast(b.add(base, ir.Constant(self.word, steps)), self.plane))
        return counters

    def product(self, plane: Any, factor: Any) -> Any:
        """The low half of each lane times a factor, in 64 bits."""
        mask = ir.Constant(self.plane, [2**32 - 1] * PLANE)
        times = ir.Constant(self.plane, [int(factor)] * PLANE)
        return self.builder.mul(self.builder.and_(plane, mask), times)

    def high(self, plane: Any) -> Any:
        """The upper half of each lane."""
        return self.builder.lshr(plane, ir.Constant(self.plane, [32] * PLANE))

    def xor3(self, product: Any, a: Any, key: Any) -> Any:
        """The upper half of a product, and two more; what lies above 32 bits is never read."""
        return self.builder.xor(self.builder.xor(self.high(product), a), key)

    def store(self, planes: Any, words: Any, start: int) -> None:
        """Put the words of a group's blocks in order, from word `start` on."""
        b = self.builder
        w = [b.bitcast(each, self.word) for each in planes]
        n = 2 * PLANE
        low = [place for lane in range(PLANE) for place in (2 * lane, n + 2 * lane)]
        front, back = (b.bitcast(self.mixed(w[i], w[i + 1], low), self.plane) for i in (0, 2))
        for odd in (0, 1):
            order = [each for lane in range(odd, PLANE, 2) for each in (lane, PLANE + lane)]
            some = self.mixed(front, back, order)
            place = b.gep(words, [ir.IntType(64)(4 * (start + n * odd))])
            b.store(some, b.bitcast(place, ir.PointerType(self.plane))).align = 4

    def mixed(self, a: Any, other: Any, order: list[int]) -> Any:
        """Elements of two vectors, in another order."""
        places = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
        return self.builder.shuffle_vector(a, other, places)


def _halves(numbers: range) -> tuple[list[int], list[int]]:
    half = len(numbers) // 2
    return list(numbers[:half]), list(numbers[half:])


@njit(**OPTIONS)  # type: ignore[untyped-decorator]
def _plain(words: Any, key: Any, subsequence: Any, b: Any) -> None:
    k0, k1, low, high = u32(key), u32(key >> HALF_WIDTH), u32(b), u32(b >> HALF_WIDTH)
    c2, c3 = u32(subsequence), u32(subsequence >> HALF_WIDTH)
    for n in range(words.size // 4):
        c0 = u32(low + u32(n))
        c1 = u32(high + (u32(1) if c0 < low else u32(0)))
        w = philox_rounds(c0, c1, c2, c3, k0, k1)
        words[4 * n], words[4 * n + 1], words[4 * n + 2], words[4 * n + 3] = w


def _plainly(words: Any, key: Any, subsequence: Any, b: Any) -> None:
    _plain(words, key, subsequence, b)


def _in_planes(words: Any, key: Any, subsequence: Any, b: Any) -> None:
    low, whole = u32(b), i64(0)
    if u64(low) + u64(words.size // 4) < u64(2**32):  # no block carries into counter word 1
        whole = words.size // WORDS_TOGETHER * WORDS_TOGETHER
        starts, even, odd = _round_keys(key, subsequence, u32(b >> HALF_WIDTH))
        for at in range(0, whole, WORDS_TOGETHER):
            _pass(address(words, at), u32(low + u32(at >> 2)), starts, even, odd)
    if whole < words.size:
        _plain(words[whole:], key, subsequence, b + u64(whole >> 2))


words_into = njit(**{**OPTIONS, "forceinline": False})(_plainly if LANES == 1 else _in_planes)
"""``words_into(words, key, subsequence, b)``: the words of the blocks from b on, four each.

The array has a multiple of four words, those of at most 2^32 blocks; it is fastest for a multiple
of `WORDS_TOGETHER`.
"""
