"""SQL of the embedded store: its tables, and the one translation of a search. Values only ever enter as parameters."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from terracube.stac._time import days, sortable
from terracube.stac.query import BBox, Filter, Query, split_bbox

BOXES_PER_ITEM = 32
"""The box with key ``item * BOXES_PER_ITEM + n`` is the n-th of an item."""

# boxes: place and time (days since year 1) together; its coordinates are 32-bit and rounded outwards, so each edge
# stands there a second time, exact. An item without a place is not in it.
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
CREATE INDEX items_by_collection ON items (collection, start_at, id);
CREATE INDEX items_by_id ON items (id);
CREATE VIRTUAL TABLE boxes USING rtree (
    box, west, east, south, north, first, last, +w REAL, +e REAL, +s REAL, +n REAL
);
CREATE TABLE links (item INTEGER NOT NULL, rel TEXT NOT NULL, target TEXT NOT NULL);
CREATE INDEX links_by_target ON links (target);
CREATE INDEX links_by_item ON links (item);
CREATE TABLE pending (kind TEXT NOT NULL, collection TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (kind, collection, name)) WITHOUT ROWID;
"""

_IN_BOX = """SELECT box / 32 FROM boxes
    WHERE west <= ? AND east >= ? AND south <= ? AND north >= ? AND first <= ? AND last >= ?
    AND w <= ? AND e >= ? AND s <= ? AND n >= ?"""

# Listed one by one, so that no text of a user becomes part of a statement.
_COMPARE = {
    "<": "json_extract(document, ?) < ?",
    "<=": "json_extract(document, ?) <= ?",
    ">": "json_extract(document, ?) > ?",
    ">=": "json_extract(document, ?) >= ?",
    "=": "json_extract(document, ?) = ?",
    "!=": "json_extract(document, ?) <> ?",
}

# The R-tree keeps edges as 32-bit floats rounded outwards, but rounds what is nearer to zero than they reach to zero.
_TINY = 1e-30

_BEGINNING = datetime.min.replace(tzinfo=UTC)
_END = datetime.max.replace(tzinfo=UTC)

# SQLite orders values of different types; here they do not compare.
_IS_BOOLEAN = "json_type(document, ?) IN ('true', 'false') AND "
_IS_TEXT = "json_type(document, ?) = 'text' AND "
_IS_NUMBER = "json_type(document, ?) IN ('integer', 'real') AND "

Parameters = list[str | int | float]


def where(query: Query, *, longest: timedelta) -> tuple[str, Parameters]:
    """Translate a search into a WHERE clause over ``items`` and its parameters.

    Parameters
    ----------
    query : Query
        The search.
    longest : timedelta
        No item lasts longer: so what touches an interval starts no earlier than this before it.
    """
    clauses: list[tuple[str, Parameters]] = [("1", [])]
    # One parameter however many ids there are: SQLite limits the number of parameters.
    if query.collections:
        clauses.append(("collection IN (SELECT value FROM json_each(?))", [json.dumps(query.collections)]))
    if query.ids:
        clauses.append(("id IN (SELECT value FROM json_each(?))", [json.dumps(query.ids)]))
    if query.start is not None:
        earliest = query.start - min(longest, query.start - _BEGINNING)
        clauses.append(("end_at >= ? AND start_at >= ?", [sortable(query.start), sortable(earliest)]))
    if query.end is not None:
        clauses.append(("start_at <= ?", [sortable(query.end)]))
    if query.bbox is not None:
        clauses.append(_in_boxes(query, split_bbox(query.bbox)))
    clauses += [_compare(one) for one in query.filters]
    return " AND ".join(text for text, _ in clauses), [value for _, values in clauses for value in values]


def _in_boxes(query: Query, boxes: tuple[BBox, ...]) -> tuple[str, Parameters]:
    first, last = days(query.start or _BEGINNING), days(query.end or _END)
    parameters: Parameters = []
    for west, south, east, north in boxes:
        parameters += [east + _TINY, west - _TINY, north + _TINY, south - _TINY, last, first, east, west, north, south]
    return f"item IN ({' UNION '.join([_IN_BOX] * len(boxes))})", parameters


def _compare(one: Filter) -> tuple[str, Parameters]:
    path = f'$.properties."{one.property}"'
    if isinstance(one.value, bool):
        return _IS_BOOLEAN + _COMPARE[one.operator], [path, path, int(one.value)]
    if isinstance(one.value, str):
        return _IS_TEXT + _COMPARE[one.operator], [path, path, one.value]
    return _IS_NUMBER + _COMPARE[one.operator], [path, path, float(one.value)]
