"""What a published build says of its own quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from caffe2neon.errors import PublishError
from caffe2neon.files import read_json
from caffe2neon.records import Difference, Evaluation, Parity, Publication, TopK

EVALUATION, PARITY = "evaluation.json", "parity.json"

_REMEDY = "remove the folder it is in, and build again"

_Record = TypeVar("_Record", Parity, Evaluation)


def read_measured(publication: Publication) -> tuple[Parity | None, Evaluation | None]:
    """The records that the build's ``parity.json`` and ``evaluation.json`` are the JSON of; None where it has none.

    Raises:
        PublishError: one of them is damaged.
    """
    return _record(publication.path / PARITY, _parity), _record(publication.path / EVALUATION, _evaluation)


def _record(path: Path, made: Callable[[Mapping[str, Any]], _Record]) -> _Record | None:
    record = read_record(path)
    try:
        return made(record) if record else None
    except (KeyError, TypeError, ValueError) as error:
        raise PublishError("not the record of a build", path=str(path), remedy=_REMEDY) from error


def read_record(path: Path) -> dict[str, Any] | None:
    """A record as JSON, or None where the build has none (no data set) or has null in its place.

    Raises:
        PublishError: it cannot be read, or is not JSON.
    """
    return read_json(path, remedy=_REMEDY)


def _parity(record: Mapping[str, Any]) -> Parity:
    outputs, layers = (tuple(map(_difference, record[key])) for key in ("outputs", "layers"))
    return Parity(record["engine"], record["reference"], record["tolerance"], record["inputs"], outputs, layers)


def _difference(record: Mapping[str, Any]) -> Difference:
    numbers = {key: float(record[key]) for key in ("max_difference", "max_reference", "error")}  # "NaN" is a float's name, too
    return Difference(record["blob"], record["neon_layer"], tuple(record["shape"]), **numbers)


def _evaluation(record: Mapping[str, Any]) -> Evaluation:
    topk = tuple(TopK(**entry) for entry in record["topk"])
    skipped = tuple(record.get("skipped", ()))  # older builds do not have it
    method = record.get("method", "")
    return Evaluation(record["engine"], record["dataset"], record["count"], record["class_order"], topk, skipped, method)
