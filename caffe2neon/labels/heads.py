"""Where a model's classes are decided: the classifier of each head, and all that hands its scores on class by class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from caffe2neon.errors import LabelError
from caffe2neon.labels.orders import CLASSES
from caffe2neon.records import NeonContainer, NeonLayer

Item: TypeAlias = "NeonLayer | NeonContainer"

#: The axis of ``W`` that runs over classes: rows of (nout, nin), columns of (C·R·S, K).
CLASS_AXIS = {"Linear": 0, "Convolution": 1}
#: Layers with a value for each class; a (C, 1) vector each.
_PER_CLASS = frozenset({"Bias", "BatchNorm"})
#: Layers that treat all classes alike: permuting what goes in permutes what comes out, of Softmax and of any pooling too.
_ALIKE = frozenset({"Activation", "BranchNode", "DataTransform", "Dropout", "Pooling", "SkipNode"})
_TREES = frozenset({"Tree", "SingleOutputTree"})


@dataclass(frozen=True, eq=False)
class Classifier:
    """``permuted`` are the layers whose parameters run over classes; ``outputs`` all whose output does, up to the head's end."""

    permuted: tuple[NeonLayer, ...]
    outputs: tuple[NeonLayer, ...]


def find_classifiers(root: NeonContainer) -> list[Classifier]:
    """The classifier of every head.

    Raises:
        LabelError: a head has none of 1000 classes, or mixes the classes behind it; all heads are named.
    """
    found: list[Classifier] = []
    problems: list[str] = []
    shared: set[str] = set()
    for number, items in enumerate(_heads(root), 1):
        last = _last_mixing(items)
        branch = items[0].name if items and items[0].kind == "BranchNode" else None
        problem = ""
        if last is None and branch in shared:
            found.append(_from(items, 0))
        elif last is None:
            problem = "has no classifier of its own"
        elif not _is_classifier(items[last]):
            problem = f"ends in {_described(items[last])}"
        elif branch in shared:
            problem = f"begins behind the classes of another head, at {branch!r}"
        else:
            found.append(_from(items, last))
            shared |= {layer.name for layer in found[-1].outputs if layer.kind == "BranchNode"}
        if problem:
            problems.append(f"head {number} {problem}")
    if problems or not found:
        reasons = "; ".join(problems) or "there are no layers"
        raise LabelError(f"not every head of this model is a classifier of {CLASSES} classes: {reasons}", remedy=_choices(root))
    return found


def named_classifiers(root: NeonContainer, names: Iterable[str]) -> list[Classifier]:
    """The classifiers with these names; a Bias or BatchNorm behind one goes with it, named or not.

    Raises:
        LabelError: no layer has that name, or it has not 1000 outputs; or a Bias is named without its classifier.
    """
    wanted = set(names)
    candidates = _candidates(root)
    chosen = [candidate for candidate in candidates if candidate.permuted[0].name in wanted]
    covered = {layer.name for candidate in chosen for layer in candidate.permuted}
    for name in sorted(wanted - covered):
        owner = next((c for c in candidates if name in [layer.name for layer in c.permuted]), None)
        layer = next((layer for layer in root.walk() if layer.name == name), None)
        if owner is not None:
            raise LabelError(f"layer {name!r} goes with {owner.permuted[0].name!r}", remedy="name that one")
        reason = f"layer {name!r} is {_described(layer)}" if layer else f"the model has no layer {name!r}"
        raise LabelError(reason, remedy=_choices(root))
    return chosen


def _heads(container: NeonContainer) -> Iterator[list[Item]]:
    """The items of each head, one after the other; Sequentials within are opened."""
    if container.kind in _TREES:
        for branch in container.layers:
            if isinstance(branch, NeonContainer):
                yield from _heads(branch)
            else:
                yield [branch]
        return
    items = _opened(container)
    if items and isinstance(items[-1], NeonContainer) and items[-1].kind in _TREES:
        yield from _heads(items[-1])
    else:
        yield items


def _opened(container: NeonContainer) -> list[Item]:
    if container.kind != "Sequential":
        return [container]
    items: list[Item] = []
    for item in container.layers:
        items += _opened(item) if isinstance(item, NeonContainer) else [item]
    return items


def _last_mixing(items: Sequence[Item]) -> int | None:
    """Where the last item stands that makes new features of all its inputs; None if there is none."""
    return next((i for i in reversed(range(len(items))) if items[i].kind not in _ALIKE | _PER_CLASS), None)


def _from(items: Sequence[Item], start: int) -> Classifier:
    """The classifier (or branch node) at ``start`` and all behind it that keeps the classes apart."""
    permuted: list[NeonLayer] = []
    outputs: list[NeonLayer] = []
    for index, item in enumerate(items[start:]):
        if not isinstance(item, NeonLayer) or (index and item.kind not in _ALIKE | _PER_CLASS):
            break
        if item.kind not in _ALIKE:
            permuted.append(item)
        outputs.append(item)
    return Classifier(tuple(permuted), tuple(outputs))


def _candidates(root: NeonContainer) -> list[Classifier]:
    """All 1000-way weight layers anywhere in the model."""
    return [_from(items, index) for items in _chains(root) for index, item in enumerate(items) if _is_classifier(item)]


def _chains(container: NeonContainer) -> Iterator[list[Item]]:
    """All runs of items that feed one another; the branches of any other container each begin their own."""
    if container.kind == "Sequential":
        items = _opened(container)
        yield items
    else:
        items = list(container.layers)
        yield from ([item] for item in items)
    for item in items:
        if isinstance(item, NeonContainer):
            yield from _chains(item)


def _is_classifier(item: Item) -> bool:
    return _outputs(item) == CLASSES


def _outputs(item: Item) -> int | None:
    """How many features a weight layer makes; None for all others, and for one without weights."""
    axis = CLASS_AXIS.get(item.kind)
    if axis is None or not isinstance(item, NeonLayer) or "W" not in item.params:
        return None
    shape = item.params["W"].shape
    return shape[axis] if len(shape) == 2 else None


def _described(item: Item) -> str:
    outputs = _outputs(item)
    what = f"{item.kind} {item.name!r}" if item.name else item.kind
    if outputs is not None:
        return f"{what} with {outputs} outputs"
    return f"{what} without weights" if item.kind in CLASS_AXIS else what


def _choices(root: NeonContainer) -> str:
    names = [candidate.permuted[0].name for candidate in _candidates(root)]
    if not names:
        return f"no layer of this model has {CLASSES} outputs: its classes are not those of ILSVRC12"
    return f"choose with --layers; these layers have {CLASSES} outputs: {', '.join(names)}"
