"""Moving extremes as features."""

from __future__ import annotations

import numpy as np
import pytest

from terracube.core.errors import InputError
from terracube.processing.landcover.features import FeatureSpec, Season, feature_table
from terracube.processing.landcover.features.extremes import moving_extremes


def test_highest_and_lowest_around_each_date() -> None:
    """The window is cut at the ends; a missing series stays missing."""
    season = Season(step=10, count=4)
    key = moving_extremes(("red", "nir"), season, window=3)
    assert moving_extremes(("red", "nir"), season, window=3) == key
    spec = FeatureSpec(bands=("red", "nir"), season=season, functions=(key,))
    assert spec.names()[:2] == ("red_max3_d000", "red_max3_d010")
    series = np.float32([[[1, 5], [4, 5], [2, 5], [0, 6]], [[np.nan, 1]] * 4])
    found = feature_table(series, spec, days=season.targets()).values
    assert found[0, :4].tolist() == [4, 4, 4, 2]
    assert found[0, 8:12].tolist() == [1, 1, 0, 0]
    assert found[0, 4:8].tolist() == [5, 5, 6, 6]
    assert np.isnan(found[1, :4]).all()


def test_unfit_windows_are_refused() -> None:
    """A window has a middle, and is not wider than makes sense."""
    for window in (2, 4, 1, 99):
        with pytest.raises(InputError, match="window"):
            moving_extremes(("red",), Season(step=10, count=4), window=window)
