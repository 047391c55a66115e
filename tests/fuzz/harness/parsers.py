"""Every parser of what comes from outside: its valid products, and what is called on them.

A parser stands here once; the tests and the worker know it by its name. Adding one is adding a line.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

Call = Callable[[Path, Path, Path], None]
"""Takes the folder of the product, the main path in it, and an empty folder to write into."""
_SATELLITE = "terracube.ingest.readers."
_RADAR = "terracube.ingest.readers.interferograms."
_MOST_DELIVERIES = 12


@dataclass(frozen=True)
class Parser:
    """What is fuzzed."""

    name: str
    seeds: tuple[str, ...]
    """Functions that write a valid product, as ``module:function`` of this folder."""
    call: str
    """Function of this module that runs the parser."""
    arguments: tuple[str, ...] = ()
    cost: int = 1
    """How many of its calls are weighed as one where time is short: those that start processes, or read much."""

    def build(self, number: int, folder: Path) -> Path:
        """Write one of the valid products into an empty folder; give its main path."""
        module, _, function = self.seeds[number].partition(":")
        path: Path = getattr(import_module(module), function)(folder)
        return path

    def run(self, folder: Path, path: Path, out: Path) -> None:
        """Run the parser.

        Raises
        ------
        TerraCubeError
            For what cannot be read; anything else is a finding.
        """
        globals()[self.call](folder, path, out, *self.arguments)


class BrokenPromise(Exception):  # noqa: N818  # it is not an error of the reader's own
    """What was read is not what the contract of readers promises."""


def _promise(kept: object, what: str) -> None:
    if not kept:
        raise BrokenPromise(what)


def deliveries(folder: Path, path: Path, out: Path, reader: str, source: str) -> None:
    """Find and check as the pipeline does, then ask rows of every layer."""
    from terracube.core.errors import TerraCubeError
    from terracube.ingest.checking import check
    from terracube.ingest.deliveries import Candidate, Place
    from terracube.ingest.sources import Form, load_source

    form, known = Form(reader, reader), load_source(source)
    found = form.find(folder)
    _promise(found == sorted(found) or found == sorted(found, key=str), "deliveries are not sorted")
    targets = found[:_MOST_DELIVERIES] or [path]
    refusals: list[TerraCubeError] = []
    for each in targets:
        try:
            for checked in check(Candidate(each, str(each), form, Place(folder, str(folder))), known):
                _look_at(checked.scene, folder)
        except TerraCubeError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def _look_at(scene: Any, folder: Path) -> None:
    """Ask a delivery for all that the pipeline will ask."""
    json.dumps(dict(scene.properties), allow_nan=False)
    inside = folder.resolve()
    for path in [file for raster in scene.rasters for file in raster.files] + [one.path for one in scene.documents]:
        _promise(path.resolve().is_relative_to(inside), f"a file outside the delivery: {path.name}")
    for raster in scene.rasters:
        height, width = raster.grid.shape
        step = raster.pixels.step
        _promise(step > 0, "a step of no rows")
        for start in sorted({0, (height - 1) // step * step}):
            stop = min(start + step, height)
            rows = raster.pixels.rows(start, stop)
            _promise(rows.shape == (stop - start, width), f"{raster.key}: rows of shape {rows.shape}")
            _promise(rows.dtype == raster.dtype, f"{raster.key}: {rows.dtype} and not {raster.dtype}")


def header(folder: Path, path: Path, out: Path) -> None:
    """Read the header of a raster, and rows of each band."""
    from terracube.ingest.rasters import head

    found = head(path, largest=20_000, where=path.name)
    for band in range(1, min(found.count, 4) + 1):
        found.pixels(band).rows(0, min(found.step, found.grid.shape.y))


def unpacking(folder: Path, path: Path, out: Path) -> None:
    """Unpack an archive."""
    from terracube.ingest.archives import Limits, unpack

    unpack(path, out, Limits(bytes=1 << 24, files=1000, spare=0))
    for each in out.rglob("*"):
        _promise(each.is_dir() or (each.is_file() and not each.is_symlink()), f"no plain file: {each.name}")


def text(folder: Path, path: Path, out: Path, function: str) -> None:
    """Read a text, XML or JSON file."""
    getattr(import_module("terracube.ingest.text"), function)(path)


def observations(folder: Path, path: Path, out: Path) -> None:
    """Read measurements, by the mapping beside the file if there is one."""
    from terracube.ingest.insitu.read import read_observations

    mapping = path.with_name("mapping.yaml")
    read_observations(path, mapping if mapping.exists() else None)


def mapping(folder: Path, path: Path, out: Path) -> None:
    """Read a mapping."""
    from terracube.ingest.insitu.mapping import load_mapping

    load_mapping(path.with_name("mapping.yaml"))


def description(folder: Path, path: Path, out: Path) -> None:
    """Draft a mapping, and read by it if it is complete."""
    from terracube.core.errors import TerraCubeError
    from terracube.ingest.insitu.describe import describe
    from terracube.ingest.insitu.read import read_observations

    found = describe(path)
    _promise(found.text.strip(), "an empty draft")
    if found.mapping is not None:
        with suppress(TerraCubeError):  # a draft need not be right
            read_observations(path, found.mapping)


def misdeed(folder: Path, path: Path, out: Path, kind: str) -> None:
    """Do what a parser must never do, so that the watch can be tested."""
    if kind == "error":
        raise KeyError(kind)
    if kind == "write":
        (folder.parent / "left").write_text("x")
    elif kind == "change":
        path.write_text("x")
    elif kind == "read":
        (folder.parent / "outside" / "secret.txt").read_bytes()
    elif kind == "connect":
        with suppress(OSError), socket.socket() as one:
            one.connect(("127.0.0.1", 9))
    elif kind == "start":
        subprocess.run(["true"], check=False)
    elif kind == "memory":
        bytearray(1 << 34)
    elif kind == "peak":
        bytearray((1 << 30) + (1 << 28)).count(1)
    elif kind == "die":
        os.abort()
    while kind == "loop":
        pass


def _satellite(name: str, reader: str, source: str, *seeds: str, cost: int = 1) -> Parser:
    return Parser(name, tuple(f"products:{seed}" for seed in seeds), "deliveries", (reader, source), cost)


def _measured(name: str, *seeds: str, call: str = "observations", cost: int = 1) -> Parser:
    return Parser(name, tuple(f"measurements:{seed}" for seed in seeds), call, (), cost)


_ALL = (
    Parser("archives-zip", ("products:archive_zip",), "unpacking"),
    Parser("archives-tar", ("products:archive_tar", "products:archive_tgz"), "unpacking"),
    Parser("text-xml", ("products:text_xml",), "text", ("read_xml",)),
    Parser("text-json", ("products:text_json",), "text", ("read_json",)),
    Parser("text-plain", ("products:text_plain",), "text", ("read_text",)),
    Parser("raster-header", ("products:raster_tif", "products:raster_jp2"), "header"),
    _satellite("safe", _SATELLITE + "sentinel2.safe", "sentinel-2-l2a", "safe", cost=4),
    _satellite("eopf", _SATELLITE + "sentinel2.eopf", "sentinel-2-l2a", "eopf_2", "eopf_3", cost=4),
    _satellite("stac-item", _SATELLITE + "stac_item", "sentinel-2-l2a", "stac_item"),
    _satellite("theia-s2", _SATELLITE + "theia.sentinel2", "theia-sentinel-2-l2a", "theia_s2", cost=2),
    _satellite("theia-landsat", _SATELLITE + "theia.landsat", "theia-landsat-l2a", "theia_landsat", cost=2),
    _satellite("landsat", _SATELLITE + "landsat", "landsat-c2-l2", "landsat_txt", "landsat_json", "landsat_xml"),
    _satellite("olci", _SATELLITE + "ocean.sen3", "sentinel-3-olci-l2-water", "olci", cost=4),
    _satellite("c2rcc", _SATELLITE + "ocean.c2rcc", "olci-c2rcc", "c2rcc_2", "c2rcc_3", "c2rcc_nc", cost=2),
    _satellite("ortho", _SATELLITE + "images.ortho", "ortho", "ortho", "ortho_json"),
    _satellite("dimap", _SATELLITE + "images.dimap", "vhr", "dimap_tif", "dimap_jp2"),
    _satellite("dem", _SATELLITE + "images.dem", "dem", "dem", "dem_compound"),
    _satellite("hyp3", _RADAR + "hyp3", "hyp3-insar", "hyp3_gamma", "hyp3_burst"),
    _satellite("licsar", _RADAR + "licsar", "licsar", "licsar"),
    _satellite("gamma", _RADAR + "gamma", "gamma-insar", "gamma"),
    _satellite("gamma-tif", _RADAR + "gammatif", "gamma-insar", "gammatif"),
    _satellite("roipac", _RADAR + "roipac", "roipac-insar", "roipac"),
    _satellite("roipac-tif", _RADAR + "roipactif", "roipac-insar", "roipactif"),
    _satellite("flatsim", _RADAR + "flatsim", "flatsim", "flatsim"),
    _satellite("opera", _RADAR + "opera", "opera-disp-s1", "opera", cost=4),
    _satellite("pairs", _RADAR + "sidecar", "interferograms", "pairs", "pairs_json"),
    _satellite("network", _RADAR + "sidecar", "interferograms", "network"),
    _measured("csv", "csv_wide", "csv_long"),
    _measured("xlsx", "xlsx"),
    _measured("ods", "ods"),
    _measured("mapping", "csv_wide", "csv_long", call="mapping"),
    _measured("describe", "csv_wide", "xlsx", "ods", call="description"),
    _measured("netcdf", "netcdf_series", "netcdf_profile", cost=4),
    _measured("argo", "argo", cost=4),
    _measured("wqp", "wqp", "wqp_3", cost=2),
    _measured("nwis", "nwis_rdb", "nwis_json"),
    _measured("donar", "donar"),
    _measured("noos", "noos"),
    _measured("gnss", "gnss_tenv3", "gnss_pos"),
)
PARSERS = {parser.name: parser for parser in _ALL}
_KINDS = ("error", "write", "change", "read", "connect", "start", "memory", "peak", "die", "loop")
#: Parsers that do what they must not.
MISDEEDS = {kind: Parser(kind, ("products:text_plain",), "misdeed", (kind,)) for kind in _KINDS}
