from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe2neon.evaluate import beaten_by, top_k


@given(st.lists(st.lists(st.integers(-3, 3), min_size=5, max_size=5), min_size=1, max_size=8), st.data())
def test_counts_as_caffes_accuracy_layer(rows: list[list[int]], data: st.DataObject) -> None:
    """The layer's loop, plainly: few different scores, so that ties are common."""
    labels = [data.draw(st.integers(0, 4)) for _ in rows]
    got = beaten_by(np.array(rows, np.float32), np.array(labels))
    for row, label, beaten in zip(rows, labels, got, strict=True):
        better = -1  # the true class counts itself
        for score in row:
            if score >= row[label]:
                better += 1
        assert beaten == better


def test_a_tie_counts_against_the_model() -> None:
    scores = np.array([[1.0, 1.0, 0.0]], np.float32)
    assert beaten_by(scores, np.array([0])).tolist() == [1]


def test_infinite_scores_compare() -> None:
    scores = np.array([[-np.inf, np.inf, 0.0]], np.float32)
    assert [int(beaten_by(scores, np.array([label]))[0]) for label in range(3)] == [2, 0, 1]


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3, four decimals.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_against_published_values(correct: int, count: int, low: float, high: float) -> None:
    result = top_k(1, correct, count)
    assert result.low == pytest.approx(100 * low, abs=0.0051)
    assert result.high == pytest.approx(100 * high, abs=0.0051)


@given(st.integers(1, 50_000), st.data())
def test_wilson_ends_solve_its_equation(count: int, data: st.DataObject) -> None:
    """Each end p is where the measured share lies 1.96 deviations of p itself away."""
    correct = data.draw(st.integers(0, count))
    result = top_k(5, correct, count)
    assert 0 <= result.low <= result.percent <= result.high <= 100
    share = correct / count
    for end in (result.low / 100, result.high / 100):
        if 0 < end < 1:
            assert abs(share - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / count), rel=1e-5)


def test_wilson_at_the_ends() -> None:
    assert top_k(1, 0, 7).low == 0
    assert top_k(1, 7, 7).high == 100
    assert (top_k(1, 7, 7).k, top_k(1, 7, 7).correct, top_k(1, 7, 7).percent) == (1, 7, 100)
