"""Which rank each card is on, and the order within the ranks: layered drawing after Sugiyama.

Ranks by the longest path from the sources; edges over several ranks pass through bends, one a rank; the order within ranks by
barycentres, swept up and down, the order with the fewest crossings kept.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from caffe2neon.errors import UsageError

_SWEEPS = 24
#: Cards and bends beyond which nobody could read the drawing, nor wait for it.
_LIMIT = 10_000


@dataclass(frozen=True)
class Ranked:
    """``ranks``: vertices from left to right, top rank first. Vertices below ``real`` are cards, the others bends.

    ``above[v]`` and ``below[v]`` are a vertex's neighbours on the ranks next to it; ``paths`` are the vertices of each edge.
    ``trunk`` are the cards on a longest way through the net.
    """

    ranks: tuple[tuple[int, ...], ...]
    above: tuple[tuple[int, ...], ...]
    below: tuple[tuple[int, ...], ...]
    paths: tuple[tuple[int, ...], ...]
    real: int
    trunk: frozenset[int]


def arrange(count: int, edges: Sequence[tuple[int, int]]) -> Ranked:
    """Rank ``count`` cards and order them; every edge must lead from a lower to a higher index.

    Raises:
        UsageError: more bends than a drawing can hold.
    """
    rank = _ranks(count, edges)
    bends = sum(rank[head] - rank[tail] - 1 for tail, head in edges)
    if count + bends > _LIMIT:
        raise UsageError(f"this net is too tangled to draw: {count} boxes, and edges that pass {bends} others")
    ranks: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for card in range(count):
        ranks[rank[card]].append(card)
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    paths = []
    for tail, head in edges:
        path = [tail]
        for level in range(rank[tail] + 1, rank[head]):
            path.append(len(above))
            ranks[level].append(path[-1])
            above.append([])
            below.append([])
        path.append(head)
        for upper, lower in pairwise(path):
            below[upper].append(lower)
            above[lower].append(upper)
        paths.append(tuple(path))
    ranks = _order(ranks, above, below)
    return Ranked(_freeze(ranks), _freeze(above), _freeze(below), tuple(paths), count, _trunk(count, edges))


def _depths(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The number of edges on the longest way from a source to each card."""
    depth = [0] * count
    for tail, head in sorted(edges, key=lambda edge: edge[1]):
        depth[head] = max(depth[head], depth[tail] + 1)
    return depth


def _trunk(count: int, edges: Sequence[tuple[int, int]]) -> frozenset[int]:
    down = _depths(count, edges)
    up = _depths(count, [(count - 1 - head, count - 1 - tail) for tail, head in edges])[::-1]
    return frozenset(card for card in range(count) if down[card] + up[card] == max(down))


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    rank = _depths(count, edges)
    # A source further down its readers than need be (labels, constants) goes next to the first of them.
    heads = {head for _, head in edges}
    for source in set(range(count)) - heads:
        rank[source] = min((rank[head] - 1 for tail, head in edges if tail == source), default=0)
    return rank


def _order(ranks: list[list[int]], above: list[list[int]], below: list[list[int]]) -> list[list[int]]:
    best, fewest = [list(rank) for rank in ranks], _crossings(ranks, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        neighbours = above if down else below
        for level in range(1, len(ranks)) if down else range(len(ranks) - 2, -1, -1):
            _by_barycentre(ranks[level], ranks[level + (-1 if down else 1)], neighbours, mirrored=sweep % 4 > 1)
        crossings = _crossings(ranks, below)
        if crossings < fewest:
            best, fewest = [list(rank) for rank in ranks], crossings
    return best


def _by_barycentre(rank: list[int], fixed: Sequence[int], neighbours: Sequence[Sequence[int]], *, mirrored: bool) -> None:
    """Sort a rank by the mean place of each vertex's neighbours; equal ones keep their order, or turn it round."""
    place = {vertex: index for index, vertex in enumerate(fixed)}
    means = {
        vertex: sum(place[other] for other in neighbours[vertex]) / len(neighbours[vertex]) if neighbours[vertex] else float(index)
        for index, vertex in enumerate(rank)
    }
    if mirrored:
        rank.reverse()
    rank.sort(key=means.__getitem__)


def _crossings(ranks: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> int:
    total = 0
    for upper, lower in pairwise(ranks):
        place = {vertex: index for index, vertex in enumerate(lower)}
        passed: list[int] = []
        for vertex in upper:
            ends = sorted(place[other] for other in below[vertex])
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total


def _freeze(rows: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, rows))
