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
# # Water: where it is, how clear it is, and what is in it
#
# The colour of water tells what floats in it: mud makes it bright and brown, algae green, dissolved humus dark. First
# a few spectra, to see what formulas can know and what they cannot. Then a lake through a summer, simulated, clouds and
# haze included, so that the truth is known: masks, correction, products with two kinds of uncertainty, a published
# map, a series, and match-ups with measurements. At the end a real lake and the boats that sampled it.
#
# The real data are read from the folder that `TERRACUBE_DATA` names; without it the last part is left out. Nothing here
# needs a server or a network.

# %%
from pathlib import Path
from tempfile import mkdtemp

import geopandas as gpd
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rasterio
import rasterio.features
import shapely
import xarray as xr
from matplotlib.colors import ListedColormap, LogNorm

from terracube import cubes
from terracube.core.errors import TerraCubeError
from terracube.core.settings import settings
from terracube.ingest import ingest
from terracube.ingest.simulate import (
    BANDS,
    Cover,
    Optics,
    Region,
    acquisition_dates,
    water_reflectance,
    write_scenes,
)
from terracube.processing import water
from terracube.production import run
from terracube.stac import Catalog, to_query

work = Path(mkdtemp(prefix="terracube-"))
real = settings().data / "water" / "harsha"
print("real data:", "there" if real.is_dir() else "not there, part 8 is left out")

# %% [markdown]
# ## 1. Four waters
#
# Reflectance of water is made here from what is in it: algae (mg m-3), suspended matter (g m-3), and dissolved humus
# (its absorption at 440 nm, m-1). The physics knows none of the formulas that will be asked.

# %%
roles = ["coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08"]
waters = {
    "clear": (0.3, 0.2, 0.02),
    "coastal": (3.0, 3.0, 0.1),
    "turbid": (4.0, 60.0, 0.3),
    "green": (60.0, 8.0, 0.3),
}


def spectra(algae, mud, humus):
    """Simulate what a Sentinel-2 would measure without atmosphere: water-leaving reflectance, pi Rrs."""
    optics = Optics(dissolved=humus)
    algae, mud = np.broadcast_arrays(np.atleast_1d(np.float64(algae)), np.float64(mud))
    return {role: ("sample", water_reflectance(BANDS[role], algae, mud, optics=optics)) for role in roles}


four = xr.concat([xr.Dataset(spectra(*content)) for content in waters.values()], "sample")
four

# %% [markdown]
# Numbers alone do not say whether they are pi Rrs, Rrs or the surface reflectance of a land processor, and a factor of
# pi is an easy mistake. So a dataset has to say it, and a formula refuses the wrong one.

# %%
for cube in (four, four.assign_attrs(quantity="rhos")):
    try:
        water.retrieve("spm_blend", cube, sensor="S2A_MSI")
    except TerraCubeError as error:
        print("refused:", error)
four = water.declare(four, "rhow", sensor="S2A_MSI")
told = water.retrieve(["spm_blend", "chl_blend", "secchi_lee2015", "hue_angle", "forel_ule"], four, flags=False)
told.to_dataframe().set_axis(list(waters)).round(2)

# %%
figure, axis = plt.subplots(figsize=(10, 4.2), layout="constrained")
nm = [(BANDS[role].low + BANDS[role].high) / 2 for role in roles]
# The 21 colours of the Forel-Ule scale, roughly as a screen can show them.
shades = ["#2158bc", "#316dc5", "#327cbb", "#4b80a0", "#568f96", "#6d9298", "#698c86", "#759e72", "#7ba654", "#7dae38",
          "#95b645", "#94b660", "#a5bc76", "#aab86d", "#adb55f", "#a8a965", "#ae9f5c", "#b3a053", "#af8a44", "#a46905",
          "#a14d04"]  # fmt: skip
for number, name in enumerate(waters):
    found = int(told.forel_ule[number])
    values = [float(four[role][number]) for role in roles]
    axis.plot(nm, values, "o-", color=shades[found - 1], label=f"{name}: Forel-Ule {found}", linewidth=3)
axis.set(title="Four waters as Sentinel-2 sees them", xlabel="wavelength, nm", ylabel="water-leaving reflectance",
         yscale="log", ylim=(1e-5, 0.3))  # fmt: skip
