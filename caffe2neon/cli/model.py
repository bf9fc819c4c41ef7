"""One model: convert, verify."""

from __future__ import annotations

from pathlib import Path

import click

from caffe2neon.cli.common import (
    FILE,
    TOLERANCE,
    engine_options,
    net_options,
    net_options_of,
    preprocess_of,
    preprocess_options,
    refuse_overwriting,
)


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
    phase: str,
    stages: tuple[str, ...],
    level: int,
    shape: tuple[int, ...] | None,
    head: str,
    cut: str,
    verified: bool,
    tolerance: float,
    resize: tuple[int, int] | None,
    crop: tuple[int, int] | None,
    channel_order: str | None,
    mean: tuple[float, ...] | None,
    scale: float | None,
) -> None:
    """Convert one Caffe model to a neon v1.4.0 file.

    The preprocessing options are recorded in the model; evaluate uses them.

    \b
    Example:
      caffe2neon convert deploy.prototxt alexnet.caffemodel -o alexnet.prm --remap --verify
    """
    from caffe2neon.single import convert_files

    output = output or caffemodel.parent / f"{caffemodel.stem}.prm"
    refuse_overwriting(output, prototxt, caffemodel)
    model, parity = convert_files(
        prototxt,
        caffemodel,
        output,
        options=net_options_of(phase, stages, level, shape, head, cut),
        remap_classes=remap_classes,
        preprocess=preprocess_of(resize, crop, channel_order, mean, scale),
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
    phase: str,
    stages: tuple[str, ...],
    level: int,
    shape: tuple[int, ...] | None,
    head: str,
    cut: str,
    batch: int,
    engine: str,
    reference: str,
) -> None:
    """Compare a converted model with the Caffe net it was made of.

    \b
    Example:
      caffe2neon verify alexnet.prm deploy.prototxt alexnet.caffemodel --layers
    """
    from caffe2neon.caffe import read_weights
    from caffe2neon.errors import located
    from caffe2neon.single import compare, load_net
    from caffe2neon.verify import require, table

    with located(stage="verify"):
        net = load_net(prototxt, net_options_of(phase, stages, level, shape, head, cut))
        weights = read_weights(caffemodel)
        parity = compare(
            prm, net, weights, tolerance=tolerance, layers=layers, batch=batch, engine=engine, reference=reference
        )
        click.echo(table(parity))
        require(parity)
