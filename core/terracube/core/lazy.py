"""Names of a package that are imported when they are first asked for: some bring large libraries along."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, Collection[str]], rooms: Collection[str] = ()) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : mapping of module to names
        What is found where: modules of the package, named without it. A name is never that of a module.
    rooms : collection of str
        Modules that are names themselves.

    Returns
    -------
    callable
        From a name to what it stands for; AttributeError if there is no such name.

    Examples
    --------
    >>> ask = lazy_names("json", {"decoder": ("JSONDecoder",)}, ("encoder",))
    >>> ask("JSONDecoder").__name__, ask("encoder").__name__
    ('JSONDecoder', 'json.encoder')
    """
    home = {name: module for module, names in homes.items() for name in names}

    def ask(name: str) -> Any:
        if name in home:
            return getattr(import_module(f"{package}.{home[name]}"), name)
        if name in rooms:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return ask
