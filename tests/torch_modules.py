# SPDX-License-Identifier: MIT
"""Modules whose initialisation is compared with PyTorch's own: layers, small models, hard cases."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrizations

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(300, 200),
    "linear without bias": lambda: nn.Linear(300, 200, bias=False),
    "bilinear": lambda: nn.Bilinear(20, 30, 40),
    "conv1d": lambda: nn.Conv1d(20, 40, 5),
    "conv2d": lambda: nn.Conv2d(20, 40, 3, groups=4),
    "conv3d": lambda: nn.Conv3d(8, 16, (3, 2, 1)),
    "transposed conv1d": lambda: nn.ConvTranspose1d(30, 20, 5),
    "transposed conv2d": lambda: nn.ConvTranspose2d(32, 16, 3, groups=2),
    "transposed conv3d": lambda: nn.ConvTranspose3d(8, 16, 2),
    "embedding": lambda: nn.Embedding(400, 50),
    "padded embedding": lambda: nn.Embedding(400, 50, padding_idx=7),
    "padded from the end": lambda: nn.Embedding(400, 50, padding_idx=-1),
    "embedding bag": lambda: nn.EmbeddingBag(400, 50, padding_idx=0),
    "layer norm": lambda: nn.LayerNorm((30, 4)),
    "rms norm": lambda: nn.RMSNorm(30),
    "group norm": lambda: nn.GroupNorm(3, 30),
    "batch norm": lambda: nn.BatchNorm2d(30),
    "instance norm": lambda: nn.InstanceNorm2d(30, affine=True, track_running_stats=True),
    "prelu": lambda: nn.PReLU(30),
    "rnn": lambda: nn.RNN(30, 40, num_layers=2, bidirectional=True),
    "lstm": lambda: nn.LSTM(30, 40, proj_size=20),
    "gru": lambda: nn.GRU(30, 40),
    "rnn cell": lambda: nn.RNNCell(30, 40),
    "lstm cell": lambda: nn.LSTMCell(30, 40),
    "gru cell": lambda: nn.GRUCell(30, 40),
    "attention": lambda: nn.MultiheadAttention(64, 4),
    "attention of other sizes": lambda: nn.MultiheadAttention(
        64, 4, kdim=20, vdim=30, add_bias_kv=True
    ),
    "encoder layer": lambda: nn.TransformerEncoderLayer(64, 4, 128),
    "decoder layer": lambda: nn.TransformerDecoderLayer(64, 4, 128),
    "encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 2
    ),
    "transformer": lambda: nn.Transformer(64, 4, 1, 1, 128, batch_first=True),
    "adaptive softmax": lambda: nn.AdaptiveLogSoftmaxWithLoss(40, 300, [50, 150]),
    "weight norm of old": lambda: nn.utils.weight_norm(nn.Linear(30, 40)),
    "weight norm": lambda: parametrizations.weight_norm(nn.Conv2d(20, 30, 3)),
    "weight norm of axis 1": lambda: parametrizations.weight_norm(nn.Conv2d(20, 30, 3), dim=1),
    "weight norm of one channel": lambda: parametrizations.weight_norm(nn.Conv1d(20, 1, 7)),
    "weight norm of all": lambda: parametrizations.weight_norm(nn.Linear(30, 40), dim=None),
}


class Chunks(nn.Module):
    """Query, key and value in one tensor, each by its own fans."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(300, 100))
        self.bias = nn.Parameter(torch.zeros(300))
        for part in self.weight.chunk(3):
            nn.init.xavier_uniform_(part)
        nn.init.constant_(self.bias[100:200], 0.5)


