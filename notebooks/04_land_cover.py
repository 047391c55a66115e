# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Land cover: from a year of scenes to a validated map
#
# A pixel that is seen through a year tells what grows on it. First three looks at real data, one idea each: gaps in a
# series, what cross-validation hides, and a map beside that of others. Then the whole path on a simulated year, whose
# truth is known: samples, model, published map, a validation campaign, and areas with their intervals.
#
# The real data are read from the folder that `TERRACUBE_DATA` names; without it the first three parts are left out.
# Nothing here needs a server or a network.

# %%
import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

import geopandas as gpd
import matplotlib.pyplot as plt
import numpy as np
import pystac
import rasterio
import xarray as xr
from matplotlib.colors import ListedColormap
from rasterio.warp import transform_bounds

from terracube import cubes
from terracube.core.settings import settings
from terracube.ingest import ingest
from terracube.ingest.simulate import Region, acquisition_dates, write_scenes
from terracube.processing import landcover
from terracube.production import run
from terracube.production.training import train_model
from terracube.stac import Catalog, to_query

work = Path(mkdtemp(prefix="terracube-"))
real = settings().data / "landcover"
print("real data:", "there" if real.is_dir() else "not there, parts 1 to 3 are left out")

# %% [markdown]
# ## 1. A series with gaps
#
# Vegetation index over a square kilometre of hills in Slovenia, Sentinel-2, 2015 to 2017. Clouds take more than a third
# of the dates. Classifiers want values at the same dates everywhere: between the clear dates the series is filled, here
# linearly, and may be smoothed. How many dates were clear goes with every pixel.

# %%
if real.is_dir():
    patch = real / "slovenia-eopatch" / "TestEOPatch"
    times = np.array(json.loads((patch / "timestamps.json").read_text()), "datetime64[ns]")
    raw = np.load(patch / "data" / "NDVI.npy")[..., 0]
    clear = np.load(patch / "mask" / "IS_VALID.npy")[..., 0]
    ndvi = xr.Dataset(
        {"NDVI": (("time", "y", "x"), np.where(clear, raw, np.float32(np.nan)))},
        coords={"time": times, "y": 5080249.0 - 10 * np.arange(101), "x": 465186.0 + 10 * np.arange(100)},
    )
    when = {"start": "2016-01-01", "step": 10, "count": 37}
    filled = landcover.regular_series(ndvi, **when)
    smooth = landcover.regular_series(ndvi, **when, smooth=("whittaker", 4.0))

    figure, axes = plt.subplots(1, 2, figsize=(13, 3.8), layout="constrained", width_ratios=(2.4, 1))
    row, column = np.unravel_index(filled.NDVI.std("time").values.argmax(), clear.shape[1:])
    pixel = {"y": row, "x": column}
    year = (times >= np.datetime64("2015-12-15")) & (times < np.datetime64("2017-01-10"))
    seen = clear[:, row, column] & year
    axes[0].plot(times[year & ~seen], raw[year & ~seen, row, column], "x", color="0.6", label="cloud")
    axes[0].plot(times[seen], raw[seen, row, column], "o", color="#14746f", label="clear")
    axes[0].plot(filled.time, filled.NDVI.isel(pixel), "-", color="#e9a23b", label="filled, every 10 days")
    axes[0].plot(smooth.time, smooth.NDVI.isel(pixel), "-", color="#7a4fa3", label="and smoothed (Whittaker)")
    axes[0].set(title="One pixel", ylabel="NDVI", ylim=(-0.2, 1))
    axes[0].legend(frameon=False, ncols=4, loc="lower center", fontsize=9)
    axes[0].grid(alpha=0.3)
    image = axes[1].imshow(filled.clear, cmap="cividis", interpolation="nearest")
    axes[1].set(title="Clear dates of 68", xticks=[], yticks=[])
    figure.colorbar(image, ax=axes[1], shrink=0.9)
    plt.show()

# %% [markdown]
# ## 2. What cross-validation hides
#
# 1892 labelled series of Mato Grosso, Brazil: MODIS, a year of 16-day composites, nine classes, from forest to double
# crops. A model, here the plainest there is (linear discriminants), is trained and judged twice. With random folds each
# sample is asked of a model that learnt its neighbours. With blocked folds whole half-degree blocks are held back, so
# that the model is asked about places it has never seen, as it will be on the map. The blocked figure is the headline.

