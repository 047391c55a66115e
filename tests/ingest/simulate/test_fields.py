"""Seeded randomness: reproducible, independent, and with the statistics that are promised."""

from __future__ import annotations

import numpy as np
import pytest

from terracube.ingest.simulate.fields import block_mean, fractal_field, generator, smooth_field


def spectrum_slope(field: np.ndarray) -> float:
    """Fit the fall of the two-dimensional power spectral density with wavenumber, in log-log."""
    count = field.shape[0]
    k = np.hypot(np.fft.fftfreq(count)[:, None], np.fft.fftfreq(count)[None, :]) * count
    power = np.abs(np.fft.fft2(field)) ** 2
    rings = [(k >= a) & (k < 1.3 * a) for a in np.geomspace(4, count / 4, 12)]
    wavenumber = [np.log(k[ring]).mean() for ring in rings]
    return -float(np.polyfit(wavenumber, [np.log(power[ring].mean()) for ring in rings], 1)[0])


def test_same_name_same_numbers() -> None:
    """A stream depends on the seed and the name, not on what was drawn before."""
    generator(1, "other").random(1000)
    assert np.array_equal(generator(1, "sky", "a").random(9), generator(1, "sky", "a").random(9))


@pytest.mark.parametrize("other", [(2, "sky", "a"), (1, "sky", "b"), (1, "sky"), (1, "a", "sky")])
def test_other_name_other_numbers(other: tuple[int, ...]) -> None:
    """Another seed, another name or another order of names gives another stream."""
    assert not np.array_equal(generator(1, "sky", "a").random(9), generator(*other).random(9))


@pytest.mark.parametrize("exponent", [8 / 3, 11 / 3])
def test_fractal_field_has_its_spectrum(exponent: float) -> None:
    """The power spectral density falls with the exponent asked for."""
    slopes = [spectrum_slope(fractal_field(generator(s, "f"), (256, 256), exponent=exponent)) for s in range(4)]
    assert np.mean(slopes) == pytest.approx(exponent, abs=0.1)


def test_fractal_field_along_a_line() -> None:
    """Along a line the spectrum is flatter by one: 11/3 in the plane is the 8/3 of turbulence along a profile."""
    rows = np.concatenate([fractal_field(generator(s, "f"), (512, 512), exponent=11 / 3) for s in range(6)])
    power = (np.abs(np.fft.rfft(rows, axis=1)) ** 2).mean(axis=0)[4:100]
    slope = np.polyfit(np.log(np.arange(4, 100)), np.log(power), 1)[0]
    assert -slope == pytest.approx(8 / 3, abs=0.15)


def test_smooth_field_statistics() -> None:
    """Mean 0, variance 1, and a Gaussian covariance of the length asked for."""
    fields = np.stack([smooth_field(generator(s, "g"), (64, 64), length=3.0) for s in range(60)])
    assert fields.mean() == pytest.approx(0.0, abs=0.03)
    assert fields.var() == pytest.approx(1.0, abs=0.05)
    apart = (fields * np.roll(fields, 3, axis=2)).mean()
    assert apart == pytest.approx(np.exp(-0.5), abs=0.05)


def test_block_mean_keeps_the_mean() -> None:
    """Averaging blocks changes neither the mean nor the type, and works on stacks."""
    stack = generator(1, "x").random((2, 12, 18)).astype(np.float32)
    coarse = block_mean(stack, 6)
    assert coarse.shape == (2, 2, 3)
    assert coarse.dtype == np.float32
    assert coarse.mean() == pytest.approx(stack.mean(), rel=1e-6)
    assert coarse[1, 0, 2] == pytest.approx(stack[1, :6, 12:].mean(), rel=1e-6)
