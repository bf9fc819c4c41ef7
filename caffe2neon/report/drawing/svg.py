"""A drawing as SVG: no script, no font, no request; light and dark; the same drawing is the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from caffe2neon.report.drawing.cards import Card, stack
from caffe2neon.report.drawing.order import Ranked, arrange
from caffe2neon.report.drawing.place import place
from caffe2neon.report.drawing.records import FAMILIES, Drawing, Layer
from caffe2neon.report.drawing.text import printable, shorten, width

_MARGIN, _HEADER = 24, 64
_LEGEND_ROW, _SWATCH = 22, 12
_LARGE, _SMALL = 12, 11  # font sizes: headings; names, companions and shapes
_HEAD, _ROW, _FOOT = 38, 18, 18  # heights: a card's first layer, each further one, the shape below
_PADDING = 10
_NARROWEST, _WIDEST = 110, 210  # cards
_COLUMN_GAP, _RANK_GAP, _STEEPEST = 22, 30, 46
_BEND = 8
_LEAST_WIDTH = 440  # for the title and the legend

#: Family -> fill on light, fill on dark. Text on them has a contrast of at least 7.
_FILLS = {
    "data": ("#d8dee8", "#3b4656"),
    "convolution": ("#bcd9fb", "#1d4379"),
    "product": ("#d9d0fb", "#46318a"),
    "pooling": ("#bdeccb", "#1b5733"),
    "normalization": ("#fbeaa5", "#5a4a0c"),
    "activation": ("#fdd3ac", "#6f3a10"),
    "arithmetic": ("#c3f0ec", "#125350"),
    "dropout": ("#e4e0dc", "#4a4642"),
    "join": ("#fbc4c4", "#7a2424"),
    "shape": ("#e6ecd2", "#444e27"),
    "output": ("#f8c9e6", "#792359"),
    "other": ("#ffffff", "#22272e"),
}


class _Spot(NamedTuple):
    """Where a card is: its middle, its top, and its size."""

    x: float
    top: float
    width: float
    height: float


def draw(drawing: Drawing) -> bytes:
    """The SVG of a net, top to bottom.

    Raises:
        UsageError: a net too tangled to draw.
    """
    cards, edges = stack(drawing)
    ranked = arrange(len(cards), edges)
    size = _card_width(cards)
    xs = place(ranked, lambda vertex: size if vertex < ranked.real else _BEND, _COLUMN_GAP)
    span = max(xs, default=0) - min(xs, default=0) + size
    total = max(span, _LEAST_WIDTH) + 2 * _MARGIN
    shift = total / 2 - (max(xs, default=0) + min(xs, default=0)) / 2
    xs = [x + shift for x in xs]
    families = [family for family in FAMILIES if any(layer.family == family for layer in drawing.layers)]
    legend = list(_legend(families, total))
    top = _HEADER + _LEGEND_ROW * (1 + max((row for row, _ in legend), default=0)) + 18
    tops, heights = _levels(ranked, xs, cards, top)
    spots = {
        card: _Spot(xs[card], tops[level], size, _height(cards[card]))
        for level, rank in enumerate(ranked.ranks)
        for card in rank
        if card < ranked.real
    }
    bottom = max((spot.top + spot.height for spot in spots.values()), default=top)
    lines = [
        *_head(drawing, total, bottom + _MARGIN, families),
        *_title(drawing, total),
        *_legend_lines(families, legend),
        '<g class="edges">',
        *_edges(ranked, xs, spots, list(zip(tops, heights, strict=True))),
        "</g>",
        *(line for index, card in enumerate(cards) for line in _card(card, spots[index])),
        "</svg>\n",
    ]
    return "\n".join(lines).encode()


# ---- where things are ----


def _card_width(cards: Sequence[Card]) -> float:
    """One for all: as wide as the widest text needs, within bounds."""
    texts = [(layer.heading, _LARGE) for card in cards for layer in card.layers]
    texts += [(card.layers[0].name, _SMALL) for card in cards] + [(card.shape, _SMALL) for card in cards]
    widest = max((width(printable(text), size) for text, size in texts), default=0)
    return float(round(min(max(widest + 2 * _PADDING, _NARROWEST), _WIDEST)))


def _height(card: Card) -> int:
    return _HEAD + _ROW * (len(card.layers) - 1) + (_FOOT if card.shape else 0)


def _levels(ranked: Ranked, xs: Sequence[float], cards: Sequence[Card], top: float) -> tuple[list[float], list[float]]:
    """The top and the height of each rank; the further edges lead aside, the more room they get."""
    tops: list[float] = []
    heights: list[float] = []
    for rank in ranked.ranks:
        aside = max((abs(xs[vertex] - xs[other]) for vertex in rank for other in ranked.above[vertex]), default=0)
        if tops:
            top += heights[-1] + _RANK_GAP + min(aside / 12, _STEEPEST)
        tops.append(top)
        heights.append(max((_height(cards[vertex]) for vertex in rank if vertex < ranked.real), default=0))
    return tops, heights


def _ports(spot: _Spot, wanted: Sequence[float]) -> list[float]:
    """Where edges from ``wanted``, sorted, touch a card: straight below or above where they come from, or as near as they can."""
    low, high = spot.x - spot.width / 2 + 16, spot.x + spot.width / 2 - 16
    gap = min(14.0, (high - low) / max(len(wanted) - 1, 1))
    ports = [min(max(x, low), high) for x in wanted]
    for index in range(1, len(ports)):
        ports[index] = max(ports[index], ports[index - 1] + gap)
    limit = high
    for index in range(len(ports) - 1, -1, -1):
        ports[index] = min(ports[index], limit)
        limit = ports[index] - gap
    return ports


# ---- what is written ----


def _head(drawing: Drawing, total: float, height: float, families: Sequence[str]) -> Iterator[str]:
    words = ", ".join(FAMILIES[family].lower() for family in families)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(total)}" height="{_n(height)}" viewBox="0 0 {_n(total)} {_n(height)}"'
        ' role="img" aria-labelledby="title description">'
    )
    yield f'<title id="title">{_text(drawing.title)}</title>'
    yield (
        f'<desc id="description">{_text(drawing.summary)}. Data flow from top to bottom; each box is a layer with those that follow'
        f" it value by value; colours are families of layers: {words}.</desc>"
    )
    light = "".join(f".{family}{{fill:{_FILLS[family][0]}}}" for family in families)
    dark = "".join(f".{family}{{fill:{_FILLS[family][1]}}}" for family in families)
    yield (
        "<style>"
        "text{font-family:ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace;fill:#14181f}"
        f".heading{{font-size:{_LARGE}px;font-weight:600}}.small{{font-size:{_SMALL}px}}.title{{font-size:17px;font-weight:600}}"
        ".muted{fill:#4a5361}.paper{fill:#fff}.frame{fill:none;stroke:#5d6775;stroke-width:1}.foot{fill:#fff}"
        ".edges path{fill:none;stroke:#5d6775;stroke-width:1.5}.tip{fill:#5d6775}"
        f"{light}"
        "@media(prefers-color-scheme:dark){"
        "text{fill:#f2f4f8}.muted{fill:#b4bdca}.paper{fill:#14181f}.frame{stroke:#8792a2}.foot{fill:#1c222b}"
        ".edges path{stroke:#8792a2}.tip{fill:#8792a2}"
        f"{dark}}}"
        "</style>"
    )
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse"'
        ' orient="auto"><path class="tip" d="M0 .8L8 4L0 7.2z"/></marker></defs>'
    )
    yield f'<rect class="paper" width="{_n(total)}" height="{_n(height)}"/>'


def _title(drawing: Drawing, total: float) -> Iterator[str]:
    room = total - 2 * _MARGIN
    yield f'<text class="title" x="{_MARGIN}" y="36">{_fit(drawing.title, 17, room)}</text>'
    yield f'<text class="small muted" x="{_MARGIN}" y="56">{_fit(drawing.summary, _SMALL, room)}</text>'


def _legend(families: Sequence[str], total: float) -> Iterator[tuple[int, float]]:
    """The row and the x of each entry."""
    row, x = 0, float(_MARGIN)
    for family in families:
        size = _SWATCH + 6 + width(FAMILIES[family], _SMALL) + 14
        if x > _MARGIN and x + size > total - _MARGIN + 14:
            row, x = row + 1, float(_MARGIN)
        yield row, x
        x += size


def _legend_lines(families: Sequence[str], places: Sequence[tuple[int, float]]) -> Iterator[str]:
    for family, (row, x) in zip(families, places, strict=True):
        y = _HEADER + 8 + row * _LEGEND_ROW
        yield f'<rect class="{family}" x="{_n(x)}" y="{y}" width="{_SWATCH}" height="{_SWATCH}" rx="2"/>'
        yield f'<rect class="frame" x="{_n(x)}" y="{y}" width="{_SWATCH}" height="{_SWATCH}" rx="2"/>'
        yield f'<text class="small" x="{_n(x + _SWATCH + 6)}" y="{y + 10}">{escape(FAMILIES[family])}</text>'


def _edges(ranked: Ranked, xs: Sequence[float], spots: dict[int, _Spot], levels: Sequence[tuple[float, float]]) -> Iterator[str]:
    level_of = {vertex: level for level, rank in enumerate(ranked.ranks) for vertex in rank}
    starts, ends = _touching(ranked, xs, spots, first=True), _touching(ranked, xs, spots, first=False)
    for number, path in enumerate(ranked.paths):
        tail, *bends, head = path
        start = spots[tail]
        x, y = starts[number], sum(levels[level_of[tail]])
        commands = [f"M{_n(x)} {_n(start.top + start.height)}"]
        if y > start.top + start.height:
            commands.append(f"V{_n(y)}")
        for vertex in (*bends, head):
            top, height = levels[level_of[vertex]]
            target = ends[number] if vertex == head else xs[vertex]
            if abs(target - x) < 0.05:
                commands.append(f"V{_n(top)}")
            else:
                middle = (y + top) / 2
                commands.append(f"C{_n(x)} {_n(middle)} {_n(target)} {_n(middle)} {_n(target)} {_n(top)}")
            x, y = target, top
            if vertex != head and height:
                y = top + height
                commands.append(f"V{_n(y)}")
        yield f'<path marker-end="url(#tip)" d="{"".join(commands)}"/>'


def _touching(ranked: Ranked, xs: Sequence[float], spots: dict[int, _Spot], *, first: bool) -> dict[int, float]:
    """The x at which each edge leaves its first card, or reaches its last."""
    at: dict[int, list[tuple[float, int]]] = {}
    for number, path in enumerate(ranked.paths):
        card, other = (path[0], path[1]) if first else (path[-1], path[-2])
        at.setdefault(card, []).append((xs[other], number))
    ports: dict[int, float] = {}
    for card, edges in at.items():
        edges.sort()
        wanted = [x for x, _ in edges]
        ports.update(zip((number for _, number in edges), _ports(spots[card], wanted), strict=True))
    return ports


def _card(card: Card, spot: _Spot) -> Iterator[str]:
    left, size, room = spot.x - spot.width / 2, spot.width, spot.width - 2 * _PADDING
    first, *others = card.layers
    outline = f'x="{_n(left)}" y="{_n(spot.top)}" width="{_n(size)}" height="{_n(spot.height)}" rx="5"'
    yield "<g>"
    yield f'<rect class="foot" {outline}/>'
    y = spot.top
    yield f"<g><title>{_tooltip(first)}</title>"
    yield f'<path class="{first.family}" d="M{_n(left)} {_n(y + _HEAD)}v{5 - _HEAD}q0-5 5-5h{_n(size - 10)}q5 0 5 5v{_HEAD - 5}z"/>'
    yield f'<text class="heading" x="{_n(left + _PADDING)}" y="{_n(y + 16)}">{_fit(first.heading, _LARGE, room)}</text>'
    yield f'<text class="small" x="{_n(left + _PADDING)}" y="{_n(y + 31)}">{_fit(first.name, _SMALL, room)}</text></g>'
    y += _HEAD
    for layer in others:
        yield f"<g><title>{_tooltip(layer)}</title>"
        yield f'<rect class="{layer.family}" x="{_n(left)}" y="{_n(y)}" width="{_n(size)}" height="{_ROW}"/>'
        yield f'<text class="small" x="{_n(left + _PADDING)}" y="{_n(y + 13)}">{_fit(layer.heading, _SMALL, room)}</text></g>'
        y += _ROW
    if card.shape:
        shape = _fit(card.shape, _SMALL, room)
        yield f'<text class="small muted" x="{_n(spot.x)}" y="{_n(y + 13)}" text-anchor="middle">{shape}</text>'
    yield f'<rect class="frame" {outline}/></g>'


def _tooltip(layer: Layer) -> str:
    lines = (layer.heading, layer.name, *layer.facts)
    return "\n".join(_text(line) for line in lines if line)


def _fit(text: str, size: float, room: float) -> str:
    return escape(shorten(printable(text), size, room))


def _text(text: str) -> str:
    return escape(printable(text))


def _n(value: float) -> str:
    """A tenth of a pixel is enough, and keeps the bytes the same where floating point differs in its last digit."""
    return f"{value:.1f}".removesuffix(".0")
