"""What is in a file."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caffe2neon.cli.common import FILE, input_option, refuse_overwriting, table_width

if TYPE_CHECKING:
    from caffe2neon.records import JSON, Inspection, LayerFacts, Shape


@click.command()
@click.argument("file", type=FILE)
@click.option("--phase", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Of a prototxt.")
@input_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--svg", type=FILE, default=None, metavar="OUT.svg", help="Draw a prototxt or a .prm into this file instead.")
def inspect(file: Path, phase: str, shape: Shape | None, as_json: bool, svg: Path | None) -> None:
    """List the layers of a prototxt, caffemodel or .prm: shapes, parameters, multiply-adds.

    Multiply-adds are for one example, in convolutions, deconvolutions and inner products; all other layers count 0.

    \b
    Examples:
      caffe2neon inspect deploy.prototxt
      caffe2neon inspect train_val.prototxt --input 3,227,227
      caffe2neon inspect model.prm --svg model.svg

    \b
    --json prints an object; null is what nobody knows:
      schema         1
      kind           prototxt, caffemodel or prm
      path, size     the file, and its bytes
      header         prototxt: name, inputs, outputs (shapes by blob), sha256
                     prm: neon_version, compat_mode, input_shape, inputs, outputs, class_order,
                     remapped, preprocess, source (names and sha256), notes, caffe2neon (version)
      layers         in the file's order, each with: name, type ("" in a caffemodel), detail (neon: an
                     Activation's transform, a Pooling's op, a MergeBroadcast's merge), outputs
                     (a shape per top), parameters, multiply_adds, blobs (shapes), dtypes (as
                     stored), depth (containers around it), line (of a prototxt), reason (why
                     there are no shapes)
      parameters, multiply_adds    totals; shared parameters count once
      notes          sentences for people
    """
    if svg is not None:
        _draw(file, phase, shape, svg)
        return
    from caffe2neon.inspection import inspect_file
    from caffe2neon.report import to_json

    inspection = inspect_file(file, phase=phase.upper(), shape=shape)
    if as_json:
        facts = to_json(inspection)
        assert isinstance(facts, dict)
        click.echo(json.dumps({"schema": 1, **facts}, indent=2))
    else:
        click.echo(_text(inspection, table_width(sys.stdout)))


def _draw(file: Path, phase: str, shape: Shape | None, svg: Path) -> None:
    from caffe2neon.files import write_bytes
    from caffe2neon.picture import draw_file

    refuse_overwriting(svg, file)
    write_bytes(svg, draw_file(file, phase=phase.upper(), shape=shape))
    click.echo(f"{svg}: {svg.stat().st_size / 1e3:.1f} kB")


def _text(inspection: Inspection, width: int) -> str:
    from caffe2neon.report import table

    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    if inspection.kind == "caffemodel":
        headings = ("layer", "blobs", "dtype", "parameters")
        rows = [(_name(layer), _shapes(layer.blobs), _dtypes(layer), _counts(layer)[0]) for layer in inspection.layers]
        rows.append(("total", "", "", _count(inspection.parameters)))
    else:
        headings = ("layer", "type", "output", "parameters", "multiply-adds")
        rows = [(_name(layer), _type(layer), _outputs(layer), *_counts(layer)) for layer in inspection.layers]
        rows.append(("total", "", "", _count(inspection.parameters), _count(inspection.multiply_adds)))
    header = list(_header(inspection))
    indent = max((len(title) for title, _ in header), default=0) + 2
    return "\n".join(
        [
            f"{inspection.path}: {inspection.kind}, {inspection.size:,} bytes",
            *(line for fact in header for line in _wrapped(*fact, width, indent)),
            "",
            table(headings, rows, right={3, 4}, width=width),
            *(line for note in inspection.notes for line in _wrapped("note", note, width, len("note: "))),
        ]
    )


def _header(inspection: Inspection) -> Iterator[tuple[str, str]]:
    """What the file states of itself, by title."""
    for name, value in inspection.header.items():
        title = name.replace("_", " ")
        if isinstance(value, dict) and any(isinstance(item, dict) for item in value.values()):
            yield from ((f"{title} {key}", _fact(name, item)) for key, item in value.items())
        elif text := _fact(name, value):
            yield title, text


def _wrapped(title: str, text: str, width: int, indent: int) -> list[str]:
    return textwrap.wrap(
        f"{title + ':':{indent}}{text}", width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def _fact(name: str, value: JSON) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_fact(key, item)}".rstrip() for key, item in value.items())
    if isinstance(value, list | tuple):
        whole = all(isinstance(item, int) for item in value)
        return ("x" if whole else "; " if name == "notes" else ", ").join(_fact("", item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _name(layer: LayerFacts) -> str:
    return "  " * layer.depth + (layer.name or "-")


def _type(layer: LayerFacts) -> str:
    return f"{layer.type} {layer.detail}" if layer.detail else layer.type


def _outputs(layer: LayerFacts) -> str:
    return "-" if layer.outputs is None else _shapes(layer.outputs)


def _dtypes(layer: LayerFacts) -> str:
    return ", ".join(dict.fromkeys(layer.dtypes))


def _counts(layer: LayerFacts) -> tuple[str, str]:
    """Empty where there is nothing to count, so that the eye finds the layers that count."""
    return (
        "" if layer.parameters == 0 else _count(layer.parameters),
        "" if layer.multiply_adds == 0 else _count(layer.multiply_adds),
    )


def _count(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _shapes(shapes: Sequence[Shape]) -> str:
    """``1x3x8x8``; of many equal ones how many there are."""
    if len(shapes) > 2 and len(set(shapes)) == 1:
        return f"{len(shapes)} of {_shapes(shapes[:1])}"
    return ", ".join("x".join(map(str, shape)) or "scalar" for shape in shapes)
