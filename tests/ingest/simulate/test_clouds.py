"""The sky: clouds, the shadows they throw, and a classification with believable mistakes."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from terracube.ingest.simulate import BANDS, Clouds, Region, acquisition_dates, seen_reflectance, sky_of
from terracube.ingest.simulate.classification import Scl, classify
from terracube.ingest.simulate.clouds import draw_sky, shadow_shift
from terracube.ingest.simulate.sensor import Sun
from terracube.ingest.simulate.surface import Cover

REGION = Region(seed=21, size=180)
YEAR = acquisition_dates(every=6)


def scl_of(day: date) -> np.ndarray:
    """The classification of a day, before the swath cuts it."""
    return classify(
        sky_of(REGION, day),
        seed=REGION.seed,
        day=day,
        clouds=REGION.clouds,
        water_share=REGION.land.share(Cover.WATER),
        red=seen_reflectance(REGION, "red", day),
        nir=seen_reflectance(REGION, "nir", day),
    )


def test_same_day_same_sky() -> None:
    """A sky depends on seed and date, and every date has its own."""
    again = Region(seed=21, size=180)
    assert np.array_equal(sky_of(again, "2023-05-05").cloud, sky_of(REGION, "2023-05-05").cloud)
    assert not np.array_equal(sky_of(REGION, "2023-05-05").cloud, sky_of(REGION, "2023-05-06").cloud)


def test_cover_over_the_year() -> None:
    """The mean cover is the one asked for; clear, mixed and overcast days all occur."""
    skies = [
        draw_sky(1, 30, day, sun=Sun(150, 40), clouds=Clouds(), noise=REGION.noise)
        for day in acquisition_dates(every=1)
    ]
    cover = np.array([(sky.cloud > 0.02).mean() for sky in skies])
    assert cover.mean() == pytest.approx(Clouds().cover, abs=0.07)
    assert (cover < 0.05).mean() > 0.1
    assert (cover > 0.95).mean() > 0.05
    assert np.mean([sky.cirrus.any() for sky in skies]) == pytest.approx(Clouds().cirrus, abs=0.08)
    assert np.std([sky.haze for sky in skies]) == pytest.approx(REGION.noise.aerosol, rel=0.15)


@pytest.mark.parametrize("azimuth", [90.0, 152.0, 180.0, 230.0])
def test_shadow_falls_away_from_the_sun(azimuth: float) -> None:
    """Seen from the cloud, its shadow lies opposite to the sun, as far as the height and the sun's elevation say."""
    rows, columns = shadow_shift(1500.0, Sun(azimuth, 35.0))
    bearing = np.degrees(np.arctan2(columns, -rows)) % 360
    assert bearing == pytest.approx((azimuth + 180) % 360, abs=0.5)
    assert 10 * np.hypot(rows, columns) == pytest.approx(1500 / np.tan(np.radians(35)), abs=15)


def test_shadows_are_displaced_clouds() -> None:
    """Inside the region a shadow is its cloud, moved along the sun's direction."""
    day = next(d for d in YEAR if 0.2 < sky_of(REGION, d).cloud.mean() < 0.6 and REGION.sun(d).elevation > 50)
    sky = sky_of(REGION, day)
    rows, columns = sky.shift
    assert rows < 0  # morning sun from the south-east
    assert columns < 0
    assert np.array_equal(sky.shadow[:rows, :columns], sky.cloud[-rows:, -columns:])
    bearing = np.degrees(np.arctan2(columns, -rows)) % 360
    assert bearing == pytest.approx(REGION.sun(day).azimuth + 180, abs=2)


def test_clouds_brighten_and_shadows_darken() -> None:
    """Where the veil is thick, clouds are bright and shadows dark in every band."""
    day = next(d for d in YEAR if 0.2 < sky_of(REGION, d).cloud.mean() < 0.6)
    sky = sky_of(REGION, day)
    thick = sky.cloud > 0.9
    dark = (sky.shadow > 0.9) & (sky.cloud < 0.01) & (sky.cirrus == 0)
    assert thick.any()
    assert dark.any()
    for band in BANDS:
        seen, truth = seen_reflectance(REGION, band, day), REGION.reflectance(band, day)
        assert seen[thick].min() > 0.3
        assert (seen[dark] < 0.6 * truth[dark] + 0.02).all()


