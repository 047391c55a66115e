"""The report of a run: one HTML file with the map, the histogram of clear observations, scenes and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from terracube.core.files import write_text
from terracube.core.html import png_data_uri, render
from terracube.cubes.storage import LayerClass
from terracube.production.prepare import Job

_CHART = (520, 200)
_MARGIN = (46, 34)


@dataclass(frozen=True)
class Picture:
    """A picture with what it shows."""

    title: str
    png: bytes
    scale: tuple[str, str] | None = None
    """What the ends of the colour scale mean, if there is one."""

    @property
    def uri(self) -> str:
        """The picture as a ``data:`` address."""
        return png_data_uri(self.png)


@dataclass(frozen=True)
class ClassShare:
    """How much of a map is of one class: pixels, not an estimate of its area."""

    told: LayerClass
    pixels: int
    share: float


@dataclass(frozen=True)
class Bar:
    """One bar of the histogram, in pixels of the chart."""

    x: float
    y: float
    width: float
    height: float
    label: str
    title: str


def write_report(
    path: Path,
    job: Job,
    item_id: str,
    *,
    pictures: Sequence[Picture],
    histogram: Sequence[int],
    shares: Sequence[ClassShare] = (),
    seconds: Mapping[str, float],
) -> None:
    """Write the report; everything that came from metadata is escaped."""
    grid = job.plan.grid
    pixels = sum(histogram)
    page = render(
        "terracube.production",
        "report.html",
        title=job.chain.title,
        item_id=item_id,
        request=job.request,
        chain=job.chain,
        parameters=job.parameters.model_dump(mode="json"),
        grid=grid,
        key=job.key,
        pictures=pictures,
        bars=_bars(histogram),
        chart=_CHART,
        margin=_MARGIN,
        peak=f"{max(histogram):,}",
        shares=shares,
        seen=100.0 * (pixels - histogram[0]) / max(pixels, 1),
        scenes=_scene_rows(job),
        left_out=job.left_out,
        seconds=seconds,
    )
    write_text(path, page)


def _scene_rows(job: Job) -> list[dict[str, str]]:
    items = {item.id: item for item in job.items}
    rows = []
    for group in job.plan.groups:
        for scene in group:
            cloud = items[scene.id].properties.get("eo:cloud_cover")
            known = isinstance(cloud, int | float)
            rows.append(
                {
                    "id": scene.id,
                    "acquired": scene.acquired.strftime("%Y-%m-%d %H:%M:%S"),
                    "day": scene.solar_day.isoformat(),
                    "cloud": f"{cloud:.1f} %" if known else "not known",
                    "radiometry": next(iter(scene.bands.values())).radiometry,
                }
            )
    return rows


def _bars(histogram: Sequence[int]) -> list[Bar]:
    """Lay out the histogram; a long one is drawn without every label."""
    width, height = _CHART
    step = width / len(histogram)
    tallest = max([*histogram, 1])
    every = max(1, len(histogram) // 12)
    return [
        Bar(
            x=number * step + 0.1 * step,
            y=height - height * count / tallest,
            width=0.8 * step,
            height=height * count / tallest,
            label=str(number) if number % every == 0 else "",
            title=f"{number} clear observations: {count:,} pixels",
        )
        for number, count in enumerate(histogram)
    ]
