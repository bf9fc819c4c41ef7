"""Weights against protobuf's own reading of the same bytes, and files that are broken or something else."""

from __future__ import annotations

import contextlib
import gzip
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffe2neon.caffe import read_weights, require_finite
from caffe2neon.caffe.caffe_pb2 import BlobProto, BlobShape, LayerParameter, NetParameter, V0LayerParameter, V1LayerParameter
from caffe2neon.errors import ParseError, WeightsError
from caffe2neon.records import Array, CaffeLayer, CaffeNet, CaffeWeights
from tests.conftest import SHARED, shared

VALUES = [0.5, -1.25, 3e-38, 1e38, 0.1, -0.0]


def write(tmp_path: Path, data: bytes | NetParameter, name: str = "net.caffemodel") -> Path:
    path = tmp_path / name
    path.write_bytes(data.SerializeToString() if isinstance(data, NetParameter) else data)
    return path


def refuse(path: Path) -> ParseError:
    with pytest.raises(ParseError) as caught:
        read_weights(path)
    assert caught.value.where.path == str(path)
    return caught.value


def blob(shape: list[int], values: list[float]) -> BlobProto:
    return BlobProto(shape=BlobShape(dim=shape), data=values)


def tiny() -> NetParameter:
    """Two layers with blobs and one without, as Caffe would save them."""
    conv = LayerParameter(name="conv", type="Convolution", bottom=["data"], blobs=[blob([2, 3], VALUES), blob([2], [1, 2])])
    last = LayerParameter(name="ip", blobs=[blob([1, 1], [7])])
    return NetParameter(name="tiny", layer=[LayerParameter(name="relu"), conv, last])


def by_protobuf(data: bytes) -> dict[str, list[tuple[tuple[int, ...], list[float]]]]:
    """Names, shapes and numbers, the slow way, in the words of Caffe's Blob::FromProto and CopyTrainedLayersFrom."""
    net = NetParameter.FromString(data)
    v0 = any(layer.HasField("layer") for layer in net.layers)
    layers: list[Any] = [*net.layer, *((layer.layer if v0 else layer) for layer in net.layers)]
    found = {}
    for layer in layers:
        blobs = []
        for item in layer.blobs:
            legacy = any(item.HasField(name) for name in ("num", "channels", "height", "width"))
            shape = (item.num, item.channels, item.height, item.width) if legacy else tuple(item.shape.dim)
            blobs.append((shape, list(item.double_data or item.data)))
        found[layer.name] = blobs
    return found


def as_lists(weights: CaffeWeights) -> dict[str, list[tuple[tuple[int, ...], list[float]]]]:
    return {name: [(array.shape, array.reshape(-1).tolist()) for array in blobs] for name, blobs in weights.blobs.items()}


# ---- what is read


def test_blobs_are_views_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, tiny())
    weights = read_weights(path)
    assert (weights.path, weights.size) == (str(path), path.stat().st_size)
    assert list(weights.blobs) == ["relu", "conv", "ip"]
    assert weights.blobs["relu"] == ()
    first, second = weights.blobs["conv"]
    assert (first.shape, second.shape) == ((2, 3), (2,))
    assert first.dtype == np.float32
    assert first.tobytes() == np.array(VALUES, np.float32).tobytes()
    assert not first.flags.owndata
    assert not first.flags.writeable
    assert as_lists(weights) == by_protobuf(path.read_bytes())


@pytest.mark.parametrize("pad", range(4))
def test_views_that_are_not_aligned_compute_the_same(tmp_path: Path, pad: int) -> None:
    values = np.arange(24, dtype=np.float32).reshape(4, 6) / 7
    net = NetParameter(name="x" * pad, layer=[LayerParameter(name="a", blobs=[blob([4, 6], values.reshape(-1).tolist())])])
    (array,) = read_weights(write(tmp_path, net)).blobs["a"]
    for operation in (np.sum, np.ascontiguousarray, lambda a: a.T.copy(), lambda a: a @ values.T, lambda a: a[:, ::2] * 2, bytes):
        np.testing.assert_array_equal(operation(array), operation(values))


def test_views_outlive_the_file_name(tmp_path: Path) -> None:
    path = write(tmp_path, tiny())
    (array, _) = read_weights(path).blobs["conv"]
    path.unlink()
    assert array[0, 0] == 0.5


def test_double_data_wins(tmp_path: Path) -> None:
    item = BlobProto(shape=BlobShape(dim=[2]), data=[1, 2, 3], double_data=[0.1, 0.2])
    (array,) = read_weights(write(tmp_path, NetParameter(layer=[LayerParameter(name="a", blobs=[item])]))).blobs["a"]
    assert array.dtype == np.float64
    assert array.tolist() == [0.1, 0.2]


