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
# # Cubes: from items to arrays, and arrays that grow
#
# The loader on its own, without a catalogue: STAC items go in, a lazy cube comes out, on any grid. We ask what a call
# will do before a pixel is read, look at masks and resampling, make a composite, sample fields, keep a cube that grows
# with every new date, and go back in time.
#
# The scenes are simulated, two overlapping tiles of a Sentinel-2-like satellite; the same calls take items of any STAC
# API. Nothing here needs a server or a network.

# %%
from pathlib import Path
from tempfile import mkdtemp

import geopandas as gpd
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pystac
import xarray as xr
from shapely.geometry import Point, box

from terracube import cubes
from terracube.ingest.simulate import Region, acquisition_dates, write_scenes

work = Path(mkdtemp(prefix="terracube-"))
region = Region(seed=5, size=240)
paths = write_scenes(region, work / "scenes", dates=acquisition_dates("2023-06-04", "2023-08-03", every=6))
items = [pystac.Item.from_file(path) for path in paths]
items = [item for item in items if item.properties.get("eo:cloud_cover", 0) < 80]
print(len(items), "items of", sorted({item.properties["grid:code"] for item in items}))

# %% [markdown]
# ## 1. Ask first
#
# `explain` settles everything that `load` would, and reads no pixel: which sources, how many bytes, which decoder, how
# many tasks, how much memory for a block.

# %%
utm = cubes.Grid.from_items(items, bands=["red"])
print(cubes.explain(items, bands=["red", "green", "blue", "nir"], grid=utm, chunks=128))

# %% [markdown]
# ## 2. Load
#
# One variable per band. Scenes of one day are one step; clouds and shadows are left out; numbers become reflectance
# with the scale and offset that each item's own metadata settle. Only now is anything computed, and only that block.

# %%
cube = cubes.load(items, bands=["red", "green", "blue", "nir"], grid=utm, chunks=128)
cube

# %%
step = int(cube.red.notnull().mean(("y", "x")).values.argmax())
cube.terracube.plot(time=step)
plt.show()

# %% [markdown]
# ## 3. Any grid, and the same answer however it is cut
#
# The same items in another projection, at another resolution, bilinear for the bands and nearest for the classes.
# Blocks of 64 or of 200 pixels give the same values to the last bit: nodes of the transformation, kernel scale and sums
# depend on the pixel alone, never on the block it is computed in.

# %%
european = cubes.Grid.from_items(items, bands=["red"], crs="EPSG:3035", resolution=15)
options = {"bands": ["red", "nir", "scl"], "grid": european, "resampling": {"scl": "nearest", "*": "bilinear"}}
fine = cubes.load(items, chunks=64, **options).compute()
coarse = cubes.load(items, chunks=200, **options).compute()
print("equal to the bit:", fine.identical(coarse), "  classes stay", fine.scl.dtype, "  values are", fine.red.dtype)

# %% [markdown]
# ## 4. Masks
#
# A sensor's description holds named rules: `clear` is one of several. A function of the layer's numbers works as well.

# %%
rules = {"no mask": None, "clear": "clear", "water only": lambda classes: classes == 6}
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for axis, (title, rule) in zip(axes, rules.items(), strict=True):
    day = cubes.load(items, bands=["nir"], grid=utm, mask=rule).nir.isel(time=step)
    axis.imshow(np.ma.masked_invalid(day.values), vmin=0, vmax=0.5, cmap="viridis")
    axis.set(title=f"{title}: {100 * float(day.notnull().mean()):.0f} % of the pixels", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## 5. A composite
#
# The median of the clear dates, fused with reading: a block's dates are read, masked, reduced and forgotten. Beside
# each band stands the number of dates it comes from.

# %%
season = cubes.reduce_time(items, "median", bands=["red", "green", "blue", "nir"], grid=utm).compute()
season.terracube.plot()
plt.show()

# %% [markdown]
# What one block cannot know is gathered first: the mean vegetation index of the whole scene, summed in fixed tiles so
# that it does not depend on the blocks, then handed to every block.


# %%
def sums(tile):
    """Sum and number of the vegetation index of a tile."""
    index = (tile.nir - tile.red) / (tile.nir + tile.red)
    return float(index.sum(dtype="float64")), int(index.count())


def mean(parts):
    """Put the tiles together."""
    return sum(total for total, _ in parts) / sum(count for _, count in parts)


def above(block, threshold):
    """Where the index is above that of the scene."""
    index = (block.nir - block.red) / (block.nir + block.red)
    return {"greener": (index > threshold).astype("uint8")}


green = cubes.reduce_blocks(season[["red", "nir"]], None, sums, mean)
greener = cubes.map_blocks(season[["red", "nir"]], None, above, {"greener": "uint8"}, broadcast=green)
print(f"mean index {green.compute():.3f}; above it {100 * float(greener.greener.mean()):.0f} % of the pixels")

# %% [markdown]
# ## 6. Sample
#
# Statistics in polygons, series at points: each block of the cube is read once, however many shapes lie in it.

# %%
left, bottom, right, top = utm.bounds
fields = gpd.GeoDataFrame(
    {"id": ["west", "east"]},
    geometry=[
        box(left + 600, bottom + 600, left + 900, bottom + 900),
        box(right - 900, top - 900, right - 600, top - 600),
    ],
    crs=utm.crs,
)
series = cubes.sample(cube[["red", "nir"]], fields, id="id")
series.head()

# %%
figure, axis = plt.subplots(figsize=(9, 3.5), layout="constrained")
for name, field in series.groupby("id"):
    index = (field["nir_mean"] - field["red_mean"]) / (field["nir_mean"] + field["red_mean"])
    axis.plot(field["time"], index, "o-", label=name)
axis.set(title="NDVI of two squares", ylabel="of the means of the clear pixels")
axis.legend(frameon=False)
axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# For a match-up with a measurement, boxes of pixels are taken as they are, with their distance in space and time.

# %%
station = gpd.GeoDataFrame(
    {"time": pd.to_datetime(["2023-07-04T09:00:00Z"])}, geometry=[Point(left + 1000, top - 1000)], crs=utm.crs
)
boxes = cubes.extract_boxes(items, station, n=3, window="36h", bands=["red", "scl"], grid=utm, mask=None)
boxes

# %% [markdown]
# ## 7. Keep a cube that grows
#
# A versioned cube takes new dates as they come, late ones too; each append is one commit. Whatever the order, the cube
# is the same, and every earlier state can be opened again.

# %%
kept = cubes.VersionedCube.create(work / "cube", variables=cube[["red", "nir"]])
early, late = cube[["red", "nir"]].isel(time=slice(1, None)), cube[["red", "nir"]].isel(time=slice(0, 1))
first = kept.append(early, message="the season")
kept.append(late, message="a date that came late")
for entry in kept.history():
    print(entry.id[:8], entry.message)
now, before = kept.dataset(), kept.at(first.id)
print(f"{before.sizes['time']} dates before, {now.sizes['time']} now")
print("in order of time:", pd.Index(now.time).is_monotonic_increasing)

# %% [markdown]
# ## 8. Hand it on
#
# Zarr that xarray, GDAL, QGIS and web viewers place alike, with coarser levels made in the same pass.

# %%
cubes.write_zarr(season, work / "season.zarr", multiscales=2)
again = xr.open_zarr(work / "season.zarr", decode_coords="all")
print("the same pixels:", cubes.Grid.like(again) == utm)
print("levels:", sorted(path.name for path in (work / "season.zarr").iterdir() if path.name.isdigit()))