axis.legend(frameon=False, loc="lower left")
axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## 2. What a formula can know
#
# Each formula is asked about waters it was not made for. Left: suspended matter, which scatters light and is hard to
# miss. Right: chlorophyll, which has to be told from the humus that absorbs at the same wavelengths. In the grey band a
# formula is off by less than half; lines end where a formula gives no value, because its band saturates. Blends go on
# where single formulas stop. No blend helps where the spectrum does not hold the answer: to a ratio of blue and green,
# humus is algae. The stained lake below is such a case. An inversion seeks the content that meets all bands: it depends
# less on humus, but on what it assumes of algae and particles, and here both are others.

# %%
amounts = np.geomspace(0.5, 80, 40)
figure, axes = plt.subplots(1, 2, figsize=(13, 4.4), layout="constrained", sharey=True)
for humus, colour in ((0.05, "#2c7fb8"), (0.3, "#7a8b2f"), (1.0, "#8c5a1e")):
    mud = water.declare(xr.Dataset(spectra(3.0, amounts, humus)), "rhow", sensor="S2A_MSI")
    algae = water.declare(xr.Dataset(spectra(amounts, 4.0, humus)), "rhow", sensor="S2A_MSI")
    for axis, cube, names in (
        (axes[0], mud, ("spm_blend", "spm_nechad2016")),
        (axes[1], algae, ("chl_blend", "chl_inversion")),
    ):
        found = water.retrieve(names, cube, flags=False)
        for name, style in zip(names, ("-", ":"), strict=True):
            label = f"{name}, humus {humus:g} m-1"
            axis.plot(amounts, found[name] / amounts, style, color=colour, linewidth=2.2, label=label)
for axis, what in zip(axes, ("suspended matter, g m-3", "chlorophyll, mg m-3"), strict=True):
    axis.axhspan(1 / 1.5, 1.5, color="0.9", zorder=0)
    axis.set(xscale="log", yscale="log", ylim=(0.04, 25), xlabel=f"{what}: the truth", title=what.split(",")[0])
    axis.legend(frameon=False, fontsize=8, ncols=2, loc="upper right", labelspacing=0.2)
    axis.grid(alpha=0.3)
axes[0].set_ylabel("retrieved / truth")
plt.show()

# %% [markdown]
# Which formulas a sensor allows, what each was shown to be, and how far it is from the truth: one table.

# %%
known = water.describe(sensor="S2A_MSI")
print(len(known), "products of Sentinel-2A")
known.loc[["spm_blend", "turbidity_dogliotti2015", "chl_blend", "secchi_lee2015", "cdom_ficek"],
          ["unit", "quantity", "needs", "range", "relative_error", "evidence"]]  # fmt: skip

# %% [markdown]
# ## 3. A lake through a summer
#
# A river brings mud into a lake; algae grow in its southern bay, more of them towards autumn. Its water is stained.
# The satellites pass every eight days; clouds, their shadows and haze are as they are. `groupby="time"` keeps
# the hour at which they passed, which match-ups need.

# %%
region = Region(seed=5, size=180)
days = acquisition_dates("2023-06-02", "2023-09-08", every=8)
write_scenes(region, work / "scenes", dates=days)
catalog = Catalog.create(work / "catalog")
print(len(ingest("sentinel-2-l2a", [work / "scenes"], catalog).taken), "scenes")

items = catalog.search(to_query(collections="sentinel-2-l2a", datetime="2023"))
bands = ["blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22"]
cube = cubes.load(items, bands=[*bands, "scl"], mask=None, groupby="time").compute()
print("the bands hold", cube.attrs["quantity"], "and this may still hold glint and haze")

# %% [markdown]
# First where water is. `mask` tells wet from dry and says for each pixel why it may not be trusted. Then what is left
# of glint and haze is taken off: over water the short-wave infrared is black, and what it shows came from elsewhere.
# This is no atmospheric correction, and the attributes say so. Then all products, in one pass.

# %%
cloudy = cube.scl.isin([1, 3, 8, 9, 10])  # saturated, shadows, clouds, cirrus
where = water.mask(cube[bands], "wofs", cloud=cloudy)
for band in bands:  # this simulation is noisier than the specification of the instrument, which would be taken else
    cube[band].attrs["noise"] = region.noise.floor
