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
colours = ["red", "green", "blue"]
print(cubes.explain(items, bands=[*colours, "nir"], grid=utm, chunks=128))

# %% [markdown]
# ## 2. Load
#
# One variable per band. Scenes of one day are one step; clouds and shadows are left out; numbers become reflectance
# with the scale and offset that each item's own metadata settle. The cube is lazy: so far no pixel has been read.

# %%
cube = cubes.load(items, bands=[*colours, "nir"], grid=utm, chunks=128)
cube

# %% [markdown]
# A picture computes only what it shows: here the date with the most clear pixels. What was not seen is left white.

# %%
seen = cube.red.notnull().mean(("y", "x")).to_series()
clearest = int(seen.argmax())
axis = cube.terracube.plot(time=clearest)
axis.set_title(f"{seen.index[clearest]:%d %B %Y}: {100 * seen.iloc[clearest]:.0f} % seen clearly")
plt.show()

# %% [markdown]
# ## 3. Masks
#
# A sensor's description holds named rules; each is named by what it keeps. Class numbers or a function of the layer's
# numbers work as well. On a cloudy day, from left to right: what the scene holds, what `"clear"` keeps, and the
# classification that it follows. Blue-grey is what was not seen, here also beyond the edge of the swath.

# %%
half = int((seen - 0.6).abs().argmin())  # a day with about 60 % clear pixels
options = {"bands": [*colours, "scl"], "grid": utm, "chunks": 128}
whole = cubes.load(items, mask=None, **options).isel(time=[half]).compute()
clear = cubes.load(items, mask="clear", **options).isel(time=[half]).compute()
whole.scl.attrs["flag_colors"] = (
    "#000000 #ff0000 #404040 #8c6bb1 #41ab5d #d8b365 #2b8cbe #bdbdbd #fdd0a2 #f16913 #fee391 #ff99cc"
)
figure, axes = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
whole.terracube.plot(ax=axes[0], limits=(0.0, 0.2))
clear.terracube.plot(ax=axes[1], limits=(0.0, 0.2))
whole.terracube.plot(ax=axes[2], band="scl")
for axis, title in zip(axes, ("mask=None", 'mask="clear"', "the layer that masks"), strict=True):
    axis.set(title=title, xlabel="", ylabel="", xticks=[], yticks=[], facecolor="lightsteelblue")
plt.show()

# %%
rules = {"clear": "clear", "water": "water", "cloud": "cloud", "a function": lambda classes: classes == 4}
for name, rule in rules.items():
    kept = cubes.load(items, bands=["red"], grid=utm, mask=rule).red.isel(time=half)
    print(f"{name:10} keeps {100 * float(kept.notnull().mean()):3.0f} % of the pixels")

# %% [markdown]
# ## 4. Any grid, and the same answer however it is cut
#
# The same items in another projection, at another resolution: a method for each layer, and classes are never blended.
# Blocks of 64 or of 200 pixels give the same values to the last bit: nodes of the transformation, kernel scale and sums
# depend on the pixel alone, never on the block it is computed in.

# %%
european = cubes.Grid.from_items(items, bands=["red"], crs="EPSG:3035", resolution=15)
options = {"bands": ["red", "nir", "scl"], "grid": european, "resampling": {"scl": "nearest", "*": "bilinear"}}
fine = cubes.load(items, chunks=64, **options).compute()
coarse = cubes.load(items, chunks=200, **options).compute()
print("equal to the bit:", fine.identical(coarse), "  classes stay", fine.scl.dtype, "  values are", fine.red.dtype)

# %% [markdown]
# What the methods do, on 600 m at a shore: pixels of 5 m, finer than those of the files (10 m), and of 60 m, coarser.
# Nearest neighbour takes one pixel of the file for each; an average takes all that lie beneath.

# %%
west, south = (60 * round(edge / 60) for edge in (european.bounds.left + 900, european.centres()[0].mean()))
corner = (west, south, west + 600, south + 600)
day = [item for item in items if item.datetime.date() == seen.index[clearest].date()]
small = {size: cubes.Grid.from_bbox(corner, crs="EPSG:3035", resolution=size, bbox_crs="EPSG:3035") for size in (5, 60)}
figure, axes = plt.subplots(1, 4, figsize=(14, 3.9), layout="constrained")
shown = ((5, "nearest"), (5, "bilinear"), (60, "nearest"), (60, "average"))
for axis, (size, method) in zip(axes, shown, strict=True):
    shore = cubes.load(day, bands=["nir"], grid=small[size], resampling=method, mask=None, chunks=None)
    image = axis.imshow(shore.nir[0], vmin=0, vmax=0.5, cmap="viridis", interpolation="nearest")
    axis.set(title=f"{method}, {size} m", xticks=[], yticks=[])
