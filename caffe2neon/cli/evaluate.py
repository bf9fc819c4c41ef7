"""Accuracy of one model."""

from __future__ import annotations

from pathlib import Path

import click

from caffe2neon.cli.common import FILE, TOPK, WORKERS, Steps, engine_option, order_option, preprocess_of, preprocess_options
from caffe2neon.errors import DataError, UsageError


@click.command()
@click.argument("prm", type=FILE)
@click.option("--dataset", type=FILE, required=True, help="An .npz, idx images, or the root folder of a Caffe image list.")
@click.option("--labels", type=FILE, default=None, help="val.txt of an image list (default: in the root), or idx labels.")
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
    topk: tuple[int, ...],
    class_order: str | None,
    model_order: str | None,
    engine: str,
    workers: int | None,
    resize: tuple[int, int] | None,
    crop: tuple[int, int] | None,
    channel_order: str | None,
    mean: tuple[float, ...] | None,
    scale: float | None,
) -> None:
    """Measure top-k accuracy of a model over a labelled data set.

    \b
    Examples:
      caffe2neon evaluate lenet.prm --dataset mnist.npz --channel-order GRAY --scale 0.00390625
      caffe2neon evaluate alexnet.prm --dataset val/ --class-order caffe --crop 227 --mean 104,117,123
    """
    from caffe2neon.neon import read_prm
    from caffe2neon.records import DatasetSpec, Preprocess
    from caffe2neon.single import measure

    spec = DatasetSpec(dataset.name, _kind(dataset, labels), dataset, labels, class_order or "")
    recorded = read_prm(prm).meta.get("preprocess")
    preprocess = preprocess_of(
        resize, crop, channel_order, mean, scale, Preprocess.from_record(recorded) if recorded else None
    )
    steps = Steps()
    try:
        result = measure(
            prm,
            spec,
            preprocess or Preprocess(),
            engine=engine,
            topk=topk,
            workers=workers,
            order=model_order or "",
            progress=steps,
        )
    finally:
        steps.close()
    click.echo(f"{prm}: {result.count} examples of {result.dataset}, {result.engine}")
    for top in result.topk:
        click.echo(f"top-{top.k}  {top.percent:6.2f} %   95 % interval {top.low:.2f} to {top.high:.2f}   ({top.correct} correct)")


def _kind(dataset: Path, labels: Path | None) -> str:
    """What a data set is, by its looks.

    Raises:
        DataError: it is not there.
        UsageError: it comes with labels that do not go with it, or without those it needs.
    """
    if not dataset.exists():
        raise DataError("no such data set", path=str(dataset), remedy="check the name and the folder")
    if dataset.is_dir():
        return "image_list"
    if dataset.suffix == ".npz":
        if labels:
            raise UsageError("an .npz holds its labels itself", path=str(dataset), remedy="leave out --labels")
        return "npz"
    if labels is None:
        remedy = "give the labels of idx images with --labels; an .npz is told by its name, pictures by their folder"
        raise UsageError("this data set needs labels", path=str(dataset), remedy=remedy)
    return "idx"
