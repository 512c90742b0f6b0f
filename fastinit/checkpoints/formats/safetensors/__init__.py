# SPDX-License-Identifier: MIT
"""The format safetensors, in the folder layout of the Hugging Face hub.

https://github.com/huggingface/safetensors describes it.  This file only puts together what the
others hold: `shards` what is written, `header` and `index` what is read, `dtypes` the codes.
"""

from __future__ import annotations

from fastinit.checkpoints.formats.base import Format
from fastinit.checkpoints.formats.safetensors import dtypes, header, index, shards

SAFETENSORS = Format(
    name="safetensors",
    suffix=".safetensors",
    index=shards.INDEX,
    single=shards.SINGLE,
    index_limit=shards.INDEX_LIMIT,
    tells_its_call=True,
    codes=dtypes.SAFETENSORS_CODES,
    arrays=dtypes.ARRAYS,
    arrange=shards.arrange,
    check_file=shards.check_file,
    make_header=shards.make_header,
    renew_header=header.renew_header,
    check_header=shards.check_header,
    make_index=shards.make_index,
    check_lengths=shards.check_lengths,
    is_shard=shards.is_shard,
    family=shards.family,
    may_write=shards.may_write,
    resembles=header.resembles,
    header_place=header.header_place,
    parse_header=header.parse_header,
    parse_index=index.parse_index,
    check_totals=index.check_totals,
)
