# SPDX-License-Identifier: MIT
"""Makes gallery_sources.json: digests of the gallery's sources, the one file not of the reference.

python tests/data/make_gallery_sources.py
"""

from __future__ import annotations

import json
from pathlib import Path

from fastinit.numba import gallery

if __name__ == "__main__":
    digests = {name: getattr(gallery, name).digest for name in gallery.__all__}
    text = json.dumps(digests, indent=1) + "\n"
    (Path(__file__).parent / "gallery_sources.json").write_text(text, encoding="ascii")
