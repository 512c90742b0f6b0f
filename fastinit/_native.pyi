# SPDX-License-Identifier: MIT
import numpy as np
import numpy.typing as npt

Bytes = memoryview | npt.NDArray[np.uint8]

class Spec:
    item_size: int
    def __init__(
        self,
        *,
        dtype: int,
        distribution: int,
        key: int,
        subsequence: int,
        shift: float = 0.0,
        scale: float = 1.0,
        low: float = 0.0,
        high: float = 0.0,
        base: tuple[float, float] = (0.0, 0.0),
        slope: tuple[float, float] = (0.0, 0.0),
        sign_and: int = 0,
        sign_xor: int = 0,
        octave: int = 0,
        pattern: int = 0,
    ) -> None: ...

def fill(out: Bytes, spec: Spec, start: int) -> None: ...
def fill_rows(
    out: Bytes, spec: Spec, start: int, start_step: int, rows: int, count: int, out_step: int
) -> None: ...
def words(out: npt.NDArray[np.uint32], start: int, key: int, subsequence: int) -> None: ...
def map_words(out: Bytes, spec: Spec, words: npt.NDArray[np.uint32]) -> None: ...
def philox4x32(*words: int) -> tuple[int, int, int, int]: ...
def float_enter() -> int: ...
def float_leave(saved: int) -> None: ...
def dependent_adds(count: int, step: int = 1) -> int: ...
def select_isa(name: str | None) -> bool: ...
def active_isa() -> str: ...
def isas() -> dict[str, bool]: ...
