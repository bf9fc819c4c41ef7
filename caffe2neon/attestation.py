"""What a build's provenance says of its entry: the manifest's words, the options, the files; nothing of this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from caffe2neon import __version__
from caffe2neon.publish import Dependency, provenance
from caffe2neon.records import JSON, FetchedFile, FetchedModel, ModelSpec, PinnedFile
from caffe2neon.report import to_json


def statement(
    spec: ModelSpec, fetched: FetchedModel, options: Mapping[str, JSON], root: Path
) -> Callable[[Mapping[str, str]], JSON]:
    """What :meth:`~caffe2neon.publish.StagedBuild.commit` makes ``provenance.json`` with.

    ``options`` are those that decide what is in the build; ``root`` is the manifest's folder.
    """
    prototxt, caffemodel = (replace(pinned, url=_shown(pinned.url)) for pinned in (spec.prototxt, spec.caffemodel))
    entry: Any = to_json(replace(spec, prototxt=prototxt, caffemodel=caffemodel), root)
    # Mirrors, groups, and where a data set lies change no byte of a build, so they must not change this one either.
    for record, key in ((entry, "groups"), (entry, "dataset"), (entry["prototxt"], "mirrors"), (entry["caffemodel"], "mirrors")):
        del record[key]
    data = spec.dataset
    dataset: JSON = {"name": data.name, "kind": data.kind, "class_order": data.class_order} if data else None
    parameters: JSON = {"entry": entry, "dataset": dataset, "options": dict(options)}
    files = (_dependency(spec.prototxt, fetched.prototxt), _dependency(spec.caffemodel, fetched.caffemodel))
    return lambda subject: provenance(subject, parameters=parameters, dependencies=files, version=__version__)


def _dependency(pinned: PinnedFile, file: FetchedFile) -> Dependency:
    name = (pinned.member or pinned.url).rpartition("/")[2]
    return Dependency(name, file.sha256, pinned.url if _remote(pinned.url) else "", pinned.member)


def _remote(url: str) -> bool:
    return urlsplit(url).scheme not in ("", "file")


def _shown(url: str) -> str:
    """Of an address on this machine, the file's name alone."""
    local = urlsplit(url).scheme == "file" or Path(url).is_absolute()
    return url.rpartition("/")[2] if local else url