figure.colorbar(image, ax=axes, label="near infrared, reflectance", shrink=0.8)
plt.show()

# %% [markdown]
# ## 5. A composite
#
# The median of the clear dates, fused with reading: a block's dates are read, masked, reduced and forgotten. Beside
# each band stands the number of dates it comes from.

# %%
season = cubes.reduce_time(items, "median", bands=[*colours, "nir"], grid=utm).compute()
figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
season.terracube.plot(ax=axes[0])
often = season.red_count
steps = plt.get_cmap("cividis", int(often.max()) + 1)
image = axes[1].imshow(often, cmap=steps, vmin=-0.5, vmax=float(often.max()) + 0.5, interpolation="nearest")
figure.colorbar(image, ax=axes[1], label="clear dates", ticks=range(int(often.max()) + 1), shrink=0.8)
axes[0].set(title="median of the clear dates", xlabel="", ylabel="", xticks=[], yticks=[])
axes[1].set(title="how many there were", xticks=[], yticks=[])
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
# Statistics in polygons, series at points: each block of the cube is read once, however many shapes lie in it. The
# table says how many pixels of a polygon were seen, so that a mean of a few is not taken for one of all.

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
series = cubes.sample(cube[["red", "nir"]], fields, id="id", stats=["mean", "count"])
series.head()

# %%
figure, axis = plt.subplots(figsize=(9, 3.6), layout="constrained")
for colour, (name, field) in zip(("tab:green", "tab:orange"), series.groupby("id"), strict=True):
    index = (field["nir_mean"] - field["red_mean"]) / (field["nir_mean"] + field["red_mean"])
    full = field["valid_count"] > 0.8 * field["pixel_count"]
    axis.plot(field["time"][full], index[full], "o-", color=colour, label=name)
    axis.plot(field["time"][~full], index[~full], "o", color=colour, mfc="none", label=f"{name}, under 80 % seen")
axis.set(title="Vegetation index of two squares of 300 m", ylabel="NDVI of the mean reflectances", ylim=(0, 1))
axis.legend(frameon=False, ncols=2)
axis.grid(alpha=0.3)
figure.autofmt_xdate(rotation=0, ha="center")
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
# is the same, and every earlier state can be opened again. Here the scenes of one day arrive after all the others.

# %%
days = sorted({item.datetime.date() for item in items})
late = days[len(days) // 2]
kept = cubes.VersionedCube.create(work / "cube", variables=cube[["red", "nir"]])
first = kept.append([item for item in items if item.datetime.date() != late], message="the season")
kept.append([item for item in items if item.datetime.date() == late], message="a day that came late")
for entry in kept.history():
    print(entry.id[:8], entry.message)
for difference in kept.diff(first.id).differences:
    print(pd.Timestamp(difference.date).date(), difference.variable, difference.pixels, "pixels")

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), sharey=True, layout="constrained")
states = {"at the first commit": kept.at(first.id), "now": kept.dataset()}
for axis, (title, state) in zip(axes, states.items(), strict=True):
    share = 100 * state.red.notnull().mean(("y", "x")).to_series()
    shades = ["tab:orange" if moment.date() == late else "tab:blue" for moment in share.index]
    axis.bar([f"{moment:%d %b}" for moment in share.index], share, color=shades)
    axis.set_title(f"{title}: {len(share)} dates")
    axis.tick_params(axis="x", labelrotation=45)
axes[0].set_ylabel("pixels seen clearly [%]")
plt.show()

# %% [markdown]
# ## 8. Hand it on
#
# Zarr that xarray, GDAL, QGIS and web viewers place alike, with coarser levels made in the same pass.

# %%
cubes.write_zarr(season, work / "season.zarr", multiscales=2)
again = xr.open_zarr(work / "season.zarr", decode_coords="all")
print("the same pixels:", cubes.Grid.like(again) == utm)
print("levels:", sorted(path.name for path in (work / "season.zarr").iterdir() if path.name.isdigit()))
