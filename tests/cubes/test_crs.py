"""Coordinate reference systems: names, and boxes that stay whole or are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from terracube.core.errors import InputError
from terracube.cubes.crs import check_bbox, full_turn, project_bbox, to_crs_text, transform_points

LONLAT = "EPSG:4326"
LOCAL = 'LOCAL_CS["my field",UNIT["metre",1]]'


class TestNames:
    @pytest.mark.parametrize("crs", [32633, "epsg:32633", "EPSG:32633", CRS(32633), CRS(32633).to_wkt()])
    def test_one_text_for_one_crs(self, crs):
        """Number, code, object and WKT give the same code."""
        assert to_crs_text(crs) == "EPSG:32633"

    def test_a_crs_without_code_keeps_its_text(self):
        """A CRS of one's own is given as WKT, which gives itself again."""
        text = to_crs_text("+proj=laea +lat_0=46.3 +lon_0=14.7 +datum=WGS84 +units=m")
        assert text.startswith("PROJCRS")
        assert to_crs_text(text) == text

    @pytest.mark.parametrize(
        "crs", ["", "EPSG:999999", "north", None, [], {}, 3.5, "EPSG:5773", "EPSG:4978", "\0", LOCAL]
    )
    def test_no_crs(self, crs):
        """What PROJ does not know, heights, geocentric and local systems, are refused."""
        with pytest.raises(InputError, match="CRS"):
            to_crs_text(crs)

    def test_full_turn(self):
        """A turn is 360 degrees or 400 grads; projected systems have none."""
        assert full_turn(LONLAT) == 360.0
        assert full_turn("EPSG:4807") == pytest.approx(400.0, rel=1e-15)
        assert full_turn("EPSG:3857") is None


class TestPoints:
    def test_known_place(self):
        """On the central meridian of UTM zone 33 the easting is 500 000 m; on the equator the northing is 0."""
        x, y = transform_points(LONLAT, "EPSG:32633", np.array([15.0]), np.array([0.0]))
        assert (x[0], y[0]) == pytest.approx((500000.0, 0.0), abs=1e-6)

    def test_points_beyond_become_infinite(self):
        """A point that has no image is infinite, and does not disturb its neighbours."""
        x, y = transform_points("EPSG:3035", LONLAT, np.array([4321000.0, 1e9]), np.array([3210000.0, 1e9]))
        assert (x[0], y[0]) == pytest.approx((10.0, 52.0), abs=1e-9)
        assert math.isinf(x[1])
        assert math.isinf(y[1])

    def test_no_way_between_planets(self):
        """A CRS of the moon is refused with a sentence, not with an error of the library."""
        with pytest.raises(InputError, match="cannot be projected"):
            transform_points("IAU_2015:30100", LONLAT, np.zeros(1), np.zeros(1))


class TestCheck:
    @pytest.mark.parametrize(
        "bbox", [(14, 45, 16, 47), (179, -17, -179, -16), (-180, -90, 180, 90), [14.0, 45, 16, 47]]
    )
    def test_accepted(self, bbox):
        """Boxes that hold an area are given back, also across the antimeridian and around the globe."""
        assert check_bbox(bbox) == tuple(bbox)

    @pytest.mark.parametrize(
        ("bbox", "message"),
        [
            ((14, 45, 14, 47), "empty or inverted"),
            ((14, 45, 16, 45), "empty or inverted"),
            ((14, 47, 16, 45), "empty or inverted"),
            ((14, 45, 16, 91), "leaves the globe"),
            ((-181, 45, 16, 47), "leaves the globe"),
            ((14, 45, 16, math.nan), "four finite"),
            ((14, -math.inf, 16, 47), "four finite"),
            ((14, 45, 16), "four finite"),
            ((14, 45, 0, 16, 47, 100), "four finite"),
            ((14, 45, 16, "x"), "four finite"),
            ((14, 45, 16, None), "four finite"),
            ((), "four finite"),
        ],
    )
    def test_refused(self, bbox, message):
        """Empty, inverted, beyond the globe, not finite, or not four numbers: refused, each by name."""
        with pytest.raises(InputError, match=message):
            check_bbox(bbox)

    def test_a_projected_box_cannot_cross_a_seam(self):
        """West greater than east means the antimeridian in degrees only."""
        with pytest.raises(InputError, match="inverted"):
            check_bbox((600000, 0, 500000, 1), "EPSG:32633")
        with pytest.raises(InputError, match="unknown CRS"):
            check_bbox((0, 0, 1, 1), "EPSG:999999")


SMALL = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h),
    st.floats(-9, 29),
    st.floats(36, 65),
    st.floats(0.001, 5),
    st.floats(0.001, 5),
)


