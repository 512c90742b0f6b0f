# SPDX-License-Identifier: MIT
"""The program `fastinit` and its commands, as click knows them."""

from __future__ import annotations

import click

import fastinit
from fastinit.cli.bench import bench
from fastinit.cli.diff import diff
from fastinit.cli.info import info
from fastinit.cli.plan import plan
from fastinit.cli.refill import refill
from fastinit.cli.regenerate import regenerate
from fastinit.cli.stats import stats
from fastinit.cli.verify import verify
from fastinit.cli.write import write


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(fastinit.__version__, prog_name="fastinit")
def cli() -> None:
    """Fill the weights of very large models, with the same bits everywhere."""


for command in (write, plan, verify, refill, regenerate, stats, diff, info, bench):
    cli.add_command(command)
