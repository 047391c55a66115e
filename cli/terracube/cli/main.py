"""The command's front door."""

from __future__ import annotations

from importlib.metadata import version

import click

from terracube.cli import catalog, demo, ingest, run
from terracube.cli.exits import EXPLAINED
from terracube.core.logging import set_up


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=EXPLAINED)
@click.version_option(version("terracube"), prog_name="terracube")
@click.option("-v", "--verbose", count=True, help="Say more on standard error; twice for everything.")
@click.option("--log-json", is_flag=True, help="Write log lines as JSON, one object per line.")
def main(verbose: int, log_json: bool) -> None:
    """From satellite scenes to published, traceable products.

    \b
    A first walk:
      terracube demo --into demo                      everything below, on simulated scenes
      terracube init CATALOG                          make a catalogue: a folder, no server
      terracube ingest sentinel-2-l2a PATH --into CATALOG
      terracube search --catalog CATALOG --datetime 2023-08
      terracube run composite --catalog CATALOG --collection sentinel-2-l2a --datetime 2023-08
      terracube show ITEM --catalog CATALOG
    """
    set_up(verbose=verbose, as_json=log_json)


for command in (
    catalog.init,
    ingest.ingest,
    catalog.search,
    run.run,
    catalog.show,
    catalog.verify,
    run.reproduce,
    catalog.rm,
    catalog.gc,
    demo.demo,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
