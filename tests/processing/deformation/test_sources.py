"""Sources below the ground: published numbers, independent integrals, and sources found again from maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.ingest.simulate.deformation import Deformation, LineOfSight, true_motion
from terracube.processing.deformation.decomposition import decompose
from terracube.processing.deformation.sources import fit_source, model_map, mogi, okada, okada_plane

# Okada 1985, table 2: case, kind of slip, and (ux, uy, uz).
_GEOMETRY = {2: (2.0, 3.0, 4.0, 70.0), 3: (0.0, 0.0, 4.0, 90.0), 4: (0.0, 0.0, 4.0, -90.0)}
_TABLE = [
    (2, 0, (-8.689e-3, -4.298e-3, -2.747e-3)),
    (2, 1, (-4.682e-3, -3.527e-2, -3.564e-2)),
    (2, 2, (-2.660e-4, 1.056e-2, 3.214e-3)),
    (3, 0, (0.0, 5.253e-3, 0.0)),
    (3, 1, (0.0, 0.0, 0.0)),
    (3, 2, (1.223e-2, 0.0, -1.606e-2)),
    (4, 0, (0.0, -1.303e-3, 0.0)),
    (4, 1, (0.0, 0.0, 0.0)),
    (4, 2, (3.507e-3, 0.0, -7.740e-3)),
]


@pytest.mark.parametrize(("case", "kind", "expected"), _TABLE)
def test_table_of_the_paper(case: int, kind: int, expected: tuple[float, float, float]) -> None:
    """Cases 2, 3 and 4 of table 2, to the four digits that are printed."""
    x, y, depth, dip = _GEOMETRY[case]
    slip = (float(kind == 0), float(kind == 1), float(kind == 2))
    found = okada_plane(x, y, depth=depth, dip=dip, size=(3.0, 2.0), slip=slip)
    for value, printed in zip(found, expected, strict=True):
        assert abs(float(value) - printed) <= 0.5e-3 * 10.0 ** np.floor(np.log10(abs(printed))) if printed else 1e-12


def _point(x: Any, y: Any, d: Any, dip: float, slip: Any, poisson: float) -> tuple[Any, Any, Any]:
    """Okada 1985, equations 8 to 10: a point source, unit area."""
    sin, cos, medium = np.sin(dip), np.cos(dip), 1 - 2 * poisson
    r = np.sqrt(x**2 + y**2 + d**2)
    p, q = y * cos + d * sin, y * sin - d * cos
    i1 = medium * y * (1 / (r * (r + d) ** 2) - x**2 * (3 * r + d) / (r**3 * (r + d) ** 3))
    i2 = medium * x * (1 / (r * (r + d) ** 2) - y**2 * (3 * r + d) / (r**3 * (r + d) ** 3))
    i3 = medium * x / r**3 - i2
    i4 = -medium * x * y * (2 * r + d) / (r**3 * (r + d) ** 2)
    i5 = medium * (1 / (r * (r + d)) - x**2 * (2 * r + d) / (r**3 * (r + d) ** 2))
    total = []
    for axis, along, thrust in ((x, i1, i3), (y, i2, i1), (d, i4, i5)):
        value = -slip[0] * (3 * x * axis * q / r**5 + along * sin)
        value = value - slip[1] * (3 * axis * p * q / r**5 - thrust * sin * cos)
        total.append((value + slip[2] * (3 * axis * q**2 / r**5 - thrust * sin**2)) / (2 * np.pi))
    return total[0], total[1], total[2]


def _integrated(x: float, y: float, depth: float, dip: float, size: Any, slip: Any, poisson: float) -> list[float]:
    """The rectangle as an integral of point sources, by Gauss and Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    xi, eta = (size[0] * (nodes + 1) / 2)[:, None], (size[1] * (nodes + 1) / 2)[None, :]
    area = (weights[:, None] * weights) * size[0] * size[1] / 4
    angle = np.radians(dip)
    parts = _point(x - xi, y - eta * np.cos(angle), depth - eta * np.sin(angle), angle, slip, poisson)
    return [float((area * part).sum()) for part in parts]


