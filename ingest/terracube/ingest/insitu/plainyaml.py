"""YAML as people mean it who write tables down: a day, +08:00, 00600 and NO are texts."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from terracube.ingest.text import load_yaml

_MAX_DEPTH = 12
#: What cannot stand in YAML as it is.
_HIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class _Loader(yaml.SafeLoader):
    """Numbers, true, false and null as in YAML 1.2; all else is text."""


_Loader.yaml_implicit_resolvers = {}
for _kind, _form, _first in (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", tuple("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", tuple("-+0123456789")),
    (
        "float",
        r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)",
        tuple("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_form})$"), list(_first))


def read_plain(text: str | bytes) -> Any:
    """Read YAML, bounded in depth and without aliases; see `text.load_yaml`.

    Raises
    ------
    ValueError
        If it is no such text.

    Examples
    --------
    >>> read_plain("{zone: +08:00, constant: 2019-08-20, column: NO, depth: 0.5, code: 00600}")
    {'zone': '+08:00', 'constant': '2019-08-20', 'column': 'NO', 'depth': 0.5, 'code': '00600'}
    """
    return load_yaml(text, _Loader, deepest=_MAX_DEPTH)


def quoted(text: str) -> str:
    """Write a text as YAML has it within quotes.

    Examples
    --------
    >>> print(quoted('TN "raw"'), quoted("\\x8c"))
    "TN \\"raw\\"" "\\u008c"
    """
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def printable(text: str) -> str:
    """Write a text such that it can stand in a comment: on one line, with a mark for what cannot be shown.

    Examples
    --------
    >>> printable("a\\nkind: b")
    'a kind: b'
    """
    return " ".join(_HIDDEN.sub("\ufffd", text).split())
