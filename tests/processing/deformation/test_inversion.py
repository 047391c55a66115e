"""The inversion: least squares pixel by pixel in float64, a published series and simulated truth are the references."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from terracube.core.errors import InputError, MetadataError
from terracube.ingest.simulate import Frame, Region, interferogram, pairs_of, radar_dates
from terracube.processing.deformation.inversion import invert_stack
from terracube.processing.deformation.inversion.weights import phase_density, phase_variance

WAVELENGTH = 0.0554
METRES = -WAVELENGTH / (4 * math.pi)
START = np.datetime64("2020-01-01", "ns")


def network(dates: int = 8, width: int = 3) -> NDArray[np.int64]:
    """Each date with those that follow it."""
    return np.array([(i, j) for i in range(dates) for j in range(i + 1, min(i + width + 1, dates))])


def stack_of(
    phase: NDArray[Any], pairs: NDArray[np.int64], coherence: NDArray[Any] | None = None, **attrs: Any
) -> xr.Dataset:
    """Make a stack; dates are 12 days apart."""
    times = START + pairs * np.timedelta64(12, "D")
    layers = {"unwrapped_phase": phase} | ({} if coherence is None else {"coherence": coherence})
    return xr.Dataset(
        {name: (("pair", "y", "x"), values.astype("float32")) for name, values in layers.items()},
        coords={
            "reference_time": ("pair", times[:, 0]),
            "secondary_time": ("pair", times[:, 1]),
            "y": np.arange(phase.shape[1]) * -90.0,
            "x": np.arange(phase.shape[2]) * 90.0,
        },
        attrs={"wavelength": WAVELENGTH, "looks": 10, "phase_sign": "as told", **attrs},
    )


def simulated(
    pairs: NDArray[np.int64], shape: tuple[int, int] = (9, 13), seed: int = 0, missing: float = 0.15
) -> tuple[xr.Dataset, NDArray[np.float64]]:
    """Make a stack with noise by coherence, gaps and one empty pixel; give the true phases too."""
    rng = np.random.default_rng(seed)
    truth = np.cumsum(rng.normal(0, 1.5, (pairs.max() + 1, *shape)), axis=0)
    truth -= truth[0]
    coherence = rng.uniform(0.2, 0.95, (len(pairs), *shape))
    noise = rng.normal(size=coherence.shape) * np.sqrt(phase_variance(coherence, 10))
    phase = truth[pairs[:, 1]] - truth[pairs[:, 0]] + noise
    phase[rng.random(phase.shape) < missing] = np.nan
    phase[:, 0, 0] = np.nan
    return stack_of(phase, pairs, coherence), truth


def reference(
    phase: NDArray[Any], weight: NDArray[Any], pairs: NDArray[np.int64], dates: int, first: int = 0
) -> dict[str, Any]:
    """Solve one pixel in float64 against its reference date, from the pairs of the part that this date is in."""
    there = np.isfinite(phase) & (weight > 0)
    joined = {first}
    for _ in range(dates):
        joined |= {int(k) for pair in pairs[there] if joined & set(pair.tolist()) for k in pair}
    kept = [k for k in sorted(joined) if k != first]
    value, deviation = np.full(dates, np.nan), np.full(dates, np.nan)
    if kept:
        use = there & np.isin(pairs[:, 0], list(joined))
        design = np.zeros((use.sum(), dates))
        row = np.arange(use.sum())
        design[row, pairs[use, 1]], design[row, pairs[use, 0]] = 1, -1
        root = np.sqrt(weight[use].astype("float64"))
        value[kept] = np.linalg.lstsq(design[:, kept] * root[:, None], phase[use] * root, rcond=None)[0]
        deviation[kept] = np.sqrt(np.diag(np.linalg.inv((design[:, kept] * root[:, None] ** 2).T @ design[:, kept])))
        value[first] = deviation[first] = 0
    return {"value": value, "deviation": deviation, "joined": joined, "pairs": int(there.sum())}


@pytest.mark.parametrize("weights", ["variance", "fisher", "coherence", None])
def test_equals_least_squares_pixel_by_pixel(weights: Any) -> None:
    """Displacement and, for weights that are one over variances, its deviation are those of float64 least squares."""
    pairs = network()
    stack, _ = simulated(pairs)
    series = invert_stack(stack, weights=weights)
    phase, coherence = stack["unwrapped_phase"].values, stack["coherence"].values.astype("float64")
    weight = {
        "variance": 1 / phase_variance(coherence, 10),
        "fisher": 20 * coherence**2 / (1 - coherence**2),
        "coherence": coherence,
        None: np.ones_like(coherence),
    }[weights]
    given_weight = xr.DataArray(weight, dims=("pair", "y", "x"))
    exact = invert_stack(stack, weights=given_weight)
    for y, x in np.ndindex(phase.shape[1:]):
        expected = reference(phase[:, y, x], weight[:, y, x].astype("float32"), pairs, 8)
        np.testing.assert_allclose(exact["displacement"][:, y, x] / METRES, expected["value"], atol=5e-5)
        np.testing.assert_allclose(exact["std_network"][:, y, x] / -METRES, expected["deviation"], rtol=1e-4)
        assert series["n_pairs"].values[y, x] == expected["pairs"]
    # The table of weights is fine enough.
    np.testing.assert_allclose(series["displacement"], exact["displacement"], atol=2e-5)
    unit = 1 if weights in ("variance", "fisher") else np.sqrt(exact["chi2"].where(exact["chi2"] > 0))
    np.testing.assert_allclose(series["std_network"], (exact["std_network"] * unit).transpose("time", "y", "x"), 5e-3)


def test_what_is_known_comes_back() -> None:
    """Without noise the series is the truth, pairs agree wholly, and nothing is left over."""
    pairs = network()
    _, truth = simulated(pairs)
    stack = stack_of(truth[pairs[:, 1]] - truth[pairs[:, 0]], pairs)
    series = invert_stack(stack, weights=None)
    np.testing.assert_allclose(series["displacement"], METRES * truth, atol=1e-7)
    np.testing.assert_allclose(series["temporal_coherence"], 1, atol=1e-6)
    assert float(series["residual_rms"].max()) < 1e-5
    assert (series["n_components"] == 1).all()
    assert (series["displacement"][0] == 0).all()
    assert series.attrs["phase_sign"] == "as told"
    assert {each.dtype for each in series.values()} == {np.dtype("float32")}


def test_quality_layers() -> None:
    """Temporal coherence, residual and chi squared are those of their definitions; residuals may exceed a cycle."""
    pairs = network()
    stack, _ = simulated(pairs, missing=0.0)
    stack["unwrapped_phase"][4] += 17
    series = invert_stack(stack, weights=None)
    phase = stack["unwrapped_phase"].values[:, 3, 4].astype("float64")
    value = reference(phase, np.ones(len(pairs)), pairs, 8)["value"]
    left = phase - (value[pairs[:, 1]] - value[pairs[:, 0]])
    found = series.isel(y=3, x=4)
    assert abs(np.exp(1j * left).mean()) == pytest.approx(float(found["temporal_coherence"]), abs=2e-6)
    assert np.sqrt((left**2).mean()) == pytest.approx(float(found["residual_rms"]), rel=1e-5)
    assert (left**2).sum() / (len(pairs) - 7) == pytest.approx(float(found["chi2"]), rel=1e-5)


def test_parts_are_missing_by_default() -> None:
    """Dates that no pair joins to the reference date are NaN; the others are those of their own pairs."""
    pairs = np.array([[0, 1], [1, 2], [0, 2], [3, 4], [4, 5], [3, 5]])
    _, truth = simulated(pairs, (1, 2))
    phase = truth[pairs[:, 1]] - truth[pairs[:, 0]]
    phase[:3, 0, 1] = np.nan
    series = invert_stack(stack_of(phase, pairs), weights=None)
    np.testing.assert_allclose(series["displacement"][:3, 0, 0], METRES * truth[:3, 0, 0], atol=1e-7)
    assert np.isnan(series["displacement"][3:]).all()
    assert np.isnan(series["std_network"][3:]).all()
    # Nothing is known of a reference date without a pair, nor of anything against it.
    assert np.isnan(series["displacement"][:, 0, 1]).all()
    assert series["n_components"].values.tolist() == [[2, 4]]
    assert series["n_pairs"].values.tolist() == [[6, 3]]
    later = invert_stack(stack_of(phase, pairs), weights=None, reference_date="2020-02-06")
    expected = METRES * (truth - truth[3])[3:, 0]
    np.testing.assert_allclose(later["displacement"][3:, 0], expected, atol=1e-7)


@pytest.mark.parametrize("reference_date", [None, "2020-02-06"])
def test_parts_of_least_velocity(reference_date: str | None) -> None:
    """Linked so, the series is that of the velocities of least norm that the pairs allow."""
    pairs = np.array([[0, 1], [1, 2], [3, 4], [4, 6], [6, 7]])
    rng = np.random.default_rng(4)
    phase = rng.normal(0, 2, (5, 1, 3))
    stack = stack_of(phase, pairs)
    series = invert_stack(stack, weights=None, disconnected="minimum_velocity", reference_date=reference_date)
    days = (series["time"].values - START) / np.timedelta64(1, "D")
    design = np.array(
        [
            [days[k + 1] - days[k] if i <= k < j else 0 for k in range(6)]
            for i, j in [(0, 1), (1, 2), (3, 4), (4, 5), (5, 6)]
        ]
    )
    velocity = np.linalg.pinv(design) @ phase[:, 0]
    expected = METRES * np.concatenate([np.zeros((1, 3)), np.cumsum(velocity * np.diff(days)[:, None], axis=0)])
    at = 0 if reference_date is None else 3
    np.testing.assert_allclose(series["displacement"][:, 0], expected - expected[at], atol=1e-7)
    linked = [3, 4, 5, 6] if at == 0 else [0, 1, 2]
    assert np.isnan(series["std_network"][linked]).all()


def test_parts_on_a_line() -> None:
    """Parts of one steady motion are put together without a seam; a lone date lies on the line."""
    pairs = np.array([[0, 1], [1, 2], [3, 4], [4, 6], [6, 7], [2, 5]])
    truth = 0.4 * np.arange(8.0)
    phase = (truth[pairs[:, 1]] - truth[pairs[:, 0]]).reshape(-1, 1, 1)
    phase[-1] = np.nan
    series = invert_stack(stack_of(phase, pairs), weights=None, disconnected="linear")
    np.testing.assert_allclose(series["displacement"][:, 0, 0], METRES * truth, atol=1e-8)
    empty = invert_stack(stack_of(np.full((6, 1, 1), np.nan), pairs), weights=None, disconnected="linear")
    assert np.isnan(empty["displacement"]).all()


def test_far_apart_weights_are_no_gap() -> None:
    """A part held by a pair of a millionth of the weight of the others is solved; one of 1e-36 of it tells nothing."""
    pairs = network(6, 5)
    strong = ((pairs < 3).all(axis=1)) | ((pairs >= 3).all(axis=1))
    weight = np.where(strong, 1.0, 0.0)
    weight[2] = 1e-6
    assert pairs[2].tolist() == [0, 3]
    _, truth = simulated(pairs, (1, 1))
    rng = np.random.default_rng(1)
    phase = truth[pairs[:, 1]] - truth[pairs[:, 0]] + rng.normal(0, 0.2, (len(pairs), 1, 1))
    stack = stack_of(phase, pairs)
    weights = xr.DataArray(weight.reshape(-1, 1, 1), dims=("pair", "y", "x"))
    series = invert_stack(stack, weights=weights)
    expected = reference(stack["unwrapped_phase"].values[:, 0, 0], weight, pairs, 6)
    assert series["n_components"].item() == 1
    np.testing.assert_allclose(series["displacement"][:, 0, 0] / METRES, expected["value"], atol=5e-5)
    np.testing.assert_allclose(series["std_network"][1:, 0, 0] / -METRES, expected["deviation"][1:], rtol=1e-4)
    hopeless = invert_stack(stack, weights=weights.where(weights > 0.5, weights * 1e-30))
    assert np.isnan(hopeless["displacement"][1:]).all()


def test_chi_squared_of_robust_mode() -> None:
    """On noise without contradictions chi squared is near one in robust mode, too."""
    pairs, looks, coherence = network(15, 3), 20.0, 0.7
    sigma = float(np.sqrt(phase_variance(coherence, looks)))
    noise = np.random.default_rng(4).normal(0, sigma, (len(pairs), 30, 30))
    stack = stack_of(noise, pairs).assign(coherence=(("pair", "y", "x"), np.full(noise.shape, coherence, "float32")))
    stack.attrs["looks"] = looks
    plain, robust = (float(invert_stack(stack, robust=robust).chi2.mean()) for robust in (False, True))
    assert plain == pytest.approx(1, abs=0.05)
    assert 0.8 < robust < 1.1


def test_robust_mode_resists_cycles() -> None:
    """With one pair in ten off by a cycle the robust series stays near the truth, and plain least squares does not."""
    pairs = network(12, 4)
    rng = np.random.default_rng(7)
    truth = np.cumsum(rng.normal(0, 1, (12, 12, 12)), axis=0)
    truth -= truth[0]
    phase = truth[pairs[:, 1]] - truth[pairs[:, 0]] + rng.normal(0, 0.2, (len(pairs), 12, 12))
    clean = stack_of(phase, pairs)
    wrong = rng.random(phase.shape) < 0.05
    stack = stack_of(phase + wrong * rng.choice([-1, 1], phase.shape) * 2 * np.pi, pairs)
    error = {
        name: np.abs(invert_stack(given, weights=None, robust=robust)["displacement"] / METRES - truth)
        for name, given, robust in (("plain", stack, False), ("robust", stack, True), ("clean", clean, True))
    }
    assert float(error["plain"].mean()) > 3 * float(error["robust"].mean())
    assert float(error["clean"].max()) < 1.0
    assert float((error["robust"] > 1.5).mean()) < 0.02


def test_order_of_pairs_does_not_matter() -> None:
    """Pairs in any order give the same bits."""
    stack, _ = simulated(network())
    series = invert_stack(stack)
    turned = stack.isel(pair=np.random.default_rng(0).permutation(stack.sizes["pair"]))
    xr.testing.assert_identical(series, invert_stack(turned))
    xr.testing.assert_identical(series, invert_stack(turned.chunk({"pair": 5, "y": 4})).compute())


@given(st.integers(1, 9), st.integers(1, 13), st.booleans())
@settings(max_examples=10, deadline=None)
def test_blocks_do_not_matter(y: int, x: int, robust: bool) -> None:
    """Any chunks give the same bits, and nothing is computed before it is asked for."""
    stack, _ = simulated(network(6, 2))
    lazy = invert_stack(stack.chunk({"y": y, "x": x, "pair": 4}), robust=robust, disconnected="minimum_velocity")
    assert all(isinstance(each.data, da.Array) for each in lazy.values())
    with dask.config.set(scheduler="synchronous"):
        xr.testing.assert_identical(lazy.compute(), invert_stack(stack, robust=robust, disconnected="minimum_velocity"))


def test_threads_do_not_matter() -> None:
    """Blocks solved at once by several threads give the same bits, and a graph has the same keys twice."""
    stack, _ = simulated(network(), (40, 40))
    chunked = stack.chunk({"y": 10, "x": 10})
    with dask.config.set(scheduler="threads", pool=ThreadPoolExecutor(4)):
        found = invert_stack(chunked).compute()
    xr.testing.assert_identical(found, invert_stack(stack))
    assert invert_stack(chunked)["chi2"].data.name == invert_stack(chunked)["chi2"].data.name


@pytest.mark.parametrize("date", ["2020-01-25", "2020-03-25"])
def test_reference_date_is_a_matter_of_origin(date: str) -> None:
    """Another reference date shifts the series of pixels whose dates hang together; its deviation is zero there."""
    stack, _ = simulated(network(), missing=0.05)
    first, other = invert_stack(stack), invert_stack(stack, reference_date=date)
    whole = first["n_components"] == 1
    shifted = first["displacement"] - first["displacement"].sel(time=date)
    assert int(whole.sum()) > 80
    np.testing.assert_allclose(other["displacement"].where(whole), shifted.where(whole), atol=2e-7)
    for name in ("temporal_coherence", "residual_rms", "chi2", "n_pairs", "n_components"):
        np.testing.assert_allclose(other[name], first[name], rtol=1e-4, atol=1e-5)
    assert (other["std_network"].sel(time=date).where(whole, 0) == 0).all()
    assert other.attrs["reference_date"].startswith(date)


def test_deviations_tell_the_error() -> None:
    """Simulated interferograms: the network part covers the error at 68 +- 3 %; the error is without bias."""
    frame = Frame(Region(size=120), size=56)
    dates = radar_dates(count=16)
    named = pairs_of(dates)
    made = [interferogram(frame, *pair) for pair in named]
    radar = frame.region.radar
    stack = stack_of(np.array([each.unwrapped for each in made]), network(16, 2), np.array([i.coherence for i in made]))
    ends = np.array([[np.datetime64(day, "ns") for day in pair] for pair in named])
    stack = stack.assign_coords(reference_time=("pair", ends[:, 0]), secondary_time=("pair", ends[:, 1]))
    stack.attrs |= {"wavelength": radar.wavelength, "looks": radar.looks}
    delay = np.array([frame.delay(day) for day in dates])
    truth = frame.motion.displacement(dates) - (delay - delay[0])
    series = invert_stack(stack)
    ratio = ((series["displacement"] - truth) / series["std_network"]).values[1:]
    known = np.isfinite(ratio)
    assert known.mean() > 0.9
    assert (np.abs(ratio[known]) < 1).mean() == pytest.approx(0.68, abs=0.03)
    assert abs(ratio[known].mean()) < 0.1
    estimated = invert_stack(stack, weights="coherence")
    ratio = ((estimated["displacement"] - truth) / estimated["std_network"]).values[1:]
    assert (np.abs(ratio[np.isfinite(ratio)]) < 1).mean() == pytest.approx(0.68, abs=0.06)


def test_chi2_needs_redundancy() -> None:
    """A chain of pairs has values but no redundancy: no chi squared, and no deviation where the scale needs one."""
    pairs = np.array([[0, 1], [1, 2]])
    stack = stack_of(np.ones((2, 1, 1)), pairs, np.full((2, 1, 1), 0.5))
    told, estimated = invert_stack(stack), invert_stack(stack, weights=None)
    assert np.isnan(told["chi2"].item())
    assert np.isfinite(told["std_network"]).all()
    assert np.isnan(estimated["std_network"][1:]).all()
    assert (told.attrs["std_network_scale"], estimated.attrs["std_network_scale"]) == ("weights", "chi2")


def test_missing_stays_missing() -> None:
    """Zero is a value, NaN, an infinite phase and a coherence of NaN are not; a stack without any value gives none."""
    pairs = network(4, 2)
    phase = np.zeros((len(pairs), 1, 4))
    phase[:, 0, 1] = np.nan
    phase[:, 0, 2] = np.inf
    coherence = np.full_like(phase, 0.5)
    coherence[:, 0, 3] = np.nan
    series = invert_stack(stack_of(phase, pairs, coherence))
    assert (series["displacement"][:, 0, 0] == 0).all()
    assert np.isnan(series["displacement"][:, 0, 1:]).all()
    assert series["n_pairs"].values.tolist() == [[5, 0, 0, 0]]
    assert series["n_components"].values.tolist() == [[1, 4, 4, 4]]
    empty = invert_stack(stack_of(phase[:, :0], pairs, coherence[:, :0]))
    assert empty["displacement"].shape == (4, 0, 4)


def test_layers_of_the_ground_are_kept() -> None:
    """Line of sight and height go along, whether they are variables or not."""
    stack = stack_of(np.ones((1, 2, 2)), np.array([[0, 1]]))
    stack["los_up"] = (("y", "x"), np.full((2, 2), 0.8))
    stack = stack.assign_coords(spatial_ref=0)
    series = invert_stack(stack, weights=None)
    assert float(series["los_up"].mean()) == pytest.approx(0.8)
    assert "spatial_ref" in series.coords
    np.testing.assert_allclose(series["displacement"][1], METRES, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"wavelength": None}, {}, "does not tell its wavelength"),
        ({"looks": None}, {}, "need the equivalent number of looks"),
        ({}, {"weights": "snr"}, "no such weight"),
        ({}, {"disconnected": "guess"}, "no such choice"),
        ({}, {"reference_date": "2019-01-01"}, "none of the stack"),
        ({}, {"reference_date": "soon"}, "no date"),
        ({}, {"weights": xr.DataArray(np.ones((2, 2)), dims=("y", "x"))}, "not on the pixels"),
    ],
)
def test_refusals(change: dict[str, Any], options: dict[str, Any], message: str) -> None:
    """What is missing or unknown is told."""
    stack, _ = simulated(network(), (2, 2))
    stack.attrs |= change
    with pytest.raises((InputError, MetadataError), match=message):
        invert_stack(stack, **options)


def test_refuses_a_stack_without_its_layers() -> None:
    """Without coherence there are no weights by it; without phase there is nothing; both are told."""
    stack, _ = simulated(network(), (2, 2))
    with pytest.raises(InputError, match="no layer coherence"):
        invert_stack(stack.drop_vars("coherence"))
    with pytest.raises(InputError, match="no layer unwrapped_phase"):
        invert_stack(stack.drop_vars("unwrapped_phase"), weights=None)
    with pytest.raises(InputError, match="other dimensions"):
        invert_stack(stack.isel(x=0), weights=None)


@pytest.fixture(scope="module")
def mexico(data_dir: Path) -> tuple[xr.Dataset, dict[str, NDArray[Any]]]:
    """A real stack, zeros of the producer missing, against its reference pixel; and a published solution of it."""
    folder = data_dir / "insar" / "mexico-sentinel1"
    if not folder.is_dir():
        pytest.skip(f"the stack of Mexico City is absent: {folder}")
    told = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    layers: dict[str, list[NDArray[Any]]] = {"unw": [], "flat_eqa_cc": []}
    for first, second in told["pairs"]:
        stem = folder / "geotiffs" / f"cropA_{first}-{second}_VV_8rlks"
        for name, end in (("unw", "_eqa_unw.tif"), ("flat_eqa_cc", "_flat_eqa_cc.tif")):
            with rasterio.open(f"{stem}{end}") as source:
                layers[name].append(source.read(1))
    phase = np.array(layers["unw"])
    phase[phase == told["nodata"]] = np.nan
    row, column = told["ref_yx"]
    phase -= phase[:, row, column][:, None, None]
    ends = np.array([[f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in pair] for pair in told["pairs"]], "M8[ns]")
    stack = stack_of(phase, network(31, 1)[:30], np.array(layers["flat_eqa_cc"]))
    stack = stack.assign_coords(reference_time=("pair", ends[:, 0]), secondary_time=("pair", ends[:, 1]))
    stack.attrs |= {"wavelength": told["wavelength_m"], "looks": told["nlooks_used_for_weight"]}
    with np.load(folder / "mintpy_reference.npz") as published:
        return stack, {name: published[name] for name in published.files}


def peers_weights(coherence: NDArray[Any], looks: float) -> xr.DataArray:
    """Weigh as the published solution does: the same density, summed at 200 phases, in 200 steps of coherence."""
    nodes, phase = (np.arange(200) + 0.5) / 200, np.linspace(-np.pi, np.pi, 200)
    variance = [np.sum(phase**2 * phase_density(phase, node, looks)) * np.pi / 100 for node in nodes]
    step = ((np.clip(coherence, nodes[0], nodes[-1]) - nodes[0]) * 200).astype(int)
    return xr.DataArray(1 / np.array(variance)[step], dims=("pair", "y", "x"))


@pytest.mark.parametrize(("name", "weighted"), [("no_vel", False), ("var_vel", True)])
def test_equals_the_published_series(
    mexico: tuple[xr.Dataset, dict[str, NDArray[Any]]], name: str, weighted: bool
) -> None:
    """The same weights give the published series to 1e-3 mm and its temporal coherence to 1e-5, for more pixels."""
    stack, published = mexico
    weights = peers_weights(stack["coherence"].values, 8) if weighted else None
    series = invert_stack(stack, weights=weights)
    solved = (published[f"ts_{name}"] != 0).any(axis=0)
    whole = series["n_components"].values == 1
    assert (whole & solved).sum() > 5800
    assert not (solved & ~whole).any()
    difference = (series["displacement"].values - published[f"ts_{name}"])[:, solved]
    assert np.abs(difference).max() <= 1e-6
    assert np.abs(series["temporal_coherence"].values - published[f"tcoh_{name}"])[solved].max() <= 1e-5
    np.testing.assert_array_equal(series["n_pairs"].values[solved], published[f"nobs_{name}"][solved])
    assert int(series["displacement"].notnull().any("time").sum()) > solved.sum()


def test_own_weights_stay_near_the_published_series(mexico: tuple[xr.Dataset, dict[str, NDArray[Any]]]) -> None:
    """The exact variance differs from a coarse table of it by less than a tenth of a millimetre."""
    stack, published = mexico
    difference = invert_stack(stack)["displacement"].values - published["ts_var_vel"]
    assert np.abs(difference[:, (published["ts_var_vel"] != 0).any(axis=0)]).max() < 1e-4


def test_partly_solved_pixels_agree_with_whole_ones(mexico: tuple[xr.Dataset, dict[str, NDArray[Any]]]) -> None:
    """With low coherence masked, dates that are still joined keep their displacement within three deviations."""
    stack, _ = mexico
    whole = invert_stack(stack)
    masked = invert_stack(stack.assign(unwrapped_phase=stack["unwrapped_phase"].where(stack["coherence"] > 0.4)))
    partly = ((masked["n_components"] > 1) & (whole["n_components"] == 1)).values
    assert partly.sum() > 100
    ratio = ((masked["displacement"] - whole["displacement"]) / masked["std_network"]).values[1:, partly]
    known = np.isfinite(ratio)
    assert known.sum() > 500
    assert (np.abs(ratio[known]) < 3).mean() > 0.95
