"""Real scenes, and small made-up ones whose every pixel is known."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from hypothesis import settings

from terracube.cubes import Grid, SceneSet, read_scenes
from terracube.cubes.access import forget

# No test is judged by its time.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

BANDS = ("blue", "green", "red", "nir")
ORIGIN = (500040.0, 5100000.0)


@pytest.fixture(scope="session")
def items(data_dir: Path) -> list[pystac.Item]:
    """Eight real scenes of two tiles that lie half a pixel apart, on five days."""
    found = sorted((data_dir / "sentinel2-l2a").glob("33TW[LM]/sentinel-2-l2a/*/*.json"))
    assert len(found) == 8
    return [pystac.Item.from_file(str(path)) for path in found]


@pytest.fixture(scope="session")
def real(items: list[pystac.Item]) -> SceneSet:
    """The headers of the real scenes."""
    return read_scenes(items, BANDS)


@pytest.fixture(scope="session")
def tiles(real: SceneSet) -> dict[str, Grid]:
    """The grids of the two real tiles, by name."""
    return {scene.id.split("_")[1]: scene.bands["red"].grid for scene in real.scenes}


@pytest.fixture(scope="session")
def native(tiles: dict[str, Grid]) -> Grid:
    """The grid that covers both real tiles, with the pixels of the northern one."""
    return Grid.covering(tiles.values(), like=tiles["33TWM"])


def write_raster(
    path: Path,
    values: np.ndarray,
    *,
    origin: tuple[float, float] = ORIGIN,
    pixel: float = 10.0,
    crs: Any = "EPSG:32633",
    nodata: float | None = 0,
    **options: Any,
) -> Path:
    """Write one band, or several, as a plain GeoTIFF with its north-western corner at ``origin``."""
    layers = values if values.ndim == 3 else values[None]
    profile = {
        "driver": "GTiff",
        "dtype": layers.dtype.name,
        "count": layers.shape[0],
        "height": layers.shape[1],
        "width": layers.shape[2],
        "crs": crs,
        "transform": Affine(pixel, 0, origin[0], 0, -pixel, origin[1]),
        "nodata": nodata,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **(profile | options)) as out:
        out.write(layers)
    return path


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """Write a plain GeoTIFF."""
    return write_raster


def build_scene(
    folder: Path,
    name: str,
    layers: dict[str, np.ndarray],
    *,
    when: str | None = "2023-08-15T10:00:00Z",
    bbox: Sequence[float] | None = (14.9, 45.9, 15.1, 46.1),
    pixels: dict[str, float] | None = None,
    properties: dict[str, Any] | None = None,
    asset: dict[str, Any] | None = None,
    collection: str | None = "sentinel-2-l2a",
    **raster: Any,
) -> pystac.Item:
    """Write a scene with the given layers by asset key (uint16 numbers, uint8 classes), and read its item.

    The bands carry no offset (an old processing baseline), so that value = number / 10 000.
    """
    place = folder / name
    assets = {}
    for key, values in layers.items():
        own = raster | ({"pixel": pixels[key]} if pixels and key in pixels else {})
        write_raster(place / f"{key}.tif", values, **own)
        assets[key] = {"href": f"./{key}.tif", "type": "image/tiff; application=geotiff", **(asset or {})}
    content = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": collection,
        "geometry": {"type": "Point", "coordinates": [15.0, 46.0]},
        "properties": {"datetime": when, "s2:processing_baseline": "02.14"} | (properties or {}),
        "links": [],
        "assets": assets,
    }
    if bbox is not None:
        content["bbox"] = list(bbox)
    path = place / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return pystac.Item.from_file(str(path))


@pytest.fixture(scope="session")
def build() -> Callable[..., pystac.Item]:
    """Write a scene below a folder."""
    return build_scene


@pytest.fixture
def make_scene(tmp_path: Path) -> Callable[..., pystac.Item]:
    """Write a scene below the test's folder."""

    def make(name: str, layers: dict[str, np.ndarray], **options: Any) -> pystac.Item:
        return build_scene(tmp_path, name, layers, **options)

    return make


@pytest.fixture(scope="session")
def file_servers() -> Any:
    """The module of the local HTTP server: `FileServer`, and `Fault` for what shall go wrong."""
    spec = importlib.util.spec_from_file_location("file_servers", Path(__file__).parent / "access" / "server.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def file_server(file_servers: Any) -> Iterator[Any]:
    """A local HTTP server; ``put`` bytes, or add to ``files``. What was learnt of its files is forgotten after."""
    with file_servers.FileServer() as server:
        yield server
    forget()
