"""What the products of water cost: CPU seconds per million pixels of Sentinel-2 in memory, flags included.

The peer is the same formulas in plain numpy, product by product, as they are written (``formula`` of each retrieval on
float32 arrays, then the reason for every pixel without a value): the sum of its products is what a user's loop costs.
Every contestant is a process of its own on one thread; each does its job once before the clock starts.

    python benchmarks/water/retrieve.py --out benchmarks/results/water-retrieve.json
    python benchmarks/water/retrieve.py --set twelve --pixels 1048576 --runs 3

Sets: ``twelve`` much used products, ``distinct`` one variant of every published formula for MSI (no band variants, no
second set of coefficients of the same formula, no inversion by iteration), ``every`` all that are registered for it.
``twelve+uncertainty`` gives the two parts of the uncertainty of each of the twelve as well.

The memory of a lazy cube is measured with ``--memory``: 4 dates of 2048^2 pixels in blocks of 512, of which nothing is
kept, on one and two threads; what the process held at most beyond what it held before.

Not run here: ACOLITE's own water products (L2W, with reading and writing NetCDF) took 1.6 (suspended matter) to 14
(quasi-analytical algorithm) CPU seconds per million pixels and product when they were measured for this project.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.processing import water
from terracube.processing.water.retrievals import Bands, get_retrieval
from terracube.processing.water.sensors import load_water_sensor

SENSOR = "S2A_MSI"
TWELVE = (
    "spm_nechad2010", "turbidity_nechad2009", "turbidity_dogliotti2015", "spm_novoa2017", "chl_oc3", "chl_gilerson2b",
    "chl_ndci", "a490_qaa6", "bbp560_qaa6", "kd490_lee2013", "secchi_lee2015", "hue_angle",
)  # fmt: skip
DISTINCT = (
    "spm_nechad2010", "turbidity_nechad2009", "turbidity_dogliotti2015", "spm_novoa2017", "spm_petus2010",
    "spm_miller2004", "spm_qiu2013", "spm_jiang2021", "spm_gaa2019", "spm_blend", "chl_oc2", "chl_oc3", "chl_ci",
    "chl_oci", "chl_gilerson2b", "chl_gilerson3b", "chl_gitelson2b", "chl_gitelson3b", "chl_gons", "chl_gurlin2b",
    "chl_gurlin3b", "chl_moses2b", "chl_moses3b", "chl_bramich2021", "chl_ndci", "chl_blend", "ndci", "afai", "fai",
    "slh", "bloom", "a443_qaa6", "bbp560_qaa6", "kd490_lee2005", "kd490_lee2013", "kdpar_nechad", "kdpar_lee2007",
    "zeu_lee2007", "secchi_lee2015", "secchi_pitarch2021", "cdom_ficek", "cdom_mannino2008", "cdom_mannino2014",
    "cdom_qaa", "hue_angle", "forel_ule", "dominant_wavelength", "owt_spyrakos", "tsi_chl", "tsi_secchi",
)  # fmt: skip
GOALS = {"twelve": 0.05, "distinct": 0.15}
SETS = ("twelve", "twelve+uncertainty", "distinct", "every")

type Floats = NDArray[np.float32]


def products(name: str) -> tuple[str, ...]:
    """List the products of a set."""
    if name == "every":
        return tuple(str(one) for one in water.describe(sensor=SENSOR).index)
    return DISTINCT if name == "distinct" else TWELVE


def scene(pixels: int) -> dict[str, Floats]:
    """Make water from clear to turbid: red and infrared rise with the load, blue falls; a hundredth is missing."""
    rng = np.random.default_rng(7)
    load = rng.uniform(0, 1, pixels)
    missing = rng.uniform(size=pixels) < 0.01
    found = {}
    for role, band in load_water_sensor(SENSOR).bands.items():
        bright = 0.015 * math.exp(-(((band.wavelength - 560) / 120) ** 2)) + 0.0005
        grown = bright * (0.4 + 4 * load * min(band.wavelength, 700) / 560) * rng.normal(1, 0.05, pixels)
        found[role] = np.where(missing, np.nan, grown).astype("float32")
    return found


def own(name: str, bands: dict[str, Floats]) -> Callable[[], Any]:
    """Make all products of a set in one pass, as a user calls it."""
    cube = xr.Dataset({role: ("sample", values) for role, values in bands.items()})
    cube.attrs |= {"quantity": "rhow", "sensor": SENSOR}
    return lambda: water.retrieve(products(name), cube, uncertainty=name.endswith("uncertainty"))


def peer(names: Sequence[str], bands: dict[str, Floats]) -> Callable[[], Any]:
    """Make the same products and reasons in plain numpy, one after the other."""
    return lambda: [plain(name, bands) for name in names]


def plain(name: str, bands: dict[str, Floats]) -> tuple[Floats, NDArray[np.uint8]]:
    """Make one product of arrays, with the reason for each pixel without a value."""
    sensor, retrieval = load_water_sensor(SENSOR), get_retrieval(name)
    roles = dict.fromkeys([*retrieval.roles(sensor), *retrieval.optional(sensor)])
    factor = np.float32(1 / math.pi if retrieval.quantity == "rrs" else 1)
    known = retrieval.coefficient_set(sensor)
    with np.errstate(all="ignore"):
        got = retrieval.formula(Bands({role: bands[role] * factor for role in roles}, sensor), known.values)
        value = np.asarray(got.value)
        needed = [bands[role] for role in retrieval.roles(sensor)]
        least = np.minimum.reduce(needed)
        flags = np.where(np.isfinite(value), 0, 4)
        for told, bit in ((got.outside, 4), (got.saturated, 8)):
            flags = flags if told is None else np.where(np.asarray(told, dtype=bool), bit, flags)
        flags = np.where((least < 0) & (not retrieval.signed), 2, flags)
        flags = np.where(np.isnan(least), 1, flags)
        value = np.where(flags == 0, value, np.nan)
        low, high = known.range or (-math.inf, math.inf)
        flags = np.where(flags == 0, 16 * (value < low) + 32 * (value > high), flags)
    return value.astype("float32"), flags.astype("uint8")


def least_cpu(job: Callable[[], Any], runs: int) -> float:
    """Return the least CPU seconds of several runs, the first of which is not counted."""
    job()
    taken = []
    for _ in range(runs):
        start = time.process_time()
        job()
        taken.append(time.process_time() - start)
    return min(taken)


def contestant(told: argparse.Namespace) -> dict[str, float]:
    """Do the job of one contestant, in this process."""
    bands, share = scene(told.pixels), 1e6 / told.pixels
    if told.contestant == "terracube":
        return {name: least_cpu(own(name, bands), told.runs) * share for name in told.set}
    # Product by product: the sets are sums.
    names = dict.fromkeys(one for name in told.set for one in products(name))
    return {name: least_cpu(peer([name], bands), 1) * share for name in names}


def memory(threads: int) -> dict[str, float]:
    """Make the twelve products of a lazy cube of which nothing is kept; MiB at most beyond the start."""
    roles = tuple(load_water_sensor(SENSOR).bands)
    lazy = dask.array.random.default_rng(3).uniform(0.001, 0.05, (4, 2048, 2048), chunks=(1, 512, 512))
    cube = xr.Dataset({role: (("time", "y", "x"), lazy.astype("float32")) for role in roles})
    cube.attrs |= {"quantity": "rhow", "sensor": SENSOR}
    water.retrieve(TWELVE, cube.isel(time=slice(0, 1), y=slice(0, 64), x=slice(0, 64))).compute()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = water.retrieve(TWELVE, cube)
    sums = xr.Dataset({name: values.sum() for name, values in made.data_vars.items()})
    with dask.config.set(scheduler="threads", num_workers=threads):
        sums.compute()
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    out = 512 * 512 * (4 + 1) * len(TWELVE) / 2**20
    return {"threads": threads, "extra MiB": round(extra, 1), "block of all products MiB": round(out, 1)}


def told_of(results: dict[str, list[dict[str, float]]], sets: Sequence[str]) -> dict[str, Any]:
    """Put the least of every contestant's runs side by side."""
    least = {who: {key: min(run[key] for run in runs) for key in runs[0]} for who, runs in results.items()}
    rows: dict[str, Any] = {}
    for name in sets:
        row: dict[str, Any] = {"products": len(products(name)), "terracube": round(least["terracube"][name], 4)}
        if "numpy" in least and name != "twelve+uncertainty":
            row["numpy"] = round(sum(least["numpy"][one] for one in products(name)), 3)
            row["ratio"] = round(row["numpy"] / row["terracube"], 1)
        if name in GOALS:
            row["goal"] = GOALS[name]
        rows[name] = row
    return {"CPU s per Mpx": rows, "numpy, per product": {k: round(v, 4) for k, v in least.get("numpy", {}).items()}}


def main() -> None:
    """Start the contestants in turns, print and keep what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=SETS)
    parser.add_argument("--pixels", type=int, default=1 << 20)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--only", action="append", choices=("terracube", "numpy"))
    parser.add_argument("--contestant", choices=("terracube", "numpy"), help=argparse.SUPPRESS)
    parser.add_argument("--memory", type=int, metavar="THREADS")
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    told.set = told.set or list(SETS)
    if told.contestant or told.memory:
        print(json.dumps(memory(told.memory) if told.memory else contestant(told)))
        return
    asked = [
        "--pixels",
        str(told.pixels),
        "--runs",
        str(told.runs),
        *(part for one in told.set for part in ("--set", one)),
    ]
    results: dict[str, list[dict[str, float]]] = {who: [] for who in told.only or ("terracube", "numpy")}
    for _ in range(told.turns):
        for who, runs in results.items():
            command = [sys.executable, __file__, "--contestant", who, *asked]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            runs.append(json.loads(done.stdout.strip().splitlines()[-1]))
    report = told_of(results, told.set)
    print(json.dumps(report, indent=1))
    if told.out is not None:
        told.out.parent.mkdir(parents=True, exist_ok=True)
        told.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
