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
# # Ground deformation: from interferograms and images to how the ground moves, and how sure that is
#
# A basin sinks by up to 3 cm a year and breathes with the seasons, and one day a fault slips below its southern edge.
# Two radar tracks watch for two years. All of it is simulated, so that the truth is known: the air between satellite
# and ground, the noise of the coherence, and whole cycles that unwrapping got wrong. From them: the network, what does
# not close and its repair, the series with its errors, the motion in words of a model, the event, motion east and up
# from both tracks, what lies below, a station beside it; then a pair of images with a fault; at the end the same as a
# published product.
#
# Nothing here needs a server, a network or data.

# %%
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import ListedColormap
from pyproj import Transformer
from scipy.ndimage import gaussian_filter, map_coordinates

from terracube import cubes
from terracube.core.errors import TerraCubeError
from terracube.ingest import ingest
from terracube.ingest.simulate import (
    Frame,
    LineOfSight,
    Radar,
    Region,
    interferogram,
    mogi,
    pairs_of,
    radar_dates,
    write_interferograms,
)
from terracube.processing import deformation as defo
from terracube.production import run
from terracube.stac import Catalog

work = Path(mkdtemp(prefix="terracube-"))
diverging = {"cmap": "RdBu", "interpolation": "nearest"}  # blue: towards the satellite, east or up


def show(axis, values, limit, title, **more):
    """Draw a map in millimetres on a scale that is white at zero."""
    style = diverging | {"vmin": -limit, "vmax": limit} | more
    image = axis.imshow(1000 * np.asarray(values), **style)
    axis.set(title=title, xticks=[], yticks=[], facecolor="0.85")
    return image


# %% [markdown]
# ## 1. What happened, and what two radars saw of it
#
# `Frame` is the simulator's ground: a source that loses volume below the basin, and a yearly breathing. The fault is
# added here: a rectangle that slips down its dip on 1 March 2023 (`defo.okada`).

# %%
SIZE, EVENT = 96, "2023-03-01"
region = Region(seed=7, size=90)
radars = {"ascending": Radar(), "descending": Radar(heading=-167.7, incidence=36.0)}
passes = {
    name: radar_dates(first, count=33) for name, first in (("ascending", "2022-01-03"), ("descending", "2022-01-11"))
}
ground = Frame(region, SIZE)
east, north = ground.offsets  # metres from the middle
slip = defo.okada(
    east - 1300, north + 1700, depth=500.0, size=(2400.0, 1500.0), strike=60.0, dip=55.0, slip=(0.0, -0.35, 0.0)
)


def track_of(name):
    """Give the frame of a track, its line of sight, and the slip as it sees it."""
    radar = radars[name]
    look = LineOfSight.of(incidence=radar.incidence, heading=radar.heading)
    return Frame(replace(region, radar=radar), SIZE), look, look.project(slip)


def true_displacement(name):
    """Give what a perfect radar would see, m towards the satellite, (time, y, x)."""
    frame, _, seen = track_of(name)
    after = np.array([str(day) >= EVENT for day in passes[name]])
    return frame.motion.displacement(passes[name]) + after[:, None, None] * seen


def blunders(shape, rng):
    """Draw where unwrapping went wrong: discs of whole cycles in some pairs."""
    y, x = np.indices(shape[1:])
    wrong = np.zeros(shape, "int64")
    for layer in wrong:
        for _ in range(rng.poisson(4)):
            row, column = rng.integers(0, shape[1], 2)
            layer[(y - row) ** 2 + (x - column) ** 2 < rng.uniform(2, 8) ** 2] = rng.choice([-1, 1])
    return wrong


