"""What a published build says of its own quality."""

from __future__ import annotations

from pathlib import Path

from caffe2neon.errors import PublishError
from caffe2neon.files import parse_json
from caffe2neon.publish.fields import Fields
from caffe2neon.records import Difference, Evaluation, Parity, TopK

EVALUATION, PARITY = "evaluation.json", "parity.json"

_REMEDY = "remove the folder it is in, and build again"


def read_measured(folder: Path) -> tuple[Parity | None, Evaluation | None]:
    """The records that the ``parity.json`` and ``evaluation.json`` of the build in ``folder`` are the JSON of; None without one.

    Raises:
        PublishError: one of them is damaged.
    """
    parity, evaluation = read_record(folder / PARITY), read_record(folder / EVALUATION)
    return _parity(parity) if parity else None, _evaluation(evaluation) if evaluation else None


def read_record(path: Path) -> Fields | None:
    """A record of a build, or None where the build has none (no data set) or has null in its place.

    Raises:
        PublishError: it cannot be read, or is no JSON object.
    """
    try:
        return record_of(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PublishError(f"cannot read: {error.strerror}", path=str(path)) from error


def record_of(data: bytes, path: str) -> Fields | None:
    """:func:`read_record` of the bytes of a file that is called ``path``."""
    try:
        value = parse_json(data)
    except ValueError as error:
        raise PublishError(f"not JSON: {error}", path=path, remedy=_REMEDY) from error
    return None if value is None else Fields(value, "not the record of a build", path=path, remedy=_REMEDY)


def _parity(record: Fields) -> Parity:
    outputs, layers = (tuple(map(_difference, record.each(key))) for key in ("outputs", "layers"))
    engine, reference, inputs = map(record.text, ("engine", "reference", "inputs"))
    return Parity(engine, reference, record.number("tolerance", 0, 1e300), inputs, outputs, layers)


def _difference(record: Fields) -> Difference:
    numbers = {key: float(record.number_or_word(key)) for key in ("max_difference", "max_reference", "error")}
    return Difference(record.text("blob"), record.text("neon_layer"), record.shape("shape"), **numbers)


def _evaluation(record: Fields) -> Evaluation:
    skipped = record.texts("skipped") if "skipped" in record else ()  # older builds do not have it
    method = record.text("method") if "method" in record else ""
    engine, dataset, class_order = map(record.text, ("engine", "dataset", "class_order"))
    topk = tuple(map(_top, record.each("topk")))
    return Evaluation(engine, dataset, record.count("count"), class_order, topk, skipped, method)


def _top(record: Fields) -> TopK:
    percent, low, high = (float(record.number(key, 0, 100)) for key in ("percent", "low", "high"))
    return TopK(record.count("k"), record.number("correct", 0, 1e300), percent, low, high)
