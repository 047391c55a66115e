"""Observations into a catalogue, once, and out of it again: the doors `ingest_insitu` and `open_table`."""

from __future__ import annotations

import hashlib
import re
import time as clock
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pystac

from terracube.core.digest import sha256_of
from terracube.core.errors import ConflictError, EmptyResultError, InputError, TerraCubeError
from terracube.core.files import safe_name
from terracube.core.logging import get_logger
from terracube.core.progress import CancelToken, ProgressCallback, silent
from terracube.cubes.readers.netcdf import close_datasets
from terracube.ingest.deliveries import Incoming
from terracube.ingest.insitu.access import open_table as open_table
from terracube.ingest.insitu.closure import Tolerance, close
from terracube.ingest.insitu.copies import copies
from terracube.ingest.insitu.dataset import (
    COLLECTION,
    CONTENT,
    DataSet,
    SourceFile,
    collection,
    write_dataset,
)
from terracube.ingest.insitu.gaps import gaps
from terracube.ingest.insitu.incoming import Delivered, list_files, reason
from terracube.ingest.insitu.mapping import Mapping
from terracube.ingest.insitu.qc import evaluate
from terracube.ingest.insitu.qc_config import QcConfig, default_config
from terracube.ingest.insitu.read import read_observations
from terracube.ingest.insitu.table import Observations, join
from terracube.ingest.report import Entry, IngestReport
from terracube.stac import Catalog

_log = get_logger(__name__)
_LAYOUT = 2  # raised when the same delivery would be stored differently
_UNSAFE = re.compile(r"[^a-z0-9._+-]+")


@dataclass(frozen=True, slots=True)
class Judging:
    """How observations are judged."""

    qc: QcConfig | None = None
    """Tests; the default configuration unless given."""
    closure: Tolerance | None = None
    """Tolerances of the chemistry's balances; 10 % unless given."""


def ingest_insitu(
    paths: Iterable[str | Path],
    mapping: Mapping | None,
    catalog: Catalog,
    *,
    dataset: str | None = None,
    judging: Judging | None = None,
    replacing: bool = False,
    dry_run: bool = False,
    progress: ProgressCallback = silent,
    cancel: CancelToken | None = None,
) -> IngestReport:
    """Take files of measurements into a catalogue as one data set.

    Each file is read, its observations are tested (see `terracube.ingest.insitu.qc.evaluate` and
    `terracube.ingest.insitu.closure.close`), and all are published together as one item of the collection ``insitu``.
    A file that cannot be read is refused with its reason, and the others come in. The same bytes with the same mapping
    and the same tests change nothing.

    Parameters
    ----------
    paths : iterable of str or Path
        Files; folders and archives (zip, tar), all of whose files are taken but hidden ones and notes for people
        (README, licences, ...), which the report names; patterns with ``*``; ``https://`` and ``s3://`` addresses.
    mapping : Mapping
        What the columns mean; None for formats that say it themselves (Argo, CF NetCDF, ...).
    catalog : Catalog
    dataset : str
        Id of the item; made from the title of the mapping, else from the name of the first file, unless given.
    judging : Judging
        Configuration of the tests.
    replacing : bool
        Whether a changed delivery may take the place of the one that is there, as its next version.
    dry_run : bool
        Read and test, and say what would be done; nothing is written.
    progress, cancel
        Called after each file; asked before each.

    Returns
    -------
    IngestReport
        ``taken``, ``replaced`` or ``already`` name the data set; ``refused`` the files; ``notes`` tell what was left
        out or doubted, and ``left_out`` how often something was left out.

    Raises
    ------
    InputError
        If there is no file, or more than 100 000. What is wrong with one file is told in the report.
    HostileInputError
        If the id cannot be a file name.
    """
    if dataset is not None:
        safe_name(dataset, what="data set")
    run = _Run(mapping, judging or Judging(), IngestReport(), progress, cancel or CancelToken())
    given = [str(path) for path in paths]
    with catalog.stage("incoming") as scratch:
        files, notes = list_files(Incoming(given, scratch), run.report, mapping)
        if not files and not run.report.refused:
            got = "; ".join(notes)[:500]
            raise InputError("there is no file to read", where=", ".join(given)[:500], expected="a file", got=got)
        if not files:
            return run.report.finished()
        named = [Path(told) for told in given if not set(told) & set("*?[")]
        name = dataset or dataset_id(mapping, named if len(named) == 1 else [file.path for file in files])
        if notes:
            run.report.notes[name] = notes
        try:
            return run.take(name, files, catalog, replacing=replacing, dry_run=dry_run)
        finally:
            # What was fetched and unpacked is deleted now; not every disk allows that of an open file.
            close_datasets()


