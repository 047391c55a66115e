"""A map of Sinop (Mato Grosso, 2013-14) from twelve MODIS scenes, beside the probabilities another tool published.

The scenes are NDVI of MOD13Q1 every 32 days; the samples are 1 218 series of the same index in four classes, of other
years and places of the state; 18 labelled points lie in the scenes. The other map (sits, Simoes et al. 2021,
doi:10.3390/rs13132428) covers 50 x 50 pixels with nine classes: five rotations of crops and cotton are one class here.
How it was made is not told (the examples of its package have NDVI and EVI at 23 dates), and a forest that is taught
on it, from these scenes, foretells 0.86 of its sure pixels in squares that it has not seen (0.92 next to pixels that
it has): no classifier of these scenes can be expected to agree with it on 0.95 of them.

    python benchmarks/landcover/sinop.py --data ../shared/data/landcover --figure sinop.png --out sinop.json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rioxarray
import xarray as xr
from numpy.typing import NDArray

from terracube.processing.landcover import Samples, classify, read_samples, training
from terracube.processing.landcover.features import FeatureSpec, Season
from terracube.processing.landcover.learn import TrainParameters, fit
from terracube.processing.landcover.samples import Series
from terracube.processing.landcover.trainer import Training

CLASSES = ("Cerrado", "Forest", "Pasture", "Soy_Corn")
COLOURS = ("#d8b365", "#1b7837", "#a6dba0", "#d6604d")
# The nine classes of the other map, in the order of its layers, as codes of the four.
NINE = {"Cerrado": 1, "Fallow_Cotton": 4, "Forest": 2, "Pasture": 3, "Soy_Corn": 4, "Soy_Cotton": 4, "Soy_Fallow": 4,
        "Soy_Millet": 4, "Soy_Sunflower": 4}  # fmt: skip
MARGIN = 0.2
# MOD13 user's guide, collection 6.1: factor and valid range of the index; what lies outside was not seen.
FACTOR, VALID = 1e-4, (-2000, 10_000)
STATISTICS = ("min", "p25", "median", "p75", "max", "std")
SPEC = FeatureSpec(
    bands=("NDVI",), season=Season(start="09-14", step=16, count=22), series=("NDVI",), statistics={"NDVI": STATISTICS}
)
HOW = TrainParameters(algorithm="forest", class_weight="balanced", repeats=0)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two maps on the pixels that they share."""

    own: xr.DataArray
    """Codes of this map, (y, x) of the other."""
    other: xr.DataArray
    """Codes of the other map, in four classes."""
    margin: xr.DataArray
    """How much more probable the other's class of nine is than the next."""

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Where the other map is sure, (y, x)."""
        return np.asarray(self.margin.values > MARGIN)

    def agreement(self, groups: tuple[int, ...] = (1, 2, 3, 4)) -> float:
        """Give the share of the sure pixels with the same class; ``groups`` gives each of the four its group."""
        put = np.asarray((0, *groups))
        same = put[self.own.values.astype(int)] == put[self.other.values.astype(int)]
        return float(same[self.sure].mean())

    def table(self) -> pd.DataFrame:
        """Count the sure pixels: rows are the other map's classes, columns this one's."""
        pairs = self.other.values[self.sure].astype(int), self.own.values[self.sure].astype(int)
        counts = np.zeros((5, 5), int)
        np.add.at(counts, pairs, 1)
        return pd.DataFrame(counts[1:, 1:], index=pd.Index(CLASSES, name="other"), columns=pd.Index(CLASSES))


def scenes(folder: Path) -> xr.Dataset:
    """Read the twelve scenes as a cube, (time, y, x), of NDVI."""
    layers, times = [], []
    for path in sorted((folder / "sinop-modis/inst/extdata/raster/mod13q1").glob("*.jp2")):
        layers.append(rioxarray.open_rasterio(path).squeeze("band", drop=True))
        times.append(np.datetime64(path.stem[-10:], "ns"))
    stack = xr.concat(layers, dim=pd.DatetimeIndex(times, name="time"))
    seen = (stack >= VALID[0]) & (stack <= VALID[1])
    index = (stack * FACTOR).where(seen).astype("float32")
    return index.to_dataset(name="NDVI").rio.write_crs(layers[0].rio.crs)


def samples(folder: Path) -> Series:
    """Read the labelled series."""
    found = read_samples(folder / "sinop-modis/samples_modis_ndvi.csv.gz")
    if not isinstance(found, Series):
        raise TypeError("these samples carry series")
    return found


def learn(folder: Path, how: TrainParameters = HOW) -> Training:
    """Train on the labelled series."""
    return training(samples(folder), params=how, features=SPEC, block=0.5)


def other_map(folder: Path) -> tuple[xr.DataArray, xr.DataArray]:
    """Read the other map: codes in four classes, and the margin between its nine."""
    (path,) = (folder / "sinop-modis/inst/extdata/raster/probs").glob("*.tif")
    layers = rioxarray.open_rasterio(path)
    chances = layers.values * FACTOR
    ordered = np.sort(chances, axis=0)
    best = layers.isel(band=0, drop=True)
    codes = np.asarray(tuple(NINE.values()))[chances.argmax(axis=0)]
    return best.copy(data=codes), best.copy(data=ordered[-1] - ordered[-2])


def compare(maps: xr.Dataset, folder: Path) -> Comparison:
    """Put this map under the pixels of the other: the pixel in which the middle of each lies."""
    codes, margin = other_map(folder)
    half = abs(float(maps["y"][1] - maps["y"][0])) / 2
    inside = {axis: (codes[axis] >= maps[axis].min() - half) & (codes[axis] <= maps[axis].max() + half)
              for axis in ("y", "x")}  # fmt: skip
    codes, margin = (one.isel(y=inside["y"].values, x=inside["x"].values) for one in (codes, margin))
    own = maps["class"].sel(y=codes["y"], x=codes["x"], method="nearest").assign_coords(y=codes["y"], x=codes["x"])
    return Comparison(own.compute(), codes, margin)


def points(maps: xr.Dataset, folder: Path) -> pd.DataFrame:
    """Tell the label, this map's class and the other map's (empty outside of it) at the labelled points."""
    found = read_samples(folder / "sinop-modis/inst/extdata/samples/samples_sinop_crop.csv")
    if not isinstance(found, Samples):
        raise TypeError("these samples are points")
    names = np.asarray(("", *CLASSES), dtype=object)
    place = found.frame.geometry.to_crs(maps.rio.crs)
    codes, _ = other_map(folder)
    rows = {"label": [found.nomenclature.of(code).name for code in found.labels.tolist()]}
    for who, one in (("own", maps["class"]), ("other", codes)):
        side = abs(float(one["x"][1] - one["x"][0])) / 2
        near = one.sel(x=xr.DataArray(place.x), y=xr.DataArray(place.y), method="nearest")
        there = (abs(near["x"] - place.x.values) <= side) & (abs(near["y"] - place.y.values) <= side)
        rows[who] = names[np.where(there, near.values, 0).astype(int)].tolist()
    return pd.DataFrame(rows)


def ceiling(cube: xr.Dataset, folder: Path, *, side: int = 10) -> dict[str, float]:
    """Tell how well the other map can be foretold from these scenes at all, by a forest taught on that very map.

    Folds hold pixels (whose neighbours, alike, teach) or whole squares of ``side`` pixels.
    """
    from sklearn.model_selection import GroupKFold, KFold

    codes, margin = other_map(folder)
    codes, margin = (one.sel(y=slice(None, float(cube["y"].min()) - 116)) for one in (codes, margin))
    series = cube["NDVI"].sel(y=codes["y"], x=codes["x"], method="nearest").fillna(0)
    X = series.values.reshape(len(series), -1).T
    y, sure = codes.values.ravel(), margin.values.ravel() > MARGIN
    row, column = np.divmod(np.arange(y.size), codes.shape[1])
    squares = row // side * 100 + column // side
    ways = {"pixels": KFold(5, shuffle=True, random_state=0).split(X), "squares": GroupKFold(5).split(X, y, squares)}
    found = {}
    for name, folds in ways.items():
        said = np.zeros_like(y)
        for train, test in folds:
            said[test] = fit(X[train], y[train], algorithm="extra_trees").predict(X[test])
        found[name] = round(float((said == y)[sure].mean()), 4)
    return found


def figure(maps: xr.Dataset, found: Comparison) -> Any:
    """Draw both maps, and the other's class where they differ; grey: the same, white: the other is not sure."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    shown, every = plt.subplots(1, 4, figsize=(15, 4.2), layout="constrained")
    colours, norm = ListedColormap(COLOURS), BoundaryNorm([0.5, 1.5, 2.5, 3.5, 4.5], 4)
    box = [float(found.own[axis][at]) for axis, at in (("x", 0), ("x", -1), ("y", -1), ("y", 0))]
    every[0].imshow(maps["class"], cmap=colours, norm=norm, interpolation="nearest", extent=_extent(maps["class"]))
    every[0].add_patch(plt.Rectangle((box[0], box[2]), box[1] - box[0], box[3] - box[2], fill=False, lw=1.5))
    every[0].set_title("this map, and where the other lies")
    for axes, one, title in ((every[1], found.own, "this map"), (every[2], found.other, "the other map")):
        axes.imshow(one, cmap=colours, norm=norm, interpolation="nearest")
        axes.set_title(title)
    differ = np.where(found.sure, np.where(found.own.values == found.other.values, 0, found.other.values), np.nan)
    every[3].imshow(differ, cmap=ListedColormap(("#f2f2f2", *COLOURS)), vmin=-0.5, vmax=4.5, interpolation="nearest")
    every[3].set_title("the other's class where they differ")
    for axes in every:
        axes.set_xticks([])
        axes.set_yticks([])
    patches = [Patch(color=colour, label=name) for name, colour in zip(CLASSES, COLOURS, strict=True)]
    shown.legend(handles=patches, loc="outside lower center", ncols=4)
    return shown


