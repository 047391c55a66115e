"""The errors that a series tells against those it has: a region whose truth is known, from files to velocities.

Bands are those of the goal, 68 +- 3 %, where many independent errors are counted. Air is no such case: a stack has a
field of it per date, and that of the reference date is in all others, so that the share of one stack scatters by a
tenth and only means over stacks are held to a band.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
from numpy.typing import NDArray

from terracube.cubes.pairs import SIGN
from terracube.ingest import ingest
from terracube.ingest.simulate import Frame, Radar, Region, interferogram, pairs_of, radar_dates, write_interferograms
from terracube.processing import deformation as defo
from terracube.processing.deformation.model.fitting import Coloured, Weights
from terracube.stac import Catalog, to_query

type Floats = NDArray[np.floating[Any]]
type Mask = NDArray[np.bool_]

SIGMA, BAND = 0.6827, 0.03
HALF = 230.0
"""Half a side of a reference area, m: five pixels wide."""

# The default dates span 23.7 months.
SHORT = pytest.mark.filterwarnings("ignore:annual. 23.7 months")


class Known(NamedTuple):
    """A stack and what lies behind it."""

    stack: xr.Dataset
    motion: Floats
    """Displacement since the first date, m, (time, y, x)."""
    path: Floats
    """The same with the air, which the phases hold."""
    water: Mask
    still: tuple[int, int]
    """The pixel that the simulation names as reference."""

    @property
    def area(self) -> tuple[float, float, float, float]:
        """An area of five by five pixels around it."""
        y, x = (float(self.stack[name][at]) for name, at in zip("yx", self.still, strict=True))
        return x - HALF, y - HALF, x + HALF, y + HALF

    def against_area(self, truth: Floats) -> Floats:
        """Tell a truth against the pixels of that area that all pairs have."""
        rows, cols = (slice(at - 2, at + 3) for at in self.still)
        whole = self.stack["unwrapped_phase"].notnull().all("pair").values[rows, cols]
        return truth - truth[:, rows, cols][:, whole].mean(axis=1)[:, None, None]


def known(region: Region, size: int, neighbours: int = 2, stack: xr.Dataset | None = None) -> Known:
    """Simulate a stack in memory, if none is given, and take its truth."""
    from terracube.ingest.simulate.interferograms import reference_pixel

    frame, days = Frame(region, size), radar_dates()
    air = np.array([frame.delay(day) for day in days])
    motion = frame.motion.displacement(days)
    row, col = reference_pixel(frame)
    made = in_memory(frame, neighbours) if stack is None else stack
    return Known(made, motion, motion - (air - air[0]), frame.water, (row, col))


def in_memory(frame: Frame, neighbours: int) -> xr.Dataset:
    """Make the stack that files would give."""
    pairs = pairs_of(radar_dates(), neighbours=neighbours)
    made = [interferogram(frame, *pair) for pair in pairs]
    ends = np.array(pairs, "datetime64[ns]")
    east, north = frame.offsets
    radar = frame.region.radar
    layers = {"unwrapped_phase": [each.unwrapped for each in made], "coherence": [each.coherence for each in made]}
    stack = xr.Dataset(
        {name: (("pair", "y", "x"), np.array(values)) for name, values in layers.items()},
        {
            "reference_time": ("pair", ends[:, 0]),
            "secondary_time": ("pair", ends[:, 1]),
            "y": north[:, 0],
            "x": east[0],
        },
        {"wavelength": radar.wavelength, "looks": radar.looks, "phase_sign": SIGN},
    )
    return defo.to_stack(stack)


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """The stack that is simulated by default: written, ingested, and opened from its catalogue."""
    folder = tmp_path_factory.mktemp("goals")
    network = write_interferograms(Region(), folder / "files")
    catalog = Catalog.create(folder / "catalog")
    assert not ingest("interferograms", [network], catalog).refused
    stack = defo.open_stack(catalog.search(to_query(collections="interferograms"))).compute()
    assert stack.attrs["looks"] == Radar().looks
    given = known(Region(), 128, stack=stack)
    with rasterio.open(folder / "files" / "truth" / "displacement.tif") as file:
        np.testing.assert_allclose(file.read(), given.motion, atol=1e-6)
    return given


def share(errors: Floats, deviations: Floats, where: Mask | None = None, times: float = 1.0) -> float:
    """Give the share of errors (time, y, x) within their deviations, without the reference date."""
    ratio = np.abs(errors[1:]) / deviations[1:]
    chosen = np.isfinite(ratio) if where is None else np.isfinite(ratio) & where
    assert chosen.any()
    return float((ratio[chosen] < times).mean())


def quarters(stack: xr.Dataset, solved: Mask) -> list[Mask]:
    """Part the pixels that are solved by quartiles of their mean coherence."""
    mean = stack["coherence"].mean("pair").values
    place = np.digitize(mean, np.quantile(mean[solved], [0.25, 0.5, 0.75]))
    return [solved & (place == number) for number in range(4)]


def held_to(found: list[float], band: float = BAND) -> None:
    """Each share is 68 % within a band."""
    assert np.abs(np.array(found) - SIGMA).max() < band, found


def unjoined(stack: xr.Dataset) -> Mask:
    """Tell the pixels that methods drop which ask for a valid pair at every date."""
    there = stack["unwrapped_phase"].notnull().values
    ends = np.stack([stack[name].values for name in ("reference_time", "secondary_time")])
    seen = [there[(ends == date).any(axis=0)].any(axis=0) for date in np.unique(ends)]
    return ~np.all(seen, axis=0)


def test_the_network_part_is_told_on_the_default_stack(default: Known) -> None:
    """Against displacement and air 68 +- 3 % lie within, in each quartile of coherence, whatever the reference."""
    for reference, truth in ((None, default.path), (default.area, default.against_area(default.path))):
        series = defo.invert(default.stack, reference=reference, atmosphere=None)
        errors, deviations = series.displacement.values - truth, series.std_network.values
        solved = np.isfinite(errors[1:]).any(axis=0)
        assert solved.mean() > 0.98
        held_to([share(errors, deviations, part) for part in (solved, *quarters(default.stack, solved))])
        assert share(errors, deviations, times=3) > 0.99


def test_network_and_air_are_told_on_the_default_stack(default: Known) -> None:
    """Against displacement 68 +- 3 % lie within network and air, by quartile too; how it was found is recorded."""
    series = defo.invert(default.stack, reference=default.area)
    errors = series.displacement.values - default.against_area(default.motion)
    whole = np.hypot(series.std_network, series.std_atmosphere).values
    solved = np.isfinite(errors[1:]).any(axis=0)
    held_to([share(errors, whole, part) for part in (solved, *quarters(default.stack, solved))])
    assert series.std_atmosphere.attrs["method"].startswith("model residuals")
    assert series.std_atmosphere.attrs["model"] == "linear + annual"
    # Each part alone is too little for the displacement.
    assert share(errors, series.std_network.values) < 0.4


def test_pixels_that_others_drop_are_right(default: Known) -> None:
    """With coherence below 0.4 masked, pixels in parts keep the dates that are joined within 3 deviations of the truth.

    Other methods drop such pixels, as one date or more has no pair, or give numbers for dates that nothing joins.
    """
    stack = default.stack.assign(unwrapped_phase=default.stack.unwrapped_phase.where(default.stack.coherence >= 0.4))
    series = defo.invert(stack, reference=None, atmosphere=None)
    errors, deviations = series.displacement.values - default.path, series.std_network.values
    beyond = (series.n_components > 1).values & np.isfinite(errors[1:]).any(axis=0)
    assert (beyond | ~unjoined(stack) | (series.n_pairs == 0).values | np.isnan(errors[1:]).all(axis=0)).all()
    assert beyond.sum() > 100
    assert np.isfinite(errors[1:, beyond]).sum() > 1500
    assert share(errors, deviations, beyond, times=3) > 0.985
    held_to([share(errors, deviations, beyond)])


def test_water_is_not_told(default: Known) -> None:
    """Where the phase is nothing but noise, coherence that passed a threshold by chance tells errors too small."""
    series = defo.invert(default.stack, reference=None, atmosphere=None)
    errors = series.displacement.values - default.path
    wet = share(errors, series.std_network.values, default.water, times=3)
    dry = share(errors, series.std_network.values, ~default.water, times=3)
    assert wet < dry
    assert dry > 0.995
    assert np.nanmedian(series.temporal_coherence.values[~default.water]) > 0.9


@SHORT
@pytest.mark.parametrize("reference", ["auto", "area"])
def test_the_cut_does_not_matter(default: Known, reference: str) -> None:
    """Order of pairs, blocks and threads leave every bit; another reference date moves the series and nothing else."""
    rows, cols = (slice(max(0, at - 24), at + 24) for at in default.still)
    stack, place = default.stack.isel(y=rows, x=cols), default.area if reference == "area" else reference
    whole = defo.invert(stack, reference=place)
    turned = stack.isel(pair=np.random.default_rng(0).permutation(stack.sizes["pair"]))
    for chunks in ({}, {"pair": 7, "y": 11, "x": 48}, {"y": 48, "x": 5}):
        cut = defo.invert(turned.chunk(chunks) if chunks else turned, reference=place)
        with dask.config.set(scheduler="threads", pool=ThreadPoolExecutor(4)):
            xr.testing.assert_identical(cut.compute(), whole)
    middle = defo.invert(stack, reference=place, reference_date=whole.time.values[14])
    shifted = whole.displacement - whole.displacement[14]
    joined = (whole.n_components == 1).values
    np.testing.assert_allclose(middle.displacement.values[:, joined], shifted.values[:, joined], atol=5e-7)
    velocity, other = (defo.fit(one, "linear + annual").velocity.values[joined] for one in (whole, middle))
    np.testing.assert_allclose(other, velocity, atol=1e-6)


def test_the_noise_of_one_reference_pixel_is_told() -> None:
    """One pixel's noise is in all others: over many of them 68 +- 3 % lie within, without it far fewer."""
    given = known(Region(), 32)
    sound = given.stack["unwrapped_phase"].notnull().all("pair").values & ~given.water
    chosen = np.random.default_rng(0).permutation(np.argwhere(sound))[:60]
    plain = defo.invert(given.stack, reference=None, atmosphere=None).std_network.values
    told, untold = [], []
    for row, col in chosen.tolist():
        place = tuple(float(given.stack[name][at]) for name, at in (("y", row), ("x", col)))
        series = defo.invert(given.stack, reference=place, atmosphere=None)
        errors = series.displacement.values - (given.path - given.path[:, row, col][:, None, None])
        others = np.ones(sound.shape, "bool")
        others[row, col] = False
        told.append(share(errors, series.std_network.values, others))
        untold.append(share(errors, plain, others))
    held_to([float(np.mean(told))])
    assert np.mean(untold) < 0.57


