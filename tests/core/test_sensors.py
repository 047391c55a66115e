"""Sensors: what their files say, and which offset an item's numbers carry."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.core.errors import MetadataError, NotFoundError
from terracube.core.sensors import load_sensor, resolve_radiometry, sensor_names, sensor_of

S2 = load_sensor("sentinel-2-l2a")
LANDSAT = load_sensor("landsat-c2-l2")
BASELINE, APPLIED = "s2:processing_baseline", "earthsearch:boa_offset_applied"


def offset_of(properties, offset=None, scale=None):
    """Resolve, and give the offset alone."""
    return resolve_radiometry(S2, properties, scale=scale, offset=offset, where="S2A/red").offset


class TestFiles:
    @pytest.mark.parametrize("name", sensor_names())
    def test_every_file_holds_together(self, name):
        """Names agree, bands run by wavelength, no asset key means two bands, mask classes are described."""
        sensor = load_sensor(name)
        layers = [*sensor.bands.values(), *sensor.extras.values()]
        keys = [key for band in layers for key in band.keys]
        waves = [band.center_wavelength for band in sensor.bands.values()]
        assert sensor.name == name
        assert name in sensor.collections
        assert len(keys) == len(set(keys))
        assert waves == sorted(waves)
        assert all(0.3 < wave < 15 for wave in waves)
        assert sensor.mask.asset in sensor.extras
        assert set(sensor.mask.masked) <= set(sensor.mask.classes)
        assert sensor.mask.nodata in sensor.mask.masked or sensor.mask.bits
        assert bool(sensor.mask.bits) != bool(sensor.mask.classes)
        assert all(band.full_width_half_max > 0 and band.title for band in sensor.bands.values())

    def test_sentinel_2_scene_classes(self):
        """Clouds, their shadow, cirrus, defects and no data are left out; ground classes are not."""
        assert S2.mask.masked == (0, 1, 3, 8, 9, 10)
        assert sorted(S2.mask.classes) == list(range(12))

    @pytest.mark.parametrize("name", ["red", "B04"])
    def test_a_band_has_many_names(self, name):
        """Role name and the agency's name lead to the same band."""
        assert S2.layer(name) is S2.bands["red"]

    @pytest.mark.parametrize("name", ["purple", "", "RED", "red "])
    def test_unknown_band(self, name):
        """An unknown band is an error that lists the known ones."""
        with pytest.raises(NotFoundError, match=r"blue.*scl"):
            S2.layer(name)

    def test_one_near_infrared_answers_to_both_names(self):
        """Landsat has one near infrared, whatever it is called; Sentinel-2 has two, which are kept apart."""
        assert LANDSAT.layer("nir") is LANDSAT.layer("nir08") is LANDSAT.bands["nir08"]
        assert S2.layer("nir") is S2.bands["nir"]
        assert S2.layer("nir08") is S2.bands["nir08"]

    def test_names_of_the_agency_depend_on_the_platform(self):
        """SR_B4 is red of OLI and near infrared of TM; common names and roles are the same for both."""
        for platform, name, role in (
            ("landsat-8", "SR_B4", "red"), ("LANDSAT_9", "SR_B4.TIF", "red"), ("landsat-5", "SR_B4", "nir08"),
            ("LANDSAT_7", "ST_B6", "lwir11"), ("landsat-4", "SR_B3", "red"),
        ):  # fmt: skip
            assert LANDSAT.aboard(platform).layer(name).name == role
        assert "coastal" not in LANDSAT.aboard("landsat-7").bands
        for unknown in (None, "", "landsat-99", 8, ["landsat-8"]):
            assert LANDSAT.aboard(unknown) is LANDSAT
        assert S2.aboard("sentinel-2a") is S2

    def test_common_names(self):
        """A common name that one band has means it; one that is shared means none."""
        assert S2.layer("rededge071").name == "rededge1"
        assert S2.layer("MSK_CLDPRB").name == "cld"

    def test_unknown_sensor_and_collection(self):
        """Unknown names are refused, also such that look like paths, with the known ones in the message."""
        for name in ("landsat-99", "../../secret", ""):
            with pytest.raises(NotFoundError, match="sentinel-2-l2a"):
                load_sensor(name)
        for collection in (None, "", "sentinel-1-grd"):
            with pytest.raises(NotFoundError, match="sentinel-2-l2a"):
                sensor_of(collection)
        assert sensor_of("sentinel-s2-l2a-cogs") is S2


