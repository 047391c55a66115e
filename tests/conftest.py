"""Fixtures shared by all tests: where real data and schemas lie."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
import referencing.jsonschema
from hypothesis import settings

# What decides whether a change lands draws the same examples each time; `make test-all` and `pytest` draw new ones.
settings.register_profile("same", derandomize=True, deadline=None)

REPOSITORY = Path(__file__).resolve().parent.parent


def _folder(variable: str, default: str) -> Path:
    folder = (REPOSITORY / os.environ.get(variable, default)).resolve()
    if not folder.is_dir():
        pytest.skip(f"{variable} names no folder: {folder} is absent, so tests on it cannot run")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real scenes, stacks and measurements; tests that need them skip, saying so, where the folder is absent."""
    return _folder("TERRACUBE_DATA", "../shared/data")


@pytest.fixture(scope="session")
def schema_dir() -> Path:
    """A mirror of the JSON schemas of STAC and its extensions; tests skip, saying so, where it is absent."""
    return _folder("TERRACUBE_SCHEMAS", "../shared/schemas")


@pytest.fixture(scope="session")
def validate_stac(schema_dir: Path) -> Callable[[dict[str, Any]], None]:
    """Check an item, collection or catalogue against the core schema and those of all extensions that it lists.

    Nothing is fetched: schemas come from the mirror. Raises ``jsonschema.ValidationError`` for a wrong document, and
    ``referencing.exceptions.Unresolvable`` for a schema that the mirror lacks.
    """

    def retrieve(uri: str) -> referencing.Resource[Any]:
        path = schema_dir / uri.removeprefix("https://").removeprefix("http://").partition("#")[0]
        if not path.is_file():
            raise referencing.exceptions.NoSuchResource(ref=uri)
        return referencing.jsonschema.DRAFT7.create_resource(json.loads(path.read_text(encoding="utf-8")))

    registry: referencing.Registry[Any] = referencing.Registry(retrieve=retrieve)
    core = {"Feature": "item", "Collection": "collection", "Catalog": "catalog"}

    def validate(document: dict[str, Any]) -> None:
        kind = core[document["type"]]
        root = f"https://schemas.stacspec.org/v{document['stac_version']}/{kind}-spec/json-schema/{kind}.json"
        for uri in [root, *document.get("stac_extensions", [])]:
            jsonschema.Draft7Validator({"$ref": uri}, registry=registry).validate(document)

    return validate
