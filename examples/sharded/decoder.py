# SPDX-License-Identifier: MIT
"""The model of the examples: a small stack of residual blocks between an embedding and a head.

It knows nothing of processes or of fastinit; torch initialises it as its layers do by default.
"""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """Add ``down(gelu(up(norm(x))))`` to x."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, width) -> (batch, length, width)."""
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


class Decoder(nn.Module):
    """Tokens (batch, length) -> logits (batch, length, vocabulary)."""

    def __init__(
        self, vocabulary: int = 1000, width: int = 128, hidden: int = 512, depth: int = 4
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, hidden) for _ in range(depth))
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of the next token at each place."""
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)
