"""Upgraded files: against those that Caffe's own tools wrote, and against protobuf upgrading the whole message in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffe2neon import wire
from caffe2neon.caffe import read_weights, upgrade_file
from caffe2neon.caffe.caffe_pb2 import BlobProto, LayerParameter, NetParameter, V0LayerParameter, V1LayerParameter
from caffe2neon.caffe.text import ParsedNet
from caffe2neon.caffe.upgrade import upgrade
from caffe2neon.errors import ParseError, PublishError
from tests.caffe.messages import messages
from tests.conftest import shared
from tests.memory import peak_memory

CASES = [f"formats/{net}_{form}" for net in ("alex", "inception") for form in ("v0", "v1", "new", "double", "stripped")]


def in_memory(data: bytes) -> bytes:
    """The same with all blobs in protobuf objects, as Caffe's tool does it."""
    net = NetParameter.FromString(data)
    layers = [layer.param for layer in upgrade(ParsedNet(net))[0]]
    result = NetParameter()
    result.CopyFrom(net)
    del result.layer[:], result.layers[:]
    if net.input:
        del result.input[:], result.input_shape[:], result.input_dim[:]
    result.layer.extend(layers)
    return result.SerializeToString(deterministic=True)


def refuse(path: Path) -> ParseError:
    output = path.with_name("out")
    with pytest.raises(ParseError) as caught:
        upgrade_file(path, output)
    assert caught.value.where.path == str(path)
    assert not output.exists()
    return caught.value


@pytest.mark.parametrize("folder", [*CASES, "phases/v1_train_val"])
def test_prototxt_as_caffes_own_tool_writes_it(folder: str, tmp_path: Path) -> None:
    case = shared("golden", "caffe", *folder.split("/"))
    (path,) = (path for path in case.glob("*.prototxt") if path.name != "upgraded.prototxt")
    done = upgrade_file(path, tmp_path / "out.prototxt")
    ours, theirs = (
        text_format.Parse(file.read_text(), NetParameter()) for file in (tmp_path / "out.prototxt", case / "upgraded.prototxt")
    )
    if theirs.input:
        # The pinned Caffe, whose tool this was, has no Input layer yet.
        first, *ours_rest = ours.layer
        assert (list(first.top), list(first.input_param.shape[0].dim)) == (list(theirs.input), list(theirs.input_dim))
        assert (ours.name, ours_rest) == (theirs.name, list(theirs.layer))
    else:
        assert ours == theirs
    assert (done.kind, done.layers) == ("prototxt", len(ours.layer))


@pytest.mark.parametrize("folder", [*CASES, "phases/v1_train_val"])
def test_caffemodel_is_what_protobuf_writes(folder: str, tmp_path: Path) -> None:
    path = shared("golden", "caffe", *folder.split("/"), "net.caffemodel")
    output = tmp_path / "out.caffemodel"
    done = upgrade_file(path, output)
    assert output.read_bytes() == (path.read_bytes() if done.format == "newest" else in_memory(path.read_bytes()))
    before, after = read_weights(path).blobs, read_weights(output).blobs
    assert {name: blobs for name, blobs in after.items() if blobs}.keys() == {name for name, blobs in before.items() if blobs}
    for name, blobs in after.items():
        for ours, theirs in zip(blobs, before.get(name, ()), strict=True):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype
    assert upgrade_file(output, tmp_path / "again").format == "newest"


@pytest.mark.parametrize(("form", "format_"), [("v0", "V0"), ("v1", "V1")])
def test_the_old_format_is_named(form: str, format_: str, tmp_path: Path) -> None:
    case = shared("golden", "caffe", "formats", f"alex_{form}")
    for kind in ("prototxt", "caffemodel"):
        done = upgrade_file(case / f"net.{kind}", tmp_path / "out")
        assert (done.kind, done.format) == (kind, format_)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_old_net_with_blobs(tmp_path: Path, data: st.DataObject) -> None:
    net = NetParameter(name="n", force_backward=True, debug_info=True)
    kind: type[LayerParameter] | type[V1LayerParameter] = data.draw(st.sampled_from([LayerParameter, V1LayerParameter]))
    for message in data.draw(st.lists(messages(kind, depth=3), min_size=1, max_size=3)):
        if kind is V1LayerParameter:
            message.ClearField("layer")
            net.layers.append(message)
        else:
            net.layer.append(message)
    path, output = tmp_path / "net", tmp_path / "out"
    path.write_bytes(net.SerializeToString())
    done = upgrade_file(path, output)
    if done.kind == "caffemodel":
        assert NetParameter.FromString(output.read_bytes()) == NetParameter.FromString(in_memory(path.read_bytes()))


