"""`terracube ingest` and `terracube sources`: deliveries in, and what can be delivered."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import click

from terracube.cli.exits import DONE, EXPLAINED, NOTHING, PARTLY, REFUSED, plain, told_errors
from terracube.cli.options import json_option
from terracube.core.progress import ProgressCallback, bar
from terracube.ingest import IngestReport, Source, load_source, source_names
from terracube.ingest import ingest as ingest_deliveries
from terracube.production.records import write_manifest, write_record
from terracube.stac import Catalog


@click.command(epilog=EXPLAINED, short_help="Take deliveries into a catalogue, checked.")
@click.argument("source")
@click.argument("paths", nargs=-1, required=True)
@click.option("--into", "root", required=True, type=click.Path(path_type=Path, file_okay=False), help="The catalogue.")
@click.option("--jobs", type=int, default=1, show_default=True, help="Deliveries checked and written at once.")
@click.option("--dry-run", is_flag=True, help="Check everything and say what would be done; write nothing.")
@click.option("--link", is_flag=True, help="Reference files that are good COGs in place (hard links), do not copy.")
@click.option("--replace", is_flag=True, help="Let a corrected delivery take the place of the one with its id.")
@click.option("--mapping", type=click.Path(path_type=Path, dir_okay=False), help="Of measurements: what columns mean.")
@click.option(
    "--scheduler",
    default="local",
    show_default=True,
    help="local (threads), processes, or the address of a Dask scheduler. The files are the same.",
)
@json_option
def ingest(
    source: str,
    paths: tuple[str, ...],
    root: Path,
    jobs: int,
    dry_run: bool,
    link: bool,
    replace: bool,
    mapping: Path | None,
    scheduler: str,
    as_json: bool,
) -> None:
    """Take deliveries of SOURCE from PATHS into a catalogue.

    SOURCE is what they are: `terracube sources` lists all. PATHS are files, folders (searched), archives (zip, tar),
    patterns with *, or addresses (https://, s3://). Each delivery is checked against its files, written as
    Cloud-Optimised GeoTIFF, and its quality measured; one that cannot be trusted (no date, no georeference, damaged,
    hostile) is refused with the reason, and never stops the others. The same delivery again changes nothing.
    """
    with told_errors(as_json=as_json):
        catalog = Catalog.open(root)
        with bar("ingest") as progress:
            if load_source(source).options.get("measurements"):
                report = _measurements(paths, mapping, catalog, replace, dry_run, progress)
            else:
                report = ingest_deliveries(
                    source,
                    paths,
                    catalog,
                    jobs=jobs,
                    replacing=replace,
                    linking=link,
                    dry_run=dry_run,
                    scheduler=scheduler,
                    progress=progress,
                )
        finish(report, catalog, {"source": source, "dry_run": dry_run}, dry_run=dry_run, as_json=as_json)


def _measurements(
    paths: tuple[str, ...],
    mapping: Path | None,
    catalog: Catalog,
    replacing: bool,
    dry_run: bool,
    progress: ProgressCallback,
) -> IngestReport:
    """Take measurements in; `terracube insitu ingest` has more options."""
    from terracube.ingest.insitu.mapping import load_mapping
    from terracube.ingest.insitu.store import ingest_insitu

    told = None if mapping is None else load_mapping(mapping)
    return ingest_insitu(paths, told, catalog, replacing=replacing, dry_run=dry_run, progress=progress)


def finish(
    report: IngestReport, catalog: Catalog, facts: dict[str, Any], *, dry_run: bool = False, as_json: bool = False
) -> None:
    """Keep the record and the manifest of a run, tell what became of it, and leave with its exit code."""
    if not dry_run:
        write_record(catalog.root, "ingest", {**facts, **report.as_dict()})
        write_manifest(catalog.root, "ingest", report.lines())
    if as_json:
        click.echo(json.dumps({**report.as_dict(), "entries": report.lines()}, indent=2))
    else:
        if dry_run:
            click.echo("dry run: nothing is written")
        tell_report(report)
    sys.exit(exit_code(report))


def exit_code(report: IngestReport) -> int:
    """Give the exit code of an ingest."""
    came_in = report.taken or report.replaced
    if report.refused or report.left_out:
        return PARTLY if came_in or report.already else REFUSED
    return DONE if came_in else NOTHING


def tell_report(report: IngestReport) -> None:
    """Write what became of each delivery."""
    doubtful = {name: verdict for verdict, names in report.quality.items() for name in names}
    for name in report.taken:
        click.echo(f"in        {name}" + (f"  ({doubtful[name]})" if name in doubtful else ""))
    for name in report.replaced:
        click.echo(f"replaced  {name}" + (f"  ({doubtful[name]})" if name in doubtful else ""))
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
    """Write how many deliveries came in, were there already, or were refused."""
    came_in = len(report.taken) + len(report.replaced)
    click.echo(f"{came_in} in, {len(report.already)} there already, {len(report.refused)} refused")
    for verdict, names in report.quality.items():
        click.echo(f"{len(names)} {verdict} by their quality; terracube quality report says why")
    if report.notes:
        click.echo(f"{len(report.notes)} with notes: files that are not there or not as claimed; terracube show ITEM")


@click.command(epilog=EXPLAINED, short_help="List what can be ingested.")
@click.argument("name", required=False)
@json_option
def sources(name: str | None, as_json: bool) -> None:
    """List what `terracube ingest` takes; with NAME, all that is known of one source.

    \b
      terracube sources                        names, levels, forms, and on which real data each was verified
      terracube sources sentinel-2-l2a         layers with wavelengths, masks, licence, DOI, an example
    """
    with told_errors(as_json=as_json):
        chosen = [load_source(one) for one in ([name] if name else source_names())]
        if as_json:
            click.echo(json.dumps([_facts(one) for one in chosen], indent=2))
        elif name:
            _tell_source(chosen[0])
        else:
            _tell_sources(chosen)


def _facts(source: Source) -> dict[str, Any]:
    forms = [
        {"name": form.name, "verified": form.verified or None, "reference": form.reference} for form in source.forms
    ]
    plain_fields = ("name", "title", "level", "summary", "licence", "licence_url", "attribution", "access", "doi")
    return {
        **{key: getattr(source, key) for key in plain_fields},
        "bands": list(source.bands),
        "masks": list(source.mask.rules) if source.mask else [],
        "forms": forms,
        "example": source.example,
    }


def _tell_sources(chosen: list[Source]) -> None:
    for source in chosen:
        click.echo(f"{source.name}  ({source.level}, {source.access})")
        click.echo(f"    {source.title}")
        for form in source.forms:
            click.echo(f"    - {form.name}: {_verified(form.verified)}")
    click.echo(f"\n{len(chosen)} sources; terracube sources NAME tells bands, licence and an example")


def _verified(told: str) -> str:
    return f"verified on {told}" if told else "unverified on real data"


def _tell_source(source: Source) -> None:
    click.echo(f"{source.name}: {source.title}\n")
    click.echo(textwrap.fill(source.summary, 100))
    rows = {
        "level": source.level,
        "licence": " ".join(filter(None, (source.licence, source.licence_url))),
        "attribution": source.attribution,
        "access": source.access,
        "DOI": source.doi,
        "masks": ", ".join(source.mask.rules) if source.mask else "",
    }
    click.echo()
    for label, value in rows.items():
        if value:
            click.echo(f"  {label:<12}{value}")
    if source.bands:
        click.echo("\nlayers:")
    for band in source.bands.values():
        wave = f"{band.center_wavelength:g} um" if band.center_wavelength else band.unit or ""
        click.echo(f"  {band.name:<22}{band.file:<16}{wave:<12}{band.title}")
    click.echo("\nforms:")
    for form in source.forms:
        click.echo(f"  - {form.name}: {_verified(form.verified)}")
        if form.reference:
            click.echo(f"    {form.reference}")
    click.echo(f"\nexample:\n  {source.example}")
