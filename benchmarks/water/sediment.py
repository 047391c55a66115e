"""What the suspended-matter retrievals reach on the CoastColour round robin, and the blend by sites held out.

Samples with a load (179 of 194): 60 of site 1 (southern North Sea), 119 of site 14 (Mahakam delta); site 7 has
chlorophyll only. Spectra are water reflectance at nine bands of MERIS, 412 to 709 nm, so that the infrared branches
are not judged here. Nothing but the centre of the blend is fitted: "sites held out" gives each site the centre fitted
on the other (mean absolute logarithmic error), "days held out" each day the centre fitted on all others, and the
interval is the 5th to 95th percentile of 1 000 draws of days. That the two laws of the blend and its steepness were
chosen with these samples in view no fold undoes.

    python benchmarks/water/sediment.py --data ../shared/data --out benchmarks/results/water-sediment.json

The data folder is that of the variable TERRACUBE_DATA unless given.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scoring import Values, estimate, score

COLUMNS = {"oa02": "X412.5", "coastal": "X442.5", "blue": "X490", "oa05": "X510", "green": "X560", "yellow": "X620"}
COLUMNS |= {"red": "X665", "oa10": "X681.25", "rededge1": "X708.75"}
SENSOR = "ENVISAT_MERIS"
# Laws of bands that the round robin has, by the sensor whose numbers are taken.
LAWS = {
    "spm_blend": SENSOR,
    "spm_novoa2017": SENSOR,
    "spm_qiu2013": SENSOR,
    "spm_nechad2010": SENSOR,
    "spm_nechad2010_green": SENSOR,
    "spm_nechad2010_rededge1": "S2A_MSI",
    "spm_nechad2016": "S2A_MSI",
    "spm_nechad2016_rededge1": "S2A_MSI",
    "spm_obs2co": "S2A_MSI",
    "spm_obs2co_green": "S2A_MSI",
    "spm_obs2co_rededge1": "S2A_MSI",
    "spm_lymburner2016": "L8_OLI",
    "spm_petus2010": SENSOR,
    "spm_miller2004": SENSOR,
}
OFFSETS = {"spm_nechad2010": 1.74, "spm_nechad2010_rededge1": 1.16}
"""Additive terms of the calibration, which the retrievals leave out as the authors advise for images."""
# Of the published peers, read and not run here: neural networks of SOLID on these samples and a few more.
NOT_RUN = {"MDN-SOLID, OLI bands": (76.9, -7.9, 186), "MDN-SOLID, MSI bands": (87.8, -71.0, 186)}
CENTRES = np.geomspace(0.003, 0.1, 141)


def load(data: Path) -> tuple[dict[str, Values], Values, NDArray[np.int64], NDArray[np.object_]]:
    """Give water reflectance by role, loads (g m-3), sites and days."""
    rows = pd.read_csv(data / "water" / "ccrr" / "ccrr_rhow_chl_tsm.csv")
    rows = rows[rows["X.TSM..mg.l."] < 999]
    bands = {role: rows[column].to_numpy(np.float64) for role, column in COLUMNS.items()}
    days = rows["DATE.dd.mm.yyyy."].to_numpy(object)
    return bands, rows["X.TSM..mg.l."].to_numpy(np.float64), rows["CC_SITE"].to_numpy(np.int64), days


def by_sites(found: Values, truth: Values, site: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """Score all samples and those of each site."""
    parts = {"all": site > 0} | {f"site {one}": site == one for one in np.unique(site)}
    return {name: score(found[part], truth[part]) for name, part in parts.items()}


def blend_curves(bands: Mapping[str, Values]) -> Values:
    """Run the blend for all centres, (centre, sample)."""
    return np.stack([estimate("spm_blend", bands, SENSOR, quantity="rhow", centre=float(centre)) for centre in CENTRES])


def held_out(curves: Values, truth: Values, groups: NDArray[Any]) -> tuple[Values, dict[str, float]]:
    """Give each group of samples the blend with the centre fitted on all others, and these centres."""
    errors, found, centres = np.abs(np.log(curves / truth)), np.empty_like(truth), {}
    for group in np.unique(groups):
        there = groups == group
        best = int(np.argmin(errors[:, ~there].mean(axis=1)))
        found[there], centres[str(group)] = curves[best, there], round(float(CENTRES[best]), 4)
    return found, centres


def interval(found: Values, truth: Values, days: NDArray[np.object_], *, draws: int = 1000) -> dict[str, list[float]]:
    """Draw days with replacement: the 5th, 50th and 95th percentile of the scores."""
    rng, names = np.random.default_rng(20261120), np.unique(days)
    rows = {name: np.flatnonzero(days == name) for name in names}
    told = []
    for _ in range(draws):
        drawn = np.concatenate([rows[name] for name in rng.choice(names, len(names))])
        told.append(score(found[drawn], truth[drawn]))
    return {
        name: np.percentile([one[name] for one in told], [5, 50, 95]).round(1).tolist() for name in ("MdSA", "SSPB")
    }


def run(data: Path) -> dict[str, Any]:
    """Score everything."""
    bands, truth, site, days = load(data)
    found = {name: estimate(name, bands, sensor, quantity="rhow") for name, sensor in LAWS.items()}
    found |= {f"{name} + {offset} g m-3": found[name] + offset for name, offset in OFFSETS.items()}
    curves = blend_curves(bands)
    across, centres = held_out(curves, truth, site)
    of_days, _ = held_out(curves, truth, days)
    plateau = {f"{c:.4f}": score(curve, truth) for c, curve in zip(CENTRES[::14], curves[::14], strict=True)}
    return {
        "laws": {name: by_sites(values, truth, site) for name, values in found.items()},
        "blend, sites held out": by_sites(across, truth, site) | {"centres": centres},
        "blend, sites held out, interval": interval(across, truth, days),
        "blend, days held out": by_sites(of_days, truth, site),
        "blend by centre": plateau,
        "read, not run": {name: dict(zip(("MdSA", "SSPB", "N"), told, strict=True)) for name, told in NOT_RUN.items()},
    }


def show(whole: Mapping[str, Any]) -> str:
    """Write the scores as a table of Markdown."""
    lines = ["| retrieval | n/N | MdSA % | SSPB % | RMSLE | site 1 | site 14 |", "|---|---|---|---|---|---|---|"]
    rows = dict(whole["laws"])
    rows = (
        {f"**blend, sites held out** {whole['blend, sites held out']['centres']}": whole["blend, sites held out"]}
        | {"blend, days held out": whole["blend, days held out"]}
        | rows
    )
    for name, parts in rows.items():
        one, first, second = parts["all"], parts["site 1"], parts["site 14"]
        sites = " | ".join(f"{part['MdSA']} / {part['SSPB']}" for part in (first, second))
        lines.append(f"| {name} | {one['n']}/{one['N']} | {one['MdSA']} | {one['SSPB']} | {one['RMSLE']} | {sites} |")
    return "\n".join(lines)


def main() -> None:
    """Score, print a table and keep all figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TERRACUBE_DATA"))
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    if told.data is None or not (Path(told.data) / "water" / "ccrr").is_dir():
        parser.error("no round robin: give --data, or set TERRACUBE_DATA, to the folder that holds water/ccrr")
    whole = run(Path(told.data))
    if told.out is not None:
        told.out.parent.mkdir(parents=True, exist_ok=True)
        told.out.write_text(json.dumps(whole, indent=1), encoding="utf-8")
    print(show(whole))
    print(json.dumps({name: whole[name] for name in ("blend, sites held out, interval", "blend by centre")}))


if __name__ == "__main__":
    main()
