"""The manifest: zoo list, zoo build."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import click

from caffe2neon.cli.common import FILE, TOPK, WORKERS, Steps, engine_options
from caffe2neon.errors import UsageError
from caffe2neon.files import cannot_write
from caffe2neon.records import Manifest, ModelSpec, Outcome


@click.group()
def zoo() -> None:
    """Work on the models of a manifest (zoo.yaml).

    \b
    Example:
      caffe2neon zoo build digits
    """


_MANIFEST = click.option("--manifest", type=FILE, default=Path("zoo.yaml"), show_default=True, help="The manifest.")
_GROUP = click.option("--group", "groups", multiple=True, metavar="NAME", help="All models of a group; may be given several times.")
_NAMES = click.argument("names", nargs=-1)


def _choose(manifest: Path, names: tuple[str, ...], groups: tuple[str, ...]) -> tuple[Manifest, tuple[ModelSpec, ...]]:
    from caffe2neon.manifest import read_manifest, select

    read = read_manifest(manifest)
    chosen = select(read, names, groups)
    others = tuple(f"models.{model.name}." for model in read.models if model not in chosen)
    for warning in read.warnings:
        if not warning.startswith(others):
            click.echo(f"warning: {warning}", err=True)
    return read, chosen


@zoo.command("list")
@_NAMES
@_GROUP
@_MANIFEST
@click.option("--json", "as_json", is_flag=True, help="Everything the manifest says, as JSON.")
def list_models(names: tuple[str, ...], groups: tuple[str, ...], manifest: Path, as_json: bool) -> None:
    """List models: all, or NAMES (globs such as 'vgg*').

    \b
    Example:
      caffe2neon zoo list --group ilsvrc12
    """
    read, chosen = _choose(manifest, names, groups)
    if as_json:
        from caffe2neon.files import json_bytes
        from caffe2neon.report import to_json

        click.echo(json_bytes([to_json(spec, read.path.parent) for spec in chosen]).decode(), nl=False)
        return
    width = max((len(spec.name) for spec in chosen), default=0)
    for spec in chosen:
        accuracy = f"top-1 {spec.published.topk[1]:.1f} %" if spec.published and 1 in spec.published.topk else ""
        size = f"{spec.caffemodel.size / 1e6:.1f} MB" if spec.caffemodel.size else ""
        expect = f"  ({spec.expect}: {spec.reason})" if spec.expect != "published" else ""
        click.echo(f"{spec.name:{width}}  {size:>9}  {accuracy:13}  {', '.join(spec.groups)}{expect}".rstrip())


@zoo.command()
@_NAMES
@_GROUP
@_MANIFEST
@click.option("-o", "--output", type=FILE, default=Path("zoo"), show_default=True, help="The folder to publish to.")
@click.option("--cache", type=FILE, default=Path(".cache/caffe2neon"), show_default=True, help="Where downloads are kept.")
@click.option("--mirror", "mirrors", type=FILE, multiple=True, help="A folder to look for files in before the network is asked.")
@click.option("--dataset", "datasets", multiple=True, metavar="NAME=PATH", help="Where a data set of the manifest lies.")
@click.option("--report", type=FILE, default=None, help="Write the outcomes as JSON. Default: report.json in the output folder.")
@click.option("--no-evaluate", is_flag=True, help="Publish without measuring accuracy.")
@TOPK
@WORKERS
@click.option("--offline", is_flag=True, help="Never ask the network.")
@click.option("--dry-run", is_flag=True, help="Say where each file would come from, and stop.")
@engine_options
def build(
    names: tuple[str, ...],
    groups: tuple[str, ...],
    manifest: Path,
    output: Path,
    cache: Path,
    mirrors: tuple[Path, ...],
    datasets: tuple[str, ...],
    report: Path | None,
    no_evaluate: bool,
    topk: tuple[int, ...],
    workers: int | None,
    offline: bool,
    dry_run: bool,
    engine: str,
    reference: str,
) -> None:
    """Fetch, convert, remap, verify, evaluate and publish models: all, or NAMES (globs such as 'vgg*').

    One model that fails does not stop the others; the report says why, and the exit code is 1.

    \b
    Examples:
      caffe2neon zoo build digits
      caffe2neon zoo build --group ilsvrc12 --mirror downloads/ --dataset ilsvrc12=val/
    """
    from caffe2neon.pipeline import Options, build_model
    from caffe2neon.publish import INDEX
    from caffe2neon.report import summary, write_report
    from caffe2neon.report.page import write_page

    read, chosen = _choose(manifest, names, groups)
    places = _parse_datasets(datasets, read)
    chosen = tuple(_placed(spec, places) for spec in chosen)
    if dry_run:
        _show_plan(chosen, read, cache, mirrors)
        return
    report = report or output / "report.json"
    _make_folders(output, report.parent)
    steps = Steps()
    options = Options(
        root=read.path.parent,
        output=output,
        cache=cache,
        mirrors=mirrors,
        engine=engine,
        reference=reference,
        topk=topk,
        workers=workers,
        evaluate=not no_evaluate,
        offline=offline,
        progress=steps,
    )
    outcomes: list[Outcome] = []
    try:
        for spec in chosen:
            outcomes.append(build_model(spec, options))
            steps.close()
    finally:  # whoever presses Ctrl-C still learns what became of the others
        steps.close()
        write_report(outcomes, report, root=output)
        if (output / INDEX).exists():
            write_page(output)
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    click.echo(summary(outcomes, chosen, width=max(80, width)))
    sys.exit(any(outcome.status == "failed" for outcome in outcomes))


def _make_folders(*folders: Path) -> None:
    """Before hours of work, not after."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error


def _placed(spec: ModelSpec, datasets: dict[str, Path]) -> ModelSpec:
    """The entry with its data set where ``--dataset`` says it lies; labels in a file of their own lie in it or beside it."""
    if spec.dataset is None or spec.dataset.name not in datasets:
        return spec
    path, labels = datasets[spec.dataset.name], spec.dataset.labels
    if labels is not None:
        beside = path.parent / labels.name
        labels = beside if path.is_file() or (beside.is_file() and not (path / labels.name).is_file()) else path / labels.name
    return replace(spec, dataset=replace(spec.dataset, path=path, labels=labels))


def _parse_datasets(values: tuple[str, ...], manifest: Manifest) -> dict[str, Path]:
    datasets = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not path:
            raise UsageError(f"--dataset {value!r} is not NAME=PATH")
        if name not in manifest.datasets:
            known = ", ".join(manifest.datasets) or "none"
            raise UsageError(f"the manifest has no data set {name!r}", remedy=f"it has: {known}")
        datasets[name] = Path(path)
    return datasets


def _show_plan(chosen: tuple[ModelSpec, ...], manifest: Manifest, cache: Path, mirrors: tuple[Path, ...]) -> None:
    from caffe2neon.fetch import plan

    for spec in chosen:
        if spec.expect != "published":
            click.echo(f"{spec.name}: {spec.expect:8}  {spec.reason}")
            continue
        for pinned in (spec.prototxt, spec.caffemodel):
            first = plan(pinned, root=manifest.path.parent, cache=cache, mirrors=mirrors)[0]
            click.echo(f"{spec.name}: {first.action:8}  {first.url}")


import caffe2neon.cli.zoo_files  # noqa: E402 - adds its commands to the group above
import caffe2neon.cli.zoo_page  # noqa: E402
import caffe2neon.cli.zoo_store  # noqa: E402, F401
