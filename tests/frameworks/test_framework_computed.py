# SPDX-License-Identifier: MIT
"""Elements that models compute, beside the rows of docs/frameworks.md about them.

Tables are compared with the originals' to the rounding of their arithmetic, draws by
Kolmogorov-Smirnov tests at fixed seeds, norms with PyTorch's of the same tensor.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from framework_page import schemes_in, table
from scipy import stats

import fastinit as fi

pytestmark = pytest.mark.frameworks

HEADING = "Elements that are computed"
SIZES = {"l": 2, "L": 5}


def schemes(model: str, tensor: str = "") -> list[fi.Scheme]:
    """The schemes of the page's rows about a model's tensor."""
    found = [
        fi.scheme(schemes_in(cells[2])[0], SIZES)
        for cells in table(HEADING)
        if f"**{model}**" in cells[0] and tensor in cells[1]
    ]
    assert found, (model, tensor)
    return found


def drawn(scheme: fi.Scheme, shape: tuple[int, ...]) -> np.ndarray:
    return fi.array(shape, scheme, seed=0, name="w")


@pytest.fixture(scope="module")
def transformers(torch):
    return pytest.importorskip("transformers")


def test_every_row_is_a_scheme_that_a_file_can_hold():
    for cells in table(HEADING):
        (text,) = schemes_in(cells[2])
        scheme = fi.scheme(text, SIZES)
        assert fi.scheme(str(scheme)) == scheme
        assert not re.search(r"\b[lL]\b", str(scheme).replace("'halves'", ""))


def test_the_sinusoids_are_the_models(torch, transformers):
    from transformers.models.m2m_100.modeling_m2m_100 import M2M100SinusoidalPositionalEmbedding
    from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding
    from transformers.models.pegasus.modeling_pegasus import PegasusSinusoidalPositionalEmbedding
    from transformers.models.speecht5.modeling_speecht5 import (
        SpeechT5ScaledPositionalEncoding,
        SpeechT5SinusoidalPositionalEmbedding,
    )
    from transformers.models.whisper.modeling_whisper import sinusoids
    from transformers.models.xlm.modeling_xlm import create_sinusoidal_embeddings

    (whisper,), (marian,), (xlm,) = schemes("Whisper"), schemes("Marian"), schemes("XLM")
    scaled, speech = schemes("SpeechT5", "pe"), schemes("SpeechT5", "2 rows")
    for rows, width in ((50, 16), (7, 64)):
        ours = drawn(whisper, (rows, width))
        np.testing.assert_allclose(ours, sinusoids(rows, width).numpy(), atol=2e-5)
        (m2m,) = schemes("M2M100")
        for kind in (M2M100SinusoidalPositionalEmbedding, SpeechT5SinusoidalPositionalEmbedding):
            theirs = kind.get_embedding(rows, width, 1).numpy()
            np.testing.assert_allclose(drawn(m2m, (rows, width)), theirs, atol=2e-5)
    assert speech == [m2m]
    theirs = M2M100SinusoidalPositionalEmbedding.get_embedding(9, 11, 1).numpy()
    np.testing.assert_allclose(drawn(m2m, (9, 11)), theirs, atol=2e-6)
    for rows, width in ((50, 16), (9, 11)):
        for kind in (MarianSinusoidalPositionalEmbedding, PegasusSinusoidalPositionalEmbedding):
            theirs = kind(rows, width).create_weight().numpy()
            assert np.abs(drawn(marian, (rows, width)) - theirs).max() < 1e-7
        theirs = create_sinusoidal_embeddings(rows, width, torch.empty(rows, width)).numpy()
        assert np.abs(drawn(xlm, (rows, width)) - theirs).max() < 1e-7
    theirs = SpeechT5ScaledPositionalEncoding(0.0, 16, 50).pe.numpy()
    np.testing.assert_allclose(drawn(scaled[0], theirs.shape), theirs, atol=2e-5)


def test_the_logarithms_of_state_space_models(torch, transformers):
    (scheme,) = schemes("Mamba", "A_log, (intermediate")
    config = transformers.MambaConfig(hidden_size=32, num_hidden_layers=1, vocab_size=64)
    state = transformers.MambaForCausalLM(config).state_dict()
    (name,) = [name for name in state if name.endswith("A_log")]
    theirs = state[name].numpy()
    np.testing.assert_allclose(drawn(scheme, theirs.shape), theirs, rtol=3e-7)
    config = transformers.Mamba2Config(
        hidden_size=32, num_heads=8, head_dim=8, num_hidden_layers=1, vocab_size=64, n_groups=1
    )
    state = transformers.Mamba2ForCausalLM(config).state_dict()
    (name,) = [name for name in state if name.endswith("A_log")]
    np.testing.assert_allclose(drawn(schemes("Mamba-2")[0], (8,)), state[name].numpy(), rtol=3e-7)


COUNT = 4000


def alike(scheme: fi.Scheme, theirs: np.ndarray) -> bool:
    """Whether two samples may be of one distribution; false once in 10^4 at random."""
    return float(stats.ks_2samp(drawn(scheme, (COUNT,)), theirs.reshape(-1)).pvalue) > 1e-4


def test_the_draws_of_state_space_models(torch, transformers):
    torch.manual_seed(0)
    config = transformers.MambaConfig(hidden_size=COUNT // 2, num_hidden_layers=1, vocab_size=8)
    state = transformers.MambaForCausalLM(config).state_dict()
    (name,) = [name for name in state if name.endswith("dt_proj.bias")]
    (scheme,) = schemes("Mamba", "dt_proj.bias")
    assert alike(scheme, state[name].numpy())
    assert not alike(fi.scheme("inverse_softplus_log_uniform(0.001, 0.05)"), state[name].numpy())
    (qwen,) = schemes("Qwen3-Next")
    assert alike(qwen, torch.empty(COUNT).uniform_(0.01, 16).log_().numpy())
    (rglru,) = schemes("RecurrentGemma")
    theirs = torch.empty(COUNT).uniform_(0.9**2 + 1e-8, 0.999**2 + 1e-8)
    theirs.log_().mul_(0.5).neg_().exp_().sub_(1.0).log_()
    assert alike(rglru, theirs.numpy())
    assert not alike(rglru, theirs.numpy() + 0.1)


def test_the_tables_of_rwkv(torch, transformers):
    config = transformers.RwkvConfig(
        hidden_size=32, num_hidden_layers=5, vocab_size=64, attention_hidden_size=32
    )
    state = transformers.RwkvForCausalLM(config).state_dict()
    for tensor in ("time_decay", "time_mix_key"):
        (scheme,) = schemes("RWKV", tensor)
        (name,) = [n for n in state if n.endswith(f"blocks.2.attention.{tensor}")]
        theirs = state[name].numpy()
        np.testing.assert_allclose(drawn(scheme, theirs.shape), theirs, rtol=1e-6)


@pytest.mark.parametrize(("dim", "axes"), [(0, 0), (1, 1), (2, 2), (None, ())])
def test_the_magnitudes_of_weight_norm(torch, dim, axes):
    shape = (6, 4, 3)
    (row,) = schemes("weight_norm")
    v = dict(row.arguments)["init"]
    of = "conv.parametrizations.weight.original1"
    conv = torch.nn.Conv1d(4, 6, 3)
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(fi.array(shape, v, seed=5, name=of)))
    conv = torch.nn.utils.parametrizations.weight_norm(conv, dim=dim)
    theirs = conv.parametrizations.weight.original0.detach().numpy()
    scheme = fi.schemes.norms_of(of, shape, axes, v)
    ours = fi.array(theirs.shape, scheme, seed=5, name="g")
    np.testing.assert_allclose(ours, theirs, rtol=3e-7)
    if dim == 0:
        assert scheme == row
    with pytest.warns(FutureWarning):
        old = torch.nn.utils.weight_norm(torch.nn.Conv1d(4, 6, 3), dim=dim)
    assert tuple(old.weight_g.shape) == ours.shape
