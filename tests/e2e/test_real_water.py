"""Water quality of real scenes from delivery to product: OLCI by C2RCC, Landsat, Sentinel-2 with few bands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.ingest import ingest
from terracube.production import RunOptions, RunRequest, RunResult, run
from terracube.stac import Catalog


@pytest.fixture(scope="module")
def catalog(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The granule and the cube of C2RCC, and the Landsat scene."""
    found = Catalog.create(tmp_path_factory.mktemp("water") / "catalogue")
    assert not ingest("olci-c2rcc", [data_dir / "water" / "olci-northsea"], found).refused
    assert not ingest("landsat-c2-l2", [data_dir / "landsat-c2l2"], found).refused
    return found


def made(catalog: Catalog, collection: str, when: str, **parameters: object) -> RunResult:
    """Run the chain."""
    request = RunRequest(chain="water", collection=collection, datetime=when, parameters=dict(parameters))
    return run(catalog, request, RunOptions())


def layer(result: RunResult, name: str) -> NDArray[Any]:
    """Read a layer of the product."""
    assert result.item is not None
    folder = Path(str(result.item.get_self_href())).parent
    with rasterio.open(folder / f"{name}.tif") as file:
        pixels: NDArray[Any] = file.read(1)
    return pixels


def test_flags_of_c2rcc_are_honoured(catalog: Catalog) -> None:
    """A rule of bits masks in a run as it does in a cube, and the product tells which it was."""
    result = made(catalog, "olci-c2rcc", "2017-04", mask="valid")
    assert np.isfinite(layer(result, "chl_blend")).sum() == 13
    assert (layer(result, "validity") > 0).sum() == 13
    assert (layer(result, "water") == 1).sum() == 13
    assert result.item is not None
    assert "by the rule 'valid'" in result.item.properties["processing:lineage"]
    with pytest.raises(EmptyResultError, match="no clear observation is left"):
        made(catalog, "olci-c2rcc", "2017-04")


def test_flags_of_landsat_are_honoured(catalog: Catalog, data_dir: Path) -> None:
    """The quality layer says cloud or shadow everywhere: no product is made of what lies below."""
    with rasterio.open(next((data_dir / "landsat-c2l2").rglob("*QA_PIXEL.TIF"))) as file:
        assert (file.read(1) & 0b11111 > 0).all()
    for chain in ("water", "composite"):
        request = RunRequest(chain=chain, collection="landsat-c2-l2", datetime="2020")
        with pytest.raises(EmptyResultError, match="no clear observation is left"):
            run(catalog, request, RunOptions())


def test_an_unknown_rule_is_refused(catalog: Catalog) -> None:
    """The rules that there are, are named."""
    with pytest.raises(InputError, match="in_range"):
        made(catalog, "olci-c2rcc", "2017-04", mask="cleer")


def test_a_cube_without_reflectance_is_refused(catalog: Catalog) -> None:
    """The items of January hold concentrations and flags alone; each is named with the band that it lacks."""
    with pytest.raises(EmptyResultError, match="no asset for band") as told:
        made(catalog, "olci-c2rcc", "2017-01")
    assert str(told.value).count("cube-1-250-250_20170116T100921") >= 1


def test_scenes_of_four_bands(real_catalog: Catalog) -> None:
    """Without short-wave infrared nothing tells glint from water: refused; the user may say what the bands hold."""
    with pytest.raises(EmptyResultError, match="swir16"):
        made(real_catalog, "sentinel-2-l2a", "2023-08-18")
    with pytest.raises((InputError, MetadataError), match="rhow"):
        made(real_catalog, "sentinel-2-l2a", "2023-08-18", water_mask="ndwi", correction="none",
             products=["turbidity_nechad2016"])  # fmt: skip
    result = made(real_catalog, "sentinel-2-l2a", "2023-08-18", quantity="rhow", water_mask="ndwi",
                  products=["turbidity_nechad2016"])  # fmt: skip
    water, turbidity = layer(result, "water"), layer(result, "turbidity_nechad2016").astype("float64")
    assert 0.001 < (water == 1).sum() / (water != 255).sum() < 0.03
    assert np.isnan(turbidity[water != 1]).all()
    assert 1 < np.nanmedian(turbidity) < 60