rhow = water.correct(cube[bands], "swir")
print(rhow.attrs["correction"])
names = ["spm_blend", "turbidity_dogliotti2015", "chl_blend", "hue_angle"]
made = water.retrieve(names, rhow, uncertainty=True)
out = xr.merge([where, made], compat="override", combine_attrs="drop_conflicts")
print(out.spm_blend.attrs["units"], "|", out.spm_blend.attrs["bands"], "|", out.attrs["sensor"])

# %%
stamps = [str(day)[:10] for day in out.time.values]
mud = np.stack([region.suspended_matter(day) for day in stamps])
algae = np.stack([region.chlorophyll(day) for day in stamps])
share = region.land.share(Cover.WATER)

body = share > 0.5
seen = (where.water.values[:, body] != 255).mean(axis=1)  # share of the lake that was seen
best, partly = int(seen.argmax()), int(np.abs(seen - 0.5).argmin())


def bar(image, axis, label, ticks=(2, 5, 10, 20), **more):
    """Draw the colours of a logarithmic scale with plain numbers."""
    drawn = figure.colorbar(image, ax=axis, label=label, ticks=ticks, format="%g", **more)
    drawn.minorticks_off()


figure, axes = plt.subplots(2, 4, figsize=(13, 6.6), layout="constrained")
shades_of_water = ListedColormap(["#d8cfb8", "#2b6cb0", "#ffffff"])
for row, date in zip(axes, (best, partly), strict=True):
    colours = np.stack([cube[name][date] for name in ("red", "green", "blue")], axis=-1)
    row[0].imshow(np.clip(colours / 0.16, 0, 1) ** 0.7)
    row[0].set_ylabel(stamps[date])
    row[1].imshow(np.where(where.water[date] == 255, 2, where.water[date]), cmap=shades_of_water, vmin=0, vmax=2)
    values = out.spm_blend[date].where(where.water[date] == 1)
    scale = {"norm": LogNorm(1.5, 30), "cmap": "YlOrBr", "interpolation": "nearest"}
    row[2].imshow(values, **scale)
    image = row[3].imshow(np.where(body, mud[date], np.nan), **scale)
    bar(image, row[3], "suspended matter, g m-3", shrink=0.9)
for axis, title in zip(axes[0], ("scene", "water, land, nothing known", "suspended matter", "the truth"), strict=True):
    axis.set_title(title)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
    axis.set_facecolor("#f4f1ea")
plt.show()

known = where.water.values != 255
lake = np.broadcast_to(body, known.shape)
found = where.water.values == 1
both, either = ((part & known).sum(axis=(1, 2)) for part in (found & lake, found | lake))
print(f"mask and truth, where it is clear: {both[best] / either[best]:.1%} in common on {stamps[best]}, "
      f"{both.sum() / either.sum():.1%} on all dates")  # fmt: skip

# %% [markdown]
# ## 4. Two kinds of uncertainty
#
# **Noise** is that of the bands, carried through the formula; it differs from pixel to pixel, and a mean over a bay is
# rid of it. **Algorithm** is how far the formula is from the truth, as found where there were samples; neighbours share
# it, and no mean helps. They are given apart, since they are used apart. Here the truth shows both at work.

# %%
pure = np.broadcast_to(share > 0.999, known.shape) & found
ratio = np.where(pure, out.spm_blend / mud, np.nan)[best]
relative = {part: (out[f"spm_blend_{part}"] / out.spm_blend).values[best] for part in ("noise", "algorithm")}
down, across = np.flatnonzero(body.sum(axis=1) > 12), np.flatnonzero(body.any(axis=0))
frame = {"xlim": (across[0] - 3, across[-1] + 3), "ylim": (down[-1] + 3, down[0] - 3)}
figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
for axis, values, title in (
    (axes[0], relative["noise"], "noise / value"),
    (axes[1], relative["algorithm"], "algorithm / value"),
    (axes[2], np.abs(ratio - 1), "error / truth"),
):
    image = axis.imshow(np.where(pure[best], values, np.nan), vmin=0, vmax=0.8, cmap="magma_r", interpolation="nearest")
    axis.set(title=title, xticks=[], yticks=[], **frame)
