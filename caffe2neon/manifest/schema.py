"""What may stand in ``zoo.yaml``, schema 1, and what it means."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from caffe2neon.manifest import files, fixes
from caffe2neon.manifest.document import Mistakes, parse
from caffe2neon.manifest.section import Section, nearest
from caffe2neon.records import DatasetSpec, Manifest, ModelSpec, Preprocess, Published, Shape, Tolerance

SCHEMA = 1

_FILES = ("prototxt", "caffemodel")
_NUMBERS = ("class_order", "label_remap", "input", "preprocess", "dataset", "published", "tolerance")
_DATASET_KINDS = ("npz", "idx", "image_list", "folder", "ilsvrc12_tar", "lmdb", "macrobatch")
#: Kinds without a second file.
_WHOLE_KINDS = {"npz": "an npz file", "lmdb": "an LMDB", "macrobatch": "a folder of macrobatches"}
_ORDERS = ("caffe", "neon")
_EXPECTED = ("published", "refused", "unpinned")
#: What may stand in each kind of mapping; the JSON schema for editors is held to this by a test.
KEYS = {
    "manifest": ("schema", "models", "datasets"),
    "model": (*_FILES, *_NUMBERS, "license", "groups", "description", "expect", "reason", "fixes"),
    "file": files.KEYS,
    "fix": fixes.KEYS,
    "preprocess": ("channel_order", "resize", "crop", "mean", "scale"),
    "published": ("top1", "top5", "protocol", "source"),
    "tolerance": ("parity", "top1"),
    "dataset": ("kind", "path", "labels", "class_order"),
}
_CHANNELS = {"BGR": 3, "RGB": 3, "GRAY": 1}
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
#: A published zoo has files of these names beside the models' folders.
_RESERVED = ("index.json", "index.html")


def read_manifest(path: Path, text: str | None = None) -> Manifest:
    """Read and validate a whole ``zoo.yaml``.

    Relative paths of data sets are joined to the manifest's folder; URLs of model files stay as written, and ``fetch`` finds them.
    ``Manifest.warnings`` tells of what is allowed but unwise, such as a file that is pinned by SHA-1 alone.

    Args:
        text: validate this instead of what ``path`` holds.

    Raises:
        ManifestError: the file cannot be read, is not YAML, or has mistakes; all of them are listed, each with its path and line.
    """
    mistakes = Mistakes()
    top = Section(parse(path, mistakes, text), "", mistakes, KEYS["manifest"])
    if top.require("schema") and top.written("schema") not in ("", str(SCHEMA)):
        top.wrong("schema", f"this version of caffe2neon reads schema {SCHEMA}, not {top.written('schema')}")
    datasets = _datasets(top, path.parent)
    models: tuple[ModelSpec, ...] = ()
    if top.require("models"):
        entries = top.section("models", None)
        sections = {name: entries.section(name, KEYS["model"]) for name in entries}
        for name in entries:
            _check_name(entries, name)
        models = tuple(_model(section, name, datasets) for name, section in sections.items())
        files.check_urls(sections, models)
    mistakes.raise_if_any(path)
    return Manifest(path, models, datasets, tuple(mistakes.warnings))


def _datasets(top: Section, folder: Path) -> dict[str, DatasetSpec]:
    if "datasets" not in top:
        return {}
    entries = top.section("datasets", None)
    datasets = {}
    for name in entries:
        _check_name(entries, name)
        entry = entries.section(name, KEYS["dataset"])
        entry.require("kind")
        entry.require("path")
        kind = entry.choice("kind", _DATASET_KINDS, "")
        if kind == "idx":
            entry.require("labels")
        elif kind in _WHOLE_KINDS and "labels" in entry:
            entry.wrong("labels", f"{_WHOLE_KINDS[kind]} holds its labels itself")
        labels = entry.text("labels")
        datasets[name] = DatasetSpec(
            name=name,
            kind=kind,
            path=folder / entry.text("path"),
            labels=folder / labels if labels else None,
            class_order=entry.choice("class_order", _ORDERS, ""),
        )
    return datasets


def _model(entry: Section, name: str, datasets: Mapping[str, DatasetSpec]) -> ModelSpec:
    for key in (*_FILES, "license"):
        entry.require(key)
    shape = entry.sizes("input", 3)
    dataset = entry.text("dataset")
    if dataset and dataset not in datasets:
        entry.wrong("dataset", f"{dataset!r} is not under datasets{nearest(dataset, datasets)}")
    expect = entry.choice("expect", _EXPECTED, "published")
    prototxt = files.read_file(entry, "prototxt", pinned=expect != "unpinned")
    caffemodel = files.read_file(entry, "caffemodel", pinned=expect == "published")
    _check_expect(entry, expect, all_pinned=bool(prototxt.digest and caffemodel.digest))
    remap, order = entry.flag("label_remap", False), entry.choice("class_order", _ORDERS, "")
    if remap and order == "neon":
        entry.wrong("label_remap", "the classes are in neon's order already (class_order), and would be shuffled")
    return ModelSpec(
        name=name,
        prototxt=prototxt,
        caffemodel=caffemodel,
        license=entry.text("license"),
        label_remap=remap,
        input=shape,
        preprocess=_preprocess(entry, shape),
        dataset=datasets.get(dataset),
        published=_published(entry),
        tolerance=_tolerance(entry),
        groups=_groups(entry),
        description=entry.text("description"),
        expect=expect,
        reason=entry.text("reason"),
        class_order=order,
        fixes=fixes.read_fixes(entry),
    )


def _check_expect(entry: Section, expect: str, *, all_pinned: bool) -> None:
    if expect == "published":
        if "reason" in entry:
            entry.wrong("reason", "is for entries that are not published: give expect, too")
        return
    entry.require("reason")
    if expect == "unpinned" and all_pinned:
        entry.wrong("expect", "both files are pinned")


def _check_name(entries: Section, name: str) -> None:
    if not _NAME.fullmatch(name):
        entries.wrong(name, "a name has only a-z, 0-9, '_', '.', '-', and does not start with '.' or '-'")
    elif name in _RESERVED:
        entries.wrong(name, "a published zoo has a file of this name")


def _preprocess(entry: Section, shape: Shape | None) -> Preprocess:
    if "preprocess" not in entry:
        return Preprocess()
    section = entry.section("preprocess", KEYS["preprocess"])
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
    section = entry.section("published", KEYS["published"])
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
    section = entry.section("tolerance", KEYS["tolerance"])
    return Tolerance(section.number("parity", Tolerance.parity, 0, 1), section.number("top1", Tolerance.top1, 0, 100))


def _groups(entry: Section) -> tuple[str, ...]:
    groups = entry.texts("groups")
    for group in groups:
        if not _NAME.fullmatch(group):
            entry.wrong("groups", f"{group!r}: a name has only a-z, 0-9, '_', '.', '-'")
    return groups


def _by(size: Shape) -> str:
    return " × ".join(str(n) for n in size)


def _pair(size: Shape | None) -> tuple[int, int] | None:
    return (size[0], size[1]) if size else None
