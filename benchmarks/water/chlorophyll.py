"""What the chlorophyll retrievals reach on measured spectra, and the blend where its numbers were not fitted.

Two sets. CoastColour round robin, the part at hand: 167 samples with chlorophyll of three coastal sites (1: southern
North Sea, 7: Oregon, 14: Mahakam delta), nine bands of MERIS from 412 to 709 nm, as water reflectance. Valente et al.
2019 (doi:10.5194/essd-11-1037-2019), the part at hand: 1 134 stations with chlorophyll (by chromatography, else by
fluorometry), 412 to 681 nm, remote-sensing reflectance: no red edge, so that only the blue-green side of the blend is
judged.

The blend has published members and a published switch. Fitted is the correction of its blue-green member, on Valente
alone: five numbers for OLCI and MERIS, three for MSI and OLI; half of the fitted correction is shipped. So the round
robin is held out as a whole. "Regions held out" gives the stations of each region (20 degrees of latitude by 30 of
longitude) the correction fitted on all others and halved; "gain of the round robin" gives all stations nothing but one
factor fitted on the round robin.
Which published polynomial is the blue-green member, and the half, were chosen with both sets in view: no fold undoes
that.

Not here and so not scored: the other sites of the round robin, and NOMAD.

    python benchmarks/water/chlorophyll.py --data ../shared/data --out benchmarks/results/water-chlorophyll.json

The data folder is that of the variable TERRACUBE_DATA unless given.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scoring import Values, estimate, score

from terracube.core.errors import TerraCubeError
from terracube.processing.water.retrievals import get_retrieval, retrieval_names
from terracube.processing.water.sensors import load_water_sensor

ROUND_ROBIN = {"oa02": "X412.5", "coastal": "X442.5", "blue": "X490", "oa05": "X510", "green": "X560"}
ROUND_ROBIN |= {"yellow": "X620", "red": "X665", "oa10": "X681.25", "rededge1": "X708.75"}
VALENTE = {"oa02": "X412nm", "coastal": "X443nm", "blue": "X490nm", "oa05": "X510nm", "green": "X560nm"}
VALENTE |= {"yellow": "X620nm", "red": "X665nm", "oa10": "X681nm"}
SENSORS = ("ENVISAT_MERIS", "S3A_OLCI", "S2A_MSI", "L8_OLI")
"""Sensors whose coefficients are tried on the bands of MERIS; a retrieval is shown for the first that has it."""
BLEND_SENSORS = ("ENVISAT_MERIS", "S2A_MSI", "L8_OLI", "L5_TM")
BLUES = ("coastal", "blue", "oa05")
CORRECTIONS = {
    "ENVISAT_MERIS": (("oa02", "coastal"), ("oa10", "red"), ("red", "green")),
    "S2A_MSI": (("coastal", "blue"),),
}
"""Ratios that the correction of the blue-green member takes."""


@dataclass(frozen=True)
class Samples:
    """Measured spectra and chlorophyll."""

    bands: dict[str, Values]
    """Remote-sensing reflectance, sr-1, by role."""
    truth: Values
    """mg m-3."""
    place: NDArray[np.object_]
    """Site, or region."""


def round_robin(data: Path) -> Samples:
    """Read the part of the CoastColour round robin that is here, samples with chlorophyll."""
    rows = pd.read_csv(data / "water" / "ccrr" / "ccrr_rhow_chl_tsm.csv")
    rows = rows[rows["X.Chl_a..ug.L."] < 999]
    bands = {role: rows[column].to_numpy(np.float64) / math.pi for role, column in ROUND_ROBIN.items()}
    sites = ("site " + rows["CC_SITE"].astype(str)).to_numpy(object)
    return Samples(bands, rows["X.Chl_a..ug.L."].to_numpy(np.float64), sites)


def valente(data: Path) -> Samples:
    """Read the stations of Valente et al. with chlorophyll."""
    rows = pd.read_csv(data / "water" / "valente" / "valente2019_rrs_chl.csv")
    rows = rows.assign(truth=rows["Chla.1"].fillna(rows["Chla.2"]))
    rows = rows[rows["truth"].notna()]
    regions = [f"{round(lat / 20)} {round(lon / 30)}" for lat, lon in zip(rows["Lat"], rows["Lon"], strict=True)]
    bands = {role: rows[column].to_numpy(np.float64) for role, column in VALENTE.items()}
    return Samples(bands, rows["truth"].to_numpy(np.float64), np.array(regions, dtype=object))


def published(samples: Samples) -> dict[str, dict[str, float]]:
    """Score every other retrieval of chlorophyll that these bands allow, with the coefficients of the first sensor."""
    found = {}
    for name in retrieval_names():
        if not name.startswith("chl_") or name.startswith("chl_blend"):
            continue
        for sensor in SENSORS:
            try:
                values = estimate(name, samples.bands, sensor, quantity="rrs")
            except (TerraCubeError, KeyError):
                continue
            if np.isfinite(values).any():
                found[f"{name} ({sensor})"] = score(values, samples.truth)
            break
    return found


def blend_of_sensors(samples: Samples) -> dict[str, dict[str, float]]:
    """Score the blend with the coefficients of several sensors, all on the bands of MERIS."""
    return {
        sensor: score(estimate("chl_blend", samples.bands, sensor, quantity="rrs"), samples.truth)
        for sensor in BLEND_SENSORS
    }


def by_place(found: Values, samples: Samples) -> dict[str, dict[str, float]]:
    """Score the samples of each place."""
    places = np.unique(samples.place)
    return {str(one): score(found[samples.place == one], samples.truth[samples.place == one]) for one in places}


def plain_blue_green(samples: Samples, sensor: str) -> tuple[Values, Values]:
    """Give the ratio and the logarithm of chlorophyll of the blue-green member without gain or correction."""
    known: Any = get_retrieval("chl_blend").coefficient_set(load_water_sensor(sensor)).values
    there = [samples.bands[role] for role in BLUES if role in load_water_sensor(sensor).bands]
    ratio = np.clip(np.log10(np.maximum.reduce(there) / samples.bands["green"]), *known["clip"])
    return ratio, np.polyval(known["blue_green"][::-1], ratio)


def regions_held_out(samples: Samples, sensor: str) -> tuple[Values, list[float]]:
    """Fit the correction without each region, take half of it there; give the estimates, and the fit to all."""
    b, (ratio, plain) = samples.bands, plain_blue_green(samples, sensor)
    pairs = [(b[above], b[below]) for above, below in CORRECTIONS[sensor]]
    terms = np.stack([np.ones_like(ratio), ratio, *(np.log10(above / below) for above, below in pairs)], axis=1)
    wanted, turn = np.log10(samples.truth) - plain, np.empty_like(ratio)
    for place in np.unique(samples.place):
        there = samples.place == place
        fitted = np.linalg.lstsq(terms[~there], wanted[~there])[0]
        turn[there] = np.clip(0.5 * (terms[there] @ fitted) - 0.0275, -0.35, 0.35)
    whole = np.linalg.lstsq(terms, wanted)[0]
    return 10 ** (plain + turn), [round(float(one), 3) for one in whole]


def coverage(found: Values, samples: Samples, relative: float) -> float:
    """Share of samples within one standard deviation of the formula's error."""
    return round(float((np.abs(found - samples.truth) <= relative * found).mean()), 3)