figure.colorbar(image, ax=axes, shrink=0.85)
plt.show()
total = np.hypot(out.spm_blend_noise, out.spm_blend_algorithm).values
within = np.abs(out.spm_blend.values - mud)[pure] <= total[pure]
print(f"of all wet pixels of the summer, {np.nanmean(within):.0%} are within one sigma of both; 68 % would be fair")

clean = xr.Dataset({band: (("y", "x"), region.truth_reflectance([band], [stamps[best]])[0, 0]) for band in bands})
ideal = water.retrieve("spm_blend", water.declare(clean, "rhow", sensor="S2A_MSI"), flags=False).spm_blend.values
here = pure[best] & np.isfinite(out.spm_blend.values[best])
shift = (out.spm_blend.values[best] - ideal)[here]
shift -= np.median(shift)  # what haze leaves is the same everywhere
inside = np.abs(shift) < out.spm_blend_noise.values[best][here]
print(f"of what the formula gives without noise, {inside.mean():.0%} are within one sigma of noise; again 68 % is fair")

# %% [markdown]
# ## 5. The same as a published product
#
# `terracube run water --datetime 2023-06/2023-09 ...`: one pass over the scenes gives how often a pixel was water, and
# the middle of the season for each product, with why there is none where there is none.

# %%
request = {
    "chain": "water",
    "collection": "sentinel-2-l2a",
    "datetime": "2023-06-01/2023-09-30",
    "parameters": {"products": ["spm_blend", "chl_blend"]},
}
product = run(catalog, request)
print(product.status, product.item.id, "| again:", run(catalog, request).status)
season = cubes.open_product(product.item)
print(", ".join(season.data_vars))

# %%
figure, axes = plt.subplots(2, 3, figsize=(10.5, 7.8), layout="constrained")
middle = {"spm_blend": np.median(mud, axis=0), "chl_blend": np.median(algae, axis=0)}
wet = (season.water == 1).values
shown = (
    ("frequency", "share of clear dates with water", {"cmap": "YlGnBu", "vmin": 0, "vmax": 1}),
    ("spm_blend", "suspended matter, g m-3", {"cmap": "YlOrBr", "norm": LogNorm(1.5, 30)}),
    ("chl_blend", "chlorophyll, mg m-3", {"cmap": "YlGn", "norm": LogNorm(1, 60)}),
)
for column, (name, title, style) in enumerate(shown):
    image = axes[0, column].imshow(season[name], interpolation="nearest", **style)
    true = share if name == "frequency" else np.where(body, middle[name], np.nan)
    axes[1, column].imshow(true, interpolation="nearest", **style)
    ticks = (0, 0.5, 1) if name == "frequency" else (2, 5, 10, 20, 50)
    bar(image, axes[:, column], "", ticks, shrink=0.6, location="bottom")
    axes[0, column].set_title(title)
axes[0, 0].set_ylabel("product")
axes[1, 0].set_ylabel("the truth")
for axis in axes.flat:
    axis.set(xticks=[], yticks=[], facecolor="#f4f1ea")
plt.show()
for name in ("spm_blend", "chl_blend"):
    keep = wet & (share > 0.999)
    print(f"{name}, against the truth of the summer: {water.score(season[name].values[keep], middle[name][keep])}")

# %% [markdown]
# Suspended matter is right. Chlorophyll is not, as part 2 foretold of stained water: the map looks plausible, its
# numbers are of the right size, and it is nearly the same where algae are few and where they are many. The map alone
# does not tell; measurements do.

# %% [markdown]
# ## 6. The series of a lake
#
# Outlines of lakes are usually at hand; `terracube run water ... --lakes lakes.gpkg` publishes their series beside the
# map. Here the lake is cut out of the truth, with the part before the river's mouth and the bay as lakes of their own.
# Dates on which less than half was seen are shown as such, never as dry.

# %%
rows, columns = np.indices(share.shape)
affine = region.transform()


def outline(pixels):
    """Give the largest patch of some pixels as a polygon."""
    patches = rasterio.features.shapes(pixels.astype("uint8"), mask=pixels, transform=affine)
    return max((shapely.geometry.shape(geometry) for geometry, _ in patches), key=shapely.area)


