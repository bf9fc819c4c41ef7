"""Training nets as nets that compute: against real Caffe's recordings, by rule, and in the real neon."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon.caffe import deploy, read_net, read_weights
from caffe2neon.engines import open_caffe, open_neon
from caffe2neon.errors import GraphError, UnsupportedError, UsageError
from caffe2neon.records import Array, CaffeNet, Loss, Preprocess
from caffe2neon.single import NetOptions, convert_files, lay_out_net, load_net
from tests.conftest import shared
from tests.golden import case

#: max |difference| / max(1, max |reference|): the project's tolerance
TOLERANCE = 1e-5

FC = 'inner_product_param { num_output: 3 } type: "InnerProduct"'
DATA = 'layer { name: "d" type: "Data" top: "data" top: "label" transform_param { crop_size: 5 } data_param { batch_size: 7 } }'


def read(text: str, folder: Path, *, phase: str = "TEST", **options: Any) -> CaffeNet:
    path = folder / "net.prototxt"
    path.write_text(text)
    return deploy(read_net(path, phase=phase), train=phase == "TRAIN", **options)


def layers(net: CaffeNet) -> list[tuple[str, str]]:
    return [(layer.name, layer.type) for layer in net.layers]


def input_shapes(net: CaffeNet) -> dict[str, list[int]]:
    first = net.layers[0].param
    assert first.type == "Input"
    return {top: list(shape.dim) for top, shape in zip(first.top, first.input_param.shape, strict=True)}


def softmax(x: Array) -> Array:
    powers = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def error(got: Array, wanted: Array) -> float:
    assert got.shape == wanted.shape
    return float(np.abs(got - wanted).max() / max(1.0, np.abs(wanted).max()))


def test_a_net_without_a_loss_is_said_to_have_no_cost(tmp_path: Path) -> None:
    text = 'input: "x" input_dim: [1, 2, 3, 4] layer { name: "r" type: "ReLU" bottom: "x" top: "r" }'
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    (note,) = deploy(read_net(path, phase="TRAIN"), train=True).notes
    assert "has no loss, so the model has no cost" in note
    assert deploy(read_net(path)).notes == ()


# ---- recorded training nets, with weights


@pytest.mark.parametrize(
    ("name", "logits", "output"),
    [
        ("aux_loss", "f", "f/prob"),
        ("exclude_mean_file", "f", "prob"),
        ("lenet_train_val", "ip2", "prob"),
        ("mean_value_crop", "fc", "prob"),
        ("v1_train_val", "ip", "prob"),
    ],
)
def test_recorded_training_nets(name: str, logits: str, output: str, tmp_path: Path) -> None:
    """Every blob that Caffe recorded and neon computes, and the softmax of what the loss reads."""
    folder = case(f"phases/{name}")[1]
    recorded = np.load(folder / "io.npz")
    options = NetOptions(shape=recorded["blob:data"].shape[1:])
    prm = tmp_path / "net.prm"
    model, _ = convert_files(folder / "train_val.prototxt", folder / "net.caffemodel", prm, options=options)
    newest = {key.partition("#")[0]: layer for key, layer in model.meta["trace"]}
    engine = open_neon(prm, engine="embedded")
    (input_name,) = engine.inputs
    results = engine.run({input_name: recorded["blob:data"]}, taps=[*newest.values()])
    compared = [blob for blob in newest if f"blob:{blob}" in recorded.files]
    assert logits in compared
    for blob in compared:
        assert error(results[newest[blob]].reshape(recorded[f"blob:{blob}"].shape), recorded[f"blob:{blob}"]) <= TOLERANCE, blob
    assert model.meta["outputs"] == [output]
    assert error(results[engine.outputs[0]], softmax(recorded[f"blob:{logits}"])) <= TOLERANCE


@pytest.mark.parametrize(
    ("head", "logits"), [("aux/loss", "aux/f"), ("aux/loss1", "aux/f"), ("aux/f", "aux/f"), ("aux/f/prob", "aux/f"), ("loss3", "f")]
)
def test_head_by_loss_by_its_top_by_prediction_and_by_blob(head: str, logits: str) -> None:
    folder = case("phases/aux_loss")[1]
    net = load_net(folder / "train_val.prototxt", NetOptions(shape=(3, 11, 11), head=head))
    recorded = np.load(folder / "io.npz")
    engine = open_caffe(net, read_weights(folder / "net.caffemodel"), engine="embedded", batch=2)
    assert engine.outputs == (f"{logits}/prob",)
    result = engine.run({"data": recorded["blob:data"]})
    assert error(result[f"{logits}/prob"], softmax(recorded[f"blob:{logits}"])) <= TOLERANCE


@pytest.mark.parametrize("blob", ["aux/p", "c2", "f"])
def test_cut_at_an_inner_blob(blob: str) -> None:
    folder = case("phases/aux_loss")[1]
    net = load_net(folder / "train_val.prototxt", NetOptions(shape=(3, 11, 11), cut=blob))
    recorded = np.load(folder / "io.npz")
    engine = open_caffe(net, read_weights(folder / "net.caffemodel"), engine="embedded", batch=2)
    (output,) = engine.outputs
    assert output.partition("#")[0] == blob  # c2 is overwritten in place; its newest version counts
    assert error(engine.run({"data": recorded["blob:data"]})[output], recorded[f"blob:{blob}"]) <= TOLERANCE


def test_heads_and_costs_pair_in_order(tmp_path: Path) -> None:
    folder = case("phases/aux_loss")[1]
    options = NetOptions(phase="TRAIN", shape=(3, 11, 11))
    model, _ = convert_files(folder / "train_val.prototxt", folder / "net.caffemodel", tmp_path / "n.prm", options=options)
    assert model.root.kind == "SingleOutputTree"
    assert model.meta["outputs"] == ["f/prob", "aux/f/prob"]
    cost = model.header["cost"]
    assert cost["type"] == "neon.layers.container.Multicost"
    assert [each["config"]["name"] for each in cost["config"]["costs"]] == ["loss", "aux/loss"]
    assert cost["config"]["weights"] == [1.0, 0.3]
    functions = [each["config"]["costfunc"] for each in cost["config"]["costs"]]
    assert functions == [
        {"type": "neon.transforms.cost.CrossEntropyMulti", "config": {}},
        {"type": "neon.transforms.cost.CrossEntropyMulti", "config": {"scale": 0.3}},
    ]


# ---- data layers


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ('type: "Data" transform_param { crop_size: 5 } data_param { batch_size: 7 }', [7, 3, 5, 5]),
        ('type: "Data" transform_param { crop_size: 5 force_gray: true }', [1, 1, 5, 5]),
        ('type: "WindowData" transform_param { crop_size: 5 } window_data_param { batch_size: 2 }', [2, 3, 5, 5]),
        ('type: "ImageData" image_data_param { batch_size: 2 new_height: 6 new_width: 8 }', [2, 3, 6, 8]),
        ('type: "ImageData" image_data_param { new_height: 6 new_width: 8 is_color: false }', [1, 1, 6, 8]),
        ('type: "ImageData" image_data_param { new_height: 6 new_width: 8 } transform_param { crop_size: 4 }', [1, 3, 4, 4]),
        ('type: "MemoryData" memory_data_param { batch_size: 3 channels: 2 height: 4 width: 5 }', [3, 2, 4, 5]),
        ('type: "MemoryData" memory_data_param { channels: 2 height: 4 width: 5 } transform_param { crop_size: 3 }', [1, 2, 3, 3]),
        ('type: "DummyData" dummy_data_param { shape { dim: 2 dim: 4 } }', [2, 4]),
        ('type: "DummyData" dummy_data_param { num: 2 channels: [3, 1] height: 4 width: [5, 1] }', [2, 3, 4, 5]),
    ],
)
def test_shapes_that_data_layers_say(layer: str, shape: list[int], tmp_path: Path) -> None:
    text = f'layer {{ name: "d" top: "data" top: "label" {layer} }} layer {{ name: "f" bottom: "data" top: "f" {FC} }}'
    net = read(text, tmp_path)
    assert input_shapes(net) == {"data": shape}
    assert layers(net) == [("d", "Input"), ("f", "InnerProduct")]


@pytest.mark.parametrize("kind", ["Data", "ImageData", "HDF5Data", "WindowData"])
def test_shapes_that_must_be_given(kind: str, tmp_path: Path) -> None:
    text = f'layer {{ name: "d" type: "{kind}" top: "x" top: "y" }}\nlayer {{ name: "f" bottom: "x" top: "f" {FC} }}'
    with pytest.raises(GraphError, match="does not say the shape of 'x'") as caught:
        read(text, tmp_path)
    assert "--input" in caught.value.remedy
    assert (caught.value.where.layer, caught.value.where.layer_type, caught.value.where.line) == ("d", kind, 1)
    assert input_shapes(read(text, tmp_path, shape=(2, 3, 4))) == {"x": [1, 2, 3, 4]}


@pytest.mark.parametrize("kind", ["Data", "ImageData", "MemoryData", "WindowData"])
def test_labels_that_the_net_reads_are_one_an_example(kind: str, tmp_path: Path) -> None:
    text = (
        f'layer {{ name: "d" type: "{kind}" top: "x" top: "y" }} layer {{ name: "f" bottom: "x" top: "f" {FC} }}'
        'layer { name: "t" type: "Tile" bottom: "y" top: "t" tile_param { axis: 0 tiles: 2 } }'
    )
    assert input_shapes(read(text, tmp_path, shape=(2, 3, 4))) == {"x": [1, 2, 3, 4], "y": [1]}


def test_a_second_top_of_hdf5_data_has_any_shape(tmp_path: Path) -> None:
    text = (
        'layer { name: "d" type: "HDF5Data" top: "x" top: "y" }'
        'layer { name: "e" type: "Eltwise" bottom: "x" bottom: "y" top: "e" }'
    )
    with pytest.raises(GraphError, match="does not say the shape of 'y'"):
        read(text, tmp_path, shape=(2, 3, 4))


@pytest.mark.parametrize("tops", ["", 'top: "label"', 'top: "label" top: "more"'])
def test_data_layers_of_which_nothing_is_read_go(tops: str, tmp_path: Path) -> None:
    text = f'layer {{ name: "l" type: "HDF5Data" {tops} }} {DATA} layer {{ name: "f" bottom: "data" top: "f" {FC} }}'
    text = text.replace('top: "data" top: "label"', 'top: "data"')
    net = read(text, tmp_path)
    assert layers(net) == [("d", "Input"), ("f", "InnerProduct")]
    assert input_shapes(net) == {"data": [7, 3, 5, 5]}


def test_a_label_source_of_its_own_needs_no_shape(tmp_path: Path) -> None:
    text = (
        'layer { name: "y" type: "HDF5Data" top: "label" } layer { name: "x" type: "HDF5Data" top: "data" }'
        f'layer {{ name: "f" bottom: "data" top: "f" {FC} }}'
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "label" top: "loss" }'
    )
    assert input_shapes(read(text, tmp_path, shape=(4,))) == {"data": [1, 4]}


def test_swallowed_labels_need_no_input(tmp_path: Path) -> None:
    text = (
        f'{DATA} layer {{ name: "f" bottom: "data" top: "f" {FC} }} layer {{ name: "s" type: "Silence" bottom: "label" }}'
        f'layer {{ name: "g" bottom: "data" top: "g" {FC} }} layer {{ name: "t" type: "Silence" bottom: "g" }}'
    )
    net = read(text, tmp_path)
    assert input_shapes(net) == {"data": [7, 3, 5, 5]}
    assert [name for name, _ in layers(net)] == ["d", "f", "g", "t"]
    assert lay_out_net(net).graph.outputs[0].name == "f"


def test_a_shape_that_is_given_replaces_what_the_net_says(tmp_path: Path) -> None:
    text = f'{DATA} layer {{ name: "f" bottom: "data" top: "f" {FC} }}'
    assert input_shapes(read(text, tmp_path, shape=(1, 2, 9))) == {"data": [7, 1, 2, 9]}
    text = f'input: "data" input_dim: [4, 3, 5, 5] layer {{ name: "f" bottom: "data" top: "f" {FC} }}'
    assert input_shapes(read(text, tmp_path, shape=(1, 2, 9))) == {"data": [4, 1, 2, 9]}


def test_a_given_shape_is_the_first_sources_alone(tmp_path: Path) -> None:
    text = (
        'layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 1 dim: 2 } } }'
        'layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 1 dim: 2 } } }'
        'layer { name: "e" type: "Concat" bottom: "a" bottom: "b" top: "e" }'
    )
    net = read(text, tmp_path, shape=(5,))
    assert [list(layer.param.input_param.shape[0].dim) for layer in net.layers[:2]] == [[1, 5], [1, 2]]


def test_a_net_without_any_source_gets_one(tmp_path: Path) -> None:
    text = f'layer {{ name: "f" bottom: "image" top: "f" {FC} }}'
    assert input_shapes(read(text, tmp_path, shape=(3, 4, 4))) == {"image": [1, 3, 4, 4]}
    with pytest.raises(GraphError, match="nothing brings 'image'") as caught:
        read(text, tmp_path)
    assert "--input" in caught.value.remedy
    assert "--stage" in caught.value.remedy


@pytest.mark.parametrize("stages", [(), ("test-on-test",)])
def test_the_autoencoder_whose_test_data_have_stages(stages: tuple[str, ...]) -> None:
    path = shared("prototxt", "mnist", "mnist_autoencoder.prototxt")
    net = load_net(path, NetOptions(stages=stages, shape=(1, 28, 28)))
    assert lay_out_net(net).graph.outputs[0].name == "decode1neuron"
    trained = load_net(path, NetOptions(phase="TRAIN", shape=(1, 28, 28)))
    assert trained.losses == (Loss("loss", "decode1neuron", "CrossEntropyBinary", 1.0, "flatdata"),)
    assert any("'flatdata'" in note for note in trained.notes)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            'type: "Data" transform_param { crop_size: 5 mean_value: [104, 117, 123] scale: 0.017 mirror: true }',
            Preprocess("BGR", None, (5, 5), (104.0, 117.0, 123.0), 0.017),
        ),
        (
            'type: "ImageData" image_data_param { new_height: 6 new_width: 8 } transform_param { crop_size: 4 mean_value: 1 }',
            Preprocess("BGR", (6, 8), (4, 4), (1.0,), 1.0),
        ),
        ('type: "MemoryData" memory_data_param { channels: 1 height: 5 width: 5 } transform_param { }', Preprocess("GRAY")),
        ('type: "Data" transform_param { crop_size: 5 force_gray: true }', Preprocess("GRAY", None, (5, 5))),
        ('type: "HDF5Data"', None),
    ],
)
def test_preprocessing_is_recorded(layer: str, expected: Preprocess | None, tmp_path: Path) -> None:
    text = f'layer {{ name: "d" top: "data" {layer} }} layer {{ name: "f" bottom: "data" top: "f" {FC} }}'
    shape = (3, 5, 5) if "HDF5" in layer else None
    assert read(text, tmp_path, shape=shape).preprocess == expected


def test_a_mean_image_is_noted(tmp_path: Path) -> None:
    data = DATA.replace("crop_size: 5", 'crop_size: 5 mean_file: "a/b/m.bp"')
    text = f'{data} layer {{ name: "f" bottom: "data" top: "f" {FC} }}'
    (note,) = read(text, tmp_path).notes
    assert note == "d: subtracts the mean image m.bp, which is not in the model"


def test_a_net_that_computes_already_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(f'input: "x" input_dim: [1, 3, 4, 4] layer {{ name: "f" bottom: "x" top: "f" {FC} }}')
    net = read_net(path)
    assert deploy(net) is net


# ---- losses


def trained(losses: str, tmp_path: Path, phase: str = "TEST", **options: Any) -> CaffeNet:
    """Two predictions, f and g, and these losses."""
    body = "".join(f'layer {{ name: "{name}" bottom: "data" top: "{name}" {FC} }}' for name in "fg")
    return read(DATA + body + losses, tmp_path, phase=phase, **options)


def loss(kind: str, prediction: str = "f", target: str = "label", more: str = "", name: str = "loss") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{prediction}" bottom: "{target}" top: "{name}" {more} }}'


@pytest.mark.parametrize(
    ("kind", "function", "cost"),
    [
        ("SoftmaxWithLoss", "Softmax", "CrossEntropyMulti"),
        ("SigmoidCrossEntropyLoss", "Sigmoid", "CrossEntropyBinary"),
        ("EuclideanLoss", "", "SumSquared"),
        ("HingeLoss", "", ""),
        ("InfogainLoss", "Softmax", ""),
        ("MultinomialLogisticLoss", "", ""),
        ("ContrastiveLoss", "", ""),
    ],
)
def test_each_loss(kind: str, function: str, cost: str, tmp_path: Path) -> None:
    net = trained(loss(kind), tmp_path)
    assert layers(net)[1:] == [("f", "InnerProduct")] + ([("prob", function)] if function else [])
    if cost:
        net = trained(loss(kind), tmp_path, "TRAIN")
        assert net.losses == (Loss("loss", "prob" if function else "f", cost, 1.0, "label"),)
    else:
        with pytest.raises(UnsupportedError, match="neon has no cost that equals this loss"):
            trained(loss(kind), tmp_path, "TRAIN")


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("SoftmaxWithLoss", "loss_param { ignore_label: 255 }", "ignores a label"),
        ("SoftmaxWithLoss", "loss_param { normalization: NONE }", "not divided by the batch size"),
        ("SoftmaxWithLoss", "loss_param { normalization: FULL }", ""),
        ("SigmoidCrossEntropyLoss", "loss_param { normalization: VALID }", "divided by the number of all values"),
        ("SigmoidCrossEntropyLoss", "loss_param { normalize: true }", "divided by the number of all values"),
        ("SigmoidCrossEntropyLoss", "loss_param { normalize: false }", ""),
        ("SigmoidCrossEntropyLoss", "loss_param { normalization: BATCH_SIZE }", ""),
        ("EuclideanLoss", "loss_weight: 2", "has a weight of 2"),
        ("EuclideanLoss", "loss_param { normalization: NONE }", ""),
    ],
)
def test_conditions_of_costs(kind: str, more: str, words: str, tmp_path: Path) -> None:
    assert trained(loss(kind, more=more), tmp_path).layers  # what computes has no such conditions
    if not words:
        assert trained(loss(kind, more=more), tmp_path, "TRAIN").losses
        return
    with pytest.raises(UnsupportedError, match=words) as caught:
        trained(loss(kind, more=more), tmp_path, "TRAIN")
    (finding,) = caught.value.findings
    assert (finding.where.layer, finding.where.layer_type) == ("loss", kind)


def test_two_learned_sides(tmp_path: Path) -> None:
    assert layers(trained(loss("EuclideanLoss", "f", "g"), tmp_path))[1:] == [("f", "InnerProduct")]
    with pytest.raises(UnsupportedError, match="compares two values that the net computes"):
        trained(loss("EuclideanLoss", "f", "g"), tmp_path, "TRAIN")


def test_the_prediction_may_come_second_where_both_sides_are_alike(tmp_path: Path) -> None:
    (found,) = trained(loss("EuclideanLoss", "label", "f"), tmp_path, "TRAIN").losses
    assert found == Loss("loss", "f", "SumSquared", 1.0, "label")


def test_a_loss_of_weight_zero_is_a_metric(tmp_path: Path) -> None:
    text = loss("SoftmaxWithLoss", "f") + loss("EuclideanLoss", "g", more="loss_weight: 0", name="metric")
    assert layers(trained(text, tmp_path))[1:] == [("f", "InnerProduct"), ("prob", "Softmax")]
    assert [each.layer for each in trained(text, tmp_path, "TRAIN").losses] == ["loss"]


@pytest.mark.parametrize(("weights", "kept"), [((1, 0.3), "f"), ((0.3, 1), "g"), ((1, 1), "g"), ((0.5, 0.5), "g")])
def test_of_several_losses_the_heaviest_is_the_output(weights: tuple[float, float], kept: str, tmp_path: Path) -> None:
    text = "".join(
        loss("SoftmaxWithLoss", name, more=f"loss_weight: {weight}", name=f"{name}loss")
        for name, weight in zip("fg", weights, strict=True)
    )
    net = trained(text, tmp_path)
    assert layers(net)[1:] == [(kept, "InnerProduct"), (f"{kept}/prob", "Softmax")]
    (note,) = net.notes
    assert "--head" in note
    both = trained(text, tmp_path, "TRAIN")
    assert [(each.output, each.weight) for each in both.losses] == [("f/prob", weights[0]), ("g/prob", weights[1])]


def test_a_function_that_the_net_computes_already_is_used(tmp_path: Path) -> None:
    text = loss("SoftmaxWithLoss") + 'layer { name: "s" type: "Softmax" bottom: "f" top: "out" }'
    assert layers(trained(text, tmp_path))[1:] == [("f", "InnerProduct"), ("s", "Softmax")]
    other = loss("SoftmaxWithLoss") + 'layer { name: "s" type: "Softmax" bottom: "f" top: "out" softmax_param { axis: 0 } }'
    assert layers(trained(other, tmp_path))[1:] == [("f", "InnerProduct"), ("prob", "Softmax")]


def test_a_softmax_in_place_before_the_loss_is_not_the_losss_own(tmp_path: Path) -> None:
    text = 'layer { name: "s" type: "Softmax" bottom: "f" top: "f" }' + loss("SoftmaxWithLoss")
    assert layers(trained(text, tmp_path))[1:] == [("f", "InnerProduct"), ("s", "Softmax"), ("prob", "Softmax")]


@pytest.mark.parametrize("more", ['top: "prob"', "loss_weight: 1 loss_weight: 0"])
@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_a_second_top_of_a_loss_is_refused_as_caffe_does(tmp_path: Path, more: str, phase: str) -> None:
    text = (
        'layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }\n'
        f'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "loss" {more} }}'
    )
    (tmp_path / "net.prototxt").write_text(text)
    with pytest.raises(GraphError, match="loss_weight"):
        load_net(tmp_path / "net.prototxt", NetOptions(phase=phase))


def test_two_losses_of_one_prediction_share_its_function(tmp_path: Path) -> None:
    text = loss("SoftmaxWithLoss", name="a") + loss("InfogainLoss", name="b") + loss("SigmoidCrossEntropyLoss", name="c")
    net = trained(text, tmp_path, head="c")
    assert layers(net)[1:] == [("f", "InnerProduct"), ("f/sigmoid", "Sigmoid")]
    assert layers(trained(text, tmp_path, head="b"))[1:] == [("f", "InnerProduct"), ("f/prob", "Softmax")]


def test_names_that_are_taken_are_avoided(tmp_path: Path) -> None:
    text = 'layer { name: "prob" type: "ReLU" bottom: "g" top: "f/prob" }' + loss("SoftmaxWithLoss")
    assert layers(trained(text, tmp_path))[-1] == ("f/softmax", "Softmax")


def test_softmax_keeps_its_axis(tmp_path: Path) -> None:
    net = trained(loss("SoftmaxWithLoss", more="softmax_param { axis: 1 }"), tmp_path)
    assert net.layers[-1].param.softmax_param.HasField("axis")


def test_a_loss_over_maps_is_refused_but_can_be_cut_off(tmp_path: Path) -> None:
    score = 'type: "Convolution" bottom: "data" top: "score" convolution_param { num_output: 2 kernel_size: 1 }'
    text = f'{DATA} layer {{ name: "score" {score} }}\n' + loss("SoftmaxWithLoss", "score")
    with pytest.raises(UnsupportedError, match="works along axis 1") as caught:
        lay_out_net(read(text, tmp_path))
    assert caught.value.findings[0].where.line == 2
    assert lay_out_net(read(text, tmp_path, cut="score")).graph.outputs[0].name == "score"


def test_layers_that_count_as_a_loss_themselves(tmp_path: Path) -> None:
    text = loss("SoftmaxWithLoss") + 'layer { name: "r" type: "Reduction" bottom: "g" top: "r" loss_weight: 0.5 }'
    assert layers(trained(text, tmp_path))[1:] == [("f", "InnerProduct"), ("prob", "Softmax")]
    with pytest.raises(UnsupportedError, match="counts as a loss itself"):
        trained(text, tmp_path, "TRAIN")


def test_all_losses_without_a_cost_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        trained(loss("HingeLoss", name="a") + loss("InfogainLoss", "g", name="b"), tmp_path, "TRAIN")
    assert [finding.where.layer for finding in caught.value.findings] == ["a", "b"]


@pytest.mark.parametrize("option", ["head", "cut"])
def test_a_blob_that_is_not_there(option: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="the net has no blob 'nope'"):
        trained(loss("SoftmaxWithLoss"), tmp_path, **{option: "nope"})


@pytest.mark.parametrize(("phase", "options"), [("TRAIN", {}), ("TEST", {"head": "g"})], ids=["train", "head"])
def test_a_cut_takes_no_head_and_no_losses(phase: str, options: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--cut f ends the net"):
        trained(loss("SoftmaxWithLoss"), tmp_path, phase, cut="f", **options)


def test_a_head_that_nothing_would_train(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no loss judges 'g'"):
        trained(loss("SoftmaxWithLoss"), tmp_path, "TRAIN", head="g")


def test_accuracy_goes(tmp_path: Path) -> None:
    net = trained('layer { name: "a" type: "Accuracy" bottom: "f" bottom: "label" top: "a" }', tmp_path)
    assert layers(net) == [("d", "Input"), ("f", "InnerProduct"), ("g", "InnerProduct")]


# ---- in the real neon


@pytest.mark.neon
def test_the_bundled_training_net_trains(neon_python: str, tmp_path: Path) -> None:
    """neon's cost is Caffe's loss, and an epoch on classes renamed brings it down: to less than a fifth."""
    bundled = Path(str(resources.files("caffe2neon").joinpath("bundled", "digits")))
    options = NetOptions(phase="TRAIN", shape=(1, 8, 8))
    prm = tmp_path / "digits.prm"
    convert_files(bundled / "digits_train_val.prototxt", bundled / "digits.caffemodel", prm, options=options)
    held_out = np.load(bundled / "digits_heldout.npz")
    x = (held_out["images"].reshape(360, 64).astype(np.float32) - 8) * np.float32(0.125)
    y = (held_out["labels"].astype(np.int32) + 1) % 10
    np.savez(tmp_path / "data.npz", x=x, y=y, shape=(1, 8, 8))
    worker = Path(__file__).with_name("neon_train_worker.py")
    result = tmp_path / "result.json"
    arguments = [neon_python, worker, prm, tmp_path / "data.npz", "40", "0.005", result]
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    costs = json.loads(result.read_text())
    net = load_net(bundled / "digits_train_val.prototxt", NetOptions(shape=(1, 8, 8), cut="ip2"))
    engine = open_caffe(net, read_weights(bundled / "digits.caffemodel"), engine="embedded", batch=40)
    scores = engine.run({"data": x.reshape(360, 1, 8, 8)})["ip2"].astype(np.float64)
    caffe_loss = float(np.mean(np.log(np.exp(scores).sum(axis=1)) - scores[range(360), y]))
    assert abs(costs["before"] - caffe_loss) <= 1e-4 * caffe_loss
    assert costs["after"] < costs["before"] / 5


@pytest.mark.neon
def test_googlenet_with_three_losses(neon_python: str, tmp_path: Path) -> None:  # noqa: ARG001 found in the environment
    prototxt = shared("prototxt", "bvlc_googlenet", "train_val.prototxt")
    weights, prm = tmp_path / "weights.caffemodel", tmp_path / "net.prm"
    script = Path(__file__).resolve().parents[2] / "scripts" / "generate_weights.py"
    subprocess.run([sys.executable, str(script), str(prototxt), str(weights), "--phase", "train"], check=True)
    model, _ = convert_files(prototxt, weights, prm, options=NetOptions(phase="TRAIN"))
    assert model.header["cost"]["config"]["weights"] == [1.0, 0.3, 0.3]
    x = np.random.default_rng(0).uniform(-100, 150, (1, 3, 224, 224)).astype(np.float32)
    neon = open_neon(prm, engine="neon")
    (name,) = neon.inputs
    got = neon.run({name: x})[neon.outputs[0]]
    caffe = open_caffe(load_net(prototxt), read_weights(weights), engine="embedded", batch=1)
    wanted = caffe.run({"data": x})["loss3/classifier/prob"]
    assert error(got, wanted) <= TOLERANCE
