"""Mask rules: what each keeps, of classes, of bits and of probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from terracube.core.errors import InputError
from terracube.core.sensors import MaskRule, clear_of, load_sensor, mask_table, sensor_names

S2, LANDSAT = load_sensor("sentinel-2-l2a"), load_sensor("landsat-c2-l2")


class TestRulesOfSensors:
    @pytest.mark.parametrize("name", sensor_names())
    def test_every_sensor_has_the_same_names(self, name):
        """Clear, cloud, water, land and snow-free can be asked of every sensor; each asks a layer that it has."""
        sensor = load_sensor(name)
        assert {"clear", "cloud", "water", "land", "snow_free"} <= set(sensor.mask.rules)
        for rule in sensor.mask.rules.values():
            assert rule.asset in sensor.extras

    def test_scene_classes(self):
        """Clear is the sensor's own choice; the others are named by what they keep; no data is never kept."""
        kept = {name: tuple(np.flatnonzero(mask_table(rule))) for name, rule in S2.mask.rules.items()}
        assert kept["clear"] == (2, 4, 5, 6, 7, 11)
        assert kept["snow_free"] == (2, 4, 5, 6, 7)
        assert kept["cloud"] == (8, 9, 10)
        assert kept["water"] == (6,)
        assert kept["land"] == (2, 4, 5, 7, 11)
        assert S2.mask.rule("clear").masked == S2.mask.masked

    # Values of QA_PIXEL as the product guide lists them: what they are, and which rules keep them.
    @pytest.mark.parametrize(
        ("value", "keeping"),
        [
            (1, set()),  # fill
            (21824, {"clear", "land", "snow_free"}),  # clear land
            (21952, {"clear", "water", "snow_free"}),  # clear water
            (22280, {"cloud"}),  # high-confidence cloud
            (23888, set()),  # cloud shadow over land
            (30048, {"clear", "land"}),  # snow
            (54596, {"cloud"}),  # cirrus
            (21826, {"cloud"}),  # dilated cloud over land
        ],
    )
    def test_bits_of_landsat(self, value, keeping):
        """Each value of the quality layer is kept by the rules whose name says so."""
        values = np.array([value], "uint16")
        assert {name for name, rule in LANDSAT.mask.rules.items() if clear_of(rule, values)[0]} == keeping

    def test_real_quality(self, data_dir):
        """The real scene is nearly all cloud by its own metadata (99.94 %); fill is neither clear nor cloud."""
        import rasterio

        (path,) = (data_dir / "landsat-c2l2").rglob("*_QA_PIXEL.TIF")
        with rasterio.open(path) as dataset:
            values = dataset.read(1)
        for rule in LANDSAT.mask.rules.values():
            assert not clear_of(rule, values)[values == 1].any()
        assert not (clear_of(LANDSAT.mask.rule("clear"), values) & clear_of(LANDSAT.mask.rule("cloud"), values)).any()

    def test_cloud_probability(self):
        """Below 40 percent is clear; what is left out grows by 60 metres."""
        rule = S2.mask.rule("cloud_probability")
        assert (rule.asset, rule.threshold, rule.dilate_m) == ("cld", 40, 60)
        assert clear_of(rule, np.array([0, 39, 40, 100], "uint8")).tolist() == [True, True, False, False]

    def test_unknown_rules(self):
        """A rule that a sensor has not is refused with those it has."""
        with pytest.raises(InputError, match=r"clear.*cloud_probability"):
            S2.mask.rule("sunny")
        with pytest.raises(InputError, match=r"bits, not classes.*snow_free"):
            LANDSAT.mask.without([3])

    def test_own_choice_of_classes(self):
        """Classes of one's own are left out, and no data with them."""
        assert S2.mask.without([8, 9]).masked == (0, 8, 9)


class TestRules:
    @given(hnp.arrays(st.sampled_from(["uint8", "int16", "uint16", "int32"]), 20), st.sets(st.integers(0, 255)))
    def test_classes(self, values, masked):
        """A number is kept if it is one of a byte that is not left out; the table says the same."""
        rule = MaskRule("x", masked=tuple(masked))
        kept = clear_of(rule, values)
        assert kept.tolist() == [0 <= value < 256 and value not in masked for value in values.tolist()]
        inside = (values >= 0) & (values < 256)
        assert np.array_equal(kept[inside], mask_table(rule)[values[inside].astype(int)])

    @given(hnp.arrays(st.sampled_from(["uint8", "uint16", "int16"]), 20), st.integers(0, 65535), st.integers(0, 65535))
    def test_bits(self, values, bits, any_bits):
        """A number is kept if it has none of the bits and, where asked, one of the others; as Python's own integers."""
        kept = clear_of(MaskRule("x", bits=bits, any_bits=any_bits), values)
        expected = [not value & bits and (not any_bits or bool(value & any_bits)) for value in values.tolist()]
        assert kept.tolist() == expected

    @given(hnp.arrays("float32", 20), st.floats(-10, 10))
    def test_threshold(self, values, threshold):
        """Below the threshold is kept; NaN, which was not seen, never."""
        kept = clear_of(MaskRule("x", threshold=threshold), values)
        assert not kept[np.isnan(values)].any()
        assert np.array_equal(kept, values < threshold)

    def test_no_data(self):
        """The number that means nothing was seen is never kept, nor a class without meaning."""
        values = np.array([0, 4, 30, 255, 256], "uint16")
        assert clear_of(MaskRule("x", masked=(), nodata=0), values).tolist() == [False, True, True, True, False]
        known = MaskRule("x", masked=(), known=(0, 4), nodata=0)
        assert clear_of(known, values).tolist() == [False, True, False, False, False]
        assert clear_of(MaskRule("x", threshold=10, nodata=0), values).tolist() == [False, True, False, False, False]

    @pytest.mark.parametrize("shape", [(0,), (1, 1), (3, 4)])
    def test_shapes(self, shape):
        """The answer has the shape of the question, also of none."""
        assert clear_of(MaskRule("x", bits=1), np.zeros(shape, "uint8")).shape == shape

    def test_floats_are_no_classes(self):
        """Classes and bits of numbers that are not whole are refused."""
        for rule in (MaskRule("x", masked=(1,)), MaskRule("x", bits=1)):
            with pytest.raises(InputError, match="whole numbers"):
                clear_of(rule, np.zeros(3, "float32"))

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"masked": (1,), "bits": 1},
            {"bits": 1, "threshold": 3},
            {"masked": (256,)},
            {"masked": (-1,)},
            {"bits": -1},
            {"threshold": 1, "dilate_m": -1},
            {"threshold": 1, "dilate_m": float("nan")},
        ],
    )
    def test_rules_that_are_none(self, options):
        """A rule has one kind of test, classes of a byte, and grows by nothing or more."""
        with pytest.raises(InputError):
            MaskRule("x", **options)
