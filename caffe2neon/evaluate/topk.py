"""Counting top-k, and how sure the result is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from caffe2neon.records import Array, TopK

#: The 97.5 % point of the normal distribution: 95 % of it lie within this many deviations.
_Z = 1.959963984540054


def beaten_by(scores: Array, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many other classes score as high as the true one, or higher, for each example: correct within the top k if below k.

    Ties count against the model, as in the Accuracy layer of Caffe's HEAD. neon's ``TopKMisclassification`` does the same on the
    CPU, where a division of whole numbers drops the rest; on a GPU it counts a tied example in part.

    ``scores`` is (N, C) and has no NaN, which compares with nothing.
    """
    true = np.take_along_axis(scores, labels[:, None], axis=1)  # (N,) -> (N, 1)
    as_high: NDArray[np.int64] = (scores >= true).sum(axis=1, dtype=np.int64)
    return as_high - 1


def whole(count: float) -> float:
    """The count, as an int where it is one; on a GPU neon counts an example whose scores tie in part."""
    return int(count) if count == int(count) else count


def top_k(k: int, correct: float, count: int) -> TopK:
    """``correct`` of ``count`` in percent, with the 95 % Wilson score interval: sensible near 0 and 100 % too."""
    share = correct / count
    spread = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    middle, width = share + _Z**2 / (2 * count), 1 + _Z**2 / count
    # Rounding must not push the ends beside 0 and 100 where they are exactly that.
    low = 0.0 if correct == 0 else (middle - spread) / width
    high = 1.0 if correct == count else (middle + spread) / width
    return TopK(k, correct, 100 * share, 100 * low, 100 * high)
