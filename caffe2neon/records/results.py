"""What was found out and done: verify, evaluate, publish -> report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from caffe2neon.records.basics import Shape


@dataclass(frozen=True)
class Difference:
    """One blob compared. ``error`` is max |difference| / max(1, max |reference|)."""

    blob: str
    neon_layer: str
    shape: Shape
    max_difference: float
    max_reference: float
    error: float


@dataclass(frozen=True)
class Parity:
    """Converted model against Caffe. ``layers`` is empty unless they were asked for; ``first`` is the first that departs."""

    engine: str
    reference: str
    tolerance: float
    inputs: str
    outputs: tuple[Difference, ...]
    layers: tuple[Difference, ...] = ()

    @property
    def worst(self) -> float:
        """The largest error of all that was compared. Outputs alone may hide one: a Softmax that saturates says 1 whatever came."""
        return max((d.error for d in (*self.outputs, *self.layers)), default=0.0)

    @property
    def passed(self) -> bool:
        return all(d.error <= self.tolerance for d in (*self.outputs, *self.layers))

    @property
    def first(self) -> Difference | None:
        return next((d for d in self.layers if not d.error <= self.tolerance), None)


@dataclass(frozen=True)
class TopK:
    """``correct`` of ``count`` examples; ``percent`` of them, and the 95 % Wilson interval from ``low`` to ``high``, in percent.

    ``correct`` is an int unless neon measured on a GPU and scores tied.
    """

    k: int
    correct: float
    percent: float
    low: float
    high: float


@dataclass(frozen=True)
class Counts:
    """Raw counts over examples ``start`` to ``stop`` (left out) of a data set's ``total``: an exact part of an :class:`Evaluation`.

    ``correct`` maps each k to how many of the ``count`` examples were right; ``skipped`` and ``method`` as in :class:`Evaluation`.
    Parts that workers counted add up to what one would have counted.
    """

    engine: str
    dataset: str
    class_order: str
    total: int
    start: int
    stop: int
    correct: Mapping[int, float]
    skipped: tuple[str, ...] = ()
    method: str = ""

    @property
    def count(self) -> int:
        return self.stop - self.start - len(self.skipped)


@dataclass(frozen=True)
class Evaluation:
    """``count`` examples were measured; ``skipped`` says of each other one what is wrong with its picture, by name.

    ``method`` says in words who counted, and how ties count; "" in records of earlier versions.
    """

    engine: str
    dataset: str
    count: int
    class_order: str
    topk: tuple[TopK, ...]
    skipped: tuple[str, ...] = ()
    method: str = ""

    def percent(self, k: int) -> float:
        return next(t.percent for t in self.topk if t.k == k)


@dataclass(frozen=True)
class Publication:
    """A model as it lies in the published zoo. ``build`` names its folder; ``files`` maps names to sha256, ``sizes`` to bytes."""

    name: str
    build: str
    path: Path
    files: Mapping[str, str]
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of one entry. ``status``: published, unchanged, failed, or refused, as the manifest expects.

    ``reason`` is never empty.
    """

    name: str
    status: str
    reason: str
    stage: str = ""
    parity: Parity | None = None
    evaluation: Evaluation | None = None
    publication: Publication | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shift:
    """A number of a model that is not what is published. ``measure``: top1… in percent, or parity; None: not measured.

    ``worse``: too far down to be published.
    """

    model: str
    measure: str
    before: float | None
    after: float | None
    worse: bool
