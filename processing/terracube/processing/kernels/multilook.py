"""Sums over cells and windows of two radar images: interferogram, powers, and how alike the images are.

Sums are made in float64, sample by sample in the order of rows, so that a cell's bits never depend on other cells.
"""

from __future__ import annotations

import math
from typing import Any

from terracube.processing.kernels.compiling import kernel


@kernel
def cells(reference: Any, secondary: Any, flat: Any, looks: Any, out: Any) -> None:
    """Average the interferogram and the powers over cells.

    Parameters
    ----------
    reference, secondary : complex64 arrays (y, x)
        A sample that is not finite in either, or whose phase to remove is not, is missing.
    flat : float64 array (y, x) or (0, 0)
        Phase to remove, rad; empty: none.
    looks : pair of integers
        Samples of a cell along y and x.
    out : float32 array (5, y // looks, x // looks)
        Real and imaginary part of ``reference * conj(secondary) * exp(-1j * flat)``, powers of both, and how many
        samples were averaged; without any, the first four are NaN.
    """
    down, along = looks
    with_flat = flat.size > 0
    for y in range(out.shape[1]):
        for x in range(out.shape[2]):
            real, imaginary, first, second, count = 0.0, 0.0, 0.0, 0.0, 0
            for row in range(y * down, (y + 1) * down):
                for column in range(x * along, (x + 1) * along):
                    a, b = reference[row, column], secondary[row, column]
                    ar, ai, br, bi = float(a.real), float(a.imag), float(b.real), float(b.imag)
                    re, im = ar * br + ai * bi, ai * br - ar * bi
                    if with_flat:
                        angle = flat[row, column]
                        cosine, sine = math.cos(angle), math.sin(angle)
                        re, im = re * cosine + im * sine, im * cosine - re * sine
                    one, two = ar * ar + ai * ai, br * br + bi * bi
                    total = re + im + one + two
                    # Of NaN and of infinity the difference to itself is NaN.
                    if total - total == 0.0:
                        real += re
                        imaginary += im
                        first += one
                        second += two
                        count += 1
            out[0, y, x] = real / count
            out[1, y, x] = imaginary / count
            out[2, y, x] = first / count
            out[3, y, x] = second / count
            out[4, y, x] = count


@kernel
def likeness(interferogram: Any, powers: Any, radii: Any, sums: Any, out: Any) -> None:
    """Give the sample coherence in a window of cells around each cell, and how many samples it was made of.

    The window's sums are weighted by the samples of the cells, as if the samples themselves were summed. At the edges
    the window is cut.

    Parameters
    ----------
    interferogram : complex64 array (y, x)
        Means of cells; a cell that is not finite is missing.
    powers : float32 array (3, y, x)
        Mean powers of both images, and the number of samples.
    radii : pair of integers
        The window has ``2 r + 1`` cells along y and x.
    sums : float64 array (5, x)
        Room to work in.
    out : float32 array (2, y, x)
        Coherence, NaN where the cell is missing or a power is zero, and the number of samples.
    """
    rows, columns = interferogram.shape
    for y in range(rows):
        sums[:] = 0.0
        for row in range(max(0, y - radii[0]), min(rows, y + radii[0] + 1)):
            for x in range(columns):
                value, count = interferogram[row, x], float(powers[2, row, x])
                re, im = float(value.real), float(value.imag)
                there = (re + im) - (re + im) == 0.0
                sums[0, x] += re * count if there else 0.0
                sums[1, x] += im * count if there else 0.0
                sums[2, x] += float(powers[0, row, x]) * count if there else 0.0
                sums[3, x] += float(powers[1, row, x]) * count if there else 0.0
                sums[4, x] += count if there else 0.0
        for x in range(columns):
            re, im, first, second, count = 0.0, 0.0, 0.0, 0.0, 0.0
            for column in range(max(0, x - radii[1]), min(columns, x + radii[1] + 1)):
                re += sums[0, column]
                im += sums[1, column]
                first += sums[2, column]
                second += sums[3, column]
                count += sums[4, column]
            centre = interferogram[y, x].real + interferogram[y, x].imag
            found = math.sqrt(re * re + im * im) / (math.sqrt(first) * math.sqrt(second))
            found = min(found, 1.0) if found == found else math.nan
            out[0, y, x] = found if centre - centre == 0.0 else math.nan
            out[1, y, x] = count if centre - centre == 0.0 else 0.0
