"""The frozen records that pass a door between two rooms; nothing here computes more than a look-up.

Shapes: a Caffe blob is ``(N, C, H, W)``, or any other number of axes with N first; neon leaves N out: ``(C, H, W)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None

#: Told how far a long step is: what it does ("download x.caffemodel"), how much is done, and of how much (None: not known).
Progress: TypeAlias = Callable[[str, int, int | None], None]


# ---- manifest ----


@dataclass(frozen=True)
class PinnedFile:
    """A file by address and digest. ``digest`` is lower-case hex of ``algorithm`` (sha256, sha384, sha1).

    ``digest`` is "" only where no hash of the file is known; such a file is never converted. With ``member``, the pinned file is an
    archive (zip or tar), and that path inside it is meant: the archive's hash decides what the member is.
    """

    url: str
    algorithm: str
    digest: str
    size: int | None = None
    mirrors: tuple[str, ...] = ()
    member: str = ""


@dataclass(frozen=True)
class TextFix:
    """One replacement in a prototxt that is needed before Caffe reads it. ``count``: how often ``find`` must be there; None: at
    least once."""

    find: str
    replace: str
    count: int | None = None


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes a net's input, in the order in which Caffe does it.

    ``resize`` squashes to (H, W); ``crop`` is a centred (H, W); ``mean`` has one value, or one per channel in ``channel_order``
    (BGR, RGB, GRAY); the input is ``(pixel - mean) * scale``, pixels 0..255.
    """

    channel_order: str = "BGR"
    resize: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    scale: float = 1.0

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Preprocess:
        """What :attr:`NeonModel.meta` holds of it; fields that this version does not know are left out."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
            if name in cls.__dataclass_fields__
        }
        return cls(**fields)


@dataclass(frozen=True)
class Published:
    """Accuracy as the model's authors state it, in percent. ``topk`` maps k to percent."""

    topk: Mapping[int, float]
    protocol: str = ""
    source: str = ""


@dataclass(frozen=True)
class Tolerance:
    """``parity``: max |difference| / max(1, max |reference|). ``top1``: percentage points below the published value."""

    parity: float = 1e-5
    top1: float = 0.5


