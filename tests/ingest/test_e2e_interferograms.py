"""From delivered interferograms to a cube: ingested into a catalogue, loaded as pairs, with their signs."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import rasterio

from terracube.cubes.pairs import SIGN, load_pairs
from terracube.ingest import ingest
from terracube.ingest.simulate import Region, write_interferograms
from terracube.stac import to_query


@pytest.fixture
def load(catalog):
    """Ingest, and load what came in."""

    def run(source, path, **options):
        report = ingest(source, [path], catalog, jobs=2)
        assert not report.refused, report.refused
        items = catalog.search(to_query(collections=source))
        return items, load_pairs(items, **options)

    return run


def test_mexico(data_dir, load, validate_stac):
    """30 real pairs become a stack: phases equal the files, and their inversion is the peer's time series."""
    folder = data_dir / "insar" / "mexico-sentinel1"
    items, cube = load("gamma-insar", folder, static=["dem"])
    assert len(items) == 31
    for item in items[::10]:
        validate_stac(item.to_dict())
    network = json.loads((folder / "network.json").read_text())
    assert cube.pair.values.tolist() == ["_".join(pair) for pair in network["pairs"]]
    assert cube.perpendicular_baseline.values.tolist() == network["bperp_m"]
    assert cube.attrs["wavelength"] == network["wavelength_m"]
    assert (cube.attrs["looks"], cube.attrs["phase_sign"]) == (8, SIGN)
    phases = cube.unwrapped_phase.values
    for number, (first, second) in enumerate(network["pairs"]):
        path = folder / "geotiffs" / f"cropA_{first}-{second}_VV_8rlks_eqa_unw.tif"
        with rasterio.open(path) as dataset:
            np.testing.assert_array_equal(phases[number], dataset.read(1, masked=True).filled(np.nan))
    with rasterio.open(folder / "geotiffs" / "cropA_T005A_dem.tif") as dataset:
        np.testing.assert_array_equal(cube.dem.values, dataset.read(1))
    with np.load(folder / "mintpy_reference.npz") as peer:
        days, series = peer["dates"].tolist(), peer["ts_no_vel"]
    row, col = network["ref_yx"]
    design = np.zeros((len(phases), len(days)))
    for number, (first, second) in enumerate(network["pairs"]):
        design[number, days.index(first)], design[number, days.index(second)] = -1, 1
    moved = -cube.attrs["wavelength"] / (4 * math.pi) * (phases - phases[:, row : row + 1, col : col + 1])
    whole = np.isfinite(moved).all(axis=0)
    found = np.linalg.lstsq(design[:, 1:], moved[:, whole], rcond=None)[0]
    np.testing.assert_allclose(found, series[1:, whole], atol=1e-6)
    assert found[-1].min() < -0.1


def test_twice(data_dir, catalog):
    """What is in already is not written again."""
    folder = data_dir / "insar" / "sydney-envisat" / "tif"
    assert len(ingest("roipac-insar", [folder], catalog).taken) == 17
    again = ingest("roipac-insar", [folder], catalog)
    assert (len(again.already), again.taken, again.refused) == (17, [], [])


def test_simulated_stack(tmp_path, load):
    """The side-car form, with the truth of the simulator: the cube holds its displacements, in its sign."""
    folder = tmp_path / "in" / "region"
    path = write_interferograms(Region(seed=5, size=90), folder, dates=["2022-01-03", "2024-01-05"], size=32)
    _, cube = load("interferograms", path, static=["dem"])
    assert cube.pair.values.tolist() == ["20220103_20240105"]
    with rasterio.open(folder / "truth" / "displacement.tif") as dataset:
        truth = dataset.read(2)
    found = (-cube.attrs["wavelength"] / (4 * math.pi) * cube.unwrapped_phase.isel(pair=0)).values
    seen = np.isfinite(found)
    # Delays of the air lie between: what is asked is the sign and the size of the motion.
    slope = np.polyfit(truth[seen], found[seen], 1)[0]
    assert slope == pytest.approx(1.0, abs=0.35)
    assert np.isfinite(cube.dem.values).all()
