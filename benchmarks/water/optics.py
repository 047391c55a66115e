"""What inversion, attenuation, Secchi depth, dissolved matter and colour make of simulated waters, per sensor.

600 waters from blue to brown (chlorophyll 0.05 to 63 mg m-3 with suspended and dissolved matter around what goes with
it) get absorption and backscattering from 400 to 720 nm, from them a reflectance by the same relation of radiative
transfer as the inversion takes (without noise and without air), and bands by the sensor's responses. Truth is the
water itself: attenuation by Lee et al. 2013 of its absorption and backscattering, Secchi depth from the least
attenuation of the whole visible spectrum, hue of the whole spectrum by the observer of 1931. So this measures what few
bands and empirical steps lose, not how light travels; measured attenuation and depth to score against are not at hand.

    python benchmarks/water/optics.py --out result.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terracube.processing.water import retrieve
from terracube.processing.water.coefficients import load_coefficients
from terracube.processing.water.retrievals.colour import class_of, hue_of, index_of, wavelength_of
from terracube.processing.water.retrievals.optics import kd_lee2013, secchi_lee2015
from terracube.processing.water.sensors import simulate_bands, water_sensor_names
from terracube.processing.water.sensors._registry import pure_water

type Floats = NDArray[np.float64]

NM = np.arange(400.0, 721.0)
TRUTH_OF = {
    "a443_qaa5": "a443", "a443_qaa6": "a443", "a560_qaa6": "a560", "bbp560_qaa6": "bbp560", "kd490_lee2013": "kd490",
    "kd490_lee2005": "kd490", "kd490_kd2": "kd490", "secchi_lee2015": "secchi", "secchi_pitarch2021": "secchi",
    "cdom_ficek": "cdom", "cdom_mannino2008": "cdom", "cdom_mannino2014": "cdom", "cdom_qaa": "cdom",
}  # fmt: skip
COLOURS = ("hue_angle", "forel_ule", "forel_ule_index", "dominant_wavelength")


def peak(at: float, width: float) -> Floats:
    """Give a bell curve of height one."""
    return np.exp(-0.5 * ((NM - at) / width) ** 2)


def observer() -> Floats:
    """Give the colour matching functions of 1931 as sums of lobes (Wyman, Sloan, Shirley 2013, JCGT 2(2), 1-11)."""

    def lobe(at: float, left: float, right: float) -> Floats:
        return np.exp(-0.5 * ((NM - at) / np.where(at > NM, left, right)) ** 2)

    x = 1.056 * lobe(599.8, 37.9, 31.0) + 0.362 * lobe(442.0, 16.0, 26.7) - 0.065 * lobe(501.1, 20.4, 26.2)
    y = 0.821 * lobe(568.8, 46.9, 40.5) + 0.286 * lobe(530.9, 16.3, 31.1)
    return np.array([x, y, 1.217 * lobe(437.0, 11.8, 36.0) + 0.681 * lobe(459.0, 26.0, 13.8)])


def waters(count: int, seed: int) -> tuple[Floats, dict[str, Floats]]:
    """Give reflectance above the surface (sr-1), and the truth."""
    rng = np.random.default_rng(seed)
    chlorophyll = 10 ** rng.uniform(-1.3, 1.8, count)[:, None]
    pigment = 0.95 * peak(437, 32) + 0.35 * peak(490, 22) + 0.16 * peak(550, 45) + 0.15 * peak(625, 22)
    pigment = pigment + 0.45 * peak(675, 11)
    dissolved = 0.04 * chlorophyll**0.5 * 10 ** rng.uniform(-0.5, 0.5, count)[:, None] * np.exp(-0.0155 * (NM - 443))
    solids = 0.6 * chlorophyll**0.6 * 10 ** rng.uniform(-0.7, 0.7, count)[:, None]
    wavelength, aw, bbw = pure_water()
    water = np.interp(NM, wavelength, bbw)
    a = np.interp(NM, wavelength, aw) + 0.05 * chlorophyll**0.65 * pigment / np.interp(443, NM, pigment)
    a = a + dissolved + 0.03 * solids * np.exp(-0.011 * (NM - 443))
    particles = 0.012 * solids * (555 / NM) ** rng.uniform(0, 1.5, count)[:, None]
    u = (water + particles) / (a + water + particles)
    below = 0.08945 * u + 0.1247 * u**2
    rrs = 0.52 * below / (1 - 1.7 * below)
    return rrs, optical_truth(a, particles, water, rrs) | colour_truth(rrs) | {"cdom": dissolved[:, NM == 443][:, 0]}


def optical_truth(a: Floats, particles: Floats, water: Floats, rrs: Floats) -> dict[str, Floats]:
    """Give absorption, backscattering, attenuation and Secchi depth of the waters."""
    known: Any = load_coefficients("secchi_lee2015").sets[0].values
    bb = particles + water
    kd = np.array([kd_lee2013(a[:, i], bb[:, i], one, known) for i, one in enumerate(water)]).T
    seen = (NM >= 410) & (NM <= 690)
    secchi, _ = secchi_lee2015(list(kd.T[seen]), list(rrs.T[seen]), known)
    at = {nm: int(nm) - 400 for nm in (443, 490, 560)}
    return {
        "a443": a[:, at[443]],
        "a560": a[:, at[560]],
        "bbp560": particles[:, at[560]],
        "kd490": kd[:, at[490]],
        "secchi": secchi,
    }


def colour_truth(rrs: Floats) -> dict[str, Floats]:
    """Give the colour of the whole spectrum."""
    x, y, z = rrs @ observer().T[:, 0], rrs @ observer().T[:, 1], rrs @ observer().T[:, 2]
    hue = hue_of(x / (x + y + z), y / (x + y + z))
    limits: Any = load_coefficients("forel_ule").sets[0].values["limits"]
    known: Any = load_coefficients("dominant_wavelength").sets[0].values
    wavelength = wavelength_of(hue, known["angles"], known["wavelengths"])
    values = (hue, class_of(hue, limits), index_of(hue, limits), wavelength)
    return dict(zip(COLOURS, values, strict=True))


def scores(sensor: str, rrs: Floats, truth: dict[str, Floats]) -> dict[str, dict[str, float]]:
    """Score all products that a sensor can give: in per cent of the truth, or root mean square for colours."""
    bands = {role: ("n", one) for role, one in simulate_bands(sensor, NM, rrs).items() if np.isfinite(one).all()}
    cube = xr.Dataset(bands, attrs={"quantity": "rrs", "sensor": sensor})
    out = retrieve([*TRUTH_OF, *COLOURS], cube, flags=False, on_missing="skip")
    found = {}
    for name in out.data_vars:
        values = out[name].to_numpy()
        true, there = truth[TRUTH_OF.get(str(name), str(name))], np.isfinite(values)
        off = values[there] - true[there]
        row: dict[str, float] = {"n": int(there.sum()), "of": int(true.size)}
        if name in COLOURS:
            row |= {"rms": round(float(np.sqrt(np.mean(off**2))), 2), "bias": round(float(np.median(off)), 2)}
        else:
            ratio = np.log(values[there] / true[there])
            sign = np.sign(np.median(ratio))
            row["mdsa"] = round(100 * float(np.expm1(np.median(np.abs(ratio)))), 1)
            row["sspb"] = round(100 * float(sign * np.expm1(np.abs(np.median(ratio)))), 1)
        found[str(name)] = row
    return found


def main() -> None:
    """Score every sensor and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rrs, truth = waters(asked.count, asked.seed)
    result = {sensor: scores(sensor, rrs, truth) for sensor in water_sensor_names()}
    for sensor, rows in result.items():
        for name, row in rows.items():
            print(f"{sensor:14s} {name:20s}", "  ".join(f"{key} {value}" for key, value in row.items()))
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
