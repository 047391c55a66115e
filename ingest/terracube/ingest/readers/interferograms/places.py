"""Files of a delivery: whether they are there, whatever their names, and that they do not lead elsewhere."""

from __future__ import annotations

from pathlib import Path

from terracube.core.files import resolve_below


def there(path: Path) -> bool:
    """Tell whether there is such a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def inside(path: Path) -> Path:
    """Give a file of a delivery, which must not be a link that leads out of its folder.

    Raises
    ------
    HostileInputError
    """
    return resolve_below(path.parent, path.name)
