# SPDX-License-Identifier: MIT
"""Checkpoints on disk: write, verify, open.  Knows plans, not frameworks."""

from fastinit.checkpoints.layout import Layout as Layout
from fastinit.checkpoints.layout import Shard as Shard
from fastinit.checkpoints.layout import layout_of as layout_of
from fastinit.checkpoints.read import Checkpoint as Checkpoint
from fastinit.checkpoints.read import open_checkpoint as open_checkpoint
from fastinit.checkpoints.verify import VerifyError as VerifyError
from fastinit.checkpoints.verify import VerifyReport as VerifyReport
from fastinit.checkpoints.verify import verify as verify
from fastinit.checkpoints.write import WriteReport as WriteReport
from fastinit.checkpoints.write import write as write
from fastinit.checkpoints.write import write_shard as write_shard

open = open_checkpoint