def _extent(one: xr.DataArray) -> tuple[float, float, float, float]:
    return float(one["x"][0]), float(one["x"][-1]), float(one["y"][-1]), float(one["y"][0])


def main() -> None:
    """Make the map with several learners, and tell how it compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    cube = scenes(told.data)
    whole: dict[str, Any] = {"ceiling": ceiling(cube, told.data)}
    for name in ("forest", "svm", "linear"):
        made = learn(told.data, HOW.model_copy(update={"algorithm": name, "repeats": 1}))
        for smoothing in (None, {}):
            maps = classify(cube, made.model, year=2013, smoothing=smoothing).compute()
            found, at = compare(maps, told.data), points(maps, told.data)
            there = at[at["other"] != ""]
            whole[name if smoothing is None else f"{name}, smoothed"] = {
                "blocked": round(made.report.cross.headline.overall, 4) if made.report else None,
                "agreement": round(found.agreement(), 4),
                "agreement, natural or used": round(found.agreement((1, 1, 2, 2)), 4),
                "points": f"{(at['own'] == at['label']).sum()} of {len(at)}",
                "points of both": f"{(there['own'] == there['label']).sum()} of {len(there)}",
                "points of both, other map": f"{(there['other'] == there['label']).sum()} of {len(there)}",
                "table": found.table().to_numpy().tolist(),
            }
            if told.figure and name == HOW.algorithm and smoothing is None:
                figure(maps, found).savefig(told.figure, dpi=80)
    print(json.dumps(whole, indent=1))
    if told.out:
        told.out.write_text(json.dumps(whole, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