@settings(deadline=None, max_examples=25)
@given(
    dip=st.sampled_from([0.0, 10.0, 45.0, 70.0, 89.9, 89.95, 89.999, 89.99999, 90.0, -89.99]),
    x=st.floats(-6, 6),
    y=st.floats(-6, 6),
    slip=st.tuples(*[st.floats(-1, 1)] * 3),
    poisson=st.sampled_from([0.0, 0.25, 0.4]),
)
def test_rectangle_is_the_integral_of_points(dip: float, x: float, y: float, slip: Any, poisson: float) -> None:
    """The closed form equals the integral of point sources over the rectangle, vertical and nearly so too."""
    found = okada_plane(x, y, depth=4.0, dip=dip, size=(3.0, 2.0), slip=slip, poisson=poisson)
    truth = _integrated(x, y, 4.0, dip, (3.0, 2.0), slip, poisson)
    np.testing.assert_allclose([float(each) for each in found], truth, atol=1e-9, rtol=1e-7)


def test_geographic_form_follows_the_strike() -> None:
    """Turning the rectangle turns its motion; it dips to the right of its strike."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-5e3, 5e3, (2, 40))
    shape = {"depth": 500.0, "size": (3e3, 2e3), "dip": 35.0, "slip": (0.4, 1.0, 0.2)}
    base = okada(x, y, strike=0.0, **shape)
    angle = np.radians(37.0)
    sin, cos = np.sin(angle), np.cos(angle)
    # Clockwise: what was north lies along the strike.
    turned = okada(x * cos + y * sin, y * cos - x * sin, strike=37.0, **shape)
    np.testing.assert_allclose(turned.up, base.up, atol=1e-12)
    np.testing.assert_allclose(turned.east, base.east * cos + base.north * sin, atol=1e-12)
    np.testing.assert_allclose(turned.north, base.north * cos - base.east * sin, atol=1e-12)
    # A thrust that dips to the east lifts the ground there.
    thrust = okada(np.array([-1500.0, 1000.0]), 0.0, strike=0.0, **{**shape, "slip": (0.0, 1.0, 0.0)})
    assert thrust.up[1] > 0.2 > abs(thrust.up[0])


def test_left_lateral_slip() -> None:
    """Positive slip along the strike is left-lateral: seen from one side, the other moves to the left."""
    found = okada(np.array([-50.0, 50.0]), 0.0, depth=0.0, size=(1e5, 1e5), strike=0.0, dip=90.0, slip=(1, 0, 0))
    # To the east of a fault that strikes north the ground goes north.
    np.testing.assert_allclose(found.north, [-0.5, 0.5], atol=2e-3)


def test_edges_of_a_rectangle_at_the_surface() -> None:
    """On the trace, its ends and its extension nothing divides by zero."""
    y = np.array([-2e3, -1.5e3, 0.0, 1.5e3, 2e3])
    for dip in (0.0, 30.0, 90.0):
        for tiny in (5e-324, 1e-160, 1e-13):
            near = okada_plane(tiny, y * tiny, depth=2.0, dip=dip, size=(3.0, 2.0), slip=(1, 1, 1))
            there = okada_plane(0.0, 0.0, depth=2.0, dip=dip, size=(3.0, 2.0), slip=(1, 1, 1))
            # Off the trace of a fault that reaches the surface all is smooth.
            if dip < 90:
                np.testing.assert_allclose(near, np.repeat(np.reshape(there, (3, 1)), 5, axis=1), atol=1e-9)
        found = okada(np.zeros(5), y, depth=0.0 if dip else 10.0, size=(3e3, 1e3), strike=0.0, dip=dip, slip=(1, 1, 1))
        assert all(np.isfinite(each).all() for each in found)


def test_volume_of_a_mogi_source() -> None:
    """The integral of the uplift is 2 (1 - nu) dV, to four digits and more."""
    depth, volume, poisson = 1500.0, 2e6, 0.3
    nodes, weights = np.polynomial.legendre.leggauss(200)
    # r = depth tan(a), a from 0 to pi / 2, takes the integral to a finite range.
    angle = np.pi / 4 * (nodes + 1)
    radius = depth * np.tan(angle)
    up = mogi(radius, 0.0, depth=depth, volume=volume, poisson=poisson).up
    total = np.pi / 4 * np.sum(weights * 2 * np.pi * radius * up * depth / np.cos(angle) ** 2)
    np.testing.assert_allclose(total, 2 * (1 - poisson) * volume, rtol=1e-9)


def test_mogi_numbers() -> None:
    """Above the centre all motion is up, (1 - nu) dV / (pi d^2); at one depth aside both components are equal."""
    above = mogi(0.0, 0.0, depth=1000.0, volume=1e6)
    np.testing.assert_allclose([above.east, above.north, above.up], [0, 0, 0.238732414637843], rtol=1e-12)
    aside = mogi(600.0, 800.0, depth=1000.0, volume=-1e6)
    np.testing.assert_allclose(np.hypot(aside.east, aside.north), -aside.up)
    assert aside.north < aside.east < 0
    assert np.isnan(mogi(np.nan, 0.0, depth=1.0, volume=1.0).up)


@pytest.mark.parametrize(
    "wrong",
    [
        {"depth": -1.0},
        {"size": (0.0, 1.0)},
        {"dip": 91.0},
        {"poisson": 0.6},
        {"strike": np.nan},
        {"size": (1.0, np.inf)},
    ],
)
def test_rectangles_that_are_none(wrong: dict[str, Any]) -> None:
    """A rectangle outside the ground, without size or with a strange medium is refused."""
    good: dict[str, Any] = {"depth": 1.0, "size": (1.0, 1.0), "strike": 0.0, "dip": 45.0, "slip": (1, 0, 0)}
    with pytest.raises(InputError):
        okada(0.0, 0.0, **{**good, **wrong})


def test_mogi_above_the_ground() -> None:
    """A sphere above the ground, or of no depth, is refused."""
    with pytest.raises(InputError, match="below the ground"):
        mogi(0.0, 0.0, depth=0.0, volume=1.0)


# Fits.

_ASC, _DESC = (-0.61, -0.11, 0.784), (0.61, -0.11, 0.784)
_AROUND = {"east": (-3e3, 3e3), "north": (-3e3, 3e3), "depth": (500.0, 6e3), "volume": (-1e7, 1e7)}


def _grid(size: int = 24, step: float = 400.0) -> Any:
    at = (np.arange(size) - (size - 1) / 2) * step
    return np.meshgrid(at[::-1], at, indexing="ij")


def _map(motion: Any, vector: Any, *, std: float = 1e-3, noise: Any = 0.0, constant: float = 0.0) -> xr.Dataset:
    y, x = _grid(motion.up.shape[0])
    values = sum(vector[n] * motion[n] for n in range(3)) + noise + constant
    metres = {"y": ("y", y[:, 0], {"units": "m"}), "x": ("x", x[0], {"units": "m"})}
    data = {
        "step": (("y", "x"), np.asarray(values, "float32"), {"units": "m"}),
        "std_step": (("y", "x"), np.full(values.shape, std, "float32")),
    }
    return xr.Dataset(data, coords=metres).assign(los_east=vector[0], los_north=vector[1], los_up=vector[2])


def _swelling() -> Any:
    y, x = _grid()
    return mogi(x - 700, y + 400, depth=2200.0, volume=1.5e6)


def test_mogi_is_found_again() -> None:
    """From two tracks with constants and one hole, without noise, to the digits of single precision."""
    motion = _swelling()
    maps = [_map(motion, _ASC, constant=0.03), _map(motion, _DESC, constant=-0.01)]
    maps[0]["step"][5:8, 3:9] = np.nan
    found = fit_source(maps, source="mogi", bounds=_AROUND, starts=(40, 3))
    expected = {"east": 700, "north": -400, "depth": 2200, "volume": 1.5e6, "offset_1": 0.03, "offset_2": -0.01}
    for name, value in expected.items():
        np.testing.assert_allclose(found.parameters[name], value, rtol=1e-4)
    assert found.agreeing == (3, 3)
    assert found.at_bound == ()
    assert found.chi2 < 1e-3
    left = model_map(found, maps[1])
    np.testing.assert_allclose(left["residual"].values, -0.01, atol=1e-6)
    assert left["model"].dtype == "float32"


def test_simulated_ground_is_explained() -> None:
    """The simulator's ground, written apart from these formulas: its source comes back from two decomposed tracks."""
    ground = Deformation()
    y, x = _grid(40)
    maps = []
    for heading in (-12.0, 192.0):
        line = LineOfSight.of(incidence=38.0, heading=heading)
        seen = true_motion(ground, x, y, look=line).velocity
        plain = _map(mogi(x, y, depth=1.0, volume=0.0), (line.east, line.north, line.up), noise=seen)
        plain["step"].attrs["units"] = "m/year"
        maps.append(plain)
    found = fit_source(maps, source="mogi", bounds=_AROUND, offsets=False, starts=(20, 1), most_points=400)
    expected = {"east": ground.east, "north": ground.north, "depth": ground.depth, "volume": ground.volume_rate}
    for name, value in expected.items():
        np.testing.assert_allclose(found.parameters[name], value, rtol=1e-4)
    apart = decompose(maps, north_std=0.5)
    # Two tracks cannot see north: what they say of the others is off by no more than its share of the line of sight.
    true_up = mogi(x - ground.east, y - ground.north, depth=ground.depth, volume=ground.volume_rate).up
    assert float(np.abs(apart["up"].values - true_up).max()) < 0.15 * np.abs(true_up).max()


