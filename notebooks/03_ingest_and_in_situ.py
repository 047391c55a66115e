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
# # Ingest: scenes, a stack of interferograms, and a lake survey come in
#
# What agencies and field teams deliver is rarely what one can work with. Here three deliveries become files with STAC
# items that a search finds: satellite scenes (one of them in an archive, one of them damaged), a stack of
# interferograms, and a survey of lakes as a laboratory would send it. Each is checked, nothing is guessed, and we look
# at the quality of what came in.
#
# The satellite data are simulated; the table is typed below. Nothing here needs a server or a network.

# %%
import shutil
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import pandas as pd

from terracube import cubes
from terracube.ingest import ingest, load_source, source_names
from terracube.ingest.insitu.access import open_table
from terracube.ingest.insitu.describe import describe
from terracube.ingest.insitu.export import export
from terracube.ingest.insitu.mapping import load_mapping
from terracube.ingest.insitu.plot import plot_stations
from terracube.ingest.insitu.series import series
from terracube.ingest.insitu.store import ingest_insitu
from terracube.ingest.quality.report import quality_report
from terracube.ingest.simulate import Region, acquisition_dates, radar_dates, write_interferograms, write_scenes
from terracube.stac import Catalog, to_query

work = Path(mkdtemp(prefix="terracube-"))
catalog = Catalog.create(work / "catalog")
region = Region(seed=5, size=240)

# %% [markdown]
# ## 1. What can come in
#
# A source is one description and a reader. The same list is printed by `terracube sources`.

# %%
known = [load_source(name) for name in source_names()]
pd.DataFrame(
    [(one.name, one.level, len(one.forms), len(one.bands), one.access) for one in known],
    columns=["source", "level", "forms", "layers", "access"],
)

# %% [markdown]
# ## 2. Scenes
#
# Two months of one tile. One scene arrives as a zip; one lost half of a file on its way.

# %%
paths = write_scenes(region, work / "scenes", dates=acquisition_dates("2023-06-04", "2023-08-03", every=6))
zipped, broken = paths[0].parent, paths[5].parent
shutil.make_archive(str(work / "scenes" / zipped.name), "zip", zipped.parent, zipped.name)
shutil.rmtree(zipped)
content = (broken / "B04.tif").read_bytes()
(broken / "B04.tif").write_bytes(content[: len(content) // 2])

delivery = [work / "scenes", work / "scenes" / f"{zipped.name}.zip"]
report = ingest("sentinel-2-l2a", delivery, catalog, jobs=2)
print(len(report.taken), "in,", len(report.refused), "refused")
for refusal in report.refused:
    print(refusal.id, "-", refusal.reason.partition("(")[0])

# %% [markdown]
# The same delivery again changes nothing, and the manifest has one line per input: what became of it, why, how large it
# was, how long it took.

# %%
again = ingest("sentinel-2-l2a", delivery, catalog)
print(len(again.taken), "in,", len(again.already), "there already")
manifest = pd.DataFrame(report.lines())
manifest[["id", "outcome", "quality", "bytes", "seconds"]].head(8)

# %% [markdown]
# ## 3. Quality
#
# While a scene is written, each pixel passes by once; what is counted then stays with the item, with a verdict by the
# thresholds of the source. `terracube quality report` draws the same as a page.

# %%
items = catalog.search(to_query(collections="sentinel-2-l2a"))
facts = pd.DataFrame([item.properties for item in items], index=[item.datetime for item in items])
colours = {"accepted": "#1b7f79", "suspect": "#c98a00", "rejected": "#b3261e"}

figure, axes = plt.subplots(3, 1, figsize=(9, 5.5), sharex=True, constrained_layout=True)
measures = {
    "eo:cloud_cover": "cloud, %",
    "terracube:valid_fraction": "pixels with a value",
    "terracube:registration_shift": "shift of red to blue, pixels",
}
for axis, (name, title) in zip(axes, measures.items(), strict=True):
    for verdict, group in facts.groupby("terracube:quality"):
        axis.plot(group.index, group.get(name), "o", color=colours[verdict], label=verdict)
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_ylim(0, 1.1 * axis.get_ylim()[1])
    axis.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
figure.suptitle("What came in: measured, not believed", x=0.01, ha="left")
plt.show()

# %%
found = quality_report(catalog, "sentinel-2-l2a")
print(found.counts)
for scene in found.worst[:3]:
    print(scene.id, "|", "; ".join(scene.reasons))

# %% [markdown]
# Searches know the verdict and the numbers. A picture of the clearest whole scene that was accepted:

# %%
accepted = catalog.search(to_query(collections="sentinel-2-l2a", filters=["terracube:quality=accepted"]))
whole = [item for item in accepted if item.properties["terracube:valid_fraction"] > 0.99]
clearest = min(whole, key=lambda item: item.properties["eo:cloud_cover"])
axis = cubes.load([clearest], bands=["red", "green", "blue"]).terracube.plot(time=0)
axis.set_title(f"{clearest.id}: {clearest.properties['eo:cloud_cover']:.0f} % cloud")
plt.show()

# %% [markdown]
# ## 4. A stack of interferograms
#
# Every producer has its own signs, angles and zeros. They come in under one convention: the phase grows when the ground
# moves away, and displacement towards the satellite is -wavelength / (4 pi) times the phase.

# %%
write_interferograms(region, work / "stack", dates=radar_dates(count=8))
stack = ingest("interferograms", [work / "stack"], catalog, jobs=2)
print(len(stack.taken), "items;", load_source("interferograms").title)

pairs = [item for item in catalog.search(to_query(collections="interferograms")) if "geometry" not in item.id]
cube = cubes.load_pairs(pairs)
cube

# %%
last = cube.isel(pair=-1).compute()
towards = -cube.attrs["wavelength"] / (4 * 3.141592653589793) * last.unwrapped_phase * 1000
figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), constrained_layout=True)
limit = float(abs(towards).quantile(0.99))
towards.plot(ax=axes[0], cmap="RdBu", vmin=-limit, vmax=limit, cbar_kwargs={"label": "mm, blue = towards"})
last.coherence.plot(ax=axes[1], cmap="Greys_r", vmin=0, vmax=1, cbar_kwargs={"label": "coherence"})
for axis, title in zip(axes, ("displacement along the line of sight", "coherence"), strict=False):
    axis.set_title(f"{title}\n{last.pair.item()}", fontsize=10)
    axis.set_aspect("equal")
    axis.set_axis_off()
