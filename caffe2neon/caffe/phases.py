"""Which layers a net has in one phase. See Caffe's net.cpp, ``FilterNet`` and ``StateMeetsRule``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from caffe2neon.caffe.caffe_pb2 import NetState, NetStateRule
from caffe2neon.errors import ParseError, UsageError
from caffe2neon.records import CaffeLayer


def state(own: NetState, phase: str, stages: Sequence[str], level: int) -> NetState:
    """The state a net is built in: its own stages count beside the caller's; phase and level are the caller's (Caffe's ``Net``).

    Raises:
        UsageError: ``phase`` is neither TEST nor TRAIN, or ``level`` no 32-bit number.
    """
    if phase not in ("TEST", "TRAIN"):
        raise UsageError(f"unknown phase {phase!r}", remedy="a net's phase is TEST or TRAIN")
    if not -(2**31) <= level < 2**31:
        raise UsageError(f"level {level} is out of range")
    return NetState(phase=phase, level=level, stage=[*own.stage, *stages])


def keep(layers: Iterable[CaffeLayer], state: NetState) -> list[CaffeLayer]:
    """The layers whose rules ``state`` meets, each with its ``phase`` set: the net's, unless it has one of its own.

    Raises:
        ParseError: a layer with include and exclude rules.
    """
    kept = [layer for layer in layers if _included(layer, state)]
    for layer in kept:
        if not layer.param.HasField("phase"):
            layer.param.phase = state.phase
    return kept


def _included(layer: CaffeLayer, state: NetState) -> bool:
    include, exclude = layer.param.include, layer.param.exclude
    if include and exclude:
        raise ParseError(
            "the layer has include rules and exclude rules",
            remedy="keep one kind; a rule's stage and not_stage can say both",
            layer=layer.name,
            layer_type=layer.type,
            line=layer.line,
        )
    if include:
        return any(_meets(state, rule) for rule in include)
    return not any(_meets(state, rule) for rule in exclude)


def _meets(state: NetState, rule: NetStateRule) -> bool:
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and set(rule.stage) <= set(state.stage)
        and not set(rule.not_stage) & set(state.stage)
    )
