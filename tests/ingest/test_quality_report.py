"""The report of a collection's quality: true counts, a page that holds nothing foreign, and its command."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pystac
import pytest
from click.testing import CliRunner

from terracube.cli.quality import quality
from terracube.core.errors import NotFoundError, StorageError
from terracube.ingest.quality.report import draw, quality_report
from terracube.stac import describe_collection, to_query

FIRST = datetime(2023, 1, 3, 9, 57, 57, tzinfo=UTC)
SQUARE = {"type": "Polygon", "coordinates": [[[15, 46], [16, 46], [16, 47], [15, 47], [15, 46]]]}
GOOD = {
    "eo:cloud_cover": 12.5,
    "terracube:valid_fraction": 0.99,
    "terracube:registration_shift": 0.2,
    "terracube:quality": "accepted",
    "terracube:quality_reasons": [],
}
CLOUDY = {
    "eo:cloud_cover": 95.0,
    "terracube:valid_fraction": 0.9,
    "terracube:quality": "suspect",
    "terracube:quality_reasons": ["cloud cover: 95 %, more than 80 %"],
    "terracube:quality_not_measured": ["registration_shift"],
}
EMPTY = {
    "terracube:valid_fraction": 0.0,
    "terracube:quality": "rejected",
    "terracube:quality_reasons": ["no pixel holds a value", "<script>alert(1)</script>"],
}


TABLE = {
    "terracube:quality": "suspect",
    "terracube:quality_reasons": ["5 of 12 observations are suspect or failed"],
    "terracube:qc": {"1": 7, "2": 0, "3": 4, "4": 1, "9": 0},
}


def fill(catalog, *properties):
    """Put scenes into a catalogue, five days apart, the last one first."""
    catalog.add_collection(describe_collection("scenes", title="Scenes & <b>more</b>", description="x"))
    with catalog.batch():
        for number, said in reversed(list(enumerate(properties))):
            moment = FIRST + timedelta(days=5 * number)
            item = pystac.Item(f"S{number:03}", SQUARE, [15, 46, 16, 47], moment, dict(said), collection="scenes")
            with catalog.stage(item.id) as folder:
                catalog.publish(item, folder)
    return catalog


class TestReport:
    def test_what_it_holds(self, catalog):
        """Scenes in the order of time, counts by verdict, the worst first, medians of what was measured."""
        report = quality_report(fill(catalog, GOOD, CLOUDY, EMPTY, {}), "scenes")
        assert [scene.id for scene in report.scenes] == ["S000", "S001", "S002", "S003"]
        assert report.counts == {"accepted": 1, "suspect": 1, "rejected": 1, "not judged": 1}
        assert [scene.id for scene in report.worst] == ["S002", "S001"]
        assert report.worst[1].not_measured == ("registration_shift",)
        told = report.as_dict()
        assert told["medians"] == {"valid_fraction": 0.9, "cloud_cover": 53.75, "registration_shift": 0.2}
        assert told["scenes"][0]["acquired"] == "2023-01-03T09:57:57+00:00"
        assert json.loads(json.dumps(told))["counts"]["rejected"] == 1

    def test_what_is_not_believed(self, catalog):
        """What items of elsewhere say in other types counts as not said."""
        odd = {
            "eo:cloud_cover": "much",
            "terracube:valid_fraction": True,
            "terracube:quality": "splendid",
            "terracube:quality_reasons": "none",
            "terracube:quality_not_measured": [{"a": 1}] * 100,
        }
        [scene] = quality_report(fill(catalog, odd), "scenes").scenes
        assert (scene.verdict, scene.reasons, scene.measures) == ("not judged", (), {})
        assert len(scene.not_measured) == 20

    def test_an_unknown_collection(self, catalog):
        """A collection that is not there is an error."""
        with pytest.raises(NotFoundError, match="nowhere"):
            quality_report(catalog, "nowhere")


class _Tags(HTMLParser):
    """Collects the tags and addresses of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


