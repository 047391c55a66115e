"""Lakes, reaches and coastal strips: their series, heights and volumes, what is unusual, and pictures of them."""

from typing import TYPE_CHECKING

from terracube.core.lazy import lazy_names

if TYPE_CHECKING:
    from terracube.processing.water.lakes.climatology import anomaly
    from terracube.processing.water.lakes.hypsometry import Hypsometry, fit_hypsometry
    from terracube.processing.water.lakes.pictures import overview, picture
    from terracube.processing.water.lakes.reaches import strips
    from terracube.processing.water.lakes.report import write_csv, write_geoparquet, write_report
    from terracube.processing.water.lakes.timeline import STATUS, series, to_dataset
    from terracube.processing.water.lakes.volumes import (
        Change,
        storage_series,
        volume_change,
        volume_series,
        with_heights,
    )

# Each name with the module that holds it, imported when it is first asked for: tables and pictures bring libraries.
_HOMES = {
    "climatology": ("anomaly",),
    "hypsometry": ("Hypsometry", "fit_hypsometry"),
    "pictures": ("overview", "picture"),
    "report": ("write_csv", "write_geoparquet", "write_report"),
    "timeline": ("STATUS", "series", "to_dataset"),
    "reaches": ("strips",),
    "volumes": ("Change", "storage_series", "volume_change", "volume_series", "with_heights"),
}

__all__ = [
    "STATUS",
    "Change",
    "Hypsometry",
    "anomaly",
    "fit_hypsometry",
    "overview",
    "picture",
    "series",
    "storage_series",
    "strips",
    "to_dataset",
    "volume_change",
    "volume_series",
    "with_heights",
    "write_csv",
    "write_geoparquet",
    "write_report",
]


__getattr__ = lazy_names(__name__, _HOMES)
