"""What is in a file: known nets' numbers, counts by plain loops, and files that are something else."""

from __future__ import annotations

import contextlib
import itertools
import json
import pickle
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe2neon import wire
from caffe2neon.caffe import caffe_pb2
from caffe2neon.errors import Caffe2NeonError, ParseError, PrmError, UsageError
from caffe2neon.inspection import inspect_file
from caffe2neon.records import Inspection, LayerFacts, Shape
from caffe2neon.single import convert_files
from tests.conftest import shared
from tests.memory import peak_memory

DIGITS = Path(str(resources.files("caffe2neon").joinpath("bundled", "digits")))
#: caffemodel's field `layer`, its `name` and `blobs`, and a blob's `data`; all are length-delimited.
LAYER, NAME, BLOBS, SHAPE, DATA = 100, 1, 7, 7, 5


def by_name(inspection: Inspection) -> dict[str, LayerFacts]:
    return {layer.name: layer for layer in inspection.layers}


def net(tmp_path: Path, text: str) -> Inspection:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return inspect_file(path)


# ---- prototxt ----


@pytest.mark.parametrize(
    ("net", "parameters", "multiply_adds"),
    [
        # published sizes of the models; multiply-adds as their papers and profilers round them, in thousandths of 1e9
        ("bvlc_alexnet/deploy", 60_965_224, 724),
        ("bvlc_reference_caffenet/deploy", 60_965_224, 724),
        ("bvlc_googlenet/deploy", 6_998_552, 1583),
        ("vgg16/deploy", 138_357_544, 15470),
        ("mnist/lenet", 431_080, 2),
        ("v1/bvlc_googlenet/deploy", 6_998_552, 1583),
    ],
)
def test_known_nets(net: str, parameters: int, multiply_adds: int) -> None:
    inspection = inspect_file(shared("prototxt", *f"{net}.prototxt".split("/")))
    assert inspection.kind == "prototxt"
    assert inspection.parameters == parameters
    assert inspection.multiply_adds is not None
    assert round(inspection.multiply_adds / 1e6) == multiply_adds


def test_squeezenet() -> None:
    assert inspect_file(shared("models", "squeezenet_v1.0", "SqueezeNet_deploy.prototxt")).parameters == 1_248_424
    assert inspect_file(shared("models", "squeezenet_v1.0", "squeezenet_v1.0_dc.caffemodel")).parameters == 1_248_424


def test_alexnet_layer_by_layer() -> None:
    layers = by_name(inspect_file(shared("prototxt", "bvlc_alexnet", "deploy.prototxt")))
    # (maps in one group, channels in one group, kernel, rows of the output, groups), from the paper
    convolutions = {
        "conv1": (96, 3, 11, 55, 1),
        "conv2": (128, 48, 5, 27, 2),
        "conv3": (384, 256, 3, 13, 1),
        "conv4": (192, 192, 3, 13, 2),
        "conv5": (128, 192, 3, 13, 2),
    }
    for name, (maps, channels, kernel, rows, groups) in convolutions.items():
        assert layers[name].multiply_adds == groups * maps * channels * kernel**2 * rows**2, name
        assert layers[name].parameters == groups * maps * channels * kernel**2 + groups * maps, name
        assert layers[name].outputs == ((10, maps * groups, rows, rows),)
    for name, (inputs, outputs) in {"fc6": (9216, 4096), "fc7": (4096, 4096), "fc8": (4096, 1000)}.items():
        assert layers[name].multiply_adds == inputs * outputs
        assert layers[name].parameters == inputs * outputs + outputs
    assert all(layer.multiply_adds == 0 for name, layer in layers.items() if name not in convolutions and name[:2] != "fc")


INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 dim: 5 dim: 6 } } }\n'


def test_grouped_dilated_convolution_by_counting(tmp_path: Path) -> None:
    layer = """layer { name: "c" type: "Convolution" bottom: "x" top: "y"
        convolution_param { num_output: 6 group: 2 kernel_h: 2 kernel_w: 3 pad_h: 1 pad_w: 0 stride_h: 2 stride_w: 1
        dilation: 2 } }"""
    facts = by_name(net(tmp_path, INPUT + layer))["c"]
    rows, columns = len(range(-1, 5 + 1 - 2, 2)), len(range(0, 6 - 4, 1))
    count = sum(
        1
        for k, _, _, c, _, _ in itertools.product(range(6), range(rows), range(columns), range(4), range(2), range(3))
        if k // 3 == c // 2
    )
    assert facts.outputs == ((3, 6, rows, columns),)
    assert facts.multiply_adds == count
    assert facts.parameters == 6 * 2 * 2 * 3 + 6
    assert facts.blobs == ((6, 2, 2, 3), (6,))
    assert facts.line == 2


