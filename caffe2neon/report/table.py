"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

_GAP = "  "


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = (), width: int = 100) -> str:
    """Aligned columns, those of ``right`` to the right; the last row but one is followed by a rule, for the totals.

    Where all columns do not fit ``width``, the first one, of names, gives way: a longer name gets a line of its own, and nothing is
    cut off.
    """
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    others = sum(widths[1:]) + len(_GAP) * (len(widths) - 1)
    widths[0] = min(widths[0], max(width - others, len(headings[0]), 12))
    lines = [_line(headings, widths, right)]
    rule = "-" * len(_line(["x" * size for size in widths], widths, right))
    lines.append(rule)
    for number, row in enumerate(rows):
        if number and number == len(rows) - 1:
            lines.append(rule)
        if len(row[0]) > widths[0]:
            lines.append(row[0])
            row = ["", *row[1:]]
        lines.append(_line(row, widths, right))
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int], right: Collection[int]) -> str:
    sized = enumerate(zip(cells, widths, strict=True))
    return _GAP.join(cell.rjust(size) if number in right else cell.ljust(size) for number, (cell, size) in sized).rstrip()
