"""The embedded store finds what a loop over all items finds, whatever the items and whatever the question."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terracube.core.errors import ConflictError
from terracube.stac import Filter, Query
from terracube.stac.query import BBox
from terracube.stac.records import Document, Record, dump, index
from terracube.stac.stores import SqliteStore
from terracube.stac.stores._sql import _IN_BOX, BOXES_PER_ITEM

START = datetime(2020, 1, 1, tzinfo=UTC)
# Few values, so that edges often meet exactly.
LON = st.sampled_from([-180.0, -179.5, -90.0, 0.0, 0.1, 90.0, 179.5, 180.0]) | st.floats(-180, 180)
LAT = st.sampled_from([-90.0, -10.0, 0.0, 0.1, 45.0, 90.0]) | st.floats(-90, 90)
HOURS = st.integers(0, 50) | st.sampled_from([24 * 365])
MOMENTS = HOURS.map(lambda hours: START + timedelta(hours=hours))


@st.composite
def bboxes(draw: st.DrawFn) -> BBox:
    """Boxes that are not empty; some cross the antimeridian."""
    west, east = draw(st.tuples(LON, LON).filter(lambda pair: pair[0] != pair[1]))
    south, north = sorted(draw(st.tuples(LAT, LAT).filter(lambda pair: pair[0] != pair[1])))
    return west, south, east, north


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Items of a few ids and collections, some without a place."""
    start = draw(MOMENTS)
    end = start + timedelta(hours=draw(HOURS))
    bbox = draw(st.none() | bboxes())
    properties: dict[str, Any] = {"start_datetime": start.isoformat(), "end_datetime": end.isoformat()}
    value = draw(st.none() | st.integers(-2, 2) | st.sampled_from(["a", "b", "2", True, False, [1]]))
    place = {} if bbox is None else {"bbox": list(bbox), "geometry": {"type": "Polygon"}}
    return {
        "type": "Feature",
        "id": draw(st.sampled_from("ABCDEF")),
        "collection": draw(st.sampled_from("xy")),
        "properties": properties if value is None else {**properties, "v": value},
        "links": [],
        "assets": {},
        **place,
    }


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """Any question about such items."""
    start, end = draw(st.tuples(st.none() | MOMENTS, st.none() | MOMENTS))
    if start is not None and end is not None and start > end:
        start, end = end, start
    operator = st.sampled_from(["<", "<=", ">", ">=", "=", "!="])
    value = st.sampled_from([0.0, 1.0, "a", "2"])
    filters = draw(st.lists(st.builds(Filter, st.just("v"), operator, value), max_size=2))
    return Query(
        collections=tuple(draw(st.sets(st.sampled_from("xyz"), max_size=2))),
        bbox=draw(st.none() | bboxes()),
        start=start,
        end=end,
        ids=tuple(draw(st.sets(st.sampled_from("ABCZ"), max_size=3))),
        filters=tuple(filters),
        limit=draw(st.none() | st.integers(1, 3)),
    )


def touches(box: BBox, other: BBox) -> bool:
    """Tell whether two boxes touch, each perhaps across the antimeridian."""

    def spans(west: float, east: float) -> list[tuple[float, float]]:
        return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]

    meet = any(a <= d and c <= b for a, b in spans(box[0], box[2]) for c, d in spans(other[0], other[2]))
    return meet and box[1] <= other[3] and other[1] <= box[3]