class TestProject:
    @settings(max_examples=40)
    @example((7.3, 50.0, 14.9, 52.0), "EPSG:3035")  # the southernmost point lies between two corners
    @example((12.2, 50.0, 19.1, 51.0), "EPSG:32633")
    @example((-50.1, 60.0, -37.3, 70.0), "EPSG:3413")
    @given(SMALL, st.sampled_from(["EPSG:3035", "EPSG:32633", "EPSG:3857", "EPSG:3413", "ESRI:54009"]))
    def test_holds_every_point_of_the_box(self, bbox, target):
        """Every point of the box and of its edges lies inside, to ten centimetres, and each side is touched."""
        box = project_bbox(bbox, LONLAT, target)
        t = np.linspace(0, 1, 3001)
        x, y = bbox[0] + (bbox[2] - bbox[0]) * t, bbox[1] + (bbox[3] - bbox[1]) * t
        lines = [(x, np.full_like(t, v)) for v in (bbox[1], bbox[3], np.mean(bbox[1::2]))]
        lines += [(np.full_like(t, v), y) for v in (bbox[0], bbox[2], np.mean(bbox[::2]))]
        lon, lat = (np.concatenate([line[axis] for line in lines]) for axis in (0, 1))
        px, py = Transformer.from_crs(LONLAT, target, always_xy=True).transform(lon, lat)
        assert px.min() == pytest.approx(box.left, abs=0.1)
        assert px.max() == pytest.approx(box.right, abs=0.1)
        assert py.min() == pytest.approx(box.bottom, abs=0.1)
        assert py.max() == pytest.approx(box.top, abs=0.1)

    def test_same_crs_is_left_alone(self):
        """A box in its own CRS is the same box; across the antimeridian the east counts on."""
        assert project_bbox((14, 45, 16, 47), LONLAT, LONLAT) == (14, 45, 16, 47)
        assert project_bbox((179, -17, -179, -16), LONLAT, LONLAT) == (179, -17, 181, -16)

    @pytest.mark.parametrize("target", ["EPSG:32701", "EPSG:32760", "EPSG:3832"])
    def test_across_the_antimeridian(self, target):
        """A box of two degrees across 180 is as wide as two degrees on the ground, not as the globe."""
        box = project_bbox((179, -17, -179, -16), LONLAT, target)
        wide = Geod(ellps="WGS84").line_length([179, 181], [-16, -16])
        assert box.right - box.left == pytest.approx(wide, rel=0.06)  # Mercator stretches by 1 / cos(16 degrees)

    @pytest.mark.parametrize(
        "bbox", [(179, -17, -179, -16), (179.99, -17, -170, -16), (170, -17, -179.9999, -16), (0, -17, -1, -16)]
    )
    def test_torn_at_the_seam(self, bbox):
        """Web Mercator cuts such a box in two: refused, with what to do instead."""
        with pytest.raises(InputError, match=r"seam.*choose a CRS"):
            project_bbox(bbox, LONLAT, "EPSG:3857")

    def test_the_whole_globe_is_not_torn(self):
        """From -180 to 180 Web Mercator is whole: its sides are the seam itself."""
        box = project_bbox((-180, -80, 180, 80), LONLAT, "EPSG:3857")
        assert box.right == -box.left == pytest.approx(math.pi * 6378137)

    @pytest.mark.parametrize(("target", "south", "north"), [("EPSG:3413", 60, 90), ("EPSG:3031", -90, -60)])
    def test_a_pole_inside(self, target, south, north):
        """A cap around a pole is a square around the origin of the polar system."""
        box = project_bbox((-180, south, 180, north), LONLAT, target)
        assert box.left == pytest.approx(-box.right)
        assert box.bottom == pytest.approx(-box.top)
        assert 3.2e6 < box.right < 3.4e6

    @pytest.mark.parametrize(
        ("bbox", "target"),
        [
            ((-180, 60, 180, 90), "EPSG:3857"),  # Mercator has no pole
            ((-180, -90, 180, 90), "EPSG:3035"),  # the globe does not fit in Europe
            ((-180, -80, 180, 80), "EPSG:32633"),
            ((-170, 10, -169, 11), "EPSG:32633"),  # beyond the pole, where coordinates repeat
            ((100, 10, 101, 11), "EPSG:32633"),
            ((130, -30, 131, -29), "EPSG:3035"),  # Australia in the European system
            ((15, -60, 16, -59), "EPSG:3413"),
            ((-3e6, -3e6, 3e6, 3e6), "EPSG:4326"),  # around the pole, from metres (below)
        ],
    )
    def test_outside_or_not_in_one_piece(self, bbox, target):
        """What a CRS does not hold is an error, not a grid in the wrong place."""
        source = "EPSG:3413" if abs(bbox[0]) > 360 else LONLAT
        with pytest.raises(InputError, match=r"outside the area|seam"):
            project_bbox(bbox, source, target)

    @pytest.mark.parametrize("bbox", [(15, -34, 16, -33), (23, 46, 24, 47), (-15, 45, -14, 46)])
    def test_beside_the_area_of_use(self, bbox):
        """A northern zone reaches south of the equator and over its neighbours, as delivered scenes do."""
        box = project_bbox(bbox, LONLAT, "EPSG:32633")
        assert box.right > box.left
