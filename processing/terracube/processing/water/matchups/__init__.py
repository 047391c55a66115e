"""Products held against measurements: candidates with their reasons, filters, scores and a picture."""

from terracube.processing.water.matchups.filters import BAILEY_WERDELL, REASONS, Filters
from terracube.processing.water.matchups.pairing import gates, matchup
from terracube.processing.water.matchups.picture import scatter
from terracube.processing.water.matchups.scores import Line, Scores, line, score, score_table

__all__ = [
    "BAILEY_WERDELL",
    "REASONS",
    "Filters",
    "Line",
    "Scores",
    "gates",
    "line",
    "matchup",
    "scatter",
    "score",
    "score_table",
]