def dataset_id(mapping: Mapping | None, files: Sequence[Path]) -> str:
    """Make the id of a data set: its title, else the first name of its files, in letters that a folder may have.

    Examples
    --------
    >>> dataset_id(None, [Path("Lake survey (2019).xlsx")])
    'lake-survey-2019'
    """
    title = mapping.about.title if mapping is not None else ""
    text = title or min(path.stem for path in files)
    plain = _UNSAFE.sub("-", text.casefold()).strip("-._+")[:100].strip("-._+")
    if plain:
        return plain
    # A name in other letters, as Chinese titles are: one that is stable, if not readable.
    return f"insitu-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def publish_dataset(data: DataSet, catalog: Catalog, *, replacing: bool = False) -> pystac.Item:
    """Write a data set and make it part of the catalogue, all at once or not at all.

    Parameters
    ----------
    data : DataSet
        With a canonical table, tested or not.
    catalog : Catalog
    replacing : bool
        Whether it may take the place of the data set of the same id, as its next version.

    Returns
    -------
    pystac.Item
        The item as it now is in the catalogue.

    Raises
    ------
    ConflictError
        If the id is there already and may not be replaced.
    EmptyResultError
        If the table has no rows.
    """
    if len(data.table) == 0:
        raise EmptyResultError("a data set has no observation", where=data.id)
    catalog.add_collection(collection())
    known = catalog.find(data.id, COLLECTION)
    with catalog.stage(data.id) as folder:
        item = write_dataset(data, folder)
        if known is not None:
            before = str(known.properties.get("version", "1"))
            item.properties["version"] = str(int(before) + 1) if before.isdecimal() else f"{before}.1"
        return catalog.publish(item, folder, replace=replacing)


@dataclass(frozen=True, slots=True)
class _Run:
    """One ingest: what all of its files share."""

    mapping: Mapping | None
    judging: Judging
    report: IngestReport
    progress: ProgressCallback
    cancel: CancelToken

    def take(
        self, name: str, files: Sequence[Delivered], catalog: Catalog, *, replacing: bool, dry_run: bool
    ) -> IngestReport:
        """Read, test and publish, unless all of it is there, or something else is."""
        started = clock.monotonic()
        content = self.content(files)
        known = catalog.find(name, COLLECTION)
        if known is not None and known.properties.get(CONTENT) == content and not catalog.verify(known):
            return _already(known, files, self.report)
        if known is not None and not replacing:
            return _clash(name, files, self.report)
        data = self.read(name, files, content)
        if data is None:
            return self.report.finished()
        if not dry_run:
            publish_dataset(data, catalog, replacing=replacing)
        return _done(data, files, self.report, known=known, seconds=clock.monotonic() - started)

    def content(self, files: Iterable[Delivered]) -> str:
        """Give the digest of all that decides what is stored."""
        return sha256_of(
            {
                "layout": _LAYOUT,
                "sources": sorted([file.source.name, file.source.sha256] for file in files),
                "mapping": self.plain_mapping(),
                "qc": (self.judging.qc or default_config()).model_dump(mode="json"),
                "closure": (self.judging.closure or Tolerance()).model_dump(mode="json"),
            }
        )

    def plain_mapping(self) -> dict[str, Any] | None:
        """Give the mapping as JSON."""
        return None if self.mapping is None else self.mapping.model_dump(mode="json")

    def read(self, name: str, files: Sequence[Delivered], content: str) -> DataSet | None:
        """Read and test all files; None, with everything refused in the report, if there is nothing to store."""
        parts: list[Observations] = []
        failed: dict[Path, TerraCubeError] = {}
        self.progress(0, len(files))
        for number, file in enumerate(files, start=1):
            self.cancel.check()
            try:
                parts.append(self._one(file.path))
            except TerraCubeError as error:
                failed[file.path] = error
            self.progress(number, len(files))
        used = {path.resolve() for part in parts for path in part.beside}
        told = [self._source(file, failed.get(file.path), used) for file in files]
        beside = [f"{file.told} completed other files" for file in files if file.path in used & set(failed)]
        table = join([part.table for part in parts])
        if len(table) == 0:
            return None
        table, again = copies(table)
        tested, broken = close(evaluate(table, self.judging.qc), self.judging.closure)
        issues = [issue for part in parts for issue in part.issues]
        return DataSet(
            name,
            tested,
            tuple(told),
            content,
            issues=(*issues, *again, *gaps(table, self.judging.qc), *broken),
            about=self._about(parts),
            notes=tuple(dict.fromkeys([*(note for part in parts for note in part.notes), *beside])),
            mapping=self.plain_mapping(),
        )

    def _source(self, file: Delivered, error: TerraCubeError | None, used: Collection[Path]) -> SourceFile:
        """Describe a file; one that gave no observation is refused, unless it completed another one."""
        source = file.source
        if error is None or file.path in used:
            return source
        self.report.refuse(file.told, source.name, str(error), sha256=source.sha256, size=source.size)
        _log.info("refused %s: %s", file.told, error)
        return replace(source, refused=reason(error))

    def _one(self, file: Path) -> Observations:
        found = read_observations(file, self.mapping)
        if len(found.table) == 0:
            why = "; ".join(map(str, found.issues[:3]))
            raise EmptyResultError("the file gave no observation", where=str(file), got=why)
        return found

    def _about(self, parts: Sequence[Observations]) -> dict[str, str]:
        """Say whose data these are: as the files say, and before them the mapping."""
        about: dict[str, str] = {}
        for part in reversed(parts):
            about.update({key: value for key, value in part.about.items() if value})
        given = {} if self.mapping is None else self.mapping.about.model_dump()
        return {**about, **{key: str(value) for key, value in given.items() if value}}