class TestRadiometry:
    @pytest.mark.parametrize(
        ("baseline", "expected"),
        [
            ("05.09", -0.1),
            ("04.00", -0.1),
            ("04.01", -0.1),
            ("03.01", 0.0),
            ("02.14", 0.0),
            ("00.01", 0.0),
            ("99.99", -0.1),
            ("5.11", -0.1),
            (5.09, -0.1),
            (4.0, -0.1),
            (3.1, 0.0),
        ],
    )
    def test_rule_of_the_baseline(self, baseline, expected):
        """From baseline 04.00 on the numbers carry the offset, before it none."""
        assert offset_of({BASELINE: baseline}) == expected

    def test_applied_wins_over_a_declared_offset(self):
        """A provider that took the offset away is believed, though the asset still declares it."""
        assert offset_of({APPLIED: True, BASELINE: "05.09"}, offset=-0.1) == 0.0
        assert offset_of({APPLIED: True}) == 0.0

    def test_not_applied(self):
        """A provider that left the offset in the numbers says the same as the baseline."""
        assert offset_of({APPLIED: False, BASELINE: "05.09"}) == -0.1
        assert offset_of({APPLIED: False, BASELINE: "05.09"}, offset=-0.1) == -0.1

    def test_declared_offset(self):
        """Where nothing contradicts it, the asset's own offset is taken; 0 says that it was taken away."""
        assert offset_of({}, offset=-0.1) == -0.1
        assert offset_of({}, offset=0.0) == 0.0
        assert offset_of({BASELINE: "05.09"}, offset=-0.1) == -0.1
        assert offset_of({BASELINE: "05.09"}, offset=0) == 0.0
        assert offset_of({BASELINE: "02.14"}, offset=0) == 0.0

    @pytest.mark.parametrize(
        ("properties", "offset"),
        [
            ({BASELINE: "02.14"}, -0.1),  # an offset before there was one
            ({BASELINE: "05.09", APPLIED: False}, 0.0),  # not applied, and yet none
            ({BASELINE: "05.09"}, -1000.0),  # in digital numbers instead of reflectance
            ({BASELINE: "05.09"}, 0.1),  # the sign the other way
            ({BASELINE: "02.14", APPLIED: False}, -0.1),
        ],
    )
    def test_contradictions_are_raised(self, properties, offset):
        """An item whose statements exclude each other is refused, with the item in the message."""
        with pytest.raises(MetadataError, match=r"contradicts.*S2A/red"):
            offset_of(properties, offset=offset)

    @pytest.mark.parametrize("properties", [{}, {APPLIED: False}, {APPLIED: None, BASELINE: None}])
    def test_nothing_said_is_not_guessed(self, properties):
        """Without baseline, flag or declared offset there is no reflectance."""
        with pytest.raises(MetadataError, match="cannot be known"):
            offset_of(properties)

    @pytest.mark.parametrize("baseline", ["", "N0509", "five", "4", "04", "05.09.01", "-1.0", "05,09", " 05.09", True])
    def test_a_baseline_that_is_none(self, baseline):
        """A baseline that is not two numbers is refused, not read in some way ("04" is not before "04.00")."""
        with pytest.raises(MetadataError, match="not a number"):
            offset_of({BASELINE: baseline})

    @pytest.mark.parametrize("flag", ["true", "false", 1, 0, [], ""])
    def test_a_flag_that_is_neither(self, flag):
        """Anything but true and false is refused: taking "true" for unknown would apply the offset twice."""
        with pytest.raises(MetadataError, match="neither true nor false"):
            offset_of({APPLIED: flag, BASELINE: "05.09"})

    @pytest.mark.parametrize(
        ("scale", "offset"),
        [(0.0, 0.0), (-1e-4, 0.0), (math.nan, 0.0), (math.inf, 0.0), (1e-4, math.nan), (1e-4, math.inf)],
    )
    def test_numbers_that_are_none(self, scale, offset):
        """A scale that is not positive, or a number that is not finite, is refused even with the offset applied."""
        with pytest.raises(MetadataError, match="no usable numbers"):
            offset_of({APPLIED: True}, offset=offset, scale=scale)

    def test_scale(self):
        """The asset's scale is taken, else the sensor's; the reason names the deciding field."""
        properties = {BASELINE: "05.09"}
        assert resolve_radiometry(S2, properties, scale=None, offset=None, where="x").scale == 1e-4
        found = resolve_radiometry(S2, properties, scale=2e-4, offset=None, where="x")
        assert found.scale == 2e-4
        assert found.reason == "s2:processing_baseline is 05.09"

    @pytest.mark.parametrize(
        ("properties", "expected"),
        [
            ({"sentinel2:processing_baseline": "05.09"}, -0.1),
            ({"processing:version": "05.11"}, -0.1),
            ({"processing:version": "02.14"}, 0.0),
            ({"sentinel:product_id": "S2A_MSIL2A_20200714T115221_N0214_R123_T28QCH_20200714T191310"}, 0.0),
            ({"sentinel2:product_title": "S2B_MSIL2A_20230512T231559_N0509_R087_T01VCG_20230512T234921"}, -0.1),
            ({"sentinel:boa_offset_applied": True, "processing:version": "05.11"}, 0.0),
        ],
    )
    def test_other_spellings(self, properties, expected):
        """Providers tell the baseline, or that the offset is applied, each in its own field."""
        assert offset_of(properties) == expected

    @pytest.mark.parametrize("properties", [{"processing:version": "2.6.1"}, {"sentinel:product_id": "N0509"}])
    def test_what_tells_no_baseline(self, properties):
        """Versions of software and names of other kinds tell nothing."""
        with pytest.raises(MetadataError, match="cannot be known"):
            offset_of(properties)

    def test_two_baselines(self):
        """Two statements that give different offsets are raised; two that give the same are not."""
        with pytest.raises(MetadataError, match=r"two processing baselines.*02.14.*05.11"):
            offset_of({BASELINE: "02.14", "processing:version": "05.11"})
        assert offset_of({BASELINE: "05.09", "processing:version": "05.11"}) == -0.1

    def test_rule_of_the_product(self):
        """Landsat has one scale and offset per quantity; the asset may declare both, or the half that agrees."""

        def found(band, scale=None, offset=None):
            rule = resolve_radiometry(LANDSAT, {}, scale=scale, offset=offset, where="LC08/x", band=LANDSAT.layer(band))
            return rule.scale, rule.offset

        assert found("red") == found("red", scale=2.75e-5) == found("red", offset=-0.2) == (2.75e-5, -0.2)
        assert found("lwir11") == (0.00341802, 149.0)
        assert found("red", scale=1e-4, offset=0) == (1e-4, 0.0)
        for half in ({"scale": 1e-4}, {"offset": 0.0}):
            with pytest.raises(MetadataError, match=r"one of scale and offset.*LC08/x"):
                found("red", **half)
        assert found("qa_pixel", scale=2.0, offset=1.0) == (1.0, 0.0)
        assert found("st_qa") == (0.01, 0.0)
        assert found("st_qa", scale=0.5) == (0.5, 0.0)

    def test_no_sensor(self):
        """Without a sensor: what is declared, else the numbers as they are, and the record says so."""
        assert resolve_radiometry(None, {}, scale=0.5, offset=None, where="x").offset == 0
        silent = resolve_radiometry(None, {BASELINE: "05.09"}, scale=None, offset=None, where="x")
        assert (silent.scale, silent.offset, silent.reason) == (1, 0, "nothing declared: numbers as they are")

    @given(
        st.dictionaries(
            st.sampled_from([BASELINE, APPLIED]), st.sampled_from([True, False, None, "05.09", "02.14", "x", 7])
        ),
        st.sampled_from([None, 0.0, -0.1, -1000.0]),
    )
    def test_answer_is_one_of_two_or_an_error(self, properties, offset):
        """Whatever an item says, reflectance has the offset 0 or -0.1 where a baseline is known, or is refused."""
        try:
            found = offset_of(properties, offset=offset)
        except MetadataError:
            return
        if isinstance(properties.get(BASELINE), str):
            assert found in (0.0, -0.1)
        if properties.get(APPLIED) is True:
            assert found == 0.0