def test_fit_is_the_same_each_time_and_for_any_chunks() -> None:
    """Nothing is drawn at random, and Dask changes no bit."""
    y, _ = _grid()
    noise = np.random.default_rng(3).normal(0, 1e-3, y.shape)
    maps = _map(_swelling(), _ASC, noise=noise)
    one = fit_source(maps, source="mogi", bounds=_AROUND, starts=(20, 2))
    other = fit_source(maps.chunk({"y": 5, "x": 7}), source="mogi", bounds=_AROUND, starts=(20, 2))
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.covariance, other.covariance)
    lazy = model_map(one, maps.chunk({"y": 5, "x": 7}))
    assert lazy["model"].chunks is not None
    xr.testing.assert_identical(lazy.compute(), model_map(one, maps))


def test_standard_deviations_cover_the_truth() -> None:
    """Over many draws of noise 68 % of the parameters lie within their standard deviation, and chi2 is about one."""
    motion, rng = _swelling(), np.random.default_rng(11)
    y, _ = _grid()
    truth = np.array([700, -400, 2200, 1.5e6, 0.0])
    ratios, spread = [], []
    for _ in range(50):
        maps = _map(motion, _ASC, std=5e-3, noise=rng.normal(0, 5e-3, y.shape))
        found = fit_source(maps, source="mogi", bounds=_AROUND, starts=(30, 1), most_points=200)
        ratios.append((found.values - truth) / np.sqrt(np.diag(found.covariance)))
        spread.append(found.reduced_chi2)
    inside = np.abs(np.array(ratios)) < 1
    assert 0.60 < inside.mean() < 0.76
    assert 0.9 < np.mean(spread) < 1.1


