"""`terracube insitu`: measurements in, looked at, and out again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from terracube.cli.exits import EXPLAINED, NOTHING, plain, told_errors
from terracube.cli.ingest import finish
from terracube.cli.options import Box, catalog_option, json_option
from terracube.core.errors import InputError
from terracube.core.files import write_text
from terracube.core.progress import bar
from terracube.ingest.insitu.vocabulary import Term, find_term, guess_terms, vocabulary
from terracube.stac import Catalog

_file = click.Path(path_type=Path, dir_okay=False)


@click.group(short_help="Measurements: describe, ingest, plot, export.")
def insitu() -> None:
    """Measurements in situ: tables and series of field teams, agencies and services.

    \b
    A first walk:
      terracube insitu describe lakes.xlsx --out lakes.yaml     what the columns may mean; confirm it
      terracube insitu ingest lakes.xlsx --mapping lakes.yaml --into CATALOG
      terracube insitu plot --catalog CATALOG --out stations.png
      terracube insitu plot --catalog CATALOG --station NAM --variable tn --out tn.png
      terracube insitu export --catalog CATALOG --variable tn --out tn.nc
    """


@insitu.command(epilog=EXPLAINED, short_help="Draft the mapping of a file, to be confirmed.")
@click.argument("path", type=_file)
@click.option("--out", type=_file, help="Write the draft there, not to standard output.")
def describe(path: Path, out: Path | None) -> None:
    """Guess what the columns of a file mean, and write it as YAML with what is unsure.

    Nothing is taken from a guess: read the draft, correct it, and give it to `terracube insitu ingest`.
    """
    from terracube.ingest.insitu.describe import describe as draft_of

    with told_errors(as_json=False):
        draft = draft_of(path)
        if out is None:
            click.echo(draft.yaml(), nl=False)
        else:
            if out.exists():
                raise InputError("the file is there already", where=str(out), todo="choose another name")
            write_text(out, draft.yaml())
            click.echo(f"written to {out}")
        for doubt in draft.unsure:
            click.echo(f"confirm   {plain(doubt)}", err=True)


@insitu.command(epilog=EXPLAINED, short_help="Take files of measurements into a catalogue, tested.")
@click.argument("paths", nargs=-1, required=True)
@click.option("--mapping", "mapping_path", type=_file, help="What the columns mean; see `terracube insitu describe`.")
@click.option("--into", "root", required=True, type=click.Path(path_type=Path, file_okay=False), help="The catalogue.")
@click.option("--id", "dataset", help="Id of the data set [default: its title, or the name of the first file].")
@click.option("--qc", "qc_path", type=_file, help="YAML with spans and thresholds of the tests, beside the defaults.")
@click.option("--tolerance", "tolerance_path", type=_file, help="YAML with the uncertainty of the laboratory.")
@click.option("--replace", is_flag=True, help="Let a corrected delivery take the place of the one with its id.")
@click.option("--dry-run", is_flag=True, help="Read and test everything; write nothing.")
@json_option
def ingest(
    paths: tuple[str, ...],
    mapping_path: Path | None,
    root: Path,
    dataset: str | None,
    qc_path: Path | None,
    tolerance_path: Path | None,
    replace: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take files of measurements into a catalogue, as one data set.

    PATHS are files, folders and archives (zip, tar) whose files are all taken, patterns with *, or addresses (https://,
    s3://). Formats that describe themselves (Argo and CF NetCDF, Water
    Quality Portal, NWIS, DONAR, NOOS, GNSS series) need no mapping; tables do. Every value is tested and flagged
    (QARTOD), the chemistry's balances are checked, and what was left out or doubted is told in issues.csv beside the
    data. The same files with the same mapping change nothing.
    """
    from terracube.ingest.insitu.closure import load_tolerance
    from terracube.ingest.insitu.mapping import load_mapping
    from terracube.ingest.insitu.qc_config import load_config
    from terracube.ingest.insitu.store import Judging, ingest_insitu

    with told_errors(as_json=as_json):
        catalog = Catalog.open(root)
        judging = Judging(
            qc=None if qc_path is None else load_config(qc_path),
            closure=None if tolerance_path is None else load_tolerance(tolerance_path),
        )
        mapping = None if mapping_path is None else load_mapping(mapping_path)
        with bar("ingest") as progress:
            report = ingest_insitu(
                paths,
                mapping,
                catalog,
                dataset=dataset,
                judging=judging,
                replacing=replace,
                dry_run=dry_run,
                progress=progress,
            )
        if not as_json:
            for notes in report.notes.values():
                for note in notes:
                    click.echo(f"note      {plain(note)}")
        facts = {"source": "insitu", "mapping": str(mapping_path or ""), "dry_run": dry_run}
        finish(report, catalog, facts, dry_run=dry_run, as_json=as_json)


