"""The composite as TerraCube makes it: `production.run` on a catalogue, from its search to the published item.

Ingest is not part of the job, for either contestant: the catalogue is filled once per case by another process, and the
product of an earlier run is removed before the next one, or there would be nothing to do. The job does more than the
peer's: every COG is read back and compared, and checksums, preview, report and STAC item are written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from contestant import BANDS, EPS, LAYERS, MASKED_CLASSES, Request, Stage, contest

from terracube.cubes.engine import Scheduler
from terracube.production import RunOptions, RunRequest, run
from terracube.stac import Catalog, to_query

CHUNK = 512
COLLECTION = "sentinel-2-l2a"


def catalogue(request: Request) -> Path:
    """Return where the catalogue of the case is: beside the product, so that it is kept from run to run."""
    return request.out.parent / "catalog"


def ingest(request: Request) -> None:
    """Fill the catalogue in another process, unless an earlier run has done so."""
    root = catalogue(request)
    if root.exists():
        return
    beside = root.with_name("catalog.partial")
    shutil.rmtree(beside, ignore_errors=True)
    terracube = (sys.executable, "-m", "terracube.cli.main")
    folders = sorted({str(path.parent) for path in request.items})
    for command in (("init", str(beside)), ("ingest", COLLECTION, *folders, "--into", str(beside))):
        subprocess.run([*terracube, *command], stdout=subprocess.DEVNULL, check=True)
    beside.rename(root)


def prepare(request: Request) -> None:
    """Have the scenes in a catalogue without a product."""
    ingest(request)
    catalog = Catalog.open(catalogue(request))
    for item in catalog.search(to_query(collections="composite")):
        catalog.remove(item.id, "composite")


def job(request: Request, stage: Stage) -> dict[str, float]:
    """Do the whole job once, on the native grid of the first scene: that of the case, which the harness checks."""
    with stage("run"):
        catalog = Catalog.open(catalogue(request))
        asked = RunRequest(
            chain="composite",
            collection=COLLECTION,
            datetime="2023",
            parameters={"bands": list(BANDS), "mask": list(MASKED_CLASSES), "eps": EPS},
        )
        options = RunOptions(Scheduler(workers=request.threads), block=request.chunk or CHUNK)
        result = run(catalog, asked, options)
    if result.status != "done" or result.item is None:
        raise SystemExit(f"the run ended as {result.status!r}, so there is nothing to compare")
    with stage("hand over"):
        folder = Path(result.item.get_self_href() or "").parent
        for name in LAYERS:
            os.link(folder / f"{name}.tif", request.out / f"{name}.tif")
        shutil.copytree(folder / "cube.zarr", request.out / "composite.zarr", copy_function=os.link)
    return {f"wall of {name}": round(seconds, 3) for name, seconds in result.seconds.items()}


if __name__ == "__main__":
    contest("terracube", job, ("terracube", "numba", "numpy", "dask", "rasterio", "zarr"), prepare=prepare)
