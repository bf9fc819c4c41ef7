"""Nets and models as drawings: every layer, every edge, whatever the file."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import pytest

from caffe2neon import picture
from caffe2neon.caffe import read_net
from caffe2neon.errors import UsageError
from caffe2neon.inspection import inspect_file
from caffe2neon.neon import read_prm
from caffe2neon.picture import draw_file
from caffe2neon.report.drawing import Drawing, draw
from tests.conftest import SHARED, shared

DIGITS = Path(str(resources.files("caffe2neon").joinpath("bundled", "digits")))


def files(*pattern: str) -> list[str]:
    root = SHARED / pattern[0]
    return sorted(path.relative_to(SHARED).as_posix() for path in root.glob(pattern[1])) or ["missing"]


def caffe(path: Path, phase: str = "TEST") -> Drawing:
    return picture._caffe_drawing(read_net(path, phase=phase), inspect_file(path, phase=phase), path.stem)


def neon(path: Path) -> Drawing:
    return picture._neon_drawing(read_prm(path), inspect_file(path), path.stem)


def named_edges(drawing: Drawing) -> set[tuple[str, str]]:
    return {(drawing.layers[tail].name, drawing.layers[head].name) for tail, head in drawing.edges}


def net(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", [name for name in files("prototxt", "**/*.prototxt") if "ResNet-1" not in name])
@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_every_public_net_is_drawn_whole(name: str, phase: str) -> None:
    path = shared(name)
    drawing = caffe(path, phase)
    assert [layer.name for layer in drawing.layers if layer.type != "missing"].count("") == 0
    wanted = {layer.name for layer in read_net(path, phase=phase).layers}
    assert wanted <= {layer.name for layer in drawing.layers}
    ElementTree.fromstring(draw(drawing))


@pytest.mark.parametrize("name", files("golden", "neon/*.prm"))
def test_every_recorded_model_is_drawn(name: str) -> None:
    path = shared(name)
    drawing = neon(path)
    ElementTree.fromstring(draw(drawing))
    kinds = [node.kind for node in read_prm(path).root.walk() if node.kind not in ("BranchNode", "SkipNode")]
    drawn = [layer for layer in drawing.layers if layer.type not in ("Input", "SkipNode") and layer.family != "join"]
    assert len([layer for layer in drawn if not re.match("cost$|weight ", layer.name)]) == len(kinds)


def test_googlenet_joins() -> None:
    drawing = caffe(shared("prototxt", "bvlc_googlenet", "deploy.prototxt"))
    joins = [layer.name for layer in drawing.layers if layer.family == "join"]
    assert len(joins) == 9
    edges = named_edges(drawing)
    arms = {tail for tail, head in edges if head == "inception_3a/output"}
    assert arms == {f"inception_3a/relu_{arm}" for arm in ("1x1", "3x3", "5x5", "pool_proj")}
    assert {head for tail, head in edges if tail == "pool2/3x3_s2"} == {
        f"inception_3a/{arm}" for arm in ("1x1", "3x3_reduce", "5x5_reduce", "pool")
    }


def test_in_place_layers_follow_each_other(tmp_path: Path) -> None:
    text = """
    input: "x" input_shape { dim: 1 dim: 2 dim: 4 dim: 4 }
    layer { name: "one" type: "ReLU" bottom: "x" top: "x" }
    layer { name: "two" type: "Dropout" bottom: "x" top: "x" dropout_param { dropout_ratio: 0.25 } }
    layer { name: "sum" type: "Eltwise" bottom: "x" bottom: "x" top: "y" eltwise_param { operation: MAX } }
    """
    drawing = caffe(net(tmp_path, text))
    assert [(drawing.layers[a].name, drawing.layers[b].name) for a, b in drawing.edges][1:] == [("one", "two"), ("two", "sum")]
    assert [layer.heading for layer in drawing.layers[1:]] == ["ReLU", "Dropout 0.25", "Eltwise MAX"]


def test_windows_in_words(tmp_path: Path) -> None:
    text = """
    input: "x" input_shape { dim: 1 dim: 4 dim: 32 dim: 32 }
    layer { name: "c" type: "Convolution" bottom: "x" top: "c"
      convolution_param { num_output: 4 kernel_h: 3 kernel_w: 1 stride: 2 pad_h: 1 pad_w: 0 dilation: 2 group: 4 } }
    layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE global_pooling: true } }
    """
    drawing = caffe(net(tmp_path, text))
    convolution, pooling = drawing.layers[1:]
    assert convolution.heading == "Convolution 3×1 /2 d2 g4"
    assert convolution.facts[:2] == ("kernel 3×1, stride 2, pad 1×0, dilation 2", "4 groups")
    assert (pooling.heading, pooling.shape) == ("Pooling AVE global", "4×1×1")


def test_labels_stand_beside_each_loss() -> None:
    drawing = caffe(DIGITS / "digits_train_val.prototxt", "TRAIN")
    (loss,) = (index for index, layer in enumerate(drawing.layers) if layer.type == "SoftmaxWithLoss")
    assert "label" in {drawing.layers[tail].name for tail, head in drawing.edges if head == loss}


def test_a_blob_that_nobody_makes_is_shown(tmp_path: Path) -> None:
    drawing = caffe(net(tmp_path, 'layer { name: "r" type: "ReLU" bottom: "nowhere" top: "y" }'))
    assert [(layer.name, layer.type) for layer in drawing.layers] == [("nowhere", "missing"), ("r", "ReLU")]


def test_tree_with_costs() -> None:
    drawing = neon(shared("golden", "neon", "live_tree.prm"))
    edges = named_edges(drawing)
    assert {head for tail, head in edges if tail == "Convolution_0_Rectlin"} == {"Linear_0", "Linear_1"}
    assert ("Linear_0_Softmax", "weight 1") in edges
    assert ("Linear_1_Softmax", "weight 0.5") in edges


def test_a_skip_arm_is_a_line() -> None:
    drawing = neon(shared("golden", "neon", "merge_skip_dense.prm"))
    for join in (index for index, layer in enumerate(drawing.layers) if layer.family == "join"):
        tails = {tail for tail, head in drawing.edges if head == join}
        # the arm's end and the fork itself, which the arm's first layer reads too
        assert any(sum(other == tail for other, _ in drawing.edges) > 1 for tail in tails)


def test_no_absolute_path_is_drawn(tmp_path: Path) -> None:
    path = net(tmp_path, (DIGITS / "digits.prototxt").read_text())
    assert str(tmp_path).encode() not in draw_file(path)


def test_text_stays_in_its_box() -> None:
    svg = draw_file(shared("prototxt", "bvlc_googlenet", "deploy.prototxt")).decode()
    outlines = [tuple(map(float, box)) for box in re.findall(r'class="foot" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg)]
    lefts = {x for x, _ in outlines}
    (size,) = {width for _, width in outlines}
    texts = re.findall(r'<text class="(heading|small)" x="([\d.]+)" y="([\d.]+)">([^<]*)</text>', svg)
    inside = [(float(x), text, 12 if kind == "heading" else 11) for kind, x, y, text in texts if float(y) > 130]
    assert len(inside) > 200
    for x, text, font in inside:
        assert any(x == pytest.approx(left + 10, abs=0.11) and 10 + len(text) * 0.602 * font <= size for left in lefts), text


def test_a_caffemodel_cannot_be_drawn() -> None:
    with pytest.raises(UsageError, match="drawn from its prototxt"):
        draw_file(DIGITS / "digits.caffemodel")
