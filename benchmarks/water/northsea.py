"""What flags leave of a whole OLCI cube of the North Sea, and formulas of colour held against chlorophyll of C2RCC.

Data, below water/olci-northsea of the data folder: a Zarr cube of the southern North Sea (five times of January 2017,
1000 x 2000 pixels; chlorophyll and suspended matter by C2RCC, with its flags), a granule of 14 April 2017 with the
reflectance (Rrs) that C2RCC took them from, and the samples of a cruise of August 2017. All are ingested, and read
back as a user would.

* "flags": pixels seen and retrieved, and the share of the retrieved ones that has each flag.
* "kept": chlorophyll of C2RCC as each rule leaves it. The retrieval ran (Valid_PE) on 1.17 of 10 million pixels, and
  98 % of these are flagged as cloudy: the sun stands at 17 degrees.
* "granule": the only measured Rrs. It lies over land: C2RCC ran on 9 of its 10 000 samples (13 pixels of the grid), on
  the rims of clouds, and flags them all as out of scope. They are shown, and prove nothing.
* "modelled": the cube holds no Rrs. So that of its water is modelled from the chlorophyll and suspended matter that
  C2RCC found (`terracube.ingest.simulate.water`: inherent optical properties, Albert and Mobley 2003; dissolved matter,
  which the cube does not tell, at three levels), and the formulas are run on it. This says how formulas made for the
  open ocean, and the blend, take water of such contents; it says nothing of C2RCC's own error, or of the atmosphere.
* "cruise": match-ups. The cruise is seven months after the cube and four after the granule, so that there is none.

    python benchmarks/water/northsea.py --data ../shared/data --picture docs/images/water-northsea.png

The data folder is that of the variable TERRACUBE_DATA unless given. Half a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import xarray as xr
from numpy.typing import NDArray

from terracube import cubes
from terracube.ingest import ingest
from terracube.ingest.insitu.access import open_table
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.store import ingest_insitu
from terracube.ingest.simulate.water import Optics, above_surface, inherent_optics, subsurface_reflectance
from terracube.processing import water
from terracube.processing.water.matchups import gates
from terracube.processing.water.sensors import simulate_bands
from terracube.stac import Catalog, Query

Values = NDArray[np.float64]

RULES = ("valid", "clear", "in_range")
FORMULAS = ("chl_oc4", "chl_oc3", "chl_oci", "chl_blend")
DISSOLVED = (0.05, 0.15, 0.4)
"""Absorption of dissolved matter at 440 nm, 1/m: from offshore to the plumes of rivers."""
SHOWN = 0.15
LOWEST = 0.1
"""Of the picture, mg m-3."""
WAVELENGTHS = np.arange(430.0, 761.0, 5.0)
SUN_ZENITH = 73.0
CRUISE = {
    "kind": "csv",
    "station": {"column": "Name"},
    "time": {"column": "DateTime", "zone": "UTC"},
    "position": {"lon": "longitude", "lat": "latitude", "crs": "EPSG:4326"},
    "columns": [
        {"column": "Chlorophyll-a_Jeff_Humphr", "variable": "chlorophyll_a", "unit": "ug/L"},
        {"column": "Phaeophytin_Jeff_Humphr", "variable": "phaeophytin", "unit": "ug/L"},
        {"column": "SD", "variable": "secchi_depth", "unit": "m"},
    ],
}


def catalogue(data: Path, folder: Path) -> Catalog:
    """Ingest cube, granule and cruise."""
    catalog = Catalog.create(folder / "catalogue")
    source = data / "water" / "olci-northsea"
    ingest("olci-c2rcc", [source], catalog)
    ingest_insitu([next(source.rglob("summercruise*.txt"))], Mapping.model_validate(CRUISE), catalog, dataset="cruise")
    return catalog


def scenes(catalog: Catalog, first: str) -> list[pystac.Item]:
    """Give the times of the cube ("cube"), or the granule ("O_L2")."""
    found = catalog.search(Query(collections=("olci-c2rcc",)))
    return [item for item in found if item.id.startswith(first)]


def flag_shares(items: list[pystac.Item]) -> dict[str, dict[str, float]]:
    """Count the pixels that were seen (million) and those retrieved, and the share of these that has each flag."""
    cube = cubes.load(items, bands=["c2rcc_flags"], mask=None, groupby="time").c2rcc_flags
    told = {one["offset"]: one["description"] for one in items[0].assets["c2rcc_flags"].extra_fields["bands"][0]
            ["classification:bitfields"]}  # fmt: skip
    counts: dict[str, list[Any]] = {"seen": [cube != 0xFFFFFFFF], "Valid_PE": [(cube != 0xFFFFFFFF) & (cube >> 31 > 0)]}
    valid = counts["Valid_PE"][0]
    for bit, name in told.items():
        if bit < 31:
            counts[name] = [valid & (cube >> bit & 1 > 0)]
    sums = xr.Dataset({name: one[0].sum(("y", "x")) for name, one in counts.items()}).compute()
    rows = {}
    for step, time in enumerate(sums.time.values):
        row = {name: int(sums[name][step]) for name in sums.data_vars}
        retrieved = max(row["Valid_PE"], 1)
        rows[str(time)[:16]] = {"seen": row["seen"], "retrieved": row["Valid_PE"]} | {
            str(name): round(n / retrieved, 4) for name, n in row.items() if n and name not in ("seen", "Valid_PE")
        }
    return rows


def contents(items: list[pystac.Item], rule: str) -> tuple[Values, Values]:
    """Give chlorophyll and suspended matter of C2RCC, as far as a rule leaves them, of all times in order."""
    cube = cubes.load(items, bands=["conc_chl", "conc_tsm"], mask=rule, groupby="time", chunks=None)
    chl, tsm = (cube[name].values.astype("float64") for name in ("conc_chl", "conc_tsm"))
    there = np.isfinite(chl) & np.isfinite(tsm)
    return chl[there], tsm[there]


def kept(items: list[pystac.Item]) -> dict[str, dict[str, float]]:
    """Describe chlorophyll and suspended matter of C2RCC as each rule leaves them."""
    rows = {}
    for rule in RULES:
        chl, tsm = contents(items, rule)
        row: dict[str, float] = {"n": chl.size}
        for name, values in (("chl", chl), ("tsm", tsm)):
            for quantile in (5, 50, 95):
                row[f"{name} {quantile} %"] = round(float(np.percentile(values, quantile)), 2)
        rows[rule] = row
    return rows


def granule(items: list[pystac.Item], rule: str) -> xr.Dataset:
    """Make products of the granule's Rrs, with nothing told of sensor or quantity, beside C2RCC's chlorophyll."""
    cube = cubes.load(items, mask=rule, groupby="time")
    other = cubes.load(items, bands=["conc_chl"], mask=rule, groupby="time")
    made = water.retrieve([*FORMULAS, "spm_blend", "kd490_lee2013", "hue_angle"], cube)
    return made.assign(conc_chl=other.conc_chl).compute()


def modelled(chl: Values, tsm: Values, dissolved: float) -> xr.Dataset:
    """Model what OLCI would measure over such water without atmosphere: Rrs, sr-1 (sample)."""
    optics = Optics(dissolved=dissolved)
    spectra = np.empty((chl.size, WAVELENGTHS.size))
    for column, nm in enumerate(WAVELENGTHS):
        inherent = inherent_optics(chl, tsm, nm=float(nm), optics=optics)
        spectra[:, column] = above_surface(subsurface_reflectance(*inherent, sun_zenith=SUN_ZENITH))
    bands = simulate_bands("S3A_OLCI", WAVELENGTHS, spectra)
    seen = {role: ("sample", values) for role, values in bands.items() if np.isfinite(values).all()}
    return xr.Dataset(seen, attrs={"quantity": "rrs", "sensor": "S3A_OLCI"})


def cruise(catalog: Catalog) -> dict[str, Any]:
    """Try to match the cruise's chlorophyll with the cube and the granule; tell why there is no pair."""
    table = open_table(catalog, variables=["chlorophyll_a"])
    rows: dict[str, Any] = {"measurements": len(table)}
    for name, first in (("cube", "cube"), ("granule", "O_L2")):
        cube = cubes.load(scenes(catalog, first), bands=["conc_chl"], groupby="time")
        found = water.matchup(cube, table, variables={"conc_chl": "chlorophyll_a"}, units="convert")
        told = gates(found).set_index("reason")
        rows[name] = {"used": int(found["used"].sum()), "candidates": len(found)} | {
            str(reason): int(told.loc[reason, "candidates"]) for reason in told.index if reason != "used"
        }
    return rows


