"""Make the seeded year of the land-cover benchmark: a cube on disk, and a forest trained on some of its pixels.

Forty dates, ten bands (uint16), 30 % cloud, 23 classes whose seasons differ, as one Zarr group below
``benchmarks/data/``; beside it a random forest of scikit-learn on the filled bands and three indices at 37 dates.

    python benchmarks/landcover/data.py --case chain-2048
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from peer_xarray_sklearn import BANDS, features

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
VERSION, SEED = 1, 20180101
DATES, CLASSES, CHUNK = 40, 23, 256
SIZES = {"chain-512": 512, "chain-1024": 1024, "chain-2048": 2048}
TREES, DEPTH, SAMPLES, WRONG = 200, 25, 6_000, 0.2


def days() -> NDArray[np.int64]:
    """Return the days of the year that were seen: irregular, as two satellites with gaps give them."""
    return np.sort(np.random.default_rng(SEED).choice(365, DATES, replace=False))


def seasons() -> NDArray[np.float32]:
    """Return the reflectance of each class, (date, band, class): a level, a rise and fall, and when."""
    rng = np.random.default_rng([SEED, 1])
    level = rng.uniform(0.03, 0.25, (len(BANDS), CLASSES))
    rise = rng.uniform(-0.1, 0.25, (len(BANDS), CLASSES))
    peak, width = rng.uniform(90, 280, CLASSES), rng.uniform(25, 80, CLASSES)
    bump = np.exp(-(((days()[:, None] - peak) / width) ** 2))
    return np.clip(level + rise * bump[:, None, :], 0.005, 0.9).astype(np.float32)


def patches(size: int, cells: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return one number for each pixel, the same in square fields."""
    side = max(1, size // cells)
    field = rng.integers(0, 1 << 30, (size // side + 1, size // side + 1))
    return np.repeat(np.repeat(field, side, 0), side, 1)[:size, :size]


def make(folder: Path, size: int) -> None:
    """Write the cube, date by date."""
    rng = np.random.default_rng([SEED, 2])
    classes = patches(size, 64, rng) % CLASSES
    root = zarr.create_group(str(folder / "cube.zarr"), attributes={"days": days().tolist()})
    shape, chunks = (DATES, size, size), (DATES, CHUNK, CHUNK)
    layers = {
        name: root.create_array(name, shape=shape, chunks=chunks, dtype=dtype, dimension_names=("time", "y", "x"))
        for name, dtype in (*((band, "uint16") for band in BANDS), ("clear", "uint8"))
    }
    clear = layers["clear"]
    truth = seasons()
    clouds = np.stack([patches(size, 24, rng) % 10 < 3 for _ in range(DATES)])
    for top in range(0, size, CHUNK):
        rows = slice(top, top + CHUNK)
        clear[:, rows] = ~clouds[:, rows]
        for number, name in enumerate(BANDS):
            values = truth[:, number][:, classes[rows]]
            noisy = values + rng.normal(0, 0.02, values.shape).astype(np.float32)
            noisy[clouds[:, rows]] += 0.4
            layers[name][:, rows] = np.rint(np.clip(noisy, 1e-4, 1) * 10_000).astype("uint16")
    train(folder, root, classes)


def train(folder: Path, root: zarr.Group, classes: NDArray[np.int64]) -> None:
    """Fit the forest on pixels of the first rows of chunks."""
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng([SEED, 3])
    rows = slice(0, CHUNK)
    cube = np.stack([root[name][:, rows] for name in BANDS], axis=1).reshape(DATES, len(BANDS), -1)
    clear = root["clear"][:, rows].reshape(DATES, -1) == 1
    chosen = rng.choice(cube.shape[2], min(SAMPLES, cube.shape[2]), replace=False)
    found, _ = features(cube[:, :, chosen].astype(np.float32) / 10_000, clear[:, chosen], days())
    labels = classes[rows].ravel()[chosen] + 1
    # As in databases of real samples, some labels are wrong: that is what makes trees deep.
    wrong = rng.uniform(size=len(labels)) < WRONG
    labels[wrong] = rng.integers(1, CLASSES + 1, int(wrong.sum()))
    good = np.isfinite(found).all(axis=1)
    forest = RandomForestClassifier(TREES, max_depth=DEPTH, n_jobs=-1, random_state=0).fit(found[good], labels[good])
    with (folder / "forest.pickle").open("wb") as file:
        pickle.dump(forest, file)  # as scikit-learn's users store models; ours are stored without


def main() -> None:
    """Print the folder of a case as JSON, after making it if it is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=sorted(SIZES), required=True)
    case = parser.parse_args().case
    folder = DATA / f"landcover-{case}-v{VERSION}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"making {folder.name}", file=sys.stderr)
        make(folder, SIZES[case])
        (folder / "done").touch()
    print(json.dumps({"folder": str(folder), "size": SIZES[case]}))


if __name__ == "__main__":
    main()
