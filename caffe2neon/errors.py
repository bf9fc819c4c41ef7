"""Every failure this package reports: one root, a class per kind.

An error is one message for a person: which model, which stage, which layer, where in which file, what is wrong, and what to do.
The room that raises it knows the layer and the line; :func:`located` and the pipeline add what only the caller knows. Only the
command line turns an error into an exit code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Where:
    """Where a failure happened; whatever is unknown stays empty.

    ``line`` and ``column`` count from 1 and belong to ``path``.
    """

    model: str = ""
    stage: str = ""
    path: str = ""
    line: int = 0
    column: int = 0
    layer: str = ""
    layer_type: str = ""

    def __str__(self) -> str:
        position = ":".join(str(part) for part in (self.path, self.line, self.column) if part)
        layer = f"layer {self.layer!r}" if self.layer else ""
        if self.layer_type:
            layer = f"{layer} ({self.layer_type})" if layer else self.layer_type
        return ": ".join(part for part in (self.model, self.stage, position, layer) if part)


class Caffe2NeonError(Exception):
    """Root of all failures that are not bugs.

    Args:
        message: what is wrong, one sentence without a final stop.
        remedy: what the reader can do about it, or "".
        where: see :class:`Where`; its fields may also be given as keywords.
    """

    def __init__(self, message: str, *, remedy: str = "", where: Where | None = None, **fields: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.where = replace(where or Where(), **fields)  # type: ignore[arg-type]

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if str(self.where) else self.message
        return f"{text}\n  {self.remedy}" if self.remedy else text


@contextmanager
def located(**fields: str | int) -> Iterator[None]:
    """Fill empty fields of :class:`Where` in any of our errors that passes through; a field already set stays."""
    try:
        yield
    except Caffe2NeonError as error:
        missing = {name: value for name, value in fields.items() if not getattr(error.where, name)}
        error.where = replace(error.where, **missing)  # type: ignore[arg-type]
        raise


class UsageError(Caffe2NeonError):
    """A command was called with arguments that do not go together."""


class ManifestError(Caffe2NeonError):
    """``zoo.yaml`` has mistakes; the message lists all of them, each with its path in the file."""


class FetchError(Caffe2NeonError):
    """A file could not be brought here."""


class ChecksumError(FetchError):
    """A file arrived, but it is not the one that was asked for."""


class ParseError(Caffe2NeonError):
    """A prototxt or caffemodel cannot be read as Caffe's format."""


class WeightsError(Caffe2NeonError):
    """A caffemodel does not fit the net: a layer without weights, a wrong count or shape."""


class GraphError(Caffe2NeonError):
    """Caffe itself would refuse this net: an unknown bottom, shapes that do not fit."""


@dataclass(frozen=True)
class Finding:
    """One layer that cannot be converted, and why."""

    where: Where
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.reason}"
        return f"{text} ({self.remedy})" if self.remedy else text


class UnsupportedError(Caffe2NeonError):
    """neon v1.4.0 has no exact form for something in this net; carries all findings at once."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        lines = "".join(f"\n  {finding}" for finding in self.findings)
        count = "1 layer stands" if len(self.findings) == 1 else f"{len(self.findings)} layers stand"
        super().__init__(f"{count} in the way of conversion:{lines}")


class PrmError(Caffe2NeonError):
    """A .prm file is damaged, is no neon model, or asks to run something that is not on the allow list."""


class LabelError(Caffe2NeonError):
    """Classes cannot be reordered: no classifier, not 1000-way, already done, or a map that is no permutation."""


class EngineError(Caffe2NeonError):
    """An engine cannot run a model, died, or ran out of time."""


class VerificationError(Caffe2NeonError):
    """The converted model computes other numbers than Caffe."""


class DataError(Caffe2NeonError):
    """A data set is missing, damaged, or does not fit the model."""


class PictureError(DataError):
    """One picture of a data set cannot be read; the others can, and may be measured without it."""


class AccuracyError(Caffe2NeonError):
    """A measured accuracy is below the published one by more than the tolerance."""


class PublishError(Caffe2NeonError):
    """An artifact could not be written."""


class ClusterError(Caffe2NeonError):
    """A Dask cluster cannot be reached, or its workers cannot do this work."""
