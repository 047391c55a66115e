"""The report of a run: one HTML file with the map, the histogram of clear observations, scenes and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terracube.core.files import write_text
from terracube.core.html import png_data_uri, render
from terracube.cubes.storage import LayerClass
from terracube.processing.chain import Intake
from terracube.production.prepare import Job
from terracube.production.request import RunRequest

_CHART = (520, 200)
_MARGIN = (46, 34)


@dataclass(frozen=True)
class Picture:
    """A picture with what it shows."""

    title: str
    png: bytes
    scale: tuple[str, str] | None = None
    """What the ends of the colour scale mean, if there is one."""
    centred: bool = False
    """Whether the middle of the scale is zero."""
    drawn: bool = False
    """Whether it is a drawing that says itself what it shows."""

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
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write the report; everything that came from metadata is escaped."""
    grid, intake = job.plan.grid, job.chain.intake
    pixels = sum(histogram)
    page = render(
        "terracube.production",
        "report.html",
        title=job.chain.title,
        period=told_period(job.request),
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
        scenes=_scene_rows(job) if intake is None or intake.row is None else _step_rows(job, intake),
        span=_span(job),
        left_out=job.left_out,
        seconds=seconds,
        noun="scene" if intake is None else intake.noun,
        counted="clear observation" if intake is None else "pair",
        facts=_told(facts or {}),
    )
    write_text(path, page)


def told_period(request: RunRequest) -> str:
    """Give the period of a request as titles have it."""
    return request.period or "all dates"


def _told(facts: Mapping[str, Any]) -> dict[str, str]:
    """Give our own properties as a person reads them."""
    own = {name.removeprefix("terracube:").replace("_", " "): value for name, value in facts.items() if ":" in name}
    return {name: _plain(value) for name, value in own.items()}


def _plain(value: Any) -> str:
    return ", ".join(f"{name} {told}" for name, told in value.items()) if isinstance(value, dict) else str(value)


def _span(job: Job) -> tuple[str, str]:
    """Give the first and the last day of what was used."""
    groups = job.plan.groups
    told = [scene.properties.get("start_datetime") for group in groups for scene in group]
    days = [scene.solar_day.isoformat() for group in groups for scene in group]
    starts = [str(start)[: len(day)] for start, day in zip(told, days, strict=True) if start]
    return min([*days, *starts]), max(days)


def _step_rows(job: Job, intake: Intake) -> list[dict[str, str]]:
    items, name = {item.id: item for item in job.items}, intake.noun.capitalize()
    tell = intake.row or (lambda _: {})
    return [{name: scene.id, **tell(items[scene.id])} for group in job.plan.groups for scene in group]


def _scene_rows(job: Job) -> list[dict[str, str]]:
    items = {item.id: item for item in job.items}
    rows = []
    for group in job.plan.groups:
        for scene in group:
            cloud = items[scene.id].properties.get("eo:cloud_cover")
            known = isinstance(cloud, int | float)
            rows.append(
                {
                    "Scene": scene.id,
                    "Acquired (UTC)": scene.acquired.strftime("%Y-%m-%d %H:%M:%S"),
                    "Solar day": scene.solar_day.isoformat(),
                    "Cloud": f"{cloud:.1f} %" if known else "not known",
                    "Offset of the numbers": next(iter(scene.bands.values())).radiometry,
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