def test_smooth_errors_need_their_correlation_length() -> None:
    """Errors of the atmosphere's kind are covered once their length is told, and not before."""
    motion, rng = _swelling(), np.random.default_rng(12)
    y, x = _grid()
    apart = np.hypot(x.ravel()[:, None] - x.ravel(), y.ravel()[:, None] - y.ravel())
    factor = np.linalg.cholesky(np.exp(-apart / 2e3) + 1e-9 * np.eye(x.size))
    ratios: dict[float | None, list[Any]] = {None: [], 2e3: []}
    for _ in range(12):
        noise = 5e-3 * (factor @ rng.standard_normal(x.size)).reshape(x.shape)
        maps = _map(motion, _ASC, std=5e-3, noise=noise)
        for length, kept in ratios.items():
            found = fit_source(
                maps, source="mogi", bounds=_AROUND, starts=(10, 1), most_points=100, correlation_length=length
            )
            kept.append((found.values[:4] - [700, -400, 2200, 1.5e6]) / np.sqrt(np.diag(found.covariance))[:4])
    share = {length: float((np.abs(np.array(kept)) < 1).mean()) for length, kept in ratios.items()}
    assert 0.5 < share[2e3] < 0.85
    assert share[None] < share[2e3] - 0.15


def test_fault_is_found_again() -> None:
    """A dipping fault from three components with noise: each parameter within four standard deviations."""
    y, x = _grid(30)
    truth = {"east": 300.0, "north": -200.0, "depth": 800.0, "length": 5e3, "width": 3e3, "strike": 30.0, "dip": 50.0}
    shape = {name: truth[name] for name in ("depth", "strike", "dip")}
    motion = okada(x - truth["east"], y - truth["north"], size=(5e3, 3e3), slip=(0.3, 1.0, 0.0), **shape)
    rng = np.random.default_rng(4)
    metres = {"y": ("y", y[:, 0], {"units": "m"}), "x": ("x", x[0], {"units": "m"})}
    data: dict[str, Any] = {}
    for name, values in zip(("east", "north", "up"), motion, strict=True):
        data[name] = (("y", "x"), (values + rng.normal(0, 2e-3, values.shape)).astype("float32"), {"units": "m"})
        data[f"std_{name}"] = (("y", "x"), np.full(values.shape, 2e-3, "float32"))
    bounds: dict[str, Any] = {
        "east": (-2e3, 2e3), "north": (-2e3, 2e3), "depth": (0.0, 3e3), "length": (1e3, 9e3), "width": (1e3, 6e3),
        "strike": (0.0, 90.0), "dip": (20.0, 80.0), "strike_slip": (-2.0, 2.0), "dip_slip": (-3.0, 3.0),
    }  # fmt: skip
    found = fit_source(
        xr.Dataset(data, coords=metres), source="okada", bounds=bounds, offsets=False, starts=(150, 2), most_points=400
    )
    for name, value in {**truth, "strike_slip": 0.3, "dip_slip": 1.0}.items():
        assert abs(found.parameters[name] - value) < 4 * found.std[name], name
    assert found.held == {"poisson": 0.25, "opening": 0.0}
    assert 0.85 < found.reduced_chi2 < 1.15
    assert set(model_map(found, xr.Dataset(data, coords=metres))) >= {"model_east", "residual_up"}


