"""The command's front door."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

import click

from terracube.cli.exits import EXPLAINED
from terracube.core.logging import set_up

# In the order in which a newcomer needs them: command, the module that holds it, and what it does in a line, so that
# the front page is there without importing any of them.
_COMMANDS = {
    "demo": ("demo", "Walk the whole path on simulated scenes, or on your own."),
    "init": ("catalog", "Make a catalogue: a folder, no server."),
    "sources": ("ingest", "List what can be ingested."),
    "ingest": ("ingest", "Take deliveries into a catalogue, checked."),
    "acquire": ("acquire", "Download products from the portal of a provider (eodag)."),
    "mirror": ("mirror", "Copy a part of a remote catalogue, with its files."),
    "insitu": ("insitu", "Measurements: describe, ingest, plot, export."),
    "quality": ("quality", "What was measured of scenes, over time."),
    "search": ("catalog", "Find items by place, time and property."),
    "train": ("train", "Train a model from samples and scenes."),
    "model": ("model", "Trained models: what they are."),
    "run": ("run", "Make a product from the scenes of a catalogue."),
    "show": ("catalog", "Show what an item is and how it was made."),
    "verify": ("catalog", "Compare an item's files with their checksums."),
    "reproduce": ("run", "Compute a product again and compare every pixel."),
    "rm": ("catalog", "Remove an item and its files."),
    "gc": ("catalog", "Remove what interrupted work left behind."),
}


class _Commands(click.Group):
    """Imports a command when it is called: a search does not wait for Dask and numba (0.4 s against 1.8 s)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of a first walk."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"terracube.cli.{_COMMANDS[cmd_name][0]}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in _COMMANDS.items()])


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=EXPLAINED
)
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


if __name__ == "__main__":
    main()