def stack_of(name, rng):
    """Simulate the pairs of a track; the stack, and by how many cycles each pixel of each pair is wrong."""
    frame, look, seen = track_of(name)
    pairs = pairs_of(passes[name], neighbours=3)
    made = [interferogram(frame, *pair) for pair in pairs]
    spans = np.array([str(first) < EVENT <= str(second) for first, second in pairs])[:, None, None]
    phase = np.stack([one.unwrapped for one in made]) - 4 * np.pi / frame.region.radar.wavelength * spans * seen
    wrong = blunders(phase.shape, rng) * np.isfinite(phase)
    days = np.array(pairs, "datetime64[ns]")
    (left, top), pixel = frame.transform @ (0, 0), frame.pixel
    plane = np.ones((SIZE, SIZE), "float32")
    dims, flat = ("pair", "y", "x"), ("y", "x")
    stack = xr.Dataset(
        {"unwrapped_phase": (dims, (phase + 2 * np.pi * wrong).astype("float32"), {"units": "rad"}),
         "coherence": (dims, np.stack([one.coherence for one in made])),
         "dem": (flat, frame.terrain.astype("float32")),
         "los_east": (flat, look.east * plane), "los_north": (flat, look.north * plane),
         "los_up": (flat, look.up * plane)},
        coords={"reference_time": ("pair", days[:, 0]), "secondary_time": ("pair", days[:, 1]),
                "perpendicular_baseline": ("pair", [one.baseline for one in made]),
                "y": top - (np.arange(SIZE) + 0.5) * pixel, "x": left + (np.arange(SIZE) + 0.5) * pixel},
        attrs={"wavelength": frame.region.radar.wavelength, "looks": frame.region.radar.looks},
    )  # fmt: skip
    return stack.rio.write_crs(region.epsg), wrong


rng = np.random.default_rng(1)
raw, wrong = stack_of("ascending", rng)

# %% [markdown]
# A stack is any dataset of this form. `to_stack` is the door: it looks at it from all sides and guesses nothing. Above
# all the sign is asked for, since plausible maps come out of the wrong one. Here phase grows with the distance.

# %%
try:
    defo.to_stack(raw)
except TerraCubeError as error:
    print("refused:", error)
stack = defo.to_stack(raw, sign="range_increase")
print(dict(stack.sizes), "|", stack.attrs["phase_sign"])

# %% [markdown]
# ## 2. The network
#
# Dates, and the pairs between them, each with its coherence. Every date is paired with the next three, so that all but
# the outermost are in six pairs: what one pair gets wrong, others contradict.

# %%
figure, axis = plt.subplots(figsize=(10, 3.8), layout="constrained")
defo.plot_network(stack, coherence=defo.network.mean_coherence(stack).values, ax=axis)
plt.show()
joined = defo.connectivity(stack)
print(f"all dates are joined on {float((joined.n_components == 1).mean()):.0%} of the pixels")

# %% [markdown]
# ## 3. What does not close, and its repair
#
# Around a loop of pairs phases add up to zero, but for noise and for whole cycles that are wrong. `closure` counts the
# triplets that do not close; `repair` finds the fewest cycles that explain them, compares with the pixels around, and
# says where the network cannot decide. All of it after the phase of calm ground is taken off, or constants of pairs
# would not close.

# %%
referenced = defo.apply_reference(stack)  # the calmest coherent ground, found; it is told what and where
print(referenced.attrs["reference"])
place = float(referenced.reference_y), float(referenced.reference_x)
mended = defo.repair(referenced, neighbours=True)
before, after = defo.closure(referenced), defo.closure(mended)
worst = int(np.abs(wrong).sum(axis=(1, 2)).argmax())
row, column = (int(np.abs(stack[axis].values - at).argmin()) for axis, at in zip("yx", place, strict=True))
# Where the ground of the reference is wrong in a pair, all of the pair is, but for that ground.
truly = wrong - np.rint(np.median(wrong[:, row - 4 : row + 4, column - 4 : column + 4], axis=(1, 2)))[:, None, None]
known = np.isfinite(stack.unwrapped_phase.values)

figure, axes = plt.subplots(1, 3, figsize=(12, 3.7), layout="constrained")
most = float(before.n_bad_triplets.max())
for axis, found, title in ((axes[0], before, "before"), (axes[1], after, "after the repair")):
    image = axis.imshow(found.n_bad_triplets.where(found.n_triplets > 0), vmin=0, vmax=most, cmap="magma_r")
    axis.set(title=f"triplets that do not close, {title}", xticks=[], yticks=[], facecolor="0.85")
figure.colorbar(image, ax=axes[:2], shrink=0.8)
for found, mark, colour, title in ((before, "o", "#b23a48", "before"), (after, ".", "#14746f", "after")):
    shares = 100 * (truly != 0).mean(axis=(1, 2)), 100 * found.bad_share.mean(("y", "x"))
    axes[2].plot(*shares, mark, color=colour, label=title, alpha=0.8)
axes[2].set(title="the pairs", xlabel="wrong pixels of a pair, %", ylabel="its loops that do not close, %")
axes[2].legend(frameon=False)
axes[2].grid(alpha=0.3)
plt.show()

