"""One evaluation in parts, which processes or machines count for it: exactly the numbers of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from caffe2neon.evaluate import open_dataset, shards, total
from caffe2neon.records import Counts, DatasetSpec, Evaluation, Preprocess, Progress, no_progress
from caffe2neon.single import MeasureOptions, measure, measure_part

#: Examples that are worth a process of their own, which has to start and to read the model first.
_LEAST = 500

#: Counts a part, and may be told ``progress``.
CountPart: TypeAlias = Callable[..., Counts]
#: Has parts counted somewhere, and tells how many examples more are done.
CountAll: TypeAlias = Callable[[CountPart, Sequence[range], Callable[[int], None]], Iterable[Counts]]


def measure_together(
    prm: Path,
    dataset: DatasetSpec,
    preprocess: Preprocess,
    how: MeasureOptions,
    progress: Progress,
    *,
    places: int,
    share: MeasureOptions,
    count_all: CountAll,
) -> Evaluation:
    """:func:`~caffe2neon.single.measure`, at ``places`` at once; a data set that is too small for that is measured here.

    ``share`` is ``how`` for each part: with its share of the threads.
    """
    examples = len(open_dataset(dataset))
    parts = shards(examples, max(1, min(places, examples // _LEAST)))
    if len(parts) == 1:
        return measure(prm, dataset, preprocess, how, progress)
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(f"evaluate {prm.stem}", done, examples)

    return total(count_all(partial(_count, prm, dataset, preprocess, share), parts, advance))


def _count(
    prm: Path, dataset: DatasetSpec, preprocess: Preprocess, how: MeasureOptions, part: range, progress: Progress = no_progress
) -> Counts:
    return measure_part(prm, dataset, preprocess, how, part=part, progress=progress)
