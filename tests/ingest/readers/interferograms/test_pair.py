"""What all producers share: dates, properties, and what a user adds."""

from __future__ import annotations

import contextlib
import math
import pickle
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from terracube.core.errors import AssetError, MetadataError, TerraCubeError
from terracube.cubes.grid import Grid
from terracube.ingest import load_source, source_names
from terracube.ingest.pixels import ArrayPixels
from terracube.ingest.readers.interferograms import SENTINEL_1, SIGN, Pair, layers, read_date
from terracube.ingest.readers.interferograms.complement import Facts, facts_beside
from terracube.ingest.readers.interferograms.layers import Layer, PhasePixels
from terracube.stac import set_extensions

SOURCES = ("hyp3-insar", "licsar", "gamma-insar", "roipac-insar", "flatsim", "opera-disp-s1", "interferograms")
FIRST, SECOND = datetime(2018, 1, 6, 0, 40, 21, tzinfo=UTC), datetime(2018, 1, 30, 0, 40, 21, tzinfo=UTC)


def pair(**told):
    """A pair of Sentinel-1."""
    return Pair(**({"reference": FIRST, "secondary": SECOND, "wavelength": SENTINEL_1, "where": "x"} | told))


def layer(values, nodata=None):
    """A layer that is held."""
    array = np.asarray(values)
    grid = Grid.from_affine("EPSG:32633", Affine(10, 0, 0, 0, -10, 0), array.shape)
    return Layer(ArrayPixels(array), grid, array.dtype.name, nodata, (Path("held"),))


@pytest.mark.parametrize(
    ("text", "moment", "precision"),
    [
        ("20180106", "2018-01-06T00:00:00+00:00", "day"),
        ("2018-01-06", "2018-01-06T00:00:00+00:00", "day"),
        ("060619", "2006-06-19T00:00:00+00:00", "day"),
        ("920619", "1992-06-19T00:00:00+00:00", "day"),
        ("20180106T004021", "2018-01-06T00:40:21+00:00", "second"),
        ("20160705T140755Z", "2016-07-05T14:07:55+00:00", "second"),
        ("2016-07-05 14:07:55.000000", "2016-07-05T14:07:55+00:00", "second"),
        ("2018-01-06T02:40:21+02:00", "2018-01-06T00:40:21+00:00", "second"),
    ],
)
def test_dates(text, moment, precision):
    """Dates as producers write them, as UTC."""
    found, how = read_date(text, where="x")
    assert (found.isoformat(), how) == (moment, precision)


@given(st.one_of(st.text(max_size=30), st.integers(), st.none(), st.text(alphabet="0123456789-T:Z ", max_size=20)))
def test_any_date(text):
    """Any text is a date or a clear error."""
    with contextlib.suppress(MetadataError):
        assert 1970 <= read_date(text, where="x")[0].year < 2100


def test_order():
    """A reversed pair is turned, its baseline with it; a pair in order stays as it is."""
    turned = pair(reference=SECOND, secondary=FIRST, baseline=40.0)
    assert turned.reversed
    assert turned.ordered() == pair(baseline=-40.0)
    assert pair().ordered() is not None
    assert not pair().reversed
    assert pair(reference=SECOND, secondary=FIRST).ordered().baseline is None


@pytest.mark.parametrize(
    "told", [{"secondary": FIRST}, {"wavelength": 55.0}, {"wavelength": math.nan}, {"baseline": math.inf}]
)
def test_bad_pairs(told):
    """Equal dates, millimetres taken for metres, and numbers that are none are refused."""
    with pytest.raises(MetadataError):
        pair(**told)


@pytest.mark.parametrize(
    ("heading", "orbit"), [(-13.0, "ascending"), (346.5, "ascending"), (193.2, "descending"), (-169.9, "descending")]
)
def test_orbit_of_the_heading(heading, orbit):
    """The heading tells whether the orbit ascends."""
    assert pair(heading=heading).properties()["sat:orbit_state"] == orbit


def test_properties_are_stac(validate_stac):
    """An item with the properties of a pair is valid by the schemas of its extensions."""
    given_pair = pair(baseline=40.0, looks=(8, 2), heading=-13.0, incidence=39.0, relative_orbit=5)
    item = pystac.Item("a", {"type": "Point", "coordinates": [0, 0]}, [0, 0, 0, 0], SECOND, given_pair.properties())
    document = set_extensions(item).to_dict()
    validate_stac(document)
    assert any("insar" in name for name in document["stac_extensions"])
    assert document["properties"]["terracube:phase_sign"] == SIGN
    assert document["properties"]["sar:center_frequency"] == pytest.approx(5.405000454)


