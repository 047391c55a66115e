"""Pages: whatever comes from outside is shown, never run."""

from __future__ import annotations

import base64

import jinja2
import pytest

from terracube.core.html import environment, png_data_uri, render


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ('" onload="x', "&#34; onload=&#34;x"),
        ("' onload='x", "&#39; onload=&#39;x"),
        ("a & b", "a &amp; b"),
    ],
)
def test_values_are_escaped(value, shown):
    """Markup and quotes in a value are shown as text, in content and in attributes."""
    template = environment("terracube.core").from_string('<h1 title="{{ title }}">{{ title }}</h1>')
    assert template.render(title=value) == f'<h1 title="{shown}">{shown}</h1>'


def test_values_in_other_file_types_are_escaped_too():
    """Escaping does not depend on what the template's file is called."""
    assert environment("terracube.core").autoescape is True


def test_an_unknown_value_is_an_error():
    """A page never shows an empty place where a value was forgotten."""
    with pytest.raises(jinja2.UndefinedError):
        environment("terracube.core").from_string("{{ forgotten }}").render()


def test_the_common_look_can_be_included():
    """The style sheet renders, so that pages of every package can take it."""
    css = render("terracube.core", "style.css")
    assert "body" in css
    assert environment("terracube.core").from_string('{% include "style.css" %}').render() == css


def test_png_address_holds_the_bytes():
    """The data address decodes to the same picture."""
    png = bytes(range(256))
    head, body = png_data_uri(png).split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body, validate=True) == png