mouth = np.flatnonzero(body.sum(axis=1) > 12)[0]
foot = np.flatnonzero(body.sum(axis=1))[-1]
third = (foot - mouth) // 3
parts = {
    "the lake": body & (rows >= mouth),
    "river mouth": body & (rows >= mouth) & (rows < mouth + third),
    "southern bay": body & (rows > foot - third),
}
lakes = gpd.GeoDataFrame({"id": list(parts)}, geometry=[outline(pixels) for pixels in parts.values()], crs=region.epsg)
table = water.series(out[["water", "flags", *[n for n in out.data_vars if n.startswith("spm_blend")]]], lakes, id="id")
print(table.groupby("id", sort=False).status.value_counts().unstack(fill_value=0))

# %%
water.lakes.picture(table, "the lake")

# %% [markdown]
# The dip of the area is a veil of cirrus, too thin for the classification of the scene, too bright for the mask: what
# the mask is given has to be clear. With error bars one can say what differs. Those drawn are both parts; between the
# two lakes only noise differs, since one formula errs alike in both. The diamonds are the truth.

# %%
figure, axis = plt.subplots(figsize=(11, 3.8), layout="constrained")
for lake_name, colour in (("river mouth", "#b36b00"), ("southern bay", "#2f7d4f")):
    own = table[(table.id == lake_name) & (table.status == "ok")]
    axis.errorbar(own.time, own.spm_blend_median, own.spm_blend_error, fmt="o", color=colour, capsize=3,
                  label=lake_name)  # fmt: skip
    truth = [np.median(mud[step][parts[lake_name]]) for step in range(len(stamps))]
    axis.plot(out.time, truth, "D", color="w", markeredgecolor=colour, markersize=6)
axis.set(ylabel="suspended matter, g m-3", yscale="log", title="Median of each part, one sigma; diamonds: the truth")
axis.legend(frameon=False)
axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## 7. Match-ups
#
# A boat went out at noon of each of these days, and filters were weighed, to 10 %. On some days it was cloudy,
# one station is on land, one sample was entered twice. Nothing is left out without a word: every candidate has its
# reasons.

# %%
rng = np.random.default_rng(5)
inside = np.argwhere(share > 0.999)
places = inside[rng.choice(len(inside), 14, replace=False)]
places = np.vstack([places, np.argwhere((share < 0.01) & (np.abs(rows - mouth) < 20))[:1]])
easting, northing = affine @ (places[:, 1] + 0.5, places[:, 0] + 0.5)
points = gpd.GeoSeries(gpd.points_from_xy(easting, northing), crs=region.epsg).to_crs(4326)
visits = []
for step, day in enumerate(stamps):
    for station, (row, column) in enumerate(places):
        weighed = np.nan_to_num(mud[step, row, column], nan=9.0) * np.exp(0.1 * rng.standard_normal())
        noon = pd.to_datetime(f"{day}T11:30Z")
        lon, lat = points[station].x, points[station].y
        visits.append((f"S{station:02d}", noon, lon, lat, "suspended_matter", weighed, "g m-3"))
measured = pd.DataFrame(visits, columns=["station", "time", "lon", "lat", "variable", "value", "unit"])
measured = pd.concat([measured, measured.iloc[[20]]], ignore_index=True)
pairs = water.matchup(out, measured, variables={"spm_blend": "suspended_matter"}, box=3, window="3h")
print(water.score(pairs))
water.matchups.gates(pairs)

# %%
water.scatter(pairs, title="Suspended matter, 3 x 3 pixels, within 3 hours")

# %% [markdown]
# ## 8. Harsha Lake, Ohio, 8 August 2016
#
# A Sentinel-2 scene and the boats that sampled the reservoir on the same morning (Johansen et al. 2018,
# doi:10.1016/j.hal.2018.06.001; the data by their workflow). The scene was made for land, and glint lies on it.