@pytest.mark.parametrize(("value", "fits"), [(1e30, True), (-3.4e38, True), (3.5e38, False), (-1e300, False)])
def test_doubles_beyond_single_precision_are_refused(tmp_path: Path, value: float, fits: bool) -> None:
    item = BlobProto(shape=BlobShape(dim=[2]), double_data=[0.1, value])
    weights = read_weights(write(tmp_path, NetParameter(layer=[LayerParameter(name="fc", blobs=[item])])))
    net = CaffeNet("n", (CaffeLayer(LayerParameter(name="fc", type="Bias")),))
    if fits:
        require_finite(net, weights)
    else:
        with pytest.raises(WeightsError, match="blob 0 has numbers"):
            require_finite(net, weights)


def test_gradients_are_ignored(tmp_path: Path) -> None:
    item = BlobProto(shape=BlobShape(dim=[1]), data=[5], diff=[1, 2, 3], double_diff=[4])
    (array,) = read_weights(write(tmp_path, NetParameter(layer=[LayerParameter(name="a", blobs=[item])]))).blobs["a"]
    assert array.tolist() == [5]


@pytest.mark.parametrize(
    ("item", "shape"),
    [
        (BlobProto(num=1, channels=1, height=2, width=3, data=VALUES), (1, 1, 2, 3)),
        (BlobProto(width=6, channels=1, num=1, height=1, data=VALUES), (1, 1, 1, 6)),
        (BlobProto(num=1, channels=1, height=1, width=6, shape=BlobShape(dim=[6]), data=VALUES), (1, 1, 1, 6)),
        (BlobProto(num=0), (0, 0, 0, 0)),
        (BlobProto(data=[3]), ()),
        (BlobProto(shape=BlobShape(), data=[3]), ()),
        (BlobProto(shape=BlobShape(dim=[3, 0])), (3, 0)),
    ],
)
def test_shapes(tmp_path: Path, item: BlobProto, shape: tuple[int, ...]) -> None:
    (array,) = read_weights(write(tmp_path, NetParameter(layer=[LayerParameter(name="a", blobs=[item])]))).blobs["a"]
    assert array.shape == shape
    assert array.dtype == np.float32


def _v1(kind: type[V0LayerParameter] | type[V1LayerParameter]) -> Any:
    return kind(name="conv", blobs=[BlobProto(num=1, channels=1, height=1, width=2, data=[1, 2])])


def test_v1(tmp_path: Path) -> None:
    net = NetParameter(layers=[_v1(V1LayerParameter)])
    assert as_lists(read_weights(write(tmp_path, net))) == {"conv": [((1, 1, 1, 2), [1, 2])]}


def test_v0(tmp_path: Path) -> None:
    # The outer name and blobs do not count in a V0 file, not even of a layer that has no inner one.
    outer = V1LayerParameter(name="outer", blobs=[blob([1], [9])])
    net = NetParameter(layers=[V1LayerParameter(name="x", layer=_v1(V0LayerParameter)), outer])
    assert as_lists(read_weights(write(tmp_path, net))) == {"conv": [((1, 1, 1, 2), [1, 2])], "": []}


def test_of_two_layers_with_one_name_the_later_counts(tmp_path: Path) -> None:
    net = NetParameter(layer=[LayerParameter(name="a", blobs=[blob([1], [value])]) for value in (1, 2)])
    assert as_lists(read_weights(write(tmp_path, net))) == {"a": [((1,), [2])]}


def test_layer_beside_layers(tmp_path: Path) -> None:
    net = NetParameter(layers=[_v1(V1LayerParameter)], layer=[LayerParameter(name="a")])
    assert "both `layer` and `layers`" in refuse(write(tmp_path, net)).message


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    data = tiny().SerializeToString().replace(b"conv", b"c\xe9nv")
    assert r"c\xe9nv" in read_weights(write(tmp_path, data)).blobs


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + varint(value // 128)


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def one_blob(tmp_path: Path, content: bytes) -> Array:
    """The blob whose message has these bytes, behind a shape of six."""
    message = field(7, field(1, bytes([6]))) + content
    (array,) = read_weights(write(tmp_path, field(100, field(1, b"a") + field(7, message)))).blobs["a"]
    return array


PACKED = np.array(VALUES, "<f4").tobytes()
UNPACKED = b"".join(b"\x2d" + PACKED[at : at + 4] for at in range(0, 24, 4))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(UNPACKED, id="unpacked"),
        pytest.param(field(5, PACKED[:8]) + field(5, PACKED[8:]), id="two-packed-runs"),
        pytest.param(field(5, PACKED[:8]) + UNPACKED[10:], id="packed-then-unpacked"),
        pytest.param(UNPACKED[:15] + b"\x32\x00" + UNPACKED[15:], id="two-unpacked-runs"),
        pytest.param(field(5, b"") + field(5, PACKED) + field(5, b""), id="empty-runs"),
        pytest.param(field(5, PACKED) + b"\x2a\x00" + b"\x28\x07", id="number-of-another-type"),
        pytest.param(b"\x35\0\0\0\0" * 9 + field(5, PACKED) + b"\x49" + bytes(8), id="unpacked-gradients"),
        pytest.param(field(99, b"fork") + field(5, PACKED), id="unknown-field"),
    ],
)
def test_data_in_pieces(tmp_path: Path, content: bytes) -> None:
    array = one_blob(tmp_path, content)
    assert array.tobytes() == PACKED
    assert not array.flags.writeable