class TestPage:
    def page(self, catalog, path, *properties):
        """Give the page of a collection, and its tags."""
        quality_report(fill(catalog, *properties), "scenes").write_html(path)
        text = path.read_text(encoding="utf-8")
        tags = _Tags()
        tags.feed(text)
        return text, tags

    def test_it_is_whole_and_escaped(self, catalog, tmp_path):
        """One file: the picture is inside, nothing is loaded, no text of an item becomes a tag."""
        text, tags = self.page(catalog, tmp_path / "page.html", GOOD, CLOUDY, EMPTY)
        assert "script" not in tags.tags
        assert "&lt;script&gt;alert(1)" in text
        assert "Scenes &amp; &lt;b&gt;more" in text
        [picture] = tags.addresses
        assert picture.startswith("data:image/svg+xml;base64,")
        drawn = base64.b64decode(picture.partition(",")[2])
        assert b"<svg" in drawn
        assert b"<script" not in drawn

    @pytest.mark.parametrize(
        ("properties", "pictures"),
        [((), 0), (({},), 0), ((GOOD,), 1), ((EMPTY,), 1), ((GOOD,) * 40, 1)],
        ids=["empty", "not judged", "one", "rejected", "many"],
    )
    def test_any_number_of_scenes(self, catalog, tmp_path, properties, pictures):
        """No scene, one, many, with and without numbers: there is a page."""
        text, tags = self.page(catalog, tmp_path / "page.html", *properties)
        assert tags.tags.count("img") == pictures
        assert ("holds no scenes" in text) == (not properties)

    def test_data_sets_of_observations(self, catalog, tmp_path):
        """They have verdicts, reasons and numbers of flags; what pixels have, and what is nought, is left out."""
        good = {**TABLE, "terracube:quality": "accepted", "terracube:quality_reasons": [], "terracube:qc": {"1": 30}}
        text, tags = self.page(catalog, tmp_path / "page.html", TABLE, good)
        report = quality_report(catalog, "scenes")
        assert (report.noun, report.flags["good"], report.as_dict()["flags"]["suspect"]) == ("data set", 37, 4)
        assert tags.tags.count("img") == 0
        shown = re.sub(r"<[^>]*>", " ", text.partition("<main>")[2])
        assert re.search(r"2\s+data sets", shown)
        assert "Data sets to look at" in shown
        assert "5 of 12 observations" in shown
        assert re.search(r"good\s+37\s+suspect\s+4\s+fail\s+1\s+All data sets", shown)
        for absent in ("measured", "Acquired", "Over time", "not evaluated", "missing"):
            assert absent not in shown, absent
        assert not re.search(r"\bscene\b|All scenes|Scenes to", shown)

    def test_flags_that_are_none(self, catalog):
        """What items of elsewhere say of flags in other types counts as not said; scenes stay scenes."""
        odd = [{"terracube:qc": said} for said in ("many", {"1": "x", "3": True, "7": 2}, [1], {"1": float("1e6")})]
        report = quality_report(fill(catalog, *odd, GOOD), "scenes")
        assert [scene.flags for scene in report.scenes] == [{}, {}, {}, {"good": 1000000}, {}]
        assert report.noun == "scene"
        assert "flags" not in report.as_dict()

    def test_the_same_again(self, catalog):
        """Drawn twice, the picture is the same to the byte."""
        report = quality_report(fill(catalog, GOOD, CLOUDY), "scenes")
        assert draw(report) == draw(report)

    def test_a_place_that_cannot_be(self, catalog, tmp_path):
        """A page that cannot be written is a storage error."""
        (tmp_path / "file").touch()
        with pytest.raises(StorageError):
            quality_report(fill(catalog, GOOD), "scenes").write_html(tmp_path / "file" / "page.html")


class TestCommand:
    def call(self, catalog, *arguments):
        """Call the command."""
        return CliRunner().invoke(quality, ["report", "--catalog", str(catalog.root), *arguments])

    def test_text(self, catalog, tmp_path):
        """Counts, the scenes to look at, and where the page is."""
        fill(catalog, GOOD, CLOUDY)
        done = self.call(catalog, "--collection", "scenes", "--out", str(tmp_path / "page.html"))
        assert done.exit_code == 0
        assert "scenes: 2 scenes: 1 accepted, 1 suspect" in done.stdout
        assert re.search(r"suspect +S001\n +cloud cover: 95 %", done.stdout)
        assert (tmp_path / "page.html").is_file()

    def test_json(self, catalog):
        """One JSON document."""
        fill(catalog, GOOD)
        assert json.loads(self.call(catalog, "--collection", "scenes", "--json").stdout)["counts"]["accepted"] == 1

    def test_nothing(self, catalog):
        """An empty collection is nothing to report; an unknown one is refused."""
        fill(catalog)
        assert self.call(catalog, "--collection", "scenes").exit_code == 4
        assert self.call(catalog, "--collection", "nowhere").exit_code == 2


def test_found_in_the_catalogue(catalog):
    """Scenes are found by their quality."""
    fill(catalog, GOOD, CLOUDY)
    found = catalog.search(to_query(collections="scenes", filters=['terracube:quality="accepted"']))
    assert [item.id for item in found] == ["S000"]
