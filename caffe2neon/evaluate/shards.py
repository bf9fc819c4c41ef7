"""An evaluation in parts: cut so that they may be counted anywhere, and added up to exactly what one would have counted."""

from __future__ import annotations

from collections.abc import Iterable

from caffe2neon.errors import DataError, UsageError
from caffe2neon.evaluate.topk import top_k, whole
from caffe2neon.records import Counts, Evaluation

#: Examples computed at once. Measured with SqueezeNet on 2 cores: 8 to 32 are alike, at 64 activations leave the caches, and a
#: third of the speed is lost.
BATCH = 16
#: Where parts may begin, in examples: a multiple of BATCH, and of what the real neon is given at once (64 on a CPU, 512 on a GPU).
CUT = 512


def shards(examples: int, parts: int, *, cut: int = CUT) -> tuple[range, ...]:
    """Cut a data set into at most ``parts`` ranges of about the same length, none of them empty.

    They begin at multiples of ``cut``, so that every engine sees the very batches that it sees in one piece: a sum whose order
    depends on the size of a batch rounds alike.
    """
    if examples < 1 or parts < 1:
        raise UsageError(f"{examples} examples cannot be cut into {parts} parts")
    units = -(-examples // cut)
    parts = min(parts, units)
    cuts = [units * part // parts * cut for part in range(parts)]
    return tuple(range(start, stop) for start, stop in zip(cuts, [*cuts[1:], examples], strict=True))


def total(parts: Iterable[Counts]) -> Evaluation:
    """The evaluation whose parts these are, in any order.

    Raises:
        UsageError: they are not of one evaluation, or an example is counted twice or not at all.
        DataError: no picture could be read.
    """
    ordered = sorted(parts, key=lambda part: part.start)
    if not ordered:
        raise UsageError("an evaluation has at least one part")
    first = ordered[0]
    said = {(part.engine, part.method, part.dataset, part.class_order, part.total, tuple(part.correct)) for part in ordered}
    if len(said) > 1:
        raise UsageError(f"these are not parts of one evaluation: {'; '.join(sorted(map(str, said)))}")
    reached = 0
    for part in ordered:
        if part.start != reached:
            what = "missing" if part.start > reached else "counted twice"
            raise UsageError(f"examples {min(reached, part.start)} to {max(reached, part.start) - 1} are {what}")
        reached = part.stop
    if reached != first.total:
        raise UsageError(f"examples {reached} to {first.total - 1} are missing")

    count = sum(part.count for part in ordered)
    if not count:
        raise DataError(f"none of the {first.total} pictures of data set {first.dataset!r} can be read: {first.skipped[0]}")
    return Evaluation(
        engine=first.engine,
        method=first.method,
        dataset=first.dataset,
        count=count,
        class_order=first.class_order,
        topk=tuple(top_k(k, whole(sum(part.correct[k] for part in ordered)), count) for k in first.correct),
        skipped=tuple(message for part in ordered for message in part.skipped),
    )
