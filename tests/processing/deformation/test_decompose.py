"""Decomposition: known motion comes back, with a standard deviation that tells how well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.processing.deformation.decomposition import Look, common_times, decompose, looks_of, on_common_times

_ASC, _DESC, _STEEP = (-0.61, -0.11, 0.784), (0.61, -0.11, 0.784), (-0.45, -0.08, 0.889)


def _plane(values: Any) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, "float32"), dims=("y", "x"))


def _los(data: dict[str, Any], vector: Any, shape: Any) -> dict[str, Any]:
    names = ("los_east", "los_north", "los_up")
    return data | {
        name: (("y", "x"), np.full(shape, part, "float32")) for name, part in zip(names, vector, strict=True)
    }


def _truth(shape: tuple[int, int] = (12, 15)) -> np.ndarray[Any, Any]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.stack([0.01 * np.sin(x / 4), 0.004 * np.cos(y / 3), -0.02 + 0.001 * x])


def _velocity(vector: Any, truth: Any, std: float = 1e-3, seed: int | None = None) -> xr.Dataset:
    values = np.tensordot(np.asarray(vector), truth, 1)
    if seed is not None:
        values = values + np.random.default_rng(seed).normal(0, std, values.shape)
    told = {
        "velocity": (("y", "x"), values.astype("float32"), {"units": "m/year"}),
        "velocity_std": (("y", "x"), np.full(values.shape, std, "float32")),
    }
    rows, cols = values.shape
    return xr.Dataset(
        _los(told, vector, values.shape), coords={"y": 4e6 - 30.0 * np.arange(rows), "x": 5e5 + 30.0 * np.arange(cols)}
    )


def _offsets(truth: Any, std: float = 2e-3) -> xr.Dataset:
    data = {}
    for name, values in (("dx", truth[0]), ("dy", truth[1])):
        data[name] = (("y", "x"), values.astype("float32"), {"units": "m/year"})
        data[f"std_{name}"] = (("y", "x"), np.full(values.shape, std, "float32"))
    return xr.Dataset(data)


def test_three_components_come_back() -> None:
    """Two tracks and image offsets give east, north and up without noise."""
    truth = _truth()
    found = decompose([_velocity(_ASC, truth), _velocity(_DESC, truth), _offsets(truth)])
    for number, axis in enumerate(("east", "north", "up")):
        np.testing.assert_allclose(found[axis].values, truth[number], atol=1e-8)
        assert found[axis].dtype == "float32"
        assert found[axis].attrs["units"] == "m/year"
    assert (found["n_looks"].values == 4).all()
    np.testing.assert_allclose(found["chi2"].values, 0, atol=1e-6)
    assert found.attrs["north_prior"] == "none"
    assert found["x"].values[1] == 500030.0


def test_two_tracks_with_a_prior_for_north() -> None:
    """Without a third direction north is what was thought before, and its doubt is in the other two."""
    truth = _truth()
    truth[1] = 0.0
    found = decompose([_velocity(_ASC, truth), _velocity(_DESC, truth)], north_std=0.005)
    np.testing.assert_allclose(found["east"].values, truth[0], atol=1e-8)
    np.testing.assert_allclose(found["up"].values, truth[2], atol=1e-8)
    np.testing.assert_allclose(found["north"].values, 0, atol=1e-8)
    # The prior's standard deviation, projected: u_n / u_u times it, and the noise of the looks.
    expected = np.sqrt((0.11 / 0.784 * 0.005) ** 2 + (1e-3 / np.sqrt(2) / 0.784) ** 2)
    np.testing.assert_allclose(found["std_up"].values, expected, rtol=1e-4)
    np.testing.assert_allclose(found["std_north"].values, 0.005, rtol=1e-4)
    assert (found["covariance_nu"].values > 0).all()
    assert found.attrs["north_prior"] == "0 +- 0.005 m/year"


def test_a_known_north_is_used() -> None:
    """A map of the motion to the north, of stations say, takes its bias out of the others."""
    truth = _truth()
    looks = [_velocity(_ASC, truth), _velocity(_DESC, truth)]
    biased = decompose(looks, north_std=1e-4)
    found = decompose(looks, north_std=1e-4, north=_plane(truth[1]))
    assert np.abs(biased["up"].values - truth[2]).max() > 3e-4
    np.testing.assert_allclose(found["up"].values, truth[2], atol=1e-7)
    assert found.attrs["north_prior"].startswith("a given map")


def test_standard_deviations_cover_the_truth() -> None:
    """68 % of the errors lie within one standard deviation, of each component."""
    truth = _truth((60, 60))
    looks = [
        _velocity(v, truth, std=s, seed=n) for n, (v, s) in enumerate([(_ASC, 1e-3), (_DESC, 2e-3), (_STEEP, 1e-3)])
    ]
    offsets = _offsets(truth)
    for n, name in enumerate(("dx", "dy")):
        offsets[name] = offsets[name] + np.random.default_rng(10 + n).normal(0, 2e-3, truth[0].shape).astype("float32")
        offsets[name].attrs["units"] = "m/year"
    found = decompose([*looks, offsets])
    for number, axis in enumerate(("east", "north", "up")):
        inside = np.abs(found[axis].values - truth[number]) < found[f"std_{axis}"].values
        assert 0.65 < inside.mean() < 0.71
    # Five looks, three unknowns: two degrees of freedom.
    assert 1.9 < found["chi2"].values.mean() < 2.1


def test_pixels_use_the_looks_they_have() -> None:
    """A pixel that one track lacks is NaN if the rest cannot tell, and is told from the rest if they can."""
    truth = _truth()
    first, second, third = (_velocity(vector, truth) for vector in (_ASC, _DESC, _STEEP))
    first["velocity"][2, 3] = np.nan
    second["velocity"][4, 5] = np.nan
    found = decompose([first, second, third], north_std=0.01)
    assert np.isfinite(found["up"].values[2, 3])
    assert found["n_looks"].values[2, 3] == 2
    assert found["condition"].values[4, 5] > found["condition"].values[0, 0]
    strict = decompose([first, second, third], north_std=0.01, max_condition=5)
    assert np.isnan(strict["up"].values[4, 5])
    assert np.isfinite(strict["up"].values[0, 0])


@pytest.mark.parametrize("chunks", [{"y": 5, "x": 4}, {"y": 1, "x": 15}])
def test_lazy_and_independent_of_chunks(chunks: dict[str, int]) -> None:
    """Dask goes in and comes out, with the same bits, also if only one look is lazy."""
    truth = _truth()
    looks = [_velocity(vector, truth, seed=n) for n, vector in enumerate((_ASC, _DESC, _STEEP))]
    whole = decompose(looks, north_std=0.01)
    lazy = decompose([looks[0].chunk(chunks), looks[1], looks[2].chunk({"y": 3})], north_std=0.01)
    assert all(lazy[name].chunks is not None for name in lazy.data_vars)
    xr.testing.assert_identical(whole, lazy.compute())


def test_order_of_looks_does_not_matter() -> None:
    """Looks in another order give the same but for the last digits."""
    truth = _truth()
    looks = [_velocity(vector, truth, seed=n) for n, vector in enumerate((_ASC, _DESC, _STEEP))]
    one, other = decompose(looks, north_std=0.01), decompose(looks[::-1], north_std=0.01)
    np.testing.assert_allclose(one["up"].values, other["up"].values, rtol=1e-6)


def test_a_constant_line_of_sight_will_do() -> None:
    """The direction may be three numbers."""
    truth = _truth()
    looks = [_velocity(_ASC, truth), _velocity(_DESC, truth)]
    numbers = [
        look.drop_vars(["los_east", "los_north", "los_up"]).assign(los_east=v[0], los_north=v[1], los_up=v[2])
        for look, v in zip(looks, (_ASC, _DESC), strict=True)
    ]
    one, other = decompose(looks, north_std=0.01), decompose(numbers, north_std=0.01)
    np.testing.assert_array_equal(one["east"].values, other["east"].values)


def test_stations_are_three_looks() -> None:
    """East, north and up of something else, a map of stations say, count as three looks."""
    truth = _truth()
    names = ("east", "north", "up")
    data = {name: (("y", "x"), truth[n].astype("float32"), {"units": "m/year"}) for n, name in enumerate(names)}
    data |= {f"std_{name}": (("y", "x"), np.full(truth[0].shape, 1e-3, "float32")) for name in names}
    found = decompose([xr.Dataset(data), _velocity(_ASC, truth)])
    assert (found["n_looks"].values == 4).all()
    np.testing.assert_allclose(found["north"].values, truth[1], atol=1e-8)


def test_offsets_bring_two_looks() -> None:
    """Offsets count by their motion in metres, whatever else they have; in pixels alone they are refused."""
    truth = _truth()
    plain = _offsets(truth).rename(dx="east", dy="north", std_dx="std_east", std_dy="std_north")
    both = plain.assign(dx=100 * plain["east"], dy=100 * plain["north"])
    assert [look.vector for look in looks_of(both)] == [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)]
    found = decompose([_velocity(_ASC, truth), both])
    np.testing.assert_allclose(found["up"].values, truth[2], atol=1e-8)
    pixels = _offsets(truth)
    pixels["dx"].attrs["units"] = "pixel"
    with pytest.raises(MetadataError, match="not one of ours"):
        looks_of(pixels)


def test_looks_made_by_hand() -> None:
    """A look needs no dataset: value, standard deviation, direction and unit."""
    truth = _truth()
    flat = _plane(np.full(truth[0].shape, 1e-3))
    made = [
        Look(str(n), _plane(np.tensordot(vector, truth, 1)), flat, vector, "m/year")
        for n, vector in enumerate((_ASC, _DESC, _STEEP, (0.0, 1.0, 0.0)))
    ]
    found = decompose(made)
    np.testing.assert_allclose(found["north"].values, truth[1], atol=1e-7)
    assert found.attrs["looks"] == "0; 1; 2; 3"


def test_one_pixel_and_none() -> None:
    """A map of one pixel is solved; one of none gives none."""
    truth = _truth((1, 1))
    found = decompose([_velocity(_ASC, truth), _velocity(_DESC, truth)], north_std=0.01)
    assert found["east"].shape == (1, 1)
    empty = decompose([_velocity(_ASC, truth).isel(y=[]), _velocity(_DESC, truth).isel(y=[])], north_std=0.01)
    assert empty["east"].shape == (0, 1)


def test_refusals() -> None:
    """What cannot be decomposed is refused, with the reason."""
    truth = _truth()
    asc, desc = _velocity(_ASC, truth), _velocity(_DESC, truth)
    with pytest.raises(InputError, match="line of sight is missing"):
        decompose([asc, desc.drop_vars("los_up")], north_std=0.01)
    with pytest.raises(InputError, match="too few"):
        decompose([asc, desc])
    with pytest.raises(InputError, match="too few"):
        decompose([asc], north_std=0.01)
    with pytest.raises(InputError, match="one look alone"):
        decompose(asc, north_std=0.01)  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(InputError, match="no look"):
        decompose([asc, 3], north_std=0.01)  # type: ignore[list-item]  # that is the mistake
    with pytest.raises(InputError, match="no standard deviation"):
        decompose([asc, desc.drop_vars("velocity_std")], north_std=0.01)
    with pytest.raises(InputError, match="grids differ"):
        decompose([asc, desc.isel(x=slice(1, None))], north_std=0.01)
    with pytest.raises(InputError, match="grids differ"):
        decompose([asc, desc.assign_coords(x=desc["x"] + 10)], north_std=0.01)
    with pytest.raises(InputError, match="holds no motion"):
        decompose([asc, desc.drop_vars("velocity")], north_std=0.01)
    with pytest.raises(InputError, match="no standard deviation"):
        decompose([asc, desc], north_std=0.0)
    with pytest.raises(InputError, match="condition"):
        decompose([asc, desc], north_std=0.01, max_condition=1e9)
    with pytest.raises(InputError, match="dates belong to series"):
        decompose([asc, desc], north_std=0.01, times=["2020-01-01", "2020-02-01"])


def test_units_are_told_and_equal() -> None:
    """A unit that is missing or strange is refused, and so are looks of two units."""
    truth = _truth()
    asc, desc = _velocity(_ASC, truth), _velocity(_DESC, truth)
    bare = desc.copy()
    bare["velocity"] = desc["velocity"].drop_attrs()
    with pytest.raises(MetadataError, match="not told"):
        decompose([asc, bare], north_std=0.01)
    bare["velocity"].attrs["units"] = "rad"
    with pytest.raises(MetadataError, match="not one of ours"):
        decompose([asc, bare], north_std=0.01)
    bare["velocity"].attrs["units"] = "m"
    with pytest.raises(InputError, match="do not measure the same"):
        decompose([asc, bare], north_std=0.01)


def test_grids_of_two_crs_are_refused() -> None:
    """Equal numbers in two zones are two places."""
    truth = _truth()
    asc, desc = _velocity(_ASC, truth), _velocity(_DESC, truth)
    zones = [
        each.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": f"EPSG:326{zone}"}))
        for each, zone in ((asc, 31), (desc, 32))
    ]
    with pytest.raises(InputError, match="CRS"):
        decompose(zones, north_std=0.01)
    kept = decompose([zones[0], zones[0]], north_std=0.01)
    assert "spatial_ref" in kept.coords


# Series.


def _rates() -> np.ndarray[Any, Any]:
    return np.stack([np.full((3, 4), value) for value in (0.02, 0.0, -0.05)])


def _series(vector: Any, days: Any, *, std: float = 1e-3, start: str = "2020-01-01") -> xr.Dataset:
    """Even motion since the first date, seen along a direction."""
    days = np.asarray(days, "float64")
    moved = np.tensordot(np.asarray(vector), _rates(), 1)[None] * ((days - days[0]) / 365.25)[:, None, None]
    spread = np.where(np.arange(days.size) > 0, std, 0.0)[:, None, None] * np.ones_like(moved)
    told = {
        "displacement": (("time", "y", "x"), moved.astype("float32"), {"units": "m"}),
        "std_network": (("time", "y", "x"), spread.astype("float32")),
    }
    times = np.datetime64(start, "ns") + (days * 86_400e9).astype("timedelta64[ns]")
    return xr.Dataset(_los(told, vector, (3, 4)), coords={"time": times})


def test_series_on_common_dates() -> None:
    """Two tracks on other days give the motion since the first date that both can tell."""
    asc, desc = _series(_ASC, [0, 12, 24, 36, 48]), _series(_DESC, [6, 18, 30, 42, 54])
    found = decompose([asc, desc], north_std=0.001)
    days = (found["time"].values - np.datetime64("2020-01-01")) / np.timedelta64(1, "D")
    assert days.tolist() == [6, 12, 18, 24, 30, 36, 42, 48]
    passed = ((days - 6) / 365.25)[:, None, None]
    np.testing.assert_allclose(found["east"].values, np.broadcast_to(0.02 * passed, (8, 3, 4)), atol=1e-7)
    np.testing.assert_allclose(found["up"].values, np.broadcast_to(-0.05 * passed, (8, 3, 4)), atol=1e-7)
    assert found["up"].dims == ("time", "y", "x")


@pytest.mark.parametrize("unit", ["s", "us"])
def test_units_of_time_do_not_matter(unit: str) -> None:
    """Dates in seconds or microseconds are the same dates."""
    looks = [_series(_ASC, [0, 12, 24, 36]), _series(_DESC, [6, 18, 30, 42])]
    coarse = [each.assign_coords(time=each["time"].values.astype(f"datetime64[{unit}]")) for each in looks]
    assert coarse[0]["time"].dtype == f"datetime64[{unit}]"
    xr.testing.assert_identical(decompose(coarse, north_std=0.001), decompose(looks, north_std=0.001))


def test_first_date_is_certain() -> None:
    """Nothing has moved at the first date, with no doubt; pixels that are not solved stay missing."""
    asc, desc = _series(_ASC, [0, 12, 24]), _series(_DESC, [0, 12, 24])
    asc["displacement"][:, 1, 1] = np.nan
    found = decompose([asc, desc], north_std=0.001)
    assert found["up"].values[0, 0, 0] == 0
    assert found["std_up"].values[0, 0, 0] == 0
    assert found["covariance_eu"].values[0, 0, 0] == 0
    assert np.isnan(found["up"].values[:, 1, 1]).all()
    assert np.isnan(found["std_up"].values[0, 1, 1])


@pytest.mark.parametrize("lazy", [False, True])
def test_dates_without_the_air_still_count(lazy: bool) -> None:
    """A date whose part of the air nobody has told yet is as sure as the others; where nothing is told, it is out."""
    asc, desc = (_series(vector, [0, 12, 24, 36]) for vector in (_ASC, _DESC))
    for each in (asc, desc):
        each["std_atmosphere"] = (each["std_network"] * 0 + 3e-3).where(each["time"] > each["time"][0], 0)
    whole = decompose([asc, desc], north_std=0.001)
    asc["std_atmosphere"][3] = np.nan
    desc["std_network"][2, 1, 1] = np.nan
    desc["std_atmosphere"][2, 1, 1] = np.nan
    looks = [each.chunk({"time": 2, "x": 3}) for each in (asc, desc)] if lazy else [asc, desc]
    found = decompose(looks, north_std=0.001).compute()
    np.testing.assert_allclose(found["std_up"].values[3], whole["std_up"].values[3], rtol=1e-6)
    assert int(found["n_looks"][2, 1, 1]) == 1
    assert (found["n_looks"].values[3] == 2).all()


def test_interpolated_standard_deviation() -> None:
    """Independent parts shrink between dates, the shared part does not; both count at the first date too."""
    series = _series(_ASC, [0, 10, 20])
    (look,) = looks_of(series.assign(std_atmosphere=0 * series["std_network"] + 2e-3))
    chosen = series["time"].values[1] + np.array([0, 5], "timedelta64[D]")
    (found,) = on_common_times([look], chosen)
    shared = (0.5 * 1e-3 + 0.5 * 1e-3) ** 2 + 1e-3**2
    alone = 0.5**2 * 2 * 2e-3**2 + 2e-3**2
    np.testing.assert_allclose(found.total_std.values[1], np.sqrt(shared + alone), rtol=1e-5)
    assert (found.total_std.values[0] == 0).all()
    assert (found.value.values[0] == 0).all()


def test_shared_part_is_never_too_small() -> None:
    """Whatever the network, errors of interpolated and re-referenced values are not larger than is said."""
    rng = np.random.default_rng(6)
    days = np.arange(9) * 10.0
    for _ in range(20):
        pairs = [(n, n + 1) for n in range(8)] + [tuple(sorted(rng.choice(9, 2, replace=False))) for _ in range(6)]
        design = np.zeros((len(pairs), 9))
        for row, (first, second) in enumerate(pairs):
            design[row, [first, second]] = -1, 1
        weights = rng.uniform(0.2, 5.0, len(pairs))
        covariance = np.zeros((9, 9))
        covariance[1:, 1:] = np.linalg.inv(design[:, 1:].T @ (weights[:, None] * design[:, 1:]))
        spread = np.sqrt(np.diag(covariance)).astype("float32")
        series = _series(_ASC, days)
        series["std_network"] = series["std_network"] * 0 + xr.DataArray(spread, dims="time")
        places = np.sort(rng.choice(81, 5, replace=False))
        (found,) = on_common_times([*looks_of(series)], series["time"].values[0] + places.astype("timedelta64[D]"))
        mix = np.stack([np.interp(places, days, row) for row in np.eye(9)], axis=1)
        moved = mix - mix[0]
        true = np.sqrt(np.einsum("ij,jk,ik->i", moved, covariance, moved))
        assert (found.total_std.values[:, 0, 0] >= true - 1e-6).all()


def test_one_standard_deviation_per_date() -> None:
    """The atmosphere's part may be one number per date; it counts for every pixel."""
    asc, desc = _series(_ASC, [0, 12, 24]), _series(_DESC, [0, 12, 24])
    wide = [each.assign(std_atmosphere=2 * each["std_network"]) for each in (asc, desc)]
    slim = [each.assign(std_atmosphere=each["std_atmosphere"].isel(y=0, x=0)) for each in wide]
    xr.testing.assert_identical(decompose(wide, north_std=0.01), decompose(slim, north_std=0.01))
    alone = _velocity(_ASC, _truth()).assign(velocity_std=1e-3)
    assert looks_of(alone)[0].std.shape == alone["velocity"].shape