def test_unpacked_doubles(tmp_path: Path) -> None:
    array = one_blob(tmp_path, b"".join(b"\x41" + np.float64(value).tobytes() for value in VALUES) + field(5, PACKED))
    assert array.dtype == np.float64
    assert array.tolist() == VALUES


def test_a_shape_in_pieces_and_unpacked(tmp_path: Path) -> None:
    message = field(7, b"\x08\x02") + field(7, field(1, b"\x03")) + field(5, PACKED)
    (array,) = read_weights(write(tmp_path, field(100, field(1, b"a") + field(7, message)))).blobs["a"]
    assert array.shape == (2, 3)


def test_a_million_unpacked_values_are_no_python_loop(tmp_path: Path) -> None:
    values = np.arange(1_000_000, dtype="<f4")
    rows = np.empty((len(values), 5), np.uint8)
    rows[:, 0], rows[:, 1:] = 0x2D, values.view(np.uint8).reshape(-1, 4)
    message = field(7, field(1, varint(len(values)))) + rows.tobytes()
    (array,) = read_weights(write(tmp_path, field(100, field(1, b"a") + field(7, message)))).blobs["a"]
    assert np.array_equal(array, values)


def _caffemodels() -> list[str]:
    return sorted(str(path.relative_to(SHARED)) for path in SHARED.rglob("*.caffemodel"))


def test_every_file_at_hand_reads_as_protobuf_reads_it() -> None:
    shared("models")
    names = _caffemodels()
    assert len(names) > 100
    for name in names:
        path = SHARED / name
        assert as_lists(read_weights(path)) == by_protobuf(path.read_bytes()), name


@pytest.mark.parametrize("form", ["v0", "v1", "double", "stripped"])
@pytest.mark.parametrize("net", ["alex", "inception"])
def test_every_form_has_the_weights_of_the_new_one(net: str, form: str) -> None:
    new = read_weights(shared("golden", "caffe", "formats", f"{net}_new", "net.caffemodel")).blobs
    got = read_weights(shared("golden", "caffe", "formats", f"{net}_{form}", "net.caffemodel")).blobs
    for name, blobs in new.items():
        if blobs:
            assert [array.reshape(-1).astype(np.float32).tobytes() for array in got[name]] == [array.tobytes() for array in blobs]


def test_a_large_file_is_neither_read_nor_copied(tmp_path: Path) -> None:
    # 3 GB of holes: reading them would take seconds and gigabytes, finding the blobs touches two pages.
    count = 750_000_000
    item = BlobProto(shape=BlobShape(dim=[count])).SerializeToString() + b"\x2a" + varint(4 * count)
    layer = field(1, b"fc6") + b"\x3a" + varint(len(item) + 4 * count) + item
    path = write(tmp_path, b"\xa2\x06" + varint(len(layer) + 4 * count) + layer)
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size + 4 * count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (array,) = read_weights(path).blobs["fc6"]
    assert array.shape == (count,)
    assert array[-1] == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


# ---- blobs that contradict themselves


