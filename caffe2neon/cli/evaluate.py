"""Accuracy of one model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from caffe2neon.cli.common import FILE, TOPK, WORKERS, Steps, engine_option, order_option, preprocess_options
from caffe2neon.evaluate import KINDS, kind_of


@click.command()
@click.argument("prm", type=FILE)
@click.option("--dataset", type=FILE, required=True, help="A file or folder with the pictures; see above.")
@click.option("--labels", type=FILE, default=None, help="The second file of a data set that has two; see above.")
@click.option("--kind", type=click.Choice(KINDS), default=None, help="What the data set is; by default, its contents tell.")
@click.option("--skip-bad", is_flag=True, help="Leave out pictures that cannot be read, and name them.")
@TOPK
@order_option("--class-order", "the order of the data set's labels.")
@order_option("--model-order", "overrides what the model says of itself.")
@engine_option
@WORKERS
@preprocess_options
def evaluate(
    prm: Path,
    dataset: Path,
    labels: Path | None,
    kind: str | None,
    skip_bad: bool,
    topk: tuple[int, ...],
    class_order: str | None,
    model_order: str | None,
    engine: str,
    workers: int | None,
    preprocess: dict[str, Any],
) -> None:
    """Measure top-k accuracy of a model over a labelled data set.

    \b
    Data sets, and what --labels is:
      npz           images and labels in one file
      idx           MNIST's images, plain or .gz; --labels: its labels
      image_list    a folder of pictures; --labels: Caffe's list (default: val.txt in it)
      folder        a folder of pictures a class; --labels: list of all classes, if need be
      ilsvrc12_tar  ILSVRC2012_img_val.tar; --labels: the devkit (default: beside it)
      lmdb          Caffe's database of Datums, with caffe2neon[lmdb]
      macrobatch    a folder of neon's macrobatches

    \b
    Examples:
      caffe2neon evaluate lenet.prm --dataset mnist.npz --channel-order GRAY --scale 0.00390625
      caffe2neon evaluate alexnet.prm --dataset val/ --class-order caffe --crop 227 --mean 104,117,123
    """
    from caffe2neon.neon import read_prm
    from caffe2neon.records import DatasetSpec, Preprocess
    from caffe2neon.single import MeasureOptions, measure

    spec = DatasetSpec(dataset.name, kind or kind_of(dataset, labels), dataset, labels, class_order or "")
    recorded = read_prm(prm).meta.get("preprocess")
    if not recorded and not preprocess:
        click.echo("note: the model records no preprocessing and none is given: pixels go in as they are", err=True)
    steps = Steps()
    try:
        result = measure(
            prm,
            spec,
            replace(Preprocess.from_record(recorded or {}), **preprocess),
            MeasureOptions(engine, topk, workers=workers, order=model_order or "", skip_bad=skip_bad),
            steps,
        )
    finally:
        steps.close()
    for message in result.skipped:
        click.echo(f"left out: {message}", err=True)
    left_out = f", {len(result.skipped)} left out" if result.skipped else ""
    click.echo(f"{prm}: {result.count} examples of {result.dataset}{left_out}, {result.engine}; {result.method}")
    for top in result.topk:
        click.echo(f"top-{top.k}  {top.percent:6.2f} %   95 % interval {top.low:.2f} to {top.high:.2f}   ({top.correct} correct)")
