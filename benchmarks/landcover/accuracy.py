"""What the learners reach on real labelled samples, by random folds and by folds of places never seen.

Two sets. Mato Grosso: 1 892 series of MODIS in nine classes; folds are random and stratified, or whole blocks of half a
degree, ``floor(lon / 0.5), floor(lat / 0.5)`` (GroupKFold, shuffled, five folds, one shuffle per seed). Two classes lie
in one block each, 218 samples that blocked folds can never recognise: 0.885 is the most there is. Crop mask of four
African zones: two half-year geometric medians of Sentinel-2 each; the files tell no places, so that only identical
observations are kept together ("identical"), and, stricter, samples whose rainfall in both halves is alike ("rain": a
hundred clusters of k-means, each some hundred kilometres of climate).

Nothing is chosen by looking at a held-out fold: scales, hyper-parameters and temperatures are found inside
``learn.fit`` from the rows it is given, in inner folds of whole groups. Which features and which members make the
ensemble was settled on folds of other seeds (100 to 103) of the same samples.

"Pooled" is the accuracy of all held-out samples of one shuffle together, "mean of folds" that of its folds; blocks are
of unequal sizes, and folds that hold large blocks are few and hard, so that the second is the higher one. Reference
figures of a forest of 200 trees and a support vector machine (C = 10) on the plain series of four bands, of unshuffled
folds, are 0.833 and 0.848; shuffled, 0.832 and 0.848 pooled, 0.849 and 0.866 as mean of folds.

    python benchmarks/landcover/accuracy.py mato-grosso --data ../shared/data/landcover --seeds 10 --out result.json
    python benchmarks/landcover/accuracy.py crop-mask --data ../shared/data/landcover --seeds 10 --out result.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terracube.processing.landcover.features import FeatureSpec, Season, feature_table
from terracube.processing.landcover.features.extremes import moving_extremes
from terracube.processing.landcover.learn import TrainParameters, fit

Table = tuple[NDArray[np.float32], NDArray[np.int64], dict[str, NDArray[np.int64]]]

ZONES = ("southern", "central", "sahel", "south_eastern")
PLAIN = TrainParameters(algorithm="forest")
CHOSEN = {
    "mato-grosso": TrainParameters(
        algorithm="ensemble", members=("linear", "kernel"), class_weight="balanced", tune=True
    ),
    "crop-mask": TrainParameters(algorithm="ensemble", members=("extra_trees", "lightgbm"), class_weight="balanced"),
}
MODIS = {"MIR": "swir22", "BLUE": "blue", "NIR": "nir", "RED": "red", "EVI": "EVI", "NDVI": "NDVI"}
MODIS_INDICES = ("NBR", "NRFIr")
STATISTICS = ("p5", "p25", "median", "p75", "p95", "std")
HALF = ("blue", "green", "red", "nir", "swir16", "swir22", "rededge1", "rededge2", "rededge3")
HALF_YEAR = 16


def mato_grosso(folder: Path) -> tuple[Table, Table]:
    """Give plain series (four bands) and the chosen features, each with labels and blocks."""
    import pandas as pd

    rows = pd.read_csv(folder / "mato-grosso-modis" / "br_mt_1_8K_9classes_6bands.csv.gz")
    first = rows.groupby("sample", sort=True).first()
    series = rows[list(MODIS)].to_numpy(np.float32).reshape(len(first), -1, len(MODIS))
    codes = np.unique(first["label"], return_inverse=True)[1].astype(np.int64)
    corners = np.floor(first[["longitude", "latitude"]].to_numpy() / 0.5)
    blocks = np.unique(corners, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    spec = modis_spec()
    table = feature_table(series, spec, days=spec.season.targets())
    plain = series[:, :, [list(MODIS).index(name) for name in ("NDVI", "EVI", "NIR", "MIR")]].reshape(len(first), -1)
    groups = {"blocked": blocks}
    return (plain, codes, groups), (table.values, codes, groups)


def modis_spec() -> FeatureSpec:
    """Describe the features: values and indices, their percentiles, and moving extremes of five dates."""
    season = Season(start="09-01", step=16, count=23)
    names = (*MODIS.values(), *MODIS_INDICES)
    return FeatureSpec(
        bands=tuple(MODIS.values()),
        season=season,
        series=names,
        statistics=dict.fromkeys(names, STATISTICS),
        functions=(moving_extremes(names, season),),
    )


def crop_mask(folder: Path, zone: str) -> tuple[Table, Table]:
    """Give the 33 features of the files, and the chosen ones, each with labels and the two kinds of groups."""
    import gzip

    from sklearn.cluster import KMeans

    with gzip.open(folder / "deafrica-cropmask" / f"{zone}.training_data.txt.gz", "rt") as lines:
        rows = np.loadtxt(lines)
    values, codes = rows[:, 1:], rows[:, 0].astype(np.int64)
    identical = np.unique(values, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    rain = values[:, [HALF_YEAR - 1, 2 * HALF_YEAR - 1]]
    clusters = KMeans(100, n_init=1, random_state=0).fit_predict((rain - rain.mean(axis=0)) / rain.std(axis=0))
    groups = {"identical": identical, "rain": clusters.astype(np.int64)}
    return (values.astype(np.float32), codes, groups), (richer(values), codes, groups)


def richer(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Add normalised differences of bands in both halves of the year, and what changes between the halves."""
    halves = values[:, :HALF_YEAR], values[:, HALF_YEAR : 2 * HALF_YEAR]
    pairs = [("nir", "swir16"), ("nir", "swir22"), ("swir16", "swir22"), ("rededge3", "rededge1"), ("nir", "rededge1"),
             ("green", "nir"), ("red", "green"), ("green", "blue"), ("swir22", "red"), ("rededge2", "red")]  # fmt: skip
    indices = [np.stack([ratio(*(half[:, HALF.index(n)] for n in pair)) for pair in pairs], axis=1) for half in halves]
    bright = [half[:, : len(HALF) - 3].sum(axis=1, keepdims=True) for half in halves]
    change = [
        halves[1] - halves[0],
        indices[1] - indices[0],
        ratio(halves[1][:, : len(HALF)], halves[0][:, : len(HALF)]),
    ]
    rain = np.log(np.maximum(values[:, [HALF_YEAR - 1, 2 * HALF_YEAR - 1]], 1.0))
    return np.concatenate([values, *indices, *bright, *change, rain], axis=1).astype(np.float32)


def ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the normalised difference of two reflectances."""
    return (a - b) / np.maximum(a + b, 1e-6)


def folds(codes: NDArray[np.int64], groups: NDArray[np.int64] | None, seed: int) -> Iterator[tuple[Any, Any]]:
    """Share out the samples in five folds."""
    from sklearn.model_selection import GroupKFold, StratifiedKFold

    if groups is None:
        yield from StratifiedKFold(5, shuffle=True, random_state=seed).split(codes, codes)
    else:
        yield from GroupKFold(5, shuffle=True, random_state=seed).split(codes, groups=groups)


def judge(table: Table, how: TrainParameters, scheme: str, seed: int) -> dict[str, float]:
    """Cross-validate once: accuracy of all held-out samples together, and means over the folds."""
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    values, codes, every = table
    groups = every.get(scheme)
    said = np.empty_like(codes)
    per_fold, balanced = [], []
    for train, test in folds(codes, groups, seed):
        model = fit(values[train], codes[train], groups=None if groups is None else groups[train], params=how)
        said[test] = model.predict(values[test])
        per_fold.append(accuracy_score(codes[test], said[test]))
        balanced.append(recall(codes[test], said[test]))
    return {
        "pooled": float(accuracy_score(codes, said)),
        "mean_of_folds": float(np.mean(per_fold)),
        "balanced_pooled": float(balanced_accuracy_score(codes, said)),
        "balanced": float(np.mean(balanced)),
    }


def recall(codes: NDArray[np.int64], said: NDArray[np.int64]) -> float:
    """Give the mean recall of the classes that occur."""
    return float(np.mean([(said[codes == code] == code).mean() for code in np.unique(codes)]))


def run(name: str, tables: tuple[Table, Table], schemes: tuple[str, ...], seeds: int, show: Any) -> dict[str, Any]:
    """Judge the plain forest and the chosen ensemble in each scheme with several seeds."""
    found: dict[str, Any] = {}
    for scheme in schemes:
        for who, table, how in (("plain forest", tables[0], PLAIN), ("ensemble", tables[1], CHOSEN[name])):
            start, scores = time.process_time(), []
            for seed in range(seeds):
                scores.append(judge(table, how, scheme, seed))
                mean = {key: round(float(np.mean([one[key] for one in scores])), 4) for key in scores[0]}
                spread = {key: round(float(np.std([one[key] for one in scores])), 4) for key in scores[0]}
                cpu = round(time.process_time() - start, 1)
                found[f"{scheme}, {who}"] = {"seeds": seed + 1, "mean": mean, "sd": spread, "cpu_s": cpu}
                show(found)
    return found


def main() -> None:
    """Run one set and write what was found after every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=sorted(CHOSEN))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--schemes", nargs="+")
    parser.add_argument("--zones", nargs="+", default=ZONES, choices=ZONES)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    whole: dict[str, Any] = {"set": told.set, "parameters": CHOSEN[told.set].model_dump(mode="json"), "found": {}}

    def show(part: str) -> Any:
        def keep(found: dict[str, Any]) -> None:
            whole["found"][part] = found
            if told.out is not None:
                told.out.write_text(json.dumps(whole, indent=1), encoding="utf-8")

        return keep

    if told.set == "mato-grosso":
        run(told.set, mato_grosso(told.data), tuple(told.schemes or ("blocked", "random")), told.seeds, show("all"))
    else:
        for zone in told.zones:
            schemes = tuple(told.schemes or ("identical", "rain"))
            run(told.set, crop_mask(told.data, zone), schemes, told.seeds, show(zone))
    print(json.dumps(whole, indent=1))


if __name__ == "__main__":
    main()
