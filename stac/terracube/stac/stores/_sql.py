"""SQL of the embedded store: its tables, and the one translation of a search. Values only ever enter as parameters."""

from __future__ import annotations

import json

from terracube.stac._time import sortable
from terracube.stac.query import BBox, Filter, Query, split_bbox

# R*Tree coordinates are 32-bit and rounded outwards, so boxes holds each edge a second time, exact.
# pending: files that must follow the tables, kept here so that they do so even after a crash between the two.
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE collections (id TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE items (
    item INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    folder TEXT NOT NULL,
    digest TEXT NOT NULL,
    start_at TEXT NOT NULL,
    end_at TEXT NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (collection, id),
    UNIQUE (collection, folder)
);
CREATE INDEX items_by_start ON items (start_at, id, collection);
CREATE INDEX items_by_end ON items (end_at);
CREATE INDEX items_by_id ON items (id);
CREATE VIRTUAL TABLE boxes USING rtree (
    box, west, east, south, north, +item INTEGER, +w REAL, +e REAL, +s REAL, +n REAL
);
CREATE TABLE item_boxes (item INTEGER NOT NULL, box INTEGER PRIMARY KEY);
CREATE INDEX item_boxes_by_item ON item_boxes (item);
CREATE TABLE links (item INTEGER NOT NULL, rel TEXT NOT NULL, target TEXT NOT NULL);
CREATE INDEX links_by_target ON links (target);
CREATE INDEX links_by_item ON links (item);
CREATE TABLE pending (kind TEXT NOT NULL, collection TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (kind, collection, name)) WITHOUT ROWID;
"""

_IN_BOX = """SELECT item FROM boxes
    WHERE west <= ? AND east >= ? AND south <= ? AND north >= ? AND w <= ? AND e >= ? AND s <= ? AND n >= ?"""

# Listed one by one, so that no text of a user becomes part of a statement.
_COMPARE = {
    "<": "json_extract(document, ?) < ?",
    "<=": "json_extract(document, ?) <= ?",
    ">": "json_extract(document, ?) > ?",
    ">=": "json_extract(document, ?) >= ?",
    "=": "json_extract(document, ?) = ?",
    "!=": "json_extract(document, ?) <> ?",
}

# SQLite orders values of different types; here they do not compare.
_IS_BOOLEAN = "json_type(document, ?) IN ('true', 'false') AND "
_IS_TEXT = "json_type(document, ?) = 'text' AND "
_IS_NUMBER = "json_type(document, ?) IN ('integer', 'real') AND "

Parameters = list[str | int | float]


def where(query: Query) -> tuple[str, Parameters]:
    """Translate a search into a WHERE clause over ``items`` and its parameters."""
    clauses: list[tuple[str, Parameters]] = [("1", [])]
    # One parameter however many ids there are: SQLite limits the number of parameters.
    if query.collections:
        clauses.append(("collection IN (SELECT value FROM json_each(?))", [json.dumps(query.collections)]))
    if query.ids:
        clauses.append(("id IN (SELECT value FROM json_each(?))", [json.dumps(query.ids)]))
    if query.start is not None:
        clauses.append(("end_at >= ?", [sortable(query.start)]))
    if query.end is not None:
        clauses.append(("start_at <= ?", [sortable(query.end)]))
    if query.bbox is not None:
        clauses.append(_in_boxes(split_bbox(query.bbox)))
    clauses += [_compare(one) for one in query.filters]
    return " AND ".join(text for text, _ in clauses), [value for _, values in clauses for value in values]


def _in_boxes(boxes: tuple[BBox, ...]) -> tuple[str, Parameters]:
    parameters: Parameters = []
    for west, south, east, north in boxes:
        parameters += [east, west, north, south] * 2
    return f"item IN ({' UNION '.join([_IN_BOX] * len(boxes))})", parameters


def _compare(one: Filter) -> tuple[str, Parameters]:
    path = f'$.properties."{one.property}"'
    if isinstance(one.value, bool):
        return _IS_BOOLEAN + _COMPARE[one.operator], [path, path, int(one.value)]
    if isinstance(one.value, str):
        return _IS_TEXT + _COMPARE[one.operator], [path, path, one.value]
    return _IS_NUMBER + _COMPARE[one.operator], [path, path, float(one.value)]
