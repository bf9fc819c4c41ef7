"""Where marks stand in the page's plots, in percent of the plot's width or height, so that text keeps its size on any screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from caffe2neon.report.page.zoo import Model, Parity

#: Errors below this are drawn at the bottom: float32 cannot tell them from nothing.
_LEAST = -9


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class AccuracyRow:
    """Top-1 of a model: where the published value, the measured one and its interval stand; None is what is not known."""

    model: Model
    published: float | None
    measured: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class AccuracyPlot:
    ticks: tuple[Tick, ...]
    rows: tuple[AccuracyRow, ...]


def accuracy_plot(models: Sequence[Model]) -> AccuracyPlot | None:
    """Published against measured top-1, the best published first; None where nothing is known."""
    known = [model for model in models if model.top(1).published is not None or model.top(1).measured is not None]
    values = [value for model in known for value in (model.top(1).published, model.top(1).low) if value is not None]
    if not values:
        return None
    start = max(0, min(90, math.floor((min(values) - 1) / 10) * 10))
    step = 10 if start > 40 else 20
    first = math.ceil(start / step) * step

    def at(percent: float | None) -> float | None:
        return None if percent is None else round(100 * (min(max(percent, start), 100) - start) / (100 - start), 2)

    ticks = tuple(Tick(at(tick) or 0.0, f"{tick} %") for tick in range(first, 101, step))
    known.sort(key=lambda model: (-(model.top(1).published or model.top(1).measured or 0), model.name))
    rows = [(model, model.top(1)) for model in known]
    return AccuracyPlot(ticks, tuple(AccuracyRow(m, at(t.published), at(t.measured), at(t.low), at(t.high)) for m, t in rows))


@dataclass(frozen=True)
class ErrorMark:
    """One blob's error: ``x`` and ``y`` in percent, y from the top; ``bad`` where it is over the tolerance."""

    x: float
    y: float
    bad: bool
    text: str


@dataclass(frozen=True)
class ParityPlot:
    ticks: tuple[Tick, ...]
    tolerance: float
    marks: tuple[ErrorMark, ...]


def parity_plot(parity: Parity) -> ParityPlot:
    """Errors in the net's order on a logarithmic scale; what is not finite stands at the top."""
    exponents = [math.log10(row.error) for row in parity.rows if row.error > 0 and math.isfinite(row.error)]
    tolerance = math.log10(parity.tolerance) if parity.tolerance > 0 else _LEAST
    top = max(math.ceil(max([tolerance, *exponents])) + 1, _LEAST + 3)

    def at(exponent: float) -> float:
        return round(100 * (top - min(max(exponent, _LEAST), top)) / (top - _LEAST), 2)

    marks = []
    for index, row in enumerate(parity.rows):
        exponent = top if not math.isfinite(row.error) else math.log10(row.error) if row.error > 0 else _LEAST
        x = round(100 * (index + 0.5) / len(parity.rows), 2)
        marks.append(ErrorMark(x, at(exponent), not row.error <= parity.tolerance, f"{row.blob} ({row.layer}): {row.error:.1e}"))
    ticks = tuple(Tick(at(exponent), f"1e{exponent}") for exponent in range(_LEAST, top + 1, 2))
    return ParityPlot(ticks, at(tolerance), tuple(marks))