def test_true_north_of_the_map() -> None:
    """Far from the middle of a zone north of the map is not true north: directions are turned."""
    y, x = _grid()
    rows, cols = y + 4_986_000.0, x + 278_000.0
    lon, lat = Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True).transform(
        np.append(cols, 278_000.0), np.append(rows, 4_986_000.0)
    )
    start = np.full((2, x.size), [[lon[-1]], [lat[-1]]])
    bearing, _, far = Geod(ellps="WGS84").inv(start[0], start[1], lon[:-1], lat[:-1])
    east, north = ((far * each(np.radians(bearing))).reshape(x.shape) for each in (np.sin, np.cos))
    zone = {"x": cols[0], "y": rows[:, 0], "spatial_ref": xr.DataArray(0, attrs={"crs_wkt": "EPSG:32631"})}
    maps = _map(mogi(east, north, depth=2200.0, volume=1.5e6), (1.0, 0.0, 0.0)).assign_coords(zone)
    held: dict[str, Any] = {"east": 278_000.0, "north": 4_986_000.0, "depth": 2200.0, "volume": (0.0, 1e7)}
    found = fit_source(maps, source="mogi", bounds=held, offsets=False, starts=(2, 1))
    # Meridians converge by 2 degrees here, 3.5 % of the motion; what stays is the scale of the projection.
    size = float(np.abs(maps["step"]).max())
    assert float(np.abs(model_map(found, maps)["residual"]).max()) < 1e-3 * size
    np.testing.assert_allclose(found.parameters["volume"], 1.5e6, rtol=1e-3)


