"""Batches made ahead: threads decode the next ones while the engine computes this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from caffe2neon.errors import located
from caffe2neon.evaluate.dataset import Dataset
from caffe2neon.evaluate.preprocess import Preprocessor

#: Batches in the making while one is computed; memory is bounded by one more than this.
_AHEAD = 2

#: Pictures a task decodes: enough that handing out tasks costs nothing, few enough that all threads share a batch.
_TASK = 4


@dataclass
class _Pending:
    start: int
    buffer: NDArray[np.float32]
    tasks: list[Future[None]]


def batches(dataset: Dataset, preprocess: Preprocessor, *, batch: int, workers: int) -> Generator[tuple[int, NDArray[np.float32]]]:
    """The data set in order as (index of the first example, inputs (n, C, H, W)), n = ``batch`` but for the last.

    An array is valid until the next one is asked for: its memory is used again. Close the generator to stop early.

    Raises:
        DataError: a picture cannot be read or does not fit; always the first such picture of the data set.
    """
    starts = iter(range(0, len(dataset), batch))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")

    def decode(indices: range, buffer: NDArray[np.float32]) -> None:
        for row, index in enumerate(indices):
            where = dataset.where(index)
            with located(path=where.path, line=where.line):
                preprocess(dataset.picture(index, preprocess.channel_order), buffer[row])

    def submit(start: int, buffer: NDArray[np.float32]) -> _Pending:
        stop = min(start + batch, len(dataset))
        shares = [range(first, min(first + _TASK, stop)) for first in range(start, stop, _TASK)]
        tasks = [pool.submit(decode, share, buffer[share.start - start :]) for share in shares]
        return _Pending(start, buffer[: stop - start], tasks)

    try:
        size = (min(batch, len(dataset)), *preprocess.shape)
        pending = deque(submit(start, np.empty(size, np.float32)) for start in islice(starts, _AHEAD + 1))
        while pending:
            done = pending.popleft()
            for task in done.tasks:
                task.result()
            yield done.start, done.buffer
            if (start := next(starts, None)) is not None:
                pending.append(submit(start, done.buffer))
    finally:
        pool.shutdown(cancel_futures=True)