@pytest.mark.parametrize("name", SOURCES)
def test_sources(name):
    """Every source has the common roles, readers that can be imported, and a reference of its format."""
    source = load_source(name)
    assert name in source_names()
    assert {"unwrapped_phase", "coherence"} <= set(source.bands)
    assert source.bands["unwrapped_phase"].unit == "rad"
    assert source.bands["unwrapped_phase"].common_name is None
    for form in source.forms:
        assert callable(form.find)
        assert callable(form.read)
        assert form.reference


def test_phase_pixels():
    """Missing is NaN, strips do not matter, infinite is missing, zero counts only where it is said to."""
    values = np.array([[0, 1, np.nan], [2, 0, np.inf], [0, -3, 4]], "float32")
    coherence = ArrayPixels(np.array([[0, 1, 1], [1, 0.5, 1], [np.nan, 1, 1]], "float32"))
    plain = PhasePixels(ArrayPixels(values), factor=-1.0, missing=0.0)
    np.testing.assert_array_equal(plain.rows(0, 3), [[np.nan, -1, np.nan], [-2, np.nan, np.nan], [np.nan, 3, -4]])
    judged = PhasePixels(ArrayPixels(values), missing=0.0, coherence=coherence)
    np.testing.assert_array_equal(np.isnan(judged.rows(0, 3)), [[1, 0, 1], [0, 0, 1], [1, 0, 0]])
    kept = PhasePixels(ArrayPixels(values), missing=0.0, kept_at=(2, 0))
    whole = kept.rows(0, 3)
    assert whole[2, 0] == 0
    np.testing.assert_array_equal(np.vstack([kept.rows(0, 1), kept.rows(1, 3)]), whole)
    assert whole.dtype == "float32"


def test_layers_travel():
    """Layers can be sent to another process."""
    source = load_source("interferograms")
    made = [
        *layers.los_of_angles(layer(np.full((3, 3), 0.9, "float32")), layer(np.full((3, 3), 3.0, "float32")), source),
        layers.labels(layer(np.ones((3, 3), "float32")), source),
        layers.phase(layer(np.ones((3, 3), "float32")), source),
    ]
    for raster in made:
        again = pickle.loads(pickle.dumps(raster))
        np.testing.assert_array_equal(again.pixels.rows(0, 3), raster.pixels.rows(0, 3))


def test_kinds_of_coherence():
    """Floats and bytes are coherences, other numbers are not."""
    source = load_source("interferograms")
    assert layers.coherence(layer(np.ones((2, 2), "uint8")), source).radiometry.scale == pytest.approx(1 / 255)
    assert layers.coherence(layer(np.ones((2, 2), "float32")), source).nodata == 0
    assert layers.coherence(layer(np.ones((2, 2), "float32")), source, zero_missing=False).nodata is None
    with pytest.raises(AssetError, match="no coherence"):
        layers.coherence(layer(np.ones((2, 2), "int32")), source)


def test_angles_in_degrees_are_seen():
    """Angles beyond half a turn are no radians."""
    assert layers.in_radians(layer(np.full((3, 2), 1.2, "float32")))
    assert layers.in_radians(layer(np.full((3, 2), np.nan, "float32")))
    assert not layers.in_radians(layer(np.array([[1.0], [1.0], [67.0]], "float32")))


def test_what_the_user_adds(tmp_path):
    """Facts of the user are read from one file; without it there are none; a wrong one is named."""
    assert facts_beside(tmp_path) == Facts()
    (tmp_path / "terracube.yaml").write_text("wavelength: 0.24\norbit: ascending\n")
    facts = facts_beside(tmp_path)
    assert (facts.wavelength, facts.orbit, facts.factor) == (0.24, "ascending", 1.0)
    assert facts.settle("wavelength", 0.24001, where="x") == 0.24001
    with pytest.raises(MetadataError, match="disagree on wavelength"):
        facts.settle("wavelength", 0.056, where="x")
    for wrong in ("wavelength: -1\n", "colour: red\n", "- a\n", "stack: a/b\n", "a: [\n", "looks_range: 0\n"):
        (tmp_path / "terracube.yaml").write_text(wrong)
        with pytest.raises(TerraCubeError) as error:
            facts_beside(tmp_path)
        assert "terracube.yaml" in str(error.value) or "stack" in str(error.value)
