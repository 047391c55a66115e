"""What is measured: each case is one job on one set of scenes, done by several contestants. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field

BANDS = ("blue", "green", "red", "nir")
MASKED_CLASSES = (0, 1, 3, 8, 9, 10)
NODATA = 0
UTM, WEB = "EPSG:32632", "EPSG:3857"


@dataclass(frozen=True)
class Target:
    """Pixels that every contestant is asked for, in plain numbers."""

    crs: str
    resolution: float
    left: float
    top: float
    height: int
    width: int

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top."""
        right, bottom = self.left + self.width * self.resolution, self.top - self.height * self.resolution
        return self.left, bottom, right, self.top

    @property
    def affine(self) -> tuple[float, float, float, float, float, float]:
        """Coefficients from pixel corners to the CRS."""
        return self.resolution, 0.0, self.left, 0.0, -self.resolution, self.top

    def middle(self, side: int) -> Target:
        """Return a square of pixels in the middle."""
        return self.square(side, 2)

    def aside(self, side: int) -> Target:
        """Return a square of pixels half-way to the last corner, for in the middle of the scenes there is a hole."""
        return self.square(side, 4)

    def square(self, side: int, share: int) -> Target:
        """Return a square of pixels that leaves so small a share of the others below and to the right of it."""
        rows, columns = min(side, self.height), min(side, self.width)
        row, column = (self.height - rows) * (share - 1) // share, (self.width - columns) * (share - 1) // share
        left, top = self.left + column * self.resolution, self.top - row * self.resolution
        return Target(self.crs, self.resolution, left, top, rows, columns)


@dataclass(frozen=True)
class Contestant:
    """A script and the way in which it does the job."""

    name: str
    script: str
    mode: str = ""


@dataclass(frozen=True)
class Limits:
    """How far an answer may lie from the first contestant's before the run fails."""

    footprint: float = 0.0
    """Share of the pixels that only one of them has."""
    differing: float = 0.0
    """Share of the common pixels that are further apart than ``apart``."""
    apart: float = 0.0
    """In units of the values."""


@dataclass(frozen=True)
class Case:
    """One row of the report."""

    name: str
    title: str
    job: str  # "load", "median" or "open"
    contestants: tuple[Contestant, ...]  # ratios are over the first
    data: str = "synthetic"  # "synthetic", "plain" (no nodata) or "real"
    target: str = "native"  # "native", "web", or the pixel size of a grid in UTM
    method: str = "nearest"
    block: int = 0  # pixels per side; 0: whole, or each contestant's own choice
    dates: int = 10
    items: int = 0  # so many clones of the items; 0: the items themselves
    window: int = 0  # pixels per side of a square in the middle; 0: all
    bands: tuple[str, ...] = BANDS
    limits: Limits = field(default_factory=Limits)
    goals: dict[str, float] = field(default_factory=dict)  # measure: ratio that the own contestant is to reach
    own_threads: int = 0  # 0: as the command line says


PLAIN = Contestant("rasterio, threads", "plain.py", "threads")
VRT = Contestant("WarpedVRT", "plain.py", "vrt")
ODC = Contestant("odc-stac", "peer_odc.py", "eager")
ODC_DASK = Contestant("odc-stac, dask", "peer_odc.py", "dask")
STK = Contestant("stackstac", "peer_stackstac.py", "dask")
OWN = Contestant("terracube", "own_terracube.py", "eager")
OWN_DASK = Contestant("terracube, dask", "own_terracube.py", "dask")

NATIVE = (PLAIN, ODC, ODC_DASK, STK, OWN, OWN_DASK)

# GDAL's transformer is off by up to an eighth of a pixel, differently in each block; near the edges of what was seen
# that decides whether a pixel has a value. The limits tell the same resampling from another one, not good from better.
NEAR = Limits(footprint=0.005, differing=0.1, apart=0.0)
SMOOTH = Limits(footprint=0.005, differing=0.05, apart=150.0)


def _warp(method: str, nodata: bool, goal: float, dates: int, limits: Limits) -> tuple[Case, ...]:
    """Return a resampling as a whole and in blocks."""
    name = f"warp-{method}{'-nodata' if nodata and method != 'nearest' else ''}"
    title = f"UTM -> 3857, 20 m, {method}{', with nodata' if nodata else ', without nodata'}, {dates} dates x 4 bands"
    data = "synthetic" if nodata else "plain"
    whole = Case(
        name, title, "load", (VRT, ODC, STK, OWN), data, "web", method, 0, dates, limits=limits, goals={"cpu": goal}
    )
    blocks = Case(
        f"{name}-512",
        f"{title}, in blocks of 512",
        "load",
        (VRT, ODC_DASK, STK, OWN_DASK),
        data,
        "web",
        method,
        512,
        dates,
        limits=limits,
        goals={"cpu": goal},
    )
    return whole, blocks


WARPS = (
    *_warp("bilinear", True, 0.30, 10, SMOOTH),
    *_warp("bilinear", False, 0.75, 10, SMOOTH),
    *_warp("nearest", True, 0.65, 10, NEAR),
    *_warp("cubic", True, 0.45, 4, SMOOTH),
    *_warp("mode", True, 0.05, 1, SMOOTH),
)

SPEED = (
    Case(
        "native",
        "native grid, 10 dates x 4 bands x 2048^2",
        "load",
        NATIVE,
        goals={"cpu": 1.0, "memory over array": 1.2},
    ),
    Case("native-real", "native grid, 5 real dates x 4 bands x 915^2", "load", NATIVE, data="real", dates=5),
    *WARPS,
    Case(
        "warp-real",
        "real tile, UTM -> 3857, 120 m, bilinear, with nodata, 5 dates x 4 bands",
        "load",
        (VRT, ODC, STK, OWN),
        data="real",
        target="web",
        method="bilinear",
        dates=5,
        limits=SMOOTH,
    ),
    Case(
        "median",
        "cloud-masked median of 10 dates x 4 bands x 2048^2 -> Zarr",
        "median",
        (ODC_DASK, OWN_DASK),
        limits=Limits(differing=0.0, apart=1e-6),
        goals={"cpu": 0.4, "memory": 250.0},
    ),
    Case(
        "open-1000",
        "open 1000 items x 4 bands lazily, blocks of 512",
        "open",
        (ODC_DASK, OWN_DASK),
        items=1000,
        block=512,
        goals={"wall seconds": 0.5},
    ),
)

GROWTH = (
    *(
        Case(f"growth-items-{n}", f"median of {n} items, 512^2", "median", (OWN_DASK,), items=n, window=512)
        for n in (10, 30, 100, 300, 1000)
    ),
    *(
        Case(
            f"growth-pixels-{mega}",
            f"median of 10 dates, {mega} Mpx",
            "median",
            (OWN_DASK,),
            target=size,
            bands=("red",),
        )
        for mega, size in ((1, "20"), (4, "10"), (16, "5"), (64, "2.5"))
    ),
    *(Case(f"growth-workers-{n}", f"median, {n} threads", "median", (OWN_DASK,), own_threads=n) for n in (1, 2)),
)

CASES = (*SPEED, *GROWTH)
QUICK = ("native", "warp-bilinear-nodata", "warp-nearest-512", "median", "open-1000")


def case_of(name: str) -> Case:
    """Return a case by its name."""
    return next(case for case in CASES if case.name == name)
