"""The manifest and its files: zoo add, zoo check, zoo fetch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from caffe2neon.cli.common import FOLDER, Steps
from caffe2neon.cli.zoo import _CACHE, _GROUP, _MANIFEST, _NAMES, _choose, zoo
from caffe2neon.errors import Caffe2NeonError, UsageError
from caffe2neon.records import JSON, Manifest, ModelSpec

if TYPE_CHECKING:
    from caffe2neon.fetch import Network

F = TypeVar("F", bound=Callable[..., None])

_MIRROR = click.option("--mirror", "mirrors", type=FOLDER, multiple=True, help="A folder to look in before the network is asked.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON list on standard output.")


@dataclass(frozen=True)
class _Result:
    """What became of one entry; ``ok`` decides the exit code."""

    name: str
    status: str
    detail: str
    ok: bool = True

    def json(self) -> JSON:
        return {"name": self.name, "status": self.status, "detail": self.detail}


def _network_options(function: F) -> F:
    """``--timeout`` and ``--attempts``: what :func:`_network` turns into a Network."""
    timeout = click.option("--timeout", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True, metavar="SECONDS")
    attempts = click.option("--attempts", type=click.IntRange(1), default=4, show_default=True, help="In a row, without a byte.")
    return timeout(attempts(function))


def _network(timeout: float, attempts: int) -> Network:
    from caffe2neon.fetch import Network

    return Network(timeout=timeout, attempts=attempts)


@zoo.command()
@_NAMES
@_GROUP
@_MANIFEST
@_CACHE
@_MIRROR
@click.option("--offline", is_flag=True, help="Never ask the network; only hash what is here.")
@_network_options
@_JSON
def fetch(
    names: tuple[str, ...],
    groups: tuple[str, ...],
    manifest: Path,
    cache: Path,
    mirrors: tuple[Path, ...],
    offline: bool,
    timeout: float,
    attempts: int,
    as_json: bool,
) -> None:
    """Bring the files of models here and check their hashes: all, or NAMES (globs such as 'vgg*').

    A download that is interrupted goes on where it stopped, in this run or a later one. Proxies are read from the environment
    (HTTPS_PROXY, NO_PROXY). Of an entry that is expected to be refused, only the prototxt is fetched.

    \b
    Example:
      caffe2neon zoo fetch --group ilsvrc12 --mirror downloads/
    """
    from caffe2neon.fetch import fetch_file

    read, chosen = _choose(manifest, names, groups)
    network, steps = _network(timeout, attempts), Steps()

    def bring(spec: ModelSpec) -> _Result:
        if spec.expect == "unpinned":
            return _Result(spec.name, "unpinned", spec.reason)
        files = (spec.prototxt, spec.caffemodel) if spec.expect == "published" else (spec.prototxt,)
        try:
            here = [
                fetch_file(
                    pinned,
                    root=read.path.parent,
                    cache=cache,
                    mirrors=mirrors,
                    progress=steps,
                    network=network,
                    offline=offline,
                )
                for pinned in files
            ]
        except Caffe2NeonError as error:
            return _Result(spec.name, "failed", str(error), ok=False)
        finally:
            steps.close()
        return _Result(spec.name, "here", f"{sum(file.size for file in here) / 1e6:.1f} MB")

    _report([bring(spec) for spec in chosen], as_json)


@zoo.command()
@_NAMES
@_GROUP
@_MANIFEST
@_CACHE
@_MIRROR
@_JSON
def check(
    names: tuple[str, ...], groups: tuple[str, ...], manifest: Path, cache: Path, mirrors: tuple[Path, ...], as_json: bool
) -> None:
    """Say what is wrong with the manifest, and what of its nets converts: all, or NAMES (globs such as 'vgg*').

    All mistakes of the manifest are listed at once. Nets whose prototxt is on this machine (a path, a mirror, the cache) are held
    against what the manifest expects of them; neither weights nor the network are needed.

    \b
    Example:
      caffe2neon zoo check 'bvlc_*'
    """
    read, chosen = _choose(manifest, names, groups)
    steps = Steps()
    try:
        results = [_check_entry(spec, read, cache, mirrors) for spec in chosen]
    finally:
        steps.close()
    _report(results, as_json)


def _check_entry(spec: ModelSpec, manifest: Manifest, cache: Path, mirrors: tuple[Path, ...]) -> _Result:
    from caffe2neon.fetch import fetch_file, plan

    if not spec.prototxt.digest:
        return _Result(spec.name, "unpinned", spec.reason)
    root = manifest.path.parent
    if not plan(spec.prototxt, root=root, cache=cache, mirrors=mirrors, offline=True):
        return _Result(spec.name, "not checked", "its prototxt is not on this machine")
    from caffe2neon.expectation import in_brief, refusal

    try:
        path = fetch_file(spec.prototxt, root=root, cache=cache, mirrors=mirrors, offline=True).path
    except Caffe2NeonError as error:
        return _Result(spec.name, "failed", str(error), ok=False)
    refused = refusal(spec, path)
    if spec.expect == "refused":
        if refused is None:
            return _Result(spec.name, "failed", f"expected to be refused ({spec.reason}), but converts", ok=False)
        return _Result(spec.name, "refused", f"as expected: {in_brief(refused)}")
    if refused is not None:
        return _Result(spec.name, "failed", f"does not convert: {refused}", ok=False)
    if spec.expect == "unpinned":
        return _Result(spec.name, "unpinned", f"converts, but {spec.reason}")
    return _Result(spec.name, "converts", "")


@zoo.command()
@click.argument("prototxt_url")
@click.argument("caffemodel_url")
@click.option("--name", default="", help="Default: the caffemodel's file name.")
@click.option("--license", "terms", default="unknown", show_default=True, help="The weights' licence, or its address.")
@click.option("--prototxt-member", default="", metavar="PATH", help="The prototxt's path, if its URL is of an archive.")
@click.option("--caffemodel-member", default="", metavar="PATH", help="The caffemodel's path, if its URL is of an archive.")
@_MANIFEST
@_CACHE
@click.option("--dry-run", is_flag=True, help="Print the entry, and leave the manifest alone.")
@_network_options
def add(
    prototxt_url: str,
    caffemodel_url: str,
    name: str,
    terms: str,
    prototxt_member: str,
    caffemodel_member: str,
    manifest: Path,
    cache: Path,
    dry_run: bool,
    timeout: float,
    attempts: int,
) -> None:
    """Fetch a net and its weights, and add them to the manifest with hash and size; where there is no manifest, one is begun.

    The hash is of what arrives now: look whether that is what you want. All else in the manifest stays as it is, comments too.
    Add preprocessing, data set, published accuracy and groups by hand.

    \b
    Example:
      caffe2neon zoo add https://host/deploy.prototxt https://host/net.caffemodel --name my_net
    """
    from caffe2neon.expectation import draft
    from caffe2neon.files import write_bytes
    from caffe2neon.manifest import begin, entry_text, read_manifest, with_entry

    if not manifest.parent.is_dir():
        remedy = "make it, or correct --manifest"
        raise UsageError("there is no such folder for a manifest", path=str(manifest.parent), remedy=remedy)
    text, begun = begin(manifest)
    models = read_manifest(manifest, text).models
    steps = Steps()
    try:
        spec = draft(
            name,
            (prototxt_url, prototxt_member),
            (caffemodel_url, caffemodel_member),
            license=terms,
            root=manifest.parent,
            cache=cache,
            progress=steps,
            network=_network(timeout, attempts),
        )
    finally:
        steps.close()
    if not dry_run:
        if any(model.name == spec.name for model in models):
            raise UsageError(f"{manifest} has an entry {spec.name!r}", remedy="give another --name, or --dry-run to see its hashes")
        grown = with_entry(text, spec)
        read_manifest(manifest, grown)
        write_bytes(manifest, grown.encode())
        if begun:
            click.echo(f"{manifest}: there was no manifest, and this is a new one", err=True)
    click.echo(entry_text(spec), nl=False)
    if not spec.license_known:
        click.echo(f"note: look up the licence of {spec.name}'s weights, and say it there", err=True)


def _report(results: list[_Result], as_json: bool) -> None:
    """Print all results; exit with 1 if one is bad."""
    if as_json:
        from caffe2neon.files import json_bytes

        click.echo(json_bytes([result.json() for result in results]).decode(), nl=False)
    else:
        width = max((len(result.name) for result in results), default=0)
        for result in results:
            click.echo(f"{result.name:{width}}  {result.status:11}  {result.detail}".rstrip())
    sys.exit(not all(result.ok for result in results))
