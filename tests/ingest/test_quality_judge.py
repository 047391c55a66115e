"""Thresholds and verdicts: what is said is what was asked, and a bad threshold is told at the door."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.core.errors import InputError, TerraCubeError
from terracube.ingest.quality import Limit, Measure, judge, read_rules
from terracube.ingest.quality.judge import told
from terracube.ingest.sources import load_source, source_names

CLOUDS = {"cloud_cover": {"suspect_above": 80, "reject_above": 99}}
VALID = {"valid_fraction": {"suspect_below": 0.2, "reject_below": 0.001}}


class TestJudge:
    @pytest.mark.parametrize(
        ("cover", "verdict"),
        [(0.0, "accepted"), (80.0, "accepted"), (80.1, "suspect"), (99.0, "suspect"), (99.5, "rejected")],
    )
    def test_too_much(self, cover, verdict):
        """A limit itself is still good; what lies beyond is not."""
        assert judge({"cloud_cover": Measure(cover)}, read_rules(CLOUDS)).verdict == verdict

    @pytest.mark.parametrize(("share", "verdict"), [(0.0005, "rejected"), (0.1, "suspect"), (0.2, "accepted")])
    def test_too_little(self, share, verdict):
        """The same where less is worse."""
        assert judge({"valid_fraction": Measure(share, "red")}, read_rules(VALID)).verdict == verdict

    def test_reasons(self):
        """Each reason tells the number, the band and the limit; the gravest comes first."""
        measures = {"cloud_cover": Measure(93.04), "valid_fraction": Measure(0.0004, "red")}
        found = judge(measures, read_rules({**CLOUDS, **VALID}))
        assert found.verdict == "rejected"
        assert found.reasons == (
            "pixels with a value: 0.04 % (red), less than 0.1 %",
            "cloud cover: 93 %, more than 80 %",
        )

    def test_nothing_valid(self):
        """Without any value a scene is rejected, once, whatever its source says."""
        for rules in ({}, VALID):
            found = judge({"valid_fraction": Measure(0.0)}, read_rules(rules))
            assert (found.verdict, found.reasons) == ("rejected", ("no pixel holds a value",))

    def test_not_measured(self):
        """What was not measured counts neither for nor against, and is named."""
        found = judge({"valid_fraction": Measure(1.0), "cloud_cover": Measure(None)}, read_rules({**CLOUDS, **VALID}))
        assert (found.verdict, found.not_measured) == ("accepted", ("cloud_cover",))

    @pytest.mark.parametrize("measures", [{}, {"cloud_cover": Measure(None)}])
    def test_nothing_measured(self, measures):
        """If nothing could be measured that has a threshold, the scene is not good."""
        assert judge(measures, read_rules(CLOUDS)).verdict == "suspect"

    def test_no_thresholds(self):
        """A source that expects nothing accepts what has pixels."""
        assert judge({"valid_fraction": Measure(0.1)}, read_rules({})).verdict == "accepted"

    def test_what_else_was_found(self):
        """Findings of other kinds count as reasons."""
        found = judge({}, read_rules({}), [("suspect", "odd pixels"), ("rejected", "not on the globe")])
        assert (found.verdict, found.reasons) == ("rejected", ("not on the globe", "odd pixels"))

    @given(st.floats(0, 100), st.floats(0, 100))
    def test_more_cloud_is_never_better(self, one, other):
        """The verdict never gets better with more cloud."""
        order = ["accepted", "suspect", "rejected"]
        low, high = sorted((one, other))
        rules = read_rules(CLOUDS)
        verdicts = [order.index(judge({"cloud_cover": Measure(cover)}, rules).verdict) for cover in (low, high)]
        assert verdicts[0] <= verdicts[1]

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("valid_fraction", 1.0, "100 %"),
            ("registration_shift", 1.0, "1 pixel"),
            ("registration_shift", 0.25, "0.25 pixels"),
            ("cloud_cover", None, "not measured"),
        ],
    )
    def test_numbers_in_words(self, name, value, expected):
        """Numbers are written with their unit, a missing one in words."""
        assert told(name, value) == expected


class TestRules:
    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            ({"clouds": {"suspect_above": 1}}, "no such measure.*cloud_cover.*clouds"),
            ([], "names and their limits"),
            ({"cloud_cover": 80}, "cloud_cover.*suspect_below"),
            ({"cloud_cover": {}}, "one or more of"),
            ({"cloud_cover": {"warn_above": 3}}, "one or more of"),
            ({"cloud_cover": {"suspect_above": "80"}}, "a number from 0 to 100"),
            ({"cloud_cover": {"suspect_above": True}}, "a number"),
            ({"cloud_cover": {"suspect_above": float("nan")}}, "a number"),
            ({"cloud_cover": {"suspect_above": 101}}, "a number from 0 to 100"),
            ({"valid_fraction": {"suspect_below": 20}}, "a number from 0 to 1"),
            ({"registration_shift": {"suspect_above": -1}}, "a number from 0 to inf"),
            ({"cloud_cover": {"suspect_above": 90, "reject_above": 80}}, "beyond what makes suspect"),
            ({"valid_fraction": {"suspect_below": 0.1, "reject_below": 0.2}}, "beyond what makes suspect"),
            ({"plausible": [1, 0]}, "the lower first"),
            ({"plausible": [0, 1, 2]}, "two numbers"),
            ({"plausible": {"red": 3}}, "plausible, red"),
            ({"plausible": "0 to 1"}, "two numbers"),
            ({"registration": ["red"]}, "two names of bands"),
            ({"registration": ["red", "red"]}, "two names of bands"),
            ({"registration": [1, 2]}, "two names of bands"),
            ({"saturation": 65535}, "layer with bits or classes"),
            ({"saturation": {"layer": "qa"}}, "layer with bits or classes"),
            ({"saturation": {"layer": "qa", "bits": []}}, "whole numbers from 0 to 62"),
            ({"saturation": {"layer": "qa", "bits": [64]}}, "whole numbers from 0 to 62"),
            ({"saturation": {"layer": "qa", "classes": [256]}}, "whole numbers from 0 to 255"),
            ({"saturation": {"value": None}}, "a number"),
            ({"origin": 2}, "a number from 0 to 1"),
            ({"origin": [0, 0, 0]}, "one for x and one for y"),
            ({"pixel_size": 10}, "two numbers"),
        ],
    )
    def test_what_cannot_be_used(self, raw, message):
        """A threshold that means nothing is refused, with its name and what it could be."""
        with pytest.raises(InputError, match=message):
            read_rules(raw, where="sentinel-2-l2a, quality")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda t: (
                st.lists(t)
                | st.dictionaries(
                    st.sampled_from(["cloud_cover", "plausible", "saturation", "suspect_above", "layer", "bits"]), t
                )
            ),
        )
    )
    def test_anything(self, raw):
        """Whatever a description holds, it is understood or refused in our words."""
        with contextlib.suppress(TerraCubeError):
            read_rules(raw)

    def test_all_settings(self):
        """Settings are read as they are written."""
        rules = read_rules(
            {
                **CLOUDS,
                "plausible": {"*": [-0.1, 1.6], "lwir11": [150, 370]},
                "saturation": {"layer": "qa_radsat", "bits": [0, 2]},
                "registration": ["red", "nir"],
                "pixel_size": [10, 60],
                "origin": [0, 0.5],
            }
        )
        assert rules.limits == {"cloud_cover": Limit(suspect_above=80.0, reject_above=99.0)}
        assert rules.plausible == {"*": (-0.1, 1.6), "lwir11": (150.0, 370.0)}
        assert (rules.saturation.layer, rules.saturation.bits) == ("qa_radsat", 0b101)
        assert (rules.registration, rules.pixel_size, rules.origin) == (("red", "nir"), (10.0, 60.0), (0.0, 0.5))

    @pytest.mark.parametrize("name", source_names())
    def test_every_source(self, name):
        """The thresholds of every source can be used, and name its bands."""
        source = load_source(name)
        rules = read_rules(source.thresholds)
        layers = {*(rules.registration or ()), *(key for key in rules.plausible if key != "*")}
        if rules.saturation and rules.saturation.layer:
            layers.add(rules.saturation.layer)
        assert layers <= set(source.bands)
