"""Formulas run on measured spectra, and what they reach: shared by the scripts that score them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.water.retrievals import Bands, get_retrieval
from terracube.processing.water.sensors import load_water_sensor

Values = NDArray[np.float64]
_FACTORS = {("rhow", "rrs"): 1 / math.pi, ("rrs", "rhow"): math.pi}


def estimate(name: str, bands: Mapping[str, Values], sensor: str, *, quantity: str, **changed: Any) -> Values:
    """Run a retrieval on numbers; NaN where it has no value. Further words change its coefficients."""
    retrieval, known = get_retrieval(name), load_water_sensor(sensor)
    factor = _FACTORS.get((quantity, retrieval.quantity), 1.0)
    there = {role: values * factor for role, values in bands.items() if role in known.bands}
    with np.errstate(all="ignore"):
        got = retrieval.formula(Bands(there, known), retrieval.coefficient_set(known).values | changed)
    value = np.array(got.value, dtype=np.float64)
    for mask in (got.outside, got.saturated):
        if mask is not None:
            value[np.asarray(mask, dtype=bool)] = np.nan
    return value


def score(found: Values, truth: Values) -> dict[str, float]:
    """Give the median symmetric accuracy, its signed bias (both %), RMSLE (log10), n with a value above 0, and N."""
    good = np.isfinite(found) & (found > 0)
    ratio = np.log(found[good] / truth[good])
    middle = float(np.median(ratio))
    return {
        "MdSA": round(100 * math.expm1(float(np.median(np.abs(ratio)))), 1),
        "SSPB": round(100 * math.copysign(math.expm1(abs(middle)), middle), 1),
        "RMSLE": round(float(np.sqrt(np.mean(ratio**2))) / math.log(10), 3),
        "n": int(good.sum()),
        "N": len(truth),
    }
