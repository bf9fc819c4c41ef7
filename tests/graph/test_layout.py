"""Passes, regions by dominance, and which chain is the trunk, on nets made by hand."""

from __future__ import annotations

import pytest

from caffe2neon.errors import UnsupportedError
from caffe2neon.graph import build_graph, lay_out, simplify
from caffe2neon.records import Chain, Fork, Graph, Layout
from tests.nets import conv, data, layer, parse

DATA = data(1, 2, 8, 8)


def _simplified(*layers: str) -> Graph:
    return simplify(build_graph(parse(*layers)))


def _layout(*layers: str) -> Layout:
    return lay_out(_simplified(*layers))


def _show(chain: Chain) -> str:
    """``data: c1 [c2 | c3 r] j``: the arms of a fork in brackets, then its join; ``.`` for an arm without layers."""
    return f"{chain.source.key}: {_items(chain)}"


def _items(chain: Chain) -> str:
    shown = []
    for item in chain.items:
        if isinstance(item, Fork):
            assert all(arm.source == item.source for arm in item.arms)
            shown.append(f"[{' | '.join(_items(arm) for arm in item.arms)}] {item.join.layer.name}")
        else:
            shown.append(item.layer.name)
    return " ".join(shown) or "."


def test_a_chain() -> None:
    layout = _layout(DATA, conv("a", "data", 2), layer("r", "ReLU", "a", "a"), conv("b", "a", 2))
    assert _show(layout.trunk) == "data: a r b"
    assert layout.sides == ()


def test_an_explicit_split_is_no_node() -> None:
    split = layer("s", "Split", "a", "s1 s2")
    layout = _layout(DATA, conv("a", "data", 2), split, conv("b", "s1", 2), conv("c", "s2", 2), layer("j", "Concat", "b c"))
    assert _show(layout.trunk) == "data: a [b | c] j"


def test_a_top_of_a_split_that_nobody_reads_is_an_output_of_its_own_name() -> None:
    layout = _layout(DATA, conv("a", "data", 2), layer("s", "Split", "a", "s1 s2"), conv("b", "s1", 2))
    assert _show(layout.trunk) == "data: a b"
    assert [_show(side) for side in layout.sides] == ["a: s"]
    assert layout.sides[0].items[-1].tops[0].key == "s2"  # type: ignore[union-attr]


def test_silence_and_what_only_it_reads_are_gone() -> None:
    silence = 'layer { name: "quiet" type: "Silence" bottom: "b" }'
    graph = _simplified(DATA, conv("a", "data", 2), conv("b", "data", 2), silence)
    assert [node.layer.name for node in graph.nodes] == ["data", "a"]


def test_the_reference_of_a_crop_gives_no_values() -> None:
    layers = [DATA, data(1, 3, 4, 4, name="like"), conv("size", "like", 2), conv("a", "data", 2), layer("crop", "Crop", "a size")]
    graph = _simplified(*layers)
    assert [node.layer.name for node in graph.nodes] == ["data", "like", "a", "crop"]
    assert _show(lay_out(graph).trunk) == "data: a crop"


def test_each_top_of_a_slice_is_a_node() -> None:
    layers = [DATA, layer("s", "Slice", "data", "s1 s2"), conv("b", "s2", 2), layer("j", "Concat", "s1 b")]
    graph = _simplified(*layers)
    assert [[top.name for top in node.tops] for node in graph.nodes] == [["data"], ["s1"], ["s2"], ["b"], ["j"]]
    assert _show(lay_out(graph).trunk) == "data: [s | s b] j"


def test_an_input_that_forks_at_once() -> None:
    layout = _layout(DATA, conv("a", "data", 2), conv("b", "data", 2), layer("j", "Eltwise", "a b"), conv("e", "j", 2))
    assert _show(layout.trunk) == "data: [a | b] j e"


def test_an_identity_arm_and_the_order_of_arms() -> None:
    layout = _layout(DATA, conv("a", "data", 2), conv("b", "a", 2), layer("j", "Eltwise", "a b"), layer("k", "Eltwise", "b j"))
    assert _show(layout.trunk) == "data: a [b | [. | b] j] k"


def test_a_blob_joined_with_itself() -> None:
    assert _show(_layout(DATA, layer("j", "Eltwise", "data data")).trunk) == "data: [. | .] j"


def test_a_fork_inside_an_arm() -> None:
    layout = _layout(
        DATA,
        *[conv("a", "data", 2), conv("b", "a", 2), conv("c", "a", 2), layer("in", "Concat", "b c"), conv("d", "in", 2)],
        *[conv("e", "data", 2), layer("out", "Eltwise", "d e")],
    )
    assert _show(layout.trunk) == "data: [a [b | c] in d | e] out"


