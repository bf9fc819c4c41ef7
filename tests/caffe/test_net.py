"""Whole net definitions: files of every kind, and the way back to text."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest

from caffe2neon.caffe import net_text, read_net
from caffe2neon.caffe.caffe_pb2 import BlobProto, LayerParameter, NetParameter, NetStateRule, V0LayerParameter, V1LayerParameter
from caffe2neon.errors import ParseError
from tests.conftest import SHARED, shared

TEXT = """name: "tiny"
layer {
  name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 2 kernel_size: 3 }
}
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layer { name: "drop" type: "Dropout" bottom: "c" top: "c" include { phase: TRAIN } }
layer { name: "é" type: "ReLU" bottom: "c" top: "c" include { stage: "a" } }
"""


def write(tmp_path: Path, data: str | bytes, name: str = "net.prototxt") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def refuse(path: Path) -> ParseError:
    with pytest.raises(ParseError) as caught:
        read_net(path)
    assert caught.value.where.path == str(path)
    return caught.value


# ---- reading


def test_a_net(tmp_path: Path) -> None:
    path = write(tmp_path, TEXT)
    net = read_net(path, stages=["a"])
    assert (net.name, net.path, net.sha256) == ("tiny", str(path), hashlib.sha256(TEXT.encode()).hexdigest())
    assert [(layer.name, layer.type, layer.line) for layer in net.layers] == [
        ("input", "Input", 6),
        ("c", "Convolution", 2),
        ("é", "ReLU", 8),
    ]


def test_a_binary_net(tmp_path: Path) -> None:
    layers = [LayerParameter(name="c", type="ReLU"), LayerParameter(name="d", type="ReLU", exclude=[NetStateRule()])]
    message = NetParameter(name="\nname: 'x'", input=["data"], input_dim=[1, 3, 8, 8], layer=layers)
    net = read_net(write(tmp_path, message.SerializeToString()))
    assert net.name == message.name
    assert [(layer.name, layer.line) for layer in net.layers] == [("input", 0), ("c", 0)]


def test_a_binary_v1_net(tmp_path: Path) -> None:
    message = NetParameter(layers=[V1LayerParameter(name="c", type=V1LayerParameter.RELU)])
    (layer,) = read_net(write(tmp_path, message.SerializeToString())).layers
    assert (layer.name, layer.type, layer.line) == ("c", "ReLU", 0)


def test_a_net_is_found_through_a_symbolic_link_and_a_plain_string(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(write(tmp_path, TEXT))
    assert read_net(str(link)).path == str(link)  # type: ignore[arg-type]


def test_text_quirks_of_the_golden_case() -> None:
    path = shared("golden", "caffe", "text_quirks", "net.prototxt")
    net = read_net(path)
    assert net.name == "odd 'names'"
    assert [layer.name for layer in net.layers][:3] == ["in put.0", "conv1/7x7_s2 (a)", "relu-1"]
    lines = path.read_text().split("\n")
    assert [layer.line for layer in net.layers] == [number for number, line in enumerate(lines, 1) if line.startswith("layer")]


def test_golden_nets_have_the_layers_that_caffe_saw() -> None:
    cases = json.loads(shared("golden", "caffe", "cases.json").read_text())["cases"]
    seen = 0
    for name, case in cases.items():
        if case["group"] not in ("layer", "net"):
            continue
        net = read_net(shared("golden", "caffe", *name.split("/"), "net.prototxt"))
        # The list does not count the layer that the old input fields become.
        assert [layer.type for layer in net.layers if layer.name != "input" or "Input" in case["layers"]] == case["layers"]
        tops = {top for layer in net.layers for top in layer.tops}
        assert set(case["shapes"]) <= tops
        seen += 1
    assert seen > 100


def test_golden_nets_that_caffe_refuses_for_other_reasons_are_read() -> None:
    # What is wrong with them is in their graph or their parameters: not for this room to judge.
    ours = {"parse_missing_brace", "parse_unknown_field", "include_and_exclude", "layer_and_layers_mixed"}
    for folder in sorted(shared("golden", "caffe", "refused").iterdir()):
        if folder.name in ours:
            refuse(folder / "net.prototxt")
        else:
            assert read_net(folder / "net.prototxt").layers


def test_a_binary_net_with_a_name_that_is_no_text(tmp_path: Path) -> None:
    """protobuf hands such a name out as bytes, which nothing behind expects."""
    net = NetParameter(name="n", layer=[LayerParameter(name="r", type="ReLU", bottom=["data"], top=["TOP"])])
    path = tmp_path / "net.bin"
    path.write_bytes(net.SerializeToString().replace(b"TOP", b"T\xd6P"))
    with pytest.raises(ParseError, match="not UTF-8") as caught:
        read_net(path)
    assert caught.value.remedy


# ---- back to text


def _real_files() -> list[str]:
    folders = SHARED / "prototxt", SHARED / "models"
    return sorted(str(path.relative_to(SHARED)) for folder in folders for path in folder.rglob("*.prototxt"))


@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
@pytest.mark.parametrize("name", _real_files() or ["prototxt"])
def test_text_of_a_real_net_reads_back(tmp_path: Path, name: str, phase: str) -> None:
    net = read_net(shared(*name.split("/")), phase=phase)
    assert net.layers
    again = read_net(write(tmp_path, net_text(net)), phase=phase)
    assert again.name == net.name
    for layer in net.layers:
        layer.param.ClearField("include")
        layer.param.ClearField("exclude")
    assert [layer.param for layer in again.layers] == [layer.param for layer in net.layers]


def test_text_has_applied_the_rules(tmp_path: Path) -> None:
    net = read_net(write(tmp_path, TEXT), stages=["a"])
    text = net_text(net)
    assert 'name: "é"' in text
    assert "include" not in text
    assert net.layers[2].param.include  # the net itself is as it was
    assert [layer.name for layer in read_net(write(tmp_path, text)).layers] == ["input", "c", "é"]


# ---- files that are something else


def test_missing(tmp_path: Path) -> None:
    assert "No such file" in refuse(tmp_path / "none.prototxt").message


def test_folder(tmp_path: Path) -> None:
    assert "directory" in refuse(tmp_path).message


def test_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "ordinary file" in refuse(tmp_path / "pipe").message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path: Path) -> None:
    path = write(tmp_path, TEXT)
    path.chmod(0)
    assert "Permission denied" in refuse(path).message


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    assert "cannot read" in refuse(tmp_path / "a\0b").message


def test_empty(tmp_path: Path) -> None:
    assert "empty" in refuse(write(tmp_path, "")).message


@pytest.mark.parametrize("text", ["  \n", "# nothing here\n", 'name: "x"', 'input: "data"'])
def test_no_layers(tmp_path: Path, text: str) -> None:
    assert "no layer" in refuse(write(tmp_path, text)).message


@pytest.mark.parametrize("page", ["<!DOCTYPE html><html>", "\n <HTML lang=en>", "<?xml version='1.0'?><Error/>"])
def test_html(tmp_path: Path, page: str) -> None:
    error = refuse(write(tmp_path, page))
    assert "HTML" in error.message
    assert "download the file itself" in error.remedy


def test_lfs_pointer(tmp_path: Path) -> None:
    error = refuse(write(tmp_path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"))
    assert "Git LFS" in error.message
    assert "git lfs pull" in error.remedy


def test_archive(tmp_path: Path) -> None:
    error = refuse(write(tmp_path, gzip.compress(TEXT.encode())))
    assert "gzip" in error.message
    assert "unpack" in error.remedy


def test_other_binary(tmp_path: Path) -> None:
    assert "neither text nor a binary net" in refuse(write(tmp_path, bytes(range(250, -1, -1)))).message


def test_picture(tmp_path: Path) -> None:
    assert "PNG" in refuse(write(tmp_path, b"\x89PNG\r\n\x1a\n\0\0")).message


def test_text_with_a_control_character_says_where(tmp_path: Path) -> None:
    error = refuse(write(tmp_path, TEXT + "\x1a"))
    assert "the character \\x1a" in error.message
    assert (error.where.line, error.where.column) == (9, 1)


@pytest.mark.parametrize(
    "net",
    [
        NetParameter(layer=[LayerParameter(blobs=[BlobProto(data=[1])])]),
        NetParameter(layers=[V1LayerParameter(blobs=[BlobProto(data=[1])])]),
        NetParameter(layers=[V1LayerParameter(layer=V0LayerParameter(blobs=[BlobProto(data=[1])]))]),
    ],
    ids=["new", "v1", "v0"],
)
def test_caffemodel(tmp_path: Path, net: NetParameter) -> None:
    error = refuse(write(tmp_path, net.SerializeToString()))
    assert "holds weights" in error.message
    assert ".prototxt) comes first" in error.remedy


def test_a_caffemodel_of_many_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    assert "too many for a net definition" in refuse(path).message


def test_binary_net_with_fields_of_another_branch(tmp_path: Path) -> None:
    # Field 200 of the layer, and a phase 7, which an include rule cannot have.
    layer = LayerParameter(name="a").SerializeToString() + b"\xc0\x0c\x01" + b"\x42\x02\x08\x07"
    message = NetParameter(name="x").SerializeToString() + b"\xa2\x06" + bytes([len(layer)]) + layer
    error = refuse(write(tmp_path, message))
    assert "layer.200, layer.include.1" in error.message


def test_errors_of_upgrading_and_filtering_have_path_and_line(tmp_path: Path) -> None:
    error = refuse(write(tmp_path, "layers { type: RELU }\nlayer { }"))
    assert (error.where.line, "Caffe refuses" in error.message) == (2, True)
    assert str(error).startswith(f"{tmp_path / 'net.prototxt'}:2: ")
