"""Published zoos: zoo publish, zoo pull, zoo diff, zoo prune."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caffe2neon.cli.common import FILE, LocalPath, Steps, table_width
from caffe2neon.cli.zoo import zoo
from caffe2neon.errors import PublishError, UsageError

if TYPE_CHECKING:
    from caffe2neon.publish import Change

_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")


def _echo_json(value: object) -> None:
    from caffe2neon.files import json_bytes
    from caffe2neon.report import to_json

    click.echo(json_bytes(to_json(value)).decode(), nl=False)


def _bytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


@zoo.command()
@click.argument("folder", type=LocalPath("publish the folder that a build wrote"))
@click.argument("url")
@click.option("--report", type=FILE, default=None, help="Only what this report of zoo build calls published or unchanged.")
@_JSON
def publish(folder: Path, url: str, report: Path | None, as_json: bool) -> None:
    """Copy the models of a published zoo, FOLDER, to another place: a folder, s3://bucket/path, or what else fsspec reaches.

    Builds go first, each marked as complete by its SHA256SUMS; then the index, in one step, merged with the one that is there.
    What is there already is not sent again; an interrupted run goes on where it stopped. With --report, what lies in FOLDER from
    other runs, which may have been refused, stays there.

    \b
    Example:
      caffe2neon zoo publish zoo/ s3://models/neon
    """
    from caffe2neon.publish import open_place, publish_zoo

    place, steps, results = open_place(url), Steps(), []
    builds = _reported(report) if report else None
    try:
        for copied in publish_zoo(folder, place, steps, builds=builds):
            steps.close()
            results.append(copied)
            if not as_json:
                detail = copied.reason or f"{_bytes(copied.uploaded)} sent"
                click.echo(f"{copied.name}  {copied.status}  build {copied.build}: {detail}")
    finally:
        steps.close()
    if as_json:
        _echo_json(results)


def _reported(report: Path) -> dict[str, str]:
    """The good builds of a report, by name."""
    from caffe2neon.files import read_json

    try:
        outcomes = (read_json(report) or {})["outcomes"]
        return {good["name"]: good["publication"]["build"] for good in outcomes if good["status"] in ("published", "unchanged")}
    except (KeyError, TypeError) as error:
        raise PublishError("not a report of zoo build", path=str(report), remedy="name the file of its --report") from error


@zoo.command()
@click.argument("name")
@click.option("--from", "url", required=True, metavar="URL", help="The published zoo: a folder, https://…, s3://….")
@click.option("-o", "--output", type=FILE, default=None, metavar="DIR", help="The folder to make. Default: NAME.")
def pull(name: str, url: str, output: Path | None) -> None:
    """Bring a published model here, and verify every file by the index and its SHA256SUMS.

    The folder appears when all of it is verified. Nothing is brought where it is up to date; an older pull is replaced.

    \b
    Example:
      caffe2neon zoo pull bvlc_googlenet --from https://host/zoo -o models/googlenet
    """
    from caffe2neon.publish import open_place
    from caffe2neon.publish import pull as bring

    if output is None and Path(name).name != name:
        raise UsageError(f"{name!r} cannot name a model")
    steps = Steps()
    try:
        publication, fresh = bring(open_place(url), name, output or Path(name), steps)
    finally:
        steps.close()
    size = _bytes(sum(publication.sizes.values()))
    said = f"{len(publication.files)} files, {size}, verified" if fresh else "up to date"
    click.echo(f"{publication.path / f'{name}.prm'}  build {publication.build}: {said}")


@zoo.command()
@click.argument("before")
@click.argument("after")
@_JSON
def diff(before: str, after: str, as_json: bool) -> None:
    """Compare two published zoos, folders or URLs: models added, removed and changed; accuracy, parity, size, hashes.

    \b
    Example:
      caffe2neon zoo diff s3://models/neon zoo/
    """
    from caffe2neon.publish import compare_zoos, open_place, read_zoo

    changes = compare_zoos(read_zoo(open_place(before)), read_zoo(open_place(after)))
    if as_json:
        _echo_json([change.json() for change in changes])
    else:
        click.echo(_difference(changes))


def _difference(changes: tuple[Change, ...]) -> str:
    """A table of what is different, and a last line that counts."""
    from caffe2neon.publish import model_size
    from caffe2neon.report import table

    rows = [
        (
            change.name,
            change.status,
            *(_pair(*map(_percent, change.accuracy(measure))) for measure in ("top1", "top5")),
            _pair(*(_error(entry.parity) if entry else "" for entry in (change.before, change.after))),
            _pair(*(_bytes(model_size(entry)) for entry in (change.before, change.after))),
            ", ".join(change.files) if change.status == "changed" else "",
        )
        for change in changes
        if change.status != "unchanged"
    ]
    states = ("added", "removed", "changed", "unchanged")
    counts = [f"{number} {status}" for status in states if (number := sum(change.status == status for change in changes))]
    summary = ", ".join(counts) or "no models in either"
    if not rows:
        return summary
    headings = ("model", "status", "top-1 %", "top-5 %", "parity", "size", "files that differ")
    total = (_count(len(changes), "model"), *[""] * (len(headings) - 2), summary)
    return table(headings, [*rows, total], width=table_width(sys.stdout))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _pair(before: str, after: str) -> str:
    return before if before == after else f"{before or '-'} > {after or '-'}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _error(value: object) -> str:
    return f"{value:.1e}" if isinstance(value, float) else "" if value is None else str(value)


@zoo.command()
@click.argument("folder", type=LocalPath("in a store, remove by its own tools what index.json does not name"))
@click.option("--dry-run/--yes", default=True, show_default=True, help="Only show what would go, or remove it.")
@_JSON
def prune(folder: Path, dry_run: bool, as_json: bool) -> None:
    """Remove builds that the index of a published zoo does not name. Without --yes, only show them.

    \b
    Example:
      caffe2neon zoo prune zoo/ --yes
    """
    from caffe2neon.publish import prune as remove
    from caffe2neon.publish import stale_builds

    stale = stale_builds(folder) if dry_run else remove(folder)
    if as_json:
        _echo_json([{"name": build.name, "build": build.build, "size": build.size, "removed": not dry_run} for build in stale])
        return
    for build in stale:
        click.echo(f"{build.name}/{build.build}  {_bytes(build.size)}{'' if dry_run else '  removed'}")
    total = _bytes(sum(build.size for build in stale))
    click.echo(f"{_count(len(stale), 'build')}, {total}{': remove them with --yes' if dry_run and stale else ''}")
