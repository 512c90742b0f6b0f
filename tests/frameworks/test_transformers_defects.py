# SPDX-License-Identifier: MIT
"""What transformers itself loses or does not mean, in the versions that its page names.

The page is docs/howto/transformers.md; docs/defects.md lists the defects.  A test that fails shows
that transformers mended something.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from architecture_checks import built, made  # noqa: E402 - only where torch is
from small_models import ARCHITECTURES  # noqa: E402
from torch_samples import tensors_of  # noqa: E402

POSITIONS = {r"\.pos_conv_embed\.conv\.parametrizations\.weight\.original[01]"}
LOST: dict[str, set[str]] = {
    "altclip": {"logit_scale"},
    "apertus": {r"\.act_fn\.(alpha_p|alpha_n|beta|eps)"},
    "chinese_clip": {"logit_scale"},
    "clip": {"logit_scale"},
    "clipseg": {"logit_scale"},
    "data2vec-text": {r"lm_head\.(decoder\.)?bias"},
    "fnet": {r"cls\.predictions\.(decoder\.)?bias"},
    "hubert": POSITIONS,
    "imagegpt": {r"\.c_(attn|fc)\.weight", r"\.c_(attn|fc|proj)\.bias"},
    "levit": {r"\.attention_biases"},
    "longformer": {r"lm_head\.(decoder\.)?bias"},
    "luke": {r"entity_predictions\.bias"},
    "nystromformer": {r"cls\.predictions\.(decoder\.)?bias"},
    "openai-gpt": {r"\.c_(attn|fc|proj)\.(weight|bias)"},
    "perceiver": {r"embedding_decoder\.bias"},
    "regnet": {r"\.attention\.\d\.bias"},
    "sew": POSITIONS,
    "sew-d": {*POSITIONS, "masked_spec_embed"},
    "timesformer": {r"\.time_embeddings"},
    "unispeech": POSITIONS,
    "unispeech-sat": POSITIONS,
    "vit_mae": {r"embeddings\.(cls_token|position_embeddings)"},
    "wav2vec2": POSITIONS,
    "wav2vec2-conformer": POSITIONS,
    "wavlm": POSITIONS,
    "yolos": {r"\.(cls_token|detection_tokens|(mid_)?position_embeddings)"},
}
"""For each model type, the tensors that `from_pretrained` leaves uninitialised, as patterns."""


@contextmanager
def uninitialised_memory_is_nan() -> Iterator[None]:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def lost(kind):
    """The names of tensors that are left uninitialised where a checkpoint lacks them all."""
    architecture = ARCHITECTURES[kind]
    theirs = tensors_of(built(architecture, torch.float32))
    with uninitialised_memory_is_nan():
        loaded = architecture.cls.from_pretrained(
            None, config=architecture.config(), state_dict={}, dtype=torch.float32
        )
    return {
        name
        for name, tensor in tensors_of(loaded).items()
        if tensor.is_floating_point() and bool((tensor.isnan() & ~theirs[name].isnan()).any())
    }


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind == "clip" else pytest.param(kind, marks=pytest.mark.slow)
        for kind in ARCHITECTURES
    ],
)
def test_what_from_pretrained_leaves_uninitialised_is_known(kind):
    """transformers builds on meta, and only `_init_weights` fills what a checkpoint lacks."""
    found, patterns = lost(kind), LOST.get(kind, set())
    for name in found:
        assert any(re.search(f"{pattern}$", name) for pattern in patterns), name
    for pattern in patterns:
        assert any(re.search(f"{pattern}$", name) for name in found), pattern


def test_fastinit_gives_what_the_constructor_gives():
    ours, theirs = (
        tensors_of(make(ARCHITECTURES["clip"], torch.float32)) for make in (made, built)
    )
    (name,) = lost("clip")
    assert torch.equal(ours[name], theirs[name])


DEAD = "sew sew-d unispeech unispeech-sat wav2vec2 wav2vec2-conformer wavlm"


@pytest.mark.slow
@pytest.mark.parametrize("kind", DEAD.split())
def test_the_convolution_of_positions_is_not_what_its_init_says(kind):
    """`_init_weights` draws into `conv.weight`, which the parametrisation computes and discards."""
    for model in (
        built(ARCHITECTURES[kind], torch.float32),
        made(ARCHITECTURES[kind], torch.float32),
    ):
        conv = next(m.conv for n, m in model.named_modules() if n.endswith("pos_conv_embed"))
        inputs = conv.in_channels * conv.kernel_size[0]
        meant = 2 * math.sqrt(1 / inputs)
        of_constructor = math.sqrt(1 / (3 * conv.weight[0].numel()))  # kaiming_uniform, a = sqrt(5)
        assert conv.weight.std().item() == pytest.approx(of_constructor, rel=0.03)
        assert abs(conv.weight.std().item() / meant - 1) > 0.1


def test_whisper_computes_its_positions_in_the_dtype_of_the_model():
    config = ARCHITECTURES["whisper"].config()
    config.max_source_positions = 1500
    wide, narrow = (
        transformers.WhisperModel._from_config(config, dtype=dtype).encoder.embed_positions.weight
        for dtype in (torch.float32, torch.bfloat16)
    )
    differences = (wide.bfloat16().float() - narrow.float()).abs()
    assert differences.max() > 1.9
    assert (differences > 0.1).float().mean() > 0.2