orbit = cube.perpendicular_baseline.values
for first, second, length in zip(cube.reference_time.values, cube.secondary_time.values, orbit, strict=True):
    axes[2].plot([first, second], [0, length], "-o", color="#35608d", markersize=3, linewidth=1)
axes[2].set_title("network: baseline of each pair, m", fontsize=10)
axes[2].tick_params(axis="x", rotation=45)
plt.show()

# %% [markdown]
# ## 5. A lake survey
#
# As it came from the laboratory: units in the headers, one of them another than its neighbours', values below the
# detection limit, a missing one, and a total that is smaller than its parts.

# %%
survey = work / "lakes.csv"
survey.write_text(
    """Lake;Date;Longitude;Latitude;Chl-a (ug/L);TN (mg/L);NO3-N (mg/L);NH4-N (mg/L);PO4-P (ug/L);TP (mg/L);TSS (mg/L)
Nam Co;12.08.2019;90,60;30,70;0,8;0,31;0,05;0,02;<1;0,012;1,2
Selin Co;15.08.2019;88,90;31,80;1,9;0,62;0,08;0,04;3,5;0,020;3,8
Zhari Namco;19.08.2019;85,60;30,90;1,1;0,45;0,06;0,03;2,1;0,015;n.d.
Tangra Yumco;21.08.2019;86,60;31,10;0,5;0,28;0,04;0,02;1,2;0,010;0,9
Peiku Co;28.08.2019;85,60;28,90;0,6;0,09;0,11;0,03;0,9;0,009;1,0
""",
    encoding="utf-8",
)
draft = describe(survey)
print(draft.yaml())

# %% [markdown]
# What is unsure is for us to confirm: here the order of day and month (and which rows decide it), and the coordinate
# system. Nothing is read by a guess alone.

# %%
for doubt in draft.unsure:
    print("-", doubt)

# %% [markdown]
# Confirmed, the survey comes in: every value in the unit of the vocabulary, what was delivered kept beside it; `<1` is
# censored at its limit, `n.d.` is missing, and neither is zero. `terracube ingest insitu` does the same.

# %%
mapping_file = work / "lakes.yaml"
mapping_file.write_text(draft.yaml(), encoding="utf-8")
survey_report = ingest_insitu([survey], load_mapping(mapping_file), catalog, dataset="lakes-2019")
for note in survey_report.notes["lakes-2019"]:
    print(note)

table = open_table(catalog, datasets=["lakes-2019"])
columns = ["station", "variable", "value", "unit", "censored", "qc", "qc_tests", "original_value", "original_unit"]
table[table.variable.isin(["po4_p", "suspended_matter"])][columns]

# %% [markdown]
# The balance of nitrogen: a total below the sum of its parts cannot be. The test is done on intervals, so that values
# below a limit and the laboratory's uncertainty count.

# %%
doubtful = table[table.qc_tests != ""]
doubtful[["station", "variable", "value", "unit", "qc", "qc_tests"]]

# %%
nitrogen = table[table.variable.isin(["tn", "no3_n", "nh4_n"])].pivot_table(
    index="station", columns="variable", values="value"
)
figure, axis = plt.subplots(figsize=(9, 3.6), constrained_layout=True)
parts = nitrogen[["no3_n", "nh4_n"]].set_axis(["nitrate", "ammonium"], axis=1)
parts.plot.barh(stacked=True, ax=axis, color=["#35608d", "#6ece58"], width=0.5)
axis.legend(frameon=False)
suspect = table[(table.variable == "tn") & (table.qc > 2)].station.tolist()
for row, (station, total) in enumerate(nitrogen.tn.items()):
    axis.plot([total, total], [row - 0.35, row + 0.35], color="#b3261e" if station in suspect else "black", linewidth=3)
axis.set_xlabel("mg/L")
axis.set_ylabel("")
axis.set_title("total nitrogen (line; red: below its parts) and two of its parts", loc="left", fontsize=10)
axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## 6. Out again
#
# A series is an xarray object with its flags; a map of the stations is one call; and the whole goes out as NetCDF that
# others' checkers accept, as CSV or as GeoPackage.

# %%
plot_stations(catalog, path=work / "stations.png")
figure, axis = plt.subplots(figsize=(7, 5.2), constrained_layout=True)
axis.imshow(plt.imread(work / "stations.png"))
axis.set_axis_off()
plt.show()

# %%
export(table, work / "lakes.nc")
print(series(table, "Nam Co", "tn"))
