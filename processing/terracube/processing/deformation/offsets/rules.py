"""What a match must fulfil to be kept."""

from __future__ import annotations

from dataclasses import dataclass

from terracube.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Rules:
    """How points are matched and judged.

    Parameters
    ----------
    correlation : float
        A lower one is told as weak, 0 to 1.
    valid : float
        Share of a chip's pixels that must be valid, above 0 to 1.
    steps : int
        Gauss-Newton steps at most; 0 leaves the top of the quadratic.
    breaks : bool
        Whether points beside a break choose among the motions on both sides.
    differ : float
        Pixels by which motions must differ before a break is supposed.
    neighbours : bool
        Whether points that disagree with their neighbours are rejected.
    round_trip : float
        Pixels that the way there and back may miss by, where it is asked for.
    keep : bool
        Whether rejected points keep their numbers; else these are NaN.
    """

    correlation: float = 0.5
    valid: float = 0.5
    steps: int = 4
    breaks: bool = True
    differ: float = 0.12
    neighbours: bool = True
    round_trip: float = 0.25
    keep: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises
        ------
        InputError
        """
        for name, value, good in (
            ("correlation", self.correlation, 0 <= self.correlation < 1),
            ("valid", self.valid, 0 < self.valid <= 1),
            ("steps", self.steps, 0 <= self.steps <= 20),
            ("differ", self.differ, 0 < self.differ <= 5),
            ("round_trip", self.round_trip, self.round_trip > 0),
        ):
            if not good:
                raise InputError("no such rule", where=name, got=repr(value))
