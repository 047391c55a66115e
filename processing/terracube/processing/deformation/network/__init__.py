"""Networks of pairs: dates and what joins them; which pairs are used, and what each pixel has of them."""

from typing import TYPE_CHECKING

from terracube.core.lazy import lazy_names
from terracube.processing.deformation.network.network import (
    Network,
    elimination_of,
    network_of,
    network_of_stack,
    solvable,
)

if TYPE_CHECKING:
    from terracube.processing.deformation.network.pixels import connectivity, coverage, dates_without_pixels
    from terracube.processing.deformation.network.plot import date_baselines, plot_network
    from terracube.processing.deformation.network.selection import (
        choose_pairs,
        keep_pairs,
        leave_out,
        mean_coherence,
        select_pairs,
        spanning_pairs,
    )

__all__ = [
    "Network",
    "choose_pairs",
    "connectivity",
    "coverage",
    "date_baselines",
    "dates_without_pixels",
    "elimination_of",
    "keep_pairs",
    "leave_out",
    "mean_coherence",
    "network_of",
    "network_of_stack",
    "plot_network",
    "select_pairs",
    "solvable",
    "spanning_pairs",
]

_HOMES = {
    "pixels": ("connectivity", "coverage", "dates_without_pixels"),
    "plot": ("date_baselines", "plot_network"),
    "selection": ("choose_pairs", "keep_pairs", "leave_out", "mean_coherence", "select_pairs", "spanning_pairs"),
}

__getattr__ = lazy_names(__name__, _HOMES)
