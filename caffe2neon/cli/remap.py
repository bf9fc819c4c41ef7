"""Classes of one model."""

from __future__ import annotations

from pathlib import Path

import click

from caffe2neon.cli.common import FILE, refuse_overwriting
from caffe2neon.errors import UsageError


@click.command()
@click.argument("prm", type=FILE)
@click.option("-o", "--output", type=FILE, default=None, help="The file to write. Default: MODEL_neon.prm beside it.")
@click.option("--map", "map_file", type=FILE, default=None, help="A map of one's own, or the published neon_caffe_label_map.p.")
@click.option("--synsets", type=FILE, default=None, help="Caffe's synsets.txt; goes with --devkit.")
@click.option("--devkit", type=FILE, default=None, help="ILSVRC2012_devkit_t12.tar.gz; goes with --synsets.")
@click.option("--layers", multiple=True, metavar="NAME", help="The layers to reorder, where the classifier is not found by itself.")
@click.option("--in-place", is_flag=True, help="Replace the file.")
@click.option("--again", is_flag=True, help="Reorder although the model says that it was done.")
def remap(
    prm: Path,
    output: Path | None,
    map_file: Path | None,
    synsets: Path | None,
    devkit: Path | None,
    layers: tuple[str, ...],
    in_place: bool,
    again: bool,
) -> None:
    """Reorder ILSVRC12 classes from Caffe's order to neon's.

    The classifier is found by itself: Linear and Bias, or a convolution, in every head. The orders are built in.

    \b
    Example:
      caffe2neon remap squeezenet.prm -o squeezenet_neon.prm
    """
    from caffe2neon.labels import builtin_map, devkit_map, read_map
    from caffe2neon.labels import remap as reorder
    from caffe2neon.neon import read_prm, write_prm

    if in_place and output:
        raise UsageError("--in-place and --output exclude each other")
    if (synsets is None) != (devkit is None):
        raise UsageError("--synsets and --devkit go together", remedy="give both, or neither: the orders are built in")
    if map_file and synsets:
        raise UsageError("--map and --synsets exclude each other")
    if map_file:
        order = read_map(map_file)
    elif synsets and devkit:
        order = devkit_map(synsets, devkit)
    else:
        order = builtin_map()
    target = prm if in_place else output or prm.parent / f"{prm.stem}_neon.prm"
    if not in_place:
        refuse_overwriting(target, prm)
    model = reorder(read_prm(prm), order, layers=layers, again=again)
    write_prm(model, target)
    click.echo(f"{target}: classes in neon's order from {model.meta['remap']['layers'][0]!r} on")