# %% [markdown]
# In one pair the ground of the reference itself was wrong, and so nearly all of the pair; pairs that share a loop with
# it look bad, too. The repair does not mind: it sees which pair the others contradict.

# %%
left = (truly + mended.cycles.values != 0) & known
sure = (mended.slack > 0).values
clean = ~left.any(axis=0)
print(f"wrong before: {(truly != 0)[known].mean():.1%} of all phases; after: {left[known].mean():.3%}")
print(f"pixels without any error: before {(~((truly != 0) & known).any(axis=0)).mean():.1%}, after {clean.mean():.1%}; "
      f"of the {sure.mean():.0%} where the network alone can decide {clean[sure].mean():.1%}")  # fmt: skip

# %%
defo.draw_repair(referenced, mended, pair=worst)

# %% [markdown]
# ## 4. The series, and two kinds of error
#
# `invert` solves the network of each pixel by least squares, each pair weighed by the variance that its coherence
# gives its phase. `std_network` is what this noise makes of a displacement, relative to the first date. It does not
# know of the air, which is the same in all pairs of a date. `std_atmosphere` is found from what a model of the motion
# leaves over. The series is relative to the reference, so the truth is, too.

# %%
MODEL = f"linear + annual + step({EVENT})"  # of what moves; what it leaves over is the air's
ts = defo.invert(mended, reference=None, atmosphere=MODEL)
print(", ".join(ts.data_vars))
truth = true_displacement("ascending")


def against(values):
    """Refer the truth (..., y, x) to the area of the reference."""
    area = values[..., row - 4 : row + 4, column - 4 : column + 4]
    return values - area.mean(axis=(-2, -1), keepdims=True)


error = ts.displacement.values - against(truth)
spread = np.hypot(ts.std_network, ts.std_atmosphere).values
inside = np.abs(error[1:]) <= spread[1:]
solved = np.isfinite(spread[1:])
print(f"typical error: {1000 * np.nanmedian(np.abs(error[1:])):.1f} mm; within one sigma: {inside[solved].mean():.0%} "
      "of the displacements; 68 % would be fair over many stacks, of which this is one (part 6)")  # fmt: skip

figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
last = -1
image = show(axes[0], ts.displacement[last], 60, "displacement of two years")
show(axes[1], against(truth)[last], 60, "the truth")
figure.colorbar(image, ax=axes[:2], label="mm towards the satellite", shrink=0.8)
scale = {"vmin": 0, "vmax": 15, "cmap": "cividis"}
show(axes[2], ts.std_network[last], 15, "std_network", **scale)
image = show(axes[3], ts.std_atmosphere[last], 15, "std_atmosphere", **scale)
figure.colorbar(image, ax=axes[2:], label="mm", shrink=0.8)
plt.show()

# %% [markdown]
# ## 5. Taking off what follows the terrain
#
# A part of the air's delay grows with height. It is estimated together with the motion, which is kept, and taken off a
# date only where a test says that it is there. What was done stands in the series.

# %%
flat = defo.correct_ramp_elevation(ts, model=MODEL, reference=place)
done = defo.corrections_of(flat)[0]
removed = flat.ramp_elevation_removed.values
print(done["name"], "| dates with something taken off:", int(removed.any(axis=1).sum()), "of", len(removed) - 1)
away = {"as inverted": ts, "ramp and elevation off": flat}
for name, series in away.items():
    off = np.abs(series.displacement.values - against(truth))[1:]
    print(f"{name}: typical error {1000 * np.nanmedian(off):.1f} mm")
flat["std_atmosphere"] = defo.atmosphere_std(flat, model=MODEL)

# %% [markdown]
# ## 6. The motion in words
#
# A model with its terms: steady motion, the seasons, a step on the day of the event. Each parameter comes with its
# standard deviation; `coloured="ar1"` widens it where what is left of one date is like that of the next.

# %%
vel = defo.fit(flat, MODEL, coloured="ar1")
print(", ".join(name for name in vel.data_vars if not name.endswith("_std")))
defo.motion_map(vel, "velocity", uncertainty=True)

# %%
frame, _, seen = track_of("ascending")
off = vel.velocity.values - against(frame.motion.velocity)
print(f"velocity: typical error {1000 * np.nanmedian(np.abs(off)):.1f} mm/year; "
      f"within one sigma {(np.abs(off) < vel.velocity_std.values)[np.isfinite(off)].mean():.0%}")  # fmt: skip
