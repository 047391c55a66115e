"""Ground deformation: interferograms and image offsets to time series, velocities and motion.

    from terracube.processing import deformation as defo

    stack = defo.open_stack(items)                       # unwrapped phase (pair, y, x), rad, grows with the distance
    stack = defo.repair(stack, neighbours=True)          # errors of whole cycles: mended, or said to be undecidable
    ts = defo.invert(stack, reference="auto")            # displacement (time, y, x), m, positive towards the satellite
    vel = defo.fit(ts, model="linear + annual")          # each parameter with its standard deviation
    enu = defo.decompose([vel, of_another_track])        # east, north, up with covariance
    moved = defo.track(before, after, chip=32, step=8)   # offsets between two images

One room per noun: :mod:`network` (dates and pairs), :mod:`cycles` (closure, repair, bridging), :mod:`corrections`,
:mod:`model` (of motion), :mod:`offsets`, :mod:`sources` (below the ground), and :mod:`slc` (from radar images to
interferograms).
"""

from typing import TYPE_CHECKING

from terracube.core.lazy import lazy_names

if TYPE_CHECKING:
    from terracube.processing.deformation import corrections, cycles, model, network, offsets, slc, sources
    from terracube.processing.deformation.asking import DeformationParameters
    from terracube.processing.deformation.atmosphere import atmosphere_std
    from terracube.processing.deformation.corrections import (
        correct_delays,
        correct_pair_ramps,
        correct_plate_motion,
        correct_ramp_elevation,
        correct_terrain_error,
        correct_tides,
        corrections_of,
    )
    from terracube.processing.deformation.cycles import bridge, closure, draw_repair, repair, sequential_closure
    from terracube.processing.deformation.decomposition import decompose
    from terracube.processing.deformation.events import alert, step_map
    from terracube.processing.deformation.gnss import compare_gnss, plot_gnss, project_gnss, read_gnss
    from terracube.processing.deformation.incremental import KeptSeries, append, keep_series
    from terracube.processing.deformation.inversion import invert_stack
    from terracube.processing.deformation.mapping import DEFORMATION
    from terracube.processing.deformation.model import fit, parse_model, select_terms
    from terracube.processing.deformation.network import (
        choose_pairs,
        connectivity,
        keep_pairs,
        plot_network,
        select_pairs,
    )
    from terracube.processing.deformation.offsets import (
        invert_offsets,
        neighbour_filter,
        remove_jitter,
        remove_shift,
        track,
    )
    from terracube.processing.deformation.offsets.mapping import OFFSETS
    from terracube.processing.deformation.outputs import points_of, write_maps, write_points, write_series
    from terracube.processing.deformation.pictures import motion_map, series_plot
    from terracube.processing.deformation.reference import apply_reference, choose_reference
    from terracube.processing.deformation.series import invert
    from terracube.processing.deformation.sources import fit_source, mogi, okada
    from terracube.processing.deformation.stack import join_stacks, open_stack, to_stack

# Each name with the module that holds it; no module is called like a name, which would hide it.
_ROOMS = ("corrections", "cycles", "model", "network", "offsets", "slc", "sources")
_HOMES = {
    "asking": ("DeformationParameters",),
    "atmosphere": ("atmosphere_std",),
    "corrections": (
        "correct_delays",
        "correct_pair_ramps",
        "correct_plate_motion",
        "correct_ramp_elevation",
        "correct_terrain_error",
        "correct_tides",
        "corrections_of",
    ),
    "cycles": ("bridge", "closure", "draw_repair", "repair", "sequential_closure"),
    "decomposition": ("decompose",),
    "events": ("alert", "step_map"),
    "gnss": ("compare_gnss", "plot_gnss", "project_gnss", "read_gnss"),
    "incremental": ("KeptSeries", "append", "keep_series"),
    "inversion": ("invert_stack",),
    "mapping": ("DEFORMATION",),
    "model": ("fit", "parse_model", "select_terms"),
    "network": ("choose_pairs", "connectivity", "keep_pairs", "plot_network", "select_pairs"),
    "offsets": ("invert_offsets", "neighbour_filter", "remove_jitter", "remove_shift", "track"),
    "offsets.mapping": ("OFFSETS",),
    "outputs": ("points_of", "write_maps", "write_points", "write_series"),
    "pictures": ("motion_map", "series_plot"),
    "reference": ("apply_reference", "choose_reference"),
    "series": ("invert",),
    "sources": ("fit_source", "mogi", "okada"),
    "stack": ("join_stacks", "open_stack", "to_stack"),
}

__all__ = [
    "DEFORMATION",
    "OFFSETS",
    "DeformationParameters",
    "KeptSeries",
    "alert",
    "append",
    "apply_reference",
    "atmosphere_std",
    "bridge",
    "choose_pairs",
    "choose_reference",
    "closure",
    "compare_gnss",
    "connectivity",
    "correct_delays",
    "correct_pair_ramps",
    "correct_plate_motion",
    "correct_ramp_elevation",
    "correct_terrain_error",
    "correct_tides",
    "corrections",
    "corrections_of",
    "cycles",
    "decompose",
    "draw_repair",
    "fit",
    "fit_source",
    "invert",
    "invert_offsets",
    "invert_stack",
    "join_stacks",
    "keep_pairs",
    "keep_series",
    "model",
    "mogi",
    "motion_map",
    "neighbour_filter",
    "network",
    "offsets",
    "okada",
    "open_stack",
    "parse_model",
    "plot_gnss",
    "plot_network",
    "points_of",
    "project_gnss",
    "read_gnss",
    "remove_jitter",
    "remove_shift",
    "repair",
    "select_pairs",
    "select_terms",
    "sequential_closure",
    "series_plot",
    "slc",
    "sources",
    "step_map",
    "to_stack",
    "track",
    "write_maps",
    "write_points",
    "write_series",
]


__getattr__ = lazy_names(__name__, _HOMES, _ROOMS)
