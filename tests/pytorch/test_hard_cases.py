# SPDX-License-Identifier: MIT
"""Single lines of constructors, as PyTorch runs them and as `deferred` records them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")

import torch_snippets  # noqa: E402 - only where torch is
from torch_samples import assert_as_pytorch_makes, materialised  # noqa: E402
from torch_snippets import Holder  # noqa: E402

from fastinit.errors import ModuleError  # noqa: E402


@pytest.mark.parametrize("make", torch_snippets.COMPUTED.values(), ids=torch_snippets.COMPUTED)
def test_what_is_computed_is_equal(make):
    assert_as_pytorch_makes(lambda: Holder(make), 2)


@pytest.mark.parametrize("make", torch_snippets.DRAWN.values(), ids=torch_snippets.DRAWN)
def test_what_is_drawn_has_pytorchs_distribution(make):
    assert_as_pytorch_makes(lambda: Holder(make), 60)


@pytest.mark.parametrize(
    ("make", "why"), torch_snippets.REFUSED.values(), ids=torch_snippets.REFUSED
)
def test_what_has_no_scheme_is_an_error(make, why):
    with pytest.raises(ModuleError, match=why) as caught:
        materialised(lambda: Holder(make), 0)
    assert "torch_snippets.py:" in str(caught.value) or "memory" in why
