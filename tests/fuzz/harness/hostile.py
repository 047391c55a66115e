"""Words and values that a parser must survive in any place, and which files are of which kind by their names."""

from __future__ import annotations

from typing import Any

TEXT = (".xml", ".json", ".yaml", ".yml", ".txt", ".csv", ".par", ".rsc", ".meta", ".dia", ".noos", ".pos", ".tenv3")
TEXT += (".zattrs", ".zarray", ".zgroup", ".zmetadata", ".safe", ".rels", "baselines", ".md")
XML, YAML, TIF = (".xml", ".safe"), (".yaml", ".yml"), (".tif", ".tiff")
JSON = (".json", ".zattrs", ".zarray", ".zmetadata", ".zgroup")
ARCHIVES = (".zip", ".xlsx", ".ods", ".tar", ".tar.gz")
HOSTILE = (
    "", " ", "-1", "0", "-0", "1", "2", "1e308", "-1e308", "1e-320", "1e400", "NaN", "nan", "inf", "-Infinity", "1_000",
    "0x10", "1,5", "1.5.2", "--1", "+", "2147483647", "2147483648", "4294967296", "-9223372036854775808",
    "9223372036854775808", "99999999999", "9" * 400, "9" * 5000, "0" * 5000 + "1", "1" + "0" * 309, "1e99999", "\x00",
    "a\x00b", "\u0661\u0662\u0663", "\u00b2", "\u2155", "\uff11", "\ufeff", "\u202e", "\ud7ff", "\U0001f4a9", "\x7f",
    "\x1b[31m", "a" * 300, "a" * 100_000, " " * 60_000, "\u00e9" * 30_000,
    "1," * 20_000, "<" * 30_000, "../../x", "../outside/secret.tif", "../../outside/secret.tif", "..", ".", "/",
    "/etc/passwd", "//host/x", "C:\\x", "file:///etc/passwd", "http://127.0.0.1:9/x.tif",
    "/vsicurl/http://127.0.0.1:9/x.tif", "/vsizip/a.zip/x", "s3://a/b", "${HOME}", "{0}", "{path}", "%s%n", "%(x)s",
    "<!DOCTYPE x>", "&x;", "<", "]]>", "<?xml?>", "true", "null", "None", "[]", "{}", "[[", "!!python/object:os.system",
    "*a", "&a [*a]", "- -", ": :", "- {", "'", '"', "\\", "\n", "\r", "\t", ",", ";", "|", "#", "=", "2023-02-30",
    "0000-00-00", "9999-12-31T23:59:60Z", "1e3-01-01", "2023-08-20T25:61:61Z", "2023-08-20T10:00:00+99:99", "-2023",
    "10000-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "00010101", "99999999", "EPSG:0",
    "EPSG:999999", "EPSG:4326", "EPSG:4978", "EPSG:5773", "urn:ogc:def:crs:EPSG::32633", "+proj=longlat", "PROJCS[",
    "+proj=utm +zone=99", "float64", "object", "|O8", "<U9999999", "<f8", ">c16", "V8", "S0", "datetime64[ns]",
    "bool", "Europe/Atlantis", "../UTC", "local", "%", "%Q", "%Y" * 40, "(" * 500, "\u0130", "\u1e9e", "e", "E5", ".e",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1e308, -1e308, 1e-320, "", "x", "NaN", [], {}, [[]], [None],
    [0], [1, 2], [1] * 500, {"a": None}, {"": {}}, [[[[[]]]]], ["a", "b"], [-1, -1], [10**9, 10**9], [1e308] * 6,
    "\ud7ff\x00", "../../x", "../outside/secret.tif", "2023-02-30", "EPSG:999999", 2**40, 0.1, "1",
)  # fmt: skip
INTEGERS = (
    b"\xff", b"\x00", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xff" * 4, b"\x00" * 4, b"\xff" * 8, b"\x00" * 8,
    b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\x01\x00\x00\x00", b"\x00\x00\x00\x01", b"\xff" * 7 + b"\x7f",
)  # fmt: skip
