"""Prints ALL_NORMALS of test_sweep.py from the reference alone; some ten minutes on 2 CPUs.

python tests/data/make_sweep.py
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import reference as ref

PIECE = 2**22
SMALL = 2**16


def checksum(first: int) -> int:
    """CRC-32 of the float32 normals of the words first to first + PIECE."""
    crc = 0
    for start in range(first, first + PIECE, SMALL):
        words = np.arange(start, start + SMALL, dtype=np.uint64).astype(np.uint32)
        crc = zlib.crc32(ref.map_words(words, ref.Normal(), "float32"), crc)
    return crc


if __name__ == "__main__":
    digest = hashlib.blake2b(digest_size=8)
    with ProcessPoolExecutor(2) as pool:
        for crc in pool.map(checksum, range(0, 2**32, PIECE)):
            digest.update(crc.to_bytes(4, "little"))
    print(digest.hexdigest())
