"""What the manifest expects of an entry, held against what neon can express; and what it could expect of a new one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from caffe2neon.caffe import deploy, read_net
from caffe2neon.convert import convert
from caffe2neon.errors import Caffe2NeonError, GraphError, ParseError, UnsupportedError, located
from caffe2neon.fetch import PATIENT, Network, fetch_unpinned
from caffe2neon.manifest import apply_fixes
from caffe2neon.records import CaffeNet, ModelSpec, Outcome, Progress, no_progress
from caffe2neon.single import lay_out_net

#: Findings that one line has.
_NAMED = 3


def net_of(spec: ModelSpec, prototxt: Path) -> CaffeNet:
    """The net of an entry, its declared text fixes made; ``prototxt`` is the pinned file.

    Raises:
        ParseError: it cannot be read, or a fix does not fit it.
        GraphError: its data layers do not say what they give.
    """
    return deploy(read_net(prototxt, repair=partial(apply_fixes, fixes=spec.fixes)))


def refusal(spec: ModelSpec, prototxt: Path) -> Caffe2NeonError | None:
    """Why the net of an entry has no exact form in neon, or cannot be read as one of Caffe's; None where it converts."""
    try:
        convert(lay_out_net(net_of(spec, prototxt)))
    except (ParseError, GraphError, UnsupportedError) as error:
        return error
    return None


def unpublished(spec: ModelSpec, prototxt: Callable[[], Path]) -> Outcome:
    """What becomes of an entry that is not expected to be published: ``refused``, or ``failed`` where it converts after all.

    Args:
        prototxt: brings the file; called only where a net is to be looked at, and may raise.
    """
    if spec.expect == "unpinned":
        return Outcome(spec.name, "refused", f"not pinned, as the manifest says: {spec.reason}", "fetch")
    with located(model=spec.name, stage="fetch"):
        path = prototxt()
    error = refusal(spec, path)
    if error is None:
        reason = f"expected to be refused ({spec.reason}), but converts: take 'expect' out of the entry, and pin its weights"
        return Outcome(spec.name, "failed", reason, "convert")
    found = in_brief(error)
    reason = f"as expected: {spec.reason}" + (f"\n{found}" if found != spec.reason else "")
    return Outcome(spec.name, "refused", reason, "convert")


def draft(
    name: str,
    prototxt: tuple[str, str],
    caffemodel: tuple[str, str],
    *,
    license: str,  # noqa: A002 - the manifest's word
    root: Path,
    cache: Path,
    progress: Progress = no_progress,
    network: Network = PATIENT,
) -> ModelSpec:
    """An entry for files that nothing is known of but where they lie: their pins, the net's input, and whether it converts.

    Args:
        name: "" takes the caffemodel's file name.
        prototxt, caffemodel: address, and the path inside it where it is of an archive, else "".

    Raises:
        FetchError: a file cannot be brought here, or is a web page.
        ParseError: the prototxt is none of Caffe's.
    """
    (net_pin, net_file), (weights_pin, _) = (
        fetch_unpinned(url, member=member, root=root, cache=cache, progress=progress, network=network)
        for url, member in (prototxt, caffemodel)
    )
    address, member = caffemodel
    spec = ModelSpec(name or _name(member or urlsplit(address).path), net_pin, weights_pin, license)
    net = net_of(spec, net_file.path)
    try:
        layout = lay_out_net(net)
        convert(layout)
    except (GraphError, UnsupportedError) as error:
        return replace(spec, expect="refused", reason=in_brief(error))
    shape = layout.trunk.source.shape[1:]
    return replace(spec, input=shape if len(shape) == 3 else None)


def _name(path: str) -> str:
    """A name that the manifest takes, from a file's."""
    stem = PurePosixPath(unquote(path)).name.rpartition(".")[0] or "model"
    return re.sub(r"[^a-z0-9_.-]", "_", stem.lower()).lstrip(".-") or "model"


def in_brief(error: Caffe2NeonError) -> str:
    """What an error says, in one line: of many findings the first few, without the name of a file in the cache."""
    if not isinstance(error, UnsupportedError):
        return " ".join(line.strip() for line in error.message.splitlines()[:2])
    places = (replace(finding.where, path="", line=0, column=0) for finding in error.findings[:_NAMED])
    brief = "; ".join(
        str(replace(finding, where=place, remedy="")) for finding, place in zip(error.findings, places, strict=False)
    )
    more = len(error.findings) - _NAMED
    return f"{brief}; and {more} more" if more > 0 else brief