# %%
if real.is_dir():
    names = ("aot", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "swir16", "swir22")
    with rasterio.open(real / "S2_Harsha_08082016.tif") as file:
        values, grid = file.read(masked=True).filled(np.nan) / 10000, file.transform
        crs = file.crs
    y, x = grid.f + grid.e * (np.arange(values.shape[1]) + 0.5), grid.c + grid.a * (np.arange(values.shape[2]) + 0.5)
    harsha = xr.Dataset(
        {name: (("time", "y", "x"), band[None]) for name, band in zip(names[1:], values[1:], strict=True)},
        coords={"time": np.array(["2016-08-08T16:20"], "datetime64[ns]"), "y": y, "x": x},
        attrs={"quantity": "rhos", "sensor": "S2A_MSI"},
    ).rio.write_crs(crs)
    boats = gpd.read_file(real / "Harsha_wq_points_sub.gpkg")
    boats = boats[boats.Site != "H03"]  # as its origin does
    clock = pd.to_datetime("2016-08-08 " + boats.Time.astype(str)).dt.tz_localize("America/New_York")
    base = pd.DataFrame({"station": boats.Site, "time": clock, "lon": boats.geometry.x, "lat": boats.geometry.y})
    told = (("chlorophyll_a", "Chl_ugL", "ug L-1"), ("turbidity_fnu", "Turbid_NTU", "NTU"))
    samples = pd.concat(
        [base.assign(variable=name, value=boats[column], unit=unit) for name, column, unit in told], ignore_index=True
    )
    print(len(boats), "stations")

# %% [markdown]
# An index needs no correction, as ratios lose much of the glint. The published squared correlation of NDCI with
# chlorophyll here is 0.511.

# %%
if real.is_dir():
    index = water.retrieve("ndci", harsha, flags=False)
    found = water.matchup(index, samples, variables={"ndci": "chlorophyll_a"}, box=1, units="ignore")
    fit = water.matchups.line(found)
    print(f"NDCI and chlorophyll: R2 {fit.r2:.4f}, {fit.n} of {fit.of} stations")
    figure, axes = plt.subplots(1, 2, figsize=(13, 4.8), layout="constrained", width_ratios=(1.5, 1))
    wet = water.mask(harsha, "indices", index="mndwi").water[0] == 1
    image = axes[0].pcolormesh(x, y, index.ndci[0].where(wet), cmap="YlGn", vmin=-0.05, vmax=0.25)
    at = boats.to_crs(crs).geometry
    axes[0].scatter(at.x, at.y, c=boats.Chl_ugL, cmap="magma", s=30, edgecolor="w", linewidth=0.6)
    figure.colorbar(image, ax=axes[0], label="NDCI", shrink=0.8)
    axes[0].set(title="NDCI, and chlorophyll where the boats were (dark: little)", xticks=[], yticks=[], aspect="equal")
    used = found[found.used]
    axes[1].plot(used.estimate, used.truth, "o", color="#2f7d4f")
    line = np.array([used.estimate.min(), used.estimate.max()])
    axes[1].plot(line, fit.slope * line + fit.intercept, "k-", linewidth=1)
    axes[1].set(title=f"R2 {fit.r2:.3f}, n = {fit.n} of {fit.of}", xlabel="NDCI", ylabel="chlorophyll, ug/L")
    axes[1].grid(alpha=0.3)
    plt.show()

# %% [markdown]
# Turbidity is not a ratio, and glint counts as mud: uncorrected it is three times too high. Less the short-wave
# infrared, the bias falls; with Fresnel's wavelength dependence it falls further. What remains is
# what only a correction of the atmosphere over water could take off.

# %%
if real.is_dir():
    figure, axis = plt.subplots(figsize=(6.4, 5.2), layout="constrained")
    marks = ((None, "as delivered", "#b23a48"), ("swir", "less the short-wave infrared", "#c98a1b"),
             ("glint", "less spectral glint", "#14746f"))  # fmt: skip
    for method, title, colour in marks:
        turbid = water.retrieve("turbidity_dogliotti2015", water.correct(harsha, method))
        found = water.matchup(turbid, samples, box=1, units={"NTU": "FNU"})
        told = water.score(found)
        used = found[found.used]
        label = f"{title}: bias {told.sspb:+.0f} %, n = {told.n} of {told.of}"
        axis.plot(used.truth, used.estimate, "o", color=colour, label=label, alpha=0.8)
    axis.plot([0.5, 100], [0.5, 100], "k-", linewidth=1)
    axis.set(xscale="log", yscale="log", xlim=(1, 20), ylim=(0.5, 60), xlabel="measured, NTU", ylabel="retrieved, FNU")
    axis.legend(frameon=False, fontsize=9, loc="lower right")
    axis.grid(alpha=0.3)
    plt.show()
