"""The manifest: zoo list, and what all commands of the zoo share."""

from __future__ import annotations

from pathlib import Path

import click

from caffe2neon.cli.common import FILE
from caffe2neon.records import Manifest, ModelSpec


@click.group()
def zoo() -> None:
    """Work on the models of a manifest (zoo.yaml).

    \b
    Example:
      caffe2neon zoo build digits
    """


_MANIFEST = click.option("--manifest", type=FILE, default=Path("zoo.yaml"), show_default=True, help="The manifest.")
_CACHE = click.option(
    "--cache",
    type=FILE,
    default=Path(".cache/caffe2neon"),
    show_default=True,
    help="Where downloads are kept. The default is in the current folder.",
)
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


import caffe2neon.cli.zoo_build  # noqa: E402 - adds its commands to the group above
import caffe2neon.cli.zoo_files  # noqa: E402
import caffe2neon.cli.zoo_page  # noqa: E402
import caffe2neon.cli.zoo_store  # noqa: E402, F401
