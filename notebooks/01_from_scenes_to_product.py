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
# # From scenes to a product
#
# A summer over a small region: eleven passes of a Sentinel-2-like satellite, two overlapping tiles, clouds and their
# shadows. We take the scenes in, find them again, open them as a lazy cube, and reduce the season to one clear picture
# with its uncertainty. The region is simulated, so at the end we can compare with the truth.
#
# Nothing here needs a server or a network.

# %%
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np

from terracube import cubes
from terracube.ingest import ingest
from terracube.ingest.simulate import Region, acquisition_dates, write_scenes
from terracube.processing import composite
from terracube.production import RunRequest, reproduce, run
from terracube.stac import Catalog, to_query

work = Path(mkdtemp(prefix="terracube-"))

# %% [markdown]
# ## 1. Scenes come in
#
# `Region` holds the truth; `write_scenes` gives what a satellite would deliver of it: 12 bands on grids of 10, 20 and
# 60 m, the scene classification, and a STAC item for each scene. Noise and clouds are of the usual size; milder ones
# are refused.

# %%
region = Region(seed=5, size=240)
dates = acquisition_dates("2023-06-04", "2023-08-03", every=6)
delivered = write_scenes(region, work / "delivered", dates=dates)
print("\n".join(line for line in region.describe().splitlines() if not line.startswith(("Deformation", "Radar"))))

# %% [markdown]
# A catalogue is a folder. Each scene is checked against its own files before it is taken in; what cannot be trusted is
# refused with the reason.

# %%
catalog = Catalog.create(work / "catalog")
report = ingest("sentinel-2-l2a", [work / "delivered"], catalog, jobs=2)
print(f"{len(report.taken)} scenes in, {len(report.refused)} refused")

# %% [markdown]
# ## 2. Scenes are found again
#
# By time, place and any property of their items; here we leave out what is nearly all cloud.

# %%
items = catalog.search(to_query(collections="sentinel-2-l2a", filters="eo:cloud_cover<80"))
for item in items[:6]:
    print(f"{item.id}   {item.datetime:%Y-%m-%d %H:%M}   cloud {item.properties['eo:cloud_cover']:5.1f} %")
print(f"... in all {len(items)} of {len(report.taken)} scenes")

# %% [markdown]
# ## 3. Scenes become a cube
#
# The grid says where the pixels lie; here it is that of the scenes themselves. Scenes of one day are placed together,
# clouds and shadows are left out, numbers become reflectance. Nothing is read yet: there is one task per block.

# %%
bands = ["blue", "green", "red", "nir"]
scenes = cubes.read_scenes(items, bands).scenes
native = cubes.Grid.covering([scene.bands["red"].grid for scene in scenes], like=scenes[0].bands["red"].grid)
cube = cubes.load(items, bands=bands, grid=native, chunks=128)
cube

# %% [markdown]
# What a day looks like: the mosaic of its two tiles, before and after clouds and shadows are left out. Grey is missing:
# not seen by the satellite, in a scene that the search left out, or, below, not clear.

# %%
unmasked = cubes.load(items, bands=["red", "green", "blue"], grid=native, mask=None)


def true_colour(dataset, **where):
    """Red, green and blue between 0 and 0.2, ready to be shown; missing pixels are grey."""
    picture = np.stack([dataset[name].isel(**where).values for name in ("red", "green", "blue")], axis=-1)
    return np.where(np.isfinite(picture), np.clip(picture / 0.2, 0, 1), 0.75)


clear = cube.red.notnull().mean(("y", "x")).values
shown = np.argsort(clear)[[1, len(clear) // 2, -1]]
figure, axes = plt.subplots(2, 3, figsize=(10, 6.6), layout="constrained")
for column, step in enumerate(shown):
    axes[0, column].imshow(true_colour(unmasked, time=step))
    axes[0, column].set_title(f"{np.datetime_as_string(cube.time.values[step], 'D')}, {100 * clear[step]:.0f} % clear")
    axes[1, column].imshow(true_colour(cube, time=step))
for row, name in enumerate(("as seen", "clear pixels")):
    axes[row, 0].set_ylabel(name)
for axis in axes.ravel():
    axis.set(xticks=[], yticks=[], frame_on=False)
plt.show()

# %% [markdown]
# ## 4. The cube becomes a picture of the season
#
# The geometric median takes all bands of a pixel together. With it come how often the pixel was seen clearly (its
# validity) and how far the observations lie from the median (its uncertainty).

# %%
season = composite(cube).compute()
figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
axes[0].imshow(true_colour(season))
axes[0].set_title("Geometric median, true colour")
for axis, name, title in ((axes[1], "count", "Clear observations"), (axes[2], "emad", "EMAD (reflectance)")):
    values = season[name].values
    drawn = axis.imshow(values, vmin=0, vmax=np.nanpercentile(values, 98))
    axis.set_title(title)
    figure.colorbar(drawn, ax=axis, shrink=0.85, extend="max")
for axis in axes:
    axis.set_axis_off()
plt.show()

# %% [markdown]
# ## 5. How close is it?
#
# The truth at the same dates, without clouds and noise, reduced in the same way. Some of the difference is honest:
# a pixel that was cloudy half of the time was seen on other days than the truth was taken on, and where a field was
# harvested meanwhile that matters.

# %%
truth = region.truth_reflectance(tuple(bands), dates).astype("float32")
target = cubes.reduce.geomedian(truth).median
gap = np.stack([season[name].values for name in bands]) - target
rmse = np.sqrt(np.nanmean(gap**2, axis=(1, 2)))
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
axes[0].bar(bands, rmse, color="#14746f")
axes[0].set(title="Difference from the truth", ylabel="RMSE (reflectance)")
seen = season["count"].values
counts = np.arange(1, seen.max() + 1)
by_count = [np.sqrt(np.nanmean(gap[3][seen == n] ** 2)) if (seen == n).any() else np.nan for n in counts]
axes[1].plot(counts, by_count, "o-", color="#14746f")
axes[1].set(title="nir, by how often a pixel was seen", xlabel="clear observations", ylabel="RMSE (reflectance)")
axes[1].set_ylim(bottom=0)
plt.show()
assert rmse[:3].max() < 0.02

# %% [markdown]
# ## 6. The same as a published product
#
# So far all was in memory. A run publishes: COGs, Zarr, a quick-look, a report and a STAC item that names its inputs
# with their checksums. The same request again finds it done; `reproduce` makes it anew from its item alone and compares
# every pixel.

# %%
request = RunRequest(
    chain="composite",
    collection="sentinel-2-l2a",
    datetime="2023-06/2023-08",
    filters=("eo:cloud_cover<80",),
    parameters={"bands": bands},
)
made = run(catalog, request)
print(made.status, made.item.id)
print("again:", run(catalog, request).status)
print("reproduced to the bit:", reproduce(catalog, made.item).equal)

# %%
same = cubes.open_product(made.item)
for name in ("red", "count", "emad"):
    np.testing.assert_array_equal(same[name].values, season[name].values)
print("the published pixels are those computed above; the report:", made.item.assets["report"].get_absolute_href())
