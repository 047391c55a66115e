"""Items made of other items, and what a lazy dataset's graph amounts to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import cloudpickle
import numpy as np
import pystac
from contestant import Request


def read_items(request: Request) -> list[pystac.Item]:
    """Return the items of a job: those of the files, then clones of them on later days, over the same files."""
    known = [pystac.Item.from_file(str(path)) for path in request.items]
    items = []
    for number in range(request.clones):
        turn, which = divmod(number, len(known))
        item = known[which].clone() if turn else known[which]
        if turn:
            item.id = f"{item.id}-{turn}"
            item.datetime = known[which].datetime + timedelta(days=365 * turn + number)
            item.properties["datetime"] = item.datetime.isoformat()
        items.append(item)
    return items


def graph_notes(dataset: Any) -> dict[str, float]:
    """Return the tasks of a lazy dataset and the bytes of its pickled graph."""
    graph = dataset.__dask_graph__()
    return {"tasks": len(dict(graph)), "pickled MB": round(len(cloudpickle.dumps(graph)) / 1e6, 3)}


class Stacked:
    """Bands that are joined only when they are compared, so that joining is no part of the job."""

    def __init__(self, cube: Any, bands: tuple[str, ...]) -> None:
        self.bands = [cube[band].values for band in bands]

    @property
    def nbytes(self) -> int:
        """Size of all values."""
        return sum(band.nbytes for band in self.bands)

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.stack([band[index] for band in self.bands], axis=1)