def compares(value: Any, one: Filter) -> bool:
    """Tell whether a value of an item passes a filter."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if not (number if isinstance(one.value, float) else isinstance(value, str)):
        return False
    wanted: Any = one.value
    return {
        "<": value < wanted,
        "<=": value <= wanted,
        ">": value > wanted,
        ">=": value >= wanted,
        "=": value == wanted,
        "!=": value != wanted,
    }[one.operator]


def matches(item: Document, query: Query) -> bool:
    """Tell whether an item matches, the slow way."""
    start, end = (datetime.fromisoformat(item["properties"][f"{name}_datetime"]) for name in ("start", "end"))
    return (
        (not query.collections or item["collection"] in query.collections)
        and (not query.ids or item["id"] in query.ids)
        and (query.start is None or end >= query.start)
        and (query.end is None or start <= query.end)
        and (query.bbox is None or ("bbox" in item and touches(tuple(item["bbox"]), query.bbox)))
        and all("v" in item["properties"] and compares(item["properties"]["v"], one) for one in query.filters)
    )


def put(store: SqliteStore, items: list[Document]) -> None:
    """Register items; a later one replaces an earlier one of its collection and id."""
    with store.write() as transaction:
        transaction.clear()
        for item in items:
            record = Record(item["collection"], item["id"], item["id"], dump(item, where=""))
            transaction.put(record, index(item, folder=record.folder))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SqliteStore:
    """A store that is filled anew for each example."""
    made = SqliteStore(tmp_path_factory.mktemp("store") / "catalog.sqlite")
    made.initialise("t")
    return made


@settings(deadline=None, max_examples=40)
@given(st.lists(documents(), max_size=12), st.lists(queries(), min_size=1, max_size=6))
def test_the_store_finds_what_a_loop_finds(store: SqliteStore, items: list[Document], asked: list[Query]) -> None:
    """The same items, in order of time, id and collection; the count is of all."""
    put(store, items)
    latest = {(item["collection"], item["id"]): item for item in items}
    for query in asked:
        found = [item for item in latest.values() if matches(item, query)]
        order = [
            (datetime.fromisoformat(item["properties"]["start_datetime"]), item["id"], item["collection"])
            for item in found
        ]
        expected = [(name, collection) for _, name, collection in sorted(order)]
        assert [(record.id, record.collection) for record in store.search(query)] == expected[: query.limit]
        assert store.count(query) == len(expected)


def test_edges_next_to_zero_touch(store: SqliteStore) -> None:
    """Of boxes and searches whose edges are nearer to zero than 32-bit floats reach."""
    period = {"start_datetime": "2020-01-01T00:00:00+00:00", "end_datetime": "2020-01-02T00:00:00+00:00"}
    for box, asked in (
        ((-180.0, -8e-204, -179.5, 0.0), (-180.0, -90.0, -179.5, -2e-211)),
        ((-1.0, -1.0, 1.0, 8e-204), (-1.0, 2e-211, 1.0, 1.0)),
        ((-8e-204, -1.0, 1.0, 1.0), (-1.0, -1.0, -2e-211, 1.0)),
        ((-1.0, -1.0, 8e-204, 1.0), (2e-211, -1.0, 1.0, 1.0)),
    ):
        item = {"type": "Feature", "id": "A", "collection": "x", "properties": period, "links": [], "assets": {}}
        put(store, [item | {"bbox": list(box), "geometry": {"type": "Polygon"}}])
        assert store.count(Query(bbox=asked)) == 1, (box, asked)
        assert store.count(Query(bbox=(asked[0], 2.0, asked[2], 3.0))) == 0


def test_an_item_of_many_parts_has_a_box_for_each(store: SqliteStore) -> None:
    """Islands far apart are not found in the sea between them; replacing the item takes all its boxes away."""
    ring = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    parts = [[[[x + 10.0 * n, y] for x, y in ring]] for n in range(16)]
    item: Document = {
        "id": "A",
        "collection": "x",
        "bbox": [0.0, 0.0, 151.0, 1.0],
        "geometry": {"type": "MultiPolygon", "coordinates": parts},
        "properties": {"datetime": "2020-01-01T00:00:00Z"},
        "links": [],
    }
    put(store, [item])
    assert store.count(Query(bbox=(150.0, 0.0, 150.5, 1.0))) == 1
    assert store.count(Query(bbox=(5.0, 0.0, 6.0, 1.0))) == 0
    with store.write() as transaction:
        transaction.delete("x", "A")
        assert transaction.extent("x") == (None, None)


def test_keys_of_boxes_agree(store: SqliteStore) -> None:
    """The statement and the constant say the same."""
    assert f"box / {BOXES_PER_ITEM} " in _IN_BOX


def test_a_block_that_fails_changes_nothing(store: SqliteStore) -> None:
    """All or nothing; and one folder belongs to one item."""
    item: Document = {"id": "A", "collection": "x", "properties": {"datetime": "2020-01-01T00:00:00Z"}, "links": []}
    put(store, [item])
    other = {**item, "id": "B"}

    def claim() -> None:
        with store.write() as transaction:
            transaction.delete("x", "A")
            for document in (item, other):
                record = Record("x", document["id"], "same", dump(document, where=""))
                transaction.put(record, index(document, folder="same"))

    with pytest.raises(ConflictError):
        claim()
    assert [record.folder for record in store.search(Query())] == ["A"]


def test_tables_are_made_once(tmp_path: Path) -> None:
    """Initialising again, also with another title, changes nothing."""
    store = SqliteStore(tmp_path / "catalog.sqlite")
    for title in ("one", "two"):
        store.initialise(title)
    with store.read() as transaction:
        assert transaction.title() == "one"
