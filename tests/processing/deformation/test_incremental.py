"""Series that grow: what is appended equals what is solved at once, and a former state is never lost."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr

from terracube.core.errors import (
    ConflictError,
    EmptyResultError,
    InputError,
    IntegrityError,
    MetadataError,
    NotFoundError,
)
from terracube.cubes.pairs import SIGN
from terracube.cubes.storage.versioned import VersionedCube
from terracube.processing.deformation.incremental import KeptSeries, append, keep_series
from terracube.processing.deformation.inversion import invert_stack
from terracube.processing.deformation.network import network_of_stack
from terracube.processing.deformation.reference import apply_reference
from terracube.processing.deformation.series import invert
from terracube.processing.deformation.stack import to_stack

WAVELENGTH = 0.0555
DAYS = np.datetime64("2020-01-01T05:30:00", "ns") + np.arange(8) * np.timedelta64(12, "D")
ENDS = np.array([(i, j) for i in range(8) for j in range(i + 1, min(8, i + 4))])
PLACE = (9950.0, 50.0)
LAYERS = ("displacement", "std_network", "temporal_coherence", "residual_rms", "chi2", "n_pairs", "n_components")


def make(*, noise=0.3, missing=0.1, shape=(80, 150), seed=0):
    """A stack of eight dates; pixel (0, 0) has all pairs."""
    rng = np.random.default_rng(seed)
    dates = rng.normal(0, 3, (8, *shape))
    phase = dates[ENDS[:, 1]] - dates[ENDS[:, 0]] + rng.normal(0, noise, (len(ENDS), *shape))
    holes = rng.random(phase.shape) < missing
    holes[:, 0, 0] = False
    phase[holes] = np.nan
    dims = ("pair", "y", "x")
    layers = {
        "unwrapped_phase": (dims, phase.astype("float32")),
        "coherence": (dims, rng.uniform(0.3, 0.95, phase.shape).astype("float32")),
        "los_up": (dims[1:], np.full(shape, 0.8, "float32")),
    }
    coords = {
        "reference_time": ("pair", DAYS[ENDS[:, 0]]),
        "secondary_time": ("pair", DAYS[ENDS[:, 1]]),
        "y": 10_000.0 - 100 * (np.arange(shape[0]) + 0.5),
        "x": 100 * (np.arange(shape[1]) + 0.5),
    }
    found = xr.Dataset(layers, coords, {"wavelength": WAVELENGTH, "looks": 10.0, "phase_sign": SIGN})
    return to_stack(found.rio.write_crs("EPSG:32633"))


def parted(stack, *, last=6):
    """Part a stack into the pairs of the first dates, and those of later ones."""
    late = stack.secondary_time.values >= DAYS[last]
    return stack.isel(pair=~late), stack.isel(pair=late)


@pytest.fixture(scope="module")
def stack():
    """All pairs, in memory."""
    return make()


def kept_of(stack, folder, **options):
    """Keep the series of some pairs, in blocks of 64 pixels."""
    referenced = apply_reference(stack, PLACE)
    return keep_series(invert_stack(referenced, **options), referenced, folder / "kept", chunks=64)


def equal(found, expected, names=LAYERS):
    """Compare layers to the bit."""
    for name in names:
        np.testing.assert_array_equal(found[name].values, expected[name].values, err_msg=name)


@pytest.mark.parametrize("options", [{}, {"weights": None, "disconnected": "linear"}, {"weights": "coherence"}])
def test_solved_anew_is_solved_at_once(stack, tmp_path, options):
    """After an append all layers are, to the bit, those of one inversion of all pairs; so is what it tells."""
    old, new = parted(stack)
    kept = kept_of(old, tmp_path, **options)
    equal(kept.dataset(), invert_stack(apply_reference(old, PLACE), **options))
    grown = append(kept, new.chunk(y=33), old=old.chunk(pair=3, x=70))
    whole = invert_stack(apply_reference(stack, PLACE), **options)
    equal(grown.dataset(), whole)
    assert {name: grown.facts[name] for name in whole.attrs} == whole.attrs
    assert grown.network.digest == network_of_stack(stack)[0].digest
    np.testing.assert_array_equal(grown.dataset().los_up, np.float32(0.8))
    again = KeptSeries.open(tmp_path / "kept")
    xr.testing.assert_identical(again.dataset().compute(), grown.dataset().compute())


@pytest.mark.parametrize("repair", ["none", "pixel", "neighbours"])
def test_appended_as_it_was_inverted(tmp_path, repair):
    """Mending and the noise of the reference are, to the bit, those of one inversion of all pairs."""
    whole = make(noise=0.1, missing=0.0, shape=(40, 70))
    whole["unwrapped_phase"][5, 20:24, 30:60] += 2 * np.pi
    old, new = parted(whole)
    how = {"reference": PLACE, "repair": repair, "atmosphere": None}
    kept = keep_series(invert(old, **how), apply_reference(old, PLACE), tmp_path / "kept", chunks=64)
    equal(append(kept, new, old=old).dataset(), invert(whole, **how))


def test_new_pairs_away_from_the_reference(tmp_path):
    """A part whose new pairs are referenced already is solved; the noise of the reference is that of the old pairs."""
    whole = make(noise=0.1, missing=0.0)
    old, new = parted(whole)
    how = {"reference": PLACE, "repair": "pixel", "atmosphere": None}
    kept = keep_series(invert(old, **how), apply_reference(old, PLACE), tmp_path / "kept", chunks=64)
    part = apply_reference(new, PLACE).isel(y=slice(64, 80), x=slice(128, 150))
    grown = append(kept, part, old=old).dataset().compute()
    expected = invert(whole, **how).isel(y=slice(64, 80), x=slice(128, 150))
    inside = grown.isel(y=slice(64, 80), x=slice(128, 150))
    np.testing.assert_array_equal(inside.displacement.values, expected.displacement.values)
    own = invert_stack(apply_reference(whole, PLACE)).std_network.values[1:6, 64:80, 128:150]
    assert (inside.std_network.values[1:6] > own).all()
    early = {"y": slice(0, 64), "time": slice(0, 6)}
    equal(grown.isel(early), kept.cube.at(kept.history()[-1]["id"]).isel(early), ("displacement", "std_network"))


def test_found_references_stay_what_they_were(tmp_path):
    """Of an area that was found, pixels that the search left out are left out of an append too."""
    whole = make(noise=0.1, missing=0.0, shape=(16, 16))
    whole["unwrapped_phase"][:, 4:12, :8] /= 30
    components = xr.ones_like(whole["unwrapped_phase"]).astype("uint8")
    components[2, 4:12, :3] = 0
    whole["unwrapped_phase"][2, 4:12, :3] += 2 * np.pi
    whole = whole.assign(connected_components=components)
    old, new = parted(whole)
    series = invert(old, atmosphere=None)
    assert float(series.reference_pixels) == 40
    kept = keep_series(series, apply_reference(old), tmp_path / "kept", chunks=64)
    grown = append(kept, new, old=old).dataset()
    np.testing.assert_allclose(grown.displacement.values, invert(whole, atmosphere=None).displacement.values, atol=1e-6)


def test_provenance(stack, tmp_path):
    """Each state tells how it was made."""
    old, new = parted(stack)
    grown = append(append(kept_of(old, tmp_path), new.isel(pair=[0, 1]), how="frozen"), new[{"pair": slice(2, None)}],
                   old=xr.concat([old, new.isel(pair=[0, 1])], "pair", data_vars="minimal"))  # fmt: skip
    told = grown.history()
    assert [state["how"] for state in told] == ["resolve", "frozen", "resolve"]
    assert [state["pairs_added"] for state in told] == [len(new.pair) - 2, 2, len(old.pair)]
    assert told[0]["network"] == network_of_stack(stack)[0].digest == grown.facts["network"]
    former = grown.cube.at(told[2]["id"])
    assert former.sizes["time"] == 6


def test_frozen_leaves_the_past(stack, tmp_path):
    """Kept dates stay to the bit, new ones are the weighted mean over their pairs of kept date and phase."""
    clean = make(noise=0.0)
    old, new = parted(clean, last=7)
    kept = kept_of(old, tmp_path, weights="fisher")
    before = kept.dataset().compute()
    grown = append(kept, new.chunk(y=40), how="frozen").dataset().compute()
    equal(grown.isel(time=slice(0, 7)), before, ("displacement", "std_network"))
    equal(grown, before, ("temporal_coherence", "n_pairs"))
    phase = new.unwrapped_phase - new.unwrapped_phase[:, 0, 0].drop_vars(["y", "x"])
    past = before.displacement.sel(time=new.reference_time).drop_vars("time").values * (-4 * np.pi / WAVELENGTH)
    coherence = np.rint(new.coherence.values.astype("float64") * 255) / 255
    weight = np.where(np.isfinite(phase + past), 20 * coherence**2 / (1 - coherence**2), 0)
    with np.errstate(invalid="ignore"):
        mean = np.nansum(weight * (past + phase.values), axis=0) / weight.sum(axis=0)
    np.testing.assert_allclose(grown.displacement[-1], -WAVELENGTH / (4 * np.pi) * mean, atol=2e-6)


def test_frozen_deviation_covers(tmp_path):
    """Errors of frozen dates lie within their deviations about as often as they should, rather more often."""
    stack, truth = make(missing=0.0, noise=0.0, seed=3), None
    truth = invert_stack(apply_reference(stack, PLACE), weights=None).displacement
    rng = np.random.default_rng(5)
    spread = np.sqrt((1 - stack.coherence.values**2) / (2 * 10 * stack.coherence.values**2))
    noisy = stack.copy(deep=True)
    noisy["unwrapped_phase"] += (spread * rng.normal(0, 1, spread.shape)).astype("float32")
    noisy.unwrapped_phase[:, 0, 0] = stack.unwrapped_phase[:, 0, 0]
    old, new = parted(noisy)
    grown = append(kept_of(old, tmp_path, weights="fisher"), new, how="frozen").dataset()
    error = np.abs(grown.displacement - truth.values).isel(time=[-2, -1]) / grown.std_network.isel(time=[-2, -1])
    inside = float((error < 1).mean())
    assert 0.67 < inside < 0.80


def test_frozen_between_kept_dates(tmp_path):
    """A new date before or between kept ones follows from pairs that end at a kept date too."""
    clean = make(noise=0.0, missing=0.0)
    middle = (clean.reference_time.values == DAYS[3]) | (clean.secondary_time.values == DAYS[3])
    kept = kept_of(clean.isel(pair=~middle), tmp_path, weights=None)
    grown = append(kept, clean.isel(pair=middle), how="frozen").dataset()
    whole = invert_stack(apply_reference(clean, PLACE), weights=None)
    np.testing.assert_allclose(grown.displacement, whole.displacement, atol=5e-7)
    assert np.isnan(grown.std_network[3]).all()


def test_only_touched_blocks(stack, tmp_path):
    """Where new pairs have no phase nothing is read or changed; a part of the grid is enough."""
    old, new = parted(stack)
    new = new.copy(deep=True)
    referenced = apply_reference(new, PLACE)
    referenced["unwrapped_phase"][:, :, 64:] = np.nan
    read = []

    def watched(block, block_info=None):
        read.append(tuple(block_info[0]["chunk-location"]))
        return block

    def watch(values):
        return values.chunk({"pair": -1, "y": 64, "x": 64}).copy(
            data=dask.array.map_blocks(watched, values.chunk({"pair": -1, "y": 64, "x": 64}).data, dtype="float32",
                                       meta=np.empty((0, 0, 0), "float32"))
        )  # fmt: skip

    kept = kept_of(old, tmp_path)
    lazy = apply_reference(old, PLACE).chunk(y=64, x=64)
    lazy["unwrapped_phase"] = watch(lazy.unwrapped_phase)
    grown = append(kept, referenced, old=lazy)
    assert {place[2] for place in read} == {0}
    found, before = grown.dataset().compute(), invert_stack(apply_reference(old, PLACE))
    whole = invert_stack(apply_reference(stack, PLACE))
    equal(found.isel(x=slice(0, 64)), whole.isel(x=slice(0, 64)))
    equal(found.isel(x=slice(64, None), time=slice(0, 6)), before.isel(x=slice(64, None)))
    assert np.isnan(found.displacement[6:, :, 64:]).all()
    part = append(kept_of(old, tmp_path / "part"), apply_reference(new, PLACE)[{"y": slice(5, 70), "x": slice(3, 60)}],
                  old=old)  # fmt: skip
    inside = {"y": slice(5, 70), "x": slice(3, 60)}
    equal(part.dataset().isel(inside), whole.isel(inside))


def test_auto_reference(tmp_path):
    """A reference that was found is applied again to what is new."""
    stack = make(missing=0.0, shape=(40, 70))
    old, new = parted(stack)
    referenced = apply_reference(old.isel(y=slice(8, None)).chunk(y=30), "auto")
    kept = keep_series(invert_stack(referenced), referenced, tmp_path / "kept", chunks=64)
    assert len(kept.reference) == 4
    grown = append(kept, new.isel(y=slice(8, None)), old=old.isel(y=slice(8, None)))
    whole = invert_stack(apply_reference(stack.isel(y=slice(8, None)), kept.reference))
    np.testing.assert_allclose(grown.dataset().displacement, whole.displacement, atol=1e-6)


def test_killed_append_leaves_all_as_it_was(stack, tmp_path):
    """If blocks fail while they are computed, the newest state is the one before."""
    old, new = parted(stack)
    kept = kept_of(old, tmp_path)
    before = kept.dataset().compute()
    bad = new.chunk(y=40)

    def fail(block):
        raise OSError("gone")

    seen = bad.unwrapped_phase.data
    bad["coherence"] = bad.coherence.copy(data=dask.array.map_blocks(fail, seen, dtype="float32", meta=seen._meta))
    with pytest.raises(OSError, match="gone"):
        append(kept, bad, old=old)
    after = KeptSeries.open(tmp_path / "kept")
    xr.testing.assert_identical(after.dataset().compute(), before)
    assert append(after, new, old=old).dataset().sizes["time"] == 8


def test_refused(stack, tmp_path):
    """What does not fit the series is refused, and leaves it as it was."""
    old, new = parted(stack)
    kept = kept_of(old, tmp_path)
    cases = [
        (InputError, "twice", stack, {"old": old}),
        (InputError, "old pairs are needed", new, {}),
        (InputError, "unknown way", new, {"how": "merge"}),
        (ConflictError, "not the pairs of the series", new, {"old": old.isel(pair=slice(3, None))}),
        (MetadataError, "differ in wavelength", new.assign_attrs(wavelength=0.031), {"old": old}),
        (MetadataError, "differ in looks", new.assign_attrs(looks=3.0), {"old": old}),
        (MetadataError, "other pixels", new.assign_coords(x=new.x + 50).rio.write_crs(32633), {"old": old}),
        (ConflictError, "another reference", apply_reference(new, None), {"old": old}),
        (EmptyResultError, "no new pair", new.assign(unwrapped_phase=new.unwrapped_phase * np.nan)
         .assign_attrs(apply_reference(new, PLACE).attrs), {"old": old}),
    ]  # fmt: skip
    for error, words, given, options in cases:
        with pytest.raises(error, match=words):
            append(kept, given, **options)
    assert len(kept.history()) == 1
    late = stack.isel(pair=(stack.secondary_time.values == DAYS[5]) & (stack.reference_time.values == DAYS[4]))
    rest = old.isel(pair=old.pair.values != late.pair.values)
    with pytest.raises(InputError, match="no date is new"):
        append(kept_of(rest, tmp_path / "rest"), late, how="frozen")


def test_not_a_series(stack, tmp_path):
    """A series of other pairs is not kept; a cube without a series, or with a damaged record, is not opened."""
    old, _ = parted(stack)
    referenced = apply_reference(old, PLACE)
    series = invert_stack(referenced)
    with pytest.raises(ConflictError, match="not of this stack"):
        keep_series(series, stack, tmp_path / "kept")
    with pytest.raises(ConflictError, match="another reference"):
        keep_series(series, apply_reference(old, None), tmp_path / "kept")
    for number, (record, error) in enumerate((({}, NotFoundError), ({"deformation": "{"}, IntegrityError))):
        plain = series[["displacement"]].assign_attrs(record)
        cube = VersionedCube.create(tmp_path / str(number), variables=plain, chunks=64)
        cube.append(plain)
        with pytest.raises(error):
            KeptSeries.open(tmp_path / str(number))
