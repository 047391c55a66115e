"""XML, JSON, YAML and text of deliveries and users: bounded in size, and unable to reach anything else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError  # only the types; what comes from outside is parsed by defusedxml

import yaml
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from terracube.core.errors import AssetError, HostileInputError, MetadataError

_MAX_BYTES = 64 << 20
_MAX_JSON = 16 << 20
# Every scalar is text: nothing is taken for a date, a number or "no" by the look of it.
_TEXTS = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_DEEPEST = 8
# What PyYAML raises, beside ValueError: the last ones for a tag that does not fit its value, like "!!bool x".
_NO_YAML = (yaml.YAMLError, RecursionError, OverflowError, TypeError, LookupError, AttributeError)


def read_bytes(path: Path, *, limit: int = _MAX_BYTES) -> bytes:
    """Read a small file whole.

    Raises
    ------
    AssetError
        If it cannot be read.
    HostileInputError
        If it is larger than the limit, in bytes.
    """
    try:
        with path.open("rb") as stream:
            found = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        raise AssetError(
            "cannot read the file", where=str(path), got=getattr(error, "strerror", "") or str(error)
        ) from error
    if len(found) > limit:
        raise HostileInputError("the file is too large for what it is", where=str(path), expected=f"<= {limit} bytes")
    return found


def read_text(path: Path, *, limit: int = _MAX_BYTES) -> str:
    """Read a small text file: UTF-8, or else Latin-1, with any line ending as a line feed."""
    found = read_bytes(path, limit=limit)
    try:
        text = found.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = found.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_xml(path: Path, *, limit: int = _MAX_BYTES) -> Element:
    """Parse an XML file; give its root, with names without namespaces.

    Raises
    ------
    AssetError
        If it cannot be read, or is no XML.
    HostileInputError
        If it is too large, or declares entities or a document type.
    """
    try:
        root: Element = fromstring(read_bytes(path, limit=limit), forbid_dtd=True)
    except DefusedXmlException as error:
        raise HostileInputError(
            "the XML declares entities or a document type", where=str(path), got=type(error).__name__
        ) from error
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise AssetError("the file is no XML", where=str(path), got=str(error)[:120]) from error
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def xml_text(root: Element, path: str, *, where: str) -> str:
    """Give the text of one element, which must be there.

    Raises
    ------
    MetadataError
        If it is not, or is empty.
    """
    found = root.find(path)
    text = (found.text or "").strip() if found is not None else ""
    if not text:
        raise MetadataError("the metadata lack an element", where=where, expected=path, got="nothing")
    return text


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of bounded size.

    Raises
    ------
    AssetError
        If the file cannot be read or is too large.
    MetadataError
        If it is not a JSON object.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_JSON:
            raise AssetError("the JSON is too large", where=str(path), expected=f"<= {_MAX_JSON} bytes", got=str(size))
        value = json.loads(path.read_bytes(), parse_constant=_refuse, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate could not be written again
    except OSError as error:
        raise AssetError("cannot read the file", where=str(path), got=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise MetadataError("the file is not JSON", where=str(path), got=str(error)[:120]) from error
    if not isinstance(value, dict):
        raise MetadataError("the JSON is not an object", where=str(path), expected="a STAC item")
    return value


class UnboundedYamlError(ValueError):
    """YAML that refers to itself, or is too deep or too long."""


def load_yaml(text: str | bytes, loader: Any = _TEXTS, *, deepest: int, longest: int | None = None) -> Any:
    """Give the value of a YAML text, which is measured before anything is made of it.

    Parameters
    ----------
    text : str or bytes
        Of bounded size.
    loader : class, optional
        One of PyYAML's that makes plain values alone; if left out, every scalar is text.
    deepest : int
        How deep lists and mappings may lie in one another.
    longest : int, optional
        How many values and brackets there may be.

    Raises
    ------
    UnboundedYamlError
        If it is deeper or longer, or has aliases: aliases of aliases fill any memory.
    ValueError
        If it is no YAML.

    Examples
    --------
    >>> load_yaml("{day: 2019-08-20, column: NO, depth: 0.5}", deepest=2)
    {'day': '2019-08-20', 'column': 'NO', 'depth': '0.5'}
    """
    depth = 0
    try:
        for count, event in enumerate(yaml.parse(text, Loader=loader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise UnboundedYamlError("aliases are not allowed")
            if depth > deepest:
                raise UnboundedYamlError(f"nested deeper than {deepest}")
            if longest is not None and count > longest:
                raise UnboundedYamlError(f"longer than {longest} values")
        return yaml.load(text, Loader=loader)  # noqa: S506 - loaders of plain values
    except _NO_YAML as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def read_mapping(path: Path, *, limit: int, expected: str = "names and values") -> dict[str, Any]:
    """Read a small YAML or JSON file of a user that holds a mapping; values of YAML are texts.

    Raises
    ------
    AssetError
        If it cannot be read.
    HostileInputError
        If it is larger than ``limit`` bytes, or the YAML is too deep or refers to itself.
    MetadataError
        If it is no YAML or JSON, or no mapping.
    """
    if path.suffix.lower() == ".json":
        return read_json(path)
    try:
        value = load_yaml(read_text(path, limit=limit), deepest=_DEEPEST)
    except UnboundedYamlError as error:
        raise HostileInputError("the YAML is too deep or refers to itself", where=str(path), got=str(error)) from error
    except ValueError as error:
        raise MetadataError("the file is no YAML", where=str(path), got=str(error)[:160]) from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise MetadataError("the file is no mapping", where=str(path), expected=expected)
    return value


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number