def run(data: Path) -> dict[str, Any]:
    """Score everything."""
    robin, ocean = round_robin(data), valente(data)
    blend = {
        name: estimate("chl_blend", one.bands, "ENVISAT_MERIS", quantity="rrs")
        for name, one in (("robin", robin), ("ocean", ocean))
    }
    held = {sensor: regions_held_out(ocean, sensor) for sensor in CORRECTIONS}
    plain = [plain_blue_green(one, "ENVISAT_MERIS")[1] for one in (robin, ocean)]
    gain = float(np.median(np.log10(robin.truth) - plain[0]))
    relative = get_retrieval("chl_blend").coefficient_set(load_water_sensor("ENVISAT_MERIS")).error.relative
    return {
        "round robin": {
            "blend, nothing fitted here": blend_of_sensors(robin),
            "by site": by_place(blend["robin"], robin),
            "within one sigma": coverage(blend["robin"], robin, relative),
            "published": published(robin),
        },
        "Valente": {
            "blend, as shipped (fitted here)": blend_of_sensors(ocean),
            "blend, regions held out": {sensor: score(found, ocean.truth) for sensor, (found, _) in held.items()},
            "blue-green with the gain of the round robin": score(10 ** (plain[1] + gain), ocean.truth) | {"gain": gain},
            "fit to all, before halving": [fitted for _, fitted in held.values()],
            "within one sigma, regions held out": coverage(held["ENVISAT_MERIS"][0], ocean, relative),
            "published": published(ocean),
        },
    }


def show(whole: Mapping[str, Any]) -> str:
    """Write the scores as tables of Markdown."""
    lines = []
    for place, parts in whole.items():
        lines += [f"\n{place}\n", "| retrieval | n/N | MdSA % | SSPB % | RMSLE |", "|---|---|---|---|---|"]
        for group, rows in parts.items():
            if not isinstance(rows, dict):
                lines.append(f"| {group}: {rows} |  |  |  |  |")
                continue
            for name, one in {group: rows}.items() if "RMSLE" in rows else rows.items():
                title = name if name == group or group == "published" else f"{group}: {name}"
                figures = f"{one['n']}/{one['N']} | {one['MdSA']} | {one['SSPB']} | {one['RMSLE']}"
                lines.append(f"| {title} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    """Score, print tables and keep all figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TERRACUBE_DATA"))
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    if told.data is None or not (Path(told.data) / "water" / "ccrr").is_dir():
        parser.error("no measurements: give --data, or set TERRACUBE_DATA, to the folder that holds water/ccrr")
    whole = run(Path(told.data))
    if told.out is not None:
        told.out.parent.mkdir(parents=True, exist_ok=True)
        told.out.write_text(json.dumps(whole, indent=1), encoding="utf-8")
    print(show(whole))


if __name__ == "__main__":
    main()