@pytest.mark.parametrize(
    ("neighbours", "looks", "low", "high"),
    [(1, 30.0, 0.67, 0.73), (3, 30.0, 0.63, 0.69), (4, 30.0, 0.61, 0.66), (2, 15.0, 0.65, 0.70), (2, 8.0, 0.65, 0.72),
     (4, 8.0, 0.52, 0.59)],
)  # fmt: skip
def test_other_networks_and_looks(neighbours: int, looks: float, low: float, high: float) -> None:
    """Coherence is estimated too, from as few looks: the denser the network, the more its chance rises count."""
    given = known(Region(radar=Radar(looks=looks)), 40, neighbours)
    series = defo.invert(given.stack, reference=None, atmosphere=None)
    errors = series.displacement.values - given.path
    assert low < share(errors, series.std_network.values, ~given.water) < high


def test_true_weights_are_told_in_any_network() -> None:
    """With the variances that the phases have, 68 +- 1.5 % lie within however dense the network is."""
    from terracube.ingest.simulate.radar import phase_noise_std, true_coherence

    for neighbours in (1, 2, 4):
        region = Region()
        frame, given = Frame(region, 40), known(region, 40, neighbours)
        std = [
            phase_noise_std(
                true_coherence(
                    frame.lasting_coherence,
                    days=(two - one).days,
                    baseline=frame.orbit(two) - frame.orbit(one),
                    radar=region.radar,
                ),
                looks=region.radar.looks,
            )
            for one, two in pairs_of(radar_dates(), neighbours=neighbours)
        ]
        weights = xr.DataArray(1 / np.square(std), dims=("pair", "y", "x"))
        series = defo.invert(given.stack, weights=weights, reference=None, atmosphere=None)
        held_to([share(series.displacement.values - given.path, series.std_network.values, ~given.water)], 0.015)


