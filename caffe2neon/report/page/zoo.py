"""A published folder as plain records for the page. Whatever is read here was written by strangers: it is text, never markup."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from caffe2neon.errors import PublishError
from caffe2neon.files import read_json

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
class Source:
    """Where a file came from; ``link`` is its address where a browser can go there."""

    what: str
    address: str
    link: str
    sha256: str


@dataclass(frozen=True)
class Model:
    """One published model.

    ``record`` is its ``model.json``; ``weights`` the .prm, ``picture`` the graph's SVG, if there is one. ``count`` examples of
    ``dataset`` were measured; ``skipped`` says what is wrong with each of the others, ``measured_by`` who counted and how.
    """

    name: str
    anchor: str
    build: str
    record: Mapping[str, Any]
    license: str
    files: tuple[File, ...]
    weights: File | None
    picture: File | None
    topk: tuple[TopKRow, ...]
    dataset: str
    count: int | None
    measured_by: str
    skipped: tuple[str, ...]
    parity: Parity | None
    sources: tuple[Source, ...]
    notes: tuple[str, ...]

    @property
    def license_link(self) -> str:
        """The licence where it is an address that a browser can go to, else ""."""
        return _web(self.license)

    @property
    def license_name(self) -> str:
        """Short enough for a table: of an address, its last part."""
        return self.license_link.rstrip("/").rpartition("/")[2] or self.license

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
    index = read_json(root / "index.json")
    if index is None:
        raise PublishError(
            "no published zoo lies here: it has no index.json", path=str(root), remedy="publish to it first: caffe2neon zoo build"
        )
    try:
        models = [_model(root, name, entry, number) for number, (name, entry) in enumerate(sorted(index["models"].items()))]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PublishError(f"its records are damaged: {error!r}", path=str(root), remedy="build the zoo again") from error
    return Zoo(tuple(models), _absent(root / "report.json"))


def _model(root: Path, name: str, entry: Mapping[str, Any], number: int) -> Model:
    build = str(entry["build"])
    for part in (name, build):
        if not part or part.startswith(".") or Path(part).name != part:
            raise PublishError(f"{part!r} cannot name a folder of the published zoo", path=str(root / "index.json"))
    folder = root / name / build
    record = read_json(folder / "model.json")
    if record is None:
        raise PublishError("the build has no model.json", path=str(folder), remedy="build the model again")
    evaluation, parity = read_json(folder / "evaluation.json") or {}, read_json(folder / "parity.json")
    files = tuple(
        File(file, "./" + "/".join(map(_quoted, (name, build, file))), int(facts["size"]), str(facts["sha256"]))
        for file, facts in sorted(entry["files"].items())
    )
    by_name = {file.name: file for file in files}
    return Model(
        name=name,
        anchor=f"model-{name}" if _SAFE_ANCHOR.fullmatch(name) else f"model-number-{number}",
        build=build,
        record=record,
        license=str(record.get("license") or ""),
        files=files,
        weights=by_name.get(f"{name}.prm"),
        picture=by_name.get(f"{name}.svg"),
        topk=_topk(record.get("published") or {}, evaluation),
        dataset=str(evaluation.get("dataset", "")),
        count=evaluation.get("count"),
        measured_by="; ".join(filter(None, (str(evaluation.get("engine", "")), str(evaluation.get("method", ""))))),
        skipped=tuple(map(str, evaluation.get("skipped") or ())),
        parity=_parity(parity) if parity else None,
        sources=tuple(_source(what, facts) for what, facts in sorted((record.get("sources") or {}).items())),
        notes=tuple(map(str, record.get("notes") or ())),
    )


def _topk(published: Mapping[str, Any], evaluation: Mapping[str, Any]) -> tuple[TopKRow, ...]:
    stated = {int(k): float(percent) for k, percent in (published.get("topk") or {}).items()}
    measured = {int(row["k"]): row for row in evaluation.get("topk") or ()}
    return tuple(
        TopKRow(k, stated.get(k), *(float(measured[k][field]) for field in ("percent", "low", "high") if k in measured))
        for k in sorted({*stated, *measured})
    )


def _parity(record: Mapping[str, Any]) -> Parity:
    rows: Sequence[Mapping[str, Any]] = record.get("layers") or record["outputs"]
    return Parity(
        str(record.get("engine", "")),
        str(record.get("reference", "")),
        str(record.get("inputs", "")),
        float(record["tolerance"]),
        float(record["worst"]),  # JSON has no NaN; the text "NaN" stands for it, and float() reads that
        tuple(map(_layer_error, rows)),
        bool(record.get("layers")),
    )


def _layer_error(row: Mapping[str, Any]) -> LayerError:
    return LayerError(str(row["blob"]), str(row["neon_layer"]), "×".join(map(str, row["shape"])), float(row["error"]))


def _source(what: str, facts: Mapping[str, Any]) -> Source:
    address = str(facts.get("url", ""))
    return Source(what, address, _web(address), str(facts.get("sha256", "")))


def _web(text: str) -> str:
    """``text`` where it is an address of the web and nothing else."""
    return text if re.fullmatch(r"https?://\S+", text) else ""


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