def test_v0_blobs_and_padding(tmp_path: Path) -> None:
    blob = BlobProto(num=1, channels=1, height=1, width=2, double_data=[0.1, 0.2])
    net = NetParameter(name="old", input=["data"], input_dim=[1, 1, 4, 4], debug_info=True, force_backward=True)
    net.state.stage.append("gone")
    net.layers.add(bottom=["data"], top=["pad"], layer=V0LayerParameter(name="pad", type="padding", pad=2))
    conv = V0LayerParameter(name="conv", type="conv", num_output=2, kernelsize=1, blobs=[blob, blob], blobs_lr=[1, 2])
    net.layers.add(bottom=["pad"], top=["conv"], layer=conv)
    path, output = tmp_path / "net", tmp_path / "out"
    path.write_bytes(net.SerializeToString())
    assert upgrade_file(path, output).format == "V0"
    expected = NetParameter()
    text_format.Parse(
        """name: "old" force_backward: true
        layer { name: "input" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
          convolution_param { num_output: 2 pad: 2 kernel_size: 1 } }""",
        expected,
    )
    expected.layer[1].blobs.extend([blob, blob])
    assert NetParameter.FromString(output.read_bytes()) == expected


def test_layers_of_all_phases_and_their_rules_stay(tmp_path: Path) -> None:
    path, output = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    path.write_text(
        "layers { name: 'd' type: DATA top: 'd' data_param { scale: 0.5 } include { phase: TRAIN } }\n"
        "layers { name: 'e' type: DATA top: 'd' exclude { phase: TRAIN stage: 's' } }"
    )
    assert upgrade_file(path, output).layers == 2
    assert text_format.Parse(output.read_text(), NetParameter()) == text_format.Parse(
        "layer { name: 'd' type: 'Data' top: 'd' include { phase: TRAIN } transform_param { scale: 0.5 } data_param { } }"
        "layer { name: 'e' type: 'Data' top: 'd' exclude { phase: TRAIN stage: 's' } transform_param { } data_param { } }",
        NetParameter(),
    )


@pytest.mark.parametrize(
    ("text", "format_"),
    [
        ("input: 'x' input_dim: [1, 1, 2, 2] layer { type: 'ReLU' bottom: 'x' top: 'y' }", "old inputs"),
        ("layer { type: 'BatchNorm' param { } param { } param { } }", "old BatchNorm parameters"),
        ("# a comment that stays\nlayer { type: 'ReLU' }", "newest"),
    ],
)
def test_what_is_old_is_said(text: str, format_: str, tmp_path: Path) -> None:
    path, output = tmp_path / "net.prototxt", tmp_path / "out.prototxt"
    path.write_text(text)
    assert upgrade_file(path, output).format == format_
    assert (output.read_text() == text) == (format_ == "newest")


def test_a_file_can_replace_itself(tmp_path: Path) -> None:
    path = tmp_path / "net"
    layer = V1LayerParameter(name="a", type=V1LayerParameter.RELU, blobs=[BlobProto(data=[1.0] * 100_000)])
    path.write_bytes(NetParameter(layers=[layer]).SerializeToString())
    upgrade_file(path, path)
    net = NetParameter.FromString(path.read_bytes())
    assert (net.layer[0].type, len(net.layer[0].blobs[0].data)) == ("ReLU", 100_000)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><p>404", "this is an HTML page"),
        (b"layer { name: 'a' ", "the file ends before the '}'"),
        (b"layer { nme: 'a' }", "nme"),
        (b"name: 'nothing'", "no layer"),
        (b"\x12\xff\x07\x01\x02", "only"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (NetParameter(layers=[V1LayerParameter()], layer=[LayerParameter()]).SerializeToString(), "both `layer` and `layers`"),
        (b"\xa2\x06\x02\x0a\x05" + b"\x00" * 9, "only"),
        (b"\xa2\x06\x05\x42\x03\x08\x01\xff", "neither text nor a binary net"),
    ],
    ids=["empty", "html", "not-closed", "unknown-field", "no-layer", "cut", "hdf5", "mixed", "inner-cut", "not-a-message"],
)
def test_refused(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_bytes(data)
    assert words in refuse(path).message


def test_missing_file(tmp_path: Path) -> None:
    assert "cannot read" in refuse(tmp_path / "nope").message


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_text("layer { type: 'ReLU' }")
    with pytest.raises(PublishError, match="cannot write"):
        upgrade_file(path, tmp_path / "nowhere" / "out")


def test_numbers_are_not_held_in_memory(tmp_path: Path) -> None:
    """A process may use the mapped file once, and 80 MB of its own, for a file of 200 MB of blobs."""
    count, path, output = 50_000_000, tmp_path / "net", tmp_path / "out"
    layer = V1LayerParameter(name="a", type=V1LayerParameter.INNER_PRODUCT)
    floats = 4 * count
    with path.open("wb") as stream:
        # a blob, number 6 of the layer, whose packed `data` has number 5; the layer has number 2 of the net
        data = wire.head(5, floats)
        inner = layer.SerializeToString() + wire.head(6, len(data) + floats) + data
        stream.write(wire.head(2, len(inner) + floats) + inner)
        stream.truncate(stream.tell() + floats)
    code = (
        "import sys; from pathlib import Path; from caffe2neon.caffe import upgrade_file;"
        "upgrade_file(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    _, peak = peak_memory(code, path, output)
    assert peak < floats + (80 << 20)
    assert output.stat().st_size > floats
