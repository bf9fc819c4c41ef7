"""The report of a zoo build: JSON for programs, a table for people."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from caffe2neon.files import json_bytes, write_bytes
from caffe2neon.records import Evaluation, ModelSpec, Outcome
from caffe2neon.report.jsonable import to_json

SCHEMA = 1
STATUSES = ("published", "unchanged", "refused", "failed")

#: A name of so many characters always has its place before the numbers; a longer one gets a line of its own where they need it.
_SHORT = 12

HEADINGS = ("model", "status", "top-1", "top-5", "parity", "size", "reason")


def write_report(outcomes: Sequence[Outcome], path: Path, *, root: Path | None = None) -> None:
    """Write what became of each entry; ``path`` is replaced in one step.

    ``{"schema": 1, "counts": {"published", "unchanged", "refused", "failed"}, "outcomes": [...]}``. An outcome has the fields of
    :class:`~caffe2neon.records.Outcome` (``name, status, reason, stage, parity, evaluation, publication, warnings``; null where a
    stage was not reached), see :func:`to_json`. Paths are relative to ``root``, the published zoo. No clock, no host: the same
    outcomes are the same bytes.

    Raises:
        PublishError: the report cannot be written.
    """
    counts = Counter(outcome.status for outcome in outcomes)
    report = {
        "schema": SCHEMA,
        "counts": {status: counts[status] for status in STATUSES},
        "outcomes": [to_json(outcome, root) for outcome in outcomes],
    }
    write_bytes(path, json_bytes(to_json(report)))


def summary(outcomes: Sequence[Outcome], models: Sequence[ModelSpec] = (), *, width: int = 100) -> str:
    """A table of at most ``width`` columns (80 or more; longer words stay whole), a row per outcome, and a line of counts.

    Measured accuracy is in percent, with the published one from ``models`` in brackets; ``parity`` is the worst error over all
    outputs. A reason that does not fit its row follows below, indented; so does every warning.
    """
    specs = {model.name: model for model in models}
    rows = [HEADINGS, *(row_of(outcome, specs.get(outcome.name)) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    widths[0] = min(widths[0], max(width - sum(widths[1:]) - 2 * len(widths) - len(HEADINGS[-1]), _SHORT))
    fold = textwrap.TextWrapper(width, initial_indent="    ", subsequent_indent="      ", break_long_words=False)
    fold.break_on_hyphens = False  # else half of an option's name, or of an address, is in each line
    lines: list[str] = []
    for row, warnings in zip(rows, ((), *(outcome.warnings for outcome in outcomes)), strict=True):
        *cells, reason = row
        if len(cells[0]) > widths[0]:
            lines.append(cells[0])
            cells[0] = ""
        names, numbers = zip(cells[:2], widths[:2], strict=True), zip(cells[2:], widths[2:], strict=True)
        start = "  ".join([*(cell.ljust(size) for cell, size in names), *(cell.rjust(size) for cell, size in numbers)])
        fits = "\n" not in reason and len(start) + 2 + len(reason) <= width
        lines.append(f"{start}  {reason}" if fits else start.rstrip())
        for text in ([] if fits else reason.splitlines()) + [f"warning: {warning}" for warning in warnings]:
            lines += fold.wrap(text.strip())
    counts = Counter(outcome.status for outcome in outcomes)
    lines.append(", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status]) or "nothing to do")
    return "\n".join(lines)


def row_of(outcome: Outcome, spec: ModelSpec | None) -> tuple[str, ...]:
    """Of one outcome, under ``HEADINGS``."""
    publication = outcome.publication
    size = publication.sizes.get(f"{outcome.name}.prm") if publication else None
    return (
        outcome.name,
        outcome.status,
        _accuracy(outcome.evaluation, spec, 1),
        _accuracy(outcome.evaluation, spec, 5),
        f"{outcome.parity.worst:.1e}" if outcome.parity else "-",
        size_text(size) if size is not None else "-",
        f"{outcome.stage}: {outcome.reason}" if outcome.status == "failed" and outcome.stage else outcome.reason,
    )


def _accuracy(evaluation: Evaluation | None, spec: ModelSpec | None, k: int) -> str:
    measured = next((f"{entry.percent:.1f}" for entry in evaluation.topk if entry.k == k), "-") if evaluation else "-"
    published = spec.published.topk.get(k) if spec and spec.published else None
    return measured if published is None else f"{measured} ({published:.1f})"


def size_text(count: int) -> str:
    """A number of bytes in decimal units, as disks and downloads are counted."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"
