"""Where each vertex stands from left to right: Brandes and Köpf, "Fast and Simple Horizontal Coordinate Assignment" (2001).

Vertices are aligned with the medians of their neighbours into vertical blocks, in four ways (from above or below, leftmost or
rightmost), and each is packed; the mean of the two middle ones is balanced, and long edges stay straight.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

from caffe2neon.report.drawing.order import Ranked
from caffe2neon.report.drawing.settle import settle

Neighbours = Sequence[Sequence[int]]


def place(ranked: Ranked, width: Callable[[int], float], gap: float) -> list[float]:
    """The x of each vertex's middle; neighbours on a rank are at least half of both widths and ``gap`` apart."""
    count = len(ranked.above)
    if not count:
        return []
    above, below = _leading(ranked)
    crossed = _crossed(ranked)

    def apart(left: int, right: int) -> float:
        return (width(left) + width(right)) / 2 + gap

    results = []
    for upwards in (False, True):
        for mirrored in (False, True):
            ranks = [tuple(reversed(rank)) if mirrored else rank for rank in ranked.ranks]
            neighbours = below if upwards else above
            root = _align(ranks[::-1] if upwards else ranks, neighbours, crossed, count)
            xs = _pack(ranks, root, apart)
            results.append([-x for x in xs] if mirrored else xs)
    half = [width(vertex) / 2 for vertex in range(count)]
    sides = [[(x - h, x + h) for x, h in zip(xs, half, strict=True)] for xs in results]
    spans = [(min(low for low, _ in places), max(high for _, high in places)) for places in sides]
    left, right = min(spans, key=lambda span: span[1] - span[0])
    for number, (low, high) in enumerate(spans):
        shift = right - high if number % 2 else left - low
        results[number] = [x + shift for x in results[number]]
    balanced = [(middle[1] + middle[2]) / 2 for middle in map(sorted, zip(*results, strict=True))]
    return settle(ranked, balanced, apart)


def _leading(ranked: Ranked) -> tuple[Neighbours, Neighbours]:
    """The neighbours that a vertex is aligned with.

    Of a card's neighbours on one side the only one on the trunk leads: the trunk stays straight, and shortcuts go round it. Where
    arms are equally long, or there is no trunk, all count.
    """

    def leaders(neighbours: Neighbours, card: int) -> set[int]:
        trunk = {other for other in neighbours[card] if other in ranked.trunk} if card in ranked.trunk else set()
        return trunk if len(trunk) == 1 else set(neighbours[card])

    def keep(upper: int, lower: int) -> bool:
        return upper in leaders(ranked.above, lower) and lower in leaders(ranked.below, upper)

    places = {vertex: index for rank in ranked.ranks for index, vertex in enumerate(rank)}
    above = [sorted((u for u in others if keep(u, v)), key=places.__getitem__) for v, others in enumerate(ranked.above)]
    below = [sorted((w for w in others if keep(v, w)), key=places.__getitem__) for v, others in enumerate(ranked.below)]
    return above, below


def _crossed(ranked: Ranked) -> set[tuple[int, int]]:
    """Segments that cross one between two bends: those give way, so that long edges are straight."""
    crossed = set()
    for upper, lower in pairwise(ranked.ranks):
        place = {vertex: index for index, vertex in enumerate(upper)}
        segments = [(place[u], index, u, v) for index, v in enumerate(lower) for u in ranked.above[v]]
        inner = [(u, v) for u, v, upper_v, lower_v in segments if min(upper_v, lower_v) >= ranked.real]
        crossed |= {
            (upper_v, lower_v)
            for u, v, upper_v, lower_v in segments
            if min(upper_v, lower_v) < ranked.real and any((u - a) * (v - b) < 0 for a, b in inner)
        }
    return crossed


def _align(ranks: Sequence[Sequence[int]], neighbours: Neighbours, crossed: set[tuple[int, int]], count: int) -> list[int]:
    """The block of each vertex, named by its first member. Ranks are walked away from the neighbours."""
    root = list(range(count))
    for fixed, rank in pairwise(ranks):
        place = {vertex: index for index, vertex in enumerate(fixed)}
        reached = -1
        for vertex in rank:
            others = sorted(neighbours[vertex], key=place.__getitem__)
            for middle in sorted({(len(others) - 1) // 2, len(others) // 2}) if others else ():
                other = others[middle]
                if place[other] > reached and not {(other, vertex), (vertex, other)} & crossed:
                    root[vertex] = root[other]
                    reached = place[other]
                    break
    return root


def _pack(ranks: Sequence[Sequence[int]], root: Sequence[int], apart: Callable[[int, int], float]) -> list[float]:
    """Push all blocks as far left as they go, then back to the right as far as their right neighbours let them."""
    left: dict[int, dict[int, float]] = defaultdict(dict)
    right: dict[int, dict[int, float]] = defaultdict(dict)
    for rank in ranks:
        for a, b in pairwise(rank):
            tail, head = root[a], root[b]
            distance = max(apart(a, b), left[head].get(tail, 0))
            left[head][tail] = right[tail][head] = distance
    order = _topological(sorted(set(root)), left)
    x: dict[int, float] = {}
    for block in order:
        x[block] = max((x[other] + distance for other, distance in left[block].items()), default=0)
    for block in reversed(order):
        x[block] = max(x[block], min((x[other] - distance for other, distance in right[block].items()), default=x[block]))
    return [x[block] for block in root]


def _topological(blocks: Sequence[int], left: dict[int, dict[int, float]]) -> list[int]:
    order: dict[int, None] = {}
    for block in blocks:
        pending = [block]
        while pending:
            missing = [other for other in left[pending[-1]] if other not in order]
            if missing:
                pending.extend(missing)
            else:
                order[pending.pop()] = None
    return list(order)
