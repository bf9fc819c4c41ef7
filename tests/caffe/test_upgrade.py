"""Old formats in the newest form. The golden `upgraded.prototxt` were written by Caffe's own upgrade_net_proto_text."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from caffe2neon.caffe import read_net
from caffe2neon.caffe.caffe_pb2 import LayerParameter, V0LayerParameter, V1LayerParameter
from caffe2neon.caffe.text import parse_net
from caffe2neon.caffe.upgrade import upgrade
from caffe2neon.errors import ParseError
from caffe2neon.records import CaffeLayer
from tests.conftest import shared

FORMS = ["v0", "v1", "new", "double", "stripped"]


def upgraded(text: str) -> list[CaffeLayer]:
    return upgrade(parse_net(text.encode(), "net.prototxt"))[0]


def text_of(layers: Iterable[CaffeLayer]) -> list[str]:
    return [str(layer.param) for layer in layers]


def refuse(text: str) -> ParseError:
    with pytest.raises(ParseError) as caught:
        upgraded(text)
    return caught.value


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("net", ["alex", "inception"])
def test_every_form_upgrades_to_the_new_one(net: str, form: str) -> None:
    new = read_net(shared("golden", "caffe", "formats", f"{net}_new", "net.prototxt"))
    got = read_net(shared("golden", "caffe", "formats", f"{net}_{form}", "net.prototxt"))
    # The old forms of the net with a Concat have no `axis`, which came later; its old name means the same.
    assert [text.replace("concat_dim", "axis") for text in text_of(got.layers)] == text_of(new.layers)


@pytest.mark.parametrize(
    "folder", [f"formats/{net}_{form}" for net in ("alex", "inception") for form in FORMS] + ["phases/v1_train_val"]
)
@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_as_caffes_own_tool_upgrades(folder: str, phase: str) -> None:
    case = shared("golden", "caffe", *folder.split("/"))
    (source,) = (path for path in case.glob("*.prototxt") if path.name != "upgraded.prototxt")
    ours, theirs = read_net(source, phase=phase), read_net(case / "upgraded.prototxt", phase=phase)
    assert ours.name == theirs.name
    assert [layer.param for layer in ours.layers] == [layer.param for layer in theirs.layers]


@pytest.mark.parametrize("name", ["deploy.prototxt", "train_val.prototxt"])
@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_the_public_v1_googlenet_has_the_layers_of_the_new_one(name: str, phase: str) -> None:
    old = read_net(shared("prototxt", "v1", "bvlc_googlenet", name), phase=phase)
    new = read_net(shared("prototxt", "bvlc_googlenet", name), phase=phase)
    # Their inputs have other names, and in train_val two losses are called differently.
    assert [(layer.name, layer.type) for layer in old.layers[1:]] == [(layer.name, layer.type) for layer in new.layers[1:]]


# ---- V0

V0 = """input: "data"
input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
state { stage: "dropped" }
layers {
  layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "pad1"
}
layers { bottom: "pad1" top: "conv1" layer {
  name: "conv1" type: "conv" num_output: 4 kernelsize: 5 stride: 2 group: 1 biasterm: false weight_filler { type: "xavier" }
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 dropout_ratio: 0.3 } }
layers { bottom: "conv1" top: "pad2" layer { name: "pad2" type: "padding" pad: 1 } }
layers { bottom: "pad2" top: "pool1" layer { name: "pool1" type: "pool" pool: AVE kernelsize: 3 stride: 2 pad: 7 } }
layers { bottom: "pool1" top: "out" layer { name: "out" type: "tanh" } include { phase: TRAIN } }
"""


def test_v0_padding_goes_to_its_reader_and_lines_stay() -> None:
    data, conv, pool, out = upgraded(V0)
    assert (data.type, data.line) == ("Input", 1)
    assert [list(shape.dim) for shape in data.param.input_param.shape] == [[1, 3, 9, 9]]
    assert (conv.name, conv.type, conv.line, conv.bottoms, conv.tops) == ("conv1", "Convolution", 7, ("data",), ("conv1",))
    param = conv.param.convolution_param
    assert (list(param.pad), list(param.kernel_size), list(param.stride), param.group, param.bias_term) == ([2], [5], [2], 1, False)
    assert param.weight_filler.type == "xavier"
    assert not conv.param.HasField("dropout_param")
    assert [(spec.lr_mult, spec.decay_mult) for spec in conv.param.param] == [(1, 1), (2, 0)]
    assert (pool.line, pool.bottoms, pool.param.pooling_param.pool, pool.param.pooling_param.pad) == (11, ("conv1",), 1, 1)
    assert (out.type, out.line, len(out.param.include)) == ("TanH", 12, 0)


def test_v0_state_is_dropped() -> None:
    assert not upgrade(parse_net(V0.encode(), ""))[1].stage


@pytest.mark.parametrize("message", ["transform_param", "data_param"])
def test_v0_data(message: str) -> None:
    (layer,) = upgraded(
        "layers { top: 'd' layer { name: 'd' type: 'data' source: 's' meanfile: 'm' batchsize: 8 cropsize: 5 mirror: true"
        " scale: 0.5 } }"
    )
    assert layer.type == "Data"
    expected = {
        "transform_param": "scale: 0.5\nmirror: true\ncrop_size: 5\nmean_file: \"m\"\n",
        "data_param": "source: \"s\"\nbatch_size: 8\n",
    }
    assert str(getattr(layer.param, message)) == expected[message]


def test_v0_layer_without_its_inner_layer_keeps_blobs_only() -> None:
    first, second = upgraded("layers { top: 'a' layer { type: 'relu' } } layers { name: 'b' type: RELU bottom: 'a' top: 'b' }")
    assert first.type == "ReLU"
    assert text_of([second]) == ['bottom: "a"\ntop: "b"\n']


@pytest.mark.parametrize(
    ("bottom", "kind", "words"),
    [
        ("pad", "relu", "only a conv or pool layer can read a padding layer"),
        ("nope", "conv", "unknown bottom blob 'nope'"),
        ("pad' bottom: 'data", "conv", "has one bottom"),
        ("pad2", "conv", "must have one bottom and one top"),
        ("data", "softplus", "unknown V0 layer type 'softplus'"),
    ],
)
def test_v0_refused(bottom: str, kind: str, words: str) -> None:
    error = refuse(
        "input: 'data'\nlayers { layer { name: 'p' type: 'padding' } bottom: 'data' top: 'pad' }\n"
        "layers { layer { name: 'q' type: 'padding' } bottom: 'data' top: 'pad2' top: 'x' }\n"
        f"layers {{ layer {{ name: 'last' type: '{kind}' }} bottom: '{bottom}' top: 'y' }}"
    )
    assert words in error.message
    assert (error.where.layer, error.where.layer_type, error.where.line) == ("last", kind, 4)


def test_v0_every_field_that_has_a_new_home_is_moved() -> None:
    # `new_num` and `new_channels` served a reshape that no Caffe release kept; the others are copied by name.
    from caffe2neon.caffe import upgrade_v0

    elsewhere = {"name", "type", "blobs", "blobs_lr", "weight_decay", "hdf5_output_param", "new_num", "new_channels"}
    assert set(upgrade_v0._FIELDS) | elsewhere == {field.name for field in V0LayerParameter.DESCRIPTOR.fields}
    for targets in upgrade_v0._FIELDS.values():
        for message, field in targets.values():
            parameter = V1LayerParameter.DESCRIPTOR.fields_by_name[message].message_type
            assert parameter is not None
            assert field in parameter.fields_by_name


# ---- V1


@pytest.mark.parametrize("name", [value.name for value in V1LayerParameter.LayerType.DESCRIPTOR.values])
def test_v1_types_keep_their_letters(name: str) -> None:
    (layer,) = upgraded(f"layers {{ type: {name} }}")
    expected = {"SOFTMAX_LOSS": "SOFTMAXWITHLOSS", "NONE": ""}.get(name, name.replace("_", ""))
    assert layer.type.upper() == expected
    assert layer.param.HasField("type")


@pytest.mark.parametrize(("old", "new"), [("TANH", "TanH"), ("BNLL", "BNLL"), ("HDF5_DATA", "HDF5Data"), ("IM2COL", "Im2col"),
                                          ("INFOGAIN_LOSS", "InfogainLoss"), ("ABSVAL", "AbsVal"), ("LRN", "LRN")])  # fmt: skip
def test_v1_type_spelling(old: str, new: str) -> None:
    assert upgraded(f"layers {{ type: {old} }}")[0].type == new


def test_v1_type_that_is_absent_stays_absent() -> None:
    assert not upgraded("layers { name: 'a' }")[0].param.HasField("type")


def test_v1_parameter_specs() -> None:
    (layer,) = upgraded(
        "layers { param: 'w' blobs_lr: [1, 2, 3] weight_decay: 0 blob_share_mode: STRICT blob_share_mode: PERMISSIVE }"
    )
    assert text_of([layer]) == [
        'param {\n  name: "w"\n  share_mode: STRICT\n  lr_mult: 1\n  decay_mult: 0\n}\n'
        "param {\n  share_mode: PERMISSIVE\n  lr_mult: 2\n}\nparam {\n  lr_mult: 3\n}\n"
    ]


def test_v1_copies_every_other_field() -> None:
    special = {"layer", "type", "param", "blob_share_mode", "blobs_lr", "weight_decay"}
    for field in V1LayerParameter.DESCRIPTOR.fields:
        if field.name in special:
            continue
        new = LayerParameter.DESCRIPTOR.fields_by_name[field.name]
        assert (new.type, new.message_type, new.is_repeated) == (field.type, field.message_type, field.is_repeated)
        if field.message_type is not None:
            (layer,) = upgraded(f"layers {{ {field.name} {{ }} }}")
            assert [found.name for found, _ in layer.param.ListFields()] == [field.name]
    (layer,) = upgraded("layers { name: 'n' bottom: 'b' top: 't' loss_weight: 0.5 include { stage: 's' } }")
    assert text_of([layer]) == ['name: "n"\nbottom: "b"\ntop: "t"\nloss_weight: 0.5\ninclude {\n  stage: "s"\n}\n']


@pytest.mark.parametrize(("kind", "param"), [("DATA", "data"), ("IMAGE_DATA", "image_data"), ("WINDOW_DATA", "window_data")])
def test_v1_transform_parameters_move(kind: str, param: str) -> None:
    layer, other = upgraded(
        f"layers {{ type: {kind} {param}_param {{ source: 's' scale: 0.5 mean_file: 'm' crop_size: 3 mirror: false }}"
        " transform_param { scale: 9 } }"
        "layers { type: DATA }"
    )
    assert str(layer.param.transform_param) == 'scale: 0.5\nmirror: false\ncrop_size: 3\nmean_file: "m"\n'
    assert str(getattr(layer.param, f"{param}_param")) == 'source: "s"\n'
    # As in Caffe: every data layer gets the two messages where one needed the change.
    assert other.param.HasField("transform_param")
    assert other.param.HasField("data_param")


def test_v1_data_without_old_transform_parameters_is_left_alone() -> None:
    (layer,) = upgraded("layers { type: DATA data_param { source: 's' } }")
    assert str(layer.param) == 'type: "Data"\ndata_param {\n  source: "s"\n}\n'


@pytest.mark.parametrize("text", ["layer { }\nlayers { type: RELU }", "layers { layer { type: 'relu' } }\nlayer { name: 'lost' }"])
def test_layer_beside_layers(text: str) -> None:
    error = refuse(text)
    assert "both `layer` and `layers`" in error.message
    assert error.where.line == 2


# ---- inputs, BatchNorm


def test_inputs_with_shapes() -> None:
    text = "layer { name: 'l' }\n\ninput: 'a'\ninput: 'b' input_shape { dim: 2 } input_shape { dim: 3 dim: 4 } input_dim: 9"
    layer, _ = upgraded(text)
    assert (layer.name, layer.type, layer.tops, layer.line) == ("input", "Input", ("a", "b"), 3)
    assert [list(shape.dim) for shape in layer.param.input_param.shape] == [[2], [3, 4]]


def test_inputs_with_dims() -> None:
    (layer,) = upgraded("input: 'a' input: 'b' input_dim: [1, 2, 3, 4, 5, 6, 7, 8]")
    assert [list(shape.dim) for shape in layer.param.input_param.shape] == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_inputs_without_a_shape_are_dropped() -> None:
    assert upgraded("input: 'a'") == []


@pytest.mark.parametrize("shape", ["input_shape { dim: 1 }", "input_dim: [1, 2, 3, 4, 5, 6, 7]"])
def test_inputs_with_too_few_shapes(shape: str) -> None:
    error = refuse(f"\ninput: 'a' input: 'b' {shape}")
    assert "2 `input` but shapes for 1 only" in error.message
    assert error.where.line == 2


@pytest.mark.parametrize(("count", "frozen"), [(2, False), (3, True), (4, False)])
def test_batch_norm_with_three_params(count: int, frozen: bool) -> None:
    (layer,) = upgraded("layer { type: 'BatchNorm' " + "param { lr_mult: 1 decay_mult: 2 } " * count + "}")
    assert [(spec.lr_mult, spec.decay_mult) for spec in layer.param.param] == [(0, 0) if frozen else (1, 2)] * count


def test_new_nets_are_left_alone() -> None:
    text = 'name: "a"\ntype: "Data"\ndata_param {\n  scale: 2\n}\n'
    assert text_of(upgraded(f"layer {{ {text} }}")) == [text]
