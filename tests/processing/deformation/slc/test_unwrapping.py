"""Unwrapping of simulated interferograms whose phase is known, whole and in tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from terracube.core.errors import InputError, MetadataError
from terracube.processing.deformation.slc import coherence, goldstein, interferogram, unwrap
from terracube.processing.deformation.slc._tiles import (
    MISSING,
    Solved,
    common,
    compare,
    cut,
    join,
    neighbours,
    parts_of,
)

pytest.importorskip("whirlwind", reason="whirlwind-insar, which unwraps, is not installed")


def hill(shape: tuple[int, int]) -> Any:
    """Give a smooth phase of several cycles."""
    y, x = (np.linspace(-1, 1, size)[place] for size, place in zip(shape, np.ix_(*map(range, shape)), strict=True))
    return 30 * np.exp(-4 * (y**2 + (x - 0.2) ** 2)) + 6 * x


def seen(phase: Any, *, looks: int = 20, gamma: float = 0.7, seed: int = 0) -> tuple[Any, Any]:
    """Give an interferogram of speckle with a known phase, and its sample coherence."""
    rng = np.random.default_rng(seed)
    first, other = (rng.standard_normal((looks, *phase.shape, 2)) @ [1, 1j] for _ in range(2))
    second = gamma * first + np.sqrt(1 - gamma**2) * other
    mean = (first * second.conj()).mean(0)
    found = np.abs(mean) / np.sqrt((np.abs(first) ** 2).mean(0) * (np.abs(second) ** 2).mean(0))
    return (mean * np.exp(1j * phase)).astype("complex64"), found.astype("float32")


def cycles_off(found: Any, truth: Any) -> Any:
    """Give the cycles by which each pixel is wrong, less those of most pixels."""
    off = np.rint((np.asarray(found) - truth) / (2 * np.pi))
    values, counts = np.unique(off[np.isfinite(off)], return_counts=True)
    return off - values[np.argmax(counts)]


@pytest.mark.parametrize("tile", [None, 64])
def test_phase_is_recovered(tile: int | None) -> None:
    """Every pixel has the cycles of the truth, and the result is congruent to the interferogram."""
    truth = hill((120, 150))
    wrapped, known = seen(truth)
    found = unwrap(wrapped, known, 20, tile=tile, overlap=24)
    assert (cycles_off(found["unwrapped_phase"], truth) == 0).all()
    again = np.exp(1j * found["unwrapped_phase"].values.astype("float64")) * np.exp(-1j * np.angle(wrapped))
    np.testing.assert_allclose(again, 1, atol=1e-5)
    assert set(np.unique(found["connected_components"])) <= {0, 1}
    assert (found["connected_components"] == 1).mean() > 0.98
    assert np.isnan(found["agreement"]) if tile is None else found["agreement"] == 1
    assert found["unwrapped_phase"].dtype == "float32"
    assert found.attrs["unwrapper"].startswith("whirlwind-insar ")


def test_from_images_to_phase() -> None:
    """The whole way: two images, coherence, filter, phase; the phase is that before the filter."""
    truth = hill((90, 80))
    fine = np.repeat(np.repeat(truth, 4, 0), 4, 1)
    rng = np.random.default_rng(3)
    first, other = (rng.standard_normal((*fine.shape, 2)) @ [1, 1j] for _ in range(2))
    flat = np.linspace(0, 300, fine.shape[1])[None] * np.ones((fine.shape[0], 1))
    second = (0.6 * first + 0.8 * other) * np.exp(-1j * (fine + flat))
    pair = interferogram(first, second, flat=flat, looks=(4, 4))
    known = coherence(pair, window=(3, 3))
    values = pair["interferogram"]
    found = unwrap(values, known, filtered=goldstein(values, known))
    assert (cycles_off(found["unwrapped_phase"], truth) == 0).mean() > 0.999
    again = np.exp(1j * found["unwrapped_phase"].values.astype("float64")) * np.exp(-1j * np.angle(values.values))
    np.testing.assert_allclose(again, 1, atol=1e-5)
    error = found["unwrapped_phase"] - truth
    assert float((error - error.median()).std()) < 0.3
    assert found.attrs["looks"] == 16
    assert "positive towards the satellite" in found.attrs["phase_sign"]


def test_cycles_of_the_filtered_image_are_taken() -> None:
    """Where noise crosses half a cycle, the phase is that before the filter, next to the phase after it."""
    truth = np.full((40, 40), 3.1) + 0.02 * np.arange(40)
    noise = 0.4 * np.random.default_rng(0).standard_normal(truth.shape)
    clean, known = np.exp(1j * truth), np.full(truth.shape, 0.9)
    found = unwrap(clean * np.exp(1j * noise), known, 20, filtered=clean)["unwrapped_phase"]
    off = found - truth - noise
    np.testing.assert_allclose(off, off[0, 0], atol=1e-5)


def test_graphs_have_names_that_repeat() -> None:
    """The same request has the same keys, so that results can be kept and shared."""
    wrapped, known = (xr.DataArray(part, dims=("y", "x")).chunk(y=30) for part in seen(hill((60, 70))))
    names = [
        (
            goldstein(wrapped, known).data.name,
            unwrap(wrapped, known, 20, tile=48, overlap=16)["unwrapped_phase"].data.name,
        )
        for _ in range(2)
    ]
    assert names[0] == names[1]


def test_missing_pixels_stay_missing() -> None:
    """NaN, zero amplitude and missing coherence are not unwrapped, and no part of a component."""
    truth = hill((60, 70))
    wrapped, known = seen(truth)
    wrapped[5:9, 10:14], wrapped[30, 30], known[50:, :8] = np.nan, 0, np.nan
    missing = ~np.isfinite(wrapped) | (wrapped == 0) | ~np.isfinite(known)
    for tile in (None, 48):
        found = unwrap(wrapped, known, 20, tile=tile, overlap=16)
        np.testing.assert_array_equal(np.isnan(found["unwrapped_phase"]), missing)
        assert (found["connected_components"].values[missing] == 0).all()
        assert (cycles_off(found["unwrapped_phase"], truth)[~missing] == 0).all()


def test_islands_are_components_across_tiles() -> None:
    """Two islands that tiles cut several times are two components, the larger first."""
    truth = hill((100, 160))
    wrapped, known = seen(truth)
    wrapped[:, 62:70] = np.nan
    found = unwrap(wrapped, known, 20, tile=60, overlap=20)
    labels = found["connected_components"].values
    assert set(np.unique(labels[:, 70:])) <= {0, 1}
    assert set(np.unique(labels[:, :62])) <= {0, 2}
    assert (labels > 0).mean() > 0.9
    for side in (slice(0, 62), slice(70, 160)):
        assert (cycles_off(found["unwrapped_phase"].values[:, side], truth[:, side]) == 0).all()


def test_tiles_agree_with_the_whole_where_noise_cuts_them() -> None:
    """Patches of noise and holes, at random: in tiles the components and their cycles are those of the whole image."""
    rng, truth = np.random.default_rng(5), hill((150, 150))
    wrapped, known = seen(truth, gamma=0.6)
    noise, weak = seen(truth, gamma=0.0, seed=9)
    field = gaussian_filter(rng.standard_normal(truth.shape), 9)
    field /= field.std()
    wrapped, known = np.where(field > 0.9, noise, wrapped), np.where(field > 0.9, weak, known)
    wrapped[field < -1.3] = np.nan
    there = (field >= -1.3) & (field <= 0.9)
    found = unwrap(wrapped, known, 20, tile=64, overlap=24)
    off, labels = cycles_off(found["unwrapped_phase"], truth), found["connected_components"].values
    assert found["agreement"] > 0.999
    assert (off[there] == 0).mean() > 0.99
    assert (off[there & (labels == 1)] == 0).mean() > 0.9999
    whole = unwrap(wrapped, known, 20, tile=None)["connected_components"].values
    assert ((whole > 0) == (labels > 0))[there].mean() > 0.99


def test_real_pairs(data_dir: Path) -> None:
    """Of 30 real pairs, wrapped again, the producer's cycles come back: all on components, nearly all elsewhere."""
    folder = data_dir / "insar" / "mexico-sentinel1" / "geotiffs"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}, so real pairs cannot be unwrapped")
    files = sorted(folder.glob("*_eqa_unw.tif"))
    assert len(files) == 30
    for file in files:
        phase, known = (
            rioxarray.open_rasterio(path).squeeze("band", drop=True).values
            for path in (file, file.with_name(file.name.replace("_eqa_unw", "_flat_eqa_cc")))
        )
        wrapped = np.where(phase == 0, np.nan, np.exp(1j * phase))
        found = unwrap(wrapped, np.clip(known, 0, 1), 40)
        off, labels = cycles_off(found["unwrapped_phase"], phase), found["connected_components"].values
        assert (off[labels == 1] == 0).all()
        assert (labels > 0).mean() > 0.96
        assert (off[phase != 0] == 0).mean() > 0.985