def test_an_arm_that_splits_at_its_end() -> None:
    """As in Inception v3: the arms share their first layers, and each gets them."""
    layers = [DATA, conv("p", "data", 2), conv("a", "p", 2), conv("b", "p", 2), conv("c", "data", 2), layer("j", "Concat", "a b c")]
    assert _show(_layout(*layers).trunk) == "data: [p a | p b | c] j"


def test_forks_that_cross_are_held_by_the_blob_that_dominates_them() -> None:
    layers = [
        *[DATA, conv("a", "data", 2), conv("b", "data", 2), layer("x", "Eltwise", "a b"), layer("y", "Concat", "b x")],
        layer("z", "Concat", "x y"),
    ]
    assert _show(_layout(*layers).trunk) == "data: [[a | b] x | [b | [a | b] x] y] z"


def test_a_chain_of_sums_and_of_concats_is_flat() -> None:
    layers, last = [DATA], "data"
    for i in range(30):
        layers += [conv(f"c{i}", last, 2), layer(f"j{i}", "Eltwise", f"{last} c{i}")]
        last = f"j{i}"
    assert _show(_layout(*layers).trunk) == "data: " + " ".join(f"[. | c{i}] j{i}" for i in range(30))


def test_skips_nest() -> None:
    """As in a U-Net."""
    layers = [DATA, conv("a", "data", 2), conv("b", "a", 2), conv("c", "b", 2), layer("u", "Concat", "b c"), conv("d", "u", 2)]
    layout = _layout(*layers, layer("v", "Concat", "a d"))
    assert _show(layout.trunk) == "data: a [. | b [. | c] u d] v"


def test_heads_leave_the_trunk_in_the_order_in_which_it_passes_them() -> None:
    layers = [
        *[DATA, conv("a", "data", 2), conv("b", "a", 2), conv("late", "b", 2), conv("early", "a", 2), conv("too", "b", 2)],
        layer("end", "Concat", "b b"),
    ]
    layout = _layout(*layers)
    assert _show(layout.trunk) == "data: a b [. | .] end"
    assert [_show(side) for side in layout.sides] == ["a: early", "b: late", "b: too"]


def test_the_main_output_is_the_one_whose_layer_comes_last() -> None:
    layout = _layout(DATA, conv("z", "data", 2), conv("a", "data", 2))
    assert _show(layout.trunk) == "data: a"
    assert [_show(side) for side in layout.sides] == ["data: z"]


def test_a_head_that_starts_inside_an_arm_starts_where_the_fork_does() -> None:
    layers = [DATA, conv("a", "data", 2), conv("b", "data", 2), conv("head", "b", 2), layer("j", "Eltwise", "a b")]
    layout = _layout(*layers)
    assert _show(layout.trunk) == "data: [a | b] j"
    assert [_show(side) for side in layout.sides] == ["data: b head"]


def test_values_of_two_inputs_are_refused_with_the_layer_that_joins_them() -> None:
    with pytest.raises(UnsupportedError, match="joins values of different inputs") as caught:
        _layout(DATA, data(1, 2, 8, 8, name="more"), conv("a", "more", 2), layer("j", "Eltwise", "data a"), conv("b", "j", 2))
    assert [finding.where.layer for finding in caught.value.findings] == ["j"]


def test_outputs_of_different_inputs_are_refused_with_their_names() -> None:
    with pytest.raises(UnsupportedError, match=r"depend on several inputs \(data, more\)"):
        _layout(DATA, data(1, 2, 8, 8, name="more"), conv("a", "more", 2), conv("b", "data", 2))


def test_an_input_that_no_output_needs_does_no_harm() -> None:
    assert _show(_layout(DATA, data(1, name="label"), conv("a", "data", 2)).trunk) == "data: a"


def test_a_net_of_inputs_alone_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no output but its inputs"):
        _layout(DATA)


def test_arms_that_repeat_each_other_without_end_are_refused_quickly() -> None:
    """A ladder: written as containers, which hold each arm on its own, it would double with every rung."""
    layers = [DATA, conv("a0", "data", 2), conv("b0", "data", 2)]
    for i in range(40):
        layers += [layer(f"a{i + 1}", "Eltwise", f"a{i} b{i}"), layer(f"j{i + 1}", "Concat", f"b{i} a{i}")]
        layers.append(conv(f"b{i + 1}", f"j{i + 1}", 2))
    with pytest.raises(UnsupportedError, match="arms share so many layers"):
        _layout(*layers)


def test_forks_nested_without_end_are_refused() -> None:
    layers, depth = [DATA], 400
    layers += [conv(f"c{i + 1}", "data" if i == 0 else f"c{i}", 2) for i in range(depth)]
    last = f"c{depth}"
    for i in reversed(range(1, depth)):
        layers.append(layer(f"j{i}", "Eltwise", f"c{i} {last}"))
        last = f"j{i}"
    with pytest.raises(UnsupportedError, match="nest so deep"):
        _layout(*layers)
