"""`terracube ingest`: scenes in."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from pathlib import Path

import click

from terracube.cli.exits import DONE, EXPLAINED, NOTHING, PARTLY, REFUSED, plain, told_errors
from terracube.cli.options import json_option
from terracube.core.progress import bar
from terracube.ingest import IngestReport
from terracube.ingest import ingest as ingest_scenes
from terracube.production.records import write_record
from terracube.stac import Catalog


@click.command(epilog=EXPLAINED, short_help="Take scenes into a catalogue, checked.")
@click.argument("source")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--into", "root", required=True, type=click.Path(path_type=Path, file_okay=False), help="The catalogue.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Scenes written at once.")
@click.option("--replace", is_flag=True, help="Let a corrected scene take the place of the one with its id.")
@json_option
def ingest(source: str, paths: tuple[Path, ...], root: Path, jobs: int, replace: bool, as_json: bool) -> None:
    """Take scenes of SOURCE from PATHS into a catalogue.

    SOURCE is the kind of scenes, so far sentinel-2-l2a. PATHS are STAC item files, or folders that are searched for
    them. Each scene is checked against its files and written as Cloud-Optimised GeoTIFF; one that cannot be trusted
    (no date, no georeference, damaged, hostile) is refused with the reason, and never stops the others. Nothing is
    taken from the network.
    """
    with told_errors(as_json=as_json):
        catalog = Catalog.open(root)
        with bar("ingest") as progress:
            report = ingest_scenes(source, paths, catalog, jobs=jobs, replacing=replace, progress=progress)
        write_record(catalog.root, "ingest", {"source": source, **report.as_dict()})
        if as_json:
            click.echo(json.dumps(report.as_dict(), indent=2))
        else:
            tell_report(report)
        sys.exit(exit_code(report))


def exit_code(report: IngestReport) -> int:
    """Give the exit code of an ingest."""
    came_in = report.taken or report.replaced
    if report.refused:
        return PARTLY if came_in or report.already else REFUSED
    return DONE if came_in else NOTHING


def tell_report(report: IngestReport) -> None:
    """Write what became of each scene."""
    for name in report.taken:
        click.echo(f"in        {name}")
    for name in report.replaced:
        click.echo(f"replaced  {name}")
    for name in report.already:
        click.echo(f"there     {name}")
    tell_refusals(report)
    tell_counts(report)


def tell_refusals(report: IngestReport) -> None:
    """Write what was refused, and why."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for refusal in report.refused:
        reason = plain(refusal.reason)
        lines = textwrap.wrap(reason, max(width - 10, 40)) if width else [reason]
        click.echo("\n          ".join([f"refused   {plain(refusal.path)}", *lines]))


def tell_counts(report: IngestReport) -> None:
    """Write how many scenes came in, were there already, or were refused."""
    came_in = len(report.taken) + len(report.replaced)
    click.echo(f"{came_in} in, {len(report.already)} there already, {len(report.refused)} refused")
    if report.notes:
        click.echo(f"{len(report.notes)} with notes: files that are not there or not as claimed; terracube show ITEM")
