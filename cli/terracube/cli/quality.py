"""`terracube quality`: what was measured of the scenes of a collection."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from terracube.cli.exits import DONE, EXPLAINED, NOTHING, plain, told_errors
from terracube.cli.options import catalog_option, json_option
from terracube.ingest.quality.report import QualityReport, quality_report
from terracube.stac import Catalog


@click.group(epilog=EXPLAINED, short_help="What was measured of scenes, over time.")
def quality() -> None:
    """Tell which scenes can be used as they are, which cannot, and why."""


@quality.command(epilog=EXPLAINED, short_help="Draw the quality of a collection over time.")
@catalog_option
@click.option("--collection", required=True, help="The collection, such as sentinel-2-l2a.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write a page (HTML) to this file.")
@json_option
def report(catalog_path: Path, collection: str, out: Path | None, as_json: bool) -> None:
    """Tell how many scenes of a collection are accepted, suspect or rejected, and why.

    With --out a page with pictures over time is written. Searches find scenes by their quality too:
    terracube search --query terracube:quality=accepted
    """
    with told_errors(as_json=as_json):
        found = quality_report(Catalog.open(catalog_path), collection)
        if out is not None:
            found.write_html(out)
        if as_json:
            click.echo(json.dumps(found.as_dict(), indent=2))
        else:
            _tell(found)
            if out is not None:
                click.echo(f"written: {out}")
        sys.exit(DONE if found.scenes else NOTHING)


def _tell(found: QualityReport) -> None:
    counts = ", ".join(f"{count} {verdict}" for verdict, count in found.counts.items() if count)
    scenes = f"1 {found.noun}" if len(found.scenes) == 1 else f"{len(found.scenes)} {found.noun}s"
    click.echo(f"{plain(found.collection)}: {scenes}{': ' + counts if counts else ''}")
    for scene in found.worst:
        click.echo(f"{scene.verdict:<10}{plain(scene.id)}")
        for reason in scene.reasons:
            click.echo(f"          {plain(reason)}")