def agreement(found: xr.Dataset, truth: Values) -> dict[str, dict[str, float | None]]:
    """Score the formulas of chlorophyll against C2RCC's; None where there is nothing to score."""
    rows = {}
    for name in FORMULAS:
        told = water.score(found[name].values.ravel().astype("float64"), truth).as_dict()
        rows[name] = {key: None if np.isnan(value) else round(value, 3) for key, value in told.items()}
    return rows


def draw(chl: Values, made: xr.Dataset, pairs: xr.Dataset, path: Path) -> None:
    """Draw OC4 of the modelled water, and of the granule's nine spectra."""
    title = "OC4 of water with the contents that C2RCC found, modelled"
    figure = water.scatter(made.chl_oc4.values.astype("float64"), chl, title=title)
    axes = figure.axes[0]
    x, y = pairs.conc_chl.values.ravel(), pairs.chl_oc4.values.ravel()
    there = np.isfinite(x) & np.isfinite(y)
    label = f"measured, granule of April: {int(there.sum())} pixels, flagged"
    axes.scatter(x[there], y[there], marker="^", s=36, color="#d1495b", edgecolor="white", linewidth=0.6, label=label)
    axes.set_xlim(LOWEST, 40)
    axes.set_ylim(LOWEST, 40)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(
        f"chlorophyll a by C2RCC, North Sea, January 2017 [mg m$^{{-3}}$]; {int((chl < LOWEST).sum())} below"
    )
    axes.set_ylabel("chlorophyll a by OC4 [mg m$^{-3}$]")
    axes.legend(loc="lower right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def run(data: Path, folder: Path, picture: Path | None = None) -> dict[str, Any]:
    """Do everything; keep the picture if asked."""
    catalog = catalogue(data, folder)
    cube, swath = scenes(catalog, "cube"), scenes(catalog, "O_L2")
    chl, tsm = contents(cube, "clear")
    spectra = {level: modelled(chl, tsm, level) for level in DISSOLVED}
    made = {level: water.retrieve(FORMULAS, one) for level, one in spectra.items()}
    pairs = {rule: granule(swath, rule) for rule in ("valid", "clear")}
    if picture is not None:
        draw(chl, made[SHOWN], pairs["valid"], picture)
    return {
        "flags": flag_shares(cube) | flag_shares(swath),
        "kept": kept(cube),
        "granule": {rule: agreement(one, one.conc_chl.values.ravel().astype("float64")) for rule, one in pairs.items()},
        "modelled": {f"dissolved matter {level} 1/m": agreement(one, chl) for level, one in made.items()},
        "cruise": cruise(catalog),
    }


def main() -> None:
    """Print everything, and keep it if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TERRACUBE_DATA", "../shared/data")))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = run(options.data, Path(folder), options.picture)
    print(json.dumps(report, indent=2))
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
