"""Compare what the contestants of a case gave, so that speed is never compared for different answers."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from cubes.cases import NODATA, Case, case_of  # noqa: E402  the folder above has to be known first

Values = npt.NDArray[Any]


def compare(case: Case, one: Values, other: Values) -> dict[str, Any]:
    """Return the verdict on two answers and the figures behind it."""
    if one.shape != other.shape:
        return {"same": False, "reason": f"shapes {one.shape} and {other.shape}"}
    there, also = seen(one), seen(other)
    footprint = float((there != also).mean())
    both = there & also
    if not both.any():
        return {"same": False, "reason": "the answers share no pixel"}
    apart = np.abs(one[both].astype("float64") - other[both])
    differing = float((apart > case.limits.apart).mean())
    return {
        "same": footprint <= case.limits.footprint and differing <= case.limits.differing,
        "footprint": footprint,
        "differing": differing,
        "equal": float((apart == 0).mean()),
        "mean": float(apart.mean()),
        "p99": float(np.percentile(apart, 99)),
        "max": float(apart.max()),
    }


def seen(values: Values) -> npt.NDArray[np.bool_]:
    """Return where there is a value; also where files have no nodata, their numbers are above it."""
    if values.dtype.kind == "f":
        return np.isfinite(values)
    return np.asarray(values != NODATA)


def main() -> None:
    """Print the verdict on every contestant against the first as JSON; exit code 1 if an answer differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", required=True)
    parser.add_argument("answers", type=Path, nargs="+")
    options = parser.parse_args()
    case = case_of(options.case)
    first, *others = (np.load(path, mmap_mode="r") for path in options.answers)
    names = [path.stem for path in options.answers[1:]]
    verdicts = {name: compare(case, first, other) for name, other in zip(names, others, strict=True)}
    print(json.dumps(verdicts))
    sys.exit(0 if all(verdict["same"] for verdict in verdicts.values()) else 1)


if __name__ == "__main__":
    main()
