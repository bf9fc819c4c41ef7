"""What becomes of every layer, before there are weights."""

from __future__ import annotations

import json
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caffe2neon.cli.common import FILE, net_options, table_width

if TYPE_CHECKING:
    from caffe2neon.checking import Checked
    from caffe2neon.records import Verdict
    from caffe2neon.single import NetOptions


@click.command()
@click.argument("prototxt", type=FILE)
@net_options
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(prototxt: Path, net: NetOptions, as_json: bool) -> None:
    """Say what becomes of each layer of a net, and what stands in the way of converting it; needs no weights.

    Verdicts: exact, neon has this layer; rewritten, the same numbers by other layers (notes say at what cost); dropped, nothing
    in the model is needed for it; refused; open, another finding keeps it from being judged. Exit code 1 where the net does not
    convert.

    \b
    Examples:
      caffe2neon check deploy.prototxt
      caffe2neon check train_val.prototxt --phase train --input 3,227,227

    \b
    --json prints an object:
      schema        1
      path, converts
      layers        in the file's order, each with: layer, type, line, verdict, becomes, reason,
                    remedy, weights (how many numbers it has in Caffe and in neon)
      findings      what is wrong beside single layers: layer, type, line, reason, remedy
      notes         sentences for people on the whole model
      outputs, neon_layers    where it converts
    """
    from caffe2neon.checking import check_file
    from caffe2neon.errors import located

    with located(stage="check"):
        checked = check_file(prototxt, net)
    if as_json:
        click.echo(json.dumps(_facts(checked), indent=2))
    else:
        click.echo("\n".join(_lines(checked, table_width(sys.stdout))))
    sys.exit(not checked.converts)


def _facts(checked: Checked) -> dict[str, object]:
    return {
        "schema": 1,
        "path": checked.path,
        "converts": checked.converts,
        "layers": [vars(layer) for layer in checked.layers],
        "findings": [
            {
                "layer": found.where.layer,
                "type": found.where.layer_type,
                "line": found.where.line,
                "reason": found.reason,
                "remedy": found.remedy,
            }
            for found in checked.findings
        ],
        "notes": checked.notes,
        "outputs": checked.outputs,
        "neon_layers": checked.neon_layers,
    }


def _lines(checked: Checked, width: int) -> Iterator[str]:
    from caffe2neon.report import table

    rows = [
        (layer.layer or "-", layer.type, str(layer.line or ""), layer.verdict, _becomes(layer))
        for layer in checked.layers
    ]
    counts = Counter(layer.verdict for layer in checked.layers)
    total = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _VERDICTS if counts[verdict])
    yield table(("layer", "type", "line", "verdict", "becomes"), [*rows, ("total", "", "", "", total)], right={2}, width=width)
    for verdict in ("rewritten", "refused"):
        for layer in checked.layers:
            if layer.verdict == verdict:
                line = f"line {layer.line}, " if layer.line else ""
                yield from _wrapped(f"{verdict}: {line}{layer.layer}: {layer.reason}", layer.remedy, width)
    if counts["open"]:
        yield from _wrapped("open: not judged, as a refused layer leaves shapes unknown", "", width)
    for found in checked.findings:
        yield from _wrapped(f"refused: {found.where}: {found.reason}", found.remedy, width)
    for note in checked.notes:
        yield from _wrapped(f"note: {note}", "", width)
    yield from _wrapped(_summary(checked), "", width)


_VERDICTS = ("exact", "rewritten", "dropped", "refused", "open")


def _becomes(layer: Verdict) -> str:
    """In a table: reasons of what is refused are too long for one, and follow behind it."""
    if layer.verdict in ("refused", "open"):
        return "?" if layer.verdict == "open" else "(see below)"
    return layer.becomes or f"({layer.reason})"


def _summary(checked: Checked) -> str:
    if not checked.converts:
        count = sum(layer.verdict == "refused" for layer in checked.layers) + len(checked.findings)
        return f"{checked.path}: does not convert: {count} finding{'s' if count > 1 else ''}"
    caffe, neon = checked.weights
    growth = f", {neon / caffe:.3g} times as many" if caffe and neon > 1.01 * caffe else ""
    return (
        f"{checked.path}: converts exactly; {checked.neon_layers} neon layers, outputs: {', '.join(checked.outputs)}; "
        f"{caffe:,} weights in Caffe, {neon:,} in neon{growth}"
    )


def _wrapped(text: str, remedy: str, width: int) -> list[str]:
    return [
        line
        for part in filter(None, (text, f"    {remedy}" if remedy else ""))
        for line in textwrap.wrap(part, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    ]
