"""What a comparison means: an error that says where the model departs, or a table for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from caffe2neon.errors import VerificationError
from caffe2neon.records import Difference, Parity

_HEADINGS = ("blob", "neon layer", "shape", "max diff", "max |ref|", "error", "")


def require(parity: Parity) -> None:
    """Return when every output, and every layer that was compared, is within the tolerance.

    Raises:
        VerificationError: names the worst output, its error, the tolerance, and the first layer that departs where layers were
            compared (neon's layers carry the names of Caffe's).
    """
    if parity.passed:
        return
    worst = max(parity.outputs, key=_severity)
    message = (
        f"output {worst.blob!r} differs from {parity.reference}: error {_error(worst)}, tolerance {parity.tolerance:g} "
        f"(max |difference| {worst.max_difference:.3g}, max |reference| {worst.max_reference:.3g}; {parity.inputs})"
    )
    if worst.error <= parity.tolerance:
        message = f"all outputs agree with {parity.reference}, but not all layers do ({parity.inputs})"
    first = parity.first
    if first is not None:
        raise VerificationError(
            f"{message}; the first layer that departs is {first.neon_layer!r}, "
            f"at Caffe's blob {first.blob!r}: error {_error(first)}, tolerance {parity.tolerance:g}",
            layer=first.neon_layer,
        )
    if parity.layers:
        raise VerificationError(f"{message}; no layer that can be compared departs by itself")
    raise VerificationError(message, remedy="compare layer by layer to see where the two part: --layers")


def table(parity: Parity) -> str:
    """A table for a terminal: outputs, then layers; the first layer that departs is marked. Ends without a line break."""
    lines = [f"{parity.engine} against {parity.reference}, tolerance {parity.tolerance:g}", parity.inputs, ""]
    rows = [_row(d, "ok" if d.error <= parity.tolerance else "DIFFERS") for d in parity.outputs]
    titles = [(0, "outputs")]
    if parity.layers:
        titles.append((len(rows), "layers"))
        rows += [_row(d, _layer_verdict(d, parity)) for d in parity.layers]
    widths = [max(len(row[column]) for row in (_HEADINGS, *rows)) for column in range(len(_HEADINGS))]
    lines.append(_line(_HEADINGS, widths))
    for number, row in enumerate(rows):
        lines += [title for start, title in titles if start == number]
        lines.append(_line(row, widths))
    return "\n".join(lines)


def _severity(difference: Difference) -> float:
    return math.inf if math.isnan(difference.error) else difference.error


def _error(difference: Difference) -> str:
    return f"{difference.error:.3g}" if math.isfinite(difference.error) else "infinite (NaN or infinity on one side)"


def _layer_verdict(difference: Difference, parity: Parity) -> str:
    if difference.error <= parity.tolerance:
        return "ok"
    return "DIFFERS (first)" if difference is parity.first else "DIFFERS"


def _row(difference: Difference, verdict: str) -> tuple[str, ...]:
    return (
        difference.blob,
        difference.neon_layer,
        "x".join(str(size) for size in difference.shape),
        f"{difference.max_difference:.2e}",
        f"{difference.max_reference:.2e}",
        f"{difference.error:.2e}",
        verdict,
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, numbers to the right."""
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:6], widths[3:6], strict=True)]
    return "  ".join(("", *left, *right, cells[6])).rstrip()
