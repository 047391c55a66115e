"""The pages on water: the code runs, names are registered, and the reference is what the package says of itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from terracube.processing import water
from terracube.processing.water import lakes, matchups, reference
from terracube.processing.water.asking import WaterParameters

DOCS = Path(__file__).parents[3] / "docs"
PAGE, REFERENCE = DOCS / "water.md", DOCS / "water-retrievals.md"


def blocks() -> list[str]:
    """Give the Python blocks of the page."""
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(code: str) -> dict[str, Any]:
    """Run a block by itself, and give the names it leaves."""
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def test_the_way_from_scenes_to_scores_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lake on some dates, seen and measured; the one measurement is compared."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    names = run(blocks()[0])
    table, pairs = names["table"], names["pairs"]
    assert len(table) == 3
    assert (table.status == "ok").any()
    good = table[table.status == "ok"]
    assert good.spm_blend_median.between(2, 20).all()
    assert (good.spm_blend_error > 0).all()
    assert pairs.used.tolist() == [True]
    assert float(pairs.estimate.iloc[0]) == pytest.approx(5, rel=0.6)


def test_quantities_are_converted() -> None:
    """The same spectra give the same product, declared as one quantity or the other."""
    names = run(blocks()[1])
    ours = [water.retrieve("spm_blend", names[name]).spm_blend.values for name in ("mine", "rhow")]
    np.testing.assert_allclose(*ours, rtol=1e-6)


def test_no_block_is_left_out() -> None:
    """All blocks are run by a test above."""
    assert len(blocks()) == 2


def test_the_reference_is_what_is_registered() -> None:
    """Write it anew with ``python -m terracube.processing.water.reference > docs/water-retrievals.md``."""
    assert REFERENCE.read_text(encoding="utf-8") == reference.page()


def test_the_reference_names_every_retrieval_once() -> None:
    """Each has one row, in a section of its own and none under a title of last resort."""
    text = REFERENCE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*?`(\w+)`\*? \|", text, re.MULTILINE)
    assert sorted(rows) == sorted(water.retrieval_names())
    assert "## Others" not in text
    assert "none yet" not in text


def test_products_that_are_named_are_registered() -> None:
    """What looks like the name of a product is one."""
    text = PAGE.read_text(encoding="utf-8")
    words = ("spm", "turbidity", "chl", "secchi", "kd490", "cdom", "owt", "cyano", "tsi", "hue", "forel", "a443")
    named = set(re.findall(rf"\b(?:{'|'.join(words)})_\w+", re.sub(r"_(median|error)\b", "", text)))
    assert named <= set(water.retrieval_names())
    assert len(named) > 20


def test_parameters_and_functions_are_there() -> None:
    """Every parameter of the chain has its row, and functions that are named exist."""
    text = PAGE.read_text(encoding="utf-8")
    missing = [name for name in WaterParameters.model_fields if name != "bands" and f"`{name}`" not in text]
    assert not missing
    for name in re.findall(r"`water\.(\w+)\(?", text):
        assert name in water.__all__ or name in ("shoreline", "transects", "flux"), name
    for name in ("strips", "anomaly", "fit_hypsometry", "volume_change", "storage_series", "picture", "overview"):
        assert f"`{name}`" in text
        assert name in lakes.__all__
    assert "gates" in matchups.__all__