sinking = np.unravel_index(np.nanargmin(vel.velocity.values), vel.velocity.shape)
deepest = float(vel.y[sinking[0]]), float(vel.x[sinking[1]])
defo.series_plot(flat, deepest, fitted=vel)

# %% [markdown]
# Seven of ten should be within one sigma. But the air of neighbours is alike, and that of the reference is in all: one
# stack is one draw. Sixteen other skies over the same ground say what the error is worth.

# %%
shares = []
for seed in range(1, 17):
    sky = Frame(replace(region, seed=seed), 32)
    air = np.stack([sky.delay(day) for day in passes["ascending"]])
    air -= air[:, 4:12, 4:12].mean(axis=(1, 2), keepdims=True)
    seen_so = sky.motion.displacement(passes["ascending"]) - (air - air[0])
    one = xr.Dataset({"displacement": (("time", "y", "x"), seen_so.astype("float32"))}, {"time": ts.time}, ts.attrs)
    drawn = defo.fit(one, MODEL, coloured="ar1")
    shares.append(float((np.abs(drawn.velocity - sky.motion.velocity) < drawn.velocity_std).mean()))
print(f"within one sigma: {np.mean(shares):.0%} in the mean of {len(shares)} skies, "
      f"single ones from {min(shares):.0%} to {max(shares):.0%}")  # fmt: skip

# %% [markdown]
# Is each term needed? An F-test and the information criterion, pixel by pixel: the step is, above the fault; the year
# is, in the middle of the basin.