# %%
if real.is_dir():
    path = real / "mato-grosso-modis" / "br_mt_1_8K_9classes_6bands.csv.gz"
    series = landcover.read_samples(path, label="label")
    found = landcover.training(
        series,
        params=landcover.TrainParameters(algorithm="linear", repeats=1),
        features=landcover.modis(("NDVI", "EVI", "NIR", "MIR")),
        block=0.5,
    )
    random, blocked = found.report.cross.random, found.report.cross.blocked
    print(f"{len(series)} series; right: {random.overall:.1%} by random folds, {blocked.overall:.1%} by blocks")
    for note in found.report.cross.notes:
        print("note:", note)

# %% [markdown]
# Where it goes wrong, in percent of the samples of each class. Nearly all that blocks cost falls on forest and on soy
# with fallow: each lies within one block, and what is held back whole cannot be learnt elsewhere. Such samples do not
# tell how well the class is known in other places, and the notes above say so.

# %%
if real.is_dir():
    names = [name.replace("_", "-") for name in series.nomenclature.names]
    figure, axes = plt.subplots(1, 2, figsize=(13, 5.2), layout="constrained", sharey=True)
    for axis, one, title in zip(axes, (random, blocked), ("random folds", "blocks of half a degree"), strict=True):
        counts = one.confusions[0].counts.T  # rows: the reference
        share = 100 * counts / counts.sum(axis=1, keepdims=True)
        image = axis.imshow(share, cmap="BuPu", vmin=0, vmax=100)
        for (at, to), value in np.ndenumerate(share):
            if value >= 0.5:
                axis.text(
                    to, at, f"{value:.0f}", ha="center", va="center", color="w" if value > 55 else "k", fontsize=9
                )
        axis.set_title(f"{title}: {one.overall:.1%} right")
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right")
        axis.set_xlabel("said to be")
    axes[0].set_yticks(range(len(names)), [f"{n} ({c})" for n, c in zip(names, series.classes.values(), strict=True)])
    axes[0].set_ylabel("is (samples)")
    figure.colorbar(image, ax=axes, shrink=0.8, label="% of the samples of a class")
    plt.show()

# %% [markdown]
# ## 3. A map, and another's beside it
#
# Twelve MODIS scenes of Sinop, in the north of that state. The samples are series at other places, at the same twelve
# dates. The learner is the same. `classify` is lazy, and gives with each class how sure it is; `smoothing` lets
# neighbours have a say.

# %%
if real.is_dir():
    folder = real / "sinop-modis"
    scenes = sorted((folder / "inst" / "extdata" / "raster" / "mod13q1").glob("*.jp2"))
    with rasterio.open(scenes[0]) as header:
        bbox = list(transform_bounds(header.crs, "EPSG:4326", *header.bounds))

    def to_item(path):
        """Describe a scene: what the file does not say of itself is its date and its scale."""
        day = datetime.fromisoformat(path.stem[-10:]).replace(tzinfo=UTC)
        item = pystac.Item(path.stem, None, bbox, day, {})
        facts = {"raster:bands": [{"scale": 0.0001, "nodata": -3000}]}
        item.add_asset("NDVI", pystac.Asset(str(path), media_type="image/jp2", roles=["data"], extra_fields=facts))
        return item

    sinop = cubes.load([to_item(path) for path in scenes], bands=["NDVI"], mask=None, roots=[scenes[0].parent])
    samples = landcover.read_samples(folder / "samples_modis_ndvi.csv.gz")
    spec = landcover.FeatureSpec(bands=("NDVI",), series=("NDVI",), season={"start": "09-14", "step": 16, "count": 22})
    how = landcover.TrainParameters(algorithm="linear", class_weight="balanced", repeats=0)
    model = landcover.train(samples, params=how, features=spec)
    maps = landcover.classify(sinop, model, smoothing={"window": 3}).compute()
    print({name: int(count) for name, count in zip(samples.nomenclature.names, samples.classes.values(), strict=True)})

# %% [markdown]
# Another tool's map of a part of it is published with the scenes (sits, doi:10.3390/rs13132428). It was made of more:
# two indices at 23 dates, nine classes. Neither is the truth; of interest is where they part. (Of the learners at hand,
# this one comes closest to it; forests see more Cerrado.)

# %%
if real.is_dir():
    with rasterio.open(next((folder / "inst" / "extdata" / "raster" / "probs").glob("*.tif"))) as file:
        chances, corner = file.read().astype("float32"), file.transform
    # The nine classes of the other model, in alphabetical order; all crops are one here, as in our samples.
    nine = np.array([1, 4, 2, 3, 4, 4, 4, 4, 4])
    ordered = np.sort(chances, axis=0) / chances.sum(axis=0)
    theirs, their_margin = nine[chances.argmax(axis=0)], ordered[-1] - ordered[-2]
    left = round((corner.c - (float(sinop.x[0]) - 115.8)) / 231.656)
    top = round(((float(sinop.y[0]) + 115.8) - corner.f) / 231.656)
    ours = maps["class"].values[top : top + 50, left : left + 50]
    theirs, their_margin = theirs[: len(ours)], their_margin[: len(ours)]  # their frame reaches beyond our scenes
    sure = their_margin > 0.2
    same = ours == theirs
    print(f"agree: {same.mean():.1%} of all pixels, {same[sure].mean():.1%} where theirs has a margin above 0.2")