def test_clear_ground_is_only_hazy() -> None:
    """Where nothing hides the ground, one small number per date and band is added, larger in the blue."""
    day = next(d for d in YEAR if sky_of(REGION, d).cloud.max() == 0 or sky_of(REGION, d).cloud.mean() < 0.1)
    sky = sky_of(REGION, day)
    clear = (sky.cloud == 0) & (sky.shadow == 0) & (sky.cirrus == 0)
    added = {b: (seen_reflectance(REGION, b, day) - REGION.reflectance(b, day))[clear] for b in ("blue", "nir")}
    for values in added.values():
        assert np.ptp(values) < 1e-6
    assert abs(added["blue"].mean()) > abs(added["nir"].mean())
    assert abs(added["blue"].mean()) == pytest.approx(abs(sky.haze) * (492.7 / 550) ** -1.3, rel=1e-3)


def test_classification_is_right_but_not_perfect() -> None:
    """Over a year: thick cloud and dark shadow are found, thin edges are partly missed, some clear land is flagged."""
    flagged, cloudy, thin, clear, wet = [], [], [], [], []
    for day in YEAR[::3]:
        sky, scl = sky_of(REGION, day), scl_of(day)
        opacity = sky.cloud.reshape(90, 2, 90, 2).mean(axis=(1, 3))
        hidden = opacity + sky.shadow.reshape(90, 2, 90, 2).mean(axis=(1, 3)) + sky.cirrus[::2, ::2]
        flagged.append(np.isin(scl, [Scl.CLOUD_MEDIUM, Scl.CLOUD_HIGH, Scl.CIRRUS]))
        cloudy.append(opacity > 0.6)
        thin.append((opacity > 0.05) & (opacity < 0.3) & (sky.cirrus[::2, ::2] == 0))
        clear.append(hidden == 0)
        wet.append(scl == Scl.WATER)
        assert scl.min() > 0
    found, masks = np.stack(flagged), [np.stack(m) for m in (cloudy, thin, clear)]
    assert found[masks[0]].mean() > 0.99
    assert 0.2 < found[masks[1]].mean() < 0.8
    assert 0.002 < found[masks[2]].mean() < 0.03
    lake = REGION.land.share(Cover.WATER)[::2, ::2] == 1
    assert np.stack(wet)[masks[2] & lake].mean() > 0.97


def test_classification_is_reproducible() -> None:
    """The same day gives the same mistakes."""
    assert np.array_equal(scl_of(YEAR[8]), scl_of(YEAR[8]))


def test_green_in_summer_bare_in_winter() -> None:
    """Broadleaf woods are vegetation in July and bare in January wherever they are seen."""
    woods = REGION.land.share(Cover.BROADLEAF)[::2, ::2] == 1
    seen = {
        month: [scl_of(d)[woods] for d in acquisition_dates(f"2023-{month}-05", f"2023-{month}-28", every=4)]
        for month in ("01", "07")
    }
    counts = {month: np.bincount(np.concatenate(values), minlength=12) for month, values in seen.items()}
    assert counts["07"][Scl.VEGETATION] > 50 * counts["07"][Scl.BARE]
    assert counts["01"][Scl.BARE] > 5 * counts["01"][Scl.VEGETATION]


def test_always_overcast() -> None:
    """A harder world is possible: with a cover of 1 nearly every pixel of every day is hidden."""
    clouds = Clouds(cover=1.0)
    skies = [draw_sky(1, 30, day, sun=Sun(150, 40), clouds=clouds, noise=REGION.noise) for day in YEAR]
    assert np.mean([(sky.cloud > 0.5).mean() for sky in skies]) > 0.95
