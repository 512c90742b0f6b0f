# SPDX-License-Identifier: MIT
"""A small GPT: fastinit writes its first checkpoint, transformers loads it, torch trains it.

    python examples/small_gpt.py [--steps 60]

It needs torch and transformers.  The text is Python's own help, byte by byte.  The model is trained
twice from the same checkpoint: on one machine, with one thread, every bit is the same.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pydoc_data.topics import topics

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import fastinit as fi

LENGTH, BATCH = 64, 16
TEXT = torch.tensor(list(" ".join(topics.values()).encode()))  # half a million bytes, the tokens

CONFIG = GPT2Config(
    vocab_size=256,
    n_positions=LENGTH,
    n_embd=64,
    n_layer=2,
    n_head=4,
    architectures=["GPT2LMHeadModel"],
    bos_token_id=0,
    eos_token_id=0,
    resid_pdrop=0.0,
    embd_pdrop=0.0,
    attn_pdrop=0.0,
)


def trained(folder: str, steps: int) -> tuple[torch.nn.Module, list[float]]:
    """The model of a checkpoint after so many steps of Adam, and the loss at each."""
    model = GPT2LMHeadModel.from_pretrained(folder).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    places = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        starts = places.integers(0, len(TEXT) - LENGTH, BATCH)
        batch = torch.stack([TEXT[start : start + LENGTH] for start in starts])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def digest(model: torch.nn.Module) -> str:
    """Of all parameters."""
    found = hashlib.sha256()
    for parameter in model.parameters():
        found.update(parameter.detach().numpy())
    return found.hexdigest()[:16]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        done = fi.write(CONFIG, folder, seed=0)  # a folder that from_pretrained loads
        print(f"{fi.plan(folder).parameters:,} parameters in {', '.join(done.files)}")
        (model, losses), (again, _) = (trained(folder, options.steps) for _ in range(2))
    print(f"loss {losses[0]:.3f} before training, {losses[-1]:.3f} after {options.steps} steps")
    print(f"digest of the trained weights {digest(model)}, of a second run {digest(again)}")
