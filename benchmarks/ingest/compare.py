"""Compare what the contestants of a case wrote, so that speed is never compared for different answers.

Rasters must be equal in every pixel of full resolution, and lie in the same place; tables must hold the same
observations.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
from rasterio.windows import Window

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from ingest.cases import Case, case_of  # noqa: E402  the folder above has to be known first

ROWS = 1024
KEYS = ["variable", "station", "time", "depth", "original_value", "value"]


def rasters(one: Path, other: Path) -> dict[str, Any]:
    """Compare two rasters pixel by pixel."""
    with rasterio.open(one) as first, rasterio.open(other) as second:
        if (first.shape, first.transform, first.crs) != (second.shape, second.transform, second.crs):
            return {"same": False, "reason": "another grid"}
        for row in range(0, first.height, ROWS):
            window = Window(0, row, first.width, min(ROWS, first.height - row))
            if not np.array_equal(first.read(1, window=window), second.read(1, window=window)):
                return {"same": False, "reason": f"other pixels from row {row}"}
    return {"same": True, "told": "equal"}


def scenes(one: Path, other: Path) -> dict[str, Any]:
    """Compare the rasters of two scenes by their names."""
    files = [{path.name: path for path in sorted(folder.rglob("*.tif"))} for folder in (one, other)]
    if files[0].keys() != files[1].keys():
        return {"same": False, "reason": f"other files: {sorted(files[0])} and {sorted(files[1])}"}
    verdicts = [rasters(path, files[1][name]) for name, path in files[0].items()]
    return next((verdict for verdict in verdicts if not verdict["same"]), verdicts[0])


def observations(folder: Path) -> pd.DataFrame:
    """Read the observations below a folder, in one order."""
    parts = []
    for path in sorted(folder.rglob("*.parquet")):
        part = pd.read_parquet(path, columns=KEYS[1:], partitioning=None)
        part["variable"] = path.parent.parent.name.removeprefix("variable=")
        parts.append(part)
    whole = pd.concat(parts)[KEYS]
    texts = {name: whole[name].astype("object").fillna("").astype(str) for name in KEYS[:2] + KEYS[4:5]}
    return whole.assign(**texts).sort_values(KEYS).reset_index(drop=True)


def tables(one: Path, other: Path) -> dict[str, Any]:
    """Compare two sets of observations."""
    first, second = observations(one), observations(other)
    if len(first) != len(second):
        return {"same": False, "reason": f"{len(first)} and {len(second)} observations"}
    for name in KEYS[:-1]:
        if name == "time":
            equal = bool((first[name].dt.as_unit("us") == second[name].dt.as_unit("us")).all())
        else:
            equal = bool((first[name] == second[name]).all())
        if not equal:
            return {"same": False, "reason": f"another {name}"}
    close = np.allclose(first["value"], second["value"], rtol=1e-12, equal_nan=True)
    return {"same": True, "told": f"{len(first)} equal"} if close else {"same": False, "reason": "other values"}


def compare(case: Case, one: Path, other: Path) -> dict[str, Any]:
    """Return the verdict on two products."""
    if case.kind == "raster":
        return rasters(one / "red.tif", other / "red.tif")
    return scenes(one, other) if case.kind == "scene" else tables(one, other)


def main() -> None:
    """Print the verdict on every contestant against the first as JSON; exit code 1 if an answer differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", required=True)
    parser.add_argument("products", type=Path, nargs="+")
    options = parser.parse_args()
    first, *others = options.products
    verdicts = {other.name: compare(case_of(options.case), first, other) for other in others}
    print(json.dumps(verdicts))
    sys.exit(0 if all(verdict["same"] for verdict in verdicts.values()) else 1)


if __name__ == "__main__":
    main()
