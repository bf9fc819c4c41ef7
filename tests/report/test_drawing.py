"""The layout's promises on any graph, and the SVG's: well-formed, deterministic, no text wider than its box."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe2neon.errors import UsageError
from caffe2neon.report.drawing import FAMILIES, Drawing, Layer, draw
from caffe2neon.report.drawing.cards import stack
from caffe2neon.report.drawing.order import arrange
from caffe2neon.report.drawing.place import place
from caffe2neon.report.drawing.text import printable, shorten, width

_SVG = "{http://www.w3.org/2000/svg}"
_WIDTH, _GAP = 100.0, 20.0

Edges = list[tuple[int, int]]


@st.composite
def graphs(draw_: st.DrawFn) -> tuple[int, Edges]:
    count = draw_(st.integers(1, 14))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    return count, draw_(st.lists(pairs, unique=True, max_size=25)) if count > 1 else []


@settings(deadline=None)
@given(graphs())
def test_layout_of_any_graph(graph: tuple[int, Edges]) -> None:
    count, edges = graph
    ranked = arrange(count, edges)
    xs = place(ranked, lambda vertex: _WIDTH if vertex < count else 10.0, _GAP)
    rank_of = {vertex: level for level, rank in enumerate(ranked.ranks) for vertex in rank}
    assert sorted(rank_of) == list(range(len(xs)))
    for tail, head in edges:
        assert rank_of[tail] < rank_of[head]
    for (tail, head), path in zip(edges, ranked.paths, strict=True):
        assert (path[0], path[-1]) == (tail, head)
        assert [rank_of[vertex] for vertex in path] == list(range(rank_of[tail], rank_of[head] + 1))
    for rank in ranked.ranks:
        for left, right in pairwise(rank):
            both = (_WIDTH if left < count else 10.0) + (_WIDTH if right < count else 10.0)
            assert xs[right] - xs[left] >= both / 2 + _GAP - 1e-6


def test_a_chain_is_straight() -> None:
    assert len(set(place(arrange(9, list(pairwise(range(9)))), lambda _: _WIDTH, _GAP))) == 1


def test_a_shortcut_goes_round_a_straight_trunk() -> None:
    # two residual blocks: 0 -> 1 -> 2 -> 3 with 0 -> 3, and again from 3
    edges = [(0, 1), (1, 2), (0, 3), (2, 3), (3, 4), (4, 5), (3, 6), (5, 6)]
    ranked = arrange(7, edges)
    xs = place(ranked, lambda vertex: _WIDTH if vertex < 7 else 10.0, _GAP)
    assert len(set(xs[:7])) == 1
    bends = [vertex for path in ranked.paths for vertex in path[1:-1]]
    assert len(bends) == 4
    assert all(abs(xs[bend] - xs[0]) >= _WIDTH / 2 for bend in bends)


def test_arms_keep_their_order_and_stand_evenly() -> None:
    edges = [(0, 1), (0, 2), (0, 3), (0, 4), (2, 5), (3, 6), (4, 7), (1, 8), (5, 8), (6, 8), (7, 8)]  # an inception module
    xs = place(arrange(9, edges), lambda vertex: _WIDTH if vertex < 9 else 10.0, _GAP)
    assert xs[1] < xs[2] < xs[3] < xs[4]
    assert [xs[5], xs[6], xs[7]] == xs[2:5]
    assert xs[0] == xs[8] == pytest.approx((xs[2] + xs[3]) / 2)


def test_a_source_stands_above_its_reader() -> None:
    ranked = arrange(5, [(0, 1), (1, 2), (2, 4), (3, 4)])
    assert [sorted(rank) for rank in ranked.ranks] == [[0], [1], [2, 3], [4]]


def test_crossings_are_avoided() -> None:
    ranked = arrange(6, [(0, 5), (1, 4), (2, 3)])
    places = [{vertex: index for index, vertex in enumerate(rank)} for rank in ranked.ranks]
    ends = sorted((places[0][tail], places[1][head]) for tail, head in ((0, 5), (1, 4), (2, 3)))
    assert [head for _, head in ends] == [0, 1, 2]


def test_a_tangle_is_refused() -> None:
    with pytest.raises(UsageError, match="too tangled to draw"):
        arrange(400, [(tail, head) for tail in range(400) for head in range(tail + 1, 400)])


def _chain(*layers: Layer) -> Drawing:
    return Drawing("net", "Caffe net, 4 layers", layers, tuple(pairwise(range(len(layers)))))


_CONVOLUTION = Layer("conv1", "Convolution", "convolution", "3×3", "8×4×4")
_RELU = Layer("relu1", "ReLU", "activation", shape="8×4×4")


def test_companions_share_a_card() -> None:
    cards, edges = stack(_chain(_CONVOLUTION, _RELU, _CONVOLUTION))
    assert [[layer.type for layer in card.layers] for card in cards] == [["Convolution", "ReLU"], ["Convolution"]]
    assert edges == [(0, 1)]


def test_a_companion_of_a_blob_with_two_readers_stands_alone() -> None:
    drawing = Drawing("net", "", (_CONVOLUTION, _RELU, _CONVOLUTION), ((0, 1), (0, 2)))
    assert len(stack(drawing)[0]) == 3


def test_svg() -> None:
    data = Layer("data", "Input", "data", shape="3×4×4", facts=("makes 3×4×4",))
    root = ElementTree.fromstring(draw(_chain(data, _CONVOLUTION, _RELU)))
    assert root.get("role") == "img"
    named = [element.get("id") for element in root if element.tag in (f"{_SVG}title", f"{_SVG}desc")]
    assert named == (root.get("aria-labelledby") or "").split()
    texts = [text.text for text in root.iter(f"{_SVG}text")]
    for text in ("net", "Data", "Convolution", "Activation", "Input", "Convolution 3×3", "conv1", "ReLU", "8×4×4"):
        assert text in texts
    assert len(root.findall(f"{_SVG}g[@class='edges']/{_SVG}path")) == 1
    assert "Input\ndata\nmakes 3×4×4" in [title.text for title in root.iter(f"{_SVG}title")]


def test_every_family_has_its_colours_on_light_and_dark() -> None:
    svg = draw(_chain(*(Layer(family, family, family) for family in FAMILIES))).decode()
    light, dark = svg.split("prefers-color-scheme:dark")
    for family in FAMILIES:
        (day,) = re.findall(rf"\.{family}{{fill:(#\w+)}}", light)
        (night,) = re.findall(rf"\.{family}{{fill:(#\w+)}}", dark)
        # WCAG's AAA for text: 7
        assert _contrast(day, "#14181f") >= 7, family
        assert _contrast(night, "#f2f4f8") >= 7, family


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=80), st.text(min_size=1, max_size=80))
def test_any_names_make_well_formed_svg(name: str, kind: str) -> None:
    root = ElementTree.fromstring(draw(Drawing(name, kind, (Layer(name, kind, facts=(name,)), Layer(kind, name)), ((0, 1),))))
    assert {element.tag.removeprefix(_SVG) for element in root.iter()} <= {
        *("svg", "title", "desc", "style", "defs", "marker", "path", "rect", "text", "g")
    }


def test_markup_in_a_name_is_text() -> None:
    svg = draw(_chain(Layer('<script>alert("1")</script>&', "ReLU", "activation"))).decode()
    assert "<script" not in svg


def test_a_long_name_is_shortened_and_stands_whole_in_the_tooltip() -> None:
    name = "tower/" * 30 + "1x1"
    root = ElementTree.fromstring(draw(_chain(Layer(name, "Convolution", "convolution"))))
    shown = next(text.text or "" for text in root.iter(f"{_SVG}text") if (text.text or "").startswith("tower"))
    assert "…" in shown
    assert shown.endswith("1x1")
    assert any(name in (title.text or "") for title in root.iter(f"{_SVG}title"))


@pytest.mark.parametrize("text", ["conv", "x" * 100, "漢字" * 40, "e\u0301" * 90, ""])
def test_shortened_text_fits(text: str) -> None:
    assert width(shorten(text, 11, 120), 11) <= 120


def test_unprintable() -> None:
    assert printable("a\x00b\u202ec\ud800 \n d") == "a\ufffdb\ufffdc\ufffd d"


def test_an_empty_net() -> None:
    ElementTree.fromstring(draw(Drawing("net", "nothing", (), ())))


def test_same_bytes_with_any_hash_seed() -> None:
    script = (
        "from caffe2neon.report.drawing import *\n"
        "layers = tuple(Layer(f'l{i}', 'T') for i in range(12))\n"
        "edges = tuple((a, b) for a in range(12) for b in range(a + 1, 12) if (a * b) % 3 == 1)\n"
        "import hashlib; print(hashlib.sha256(draw(Drawing('n', 's', layers, edges))).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(digests) == 1
