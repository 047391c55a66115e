"""Pairs of images joined to a stack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from terracube.core.errors import InputError, MetadataError
from terracube.processing.deformation.slc import coherence, interferogram, join_pairs

DAYS = ("2020-01-01", "2020-01-13", "2020-01-25")


def images(**attrs: Any) -> list[xr.DataArray]:
    """Make three dated images."""
    rng = np.random.default_rng(0)
    return [
        xr.DataArray(rng.standard_normal((6, 8, 2)) @ [1, 1j], dims=("y", "x"), attrs=attrs).assign_coords(
            time=np.datetime64(day, "ns")
        )
        for day in DAYS
    ]


@pytest.mark.parametrize("lazy", [False, True])
def test_pairs_are_ordered_by_their_dates(lazy: bool) -> None:
    """Whatever their order, with the facts of all of them; lazy in, lazy out."""
    one, two, three = (image.chunk(y=3) if lazy else image for image in images(wavelength=0.055))
    pairs = [interferogram(a, b, looks=(2, 2)) for a, b in ((two, three), (one, three), (one, two))]
    pairs = [pair.assign(coherence=coherence(pair)) for pair in pairs]
    stack = join_pairs(pairs)
    assert stack["pair"].values.tolist() == ["20200101_20200113", "20200101_20200125", "20200113_20200125"]
    np.testing.assert_array_equal(stack["secondary_time"], np.array(DAYS, "datetime64[ns]")[[1, 2, 2]])
    assert stack["coherence"].dims == ("pair", "y", "x")
    assert (stack.attrs["wavelength"], stack.attrs["looks"]) == (0.055, 4.0)
    assert bool(stack.chunks) is lazy
    np.testing.assert_array_equal(stack["interferogram"][2], pairs[0]["interferogram"])
    xr.testing.assert_identical(join_pairs(pairs[::-1]).compute(), stack.compute())
    found = coherence(stack)
    assert bool(found.chunks) is lazy
    xr.testing.assert_allclose(found.compute(), stack["coherence"].compute())
    assert stack["interferogram"].attrs["looks"] == 4


def test_what_does_not_go_together() -> None:
    """No pair, one that comes twice, without dates, of other looks, variables or pixels."""
    one, two, three = images()
    pair, other = interferogram(one, two, looks=(2, 2)), interferogram(two, three, looks=(2, 2))
    with pytest.raises(InputError, match="no pair"):
        join_pairs([])
    with pytest.raises(InputError, match="twice"):
        join_pairs([pair, other, pair])
    with pytest.raises(MetadataError, match="no dates"):
        join_pairs([pair, interferogram(one.drop_vars("time"), two)])
    with pytest.raises(MetadataError, match="another looks"):
        join_pairs([pair, interferogram(two, three, looks=(2, 2), independence=0.5)])
    with pytest.raises(InputError, match="other variables"):
        join_pairs([pair, other.drop_vars("samples")])
    with pytest.raises(InputError, match="does not fit"):
        join_pairs([pair, other.isel(x=slice(1))])