def _already(known: pystac.Item, files: Sequence[Delivered], report: IngestReport) -> IngestReport:
    """Report a delivery that is there; files that were refused then are told again."""
    refused = {one["sha256"]: one["refused"] for one in known.properties["terracube:sources"] if "refused" in one}
    verdict = str(known.properties.get("terracube:quality", ""))
    for file in files:
        digest, size = file.source.sha256, file.source.size
        if digest in refused:
            report.refuse(file.told, file.source.name, refused[digest], sha256=digest, size=size)
        else:
            report.entries.append(Entry(file.told, known.id, "already", quality=verdict, sha256=digest, bytes=size))
    report.already.append(known.id)
    report.left_out = int(known.properties.get("terracube:issues", {}).get("left out", 0))
    return report.finished()


def _clash(name: str, files: Sequence[Delivered], report: IngestReport) -> IngestReport:
    clash = ConflictError(
        "the catalogue has a data set of this id with other content, or a damaged copy",
        where=name,
        expected="the same files, mapping and tests",
        todo="use --replace if this delivery corrects it, or give this one another id",
    )
    for file in files:
        report.refuse(file.told, name, str(clash), sha256=file.source.sha256, size=file.source.size)
    return report.finished()


def _done(
    data: DataSet, files: Sequence[Delivered], report: IngestReport, *, known: pystac.Item | None, seconds: float
) -> IngestReport:
    outcome, names = ("taken", report.taken) if known is None else ("replaced", report.replaced)
    names.append(data.id)
    verdict, reasons = data.verdict()
    if verdict != "accepted":
        report.quality.setdefault(verdict, []).append(data.id)
    refused = {source.sha256 for source in data.sources if source.refused}
    kept = [file for file in files if file.source.sha256 not in refused]
    share = round(seconds / len(kept), 3)
    for file in kept:
        digest, size = file.source.sha256, file.source.size
        report.entries.append(Entry(file.told, data.id, outcome, "; ".join(reasons), verdict, digest, size, share))
    report.left_out = sum(issue.action == "left out" for issue in data.issues)
    notes = [*report.notes.get(data.id, []), *data.notes, *_told(data)]
    if notes:
        report.notes[data.id] = notes
    return report.finished()


def _told(data: DataSet) -> list[str]:
    """Count what was left out and doubted, by action."""
    by_action = pd.Series([issue.action for issue in data.issues], dtype=object).value_counts()
    return [f"{count} {'issue' if count == 1 else 'issues'}: {action}" for action, count in sorted(by_action.items())]
