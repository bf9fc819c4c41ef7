"""Models of neon: convert -> neon, labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from caffe2neon.records.basics import Array, Shape


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


@dataclass(frozen=True)
class MacrobatchPart:
    """A stretch of neon's macrobatches, and what ``ImageLoader`` is to make of its pictures.

    ``subset`` is train or validation; the stretch is ``count`` pictures from number ``skip`` of ``macrobatch_{first}.cpio`` on.
    Pictures become ``size`` pixels wide and high: the centre of what has ``scale_range`` pixels on its shorter side, or with 0 the
    whole picture. ``mean`` is taken off blue, green and red.
    """

    folder: Path
    subset: str
    first: int
    skip: int
    count: int
    size: int
    scale_range: int
    mean: tuple[int, int, int]
