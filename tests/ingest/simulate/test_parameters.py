"""The imperfections may be made worse, never better than reality."""

from __future__ import annotations

from dataclasses import fields

import pytest

from terracube.core.errors import InputError
from terracube.ingest.simulate import Clouds, Noise, Radar, Region

GROUPS = [Noise, Clouds, Radar]
CASES = [(group, item) for group in GROUPS for item in fields(group)]


@pytest.mark.parametrize(("group", "item"), CASES, ids=lambda c: getattr(c, "name", getattr(c, "__name__", "")))
def test_milder_is_refused_and_harder_accepted(group: type, item) -> None:
    """Each parameter can be moved in the hard direction only; those with none in both."""
    up, down = ({item.name: item.default * factor} for factor in (1.2, 0.8))
    harder = item.metadata["harder"]
    for values, mild in ((up, harder == "down"), (down, harder == "up")):
        if mild:
            with pytest.raises(InputError, match="kinder than reality"):
                group(**values)
        else:
            assert getattr(group(**values), item.name) == values[item.name]


def test_describe_names_every_parameter() -> None:
    """The description lists every parameter with its value, unit and meaning."""
    region = Region(seed=4, size=90)
    text = region.describe()
    assert "seed 4" in text
    assert "water" in text
    for group in (region.noise, region.clouds, region.deformation, region.radar):
        for item in fields(group):
            line = next(x for x in text.splitlines() if x.startswith(f"{type(group).__name__}.{item.name} "))
            assert f"{item.default:g}" in line
            assert item.metadata["meaning"] in line