# %%
if real.is_dir():
    shades = {"Cerrado": "#c9a227", "Forest": "#1b5e3b", "Pasture": "#a7c957", "Soy_Corn": "#e76f8a"}
    colours = ListedColormap(list(shades.values()))
    figure = plt.figure(figsize=(13, 8), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.3, 1))
    axes = upper.subplots(1, 2)
    axes[0].imshow(maps["class"], cmap=colours, vmin=0.5, vmax=4.5, interpolation="nearest")
    axes[0].add_patch(plt.Rectangle((left - 0.5, top - 0.5), 50, len(ours), fill=False, color="k", linewidth=1.5))
    axes[0].set_title("Land cover around Sinop, September 2013 to August 2014")
    image = axes[1].imshow(maps.margin, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    axes[1].set_title("Margin to the next class")
    upper.colorbar(image, ax=axes[1], shrink=0.7)
    patches = [plt.Rectangle((0, 0), 1, 1, color=shade) for shade in shades.values()]
    axes[0].legend(patches, [name.replace("_", ", ") for name in shades], ncols=4, loc="upper center",
                   bbox_to_anchor=(0.5, 0), frameon=False)  # fmt: skip
    axes = np.append(axes, lower.subplots(1, 3))
    axes[2].imshow(ours, cmap=colours, vmin=0.5, vmax=4.5, interpolation="nearest")
    axes[3].imshow(theirs, cmap=colours, vmin=0.5, vmax=4.5, interpolation="nearest")
    apart = np.where(same, 0, np.where(sure, 2, 1))
    axes[4].imshow(apart, cmap=ListedColormap(["#f1efe9", "#e9a23b", "#b4232a"]), vmin=-0.5, vmax=2.5)
    for axis, title in zip(
        axes[2:], ("ours, in the frame", "theirs", "where they part (red: theirs is sure)"), strict=True
    ):
        axis.set_title(title)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
    plt.show()

# %% [markdown]
# ## 4. The whole path: a year comes in
#
# From here on everything is simulated, clouds and errors of their masks included, so that the truth is known at the
# end. A year of scenes becomes a catalogue.

# %%
region = Region(seed=5, size=150)
write_scenes(region, work / "scenes", dates=acquisition_dates("2023-01-05", "2023-12-31", every=24))
catalog = Catalog.create(work / "catalog")
report = ingest("sentinel-2-l2a", [work / "scenes"], catalog)
print(len(report.taken), "scenes in,", len(report.refused), "refused")

# %% [markdown]
# ## 5. Classes and samples
#
# A nomenclature says what codes mean: names, titles and colours, in one file. `oso-23` and `oso-17` of the French map
# are shipped; this one is ours.

# %%
words = {
    "broadleaf": "#4c9a2a", "conifer": "#1e4d2b", "meadow": "#b9d26a", "winter-crop": "#e8c547",
    "summer-crop": "#e07b39", "built-up": "#a4343a", "bare": "#b8aca0", "water": "#2f6db5",
}  # fmt: skip
classes = [
    {"code": code, "name": name, "title": {"en": name.capitalize().replace("-", " ")}, "colour": colour}
    for code, (name, colour) in enumerate(words.items(), start=1)
]
ours = {"name": "valley", "version": "1", "title": {"en": "Land cover of the valley"}, "classes": classes}
(work / "valley.json").write_text(json.dumps(ours))
valley = landcover.load_nomenclature(work / "valley.json")

# %% [markdown]
# Somebody walked the region and noted what is there: 40 points of each class, away from edges, in a GeoPackage.

# %%
rng = np.random.default_rng(1)
pure = region.land.fractions.max(axis=0) > 0.95
rows, columns = np.nonzero(pure)
codes = region.land_cover[rows, columns]
chosen = np.concatenate([rng.choice(np.flatnonzero(codes == code), 40, replace=False) for code in valley.codes])
affine = region.transform()
points = gpd.GeoDataFrame(
    {"label": [valley.of(int(code)).name for code in codes[chosen]]},
    geometry=gpd.points_from_xy(*(affine @ (columns[chosen] + 0.5, rows[chosen] + 0.5))),
    crs=region.epsg,
)
points.to_file(work / "samples.gpkg")
points.label.value_counts().to_frame("samples").T

# %% [markdown]
# ## 6. Train
#
# On the command line this is `terracube train landcover --samples samples.gpkg --nomenclature valley.json ...`. Red,
# near and short-wave infrared and two indices at 25 dates of the year are the features; they are described by plain
# JSON that goes into the model, so that next year's map is made of the same.

# %%
features = landcover.FeatureSpec(
    bands=("green", "red", "nir", "swir16"),
    season={"start": "01-01", "step": 15, "count": 25},
    series=("red", "nir", "swir16", "NDVI", "NDWI"),
)
made = train_model(
    catalog,
    {
        "samples": str(work / "samples.gpkg"),
        "nomenclature": str(work / "valley.json"),
        "collection": "sentinel-2-l2a",
        "datetime": "2023",
        "features": features.to_json(),
        "learn": {"algorithm": "extra_trees", "trees": 60, "repeats": 1},
        "title": "The valley, 2023",
    },
)
cross = made.training.report.cross
print(made.item.id, len(made.model.features), "features")
print(f"right: {cross.blocked.overall:.1%} by blocks, {cross.random.overall:.1%} by random folds")
print("beside the model:", ", ".join(made.item.assets))

# %% [markdown]
# What the model lives on: the index through the year, as the samples were seen; the median of a class, and the middle
# 80 % of its samples. (Water lies below: over water both reflectances are near zero, and their ratio is noise.)

# %%
training = made.training.series
index = landcover.features.feature_table(
    training, landcover.FeatureSpec(bands=("red", "nir"), season=features.season, series=("NDVI",))
)
figure, axis = plt.subplots(figsize=(10, 4), layout="constrained")
for one in valley.classes:
    of_class = index.values[training.labels == one.code]
    low, middle, high = np.nanpercentile(of_class, [10, 50, 90], axis=0)
    axis.plot(features.season.targets(), middle, color=one.colour, label=one.title.en, linewidth=2)
    axis.fill_between(features.season.targets(), low, high, color=one.colour, alpha=0.15, linewidth=0)
axis.set(title="A year of each class", xlabel="day of the year", ylabel="NDVI", xlim=(0, 360), ylim=(-0.3, 1))
axis.legend(frameon=False, ncols=1, loc="center left", bbox_to_anchor=(1, 0.5))
axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## 7. Run
#
# `terracube run landcover --model ... --datetime 2023`: blocks are read, filled, described, classified and forgotten;
# the features are never written. What is published is a product like any other, with its report.

# %%
request = {
    "chain": "landcover",
    "collection": "sentinel-2-l2a",
    "datetime": "2023",
    "parameters": {"model": made.model.digest, "smoothing": {"window": 5}},
}
product = run(catalog, request)
print(product.status, product.item.id)
print("again:", run(catalog, request).status)
maps = cubes.open_product(product.item)
maps

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 6), layout="constrained")
maps.terracube.plot(ax=axes[0], band="class")
axes[0].set_title("Land cover 2023")
axes[1].imshow(
    region.land_cover, cmap=ListedColormap(list(words.values())), vmin=0.5, vmax=8.5, interpolation="nearest"
)
axes[1].set_title("The truth")
for axis in axes:
    axis.set(xlabel="", ylabel="", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# How sure it is. Low margins lie along edges, where a pixel holds two covers, and where few dates were clear;
# `outside` marks what is unlike all samples; `validity` says on how many dates a pixel was clear.

# %%
figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
shown = (("margin", "margin to the next class", "magma"), ("entropy", "entropy, nats", "magma_r"),
         ("validity", "clear dates", "cividis"))  # fmt: skip
for axis, (name, title, colours) in zip(axes, shown, strict=True):
    image = axis.imshow(maps[name], cmap=colours, interpolation="nearest")
    figure.colorbar(image, ax=axis, shrink=0.8)
    axis.set(title=title, xticks=[], yticks=[])
plt.show()
print(f"unlike the samples: {float((maps.outside == 1).mean()):.1%} of the pixels")

# %% [markdown]
# ## 8. Tidy up
#
# Patches smaller than 5 pixels take the class beyond the longest part of their border; what remains becomes polygons.
# However the map is cut into blocks, the result is the same.

# %%
codes = maps["class"]
tidy = landcover.post.sieve(codes, size=5).compute()
fields = landcover.post.vectorise(tidy)
figure, axes = plt.subplots(1, 2, figsize=(13, 6), layout="constrained")
window = {"y": slice(30, 100), "x": slice(40, 110)}
look = {"cmap": ListedColormap(list(words.values())), "vmin": 0.5, "vmax": 8.5, "interpolation": "nearest"}
axes[0].imshow(codes.isel(window), **look)
axes[0].set_title("as classified")
left, right = float(maps.x[40]) - 5, float(maps.x[109]) + 5
bottom, top = float(maps.y[99]) - 5, float(maps.y[30]) + 5
axes[1].imshow(tidy.isel(window), extent=(left, right, bottom, top), **look)
fields.boundary.plot(ax=axes[1], color="k", linewidth=0.6)
axes[1].set(title="sieved, with its polygons", xlim=(left, right), ylim=(bottom, top))
for axis in axes:
    axis.set(xticks=[], yticks=[], xlabel="", ylabel="")
plt.show()
print(len(fields), "polygons, columns", ", ".join(fields.columns))

# %% [markdown]
# ## 9. Validate
#
# Cross-validation judges a model; a map is judged by points drawn at random on it, which somebody labels without
# knowing what the map says. `design_sample` draws them, more in small classes than their area asks for. Here the truth
# plays the interpreter.

# %%
campaign = landcover.accuracy.design_sample(maps["class"], 400, seed=1, minimum=30)
at = ~affine @ np.array([campaign.geometry.x, campaign.geometry.y])
campaign["label"] = region.land_cover[at[1].astype(int), at[0].astype(int)]
judged = landcover.validate(maps["class"], campaign, design="stratified", nomenclature=valley)
page, _ = landcover.accuracy.write_report(judged, work / "validation.html")
found = judged.estimate
print(
    f"overall {found.overall.value:.1%} [{found.overall.low:.1%}, {found.overall.high:.1%}] from {len(campaign)} points"
)
agree = maps["class"].values == region.land_cover
print(f"the truth of all pixels: {agree.mean():.1%}, {agree[pure].mean():.1%} where a pixel holds one cover")

# %% [markdown]
# Counted pixels are biased areas, because errors do not cancel. The sample corrects them and says how sure that is
# (Olofsson et al. 2014). The diamonds are what only a simulation can tell. Where no point spoke against a class the
# interval has no width, which is too short: the report says so, and how much may hide there.

# %%
truth = np.array([(region.land_cover == code).sum() for code in found.codes]) / 100
middle = np.array([one.value for one in found.areas])
reach = np.array([[one.value - one.low, one.high - one.value] for one in found.areas]).T
place = np.arange(len(found.codes))
figure, axis = plt.subplots(figsize=(10, 4.2), layout="constrained")
shades = [valley.of(code).colour for code in found.codes]
axis.barh(place, found.mapped, color=shades, alpha=0.55, height=0.7, label="pixels counted")
axis.errorbar(middle, place, xerr=reach, fmt="o", color="k", capsize=4, label="estimate, 95 %")
axis.plot(truth, place, "D", color="w", markeredgecolor="k", markersize=6, label="truth")
axis.set_yticks(place, [valley.title_of(code) for code in found.codes])
axis.invert_yaxis()
axis.set(xlabel="hectares", title="Areas", xlim=(0, None))
axis.legend(frameon=False)
axis.spines[["top", "right"]].set_visible(False)
plt.show()
inside = sum(one.low <= true <= one.high for one, true in zip(found.areas, truth, strict=True))
print(f"{inside} of {len(truth)} intervals hold the truth")
print("\n".join(note for note in found.notes if "agree" in note))

# %% [markdown]
# Are the probabilities what they say? Where the model says 80 %, it should be right four times of five. Nearly all
# pixels have a probability near 1, and are right. Those at edges hold two covers and are less sure than they say: no
# sample was taken there.

# %%
items = catalog.search(to_query(collections="sentinel-2-l2a", datetime="2023"))
full = landcover.classify(items, made.model, grid=maps.terracube.grid, mask="clear").compute()
chances = full.probabilities.values.reshape(len(valley.codes), -1).T
curve = landcover.accuracy.calibration(chances, region.land_cover.ravel(), made.model.classes)
figure, axis = plt.subplots(figsize=(5, 4.6), layout="constrained")
axis.plot([0, 1], [0, 1], "--", color="0.6")
axis.errorbar(curve.confidence, curve.accuracy, fmt="o-", color="#14746f",
              yerr=[curve.accuracy - curve.low, curve.high - curve.accuracy])  # fmt: skip
axis.set(title=f"Calibration, mean error {curve.ece:.3f}", xlabel="probability given", ylabel="share that is right",
         xlim=(0, 1), ylim=(0, 1))  # fmt: skip
plt.show()