def velocity_shares(seed: int, size: int = 24) -> list[float]:
    """Give the shares of velocities within their deviation: none, none + ar1, std, std + ar1; and of displacements."""
    frame, days = Frame(Region(seed=seed), size), radar_dates()
    row = col = size // 2
    others = np.ones((size, size), "bool")
    others[row, col] = False
    air = -np.array([frame.delay(day) for day in days])
    errors = air - air[0] - (air - air[0])[:, row, col][:, None, None]
    layers = {"displacement": frame.motion.displacement(days) + errors, "std_network": np.zeros_like(errors)}
    series = xr.Dataset(
        {name: (("time", "y", "x"), values.astype("float32")) for name, values in layers.items()},
        {"time": np.array(days, "datetime64[ns]")},
        {"reference_date": days[0].isoformat()},
    )
    series["std_atmosphere"] = defo.atmosphere_std(series)
    found = []
    ways: tuple[tuple[Weights, Coloured], ...] = (("none", None), ("none", "ar1"), ("std", None), ("std", "ar1"))
    for weights, coloured in ways:
        fitted = defo.fit(series, "linear + annual", weights=weights, coloured=coloured)
        ratio = np.abs(fitted.velocity.values - frame.motion.velocity) / fitted.velocity_std.values
        found.append(float((ratio[others] < 1).mean()))
    return [*found, share(errors, series.std_atmosphere.values, others)]


