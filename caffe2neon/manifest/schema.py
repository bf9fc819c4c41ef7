"""What may stand in ``zoo.yaml``, schema 1, and what it means."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from caffe2neon.manifest.document import Mistakes, parse
from caffe2neon.manifest.section import Section, nearest
from caffe2neon.records import DatasetSpec, Manifest, ModelSpec, PinnedFile, Preprocess, Published, Shape, Tolerance

SCHEMA = 1

#: Strongest first; hex digits of each.
_ALGORITHMS = {"sha384": 96, "sha256": 64, "sha1": 40}
_FILE = ("url", "mirrors", "size", *_ALGORITHMS)
_FILES = ("prototxt", "caffemodel")
_NUMBERS = ("label_remap", "input", "preprocess", "dataset", "published", "tolerance")
_MODEL = (*_FILES, *_NUMBERS, "license", "groups", "description")
_DATASET_KINDS = ("npz", "idx", "image_list")
_CHANNELS = {"BGR": 3, "RGB": 3, "GRAY": 1}
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
#: A published zoo has files of these names beside the models' folders.
_RESERVED = ("index.json", "index.html")
_NO_FILE = PinnedFile(url="", algorithm="sha256", digest="")


def read_manifest(path: Path) -> Manifest:
    """Read and validate a whole ``zoo.yaml``.

    Relative paths of data sets are joined to the manifest's folder; URLs of model files stay as written, and ``fetch`` finds them.
    ``Manifest.warnings`` tells of what is allowed but unwise, such as a file that is pinned by SHA-1 alone.

    Raises:
        ManifestError: the file cannot be read, is not YAML, or has mistakes; all of them are listed, each with its path and line.
    """
    mistakes = Mistakes()
    top = Section(parse(path, mistakes), "", mistakes, ("schema", "models", "datasets"))
    if top.require("schema") and top.written("schema") not in ("", str(SCHEMA)):
        top.wrong("schema", f"this version of caffe2neon reads schema {SCHEMA}, not {top.written('schema')}")
    datasets = _datasets(top, path.parent)
    models: tuple[ModelSpec, ...] = ()
    if top.require("models"):
        entries = top.section("models", None)
        sections = {name: entries.section(name, _MODEL) for name in entries}
        for name in entries:
            _check_name(entries, name)
        models = tuple(_model(section, name, datasets) for name, section in sections.items())
        _check_urls(sections, models)
    mistakes.raise_if_any(path)
    return Manifest(path, models, datasets, tuple(mistakes.warnings))


def _datasets(top: Section, folder: Path) -> dict[str, DatasetSpec]:
    if "datasets" not in top:
        return {}
    entries = top.section("datasets", None)
    datasets = {}
    for name in entries:
        _check_name(entries, name)
        entry = entries.section(name, ("kind", "path", "labels", "class_order"))
        entry.require("kind")
        entry.require("path")
        kind = entry.choice("kind", _DATASET_KINDS, "")
        if kind == "idx":
            entry.require("labels")
        elif kind == "npz" and "labels" in entry:
            entry.wrong("labels", "an npz file holds its labels itself")
        labels = entry.text("labels")
        datasets[name] = DatasetSpec(
            name=name,
            kind=kind,
            path=folder / entry.text("path"),
            labels=folder / labels if labels else None,
            class_order=entry.choice("class_order", ("caffe", "neon"), ""),
        )
    return datasets


def _model(entry: Section, name: str, datasets: Mapping[str, DatasetSpec]) -> ModelSpec:
    for key in (*_FILES, "license"):
        entry.require(key)
    shape = entry.sizes("input", 3)
    dataset = entry.text("dataset")
    if dataset and dataset not in datasets:
        entry.wrong("dataset", f"{dataset!r} is not under datasets{nearest(dataset, datasets)}")
    return ModelSpec(
        name=name,
        prototxt=_file(entry, "prototxt"),
        caffemodel=_file(entry, "caffemodel"),
        license=entry.text("license"),
        label_remap=entry.flag("label_remap", False),
        input=shape,
        preprocess=_preprocess(entry, shape),
        dataset=datasets.get(dataset),
        published=_published(entry),
        tolerance=_tolerance(entry),
        groups=_groups(entry),
        description=entry.text("description"),
    )


def _check_name(entries: Section, name: str) -> None:
    if not _NAME.fullmatch(name):
        entries.wrong(name, "a name has only a-z, 0-9, '_', '.', '-', and does not start with '.' or '-'")
    elif name in _RESERVED:
        entries.wrong(name, "a published zoo has a file of this name")


def _file(entry: Section, key: str) -> PinnedFile:
    if key not in entry:
        return _NO_FILE
    pinned = entry.section(key, _FILE)
    pinned.require("url")
    url = pinned.text("url")
    mirrors = pinned.texts("mirrors")
    for where, address in (("url", url), *(("mirrors", mirror) for mirror in mirrors)):
        if address and (problem := _url_problem(address)):
            pinned.wrong(where, problem)
    algorithm, digest = _digest(pinned)
    return PinnedFile(url, algorithm, digest, pinned.size("size"), mirrors)


def _url_problem(url: str) -> str:
    """What is wrong with an address, or "". A path beside the manifest has no scheme."""
    if any(character.isspace() for character in url):
        return f"an address has no spaces: {url!r}"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return f"{url!r} is no address: {error}"
    if parts.scheme in ("http", "https"):
        return "" if parts.hostname else f"{url!r} names no host"
    if parts.scheme == "file":
        return "" if parts.netloc in ("", "localhost") and parts.path.startswith("/") else f"write {url!r} as file:///folder/name"
    return f"expected http, https, file or a path beside the manifest, got {parts.scheme!r}" if parts.scheme else ""


def _digest(pinned: Section) -> tuple[str, str]:
    """The strongest digest given; each that is given must be well formed."""
    given = {name: pinned.written(name).lower() for name in _ALGORITHMS if name in pinned}
    if not given:
        pinned.require("sha256")
        return "sha256", ""
    for name, digest in given.items():
        if not digest:
            continue
        if not re.fullmatch("[0-9a-f]*", digest):
            pinned.wrong(name, f"a hash has only the digits 0-9 and a-f, got {digest[:80]!r}")
        elif len(digest) != _ALGORITHMS[name]:
            fits = next((f"; that is the length of {other}" for other, n in _ALGORITHMS.items() if n == len(digest)), "")
            pinned.wrong(name, f"expected {_ALGORITHMS[name]} hex digits, got {len(digest)}{fits}")
        elif digest == hashlib.new(name, b"", usedforsecurity=False).hexdigest():
            pinned.wrong(name, "this is the hash of an empty file")
    if set(given) == {"sha1"}:
        pinned.warn("sha1", "SHA-1 can be forged; pin the file by sha256")
    return next(iter(given.items()))


def _preprocess(entry: Section, shape: Shape | None) -> Preprocess:
    if "preprocess" not in entry:
        return Preprocess()
    section = entry.section("preprocess", ("channel_order", "resize", "crop", "mean", "scale"))
    order = section.choice("channel_order", tuple(_CHANNELS), "BGR")
    channels = shape[0] if shape else _CHANNELS[order]
    if "channel_order" in section and channels != _CHANNELS[order]:
        section.wrong("channel_order", f"{order} is not for an input of {channels} channels")
    resize, crop = section.sizes("resize", 2, one_for_all=True), section.sizes("crop", 2, one_for_all=True)
    mean = section.numbers("mean")
    if len(mean) not in (0, 1, channels):
        section.wrong("mean", f"expected 1 value or {channels}, one per channel, got {len(mean)}")
    if resize and crop and (crop[0] > resize[0] or crop[1] > resize[1]):
        section.wrong("crop", f"{_by(crop)} does not fit into the {_by(resize)} of resize")
    final = "crop" if crop else "resize"
    if shape and (size := crop or resize) and size != shape[1:]:
        section.wrong(final, f"{_by(size)} is not the input's {_by(shape[1:])}")
    scale = section.number("scale", 1.0, -math.inf, math.inf)
    if scale == 0:
        section.wrong("scale", "0 makes every input the same")
    return Preprocess(order, _pair(resize), _pair(crop), mean, scale)


def _published(entry: Section) -> Published | None:
    if "published" not in entry:
        return None
    section = entry.section("published", ("top1", "top5", "protocol", "source"))
    topk = {k: section.number(f"top{k}", 0.0, 0, 100) for k in (1, 5) if f"top{k}" in section}
    if not topk:
        section.wrong("top1", "give top1, top5 or both")
    elif topk.get(1, 0.0) > topk.get(5, 100.0):
        section.wrong("top5", "cannot be below top1")
    elif all(0 < percent <= 1 for percent in topk.values()):
        section.wrong("top1" if "top1" in section else "top5", "accuracy is in percent: 57.1, not 0.571")
    return Published(topk, section.text("protocol"), section.text("source"))


def _tolerance(entry: Section) -> Tolerance:
    if "tolerance" not in entry:
        return Tolerance()
    section = entry.section("tolerance", ("parity", "top1"))
    return Tolerance(section.number("parity", Tolerance.parity, 0, 1), section.number("top1", Tolerance.top1, 0, 100))


def _groups(entry: Section) -> tuple[str, ...]:
    groups = entry.texts("groups")
    for group in groups:
        if not _NAME.fullmatch(group):
            entry.wrong("groups", f"{group!r}: a name has only a-z, 0-9, '_', '.', '-'")
    return groups


def _check_urls(sections: Mapping[str, Section], models: tuple[ModelSpec, ...]) -> None:
    """Two models from one caffemodel, or one address pinned to two contents, are slips of copying."""
    weights: dict[str, str] = {}
    pins: dict[tuple[str, str], tuple[str, str]] = {}
    for model in models:
        entry, url = sections[model.name], model.caffemodel.url
        if url and weights.setdefault(url, model.name) != model.name:
            entry.wrong("caffemodel", f"the same url as {weights[url]}'s")
        for key, pinned in (("prototxt", model.prototxt), ("caffemodel", model.caffemodel)):
            for address in filter(None, (pinned.url, *pinned.mirrors)):
                owner, digest = pins.setdefault((address, pinned.algorithm), (model.name, pinned.digest))
                if digest != pinned.digest:
                    entry.wrong(key, f"{address} is pinned to another {pinned.algorithm} in {owner}")


def _by(size: Shape) -> str:
    return " × ".join(str(n) for n in size)


def _pair(size: Shape | None) -> tuple[int, int] | None:
    return (size[0], size[1]) if size else None
