"""Which of the candidates that are good are compared: no measurement twice, and no pixel twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

type _Cell = tuple[int, int, int]


def nearest_once(
    distance: NDArray[np.float64], sample: NDArray[np.int64], middle: NDArray[np.int64], *, apart: int = 1
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Choose candidates so that no measurement and no pixel is used twice: the nearest in time first.

    Parameters
    ----------
    distance : float array (candidate,)
        What is to be small; candidates must be sorted so that of equals the first shall win.
    sample : int array (candidate,)
        Which measurement a candidate uses.
    middle : int array (candidate, 3)
        Scene, row and column of the middle pixel of its box.
    apart : int
        Rows or columns that must lie between the middles of two boxes of one scene: the side of the box, so that they
        share no pixel; 1, so that only the middle pixel is used once.

    Returns
    -------
    bool array, bool array, bool array
        Where the measurement was taken by another candidate; where the middle pixel was; where another pixel of the
        box was. None of them: chosen.

    Examples
    --------
    >>> middle = np.array([[0, 5, 5], [0, 5, 6], [0, 5, 6]])
    >>> taken = nearest_once(np.array([5.0, 1.0, 2.0]), np.array([0, 0, 1]), middle, apart=3)
    >>> [part.tolist() for part in taken]
    [[True, False, False], [False, False, True], [False, False, False]]
    """
    samples: set[int] = set()
    chosen: dict[_Cell, tuple[int, int]] = {}
    by_sample, by_pixel, by_box = (np.zeros(len(distance), bool) for _ in range(3))
    for at in np.argsort(distance, kind="stable").tolist():
        own = int(sample[at])
        scene, row, col = middle[at].tolist()
        if own in samples:
            by_sample[at] = True
            continue
        # Two middles of one cell are nearer to each other than is allowed, so that a cell holds one.
        near = [chosen[cell] for cell in _around(scene, row, col, apart) if cell in chosen]
        if (row, col) in near:
            by_pixel[at] = True
        elif any(abs(other[0] - row) < apart and abs(other[1] - col) < apart for other in near):
            by_box[at] = True
        else:
            samples.add(own)
            chosen[(scene, row // apart, col // apart)] = (row, col)
    return by_sample, by_pixel, by_box


def shared_pixels(
    middle: NDArray[np.int64], used: NDArray[np.bool_], *, box: int, shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Count the pixels of each box that boxes of other candidates, which are used, hold in the same scene.

    Parameters
    ----------
    middle : int array (candidate, 3)
        Scene, row and column of the middle pixel.
    used : bool array (candidate,)
    box : int
        Pixels along each side, odd.
    shape : (int, int)
        Rows and columns of the scene; pixels beyond count for nothing.

    Examples
    --------
    >>> middle = np.array([[0, 5, 5], [0, 5, 6], [1, 5, 5]])
    >>> shared_pixels(middle, np.ones(3, bool), box=3, shape=(9, 9)).tolist()
    [6, 6, 0]
    """
    cells: dict[_Cell, list[int]] = {}
    for at in np.flatnonzero(used).tolist():
        scene, row, col = middle[at].tolist()
        cells.setdefault((scene, row // box, col // box), []).append(at)
    found = np.zeros(len(middle), np.int64)
    for at, (scene, row, col) in enumerate(middle.tolist()):
        near = [middle[one, 1:] for cell in _around(scene, row, col, box) for one in cells.get(cell, ()) if one != at]
        if near:
            held = np.zeros((box, box), bool)
            for other in near:
                held[_overlap(int(other[0]) - row, box), _overlap(int(other[1]) - col, box)] = True
            found[at] = held[_inside(row, box, shape[0]), _inside(col, box, shape[1])].sum()
    return found


def _around(scene: int, row: int, col: int, size: int) -> Iterator[_Cell]:
    """Give the cells that can hold a middle nearer than `size`."""
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            yield scene, row // size + down, col // size + across


def _overlap(step: int, box: int) -> slice:
    """Give the part of a box that another one, so many pixels farther, covers."""
    return slice(max(step, 0), max(box + min(step, 0), 0))


def _inside(middle: int, box: int, size: int) -> slice:
    first = middle - box // 2
    return slice(max(-first, 0), max(min(box, size - first), 0))