def test_a_missing_date_is_not_bridged() -> None:
    """A date that is missing takes those between it and its neighbours with it, and no others."""
    series = _series(_ASC, [0, 10, 20, 30])
    series["displacement"][2] = np.nan
    (look,) = looks_of(series)
    chosen = series["time"].values[0] + np.array([0, 10, 15, 20, 25, 30], "timedelta64[D]")
    (found,) = on_common_times([look], chosen)
    assert np.isfinite(found.value.values[:, 0, 0]).tolist() == [True, True, False, False, False, True]


def test_series_are_lazy_whatever_the_chunks() -> None:
    """Chunks, of time too, do not change a bit."""
    asc, desc = _series(_ASC, [0, 12, 24, 36]), _series(_DESC, [6, 18, 30])
    whole = decompose([asc, desc], north_std=0.01)
    lazy = decompose([asc.chunk({"time": 2, "x": 2}), desc.chunk({"time": 1, "y": 1})], north_std=0.01)
    assert lazy["up"].chunks is not None
    xr.testing.assert_identical(whole, lazy.compute())


def test_series_and_maps_do_not_mix() -> None:
    """A series beside a map, and series that share no time, are refused."""
    asc = _series(_ASC, [0, 12, 24])
    single = asc.isel(time=1, drop=True)
    with pytest.raises(InputError, match="do not measure the same"):
        decompose([asc, single], north_std=0.01)
    with pytest.raises(EmptyResultError, match="share no time"):
        decompose([asc, _series(_DESC, [0, 12], start="2022-01-01")], north_std=0.01)


def test_refused_dates() -> None:
    """Dates out of order, out of the span or too few are refused."""
    with pytest.raises(InputError, match="not in order"):
        common_times([["2020-01-02", "2020-01-01"]])
    with pytest.raises(InputError, match="not continued"):
        common_times([["2020-01-02", "2020-01-09"]], ["2020-01-01", "2020-01-03"])
    with pytest.raises(InputError, match="no dates of a series"):
        common_times([["2020-01-02", "2020-01-09"]], ["2020-01-03"])


def test_series_in_other_units_are_refused() -> None:
    """Series of velocities have no first date to start from."""
    (look,) = looks_of(_series(_ASC, [0, 12]))
    wrong = Look(look.name, look.value, look.std, look.vector, "m/year")
    with pytest.raises(MetadataError, match="in metres"):
        on_common_times([wrong])