# %%
needed = defo.select_terms(flat, MODEL, coloured="ar1")
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for axis, term in zip(axes, needed.term.values, strict=True):
    axis.imshow(needed.keep_bic.sel(term=term), cmap="Greys", vmin=0, vmax=1.4)
    axis.set(title=f"dark: {term} is needed", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## 7. The event
#
# `step_map` asks how far each pixel jumped that day; the scatter of the dates on both sides gives the error. And had
# nobody known: a model of the time before, and the first acquisition after it. Beyond three
# standard deviations of both is an alert.

# %%
jump = defo.step_map(flat, EVENT, model="linear + annual")
figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
image = show(axes[0], jump.step, 60, "step of 1 March 2023")
show(axes[1], against(seen), 60, "the truth")
figure.colorbar(image, ax=axes[:2], label="mm towards the satellite", shrink=0.8)
image = show(axes[2], jump.step_std, 10, "its standard deviation", **scale)
figure.colorbar(image, ax=axes[2], label="mm", shrink=0.8)
quiet = flat.sel(time=slice(None, EVENT))
first = flat.sel(time=slice(EVENT, None)).isel(time=[0])
warned = defo.alert(defo.fit(quiet, "linear", covariance=True), first)
colours = ListedColormap(["#f4f1ea", "#2166ac", "#b2182b"])  # quiet, towards the satellite, away
axes[3].imshow(warned.alert[0].where(warned.alert[0] != 255), cmap=colours, vmin=0, vmax=2)
axes[3].set(title=f"alert on {str(first.time.values[0])[:10]}", xticks=[], yticks=[], facecolor="0.85")
plt.show()
bad = np.abs(jump.step - against(seen)) / jump.step_std
print(f"within one sigma: {float((bad < 1).where(np.isfinite(bad)).mean()):.0%}; again one draw")

# %% [markdown]
# ## 8. East and up
#
# One track cannot tell sinking from going sideways. Two can, but for the north, along which both fly: of it is said
# only how large it may be (`north_std`). Both tracks need one reference, and every look its line of sight.

# %%
other_raw, _ = stack_of("descending", rng)
other = defo.apply_reference(defo.to_stack(other_raw, sign="range_increase"), place)
other = defo.invert(defo.repair(other, neighbours=True), reference=None)
other = defo.correct_ramp_elevation(other, model=MODEL, reference=place)
looks = [vel, defo.fit(other, MODEL, coloured="ar1")]
enu = defo.decompose(looks, north_std=0.01)
print(", ".join(enu.data_vars))

source = region.deformation
rate = mogi(east - source.east, north - source.north, depth=source.depth, volume=source.volume_rate)
figure, axes = plt.subplots(2, 3, figsize=(11, 6.8), layout="constrained")
for line, axis, true in ((axes[0], "east", rate.east), (axes[1], "up", rate.up)):
    image = show(line[0], enu[axis], 35, f"{axis}, mm/year")
    show(line[1], against(true), 35, f"{axis}: the truth")
    figure.colorbar(image, ax=line[:2], shrink=0.8)
    image = show(line[2], enu[f"std_{axis}"], 6, f"{axis}: standard deviation", vmin=0, vmax=8, cmap="cividis")
    figure.colorbar(image, ax=line[2], shrink=0.8)
plt.show()
for axis, true in (("east", rate.east), ("up", rate.up)):
    off = (enu[axis].values - against(true)) / enu[f"std_{axis}"].values
    print(f"{axis}: within one sigma {(np.abs(off) < 1)[np.isfinite(off)].mean():.0%}")

# %% [markdown]
# ## 9. What lies below
#
# A sphere that loses volume, fitted to both tracks at once; each has a constant of its own, as motion relative to a
# reference has. Smooth errors of neighbours are no independent witnesses: `correlation_length` says so.

# %%
x0, y0 = ground.centre
bounds = {"east": (x0 - 3000, x0 + 3000), "north": (y0 - 3000, y0 + 3000), "depth": (300, 5000), "volume": (-2e6, 2e6)}
fitted = defo.fit_source(looks, source="mogi", bounds=bounds, correlation_length=800.0, most_points=600, starts=(60, 3))
errors = np.sqrt(np.diag(fitted.covariance))
true = {"east": x0 + source.east, "north": y0 + source.north, "depth": source.depth, "volume": source.volume_rate}
table = pd.DataFrame({"found": fitted.values, "sigma": errors}, index=fitted.names).loc[list(true)]
table.assign(truth=list(true.values())).round(0)

# %% [markdown]
# ## 10. A station beside it
#
# Two stations of satellite navigation, simulated daily with 3 mm (horizontal) and 6 mm (up) of noise: one in the basin,
# one at the reference. They are projected on the line of sight, averaged around each date of the radar and compared.

# %%
to_degrees = Transformer.from_crs(region.epsg, 4326, always_xy=True)


def station(name, at):
    """Write the daily series of a station at row and column, and read it."""
    days = pd.date_range("2022-01-01", "2024-02-29", freq="D")
    years = (days - days[0]).days.values[:, None] / 365.25
    slow = np.array([part[at] for part in (rate.east, rate.north, rate.up)])
    jumped = np.array([part[at] for part in (slip.east, slip.north, slip.up)]) * (days >= EVENT).astype(int)[:, None]
    yearly = np.cos(2 * np.pi * (days.dayofyear.values - source.annual_peak) / 365.25)
    breath = source.annual * np.exp(-(east[0, at[1]] ** 2 + north[at[0], 0] ** 2) / (2 * source.annual_radius**2))
    moved = years * slow + jumped
    moved[:, 2] += breath * yearly
    sigma = np.array([0.003, 0.003, 0.006])
    moved += sigma * rng.standard_normal(moved.shape)
    table = pd.DataFrame(moved, columns=["east", "north", "up"]).assign(time=days.strftime("%Y-%m-%dT12:00:00Z"))
    table = table.assign(std_east=sigma[0], std_north=sigma[1], std_up=sigma[2])
    table.to_csv(work / f"{name}.csv", index=False)
    lon, lat = to_degrees.transform(float(vel.x[at[1]]), float(vel.y[at[0]]))
    return defo.read_gnss(work / f"{name}.csv", unit="m", at=(lat, lon), name=name)


stations = [station("BASN", tuple(map(int, sinking))), station("CALM", (row, column))]
compared = defo.compare_gnss(flat, stations, reference="CALM", radius=200.0)
apart = 1000 * compared.sel(station="BASN")
print(
    f"radar less station: {float(apart.velocity_difference):+.1f} ± {float(apart.velocity_difference_std):.1f} mm/year"
)
defo.plot_gnss(compared, stations=["BASN"])

# %% [markdown]
# ## 11. Images: a fault that breaks the surface
#
# Where the ground moves by metres, two images show it. Chips of the first are searched in the second, finer than a
# pixel; beside the fault a point takes the motion of its own side. A common shift of the images is taken off by what
# ground far away seems to do.

# %%
SIDE, PIXEL = 448, 10.0
texture = rng.standard_normal((SIDE + 64, SIDE + 64))
texture = gaussian_filter(texture, 1.2) / 0.24 + 2 * gaussian_filter(texture, 5.0) / 0.056
down, right = np.indices((SIDE, SIDE)).astype("float64")
x, y = (right - SIDE / 2) * PIXEL, (SIDE / 2 - down) * PIXEL
quake = {"depth": 0.0, "size": (1400.0, 700.0), "strike": 25.0, "dip": 80.0, "slip": (24.0, 0.0, 0.0)}
moved = defo.okada(x, y, **quake)
back = defo.okada(x - moved.east, y - moved.north, **quake)  # where the pixels of the second image came from
spots = {"before": (down, right), "after": (down + (back.north + 3.0) / PIXEL, right - (back.east - 2.0) / PIXEL)}
images = {}
for name, (rows, columns) in spots.items():
    seen_there = map_coordinates(texture, [rows + 32, columns + 32], order=3)
    image = seen_there + 0.05 * rng.standard_normal(seen_there.shape)
    images[name] = xr.DataArray(
        image.astype("float32"), dims=("y", "x"), coords={"y": y[:, 0], "x": x[0]}
    ).rio.write_crs(region.epsg)

offsets = defo.track(images["before"], images["after"], chip=32, step=6, search=8)
true_east = defo.okada(*np.meshgrid(offsets.x, offsets.y), **quake).east
stable = np.hypot(*np.meshgrid(offsets.x, offsets.y)) > 2200
offsets = defo.remove_shift(offsets, xr.DataArray(stable, dims=("y", "x")))
print(f"common shift: {float(offsets.shift_dx) * PIXEL:+.2f} m east, {-float(offsets.shift_dy) * PIXEL:+.2f} m north; "
      f"on stable ground ± {float(offsets.stable_std_dx) * PIXEL:.2f} m; "
      f"{float(offsets.dx.notnull().mean()):.1%} of the points are valid")  # fmt: skip

# %%
figure, axes = plt.subplots(1, 4, figsize=(14, 3.6), layout="constrained", width_ratios=(1, 1, 1, 1.25))
axes[0].imshow(images["before"], cmap="gray")
axes[0].set(title="the first image", xticks=[], yticks=[])
image = show(axes[1], offsets.east / 1000, 12, "motion to the east")
show(axes[2], true_east / 1000, 12, "the truth")
figure.colorbar(image, ax=axes[1:3], label="m", shrink=0.8)
line = offsets.sizes["y"] // 2
axes[3].plot(offsets.x, true_east[line], "k-", linewidth=1, label="the truth")
axes[3].errorbar(offsets.x, offsets.east[line], yerr=offsets.std_east[line], fmt=".", color="#b23a48", label="found")
axes[3].set(title="across the fault", xlabel="m", ylabel="m to the east")
axes[3].legend(frameon=False)
axes[3].grid(alpha=0.3)
plt.show()
off = offsets.east.values - true_east
far = np.abs(np.gradient(true_east, axis=1)) < 0.3
print(f"error of the east, root mean square: {np.sqrt(np.nanmean(off[far] ** 2)):.2f} m of pixels of {PIXEL:g} m")

# %% [markdown]
# ## 12. Files, and the same as a published product
#
# Maps and points go into files that say sign, reference, wavelength and network; without these, numbers can be taken
# for anything.

# %%
defo.write_points(vel, work / "points.csv", [deepest, place])
print((work / "points.csv").read_text()[:400])

# %% [markdown]
# `terracube run deformation`: a stack of the simulator through the usual door, and one pass for the reference, the air
# and the map. Layers, pictures, network and checksums are in the product.

# %%
write_interferograms(region, work / "radar", dates=radar_dates(count=10), neighbours=2, size=64)
catalog = Catalog.create(work / "catalog")
print(len(ingest("interferograms", [work / "radar" / "network.json"], catalog).taken), "items")
request = {"chain": "deformation", "collection": "interferograms", "datetime": "2022"}
product = run(catalog, request)
maps = cubes.open_product(product.item)
print(product.status, product.item.id, "|", ", ".join(maps.data_vars))

# %%
figure, axes = plt.subplots(1, 5, figsize=(13, 3.1), layout="constrained")
for axis, date in zip(axes, range(1, 10, 2), strict=True):
    image = show(axis, maps.displacement[date], 25, str(maps.time.values[date])[:10])
figure.colorbar(image, ax=axes, label="mm towards the satellite", shrink=0.9)
plt.show()

# %% [markdown]
# In ten months the basin sinks by less than the air moves the picture, and the product says so: `std` beside
# `displacement`, `velocity_std` beside `velocity`.
