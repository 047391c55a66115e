"""What a cube will be: steps of time, order of scenes, types, and a digest of all that decides values."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from terracube.core.errors import EmptyResultError, InputError, MetadataError
from terracube.cubes import CubeSpec, SceneSet, plan_cube, read_scenes
from terracube.cubes.manifest import freeze, thaw
from terracube.cubes.plan import mask_classes

NUMBERS = np.array([[1, 2], [3, 4]], "uint16")
CLASSES = np.array([[4, 4], [9, 0]], "uint8")


@pytest.fixture
def scene(make_scene):
    """Make a scene of one band and classes, at a minute of a day, with properties."""

    def make(name, when="2023-08-15T10:00:00Z", *, numbers=NUMBERS, nodata=0, **properties):
        layers = {"red": numbers, "scl": CLASSES}
        return make_scene(name, layers, when=when, properties=properties, nodata=nodata)

    return make


def plan_of(items, *, mask="clear", **options):
    """Plan a cube of one band on the pixels of its first scene."""
    found = read_scenes(items, ["red"], mask=mask is not None)
    return plan_cube(found, CubeSpec(("red",), mask, **options), found.scenes[0].bands["red"].grid)


def ids(plan):
    """Ids of the scenes of each step."""
    return [[one.id for one in group] for group in plan.groups]


class TestSteps:
    def test_solar_days(self, scene):
        """Scenes of one day are one step, by time and then id, however they come."""
        items = [scene("b"), scene("a"), scene("c", "2023-08-16T10:00:00Z"), scene("z", "2023-08-15T09:00:00Z")]
        assert ids(plan_of(items)) == ids(plan_of(items[::-1])) == [["z", "a", "b"], ["c"]]

    def test_moments(self, scene):
        """Only scenes of the same moment share a step; without grouping none does."""
        items = [scene("b"), scene("a"), scene("z", "2023-08-15T09:00:00Z")]
        assert ids(plan_of(items, groupby="time")) == [["z"], ["a", "b"]]
        assert ids(plan_of(items, groupby=None)) == ids(plan_of(items, groupby="scene")) == [["z"], ["a"], ["b"]]

    def test_property(self, scene):
        """Scenes that share a property are one step, in the order of their first scenes."""
        items = [scene("a", orbit=2), scene("b", orbit=1), scene("c", "2023-08-17T10:00:00Z", orbit=2)]
        assert ids(plan_of(items, groupby="orbit")) == [["a", "c"], ["b"]]

    def test_property_that_is_lacking(self, scene):
        """An item without the property is named."""
        with pytest.raises(MetadataError, match="orbit") as error:
            plan_of([scene("a", orbit=1), scene("b")], groupby="orbit")
        assert error.value.where == "b"


class TestOrder:
    @pytest.mark.parametrize(
        ("mosaic", "wanted"),
        [
            ("first", ["a", "b", "c"]),
            ("min_cloud", ["b", "c", "a"]),
            ("max_cloud", ["a", "c", "b"]),
            ("nearest-in-view", ["c", "a", "b"]),
            (lambda scenes: scenes[::-1], ["c", "b", "a"]),
        ],
    )
    def test_rules(self, scene, mosaic, wanted):
        """The scenes of a step are asked in the order of the rule."""
        told = {"a": (30, 4.0), "b": (10, -9.0), "c": (20, -1.0)}
        items = [scene(name, **{"eo:cloud_cover": c, "view:off_nadir": v}) for name, (c, v) in told.items()]
        assert ids(plan_of(items, mosaic=mosaic)) == [wanted]

    def test_unknown_or_unusable(self, scene):
        """An unknown rule, a property that is missing or no number, and scenes from elsewhere are refused."""
        items = [scene("a", **{"eo:cloud_cover": 1.0}), scene("b", **{"eo:cloud_cover": "low"}), scene("c")]
        with pytest.raises(InputError, match="mosaic"):
            plan_of(items, mosaic="best")
        with pytest.raises(MetadataError, match="no number"):
            plan_of(items[:2], mosaic="min_cloud")
        with pytest.raises(MetadataError, match="eo:cloud_cover"):
            plan_of([items[0], items[2]], mosaic="min_cloud")
        other = read_scenes([items[2]], ["red"]).scenes
        with pytest.raises(InputError, match="something else"):
            plan_of(items[:2], mosaic=lambda scenes: other)


class TestTypes:
    def test_physical(self, scene):
        """Measurements become float32 with NaN."""
        (band,) = plan_of([scene("a")]).bands
        assert (band.dtype, band.scaled, band.method) == ("float32", True, "nearest")
        assert math.isnan(band.fill)

    def test_numbers_keep_their_type(self, scene):
        """Numbers of files keep type and nodata where all scenes agree."""
        (band,) = plan_of([scene("a"), scene("b")], radiometry="dn").bands
        assert (band.dtype, band.fill, band.scaled) == ("uint16", 0, False)

    def test_nodata_that_differs(self, scene, make_scene):
        """Where scenes disagree on nodata, only NaN can say that nothing was seen."""
        items = [scene("a"), make_scene("b", {"red": NUMBERS, "scl": CLASSES}, nodata=9, asset={})]
        (band,) = plan_of(items, mask=None, radiometry="dn").bands
        assert band.dtype == "float32"
        assert math.isnan(band.fill)

    def test_classes(self, scene):
        """Classes are never scaled or blended: a general wish passes them by, a wish for them is refused."""
        found = read_scenes([scene("a")], ["red", "scl"])
        grid = found.scenes[0].bands["red"].grid
        spec = CubeSpec(("red", "scl"), None, resampling=(("*", "bilinear"),))
        red, scl = plan_cube(found, spec, grid).bands
        assert (red.method, scl.method, scl.dtype, scl.scaled) == ("bilinear", "nearest", "uint8", False)
        with pytest.raises(InputError, match="blended"):
            plan_cube(found, CubeSpec(("red", "scl"), None, resampling=(("scl", "cubic"),)), grid)


class TestRefusals:
    @pytest.mark.parametrize(
        "options",
        [
            {"radiometry": "reflectance"},
            {"overviews": "always"},
            {"on_error": "ignore"},
            {"resampling": (("*", "lanczos"),)},
            {"resampling": (("blue", "nearest"),)},
        ],
    )
    def test_unknown_options(self, scene, options):
        """What is unknown is refused, with what there is."""
        with pytest.raises(InputError):
            plan_of([scene("a")], **options)

    def test_nothing(self):
        """Without a scene there is no cube."""
        with pytest.raises(EmptyResultError):
            plan_cube(SceneSet(()), CubeSpec(("red",), None), None)

    def test_no_bands_or_twice(self, scene):
        """Bands must be there, and differ."""
        found = read_scenes([scene("a")], ["red"])
        grid = found.scenes[0].bands["red"].grid
        for bands in ((), ("red", "red")):
            with pytest.raises(InputError, match="different bands"):
                plan_cube(found, CubeSpec(bands, None), grid)


class TestTravel:
    def test_there_and_back(self, scene):
        """A plan that was sent to a worker reads the same: scenes, types, rules, key."""
        plan = plan_of([scene("a"), scene("b", "2023-08-16T10:00:00Z")])
        again = pickle.loads(pickle.dumps(plan))
        assert again.digest == plan.digest
        assert (again.spec, again.grid, again.dates, again.bands, again.rules) == (
            plan.spec, plan.grid, plan.dates, plan.bands, plan.rules,
        )  # fmt: skip
        assert [[s.bands for s in g] for g in again.groups] == [[s.bands for s in g] for g in plan.groups]
        assert pickle.loads(pickle.dumps(again)).digest == plan.digest

    def test_numbers_survive(self, scene):
        """NaN, infinity and the last bit of a scale travel unharmed."""
        from dataclasses import replace

        (group,) = plan_of([scene("a")]).groups
        odd = replace(group[0].bands["red"], nodata=math.nan, scale=0.1 + 0.2, offset=-math.inf)
        ((back,),) = thaw(freeze([[replace(group[0], bands={"red": odd})]]))
        assert math.isnan(back.bands["red"].nodata)
        assert (back.bands["red"].scale, back.bands["red"].offset) == (0.1 + 0.2, -math.inf)

    def test_digest_follows_what_decides(self, scene):
        """The digest changes with the rule, the type or the scenes, and with nothing else."""
        items = [scene("a"), scene("b")]
        base = plan_of(items).digest
        assert plan_of(items[::-1]).digest == base
        others = [plan_of(items, **o).digest for o in ({"mask": None}, {"radiometry": "dn"}, {"groupby": None})]
        others += [plan_of(items, mask=(0, 3)).digest, plan_of(items[:1]).digest]
        functions = [plan_of(items, mask=lambda v: v == 4).digest, plan_of(items, mask=lambda v: v == 5).digest]
        assert len({base, *others, *functions}) == 8


def test_mask_classes(scene):
    """A rule of classes is settled as numbers; "no data" is always among them."""
    found = read_scenes([scene("a")], ["red"])
    assert mask_classes(found, "clear") == (0, 1, 3, 8, 9, 10)
    assert mask_classes(found, (3,)) == (0, 3)
    assert mask_classes(found, None) is None
    with pytest.raises(InputError):
        mask_classes(found, (300,))
    with pytest.raises(InputError):
        mask_classes(found, "sunny")
