"""What a product of deformation is looked at first: its error, the network, and the pixel that moves most."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import xarray as xr
from numpy.typing import NDArray

from terracube.cubes.pairs import pair_times
from terracube.processing.chain import ChainParameters, Shown
from terracube.processing.deformation.asking import DeformationParameters, network_of_told, told_of
from terracube.processing.deformation.layers import layers_of, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COHERENT = 0.7
_DAY = len("2020-01-01")


def pictures(shown: Shown, parameters: ChainParameters) -> list[tuple[str, bytes]]:
    """Draw the error of the velocity, how well pairs agree, and the series of the pixel that moves most surely."""
    told = told_of(parameters)
    found = [
        (title, map_picture(shown.thin(name), label))
        for name, title, label in (
            ("velocity_std", "Standard deviation of the velocity", "m/year"),
            ("temporal_coherence", "Temporal coherence: how well the pairs of a pixel agree", ""),
        )
        if name in _names(parameters)
    ]
    found.append(("The network: dates, and the pairs between them", _network(told)))
    place = _fastest(shown) if told.series and "velocity" in _names(parameters) else None
    if place is not None:
        title = "The coherent pixel that moves most, with one standard deviation"
        found.append((title, _series(shown, told.dates, place)))
    return found


def row(item: pystac.Item) -> dict[str, str]:
    """Tell of a pair, by column."""
    ((one, two, baseline),) = pair_times([item])
    days = (np.datetime64(two, "s") - np.datetime64(one, "s")) / np.timedelta64(1, "D")
    metres = "not told" if math.isnan(baseline) else f"{baseline:.1f}"
    return {"Reference": one[:_DAY], "Secondary": two[:_DAY], "Days": f"{days:.0f}", "Baseline (m)": metres}


def _names(parameters: ChainParameters) -> set[str]:
    return {layer.name for layer in layers_of(parameters)}


def _fastest(shown: Shown) -> tuple[int, int] | None:
    """Give row and column of the fastest coherent pixel, among those with the most pairs; ``None`` if there is none."""
    speed, pairs = np.abs(shown.thin("velocity")), shown.thin("n_pairs")
    sure = np.isfinite(speed) & (shown.thin("temporal_coherence") > _COHERENT)
    if not sure.any():
        return None
    # A pixel of few pairs agrees with itself, whatever it says.
    sure &= pairs == pairs[sure].max()
    line, column = np.unravel_index(int(np.where(sure, speed, -1.0).argmax()), speed.shape)
    return int(line), int(column)


def _series(shown: Shown, dates: tuple[str, ...], place: tuple[int, int]) -> bytes:
    from terracube.processing.deformation.pictures import series_plot

    # Every n-th pixel was looked at; the first of each is the one.
    step = -(-max(shown.grid.shape) // max(shown.thin("velocity").shape))
    y, x = (centres[at * step] for centres, at in zip(shown.grid.centres(), place, strict=True))
    values = {
        kind: np.array([shown.pixel(f"{kind}_{short(moment, dates)}", *place) for moment in dates], "float32")
        for kind in ("displacement", "std")
    }
    series = xr.Dataset(
        {"displacement": (("time", "y", "x"), values["displacement"][:, None, None], {"units": "m"}),
         "std_network": (("time", "y", "x"), values["std"][:, None, None], {"units": "m"})},
        {"time": np.array(dates, "datetime64[ns]"), "y": [y], "x": [x]},
    )  # fmt: skip
    figure = series_plot(series, (float(y), float(x)))
    figure.axes[0].set_title(f"y {y:.10g}, x {x:.10g}", loc="left", fontsize=9)
    return _png(figure)


def _network(told: DeformationParameters) -> bytes:
    from matplotlib.figure import Figure

    from terracube.processing.deformation.network.plot import plot_network

    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    plot_network(network_of_told(told), ax=figure.subplots())
    return _png(figure)


def map_picture(values: NDArray[np.float32], label: str, *, centred: bool = False) -> bytes:
    """Draw a layer with its scale, from its second to its 98th percentile, or as far to both sides of zero."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.6), layout="constrained")
    axes = figure.subplots()
    seen = values[np.isfinite(values)]
    low, high = np.percentile(seen, (2, 98)) if seen.size else (0.0, 1.0)
    if centred:
        high = max(abs(float(low)), abs(float(high))) or 1.0
        low = -high
    image = axes.imshow(
        np.ma.masked_invalid(values), vmin=low, vmax=high, cmap="RdBu" if centred else "viridis",
        interpolation="nearest",
    )  # fmt: skip
    axes.set_facecolor("#d9d9d9")
    figure.colorbar(image, ax=axes, shrink=0.8, label=label)
    axes.set_xticks([])
    axes.set_yticks([])
    return _png(figure)


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()


def facts(parameters: ChainParameters, found: Mapping[str, Any]) -> dict[str, Any]:
    """Tell sign, wavelength, looks, network and reference as properties of a product."""
    told = told_of(parameters)
    network = network_of_told(told)
    known: dict[str, Any] = {
        "start_datetime": f"{told.dates[0]}Z",
        "end_datetime": f"{told.dates[-1]}Z",
        "terracube:displacement_sign": "positive towards the satellite, m, since the reference date",
        "terracube:wavelength": told.wavelength,
        "terracube:reference_date": told.dates[0],
        "terracube:network": {"dates": len(network.times), "pairs": len(network.pairs), "sha256": network.digest},
        "terracube:reference": _reference(found),
    }
    if told.looks is not None:
        known["terracube:looks"] = told.looks
    return known


def _reference(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tell where the reference is; its phase in each pair is in ``terracube:found``."""
    known = found.get("reference", {"how": "as delivered"})
    return {name: value for name, value in known.items() if name != "phase"}
