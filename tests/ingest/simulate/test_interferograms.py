"""Moving ground and what a radar makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from terracube.core.errors import InputError
from terracube.ingest.simulate import (
    Deformation,
    Frame,
    LineOfSight,
    Motion,
    Radar,
    Region,
    interferogram,
    mogi,
    pairs_of,
    radar_dates,
    write_interferograms,
)
from terracube.ingest.simulate.radar import phase_noise_std, true_coherence

REGION = Region(seed=41, size=90)
FRAME = Frame(REGION, size=96)
A, B, C = radar_dates(count=3)


@given(depth=st.floats(200.0, 5000.0), volume=st.floats(-1e7, 1e7), poisson=st.floats(0.0, 0.5))
def test_mogi_volume(depth: float, volume: float, poisson: float) -> None:
    """The uplift, summed over the plane, is 2 (1 - nu) dV: trapezoids along the radius, then the tail."""
    r = np.concatenate([[0.0], np.geomspace(1e-3, 100, 4000)]) * depth
    up = mogi(r, np.zeros_like(r), depth=depth, volume=volume, poisson=poisson).up
    tail = up[-1] * 2 * np.pi * (r[-1] ** 2 + depth**2)
    assert np.trapezoid(2 * np.pi * r * up, r) + tail == pytest.approx(2 * (1 - poisson) * volume, rel=1e-3)


def test_mogi_shape() -> None:
    """Highest above the source, the same in all directions, pushed outwards most at depth / sqrt 2."""
    line = np.arange(-3000.0, 3001.0, 10.0)
    source = mogi(line[None, :], -line[:, None], depth=1000.0, volume=1e6)
    assert np.unravel_index(source.up.argmax(), source.up.shape) == (300, 300)
    for flipped in (source.up[::-1], source.up[:, ::-1], source.up.T):
        assert np.allclose(source.up, flipped, rtol=1e-12)
    assert source.east[300, 300] == source.north[300, 300] == 0
    assert np.allclose(source.east, -source.east[:, ::-1])
    assert abs(line[source.east[300].argmax()]) == pytest.approx(1000 / np.sqrt(2), abs=10)


def test_mogi_is_linear_in_volume() -> None:
    """Twice the volume, twice the motion; a shrinking source pulls in and down."""
    one, two, back = (mogi(np.array(300.0), np.array(-500.0), depth=900.0, volume=v) for v in (1e6, 2e6, -1e6))
    assert two.up == 2 * one.up > 0
    assert back.east == -one.east < 0 < one.east
    assert one.north < 0


@given(incidence=st.floats(20.0, 50.0), heading=st.floats(-180.0, 180.0))
def test_line_of_sight_is_a_unit_vector(incidence: float, heading: float) -> None:
    """It has length 1, points up, lies across the flight, and to the left of it."""
    look = LineOfSight.of(incidence=incidence, heading=heading)
    assert look.east**2 + look.north**2 + look.up**2 == pytest.approx(1)
    assert look.up > 0
    flight = np.array([np.sin(np.radians(heading)), np.cos(np.radians(heading))])
    assert flight @ [look.east, look.north] == pytest.approx(0, abs=1e-12)
    assert flight[0] * look.north - flight[1] * look.east > 0


def test_ascending_radar_sees_eastward_motion_as_away() -> None:
    """On an ascending path the satellite stands in the west: moving east is moving away, moving up is coming near."""
    look = LineOfSight.of(incidence=39.0, heading=-12.3)
    none, one = np.zeros(1), np.ones(1)
    assert look.project(Motion(east=one, north=none, up=none))[0] == pytest.approx(
        -np.sin(np.radians(39)) * np.cos(np.radians(12.3))
    )
    assert look.project(Motion(east=none, north=none, up=one))[0] == pytest.approx(np.cos(np.radians(39)))


def test_displacement_over_time() -> None:
    """It starts at 0, and after whole years only the velocity has worked."""
    days = [date(2021, 3, 1), date(2021, 9, 1), date(2023, 3, 1)]
    motion = FRAME.motion
    moved = motion.displacement(days)
    assert (moved[0] == 0).all()
    assert np.allclose(moved[2], motion.velocity * 730 / 365.25)
    assert np.abs(moved[1] - motion.velocity * 184 / 365.25).max() > 0.002


def test_velocity_is_the_projected_source() -> None:
    """The fastest sinking lies near the source, displaced by the slant view, with the size Mogi gives."""
    velocity, ground = FRAME.motion.velocity, REGION.deformation
    row, column = np.unravel_index(velocity.argmin(), velocity.shape)
    east, north = FRAME.offsets
    assert abs(east[0, column] - ground.east) < 700
    assert abs(north[row, 0] - ground.north) < 300
    peak = (1 - ground.poisson) * ground.volume_rate / np.pi / ground.depth**2
    assert peak * 1.1 < velocity.min() < peak * np.cos(np.radians(39))


def test_sinking_ground_lengthens_the_path() -> None:
    """The sign: ground that sinks gives positive phase, d = -wavelength / (4 pi) phase."""
    fast = replace(REGION, deformation=Deformation(volume_rate=-2e7, annual=0.0))
    frame = Frame(fast, size=96)
    pair = interferogram(frame, A, B)
    d = -fast.radar.wavelength / (4 * np.pi) * pair.unwrapped
    truth = frame.motion.displacement([A, B])[1]
    good = np.isfinite(pair.unwrapped) & (truth < -0.05)
    assert good.sum() > 50
    assert (pair.unwrapped[good] > 0).mean() > 0.99
    assert np.median(d[good] - truth[good]) == pytest.approx(0.0, abs=0.03)


def test_phase_is_motion_and_air_and_noise() -> None:
    """What remains after motion and delays is decorrelation noise of the size the coherence says."""
    pair, radar = interferogram(FRAME, A, B), REGION.radar
    air = FRAME.delay(B) - FRAME.delay(A)
    rest = pair.unwrapped + 4 * np.pi / radar.wavelength * (FRAME.motion.displacement([A, B])[1] - air)
    coherence = true_coherence(FRAME.lasting_coherence, days=24, baseline=pair.baseline, radar=radar)
    good = np.isfinite(pair.unwrapped) & ~FRAME.water
    z = (rest / phase_noise_std(coherence, looks=radar.looks))[good]
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert z.std() == pytest.approx(1.0, abs=0.03)


def test_closure_is_noise_only() -> None:
    """Around a loop motion and air cancel: the sum is noise with the three variances added."""
    loop = [interferogram(FRAME, *pair) for pair in ((A, B), (B, C), (A, C))]
    total = loop[0].unwrapped + loop[1].unwrapped - loop[2].unwrapped
    radar, days = REGION.radar, (24, 24, 48)
    variance = sum(
        phase_noise_std(
            true_coherence(FRAME.lasting_coherence, days=n, baseline=p.baseline, radar=radar), looks=radar.looks
        )
        ** 2
        for n, p in zip(days, loop, strict=True)
    )
    good = np.isfinite(total) & ~FRAME.water
    z = (total / np.sqrt(variance))[good]
    assert good.mean() > 0.9
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert z.std() == pytest.approx(1.0, abs=0.03)
    assert np.nanstd(loop[0].unwrapped) > 2 * np.nanstd(total[good])


def test_noise_std_against_the_distribution() -> None:
    """The bound agrees with the spread of simulated multi-look phases of correlated circular Gaussians."""
    rng, looks, coherence = np.random.default_rng(5), 30, 0.6
    shape = (20_000, looks)
    a, b = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape) for _ in range(2))
    other = coherence * a + np.sqrt(1 - coherence**2) * b
    phase = np.angle((a * other.conj()).sum(axis=1))
    assert phase.std() == pytest.approx(float(phase_noise_std(np.array(coherence), looks=looks)), rel=0.05)
    sample = np.abs((a * other.conj()).sum(1)) / np.sqrt((np.abs(a) ** 2).sum(1) * (np.abs(other) ** 2).sum(1))
    assert sample.std() == pytest.approx((1 - coherence**2) / np.sqrt(2 * looks), rel=0.1)


def test_coherence_statistics() -> None:
    """Estimates scatter around the true coherence, which falls with time and baseline; water has none."""
    pair, radar = interferogram(FRAME, A, C), REGION.radar
    truth = true_coherence(FRAME.lasting_coherence, days=48, baseline=pair.baseline, radar=radar)
    land = ~FRAME.water & (truth > 0.3)
    z = (pair.coherence - truth)[land] / ((1 - truth[land] ** 2) / np.sqrt(2 * radar.looks))
    assert abs(z.mean()) < 0.05
    assert z.std() == pytest.approx(1.0, abs=0.03)
    assert np.median(pair.coherence[FRAME.water]) < 0.2
    assert np.isnan(pair.unwrapped[pair.coherence < radar.masked_below]).all()
    later = true_coherence(FRAME.lasting_coherence, days=400, baseline=0.0, radar=radar)
    assert (later < truth).mean() > 0.99
    assert (true_coherence(later, days=0, baseline=1e4, radar=radar) == 0).all()


def test_water_of_the_frame_is_the_region_s() -> None:
    """The lake covers as much ground on the radar's grid as on the region's."""
    frame = Frame(Region(seed=1, size=360), size=64)
    lake = (frame.region.land.fractions[-1] > 0.5).sum() * 100
    assert frame.water.sum() * 8100 == pytest.approx(lake, rel=0.05)


def test_air() -> None:
    """Each date has its own air; its turbulence has the spread asked for; its layering follows the terrain."""
    days = radar_dates(count=60)
    frame = Frame(Region(seed=3, size=90), size=64)
    delays = np.stack([frame.delay(day) for day in days])
    assert np.array_equal(frame.delay(days[7]), delays[7])
    assert not np.array_equal(delays[0], delays[1])
    assert 0.5 * 0.006 < delays.std() < 2 * 0.006
    layered = Frame(Region(seed=3, size=90, radar=Radar(stratification=5.0)), size=64)
    height = (layered.terrain - layered.terrain.mean()).ravel() / 1000
    slopes = [np.polyfit(height, layered.delay(day).ravel(), 1)[0] for day in days]
    assert np.std(slopes) == pytest.approx(5.0, rel=0.3)
    assert np.corrcoef(height, layered.delay(days[0]).ravel())[0, 1] ** 2 > 0.9


def test_pairs() -> None:
    """Every date is joined to the next ones, earlier first, and the network is connected."""
    days = radar_dates(count=6)
    pairs = pairs_of(days[::-1], neighbours=3)
    assert len(pairs) == 5 + 4 + 3
    assert all(first < second for first, second in pairs)
    assert {day for pair in pairs for day in pair} == set(days)


def test_stack_on_disk(tmp_path: Path) -> None:
    """Files, network and truth belong together and can be read back; a second call does nothing."""
    path = write_interferograms(REGION, tmp_path, dates=[C, A, B.isoformat()], size=64)
    network = json.loads(path.read_text())
    frame = Frame(REGION, 64)
    assert network["pairs"] == [["20220103", "20220127"], ["20220103", "20220220"], ["20220127", "20220220"]]
    assert network["dates"] == ["20220103", "20220127", "20220220"]
    assert network["wavelength_m"] == REGION.radar.wavelength
    assert network["bperp_m"][0] + network["bperp_m"][2] == pytest.approx(network["bperp_m"][1], abs=0.01)
    for (first, second), days in zip(network["pairs"], ((A, B), (A, C), (B, C)), strict=True):
        expected = interferogram(frame, *days)
        with rasterio.open(tmp_path / f"{first}-{second}_unw.tif") as phase:
            assert phase.nodata == 0
            assert phase.tags()["FIRST_DATE"] == days[0].isoformat()
            assert phase.tags()["DATA_UNITS"] == "RADIANS"
            assert phase.transform == frame.transform
            assert np.array_equal(phase.read(1, masked=True).filled(np.nan), expected.unwrapped, equal_nan=True)
        with rasterio.open(tmp_path / f"{first}-{second}_cc.tif") as coherence:
            assert np.array_equal(coherence.read(1), expected.coherence)
    with rasterio.open(tmp_path / "truth" / "displacement.tif") as truth:
        assert truth.descriptions == ("2022-01-03", "2022-01-27", "2022-02-20")
        assert np.allclose(truth.read(), frame.motion.displacement([A, B, C]), atol=1e-8)
    with rasterio.open(tmp_path / "truth" / "velocity.tif") as velocity:
        row, column = network["ref_yx"]
        assert abs(velocity.read(1)[row, column]) < 0.02 * np.abs(velocity.read(1)).max()
    with rasterio.open(tmp_path / "dem.tif") as dem:
        assert 100 < dem.read(1).min() < dem.read(1).max() < 2000
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")}
    assert write_interferograms(REGION, tmp_path, dates=[A, B, C], size=64) == path
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")} == before


def test_same_form_as_a_real_stack(tmp_path: Path, data_dir: Path) -> None:
    """The network's file uses the words of the real stack, with values of the same kind."""
    real = json.loads((data_dir / "insar/mexico-sentinel1/network.json").read_text())
    mine = json.loads(write_interferograms(REGION, tmp_path, dates=[A, B], size=64).read_text())
    shared = set(mine) & set(real)
    assert {"pairs", "bperp_m", "dates", "ref_yx", "wavelength_m", "incidence_deg", "heading_deg", "nodata"} <= shared
    for word in shared - {"nlooks_used_for_weight"}:
        assert type(mine[word]) is type(real[word]), word


@pytest.mark.parametrize(
    ("dates", "neighbours"), [(["2022-01-03"], 2), (["2022-01-03"] * 2, 2), (["2022-01-03", "2022-01-15"], 0)]
)
def test_no_pair_is_refused(tmp_path: Path, dates: list[str], neighbours: int) -> None:
    """One date, the same date twice, or no neighbour make no pair."""
    with pytest.raises(InputError, match="no pair"):
        write_interferograms(REGION, tmp_path, dates=dates, neighbours=neighbours)
