# SPDX-License-Identifier: MIT
"""A worker of an engine: writes the shard that a JSON file describes.  Disturbed, never imported.

python shard_task.py DESCRIPTION FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fastinit import FastinitError
from fastinit.checkpoints import write_shard

try:
    write_shard(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], threads=1)
except (FastinitError, OSError) as error:
    print(f"fastinit: {error}", file=sys.stderr)
    sys.exit(2)
