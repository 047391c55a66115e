"""Compiling ahead: what the chains of deformation need is there after a warm-up."""

from __future__ import annotations

import pytest

from terracube.processing import warmup
from terracube.processing.kernels import inversion, offsets


@pytest.mark.slow
def test_warmup_compiles_what_deformation_needs() -> None:
    """After a warm-up the kernels are compiled, and a second one compiles nothing."""
    warmup([], deformation=True)
    assert inversion.invert_pixels.signatures
    assert offsets.invert_offsets.signatures
    before = len(inversion.invert_pixels.signatures), len(offsets.invert_offsets.signatures)
    warmup([], deformation=True)
    assert (len(inversion.invert_pixels.signatures), len(offsets.invert_offsets.signatures)) == before
