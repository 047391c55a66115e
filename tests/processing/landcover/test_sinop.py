"""A map from real MODIS scenes and real labelled series, beside a map that another tool published."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from terracube.processing.landcover import classify


@pytest.fixture(scope="module")
def sinop(data_dir: Path) -> Any:
    """The functions of the comparison, and the map of a small forest."""
    folder = data_dir / "landcover"
    bench = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "landcover" / "sinop.py")))
    model = bench.learn(folder, bench.HOW.model_copy(update={"trees": 60})).model
    cube = bench.scenes(folder)
    maps = classify(cube, model, year=2013).compute()
    found = bench.compare(maps, folder)
    return SimpleNamespace(bench=bench, folder=folder, model=model, cube=cube, maps=maps, found=found)


def test_the_scenes_are_one_season(sinop: Any) -> None:
    """Twelve scenes of one grid; what the product calls fill is missing, and every pixel is clear on most dates."""
    index = sinop.cube["NDVI"]
    assert index.shape == (12, 147, 255)
    assert np.nanmin(index.values) >= -0.2
    assert np.nanmax(index.values) <= 1
    assert 0 < np.isnan(index.values).mean() < 0.01
    validity = sinop.maps["validity"].values
    np.testing.assert_array_equal(validity, np.isfinite(index.values).sum(axis=0))


def test_the_labelled_points_are_recognised(sinop: Any) -> None:
    """Of the twelve labelled points that both maps hold, this map has at least eleven right, and the other eight."""
    at = sinop.bench.points(sinop.maps, sinop.folder)
    both = at[at["other"] != ""]
    assert (len(at), len(both)) == (18, 12)
    assert (both["own"] == both["label"]).sum() >= 11
    assert (both["other"] == both["label"]).sum() == 8


def test_natural_and_used_land_agree_with_the_other_map(sinop: Any) -> None:
    """Where the other map is sure, forest and savanna against pasture and crops: the same for more than nine of ten."""
    found = sinop.found
    assert found.own.shape == found.other.shape == (42, 50)
    assert found.sure.sum() == 1871
    assert found.agreement((1, 1, 2, 2)) > 0.91


def test_the_four_classes_differ_from_the_other_map_as_told(sinop: Any) -> None:
    """Nearly all differences are edges of forest, here savanna, and fields that the other map calls pasture."""
    table = sinop.found.table()
    counts = table.to_numpy()
    assert counts.sum() == 1871
    assert np.trace(counts) / 1871 == pytest.approx(sinop.found.agreement())
    assert 0.5 < sinop.found.agreement() < 0.95
    told = table.loc["Forest", "Cerrado"] + table.loc["Pasture", "Soy_Corn"]
    assert told > 0.75 * (1871 - np.trace(counts))
    # What the other map calls crops is hardly ever anything else here.
    assert table.loc["Soy_Corn", "Soy_Corn"] > 0.95 * table.loc["Soy_Corn"].sum()


def test_comparing_a_map_with_itself(sinop: Any) -> None:
    """A map that holds the other map's classes agrees everywhere: pixels are put under the right ones."""
    codes, _ = sinop.bench.other_map(sinop.folder)
    grown = codes.sel(y=sinop.maps["y"], x=sinop.maps["x"], method="nearest")
    same = xr.Dataset({"class": grown.assign_coords(y=sinop.maps["y"], x=sinop.maps["x"])})
    assert sinop.bench.compare(same, sinop.folder).agreement() == 1


def test_both_maps_are_drawn(sinop: Any) -> None:
    """The figure holds this map, both at the place of the other, and where they differ."""
    mpl.use("agg")
    import matplotlib.pyplot as plt

    shown = sinop.bench.figure(sinop.maps, sinop.found)
    assert len(shown.axes) == 4
    drawn = np.ma.filled(shown.axes[3].images[0].get_array().astype(float), np.nan)
    assert (drawn > 0).sum() == round((1 - sinop.found.agreement()) * 1871)
    plt.close(shown)


@pytest.mark.slow
def test_the_scenes_do_not_tell_the_other_map(sinop: Any) -> None:
    """Even a forest taught on the other map itself, from the same scenes, stays below 95 % of its sure pixels."""
    found = sinop.bench.ceiling(sinop.cube, sinop.folder)
    assert 0.80 < found["squares"] < found["pixels"] < 0.95
