"""One model: convert, verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffe2neon.cli.common import (
    FILE,
    TOLERANCE,
    engine_options,
    net_options,
    preprocess_options,
    refuse_overwriting,
)

if TYPE_CHECKING:
    from caffe2neon.single import NetOptions


@click.command()
@click.argument("prototxt", type=FILE)
@click.argument("caffemodel", type=FILE)
@click.option("-o", "--output", type=FILE, default=None, help="The file to write. Default: the caffemodel's name with .prm.")
@click.option("--remap", "remap_classes", is_flag=True, help="Reorder ILSVRC12 classes from Caffe's order to neon's.")
@net_options
@click.option("--verify", "verified", is_flag=True, help="Compare with Caffe before the file gets its name.")
@TOLERANCE
@preprocess_options
def convert(
    prototxt: Path,
    caffemodel: Path,
    output: Path | None,
    remap_classes: bool,
    net: NetOptions,
    verified: bool,
    tolerance: float,
    preprocess: dict[str, Any],
) -> None:
    """Convert one Caffe model to a neon v1.4.0 file.

    The preprocessing options are recorded in the model; evaluate uses them.

    \b
    Example:
      caffe2neon convert deploy.prototxt alexnet.caffemodel -o alexnet.prm --remap --verify
    """
    from caffe2neon.records import Preprocess
    from caffe2neon.single import convert_files

    output = output or caffemodel.parent / f"{caffemodel.stem}.prm"
    refuse_overwriting(output, prototxt, caffemodel)
    model, parity = convert_files(
        prototxt,
        caffemodel,
        output,
        options=net,
        remap_classes=remap_classes,
        preprocess=Preprocess(**preprocess) if preprocess else None,
        tolerance=tolerance if verified else None,
    )
    for note in model.meta["notes"]:
        click.echo(f"note: {note}")
    if parity is not None:
        click.echo(f"verified: {parity.engine} against {parity.reference}, error {parity.worst:.2g}, tolerance {tolerance:g}")
    click.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


@click.command()
@click.argument("prm", type=FILE)
@click.argument("prototxt", type=FILE)
@click.argument("caffemodel", type=FILE)
@click.option("--layers", is_flag=True, help="Compare layer by layer, too, and name the first that departs.")
@TOLERANCE
@net_options
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True, help="Examples of seeded noise to compare on.")
@engine_options
def verify(
    prm: Path,
    prototxt: Path,
    caffemodel: Path,
    layers: bool,
    tolerance: float,
    net: NetOptions,
    batch: int,
    engine: str,
    reference: str,
) -> None:
    """Compare a converted model with the Caffe net it was made of.

    \b
    Example:
      caffe2neon verify alexnet.prm deploy.prototxt alexnet.caffemodel --layers
    """
    from caffe2neon.caffe import read_weights, require_finite
    from caffe2neon.errors import located
    from caffe2neon.single import compare, load_net
    from caffe2neon.verify import require, table

    with located(stage="verify"):
        caffe, weights = load_net(prototxt, net), read_weights(caffemodel)
        require_finite(caffe, weights)
        parity = compare(
            prm, caffe, weights, tolerance=tolerance, layers=layers, batch=batch, engine=engine, reference=reference
        )
        click.echo(table(parity))
        require(parity)
