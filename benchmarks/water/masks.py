"""What the water masks reach and what they cost.

Scores: the published observation flags of a Landsat 8 tile of Water Observations from Space (all eight bits where there
are values, the bit for water on all pixels without the nodata bit), and the truth of simulated regions: intersection
over union of the lake, whole, and with all but a twentieth of its pixels taken away, those of the shore too.

Cost: CPU seconds per million pixels in memory (best of several, compiled before), beside the same decision tree in
plain numpy.

    python benchmarks/water/masks.py --data ../shared/data --out benchmarks/results/water-masks.json

The data folder is that of the variable TERRACUBE_DATA unless given; without it, the tile is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.cubes import Grid
from terracube.cubes.layout import georeference
from terracube.ingest.simulate import Region
from terracube.ingest.simulate.surface import Cover
from terracube.processing.water.masks import mask, shore_distance, water_indices

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
CONTESTANTS: dict[str, dict[str, Any]] = {
    "wofs": {"method": "wofs"},
    **{f"indices {name}": {"method": "indices", "index": name} for name in water_indices()},
    "cluster": {"method": "cluster"},
}
DATES = ("2023-03-15", "2023-06-13", "2023-09-11", "2023-12-10")
SEEDS = (11, 12, 13)
SIDE = 1000


def tile(data: Path) -> dict[str, Any]:
    """Compare with the published flags of the tile."""
    with xr.open_dataset(data / "sample_c3_sr.nc") as stored, xr.open_dataset(data / "sample_wofl.nc") as flags:
        names = {"blue": "blue", "green": "green", "red": "red", "nir": "nir", "swir_1": "swir16", "swir_2": "swir22"}
        bands = {role: stored[f"nbart_{name}"].load() for name, role in names.items()}
        fmask, published = stored["oa_fmask"].load(), flags["water"].values.astype(np.uint8)
    cube = xr.Dataset({role: band.where(band != -999) / 10_000 for role, band in bands.items()})
    found = mask(cube, cloud=fmask == 2, cloud_shadow=fmask == 3, grow=0)
    own, observed = (found["flags"].values & 255).astype(np.uint8), (published & 1) == 0
    valued = observed & np.isfinite(cube["blue"].values)
    return {
        "pixels without the nodata bit": int(observed.sum()),
        "of these equal in water": int(((own & 128) == (published & 128))[observed].sum()),
        "pixels with values": int(valued.sum()),
        "of these equal in all bits": int((own == published)[valued].sum()),
    }


def region(seed: int, day: str, size: int = 180) -> tuple[xr.Dataset, NDArray[np.float32]]:
    """Give the true reflectance of a simulated region, and how much of a pixel is water."""
    simulated = Region(seed=seed, size=size)
    bands = {name: (("y", "x"), simulated.reflectance(name, day)) for name in BANDS}
    grid = Grid.from_affine(f"EPSG:{simulated.epsg}", simulated.transform(), (size, size))
    return georeference(xr.Dataset(bands), grid), simulated.land.share(Cover.WATER)


def simulated() -> dict[str, dict[str, float]]:
    """Score each method on all simulated regions and dates: the least intersection over union."""
    scores: dict[str, dict[str, list[float]]] = {name: {"whole": [], "a twentieth": []} for name in CONTESTANTS}
    for seed in SEEDS:
        for day in DATES:
            cube, share = region(seed, day)
            truth, kept = share > 0.5, (share == 0) | (np.random.default_rng(seed).random(share.shape) < 0.05)
            for name, options in CONTESTANTS.items():
                scores[name]["whole"].append(overlap(mask(cube, **options), truth))
                scores[name]["a twentieth"].append(overlap(mask(cube.where(kept), **options), truth & kept))
    return {name: {case: min(values) for case, values in cases.items()} for name, cases in scores.items()}


def overlap(found: xr.Dataset, truth: NDArray[np.bool_]) -> float:
    """Give the intersection over the union of water where something was seen."""
    seen = found["water"].values != 255
    wet = found["water"].values == 1
    return float((wet & truth).sum() / ((wet | truth) & seen).sum())


def in_numpy(cube: xr.Dataset) -> NDArray[np.bool_]:
    """Write the tree of Water Observations from Space in plain numpy, branch by branch."""
    blue, green, red, nir, swir1, swir2 = (cube[name].values * 10_000 for name in BANDS)
    ndi52, ndi43 = (swir1 - green) / (swir1 + green), (nir - red) / (nir + red)
    ndi72 = (swir2 - green) / (swir2 + green)
    dark = np.where(ndi72 > -0.23, blue <= 379, (ndi43 <= 0.22) | (blue <= 473))
    bright = np.where(blue > 1400.5, ndi43 <= -0.01, dark)
    left = (blue <= 2083.5) & np.where(swir2 <= 323.5, ndi43 <= 0.61, bright)
    near = (blue <= 334.5) & (ndi43 <= 0.54) & ((ndi52 <= 0.12) | (blue <= np.where(red <= 364.5, 129.5, 300.5)))
    far = (ndi52 <= 0.34) & (blue <= 129.5) & (ndi43 <= 0.45) & (red <= 364.5)
    return np.where(ndi52 <= -0.01, left, np.where(ndi52 <= 0.23, near, far))


def costs() -> dict[str, float]:
    """Measure CPU seconds per million pixels."""
    cube, _ = region(11, DATES[1], size=300)
    repeats = -(-SIDE // 300)
    bands = {name: (("y", "x"), np.tile(cube[name].values, (repeats, repeats))[:SIDE, :SIDE]) for name in BANDS}
    large = georeference(xr.Dataset(bands), Grid.from_affine("EPSG:32633", Region().transform(), (SIDE, SIDE)))
    water = mask(large)["water"]
    cloud = xr.DataArray(np.random.default_rng(0).random((SIDE, SIDE)) < 0.001, dims=("y", "x"))
    jobs: dict[str, Callable[[], Any]] = {
        "numpy, tree alone": lambda: in_numpy(large),
        "wofs, clouds grown": lambda: mask(large, cloud=cloud),
        "distance to the shore, 1 km": lambda: shore_distance(water),
        **{name: partial(mask, large, **options) for name, options in CONTESTANTS.items()},
    }
    return {name: best(job) * 1e6 / SIDE**2 for name, job in jobs.items()}


def best(job: Callable[[], Any], times: int = 5) -> float:
    """Give the least CPU seconds of several calls, after one that compiles."""
    job()
    taken = []
    for _ in range(times):
        start = time.process_time()
        job()
        taken.append(time.process_time() - start)
    return min(taken)


def main() -> None:
    """Score, measure, print, and write what was found."""
    parser = argparse.ArgumentParser(description="Score and time the water masks.")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TERRACUBE_DATA", "../shared/data")))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder = options.data / "water" / "wofs"
    report: dict[str, Any] = {
        "tile": tile(folder) if folder.is_dir() else f"left out: {folder} is absent",
        "least intersection over union, simulated": simulated(),
        "CPU s per Mpx": costs(),
    }
    print(json.dumps(report, indent=2))
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