@insitu.command(epilog=EXPLAINED, short_help="Draw a series, profiles, or where the stations lie.")
@catalog_option
@click.option("--station", help="Id of the station; without it, a map of all stations is drawn.")
@click.option("--variable", help="Name in the vocabulary; see `terracube insitu variables`.")
@click.option("--profile", is_flag=True, help="Draw over depth, not over time.")
@click.option("--depth", type=float, help="Only this depth, in metres.")
@click.option("--out", required=True, type=_file, help="PNG to write.")
def plot(
    catalog_path: Path, station: str | None, variable: str | None, profile: bool, depth: float | None, out: Path
) -> None:
    """Draw measurements: a variable at a station over time, or over depth, or a map of the stations."""
    from terracube.ingest.insitu.plot import plot_profile, plot_series, plot_stations

    with told_errors(as_json=False):
        if (station is None) != (variable is None):
            raise InputError("a station and a variable go together", where="--station, --variable")
        catalog = Catalog.open(catalog_path)
        if station is None or variable is None:
            plot_stations(catalog, path=out)
        else:
            chosen = {} if depth is None else {"depth": depth}
            draw = plot_profile if profile else plot_series
            draw(catalog, station, variable, path=out, **chosen)
        click.echo(f"written to {out}")


@insitu.command(epilog=EXPLAINED, short_help="Write measurements as NetCDF, CSV or GeoPackage.")
@catalog_option
@click.option("--variable", "variables", multiple=True, help="Only this variable; may be given several times.")
@click.option("--station", "stations", multiple=True, help="Only this station; may be given several times.")
@click.option("--dataset", "datasets", multiple=True, help="Only this data set; may be given several times.")
@click.option("--bbox", type=Box(), help="Only what lies in this box, in degrees.")
@click.option("--datetime", "period", help="A moment, a period or an interval: 2019, 2019-06/2019-09.")
@click.option(
    "--kind",
    type=click.Choice(["timeSeries", "profile", "trajectory", "timeSeriesProfile", "trajectoryProfile"]),
    help="featureType of a NetCDF file [default: what the observations are].",
)
@click.option("--out", required=True, type=_file, help="File to write: .nc (CF-1.11), .csv or .gpkg.")
def export(
    catalog_path: Path,
    variables: tuple[str, ...],
    stations: tuple[str, ...],
    datasets: tuple[str, ...],
    bbox: tuple[float, float, float, float] | None,
    period: str | None,
    kind: Any,
    out: Path,
) -> None:
    """Write measurements of a catalogue as one file; its suffix says in which format."""
    from terracube.ingest.insitu.access import open_table
    from terracube.ingest.insitu.export import export as write

    with told_errors(as_json=False):
        for name in variables:
            _known(name)
        table = open_table(catalog_path, variables or None, stations or None, bbox, period, datasets=datasets or None)
        if len(table) == 0:
            click.echo("no observation matches")
            sys.exit(NOTHING)
        write(table, out, kind=kind)
        click.echo(f"{len(table)} observations written to {out}")


@insitu.command(short_help="List what can be measured, and how it is called.")
@click.argument("text", required=False)
@json_option
def variables(text: str | None, as_json: bool) -> None:
    """List the vocabulary; with TEXT, the words that it may mean."""
    with told_errors(as_json=as_json):
        found = list(vocabulary().values()) if text is None else _meant(text)
        if as_json:
            click.echo(json.dumps([_facts(term) for term in found], indent=2, ensure_ascii=False))
        else:
            _tell_terms(found)
        sys.exit(0 if found else NOTHING)


def _meant(text: str) -> list[Term]:
    sure = find_term(text)
    return [sure] if sure is not None else list(guess_terms(text))


def _known(name: str) -> Term:
    """Give a term, or say which names are near."""
    if name not in vocabulary():
        near = ", ".join(term.name for term in _meant(name)) or "see `terracube insitu variables`"
        raise InputError("no such variable", where="--variable", expected=near, got=name[:100])
    return vocabulary()[name]


def _facts(term: Term) -> dict[str, Any]:
    names = ("name", "title", "unit", "cf_standard_name", "nerc_p01", "kind", "valid_min", "valid_max")
    return {**{name: getattr(term, name) for name in names}, "synonyms": [*term.synonyms, *term.maybe]}


def _tell_terms(terms: list[Term]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("variable", "unit", "range", "title"):
        table.add_column(name, overflow="fold", no_wrap=name == "variable")
    for term in terms:
        table.add_row(term.name, term.unit, f"{term.valid_min:g} to {term.valid_max:g}", term.title)
    width = None if sys.stdout.isatty() else 160
    console = Console(markup=False, highlight=False, soft_wrap=not sys.stdout.isatty(), width=width)
    if terms:
        console.print(table)
    console.print("1 variable" if len(terms) == 1 else f"{len(terms)} variables")