class Transposed(nn.Module):
    """An initialiser that sees the transposed weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(300, 100))
        nn.init.kaiming_normal_(self.weight.T, nonlinearity="relu")


class Scaled(nn.Module):
    """Draws that are scaled, shifted, clamped and cast."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled = nn.Parameter(torch.randn(100, 60) * 0.02)
        self.shifted = nn.Parameter(1 - torch.rand(100, 60) / 4)
        self.clamped = nn.Parameter(torch.empty(100, 60).normal_(0.1, 0.5).clamp_(-0.7, 0.6))
        self.halved = nn.Parameter(torch.empty(100, 60))
        with torch.no_grad():
            nn.init.xavier_normal_(self.halved, gain=2.0).div_(math.sqrt(3))
        self.data = nn.Parameter(torch.empty(100, 60))
        self.data.data.uniform_(-0.1, 0.3)
        self.wide = nn.Parameter(torch.randn(50, 60, dtype=torch.float64).mul(3).add(1))
        self.narrow = nn.Parameter(torch.empty(50, 60).normal_(0, 2).to(torch.bfloat16))


class Mamba(nn.Module):
    """The state-space parameters of Mamba: A_log, D and the bias of dt."""

    def __init__(self, width: int = 300, states: int = 16) -> None:
        super().__init__()
        a = torch.arange(1, states + 1, dtype=torch.float32).repeat(width, 1)
        self.A_log = nn.Parameter(torch.log(a))
        self.D = nn.Parameter(torch.ones(width))
        dt = torch.exp(torch.rand(width) * (math.log(0.1) - math.log(0.001)) + math.log(0.001))
        dt = dt.clamp(min=1e-4)
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))


class Tables(nn.Module):
    """Values that no generator makes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.6592))
        self.ramp = nn.Parameter(torch.linspace(0, 1, 30))
        self.pair = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.5]]))
        self.array = nn.Parameter(torch.from_numpy(np.arange(6, dtype="float32") / 3))
        self.eye = nn.Parameter(torch.eye(5))
        self.register_buffer("positions", torch.arange(12).expand(1, -1))
        self.register_buffer("mask", torch.tril(torch.ones(6, 6, dtype=torch.bool)))
        frequencies = 1.0 / (10000 ** (torch.arange(0, 16, 2).float() / 16))
        self.register_buffer("frequencies", frequencies, persistent=False)
        angles = torch.outer(torch.arange(20).float(), frequencies)
        self.table = nn.Parameter(torch.cat([angles.sin(), angles.cos()], -1), requires_grad=False)


class Copied(nn.Module):
    """Halves, overwritten regions and joined draws."""

    def __init__(self) -> None:
        super().__init__()
        self.joined = nn.Parameter(torch.cat([torch.zeros(50, 40), torch.randn(70, 40)]))
        self.stacked = nn.Parameter(torch.stack([torch.rand(50, 40), torch.randn(50, 40)]))
        self.columns = nn.Parameter(torch.rand(60, 50))
        with torch.no_grad():
            self.columns[:, 10:20] = 1.0
            self.columns[5] = 0
        self.last = nn.Parameter(torch.empty(60, 50))
        nn.init.normal_(self.last)
        nn.init.uniform_(self.last, -1, 1)
        q, k = torch.randn(2, 60, 50).unbind(0)
        self.q, self.k = nn.Parameter(q.clone()), nn.Parameter(k.clone())


class Truncated(nn.Module):
    """Truncated normals: PyTorch's, and what libraries copy by the inverse error function."""

    def __init__(self) -> None:
        super().__init__()
        self.torch = nn.Parameter(torch.empty(100, 60))
        nn.init.trunc_normal_(self.torch, 0.1, 0.5, -0.5, 1.0)
        self.copied = nn.Parameter(torch.empty(100, 60))
        with torch.no_grad():
            low, high = (math.erf(x / math.sqrt(2)) for x in (-1.5, 2.0))
            self.copied.uniform_(low, high).erfinv_().mul_(0.02 * math.sqrt(2)).add_(0.01)
            self.copied.clamp_(0.01 - 1.5 * 0.02, 0.01 + 2.0 * 0.02)


class Tied(nn.Module):
    """A head that shares the embedding's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(300, 40)
        self.head = nn.Linear(40, 300, bias=False)
        self.head.weight = self.embedding.weight
        self.apply(self._init_weights)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data.normal_(mean=0.0, std=0.02)


HARD: dict[str, Callable[[], nn.Module]] = {
    kind.__name__.lower(): kind
    for kind in (Chunks, Transposed, Scaled, Mamba, Tables, Copied, Truncated, Tied)
}
