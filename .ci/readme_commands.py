# SPDX-License-Identifier: MIT
"""Print the set-up commands of a README, one a line: those of its first ```sh blocks.

A set-up command is a line in a ```sh block that begins with `pip install`.
"""

import re
import sys
from pathlib import Path

text = Path(sys.argv[1]).read_text()
for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
    for line in block.splitlines():
        if line.startswith("pip install"):
            print(line)