def test_grouped_deconvolution_by_counting(tmp_path: Path) -> None:
    layer = """layer { name: "d" type: "Deconvolution" bottom: "x" top: "y"
        convolution_param { num_output: 2 group: 2 kernel_size: 3 stride: 2 bias_term: false } }"""
    facts = by_name(net(tmp_path, INPUT + layer))["d"]
    # every value of the input is spread over one window of each map of its group
    places = itertools.product(range(4), range(5), range(6), range(2), range(3), range(3))
    count = sum(1 for c, _, _, k, _, _ in places if c // 2 == k)
    assert facts.multiply_adds == count
    assert facts.parameters == 4 * 1 * 3 * 3
    assert facts.outputs == ((3, 2, 11, 13),)


@pytest.mark.parametrize(("axis", "count"), [(1, 7 * 4 * 5 * 6), (2, 4 * 7 * 5 * 6), (-1, 4 * 5 * 7 * 6), (0, 7 * 3 * 4 * 5 * 6)])
def test_inner_product_at_any_axis(tmp_path: Path, axis: int, count: int) -> None:
    layer = f"""layer {{ name: "f" type: "InnerProduct" bottom: "x" top: "y"
        inner_product_param {{ num_output: 7 axis: {axis} }} }}"""
    assert by_name(net(tmp_path, INPUT + layer))["f"].multiply_adds == count


def test_in_place_layers_and_outputs(tmp_path: Path) -> None:
    inspection = net(
        tmp_path,
        INPUT
        + """layer { name: "f" type: "InnerProduct" bottom: "x" top: "f" inner_product_param { num_output: 2 } }
        layer { name: "r" type: "ReLU" bottom: "f" top: "f" }
        layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 2 } }""",
    )
    assert inspection.header["inputs"] == {"x": (3, 4, 5, 6)}
    assert inspection.header["outputs"] == {"f": (3, 2), "p": (3, 4, 4, 5)}


def test_shared_parameters_count_once(tmp_path: Path) -> None:
    layer = """layer {{ name: "{0}" type: "InnerProduct" bottom: "x" top: "{0}" param {{ name: "w" }} param {{ name: "{1}" }}
        inner_product_param {{ num_output: 7 }} }}\n"""
    inspection = net(tmp_path, INPUT + layer.format("a", "b1") + layer.format("b", "b2"))
    weights = 7 * 4 * 5 * 6
    assert [layer.parameters for layer in inspection.layers] == [0, weights + 7, weights + 7]
    assert inspection.parameters == weights + 7 + 7
    assert inspection.notes == (f"{weights} parameters are shared between layers and counted once",)


def test_unknown_layer_type_hides_only_what_follows(tmp_path: Path) -> None:
    inspection = net(
        tmp_path,
        INPUT
        + """layer { name: "r" type: "ReLU" bottom: "x" top: "r" }
        layer { name: "odd" type: "Reorg" bottom: "r" top: "o" }
        layer { name: "after" type: "ReLU" bottom: "o" top: "a" }""",
    )
    layers = by_name(inspection)
    assert layers["r"].outputs == ((3, 4, 5, 6),)
    assert (layers["odd"].outputs, layers["odd"].type, layers["odd"].line) == (None, "Reorg", 3)
    assert "not a layer type" in layers["odd"].reason
    assert layers["after"].outputs is None
    assert "'o'" in layers["after"].reason
    assert inspection.parameters is None
    assert inspection.multiply_adds is None
    (note,) = inspection.notes
    assert "line 3, layer 'odd' (Reorg)" in note
    assert inspection.header["outputs"] == {"a": None}


def test_unknown_bottom(tmp_path: Path) -> None:
    inspection = net(tmp_path, 'layer { name: "r" type: "ReLU" bottom: "nowhere" top: "r" }')
    assert "unknown bottom blob 'nowhere'" in inspection.layers[0].reason


def test_training_net_lists_its_layers() -> None:
    path = shared("prototxt", "bvlc_alexnet", "train_val.prototxt")
    inspection = inspect_file(path)
    assert [layer.type for layer in inspection.layers][:2] == ["Data", "Convolution"]
    assert inspection.header["inputs"] == {"data": (50, 3, 227, 227), "label": (50,)}  # its batch_size and crop_size
    assert (inspection.parameters, inspection.notes) == (60_965_224, ())
    assert inspection.multiply_adds == inspect_file(path.with_name("deploy.prototxt")).multiply_adds
    test, train = (len(inspect_file(path, phase=phase).layers) for phase in ("TEST", "TRAIN"))
    assert test == train + 1  # the Accuracy


TRAINED = """layer { name: "f" type: "InnerProduct" bottom: "data" top: "f" inner_product_param { num_output: 7 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "label" top: "loss" }"""


def trained(tmp_path: Path, data: str, shape: Shape | None = None) -> Inspection:
    path = tmp_path / "train.prototxt"
    path.write_text(f"{data}\n{TRAINED}")
    return inspect_file(path, shape=shape)


def test_a_data_layer_that_does_not_say_its_shape(tmp_path: Path) -> None:
    data = 'layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "lmdb" batch_size: 8 } }'
    unknown = trained(tmp_path, data)
    assert [layer.outputs for layer in unknown.layers] == [None, None, None]
    assert unknown.parameters is None
    (note,) = unknown.notes
    assert "line 1, layer 'd' (Data)" in note
    assert "--input C,H,W" in note
    given = trained(tmp_path, data, (2, 3, 4))
    assert [layer.outputs for layer in given.layers] == [((8, 2, 3, 4), (8,)), ((8, 7),), ((),)]
    assert (given.parameters, given.multiply_adds, given.notes) == (7 * 24 + 7, 7 * 24, ())


def test_labels_of_unknown_shape_hide_nothing_that_counts(tmp_path: Path) -> None:
    data = 'layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "files" batch_size: 8 } }'
    given = trained(tmp_path, data, (24,))
    assert [layer.outputs for layer in given.layers] == [None, ((8, 7),), None]
    assert given.header["inputs"] == {"data": (8, 24), "label": None}
    assert (given.parameters, given.multiply_adds) == (7 * 24 + 7, 7 * 24)


def test_a_given_shape_that_no_blob_of_caffes_holds(tmp_path: Path) -> None:
    data = 'layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "lmdb" batch_size: 8 } }'
    assert "at most 2,147,483,647 values" in trained(tmp_path, data, (1 << 20, 1 << 20, 1)).layers[0].reason


def test_a_net_that_nothing_feeds_takes_the_given_shape(tmp_path: Path) -> None:
    text = """layer { name: "d" type: "Data" top: "data" data_param { source: "lmdb" } include { phase: TRAIN } }
    layer { name: "r" type: "ReLU" bottom: "data" top: "r" }"""
    path = tmp_path / "n.prototxt"
    path.write_text(text)
    inspection = inspect_file(path, shape=(2, 3, 4))
    assert inspection.header["inputs"] == {"data": (1, 2, 3, 4)}
    assert inspection.layers[0].outputs == ((1, 2, 3, 4),)
    assert "unknown bottom" in inspect_file(path).layers[0].reason


def test_a_given_shape_replaces_that_of_an_input_and_must_have_its_axes(tmp_path: Path) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text(INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" top: "r" }')
    assert inspect_file(path, shape=(1, 2, 3)).layers[1].outputs == ((3, 1, 2, 3),)
    assert "has 3 axes, the given shape 5 has 1" in inspect_file(path, shape=(5,)).layers[0].reason


def test_a_given_shape_is_for_a_prototxt() -> None:
    with pytest.raises(UsageError, match="--input is for a prototxt"):
        inspect_file(DIGITS / "digits.caffemodel", shape=(1, 8, 8))


@pytest.mark.parametrize(("name", "shape"), [("lenet_train_val", (1, 11, 12)), ("v1_train_val", None)])
def test_recorded_training_nets(name: str, shape: Shape | None) -> None:
    """Every shape as real Caffe had it at TEST; the records were made with the data that the nets' lmdb would hold."""
    case = json.loads(shared("golden", "caffe", "cases.json").read_text())["cases"][f"phases/{name}"]
    inspection = inspect_file(shared("golden", "caffe", "phases", name, "train_val.prototxt"), shape=shape)
    layers = by_name(inspection)
    recorded = {blob: tuple(size) for blob, size in case["shapes"].items()}
    inputs, outputs = inspection.header["inputs"], inspection.header["outputs"]
    assert {**inputs, **outputs} == {blob: recorded[blob] for blob in (*inputs, *outputs)}
    assert {blob: (size,) for blob, size in recorded.items() if blob in layers and blob != "data"} == {
        blob: layers[blob].outputs for blob in recorded if blob in layers and blob != "data"
    }


def test_binary_net_definition(tmp_path: Path) -> None:
    message = caffe_pb2.NetParameter(name="n", input=["x"], input_dim=[1, 2, 3, 4])
    message.layer.add(name="r", type="ReLU", bottom=["x"], top=["y"])
    path = tmp_path / "net.bin"
    path.write_bytes(message.SerializeToString())
    inspection = inspect_file(path)
    assert inspection.kind == "prototxt"
    assert by_name(inspection)["r"].outputs == ((1, 2, 3, 4),)


# ---- caffemodel ----


def test_caffemodel(tmp_path: Path) -> None:
    message = caffe_pb2.NetParameter(name="n")
    message.layer.add(name="a").blobs.add(shape=caffe_pb2.BlobShape(dim=[2, 3]), data=range(6))
    message.layer[0].blobs.add(shape=caffe_pb2.BlobShape(dim=[2]), double_data=range(2))
    message.layer.add(name="r")
    path = tmp_path / "whatever.txt"
    path.write_bytes(message.SerializeToString())
    inspection = inspect_file(path)
    assert (inspection.kind, inspection.parameters, inspection.size) == ("caffemodel", 8, path.stat().st_size)
    assert inspection.layers == (
        LayerFacts("a", parameters=8, blobs=((2, 3), (2,)), dtypes=("float32", "float64")),
        LayerFacts("r", parameters=0),
    )


def test_bundled_digits_agree_in_all_three_files(tmp_path: Path) -> None:
    prm = tmp_path / "digits.prm"
    prototxt, caffemodel = DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel"
    convert_files(prototxt, caffemodel, prm)
    text, weights, converted = map(inspect_file, (prototxt, caffemodel, prm))
    assert [file.kind for file in (text, weights, converted)] == ["prototxt", "caffemodel", "prm"]
    assert text.parameters == weights.parameters == converted.parameters
    assert text.multiply_adds == converted.multiply_adds  # no groups, so neon computes the same
    assert {layer.name: layer.blobs for layer in text.layers if layer.blobs} == {
        layer.name: layer.blobs for layer in weights.layers if layer.blobs
    }
    assert converted.header["neon_version"] == "1.4.0"
    assert converted.header["compat_mode"] == "caffe"
    assert converted.header["remapped"] is False
    source = converted.header["source"]
    assert isinstance(source, dict)
    assert source["prototxt"] == {"name": "digits.prototxt", "sha256": text.header["sha256"]}
    root, *layers = converted.layers
    assert (root.type, root.depth) == ("Sequential", 0)
    assert {layer.depth for layer in layers} == {1}
    (shape,) = text.header["outputs"].values()
    assert layers[-1].outputs == (tuple(shape[1:]),)


def test_numbers_are_not_read(tmp_path: Path) -> None:
    """1 GB of weights, as a hole in a file: reading it would show in the memory of a fresh process (pages of a map count)."""
    count = 1 << 28
    shape = caffe_pb2.BlobShape(dim=[count]).SerializeToString()
    blob = wire.head(SHAPE, len(shape)) + shape + wire.head(DATA, 4 * count)
    layer = wire.head(NAME, 1) + b"a" + wire.head(BLOBS, len(blob) + 4 * count) + blob
    path = tmp_path / "large.caffemodel"
    with path.open("wb") as stream:
        stream.write(wire.head(LAYER, len(layer) + 4 * count) + layer)
        stream.truncate(stream.tell() + 4 * count)
    program = (
        "import sys, pathlib; from caffe2neon.inspection import inspect_file;"
        "print(inspect_file(pathlib.Path(sys.argv[1])).parameters)"
    )
    words, peak = peak_memory(program, path)
    assert words == [str(count)]
    assert peak < 300 << 20


# ---- none of them ----


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><p>404</p>", "an HTML page, not a prototxt, a caffemodel or a .prm"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "not a prototxt, a caffemodel or a .prm: it begins with bytes ff d8 ff e0"),
        (b"PK\x03\x04 and so on", "a zip archive"),
        (b"", "empty"),
        (b"# Title\nSome words, no net.\n", "2:6"),
        (b"\x08\x01\x10\x03\x18\x08", "not a prototxt, a caffemodel or a .prm"),
        (pickle.dumps([1, 2], protocol=2), "a list, not the dict of a neon model"),
        (pickle.dumps(pickle.loads, protocol=0), ""),
    ],
    ids=["html", "jpeg", "zip", "empty", "text", "mean.binaryproto", "other pickle", "hostile pickle"],
)
def test_other_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.prm"
    path.write_bytes(content)
    with pytest.raises((ParseError, PrmError)) as caught:
        inspect_file(path)
    assert message in str(caught.value)
    assert caught.value.where.path == str(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="No such file"):
        inspect_file(tmp_path / "nothing")


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="directory"):
        inspect_file(tmp_path)


def test_truncated_caffemodel(tmp_path: Path) -> None:
    path = tmp_path / "cut.caffemodel"
    path.write_bytes((DIGITS / "digits.caffemodel").read_bytes()[:-10])
    with pytest.raises(ParseError, match="left"):
        inspect_file(path)


@given(st.builds(bytes.__add__, st.sampled_from([b"", b"\x80\x02}(", b"\x0a\x01n", b"layer {"]), st.binary()))
def test_any_bytes_are_inspected_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    with contextlib.suppress(Caffe2NeonError):
        inspect_file(path)
