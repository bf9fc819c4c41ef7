"""After placing: draw together what stands further apart than it need.

Packing keeps blocks straight but may leave wide gaps where long edges pass. Straight runs move as one towards the median of what
they are connected with, as far as their neighbours on every rank let them; each move shortens edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

from caffe2neon.report.drawing.order import Ranked

_ROUNDS = 12
_SAME = 0.05


def settle(ranked: Ranked, xs: Sequence[float], apart: Callable[[int, int], float]) -> list[float]:
    """Better places than ``xs``, in the same order; ``apart`` says how far two neighbours' middles must be from each other."""
    result = list(xs)
    runs = _runs(ranked, xs)
    run_of = {vertex: number for number, run in enumerate(runs) for vertex in run}
    left = {b: a for rank in ranked.ranks for a, b in pairwise(rank)}
    right = {a: b for b, a in left.items()}
    outside = [
        [other for vertex in run for other in (*ranked.above[vertex], *ranked.below[vertex]) if run_of[other] != number]
        for number, run in enumerate(runs)
    ]
    for turn in range(_ROUNDS):
        moved = 0.0
        for number in range(len(runs)) if turn % 2 == 0 else range(len(runs) - 1, -1, -1):
            run, x = runs[number], result[runs[number][0]]
            if not outside[number]:
                continue
            low = max((result[left[v]] + apart(left[v], v) for v in run if v in left), default=float("-inf"))
            high = min((result[right[v]] - apart(v, right[v]) for v in run if v in right), default=float("inf"))
            target = min(max(median(result[other] for other in outside[number]), low), high)
            if abs(target - x) > _SAME and low <= high:
                moved = max(moved, abs(target - x))
                for vertex in run:
                    result[vertex] = target
        if moved <= _SAME:
            break
    return result


def _runs(ranked: Ranked, xs: Sequence[float]) -> list[list[int]]:
    """Vertices one below the other, connected by edges that are straight."""
    runs: list[list[int]] = []
    run_of: dict[int, list[int]] = {}
    for rank in ranked.ranks:
        for vertex in rank:
            straight = (other for other in ranked.above[vertex] if abs(xs[other] - xs[vertex]) <= _SAME)
            run = next((run_of[other] for other in straight if run_of[other][-1] == other), None)
            if run is None:
                run = []
                runs.append(run)
            run.append(vertex)
            run_of[vertex] = run
    return runs
