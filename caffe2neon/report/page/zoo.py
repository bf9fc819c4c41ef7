"""A published folder as plain records for the page. Whatever is read here was written by strangers: it is text, never markup."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from caffe2neon import records
from caffe2neon.errors import PublishError
from caffe2neon.files import read_json
from caffe2neon.publish import Entry, Folder, read_measured, read_record
from caffe2neon.publish import read_zoo as read_published
from caffe2neon.records import TopK
from caffe2neon.report.page.description import Description, read_description, web

_SAFE_ANCHOR = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class File:
    """A file to download; ``href`` is relative to the page."""

    name: str
    href: str
    size: int
    sha256: str


@dataclass(frozen=True)
class TopKRow:
    """One k; percentages, None where not known. ``low`` and ``high`` bound the 95 % interval of what was measured."""

    k: int
    published: float | None
    measured: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def difference(self) -> float | None:
        return None if self.published is None or self.measured is None else self.measured - self.published


@dataclass(frozen=True)
class LayerError:
    """The difference of one blob; ``error`` may be NaN or infinite."""

    blob: str
    layer: str
    shape: str
    error: float


@dataclass(frozen=True)
class Parity:
    engine: str
    reference: str
    inputs: str
    tolerance: float
    worst: float
    rows: tuple[LayerError, ...]
    by_layer: bool


@dataclass(frozen=True)
class Model:
    """One published model.

    ``weights`` is the .prm, ``picture`` the graph's SVG, if there is one. ``count`` examples of
    ``dataset`` were measured; ``skipped`` says what is wrong with each of the others, ``measured_by`` who counted and how.
    """

    name: str
    anchor: str
    build: str
    said: Description
    files: tuple[File, ...]
    weights: File | None
    picture: File | None
    topk: tuple[TopKRow, ...]
    dataset: str
    count: int | None
    measured_by: str
    skipped: tuple[str, ...]
    parity: Parity | None

    @property
    def license_link(self) -> str:
        """The licence where it is an address that a browser can go to, else ""."""
        return web(self.said.license)

    @property
    def license_name(self) -> str:
        """Short enough for a table: of an address, its last part."""
        return self.license_link.rstrip("/").rpartition("/")[2] or self.said.license

    def top(self, k: int) -> TopKRow:
        return next((row for row in self.topk if row.k == k), TopKRow(k, None))


@dataclass(frozen=True)
class Absent:
    """An entry that the last build did not publish, and why."""

    name: str
    status: str
    stage: str
    reason: str


@dataclass(frozen=True)
class Zoo:
    models: tuple[Model, ...]
    absent: tuple[Absent, ...] = ()


def read_zoo(root: Path) -> Zoo:
    """What ``index.json``, the current builds' records and ``report.json`` under ``root`` say, models by name.

    Raises:
        PublishError: no published zoo lies there, or one of its records is damaged.
    """
    models = [_model(root, entry, number) for number, entry in enumerate(read_published(Folder(root)).values())]
    return Zoo(tuple(models), _absent(root / "report.json"))


def _model(root: Path, entry: Entry, number: int) -> Model:
    name, build = entry.name, entry.build
    folder = root / name / build
    record = read_record(folder / "model.json")
    if record is None:
        raise PublishError("the build has no model.json", path=str(folder), remedy="build the model again")
    said = read_description(record)
    parity, evaluation = read_measured(folder)
    files = tuple(
        File(file, "./" + "/".join(map(_quoted, (name, build, file))), entry.sizes[file], sha256)
        for file, sha256 in sorted(entry.files.items())
    )
    by_name = {file.name: file for file in files}
    return Model(
        name=name,
        anchor=f"model-{name}" if _SAFE_ANCHOR.fullmatch(name) else f"model-number-{number}",
        build=build,
        said=said,
        files=files,
        weights=by_name.get(f"{name}.prm"),
        picture=by_name.get(f"{name}.svg"),
        topk=_topk(said.published.topk if said.published else {}, evaluation.topk if evaluation else ()),
        dataset=evaluation.dataset if evaluation else "",
        count=evaluation.count if evaluation else None,
        measured_by="; ".join(filter(None, (evaluation.engine, evaluation.method))) if evaluation else "",
        skipped=evaluation.skipped if evaluation else (),
        parity=_parity(parity) if parity else None,
    )


def _topk(stated: Mapping[int, float], measured: Sequence[TopK]) -> tuple[TopKRow, ...]:
    by_k = {row.k: (row.percent, row.low, row.high) for row in measured}
    return tuple(TopKRow(k, stated.get(k), *by_k.get(k, ())) for k in sorted({*stated, *by_k}))


def _parity(parity: records.Parity) -> Parity:
    rows = tuple(LayerError(d.blob, d.neon_layer, "×".join(map(str, d.shape)), d.error) for d in parity.layers or parity.outputs)
    return Parity(
        parity.engine, parity.reference, parity.inputs, parity.tolerance, parity.worst, rows, by_layer=bool(parity.layers)
    )


def _absent(path: Path) -> tuple[Absent, ...]:
    report = read_json(path) or {}
    outcomes = report.get("outcomes")
    return tuple(
        Absent(*(str(outcome.get(field) or "") for field in ("name", "status", "stage", "reason")))
        for outcome in (outcomes if isinstance(outcomes, list) else ())
        if isinstance(outcome, dict) and outcome.get("status") not in ("published", "unchanged")
    )


def _quoted(part: str) -> str:
    return quote(part, safe="")
