"""HTML pages: one look, and everything that comes from outside is escaped."""

from __future__ import annotations

import base64

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def environment(package: str) -> Environment:
    """Give a template environment for the ``templates`` folder of a package.

    Autoescape is always on, and an unknown variable is an error rather than an empty string. Templates take the
    common look with ``{% include "style.css" %}``.
    """
    loader = ChoiceLoader([PackageLoader(package), PackageLoader("terracube.core")])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(package: str, template: str, **values: object) -> str:
    """Render a page of a package; ``values`` are escaped.

    Raises
    ------
    jinja2.UndefinedError
        If the template names a value that was not given.
    """
    return environment(package).get_template(template).render(**values)


def png_data_uri(png: bytes) -> str:
    """Give a PNG as a ``data:`` address, so that a page is one file.

    Examples
    --------
    >>> png_data_uri(b"abc")
    'data:image/png;base64,YWJj'
    """
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