@settings(max_examples=5, deadline=None)
@given(rows=st.integers(5, 70), columns=st.integers(5, 90))
def test_blocks_leave_no_trace(rows: int, columns: int) -> None:
    """Bits are the same however the image is cut; nothing is computed before."""
    wrapped, known = seen(hill((70, 90)), gamma=0.4)
    plain = unwrap(wrapped, known, 20, tile=48, overlap=16)
    cut_up = xr.DataArray(wrapped, dims=("y", "x")).chunk(y=rows, x=columns)
    found = unwrap(cut_up, known, 20, tile=48, overlap=16)
    assert found["unwrapped_phase"].chunks == cut_up.chunks
    xr.testing.assert_identical(found.compute(), plain)


def test_pairs_make_a_stack() -> None:
    """A stack (pair, y, x) is unwrapped pair by pair, and keeps its dates."""
    parts = [seen(hill((40, 50)), seed=seed) for seed in (1, 2)]
    dates = np.array(["2020-01-01", "2020-01-13"], "datetime64[ns]")
    stack = xr.DataArray(np.stack([part[0] for part in parts]), dims=("pair", "y", "x"), attrs={"wavelength": 0.055})
    stack = stack.assign_coords(
        reference_time=("pair", dates), secondary_time=("pair", dates + np.timedelta64(12, "D"))
    )
    known = xr.DataArray(np.stack([part[1] for part in parts]), dims=("pair", "y", "x"))
    found = unwrap(stack, known, 20)
    assert found["unwrapped_phase"].dims == ("pair", "y", "x")
    assert (found.sizes["pair"], found.attrs["wavelength"], found["agreement"].shape) == (2, 0.055, (2,))
    np.testing.assert_array_equal(found["reference_time"], dates)
    xr.testing.assert_identical(unwrap(stack.chunk(pair=1), known, 20).compute(), found)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (30, 3)])
