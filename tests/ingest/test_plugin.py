"""The page about adding a source, followed word by word: a distribution of its own adds one, nothing else changes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from terracube.stac import Catalog


@pytest.fixture
def plugin(repository: Path, tmp_path: Path) -> Path:
    """The example of the page, as an installed distribution."""
    page = (repository / "docs/adding-a-source.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```(yaml|python|toml)\n(.*?)```", page, re.DOTALL))
    site = tmp_path / "site"
    files = {
        "terracube_soil/__init__.py": "",
        "terracube_soil/sources/__init__.py": "",
        "terracube_soil/sources/soil-moisture.yaml": blocks["yaml"],
        "terracube_soil/reader.py": blocks["python"],
        "terracube_soil-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: terracube-soil\nVersion: 1\n",
        "terracube_soil-1.dist-info/entry_points.txt": blocks["toml"]
        .replace('[project.entry-points."terracube.sources"]', "[terracube.sources]")
        .replace('"', ""),
    }
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return site


def _run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "terracube.cli.main", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_example_of_the_page(plugin: Path, tmp_path: Path) -> None:
    """It is listed, takes a delivery in, and refuses one that does not tell its unit."""
    values = np.arange(64 * 64, dtype="int16").reshape(64, 64)
    values[:8] = -1
    for name, about in (
        ("20240305", "time=2024-03-05T06:00:00Z\nunit=%\n"),
        ("20240306", "time=2024-03-06T06:00:00Z\n"),
    ):
        folder = tmp_path / "in" / f"{name}.soil"
        folder.mkdir(parents=True)
        (folder / "about.txt").write_text(about)
        options = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "int16", "crs": "EPSG:32633"}
        place = Affine(100, 0, 500000, 0, -100, 5200000)
        with rasterio.open(folder / "moisture.tif", "w", transform=place, **options) as target:
            target.write(values, 1)
    root = tmp_path / "catalog"
    Catalog.create(root)
    listed = _run(plugin, "sources", "soil-moisture")
    assert "Soil moisture of the example agency" in listed.stdout
    assert "unverified on real data" in listed.stdout
    done = _run(plugin, "ingest", "soil-moisture", str(tmp_path / "in"), "--into", str(root), "--json")
    told = json.loads(done.stdout)
    assert told["taken"] == ["20240305"], told
    assert "unit is not told" in told["refused"][0]["reason"]
    assert done.returncode == 3
    item = Catalog.open(root).get("20240305")
    with rasterio.open(Path(item.assets["moisture"].get_absolute_href() or "")) as raster:
        assert np.array_equal(raster.read(1), values)
        assert (raster.nodata, raster.scales, raster.units) == (-1, (0.01,), ("%",))
