"""Compare the maps of two contestants of the whole chain: class, probability, margin, entropy and clear dates."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

LAYERS = {"probability": 2e-3, "margin": 2e-3, "entropy": 5e-3}
# Features are computed in another order, so that some lie on the other side of a threshold: few trees then differ.
APART, LABELS = 1e-3, 1e-4


def compare(one: Path, other: Path) -> dict[str, Any]:
    """Return how many labels differ, and which part of each layer lies further apart than allowed."""
    first, second = (
        xr.open_zarr(path / "maps.zarr", consolidated=False, mask_and_scale=False) for path in (one, other)
    )
    clear = bool((first.validity.values == second.validity.values).all())
    seen = first.validity.values > 0
    labels = float((first["class"].values[seen] != second["class"].values[seen]).mean())
    told: dict[str, Any] = {"labels that differ": labels, "clear dates equal": clear}
    for name, limit in LAYERS.items():
        gap = np.abs(first[name].values[seen].astype(np.float64) - second[name].values[seen])
        told[f"{name} apart"] = float((~(gap <= limit)).mean())
    close = all(told[f"{name} apart"] <= APART for name in LAYERS)
    return {"same": clear and close and labels <= LABELS, **told}


def main() -> None:
    """Print the verdict as JSON; exit code 1 if the answers differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("products", type=Path, nargs=2)
    verdict = compare(*parser.parse_args().products)
    print(json.dumps(verdict))
    sys.exit(0 if verdict["same"] else 1)


if __name__ == "__main__":
    main()