@SHORT
def test_velocities_are_told_over_many_skies() -> None:
    """Over 48 skies: dates taken alike tell 64 %, with memory 66 %; weighted ones 59 and 62 %.

    The share of one sky scatters by 19 %, so that the mean of 48 is known to 3 %, and differences better than that.
    """
    found = np.array([velocity_shares(seed) for seed in range(1, 49)])
    plain, coloured, weighted, both, series = found.mean(axis=0)
    assert abs(plain - 0.64) < 0.06
    assert abs(coloured - SIGMA) < 0.06
    assert abs(series - SIGMA) < 0.05
    assert coloured > plain + 0.01
    assert weighted < plain - 0.02
    assert both < coloured - 0.02


@pytest.fixture(scope="module")
def mexico(data_dir: Path) -> tuple[xr.Dataset, Mask]:
    """A real stack, referenced, and the pixels of it that a published series has."""
    folder = data_dir / "insar" / "mexico-sentinel1"
    if not folder.is_dir():
        pytest.skip(f"the stack of Mexico City is absent: {folder}")
    told = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    layers: dict[str, Any] = {}
    for name, kind in (("unwrapped_phase", "eqa_unw"), ("coherence", "flat_eqa_cc")):
        values = []
        for pair in told["pairs"]:
            with rasterio.open(folder / "geotiffs" / f"cropA_{'-'.join(pair)}_VV_8rlks_{kind}.tif") as file:
                values.append(file.read(1))
        layers[name] = (("pair", "y", "x"), np.stack(values).astype("float32"))
    ends = np.array([[f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in pair] for pair in told["pairs"]], "datetime64[ns]")
    given = xr.Dataset(layers, {"reference_time": ("pair", ends[:, 0]), "secondary_time": ("pair", ends[:, 1])})
    facts = {"wavelength": told["wavelength_m"], "looks": told["nlooks_used_for_weight"], "phase_sign": SIGN}
    stack = defo.to_stack(given.assign_attrs(facts), nodata=0)
    row, col = told["ref_yx"]
    with np.load(folder / "mintpy_reference.npz") as published:
        solved = (published["ts_var_vel"] != 0).any(axis=0)
    return defo.apply_reference(stack, (row, col)), solved


def around(values: Floats, solved: Mask, reach: int = 2) -> Floats:
    """Give the median of the solved pixels around each, without itself; NaN where fewer than five have a value."""
    padded = np.pad(np.where(solved, values, np.nan), ((0, 0), (reach, reach), (reach, reach)), constant_values=np.nan)
    side = 2 * reach + 1
    seen = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2)).reshape(*values.shape, -1)
    others = np.delete(seen, side * side // 2, axis=-1)
    enough = np.isfinite(others).sum(axis=-1) >= 5
    return np.where(enough, np.nanmedian(np.where(enough[..., None], others, 0.0), axis=-1), np.nan)


@pytest.mark.parametrize("masked", [False, True])
def test_pixels_beyond_the_published_ones_agree_with_their_neighbours(
    mexico: tuple[xr.Dataset, Mask], masked: bool
) -> None:
    """What is solved here only lies within 3 deviations of the median around, as often as what both solve.

    The ground sinks over kilometres and a pixel is 100 m, so that neighbours move alike to a millimetre; the median of
    up to 24 of them has little noise of its own.
    """
    stack, solved = mexico
    if masked:
        stack = stack.assign(unwrapped_phase=stack.unwrapped_phase.where(stack.coherence >= 0.4))
        solved = ~unjoined(stack)
    series = defo.invert(stack, reference=None, atmosphere=None)
    values, deviations = series.displacement.values, series.std_network.values
    errors = values - around(values, solved)
    beyond = ~solved & np.isfinite(errors[1:]).any(axis=0)
    assert beyond.sum() > (250 if masked else 20)
    assert np.isfinite(errors[1:, beyond]).sum() > (2000 if masked else 200)
    assert share(errors, deviations, beyond, times=3) > (0.95 if masked else 0.99)
    assert share(errors, deviations, solved, times=3) > 0.97
