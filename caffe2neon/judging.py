"""What was found out about an entry, held against what its manifest says of it."""

from __future__ import annotations

from caffe2neon.errors import AccuracyError, GraphError
from caffe2neon.records import Evaluation, Layout, ModelSpec, Parity
from caffe2neon.verify import require

#: Pictures that a remark names; evaluation.json names all.
_NAMED = 3


def check_input(spec: ModelSpec, layout: Layout) -> None:
    """
    Raises:
        GraphError: the net's input is not the one that the entry states.
    """
    shape = layout.trunk.source.shape[1:]
    if spec.input is not None and spec.input != shape:
        raise GraphError(
            f"the prototxt's input is {'×'.join(map(str, shape))}, the manifest says {'×'.join(map(str, spec.input))}",
            path=layout.graph.net.path,
            remedy=f"correct models.{spec.name}.input, or check that the prototxt is the right one",
        )


def judge(spec: ModelSpec, parity: Parity | None, evaluation: Evaluation | None) -> None:
    """Whether what was measured so far is good enough to be published.

    Raises:
        ParityError: the model departs from Caffe by more than the tolerance.
        AccuracyError: top-1 is below the published one by more than the tolerance.
    """
    if parity is not None:
        require(parity)
    published = spec.published.topk.get(1) if spec.published else None
    if evaluation is None or published is None:
        return
    measured = evaluation.percent(1)
    if measured < published - spec.tolerance.top1:
        raise AccuracyError(
            f"top-1 is {measured:.2f} %, published {published:.2f} % with a tolerance of {spec.tolerance.top1:g} points",
            remedy="check preprocess, label_remap and the data set's class_order in the manifest",
        )


def remarks(spec: ModelSpec, evaluation: Evaluation | None) -> tuple[str, ...]:
    """What whoever takes the model has to know beside its numbers."""
    unknown = f"the licence of the weights is unknown: look it up, and say it in models.{spec.name}.license"
    return (*([] if spec.license_known else [unknown]), *_of_accuracy(spec, evaluation))


def _of_accuracy(spec: ModelSpec, evaluation: Evaluation | None) -> tuple[str, ...]:
    if evaluation is None:
        return ("not evaluated, as asked",) if spec.dataset is not None else ()
    if not evaluation.skipped:
        return ()
    left_out = len(evaluation.skipped)
    named = "; ".join(evaluation.skipped[:_NAMED]) + ("; …" if left_out > _NAMED else "")
    return (f"{left_out} of {evaluation.count + left_out} pictures of {evaluation.dataset} left out: {named}",)
