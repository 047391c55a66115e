"""The command's front door."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

import click

from terracube.cli.exits import EXPLAINED
from terracube.core.logging import set_up

# In the order in which a newcomer needs them: command, and the module that holds it.
_COMMANDS = {
    "demo": "demo",
    "init": "catalog",
    "sources": "ingest",
    "ingest": "ingest",
    "acquire": "acquire",
    "mirror": "mirror",
    "insitu": "insitu",
    "quality": "quality",
    "search": "catalog",
    "run": "run",
    "show": "catalog",
    "verify": "catalog",
    "reproduce": "run",
    "rm": "catalog",
    "gc": "catalog",
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
        command: click.Command = getattr(import_module(f"terracube.cli.{_COMMANDS[cmd_name]}"), cmd_name)
        return command


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
