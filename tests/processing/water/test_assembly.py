"""Products put together: what is asked for beside a product changes none of its bits."""

from __future__ import annotations

import numpy as np
import pytest

from terracube.processing.water.assembly import PARTS, assemble
from terracube.processing.water.sensors import load_water_sensor

_SENSOR = load_water_sensor("S2A_MSI")
_NAMES = (
    "spm_nechad2010", "spm_novoa2017", "spm_blend", "spm_jiang2021", "spm_gaa2019", "turbidity_dogliotti2015",
    "chl_oc3", "chl_oci", "chl_gilerson2b", "chl_gons", "chl_ndci", "chl_blend", "cdom_qaa", "a490_qaa6",
    "bbp560_qaa6", "kd490_lee2013", "secchi_lee2015", "hue_angle", "owt_spyrakos", "fai", "tsi_chl",
)  # fmt: skip


def _made(names: tuple[str, ...], dtype: str, parts: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Make products of the same random spectra."""
    rng = np.random.default_rng(1)
    bands = {role: rng.uniform(0.001, 0.08, 1500).astype(dtype) for role in _SENSOR.bands}
    program = assemble(names, _SENSOR, list(bands), quantity="rhow", parts=parts).program
    products, flags = program.run(np.stack([bands[role] for role in program.bands]))
    return dict(zip((*program.products, *program.flags), (*products, *flags), strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_does_not_depend_on_what_else_is_asked_for(dtype: str) -> None:
    """Alone, with others in any order, and with its uncertainty: to the bit the same values and flags."""
    together = _made(_NAMES, dtype)
    reversed_ = _made(_NAMES[::-1], dtype)
    sure = _made(_NAMES, dtype, PARTS)
    for name in _NAMES:
        alone = _made((name,), dtype)
        for key in (name, f"{name}_flags"):
            for other in (together, reversed_, sure):
                np.testing.assert_array_equal(other[key], alone[key], err_msg=key)
        alone = _made((name,), dtype, PARTS)
        np.testing.assert_array_equal(sure[f"{name}_noise"], alone[f"{name}_noise"], err_msg=name)


def test_uncertainty_is_there_where_the_value_is() -> None:
    """Noise and error are finite exactly where a measured product is, and never below zero."""
    made = _made(tuple(name for name in _NAMES if not name.startswith("owt")), "float32", PARTS)
    for name in made:
        if name.endswith("_noise"):
            value = made[name.removesuffix("_noise")]
            np.testing.assert_array_equal(np.isfinite(made[name]), np.isfinite(value), err_msg=name)
            assert (made[name][np.isfinite(value)] >= 0).all()
