"""The limits beyond which a ramp or a delay with elevation is removed."""

from __future__ import annotations

from dataclasses import dataclass

from terracube.core.errors import InputError


@dataclass(frozen=True, slots=True)
class RampRules:
    """When a ramp or a delay with elevation is removed."""

    significance: float | None = 0.01
    """Largest probability, for all dates together, that noise does as well; ``None`` removes without a test."""
    correlation: float = 0.3
    """Smallest partial correlation with the terms that are removed."""
    relief: float = 30.0
    """Smallest standard deviation of the heights, m, for elevation to be estimated at all."""
    share: float = 0.5
    """Dates with fewer pixels than this share of the best date's are left out."""
    coherence: float = 0.7
    """Smallest temporal coherence of the pixels used, where nothing else is said."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises
        ------
        InputError
            If one is out of its range.
        """
        limits = {"correlation": 1.0, "relief": 10_000.0, "share": 1.0, "coherence": 1.0}
        if self.significance is not None:
            limits["significance"] = 1.0
        for name, most in limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise InputError("out of range", where=f"rules.{name}", expected=f"0 to {most:g}", got=repr(value))