def test_small_images(shape: tuple[int, int]) -> None:
    """Images too small for the library are unwrapped all the same."""
    truth = np.arange(shape[0] * shape[1]).reshape(shape) * 0.3 * (shape[0] == 1)
    found = unwrap(np.exp(1j * truth), np.full(shape, 0.9), 20)
    np.testing.assert_allclose(found["unwrapped_phase"] - found["unwrapped_phase"][0, 0], truth, atol=1e-5)


def test_nothing_there() -> None:
    """An image where all is missing gives all missing; one without pixels is refused."""
    found = unwrap(np.full((40, 40), np.nan + 0j), np.ones((40, 40)), 5, tile=32, overlap=16)
    assert np.isnan(found["unwrapped_phase"]).all()
    assert np.isnan(found["agreement"])
    with pytest.raises(InputError, match="no pixels"):
        unwrap(np.ones((0, 4), complex), np.ones((0, 4)), 5)


def test_bad_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be is refused with a word, also what only shows when it is computed."""
    image, known = np.ones((20, 20), complex), np.full((20, 20), 0.5)
    with pytest.raises(InputError, match="no such unwrapper"):
        unwrap(image, known, 5, method="flood")
    with pytest.raises(MetadataError, match="looks is not known"):
        unwrap(image, known)
    with pytest.raises(InputError, match="number of looks"):
        unwrap(image, known, 0.5)
    for tile, overlap in ((30, 16), (64, 8)):
        with pytest.raises(InputError, match="too much or too little"):
            unwrap(image, known, 5, tile=tile, overlap=overlap)
    with pytest.raises(InputError, match="does not fit"):
        unwrap(image, known[1:], 5)
    with pytest.raises(InputError, match="out of bounds"):
        unwrap(image, known * 3, 5)
    monkeypatch.setenv("WHIRLWIND_UNWRAP_SOLVER", "reuse")
    with pytest.raises(InputError, match="environment"):
        unwrap(image, known, 5)


def test_the_extra_is_named_where_it_is_missing() -> None:
    """Without snaphu the error names the extra; with it, it unwraps too."""
    from importlib.util import find_spec

    truth = hill((60, 70))
    wrapped, known = seen(truth)
    if find_spec("snaphu") is None:
        with pytest.raises(InputError, match="extra"):
            unwrap(wrapped, known, 20, method="snaphu")
    else:
        found = unwrap(wrapped, known, 20, method="snaphu")
        assert (cycles_off(found["unwrapped_phase"], truth) == 0).all()


def test_tiles_cover_the_image_once() -> None:
    """Cores make the image, wholes contain them, neighbours see the same pixels."""
    for shape, tile, overlap in (((50, 61), 20, 6), ((20, 20), 20, 6), ((21, 5), 20, 6), ((1, 1), 20, 0)):
        rows, count = cut(shape, tile, overlap), np.zeros(shape, int)
        for one in (one for row in rows for one in row):
            count[one.core] += 1
            assert all(a.start <= b.start and b.stop <= a.stop for a, b in zip(one.whole, one.core, strict=True))
        assert (count == 1).all()
        numbers = np.arange(count.size).reshape(shape)
        for (_, one), (_, two) in neighbours(rows):
            seen_by = [numbers[part.whole][place] for part, place in zip((one, two), common(one, two), strict=True)]
            np.testing.assert_array_equal(*seen_by)
            assert seen_by[0].size


def tiled(cycles: Any, labels: Any, tile: int, overlap: int, off: Any) -> tuple[Any, Any, Any]:
    """Cut known cycles into tiles with an offset for each, and join them."""
    rows = cut(cycles.shape, tile, overlap)
    flat = [one for row in rows for one in row]
    solved = [
        Solved.of(np.where(cycles[one.whole] == MISSING, MISSING, cycles[one.whole] - off[n]), labels[one.whole])
        for n, one in enumerate(flat)
    ]
    parts = [parts_of(part, number=n, core=one.inside) for n, (one, part) in enumerate(zip(flat, solved, strict=True))]
    compared = [
        compare(solved[a], solved[b], numbers=(a, b), seen=common(one, two)) for (a, one), (b, two) in neighbours(rows)
    ]
    return join(parts, compared), flat, solved


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), wrong=st.sampled_from([0.0, 0.2]))
def test_offsets_of_tiles_are_found(seed: int, wrong: float) -> None:
    """Tiles with any offsets come together, also where a fifth of the pixels are wrong at random."""
    rng = np.random.default_rng(seed)
    cycles = np.cumsum(rng.integers(-1, 2, (30, 40)), axis=1).astype("int32")
    shown = np.where(rng.random(cycles.shape) < wrong, cycles + rng.integers(-3, 4, cycles.shape), cycles)
    off = rng.integers(-5, 6, 100)
    joined, flat, _ = tiled(shown, np.ones_like(cycles), 16, 6, off)
    added = {int(tile): int(more) for tile, _, more, _ in joined[:-1]}
    assert len({added[n] - off[n] for n in range(len(flat))}) == 1
    assert (joined[:-1, 3] == 1).all()
    assert joined[-1, 2] == joined[-1, 3]


def test_a_wrong_link_is_outvoted() -> None:
    """A tile that agrees with two neighbours keeps them, though a third disagrees; the agreement tells."""
    cycles = np.zeros((26, 26), "int32")
    rows = cut(cycles.shape, 16, 6)
    flat = [one for row in rows for one in row]
    solved = [Solved.of(cycles[one.whole].copy(), np.ones((16, 16), "int32")) for one in flat]
    solved[3].cycles[:6] += 1
    solved[3].parts[:6] = 2
    compared = [
        compare(solved[a], solved[b], numbers=(a, b), seen=common(one, two)) for (a, one), (b, two) in neighbours(rows)
    ]
    parts = [parts_of(part, number=n, core=(slice(3, 16), slice(3, 16))) for n, part in enumerate(solved)]
    joined = join(parts, compared)
    added = {(int(tile), int(label)): int(more) for tile, label, more, _ in joined[:-1]}
    assert [added[n, 1] for n in range(4)] == [0, 0, 0, 0]
    assert added[3, 2] == -1
    assert joined[-1, 2] <= joined[-1, 3]


def test_noise_joins_nothing() -> None:
    """Parts that belong to no component stay so, and missing pixels are no part."""
    rng = np.random.default_rng(0)
    cycles = rng.integers(-9, 9, (26, 26)).astype("int32")
    cycles[:3] = MISSING
    joined, _, solved = tiled(cycles, np.zeros_like(cycles), 16, 6, np.zeros(9, int))
    assert (joined[:-1, 3] == 0).all()
    assert len(joined) == 1 + len(solved)


def test_loose_pixels_go_with_what_they_touch() -> None:
    """Regions without a component take the cycles of the one with the longest border; others stay by themselves."""
    labels = np.array([[1, 1, 0, 2, 2], [1, 0, 0, 2, 2], [1, 1, 0, 2, 2], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]], "int32")
    cycles = np.zeros((5, 5), "int32")
    cycles[3], cycles[1, 1] = MISSING, 4
    found = Solved.of(cycles, labels)
    np.testing.assert_array_equal(found.parts[:3, 2], [1, 1, 1])
    assert found.parts[1, 1] == 1
    assert (found.parts[4] == 0).all()
    np.testing.assert_array_equal(found.reliable, labels > 0)
