"""Acquisition from the portals of providers, through eodag: search, download, and then an ingest as of any files.

eodag is an extra (``pip install 'terracube[acquire]'``). Accounts come from its own configuration
(``~/.config/eodag/eodag.yml`` or ``EODAG__*`` variables); nothing of them is seen, kept or logged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from terracube.core.errors import AssetError, EmptyResultError, InputError

_PAGE = 50


def gateway() -> Any:
    """Make eodag's gateway.

    Raises
    ------
    InputError
        If eodag is not installed.
    """
    try:
        module = import_module("eodag")
    except ImportError as error:
        raise InputError(
            "eodag is needed to reach the portals of providers", todo="pip install 'terracube[acquire]'"
        ) from error
    # Its own log tells errors with long traces; ours tells them in a sentence. Progress is shown.
    import_module("eodag.utils.logging").setup_logging(verbose=1)
    return module.EODataAccessGateway()


def acquire(
    provider: str,
    collection: str,
    into: Path,
    *,
    bbox: Sequence[float] | None = None,
    period: tuple[str, str] | None = None,
    limit: int = 1000,
    portal: Any = None,
    **criteria: Any,
) -> list[Path]:
    """Download products of a provider, as they are delivered.

    Parameters
    ----------
    provider, collection : str
        As eodag names them: ``cop_dataspace``, ``S2_MSI_L2A`` (``eodag list`` tells all).
    into : Path
        Folder of the downloads; what is there already is not downloaded again.
    bbox : sequence of 4 float
        West, south, east, north in degrees.
    period : tuple of str
        Start and end, ISO 8601.
    limit : int
        Products at most; more is an error, not a silent cut.
    portal
        A gateway of eodag; the default one unless given.
    **criteria
        Further search terms of eodag, such as ``**{"eo:cloud_cover": 60}``.

    Returns
    -------
    list of Path
        Files and folders for :func:`terracube.ingest.ingest`, sorted.

    Raises
    ------
    InputError
        If eodag is not installed, or does not know the provider or collection.
    EmptyResultError
        If nothing is found.
    AssetError
        If the provider cannot be searched, or a download fails.
    """
    hub = portal if portal is not None else gateway()
    failure = import_module("eodag.utils.exceptions").EodagError
    terms = dict(criteria)
    if bbox is not None:
        terms["geom"] = dict(zip(("lonmin", "latmin", "lonmax", "latmax"), bbox, strict=True))
    if period is not None:
        terms["start"], terms["end"] = period
    try:
        found = _search(hub, {"provider": provider, "collection": collection, **terms}, limit)
    except (failure, ValueError) as error:
        raise _told("the provider cannot be searched", provider, collection, error) from error
    if not found:
        raise EmptyResultError("the provider has no such product", where=f"{provider}/{collection}")
    if len(found) > limit:
        raise InputError("the search finds too many products", expected=f"<= {limit}", got=str(len(found)))
    into.mkdir(parents=True, exist_ok=True)
    paths = []
    for product in found:
        try:
            paths.append(Path(hub.download(product, output_dir=str(into), extract=False)))
        except (failure, OSError) as error:
            raise _told("a product cannot be downloaded", provider, str(product.properties.get("id")), error) from error
    return sorted(paths)


def _search(hub: Any, terms: dict[str, Any], limit: int) -> list[Any]:
    """Ask page by page. The gateway's own way through all pages takes an error of the provider for the end."""
    found: list[Any] = []
    for number in range(1, limit // _PAGE + 2):
        page = hub.search(page=number, limit=_PAGE, raise_errors=True, **terms)
        found.extend(page)
        if len(page) < _PAGE or len(found) > limit:
            break
    return found


def _told(what: str, provider: str, name: str, error: Exception) -> AssetError | InputError:
    unsupported = type(error).__name__.startswith("Unsupported") or type(error).__name__ == "NoMatchingCollection"
    kind = InputError if unsupported else AssetError
    return kind(what, where=f"{provider}/{name}", got=type(error).__name__, todo="try again; what is there stays")