@dataclass(frozen=True)
class DatasetSpec:
    """Where a labelled data set lies.

    ``kind``: npz, idx, image_list, folder, ilsvrc12_tar, lmdb or macrobatch. ``path`` is the file that holds it, or the folder;
    ``labels`` is the second file that some kinds have: ``val.txt``, the idx labels, the devkit, the list of a folder's classes.
    ``class_order``: caffe, neon, or "" for what the kind itself says, which may be that there is just one.
    """

    name: str
    kind: str
    path: Path
    labels: Path | None = None
    class_order: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """One entry of ``zoo.yaml``, validated. ``input`` is (C, H, W).

    ``expect`` is what should become of it: ``published``; ``refused``, because neon has no exact form for it; ``unpinned``, because
    no hash of one of its files is known, so that nothing is fetched. ``reason`` says why it is not published, and is empty where
    it is. ``class_order`` is that of the Caffe model's outputs: caffe, neon (ILSVRC12), or "" where nothing is said. ``fixes`` are
    made in the prototxt, one after the other.
    """

    name: str
    prototxt: PinnedFile
    caffemodel: PinnedFile
    license: str
    label_remap: bool = False
    input: Shape | None = None
    preprocess: Preprocess = Preprocess()
    dataset: DatasetSpec | None = None
    published: Published | None = None
    tolerance: Tolerance = Tolerance()
    groups: tuple[str, ...] = ()
    description: str = ""
    expect: str = "published"
    reason: str = ""
    class_order: str = ""
    fixes: tuple[TextFix, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A whole ``zoo.yaml``; relative paths in it start at ``path``'s folder. ``warnings``: what is allowed but unwise."""

    path: Path
    models: tuple[ModelSpec, ...]
    datasets: Mapping[str, DatasetSpec]
    warnings: tuple[str, ...] = ()


# ---- fetch ----


@dataclass(frozen=True)
class FetchedFile:
    """A file on this machine whose digest was just checked. ``url`` is the address it really came from."""

    path: Path
    url: str
    sha256: str
    size: int


@dataclass(frozen=True)
class FetchedModel:
    spec: ModelSpec
    prototxt: FetchedFile
    caffemodel: FetchedFile


# ---- caffe ----


@dataclass(frozen=True, eq=False)
class CaffeLayer:
    """One layer in Caffe's newest form, whatever form its file had. ``line`` counts from 1; 0 where there is none (binary nets)."""

    param: LayerParameter
    line: int = 0

    @property
    def name(self) -> str:
        return self.param.name

    @property
    def type(self) -> str:
        return self.param.type

    @property
    def bottoms(self) -> tuple[str, ...]:
        return tuple(self.param.bottom)

    @property
    def tops(self) -> tuple[str, ...]:
        return tuple(self.param.top)


@dataclass(frozen=True)
class Loss:
    """A loss of a training net: the blob it judges, the neon cost that equals it, its weight, and the blob it compares with."""

    layer: str
    output: str
    cost: str
    weight: float
    target: str


@dataclass(frozen=True)
class CaffeNet:
    """A net definition, upgraded and filtered to one ``phase`` (TEST or TRAIN), layers in file order.

    ``path`` is the file as the user named it, for messages; ``sha256`` of its bytes. What ``deploy`` took out of a training net:
    its ``losses``, the ``preprocess`` of its data layer, and ``notes`` on both for people.
    """

    name: str
    layers: tuple[CaffeLayer, ...]
    path: str = ""
    sha256: str = ""
    losses: tuple[Loss, ...] = ()
    preprocess: Preprocess | None = None
    notes: tuple[str, ...] = ()
    phase: str = "TEST"


@dataclass(frozen=True)
class CaffeWeights:
    """Blobs by layer name, in Caffe's order, as float32 (or float64) views into the mapped file wherever its layout allows.

    Shapes are as the file declares them (legacy files: 4-D, ``(1, 1, N, K)``); the graph knows the shapes that a net expects.
    """

    blobs: Mapping[str, tuple[Array, ...]]
    path: str = ""
    size: int = 0


# ---- graph ----


@dataclass(frozen=True)
class Blob:
    """One version of a Caffe blob: an in-place layer makes the next version. ``shape`` has N first."""

    name: str
    version: int
    shape: Shape

    @property
    def key(self) -> str:
        """The name, with ``#version`` from the second version on."""
        return f"{self.name}#{self.version}" if self.version else self.name


@dataclass(frozen=True, eq=False)
class Node:
    """A layer between blob versions; ``params`` are the shapes Caffe would give its learnable blobs."""

    layer: CaffeLayer
    bottoms: tuple[Blob, ...]
    tops: tuple[Blob, ...]
    params: tuple[Shape, ...] = ()


@dataclass(frozen=True)
class Fork:
    """Arms that start from one blob and meet in one node; an arm without items hands the blob on unchanged.

    The arms are in the order of the join's bottoms.
    """

    source: Blob
    arms: tuple[Chain, ...]
    join: Node


@dataclass(frozen=True)
class Chain:
    """Nodes and forks one after the other, from ``source``."""

    source: Blob
    items: tuple[Node | Fork, ...]


@dataclass(frozen=True)
class Graph:
    """A net as a graph of blob versions. ``outputs`` are the blobs nobody reads, by name, as Caffe orders them."""

    net: CaffeNet
    nodes: tuple[Node, ...]
    inputs: tuple[Blob, ...]
    outputs: tuple[Blob, ...]


@dataclass(frozen=True)
class Layout:
    """How the outputs of a graph are computed, taken apart by structure.

    ``trunk`` leads from the input to the main output (of the largest loss weight, else the last); each of ``sides`` leads from a
    blob on the trunk to another output, in the order in which the trunk passes those blobs. Nodes that no output needs are gone.
    """

    graph: Graph
    trunk: Chain
    sides: tuple[Chain, ...] = ()


@dataclass(frozen=True)
class LayerRule:
    """What becomes of layers of one Caffe type, in words: ``docs/layers.md`` is made of these.

    ``becomes``: neon's layers, or what else; "" where every layer of the type is refused. ``condition``: when that is so, "" for
    always. ``reason``: why others are refused, or all.
    """

    type: str
    becomes: str = ""
    condition: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """What becomes of one layer of a net.

    ``verdict``: exact (neon has this layer), rewritten (the same numbers, by other layers), dropped (nothing in the model is needed
    for it), refused, or open (an error before it keeps it from being judged). ``becomes``: neon's layers, in words. ``reason``:
    why it is refused or dropped; notes on what is rewritten. ``weights``: numbers in its learnable blobs, in Caffe and in neon.
    """

    layer: str
    type: str
    line: int
    verdict: str
    becomes: str = ""
    reason: str = ""
    remedy: str = ""
    weights: tuple[int, int] = (0, 0)


# ---- neon ----


@dataclass(frozen=True)
class Deferred:
    """An array made only when it is written, so that a big model never lies in memory twice.

    ``make`` must return a float32 array of ``shape``; it may return a view.
    """

    shape: Shape
    make: Callable[[], Array]


Param: TypeAlias = "Array | Deferred"


def materialize(param: Param) -> Array:
    return param.make() if isinstance(param, Deferred) else param


@dataclass(frozen=True)
class NeonLayer:
    """``{'type', 'config', 'params', ...}`` of a neon layer. ``extra`` holds every other key (``states``, of BatchNorm)."""

    type: str
    config: Mapping[str, Any]
    params: Mapping[str, Param] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The class without its module: ``Convolution``."""
        return self.type.rpartition(".")[2]

    @property
    def name(self) -> str:
        return str(self.config.get("name", ""))


@dataclass(frozen=True)
class NeonContainer:
    """A neon container; ``config`` is without ``layers``."""

    type: str
    config: Mapping[str, Any]
    layers: tuple[NeonLayer | NeonContainer, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.type.rpartition(".")[2]

    @property
    def name(self) -> str:
        return str(self.config.get("name", ""))

    def walk(self) -> Iterator[NeonLayer]:
        """All layers below, containers left out, in neon's order."""
        for layer in self.layers:
            if isinstance(layer, NeonContainer):
                yield from layer.walk()
            else:
                yield layer


#: What this project records in a model, under the key of this name, beside what neon itself reads (neon ignores it).
META = "caffe2neon"


@dataclass(frozen=True)
class NeonModel:
    """A neon model description: the top container, and everything beside it (``backend``, ``cost``, ``train_input_shape``...)."""

    root: NeonContainer
    header: Mapping[str, Any]

    @property
    def input_shape(self) -> Shape | None:
        """(C, H, W) as recorded under neon's own key ``train_input_shape``; None in files that do not say.

        neon records a vector's length as a plain integer.
        """
        shape = self.header.get("train_input_shape")
        if isinstance(shape, int):
            return (shape,)
        return tuple(int(n) for n in shape) if isinstance(shape, tuple | list) else None

    @property
    def meta(self) -> Mapping[str, Any]:
        """This project's record, plain values only (str, int, float, bool, list, dict).

        ``version``: this package's. ``outputs``: blob keys, in neon's order. ``trace``: ``[blob key, neon layer name]`` pairs: that
        layer's output is that blob. ``class_order``: "caffe" or "neon" where the outputs are ILSVRC12 classes. ``remap``: after
        remapping, ``{"map": [1000 ints], "layers": [neon layers whose output is permuted]}``. ``source``: names and sha256 of the
        files. ``preprocess``: the fields of :class:`Preprocess`. ``notes``: sentences for people.
        """
        meta = self.header.get(META)
        return meta if isinstance(meta, dict) else {}


# ---- verify, evaluate, publish ----


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
    """``correct`` of ``count`` examples; ``low`` and ``high`` bound the 95 % Wilson interval; all three in percent."""

    k: int
    correct: int
    percent: float
    low: float
    high: float


@dataclass(frozen=True)
class Counts:
    """Raw counts over examples ``start`` to ``stop`` (left out) of a data set's ``total``: an exact part of an :class:`Evaluation`.

    ``correct`` maps each k to how many of the ``count`` examples were right; ``skipped`` as in :class:`Evaluation`. Parts that
    workers counted add up to what one would have counted.
    """

    engine: str
    dataset: str
    class_order: str
    total: int
    start: int
    stop: int
    correct: Mapping[int, int]
    skipped: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return self.stop - self.start - len(self.skipped)


@dataclass(frozen=True)
class Evaluation:
    """``count`` examples were measured; ``skipped`` says of each other one what is wrong with its picture, by name."""

    engine: str
    dataset: str
    count: int
    class_order: str
    topk: tuple[TopK, ...]
    skipped: tuple[str, ...] = ()

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


def no_progress(what: str, done: int, total: int | None) -> None:
    """A :data:`Progress` that tells nobody."""


@dataclass(frozen=True)
class Event:
    """Something happened to an entry that is being built.

    ``state``: start, progress or end, of ``stage``; ``ok`` is false where it ended in failure. What makes progress is called
    ``step`` ("download x.caffemodel"); ``done`` of ``total`` (None: not known) is in bytes, of an evaluation in examples.
    """

    model: str
    stage: str
    state: str
    step: str = ""
    done: int = 0
    total: int | None = None
    ok: bool = True


#: Told what happens while entries are built.
Report: TypeAlias = Callable[[Event], None]


def no_report(event: Event) -> None:
    """A :data:`Report` that tells nobody."""


def float32(array: Array) -> NDArray[np.float32]:
    """``array`` itself where it is float32, else a copy."""
    return np.asarray(array, dtype=np.float32)


def shortest(value: float) -> float:
    """A float32 of a prototxt as the number its author wrote: 0.1, not 0.10000000149."""
    return float(str(np.float32(value)))
