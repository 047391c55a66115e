"""Windows around pixels: smoothing and votes, against plain references, and alone as in company."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from terracube.processing.kernels.neighbours import LANES, smooth_plane, vote, vote_squares

FEW = settings(max_examples=30, deadline=None)
MAPS = arrays("uint16", array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 4))


def plainly(plane: np.ndarray, radius: int, fraction: float, variance: float) -> np.ndarray:
    """The same estimate, pixel by pixel, by sorting each window."""
    out = np.full((plane.shape[0] - 2 * radius, plane.shape[1] - 2 * radius), np.nan)
    for y, x in np.ndindex(*out.shape):
        window = plane[y : y + 2 * radius + 1, x : x + 2 * radius + 1].ravel().astype("float64")
        window = np.sort(window[~np.isnan(window)])[::-1]
        top = window[: int(np.ceil(fraction * window.size))]
        if not np.isnan(plane[y + radius, x + radius]):
            spread = top.var(ddof=1) if top.size > 1 else 0.0
            part = spread / (spread + variance) if spread >= 1e-4 else 0.0
            out[y, x] = part * plane[y + radius, x + radius] + (1 - part) * top.mean()
    return out


@pytest.mark.parametrize("step", [0.0, 0.1, 2.0], ids=["all different", "some equal", "mostly equal"])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 1.0])
def test_smoothing_sorts_each_window(step: float, fraction: float) -> None:
    """The bitwise selection gives what sorting gives, with missing, negative and equal values."""
    rng = np.random.default_rng(4)
    plane = rng.normal(0, 3, (14, 17)).astype("float32")
    plane = np.round(plane / step).astype("float32") * np.float32(step) if step else plane
    plane[rng.random(plane.shape) < 0.3] = np.nan
    found = smooth_plane(plane, 2, fraction, 20.0, 1e-4)
    np.testing.assert_allclose(found, plainly(plane, 2, fraction, 20.0), atol=2e-6)


def test_smoothing_of_constants_and_of_nothing() -> None:
    """A constant stays, also -0; a plane without values has none after."""
    assert (smooth_plane(np.full((5, 5), -1.5, "float32"), 1, 0.5, 1.0, 1e-4) == -1.5).all()
    assert (smooth_plane(np.full((3, 3), -0.0, "float32"), 1, 0.5, 1.0, 1e-4) == 0).all()
    assert np.isnan(smooth_plane(np.full((4, 4), np.nan, "float32"), 1, 0.5, 1.0, 1e-4)).all()


def test_smoothing_does_not_depend_on_the_place_in_a_row() -> None:
    """A pixel has the same bits in any lane, in any company, with ties or without."""
    rng = np.random.default_rng(5)
    plane = rng.normal(0, 3, (9, LANES + 60)).astype("float32")
    plane[:, 100:200] = np.round(plane[:, 100:200])
    plane[rng.random(plane.shape) < 0.1] = np.nan
    whole = smooth_plane(plane, 2, 0.5, 20.0, 1e-4)
    for start in (1, 37, 150, 255):
        part = smooth_plane(plane[:, start : start + 41], 2, 0.5, 20.0, 1e-4)
        np.testing.assert_array_equal(part.view("uint32"), whole[:, start : start + 37].view("uint32"))


@FEW
@given(MAPS, st.integers(0, 3))
def test_votes_are_counted(codes: np.ndarray, radius: int) -> None:
    """The sliding count gives what counting each window gives."""
    found = vote(codes, radius, 4)
    for y, x in np.ndindex(*codes.shape):
        window = codes[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        votes = [int((window == code).sum()) for code in range(1, 5)]
        own = int(codes[y, x])
        wanted = own if own == 0 or votes[own - 1] == max(votes) else votes.index(max(votes)) + 1
        assert found[y, x] == wanted


@FEW
@given(MAPS, st.integers(1, 4))
def test_squares_vote(codes: np.ndarray, factor: int) -> None:
    """Each square takes its most frequent code, the lowest of equal ones, or none."""
    found = vote_squares(codes, factor, 4)
    for y, x in np.ndindex(*found.shape):
        square = codes[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        votes = [int((square == code).sum()) for code in range(1, 5)]
        assert found[y, x] == (votes.index(max(votes)) + 1 if max(votes) else 0)


def test_empty_maps() -> None:
    """Maps without pixels have no votes."""
    assert vote(np.empty((0, 3), "uint16"), 1, 0).shape == (0, 3)
    assert vote_squares(np.empty((0, 3), "uint16"), 2, 0).shape == (0, 2)
