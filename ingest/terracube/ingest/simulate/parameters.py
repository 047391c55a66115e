"""How imperfect the simulated observations are. The defaults are realistic, and the mildest that are accepted.

A retrieval tested on flattering data proves nothing, so a value milder than its default is refused with an error.
Harder ones are welcome. Every value carries its unit and its source, and ``Region.describe()`` prints them.
Figures without an address are of the usual size, typed from memory or chosen by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from terracube.core.errors import InputError

Harder = Literal["up", "down", "either"]


def parameter(default: float, unit: str, meaning: str, *, harder: Harder = "up") -> Any:
    """Declare a field with its unit, its meaning (with source), and the direction in which life gets harder."""
    return field(default=default, metadata={"unit": unit, "meaning": meaning, "harder": harder})


@dataclass(frozen=True)
class Realistic:
    """Base of the parameter sets: refuses values milder than the defaults."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value, default, harder = getattr(self, item.name), item.default, item.metadata["harder"]
            if (harder == "up" and value < default) or (harder == "down" and value > default):
                raise InputError(
                    "a simulation may not be kinder than reality",
                    where=f"{type(self).__name__}.{item.name}",
                    expected=f"{'>=' if harder == 'up' else '<='} {default} {item.metadata['unit']}",
                    got=str(value),
                    todo="leave the default, or ask the region for its truth, which carries no noise",
                )


@dataclass(frozen=True)
class Noise(Realistic):
    """Errors of the surface reflectance where nothing hides the ground."""

    relative: float = parameter(
        0.008, "of reflectance", "standard deviation per pixel; MSI is required to reach SNR 72 to 174"
    )
    floor: float = parameter(0.0012, "reflectance", "standard deviation per pixel over black ground; detector and path")
    aerosol: float = parameter(
        0.004, "reflectance at 550 nm", "standard deviation per date of the haze left in; L2A goal is 0.005 + 5 %"
    )


@dataclass(frozen=True)
class Clouds(Realistic):
    """Clouds, their shadows, and the mistakes of the scene classification."""

    cover: float = parameter(0.45, "of area", "mean over the dates; beta distributed, many dates near 0 and near 1")
    cirrus: float = parameter(0.3, "of dates", "dates with a veil of thin cirrus of up to 20 % opacity")
    threshold: float = parameter(0.2, "opacity", "cloud or shadow thinner than this is not recognised")
    confusion: float = parameter(0.07, "opacity", "standard deviation of the classifier's error, in patches of 50 m")
    false_alarms: float = parameter(0.01, "of area", "clear ground flagged as cloud; chosen by hand")
    swath_edges: float = parameter(0.15, "of dates", "dates on which the edge of the swath crosses the region")


@dataclass(frozen=True)
class Radar(Realistic):
    """Errors and geometry of the interferograms. All delays are along the line of sight."""

    turbulence: float = parameter(
        0.006, "m", "standard deviation per date; k^-8/3 along a line, Hanssen 2001 (10.1007/0-306-47633-9)"
    )
    stratification: float = parameter(0.010, "m/km", "standard deviation per date of the delay's change with height")
    looks: float = parameter(30.0, "looks", "independent looks per pixel", harder="down")
    initial_coherence: float = parameter(0.9, "", "at zero time and baseline", harder="down")
    decorrelation: float = parameter(50.0, "days", "e-folding time of the coherence", harder="down")
    baseline: float = parameter(60.0, "m", "standard deviation of the perpendicular orbit position per date")
    critical_baseline: float = parameter(5000.0, "m", "baseline of no coherence", harder="down")
    masked_below: float = parameter(0.15, "coherence", "less coherent pixels cannot be unwrapped: no data")
    wavelength: float = parameter(0.05546576, "m", "Sentinel-1, C band", harder="either")
    incidence: float = parameter(39.0, "degrees", "from the vertical", harder="either")
    heading: float = parameter(-12.3, "degrees", "of the orbit, clockwise from north; ascending", harder="either")


def describe_parameters(*groups: Any) -> str:
    """Write one line per parameter: name, value, unit, meaning and source.

    Examples
    --------
    >>> print(describe_parameters(Noise()).splitlines()[1])
    Noise.floor               0.0012    reflectance           standard deviation per pixel over black ground; ...
    """
    rows = [
        f"{f'{type(group).__name__}.{item.name}':<25} {getattr(group, item.name):<9g} "
        f"{item.metadata['unit']:<21} {item.metadata['meaning']}"
        for group in groups
        for item in fields(group)
    ]
    return "\n".join(rows)
