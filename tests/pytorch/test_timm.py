# SPDX-License-Identifier: MIT
"""Models of timm: each tensor as its constructor makes it on a CPU."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")

from originals import original  # noqa: E402 - only where torch is
from torch_samples import assert_as_pytorch_makes  # noqa: E402

QUICK = """
test_vit test_resnet test_convnext test_efficientnet convnext_atto mixer_s32_224
eva02_tiny_patch14_224 swin_tiny_patch4_window7_224
"""
"""One of each way in which timm draws: torch's functions, its own truncated normals, masks."""
SLOW = """
convnextv2_atto regnetx_002 mobilenetv3_small_050 mobilenetv4_conv_small gmlp_ti16_224
cait_xxs24_224 coat_lite_tiny levit_128s mobilevit_xxs mobilevitv2_050 convit_tiny pit_ti_224
pvt_v2_b0 edgenext_xx_small ghostnet_050 starnet_s1 mambaout_femto repvgg_a0 rexnet_100
fastvit_t8 vit_tiny_patch16_224 xcit_nano_12_p16_224
"""
LARGE = """
deit3_small_patch16_224 beit_base_patch16_224 beitv2_base_patch16_224 swinv2_tiny_window8_256
swinv2_cr_tiny_224 resnet18 resnet50d resnetv2_50 regnety_002 efficientnet_b0 resmlp_12_224
coatnet_nano_rw_224 maxvit_nano_rw_256 poolformer_s12 volo_d1_224 nfnet_l0 dm_nfnet_f0
hiera_tiny_224 crossvit_tiny_240 twins_pcpvt_small visformer_tiny davit_tiny efficientformer_l1
focalnet_tiny_srf gcvit_xxtiny hgnet_tiny hrnet_w18_small inception_v3 caformer_s18 mvitv2_tiny
nest_tiny nextvit_small sequencer2d_s xception41 vitamin_small_224 rdnet_tiny
samvit_base_patch16_224 naflexvit_base_patch16_gap halonet26t botnet26t_256 lambda_resnet26t
densenet121 dla34 vit_relpos_small_patch16_224 vit_small_patch16_rope_224
vit_base_patch16_siglip_224 csatv2 flexivit_small
"""
"""They take a quarter of an hour: FASTINIT_MODELS=all pytest --slow tests/pytorch/test_timm.py"""

ALL = os.environ.get("FASTINIT_MODELS") == "all"


@pytest.mark.parametrize("name", QUICK.split())
def test_a_small_model_is_made_as_timm_makes_it(name):
    timm = original("timm", "timm")
    assert_as_pytorch_makes(lambda: timm.create_model(name, num_classes=10), 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", (SLOW + LARGE if ALL else SLOW).split())
def test_a_model_is_made_as_timm_makes_it(name):
    timm = original("timm", "timm")
    assert_as_pytorch_makes(lambda: timm.create_model(name, num_classes=10), 3)
