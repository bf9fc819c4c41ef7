"""Batches made ahead: threads decode the next ones while the engine computes this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffe2neon.errors import PictureError, located
from caffe2neon.evaluate.dataset import Dataset
from caffe2neon.evaluate.preprocess import Preprocessor

#: Batches in the making while one is computed; memory is bounded by one more than this.
_AHEAD = 2

#: Pictures a task decodes: enough that handing out tasks costs nothing, few enough that all threads share a batch.
_TASK = 4


class Batch(NamedTuple):
    """Examples ``indices`` as ``inputs`` (n, C, H, W); ``skipped`` says of each other one of this stretch what is wrong with it."""

    indices: NDArray[np.int64]
    inputs: NDArray[np.float32]
    skipped: tuple[str, ...]


@dataclass
class _Pending:
    examples: range
    buffer: NDArray[np.float32]
    tasks: list[Future[dict[int, str]]]


def batches(
    dataset: Dataset, preprocess: Preprocessor, part: range, *, batch: int, workers: int, skip_bad: bool
) -> Generator[Batch]:
    """Examples ``part`` of the data set in order, ``batch`` at once but for the last ones and those skipped.

    An array is valid until the next one is asked for: its memory is used again. Close the generator to stop early.

    Raises:
        PictureError: a picture cannot be read, and ``skip_bad`` is false; always the first such picture.
        DataError: a picture does not fit.
    """
    starts = iter(range(part.start, part.stop, batch))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")

    def decode(examples: range, buffer: NDArray[np.float32]) -> dict[int, str]:
        """What is wrong with the pictures that cannot be read."""
        wrong = {}
        for row, index in enumerate(examples):
            where = dataset.where(index)
            try:
                with located(path=where.path, line=where.line):
                    preprocess(dataset.picture(index, preprocess.channel_order), buffer[row])
            except PictureError as error:
                if not skip_bad:
                    raise
                wrong[index] = error.message
        return wrong

    def submit(start: int, buffer: NDArray[np.float32]) -> _Pending:
        examples = range(start, min(start + batch, part.stop))
        shares = [examples[first : first + _TASK] for first in range(0, len(examples), _TASK)]
        tasks = [pool.submit(decode, share, buffer[share.start - start :]) for share in shares]
        return _Pending(examples, buffer[: len(examples)], tasks)

    try:
        size = (min(batch, len(part)), *preprocess.shape)
        pending = deque(submit(start, np.empty(size, np.float32)) for start in islice(starts, _AHEAD + 1))
        while pending:
            done = pending.popleft()
            wrong: dict[int, str] = {}
            for task in done.tasks:
                wrong |= task.result()
            good = np.array([index for index in done.examples if index not in wrong], np.int64)
            inputs = done.buffer[good - done.examples.start] if wrong else done.buffer
            yield Batch(good, inputs, tuple(wrong.values()))
            if (start := next(starts, None)) is not None:
                pending.append(submit(start, done.buffer))
    finally:
        pool.shutdown(cancel_futures=True)