@pytest.mark.parametrize(
    ("item", "words"),
    [
        pytest.param(blob([2, 2], VALUES), "the shape 2×2 needs 4 numbers, but 6 are there", id="too-many"),
        pytest.param(blob([7], VALUES), "needs 7 numbers, but 6", id="too-few"),
        pytest.param(blob([3], []), "needs 3 numbers, but 0", id="none"),
        pytest.param(BlobProto(data=VALUES), "the shape () needs 1 numbers, but 6", id="no-shape"),
        pytest.param(BlobProto(num=2, data=[1, 2]), "2×0×0×0 needs 0 numbers, but 2", id="legacy-incomplete"),
        pytest.param(blob([-1, -6], VALUES), "-1×-6 is no shape", id="negative"),
        pytest.param(BlobProto(num=-1, channels=1, height=1, width=1), "-1×1×1×1 is no shape", id="negative-legacy"),
        pytest.param(blob([2**40, 2**40], []), "is no shape", id="beyond-an-int"),
        pytest.param(blob([1] * 33, [1]), "1×1×1×1×1×1×1×1×… is no shape", id="too-many-axes"),
        pytest.param(blob([0] * 40, []), "is no shape", id="too-many-empty-axes"),
    ],
)
def test_wrong_count(tmp_path: Path, item: BlobProto, words: str) -> None:
    layer = LayerParameter(name="conv", blobs=[blob([1], [1]), item])
    error = refuse(write(tmp_path, NetParameter(layer=[layer])))
    assert error.message.startswith("blob 1: ")
    assert words in error.message
    assert error.where.layer == "conv"


def test_packed_data_of_a_broken_length(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="blob 0: the 23 bytes at byte") as caught:
        one_blob(tmp_path, field(5, PACKED[:-1]))
    assert caught.value.where.layer == "a"


# ---- files that are cut short, flipped, or something else


def test_cut_short_anywhere(tmp_path: Path) -> None:
    data = tiny().SerializeToString()
    whole = by_protobuf(data)
    for length in range(1, len(data)):
        path = write(tmp_path, data[:length])
        try:
            weights = read_weights(path)
        except ParseError as error:
            assert error.remedy  # noqa: PT017
        else:  # cut between two layers
            assert whole.items() > as_lists(weights).items()


def test_a_message_about_a_short_file(tmp_path: Path) -> None:
    data = tiny().SerializeToString()
    error = refuse(write(tmp_path, data[:-3]))
    assert "but only" in error.message
    assert "checksum" in error.remedy


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 8 * len(tiny().SerializeToString()) - 1))
def test_flipped_bits_are_read_as_protobuf_reads_them_or_refused(tmp_path: Path, bit: int) -> None:
    data = bytearray(tiny().SerializeToString())
    data[bit // 8] ^= 1 << bit % 8
    path = write(tmp_path, bytes(data))
    try:
        weights = read_weights(path)
    except ParseError:
        return
    with contextlib.suppress(DecodeError):  # in a part that we need not read
        expected = repr(by_protobuf(bytes(data)))  # equal NaNs, too
        assert {name for name in weights.blobs if "\\x" in name} or repr(as_lists(weights)) == expected


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80), st.sampled_from([b"", b"\xa2\x06", b"\x12", b"\xa2\x06\x10\x3a\x0e"]))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, head: bytes) -> None:
    with contextlib.suppress(ParseError):
        read_weights(write(tmp_path, head + data))


@pytest.mark.parametrize("where", [0, 3, 5])
def test_a_length_of_2_to_the_60_is_refused(tmp_path: Path, where: int) -> None:
    huge = varint(2**60)
    data = {0: b"\xa2\x06" + huge, 3: field(100, b"\x3a" + huge), 5: field(100, field(1, b"a") + field(7, b"\x2a" + huge))}[where]
    assert "1,152,921,504,606,846,976 bytes" in refuse(write(tmp_path, data)).message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"<!DOCTYPE html><html></html>", "HTML page", id="html"),
        pytest.param(b'name: "net"\nlayer { }\n', "this is text", id="prototxt"),
        pytest.param(b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5", id="hdf5"),
        pytest.param(gzip.compress(b"x"), "gzip", id="gzip"),
        pytest.param(b"PK\x03\x04" + bytes(99), "zip", id="zip"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", id="lfs"),
        pytest.param(NetParameter(name="x", input_dim=[1]).SerializeToString(), "no layer", id="no-layers"),
        pytest.param(BlobProto(num=1, channels=3, data=[1, 2, 3]).SerializeToString(), "no layer", id="binaryproto"),
        pytest.param(bytes(100), "begins no field", id="zeros"),
    ],
)
def test_other_files(tmp_path: Path, data: bytes, words: str) -> None:
    error = refuse(write(tmp_path, data))
    assert words in error.message
    assert error.remedy


def test_hdf5_says_what_to_do(tmp_path: Path) -> None:
    assert "BINARYPROTO" in refuse(write(tmp_path, b"\x89HDF\r\n\x1a\n", "net.caffemodel.h5")).remedy


def test_missing_folder_and_pipe(tmp_path: Path) -> None:
    assert "No such file" in refuse(tmp_path / "none").message
    assert "directory" in refuse(tmp_path).message
    os.mkfifo(tmp_path / "pipe")
    assert "ordinary file" in refuse(tmp_path / "pipe").message