def test_held_parameters_and_bounds() -> None:
    """What is held stays; what runs into a bound is named."""
    motion = _swelling()
    maps = _map(motion, _ASC)
    bounds = {**_AROUND, "depth": (500.0, 1500.0), "poisson": 0.25, "east": 700.0}
    found = fit_source(maps, source="mogi", bounds=bounds, starts=(20, 1))
    assert found.at_bound == ("depth",)
    assert found.parameters["east"] == 700.0
    assert "east" not in found.names


def test_place_alone() -> None:
    """With all that is linear held, the place is found."""
    held = {**_AROUND, "depth": 2200.0, "volume": 1.5e6}
    found = fit_source(_map(_swelling(), _ASC), source="mogi", bounds=held, offsets=False, starts=(20, 2))
    assert found.names == ("east", "north")
    np.testing.assert_allclose(found.values, [700, -400], rtol=1e-4)


def test_what_data_cannot_tell() -> None:
    """Where parameters cannot be told apart the covariance is missing, not a number."""
    y, x = _grid()
    maps = _map(mogi(x, y, depth=2e3, volume=0.0), _ASC)
    found = fit_source(maps, source="mogi", bounds={**_AROUND, "volume": 0.0}, starts=(5, 1))
    assert np.isnan(found.covariance).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"depth": (5.0, 1.0)},
        {"depth": (-5.0, 1.0)},
        {"width": (1.0, 2.0)},
        {"poisson": (0.1, 0.2)},
        {"poisson": 0.7},
        {"volume": (0.0, np.inf)},
        {"volume": 1.0, "depth": 1.0, "east": 1.0, "north": 1.0},
    ],
)
def test_bounds_that_are_wrong(wrong: dict[str, Any]) -> None:
    """Bounds out of order, out of range, of unknown parameters, or without a free one are refused."""
    with pytest.raises(InputError):
        fit_source(_map(_swelling(), _ASC), source="mogi", bounds={**_AROUND, **wrong})


def test_other_refusals() -> None:
    """Unknown sources, missing bounds, strange numbers, degrees, dates and empty maps are refused."""
    maps = _map(_swelling(), _ASC)
    with pytest.raises(InputError, match="unknown source"):
        fit_source(maps, source="volcano", bounds=_AROUND)
    with pytest.raises(InputError, match="missing: depth"):
        fit_source(maps, source="mogi", bounds={name: _AROUND[name] for name in ("east", "north", "volume")})
    with pytest.raises(InputError, match="not those of the source"):
        fit_source(maps, source="okada", bounds={name: _AROUND[name] for name in ("east", "north", "depth")})
    plane: dict[str, Any] = {**_AROUND, "length": 1.0, "width": 1.0, "strike": 0.0, "dip": (0.0, 120.0), "opening": 1.0}
    del plane["volume"]
    with pytest.raises(InputError, match="dip"):
        fit_source(maps, source="okada", bounds=plane)
    for wrong in ({"most_points": 0}, {"starts": (1, 2)}, {"correlation_length": -1.0}):
        with pytest.raises(InputError, match="no "):
            fit_source(maps, source="mogi", bounds=_AROUND, **wrong)
    with pytest.raises(InputError, match="no map"):
        fit_source([], source="mogi", bounds=_AROUND)
    with pytest.raises(InputError, match="fitted to a map"):
        fit_source(maps.expand_dims(time=2), source="mogi", bounds=_AROUND)
    with pytest.raises(EmptyResultError, match="no pixel"):
        fit_source(maps.where(False), source="mogi", bounds=_AROUND)
    with pytest.raises(EmptyResultError, match="fewer points"):
        fit_source(maps, source="mogi", bounds=_AROUND, most_points=4)
    with pytest.raises(MetadataError, match="metres"):
        fit_source(maps.assign_coords(x=maps["x"].values), source="mogi", bounds=_AROUND)
    degrees = maps.assign_coords(
        x=maps["x"].values * 1e-5,
        y=maps["y"].values * 1e-5,
        spatial_ref=xr.DataArray(0, attrs={"crs_wkt": "EPSG:4326"}),
    )
    with pytest.raises(MetadataError, match="not metres"):
        fit_source(degrees, source="mogi", bounds=_AROUND)
