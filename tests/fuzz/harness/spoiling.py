"""Spoil the bytes, words, lines and members of files, and whole files.

A product is a mapping from the path of each file to its bytes. Each function spoils one in place, by chance.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

from hostile import HOSTILE, INTEGERS, JSON, TEXT, VALUES, XML, YAML

Product = dict[str, bytes]

_WORDS = re.compile(rb"[^\s<>\"'=,;:/|\[\]{}()]+")
_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")
_ELEMENT = re.compile(rb"<([A-Za-z_][\w.:-]*)([^<>]*)>([^<>]*)</\1>")


def is_text(name: str, content: bytes) -> bool:
    """Tell whether a file is text, by its name or content."""
    return name.lower().endswith(TEXT) or (b"\x00" not in content[:2000] and content[:1] in (b"{", b"<", b"#", b"["))


def pick(product: Product, chance: random.Random, *ends: str, text: bool | None = None) -> str | None:
    """Choose a file: with one of some endings, or only of the texts; ``None`` if there is none."""
    names = [
        name
        for name, content in sorted(product.items())
        if (not ends or name.lower().endswith(ends)) and (text is None or is_text(name, content) == text)
    ]
    # Most that is spoilt in a mapping is refused before the file is looked at.
    others = [name for name in names if name != "mapping.yaml"]
    return chance.choice(others if others and chance.random() < 0.8 else names) if names else None


def hostile(chance: random.Random) -> bytes:
    """Choose a hostile word."""
    return chance.choice(HOSTILE).encode("utf-8", "surrogatepass")


def bytes_(product: Product, chance: random.Random) -> None:
    """Flip, insert, delete, duplicate or overwrite bytes, or cut the file short."""
    name = pick(product, chance)
    if name is not None:
        product[name] = spoilt(product[name], chance)


def spoilt(content: bytes, chance: random.Random) -> bytes:
    """Flip, insert, delete, duplicate or overwrite bytes, or cut them short."""
    if not content:
        return chance.randbytes(chance.randrange(64))
    # Headers lie at the beginning more often than not.
    size = len(content) if chance.random() < 0.5 else min(len(content), chance.choice((16, 128, 1024)))
    at = chance.randrange(size)
    length = min(chance.choice((1, 1, 2, 4, 8, 64, 1024)), len(content) - at)
    how = chance.randrange(8)
    if how == 0:
        return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
    if how == 1:
        return content[:at] + chance.randbytes(length) + content[at:]
    if how == 2:
        return content[:at] + content[at + length :]
    if how == 3:
        return content[: at + length] + content[at:]
    if how == 4:
        return content[:at]
    if how == 5:
        return content[:at] + chance.randbytes(length) + content[at + length :]
    if how == 6:
        put = chance.choice(INTEGERS)
        return content[:at] + put + content[at + len(put) :]
    other = chance.randrange(len(content))
    return content[:at] + content[other : other + length] + content[at + length :]


def words(product: Product, chance: random.Random) -> None:
    """Put a hostile word, or another word of the file, in the place of a word."""
    name = pick(product, chance, text=True)
    if name is None:
        return
    found = list(_WORDS.finditer(product[name]))
    if not found:
        product[name] = hostile(chance)
        return
    one, content = chance.choice(found), product[name]
    put = chance.choice(found).group() if chance.random() < 0.3 else hostile(chance)
    product[name] = content[: one.start()] + put + content[one.end() :]


def numbers(product: Product, chance: random.Random) -> None:
    """Make a number larger, smaller, negative, fractional, or one that no number should be."""
    name = pick(product, chance, text=True)
    found = list(_NUMBER.finditer(product[name])) if name is not None else []
    if name is None or not found:
        return
    one, content = chance.choice(found), product[name]
    told = one.group()[:30]
    put = chance.choice(
        (b"-" + told, told + b"0", told + b"e9", told + b"e300", told[:-1] or b"0", b"0." + told, told + b".5",
         b"0", b"1", b"-1", b"NaN", b"Infinity", b"1e-300", b"65536", b"2147483648", b"1000000000", b"1e20")
    )  # fmt: skip
    product[name] = content[: one.start()] + put + content[one.end() :]


def lines_(product: Product, chance: random.Random) -> None:
    """Delete, duplicate, swap or cut lines."""
    name = pick(product, chance, text=True)
    if name is None:
        return
    lines = product[name].splitlines(keepends=True)
    if not lines:
        return
    at, other, how = chance.randrange(len(lines)), chance.randrange(len(lines)), chance.randrange(6)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(other, lines[at])
    elif how == 2:
        lines[at], lines[other] = lines[other], lines[at]
    elif how == 3:
        lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
    elif how == 4:
        lines.insert(at, hostile(chance) + b"\n")
    else:
        lines[at] = lines[at] * chance.choice((3, 50))
    product[name] = b"".join(lines)


def elements(product: Product, chance: random.Random) -> None:
    """Empty, fill, rename, delete or duplicate an element of XML."""
    name = pick(product, chance, *XML)
    found = list(_ELEMENT.finditer(product[name])) if name is not None else []
    if name is None or not found:
        return
    one, content = chance.choice(found), product[name]
    tag, told, inside = one.groups()
    put = {
        0: b"",
        1: one.group() * 2,
        2: b"<" + tag + told + b"></" + tag + b">",
        3: b"<" + tag + told + b">" + chance.choice(found).group(3) + b"</" + tag + b">",
        4: b"<" + tag + b">" + inside + b"</" + tag + b">",
        5: b"<" + tag + told + b"><" + tag + told + b">" + inside + b"</" + tag + b"></" + tag + b">",
    }.get(chance.randrange(12))
    if put is None:
        word = hostile(chance).replace(b"&", b"&amp;").replace(b"<", b"&lt;")
        put = b"<" + tag + told + b">" + word + b"</" + tag + b">"
    product[name] = content[: one.start()] + put + content[one.end() :]


def json_(product: Product, chance: random.Random) -> None:
    """Replace, delete or duplicate a member of a JSON document."""
    name = pick(product, chance, *JSON)
    if name is None:
        return
    try:
        document = json.loads(product[name])
    except (ValueError, RecursionError):
        return
    places: list[tuple[Any, Any]] = []
    queue = [document]
    while queue and len(places) < 5000:
        one = queue.pop()
        inside = list(one.items()) if isinstance(one, dict) else list(enumerate(one)) if isinstance(one, list) else []
        places += [(one, key) for key, _ in inside]
        queue += [value for _, value in inside]
    if not places:
        return
    parent, key = chance.choice(places)
    how = chance.randrange(6)
    if how == 0:
        del parent[key]
    elif how == 1:
        other, from_key = chance.choice(places)
        parent[key] = json.loads(json.dumps(other[from_key])) if from_key in other or isinstance(other, list) else None
    elif how == 2:
        parent[key] = chance.choice(HOSTILE)
    else:
        parent[key] = json.loads(json.dumps(chance.choice(VALUES)))
    product[name] = json.dumps(document).encode("utf-8", "surrogatepass")


def encoding(product: Product, chance: random.Random) -> None:
    """Write a text in another encoding, or with other ends of lines."""
    name = pick(product, chance, text=True)
    if name is None:
        return
    text = product[name].decode("utf-8", "replace")
    how = chance.choice(("utf-16", "utf-8-sig", "utf-32", "latin-1", "utf-7", "cp037", "\r", "\r\n", "\u2028", "\x0b"))
    product[name] = (
        text.encode(how, "replace") if len(how) > 2 else text.replace("\n", how).encode("utf-8", "surrogatepass")
    )


def doctype(product: Product, chance: random.Random) -> None:
    """Declare entities in XML, or anchors in YAML."""
    name = pick(product, chance, *XML, *YAML)
    if name is None:
        return
    if name.endswith(YAML):
        levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12))
        product[name] = f"l0: &l0 [x, x]\n{levels}\n".encode() + product[name]
        return
    entity = chance.choice(('<!ENTITY x "y">', '<!ENTITY x SYSTEM "file:///etc/passwd">', ""))
    head, _, rest = product[name].partition(b"?>")
    product[name] = head + b"?>" + f"<!DOCTYPE r [{entity}]>".encode() + rest if rest else b"<!DOCTYPE r>" + head


def files(product: Product, chance: random.Random) -> None:
    """Drop, empty, swap, rename or add files."""
    name, other = pick(product, chance), pick(product, chance)
    if name is None or other is None:
        return
    how = chance.randrange(7)
    if how == 0 and len(product) > 1:
        del product[name]
    elif how == 1:
        product[name] = b""
    elif how in (2, 3):
        product[name], product[other] = product[other], product[name]
    elif how == 4 and len(product) > 1:
        folder, _, last = name.rpartition("/")
        put = chance.choice((last.upper(), last[:-1], f"{last}.bak", f"a{last}", last.replace("_", "-"), last[1:]))
        if put and put not in (".", "..") and f"{folder}/{put}".strip("/") not in product:
            product[f"{folder}/{put}".strip("/")] = product.pop(name)
    elif how == 5:
        product[f"{name}.aux.xml"] = b"<PAMDataset><SRS>EPSG:4326</SRS></PAMDataset>"
    else:
        # A folder where a file is expected.
        content = product.pop(name)
        product[f"{name}/inside"] = content[:100]
