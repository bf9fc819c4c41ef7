"""The scanner against protobuf itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe2neon import wire
from caffe2neon.caffe.caffe_pb2 import BlobProto, BlobShape, LayerParameter, NetParameter
from caffe2neon.errors import ParseError
from tests.caffe.messages import messages


def encode(value: int) -> bytes:
    """A varint, written down from protobuf's documentation."""
    out = bytearray()
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def scan(data: bytes) -> list[wire.Field]:
    return list(wire.fields(data, 0, len(data)))


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_varint(value: int, tail: bytes) -> None:
    data = encode(value)
    assert wire.varint(data + tail, 0, len(data + tail)) == (value, len(data))


@given(st.integers(0, 2**64 - 1))
def test_varint_as_protobuf_writes_it(value: int) -> None:
    assert wire.to_varint(value) == encode(value)


@given(st.binary(max_size=300))
def test_a_field_as_protobuf_writes_it(content: bytes) -> None:
    (number,) = wire.numbers(LayerParameter, "name")
    name = content.decode("latin-1")
    assert wire.field(number, name.encode()) == LayerParameter(name=name).SerializeToString()
    assert wire.head(number, len(content)) == encode(number << 3 | wire.LENGTH) + encode(len(content))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\x80" * 11])
def test_varint_without_an_end(data: bytes) -> None:
    with pytest.raises(ParseError, match="the number at byte 0 does not end"):
        wire.varint(data, 0, len(data))


def test_varint_does_not_look_beyond_its_message() -> None:
    with pytest.raises(ParseError):
        wire.varint(b"\x80\x01", 0, 1)


@given(st.integers(-(2**31), 2**31 - 1))
def test_signed(value: int) -> None:
    # A negative int32 is written as 64 bits.
    assert wire.signed(value % 2**64, 32) == value
    assert wire.signed(value % 2**64, 64) == value


@given(messages(NetParameter))
def test_top_level_fields_are_those_of_protobuf(net: NetParameter) -> None:
    data = net.SerializeToString()
    fields = scan(data)
    assert [field.first for field in fields] == [0, *(field.stop for field in fields)][:-1]
    found = [LayerParameter.FromString(data[field.start : field.stop]) for field in fields if field.number == 100]
    assert [layer.SerializeToString() for layer in found] == [layer.SerializeToString() for layer in net.layer]
    assert {field.number for field in fields} == {field.number for field, _ in net.ListFields()}


@pytest.mark.parametrize("wire_type", [wire.VARINT, wire.FIXED64, wire.FIXED32, wire.LENGTH])
def test_unknown_fields_of_every_kind(wire_type: int) -> None:
    value = {wire.VARINT: b"\x96\x01", wire.FIXED64: b"12345678", wire.FIXED32: b"1234", wire.LENGTH: b"\x03abc"}[wire_type]
    data = encode(1000 << 3 | wire_type) + value
    (field,) = scan(data)
    assert (field.number, field.wire, field.first, field.stop) == (1000, wire_type, 0, len(data))


def test_groups_are_passed_over() -> None:
    inner = encode(7 << 3 | 3) + b"\x08\x05" + encode(7 << 3 | 4)
    data = encode(6 << 3 | 3) + inner + b"\x12\x01x" + encode(6 << 3 | 4) + b"\x0a\x01n"
    group, name = scan(data)
    assert (group.number, name.number, data[name.start : name.stop]) == (6, 1, b"n")


def test_very_deep_groups_are_no_recursion() -> None:
    data = b"\x0b" * 100_000 + b"\x0c" * 100_000
    assert len(scan(data)) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"\x0e\x00", "byte 0 begins no field", id="wire-type-6"),
        pytest.param(b"\x00\x00", "byte 0 begins no field", id="number-0"),
        pytest.param(encode(1 << 32), "byte 0 begins no field", id="number-too-large"),
        pytest.param(b"\x0c", "byte 0 begins no field", id="end-of-no-group"),
        pytest.param(b"\x08\x01\x0a\x05abc", "the field at byte 2 has 5 bytes, but only 3 are left", id="cut-short"),
        pytest.param(b"\x0a" + encode(2**60), "1,152,921,504,606,846,976 bytes, but only 0 are left", id="length-of-2-to-the-60"),
        pytest.param(b"\x0a" + encode(2**64 - 1), "but only 0 are left", id="length-minus-1"),
        pytest.param(b"\x0d123", "has 4 bytes, but only 3", id="fixed32-cut-short"),
        pytest.param(b"\x09123", "has 8 bytes, but only 3", id="fixed64-cut-short"),
        pytest.param(b"\x0b\x08\x01", "the number at byte 3 does not end", id="group-without-end"),
        pytest.param(b"\x0b\x14", "byte 1 ends a group that is not open", id="groups-crossed"),
        pytest.param(b"\x08", "the number at byte 1 does not end", id="no-value"),
    ],
)
def test_broken(data: bytes, words: str) -> None:
    with pytest.raises(ParseError) as caught:
        scan(data)
    assert words in caught.value.message
    assert "download it again" in caught.value.remedy


@given(st.binary(max_size=60))
def test_any_bytes_are_scanned_or_refused(data: bytes) -> None:
    try:
        fields = scan(data)
    except ParseError:
        return
    assert sum(field.stop - field.first for field in fields) == len(data)


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=300))
def test_packed_is_a_view(values: list[float]) -> None:
    data = b"x" + BlobProto(data=values).SerializeToString()
    for field in wire.fields(data, 1, len(data)):
        array = wire.packed(data, field, np.dtype("<f4"))
        assert array.tolist() == values
        assert not array.flags.owndata
        assert not array.flags.writeable


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=3000), st.sampled_from([b"", b"\x08\x05", b"\x2d12"]))
def test_unpacked_runs(values: list[float], tail: bytes) -> None:
    run = b"".join(b"\x2d" + np.float32(value).tobytes() for value in values)
    data = b"\x08\x01" + run + tail
    _, first, *_ = [wire.field_at(data, 0, len(data)), wire.field_at(data, 2, len(data))]
    array, end = wire.unpacked(data, first, len(data), np.dtype("<f4"))
    assert array.tolist() == values
    assert end == 2 + len(run)


def test_unpacked_with_a_long_tag() -> None:
    tag = encode(3000 << 3 | wire.FIXED64)
    data = (tag + np.float64(1).tobytes()) * 3 + b"\x08\x01"
    array, end = wire.unpacked(data, wire.field_at(data, 0, len(data)), len(data), np.dtype("<f8"))
    assert (array.tolist(), end) == ([1, 1, 1], len(data) - 2)


def test_packed_varints() -> None:
    data = BlobShape(dim=[1, 300, 2**40]).SerializeToString()
    (field,) = scan(data)
    assert wire.varints(data, field.start, field.stop) == [1, 300, 2**40]
