"""Figures over a number, drawn: some panels side by side, both axes logarithmic.

Invariant: the picture holds nothing but what the table beside it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure as Picture

from benchmarks.comparison import Figure

_MARKERS = "osd^"


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line."""

    name: str
    values: Mapping[int, Figure]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes."""

    title: str
    series: Sequence[Series]


def draw(panels: Sequence[Panel], *, axis: str, target: Path) -> None:
    """
    Draw panels in rows of two.

    :param axis: what the numbers below are.
    :param target: a PNG file.
    """
    picture = Picture(figsize=(9.0, 3.2 * -(-len(panels) // 2)), layout="constrained")
    for place, panel in zip(picture.subplots(-(-len(panels) // 2), 2).flat, panels, strict=True):
        for series, marker in zip(panel.series, _MARKERS, strict=False):
            figures = list(series.values.values())
            medians = [figure.median for figure in figures]
            spread = [
                [figure.median - figure.lowest for figure in figures],
                [figure.highest - figure.median for figure in figures],
            ]
            place.errorbar(
                list(series.values), medians, yerr=spread, marker=marker, capsize=3, label=series.name
            )
        place.set(xscale="log", yscale="log", xlabel=axis, ylabel=panel.title)
        place.grid(visible=True, which="major", alpha=0.3)
    picture.legend(*place.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    picture.savefig(target, dpi=90)
