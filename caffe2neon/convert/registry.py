"""Converters by layer type: how one Caffe layer becomes neon layers, or why it cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from caffe2neon.records import Deferred, LayerRule, NeonContainer, NeonLayer, Node, Shape

#: ``Phase.TRAIN`` of caffe.proto. A layer may state a phase of its own, whatever the net's.
TRAIN = 0


class Refused(Exception):
    """neon v1.4.0 has no exact form for this; the caller knows which layer it is.

    ``join``: the neon name of the container whose fork is meant, where a structure is refused.
    """

    def __init__(self, reason: str, remedy: str = "", *, join: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.join = join


@dataclass(frozen=True)
class Site:
    """What a converter sees of one layer.

    ``name`` is that of the neon layer; ``shape`` the neon shape of its bottom, (C, H, W) or (F, 1); ``blobs`` are its learnable
    blobs, in Caffe's order and shapes, float32 when made; ``before`` is the site of the layer that makes its bottom, where nobody
    else reads that, and ``after`` the node that reads its top, where that is the only one; ``notes`` collects sentences for people;
    ``training``: the model is to be trained.
    """

    node: Node
    name: str
    shape: Shape
    blobs: tuple[Deferred, ...]
    before: Site | None = None
    after: Node | None = None
    notes: list[str] = field(default_factory=list)
    training: bool = False


@dataclass(frozen=True)
class Joint:
    """How a join is written: the container without its arms, and layers to put at the end of each arm (coefficients)."""

    container: NeonContainer
    tails: tuple[tuple[Item, ...], ...]
    shape: Shape
    notes: tuple[str, ...] = ()


Item: TypeAlias = "NeonLayer | NeonContainer"
Converter: TypeAlias = "Callable[[Site], Sequence[Item]]"
Joiner: TypeAlias = Callable[[Node, str, tuple[Shape, ...]], Joint]

_CONVERTERS: dict[str, Converter] = {}
_JOINERS: dict[str, Joiner] = {}
_REFUSED: dict[str, tuple[str, str]] = {}
_ABSENT: set[str] = set()
_RULES: dict[str, LayerRule] = {}


def _register(types: tuple[str, ...], becomes: str = "", condition: str = "", reason: str = "") -> None:
    for name in types:
        if name in _RULES:
            raise ValueError(f"two converters for layer type {name}")
        _RULES[name] = LayerRule(name, becomes, condition, reason)


def converter(*types: str, becomes: str, condition: str = "", reason: str = "") -> Callable[[Converter], Converter]:
    """Register a converter of layers with one bottom and one top; for the rest see :class:`LayerRule`."""

    def register(function: Converter) -> Converter:
        _register(types, becomes, condition, reason)
        _CONVERTERS.update(dict.fromkeys(types, function))
        return function

    return register


def joiner(*types: str, becomes: str, condition: str = "", reason: str = "") -> Callable[[Joiner], Joiner]:
    """Register what joins several bottoms; for the rest see :class:`LayerRule`."""

    def register(function: Joiner) -> Joiner:
        _register(types, becomes, condition, reason)
        _JOINERS.update(dict.fromkeys(types, function))
        return function

    return register


def refuse(*types: str, reason: str, remedy: str = "") -> None:
    """Register layer types that neon cannot express at all."""
    _register(types, reason=reason)
    _REFUSED.update(dict.fromkeys(types, (reason, remedy)))


def absent(*types: str, becomes: str, condition: str = "") -> None:
    """Register layer types that need no converter: inputs, and what the graph's passes take away."""
    _register(types, becomes, condition)
    _ABSENT.update(types)


def find_converter(layer_type: str) -> Converter:
    """
    Raises:
        Refused: with the reason, for every type that has no converter.
    """
    if layer_type in _CONVERTERS:
        return _CONVERTERS[layer_type]
    if layer_type in _REFUSED:
        raise Refused(*_REFUSED[layer_type])
    if layer_type in _JOINERS:
        raise Refused("needs at least two bottoms")
    raise Refused("not a layer type of BVLC Caffe", "it is of a branch of Caffe, which needs a converter of its own")


def find_joiner(layer_type: str) -> Joiner:
    """
    Raises:
        Refused: with the reason, for every type that joins nothing.
    """
    if layer_type in _JOINERS:
        return _JOINERS[layer_type]
    if layer_type in _REFUSED:
        raise Refused(*_REFUSED[layer_type])
    if layer_type in ("Scale", "Bias"):
        what = "factors" if layer_type == "Scale" else "values"
        raise Refused(f"takes its {what} from a second bottom; neon's layers own theirs")
    if layer_type in _CONVERTERS:
        raise Refused("reads several bottoms, each for a top of its own; a neon layer has one input")
    raise Refused("joins several bottoms, which neon can only concatenate or add")


def registered_types() -> frozenset[str]:
    """All layer types that have a converter or a reason."""
    return frozenset(_RULES) - _ABSENT


def absent_types() -> frozenset[str]:
    """Layer types that need no converter."""
    return frozenset(_ABSENT)


def layer_rules() -> dict[str, LayerRule]:
    """What becomes of every layer type, in words."""
    return dict(_RULES)
