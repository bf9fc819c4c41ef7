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
#: Is told how many examples of a part are done; of one that is begun again, from 0 on again.
Tell: TypeAlias = Callable[[range, int], None]
#: Has parts counted somewhere.
CountAll: TypeAlias = Callable[[CountPart, Sequence[range], Tell], Iterable[Counts]]


def measure_together(
    prm: Path,
    dataset: DatasetSpec,
    preprocess: Preprocess,
    how: MeasureOptions,
    progress: Progress,
    *,
    places: int,
    share: Callable[[int], MeasureOptions],
    count_all: CountAll,
) -> Evaluation:
    """:func:`~caffe2neon.single.measure`, at ``places`` at once; a data set that is too small for that is measured here.

    ``share`` is ``how`` for each of so many parts: with its share of the threads.
    """
    if places == 1:
        return measure(prm, dataset, preprocess, how, progress)
    examples = len(open_dataset(dataset))
    parts = shards(examples, max(1, min(places, examples // _LEAST)))
    if len(parts) == 1:
        return measure(prm, dataset, preprocess, how, progress)
    done, furthest = dict.fromkeys(parts, 0), 0

    def tell(part: range, count: int) -> None:
        nonlocal furthest
        done[part] = count
        furthest = max(furthest, sum(done.values()))  # stands still while a part catches up with where it died
        progress(f"evaluate {prm.stem}", furthest, examples)

    return total(count_all(partial(_count, prm, dataset, preprocess, share(len(parts))), parts, tell))


def _count(
    prm: Path, dataset: DatasetSpec, preprocess: Preprocess, how: MeasureOptions, part: range, progress: Progress = no_progress
) -> Counts:
    return measure_part(prm, dataset, preprocess, how, part=part, progress=progress)
