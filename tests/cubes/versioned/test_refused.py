"""What does not fit is refused, and the cube is untouched."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from terracube.core.errors import ConflictError, HostileInputError, InputError, MetadataError
from terracube.cubes.storage.versioned import CubeVariable, VersionedCube

DAYS = ["2023-08-10", "2023-08-12"]


def moved(dataset, *, crs="EPSG:32633", y=0.0, x=0.0, scale=1.0):
    """Give the same values elsewhere."""
    bare = dataset.drop_vars("spatial_ref")
    bare = bare.assign_coords(y=bare.y * scale + y, x=bare.x * scale + x)
    return bare.rio.write_crs(crs)


def with_attrs(dataset, name, **attrs):
    """Give the same values with other attributes of one variable."""
    return dataset.assign({name: dataset[name].assign_attrs(**attrs)})


def with_transform(dataset, text):
    """Give the same values with another GeoTransform."""
    found = dataset.copy()
    found.spatial_ref.attrs["GeoTransform"] = text
    return found


WRONG = {
    "a band more": (lambda d: d.assign(nir=d.red), InputError, "other variables"),
    "a band less": (lambda d: d[["red"]], InputError, "other variables"),
    "another CRS": (lambda d: moved(d, crs="EPSG:32634"), InputError, "another CRS"),
    "no CRS": (lambda d: d.drop_vars("spatial_ref"), MetadataError, "no CRS"),
    "another resolution": (lambda d: moved(d, scale=1.01), InputError, "another resolution"),
    "another resolution, told": (
        lambda d: with_transform(d, "500005.0 20.0 0.0 5099997.5 0.0 -20.0"),
        InputError,
        "another resolution",
    ),
    "half a pixel off": (lambda d: moved(d, x=5.0), InputError, "between those of the cube"),
    "a thousandth of a pixel off": (lambda d: moved(d, y=0.01), InputError, "between those of the cube"),
    "rotated": (lambda d: with_transform(d, "500005.0 10.0 1.0 5099997.5 1.0 -10.0"), InputError, "rotated"),
    "a broken transform": (lambda d: with_transform(d, "1 2 x"), MetadataError, "GeoTransform"),
    "uneven": (lambda d: d.isel(x=[0, 1, 3]), InputError, "resolution|evenly"),
    "uneven in the middle": (lambda d: d.isel(x=[0, 2, 1, 3]), InputError, "evenly"),
    "no finite coordinates": (lambda d: d.assign_coords(x=d.x * np.nan), MetadataError, "not finite"),
    "beyond the east": (lambda d: moved(d, x=10.0), InputError, "beyond"),
    "beyond the north": (lambda d: moved(d, y=10.0), InputError, "beyond"),
    "one column of unknown width": (lambda d: moved(d.isel(x=[3])), MetadataError, "not told"),
    "another type": (lambda d: d.assign(red=d.red.astype("float64")), InputError, "another type"),
    "a type that no cube holds": (lambda d: d.assign(red=d.red.astype(complex)), InputError, "integers and floats"),
    "another nodata": (lambda d: with_attrs(d, "scl", nodata=0), InputError, "another nodata"),
    "no nodata": (lambda d: with_attrs(d, "scl", nodata=None), InputError, "another nodata"),
    "two nodata": (lambda d: with_attrs(d, "scl", _FillValue=0), MetadataError, "told twice"),
    "an impossible nodata": (lambda d: with_attrs(d, "scl", nodata=-1), InputError, "does not fit"),
    "another unit": (lambda d: with_attrs(d, "red", units="K"), InputError, "another unit"),
    "no time": (lambda d: d.isel(time=0, drop=True), MetadataError, "no time"),
    "no times": (lambda d: d.drop_vars("time"), MetadataError, "no time"),
    "times that are numbers": (lambda d: d.assign_coords(time=[1, 2]), MetadataError, "not dates"),
    "times with a zone": (
        lambda d: d.assign_coords(time=pd.DatetimeIndex(d.time.values).tz_localize("UTC").astype(object)),
        MetadataError,
        "not dates",
    ),
    "NaT": (lambda d: d.assign_coords(time=np.array(["2023-08-10", "NaT"], "M8[ns]")), MetadataError, "missing"),
    "a time twice": (lambda d: d.isel(time=[0, 0]), InputError, "twice"),
    "a far time": (
        lambda d: d.assign_coords(time=np.array(["2023-08-10", "9999-01-01"], "M8[s]")),
        MetadataError,
        "beyond",
    ),
    "times in a plane": (
        lambda d: d.drop_vars("time").assign_coords(time=(("y", "x"), np.zeros((41, 55), "M8[ns]"))),
        MetadataError,
        "unusable time",
    ),
    "no dates": (lambda d: d.isel(time=[]), InputError, "empty"),
    "no pixels": (lambda d: d.isel(x=[]), InputError, "empty"),
    "an axis more": (lambda d: d.assign(red=d.red.expand_dims(band=2)), MetadataError, "not a cube"),
    "no coordinates": (lambda d: d.drop_vars("y"), MetadataError, "not a cube"),
    "nothing": (lambda _: xr.Dataset(), InputError, "other variables"),
}


def test_refused(cube, scene):
    """Each thing that does not fit is refused by name, and leaves no trace."""
    state = cube.append(scene(DAYS))
    before = cube.dataset().load()
    for name, (change, error, text) in WRONG.items():
        with pytest.raises(error, match=text):
            cube.append(change(scene(DAYS, seed=1)))
        assert cube.history()[0] == state, name
    assert cube.dataset().load().identical(before)


def test_failing_pixels(cube, scene):
    """If a block of a lazy dataset cannot be computed, nothing of the append is in the cube."""
    state = cube.append(scene(DAYS[:1]))

    def fail(values):
        if values.size and values.shape[1] < 20:
            raise MetadataError("a scene cannot be read")
        return values

    lazy = scene(DAYS).chunk(y=32)
    lazy["red"] = lazy.red.copy(data=lazy.red.data.map_blocks(fail, dtype="f4", meta=np.empty((0, 0, 0), "f4")))
    with pytest.raises(MetadataError, match="cannot be read"):
        cube.append(lazy)
    assert cube.history()[0] == state
    assert cube.dataset().sizes["time"] == 1
    assert len(cube.append(scene(DAYS)).added) == 1


def test_words(cube, scene):
    """Unknown rules, endless messages and options without use are refused."""
    with pytest.raises(InputError, match="unknown rule"):
        cube.append(scene(DAYS), on_conflict="merge")
    with pytest.raises(InputError, match="too long"):
        cube.append(scene(DAYS), message="x" * 5000)
    with pytest.raises(InputError, match="not loaded"):
        cube.append(scene(DAYS), mask="clear")
    assert len(cube.history()) == 1


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"variables": {}}, InputError),
        ({"variables": {"time": "uint8"}}, InputError),
        ({"variables": {"../red": "uint8"}}, HostileInputError),
        ({"variables": {"red": "text"}}, InputError),
        ({"variables": {"red": "complex64"}}, InputError),
        ({"variables": {"red": {"dtype": "uint8", "nodata": "0"}}}, InputError),
        ({"variables": {"red": {"dtype": "uint8", "nodata": 0.5}}}, InputError),
        ({"variables": {"red": {"dtype": "uint8", "nodata": float("nan")}}}, InputError),
        ({"variables": {"red": {"dtype": "float32", "nodata": 1e300}}}, InputError),
        ({"variables": {"red": CubeVariable("uint8")}, "chunks": 0}, InputError),
        ({"variables": {"red": "uint8"}, "chunks": 1 << 20}, InputError),
        ({"variables": {"red": "uint8"}, "grid": None}, InputError),
        ({"variables": {"red": {"dtype": "uint8", "units": "x" * 5000}}}, InputError),
    ],
)
def test_create_refused(tmp_path, grid, told, error):
    """A cube that cannot be is not begun."""
    with pytest.raises(error):
        VersionedCube.create(tmp_path / "cube", **({"grid": grid} | told))
    assert not list(tmp_path.iterdir())


def test_create_twice(cube, tmp_path, grid):
    """A place that holds something is left alone; an empty folder is welcome."""
    with pytest.raises(ConflictError, match="already"):
        VersionedCube.create(tmp_path / "cube-0", grid=grid, variables={"red": "uint8"})
    assert set(VersionedCube.open(tmp_path / "cube-0").variables) == {"red", "scl"}
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConflictError, match="already"):
        VersionedCube.create(tmp_path / "file", grid=grid, variables={"red": "uint8"})
    (tmp_path / "empty").mkdir()
    assert VersionedCube.create(tmp_path / "empty", grid=grid, variables={"red": "uint8"}).chunk == 512


def test_grid_of_dataset_refused(tmp_path, scene):
    """A dataset whose coordinates contradict its transform, or that does not tell its pixels, gives no grid."""
    whole = scene(DAYS)
    wrong = {
        "contradict": with_transform(whole, "500008.0 10.0 0.0 5099997.5 0.0 -10.0"),
        "not known": moved(whole.isel(x=[0])),
        "not regular": moved(whole).isel(x=[0, 2, 1, 3]),
        "CRS is not known": whole.drop_vars("spatial_ref"),
    }
    for text, dataset in wrong.items():
        with pytest.raises(MetadataError, match=text):
            VersionedCube.create(tmp_path / "cube", variables=dataset)
