"""The safe reader: every recorded file of the real neon, and a named test for each corruption and each attack."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe2neon.errors import PrmError
from caffe2neon.neon import parse_prm, read_prm, reader, write_prm, write_prm_stream
from caffe2neon.records import NeonContainer, NeonLayer, NeonModel
from tests.conftest import SHARED, shared

_GOLDEN = sorted(path.name for path in (SHARED / "golden" / "neon").glob("*.prm"))


def small() -> NeonModel:
    layer = NeonLayer("neon.layers.layer.Linear", {"name": "fc", "nout": 2, "init": None}, {"W": np.ones((2, 3), np.float32)})
    return NeonModel(NeonContainer("neon.layers.container.Sequential", {"name": "main"}, (layer,)), {"epoch_index": 1})


def written(model: NeonModel) -> bytes:
    stream = io.BytesIO()
    write_prm_stream(model, stream)
    return stream.getvalue()


SMALL = written(small())
#: A model whose header holds one more value, whose pickle a test puts in.
_HEAD = SMALL[:-2]  # without SETITEMS and STOP


def with_value(value: bytes) -> bytes:
    return _HEAD + b"U\x01x" + value + b"u."


# ---- the real neon's files ----


@pytest.mark.parametrize("name", _GOLDEN or ["net_lenet.prm"])
def test_recorded_file_reads_and_writes_itself_again(name: str) -> None:
    first = written(read_prm(shared("golden", "neon", name)))
    assert written(parse_prm(first)) == first


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated")
@pytest.mark.parametrize("name", ["net_googlenet_tree", "pickle_fortran_f64", "pickle_protocol0_bn", "live_fitted"])
def test_arrays_are_those_that_pythons_own_unpickler_finds(name: str) -> None:
    path = shared("golden", "neon", f"{name}.prm")
    expected: list[Any] = []

    def collect(node: dict[str, Any]) -> None:
        for item in node["config"].get("layers", []):
            expected.extend(item.get("params", {}).values())
            collect(item)

    collect(pickle.loads(path.read_bytes(), encoding="latin-1")["model"])
    found = [array for layer in read_prm(path).root.walk() for array in layer.params.values()]
    assert len(found) == len(expected) > 0
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_unicode_keys_and_protocol_0_give_the_same_kind_of_model() -> None:
    for name in ("pickle_unicode_keys", "pickle_protocol0"):
        model = read_prm(shared("golden", "neon", f"{name}.prm"))
        assert model.header["backend"] == {"compat_mode": "caffe"}
        assert all(isinstance(key, str) for layer in model.root.walk() for key in layer.config)


def test_gz_is_opened_as_neon_does(tmp_path: Path) -> None:
    path = tmp_path / "m.prm.gz"
    path.write_bytes(gzip.compress(SMALL, mtime=0))
    assert written(read_prm(path)) == SMALL


def test_a_large_array_is_a_view_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.prm"
    layer = NeonLayer("neon.layers.layer.Linear", {"name": "fc"}, {"W": np.ones((4, 1 << 20), np.float32)})
    write_prm(NeonModel(NeonContainer("neon.layers.container.Sequential", {}, (layer,)), {}), path)
    tracemalloc.start()
    model = read_prm(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    array = next(model.root.walk()).params["W"]
    assert isinstance(array, np.ndarray)
    assert array.sum() == 4 << 20
    assert not array.flags.writeable
    assert peak < 1 << 20


# ---- damage ----

_DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "html": (b"<!DOCTYPE html><html>", "HTML page"),
    "random": (bytes(range(97, 123)), "does not begin as a pickle does"),
    "a caffemodel": (b"\x0a\x03net" + bytes(range(50)), "does not begin as a pickle does"),
    "truncated": (SMALL[:-20], "ends in the middle"),
    "cut in the array": (SMALL[: SMALL.index(b"\x00\x00\x80?") + 2], "ends in the middle"),
    "bytes after the end": (SMALL + b"x", "1 bytes follow"),
    "a list on top": (b"\x80\x02].", "holds a list"),
    "no model": (b"\x80\x02}.", "no key 'model'"),
    "old format": (b"\x80\x02}U\x13layer_params_states]s.", "old format"),
    "model is a number": (b"\x80\x02}U\x05modelK\x01s.", "is a int"),
    "model without type": (b"\x80\x02}U\x05model}s.", "has no 'type'"),
    "protocol 4": (pickle.dumps({"model": 1}, 4), "protocol 4"),
    "two values": (b"\x80\x02K\x01K\x02.", "damaged"),
    "unbalanced key": (b"\x80\x02}(K\x01u.", "damaged"),
    "unknown opcode": (b"\x80\x02\xff.", "damaged"),
    "stack underflow": (b"\x80\x02s.", "damaged"),
    "memo that was never put": (b"\x80\x02h\x05.", "damaged"),
    "foreign escape in protocol 0": (b"(S'\\q'\n.", "damaged"),
    "number that is none": (b"(Iabc\n.", "damaged"),
}


@pytest.mark.parametrize("case", _DAMAGED)
def test_damage_is_one_error_with_file_and_remedy(case: str, tmp_path: Path) -> None:
    data, message = _DAMAGED[case]
    path = tmp_path / "bad.prm"
    path.write_bytes(data)
    with pytest.raises(PrmError, match=message) as caught:
        read_prm(path)
    assert caught.value.where.path == str(path)
    assert caught.value.remedy


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PrmError, match="No such file"):
        read_prm(tmp_path / "none.prm")


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(PrmError, match="cannot read"):
        read_prm(tmp_path)


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(SMALL)[:-9]], ids=["not gzip", "truncated"])
def test_damaged_gz(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.prm.gz"
    path.write_bytes(data)
    with pytest.raises(PrmError, match="damaged"):
        read_prm(path)


def test_parameter_that_is_no_array() -> None:
    layer = NeonLayer("neon.layers.layer.Linear", {"name": "fc"}, {}, {"params": {"W": [1.0]}})
    with pytest.raises(PrmError, match="not an array") as caught:
        parse_prm(written(NeonModel(NeonContainer("neon.layers.container.Sequential", {}, (layer,)), {})))
    assert caught.value.where.layer == "fc"


@given(st.integers(0, len(SMALL) * 8 - 1))
def test_a_flipped_bit_gives_a_model_or_a_prm_error(bit: int) -> None:
    data = bytearray(SMALL)
    data[bit // 8] ^= 1 << bit % 8
    read_or_refuse(bytes(data))


@given(st.integers(0, len(SMALL) - 1))
def test_every_truncation_is_refused(length: int) -> None:
    with pytest.raises(PrmError):
        parse_prm(SMALL[:length])


@settings(max_examples=300)
@given(st.lists(st.sampled_from([bytes([n]) for n in range(256)] + [b"}", b"]", b"(", b"K\x01", b"U\x01a", b"q\x01", b"h\x01"])))
def test_random_opcodes_give_a_model_or_a_prm_error(parts: list[bytes]) -> None:
    read_or_refuse(b"\x80\x02" + b"".join(parts) + b".")


def read_or_refuse(data: bytes) -> None:
    """Any other exception fails the test."""
    with contextlib.suppress(PrmError):
        parse_prm(data)


# ---- attacks ----


class Evil:
    """Its pickle creates a file when loaded by a reader that trusts it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"touch {self.target}",)


def test_attack_os_system_by_reduce(tmp_path: Path) -> None:
    for protocol in (0, 1, 2):
        path = tmp_path / "evil.prm"
        path.write_bytes(pickle.dumps({"model": Evil(tmp_path / "touched")}, protocol))
        with pytest.raises(PrmError, match=r"posix.system.*not on the allow list"):
            read_prm(path)
    assert not (tmp_path / "touched").exists()


def refused(value: bytes, message: str) -> None:
    with pytest.raises(PrmError, match=message):
        parse_prm(with_value(value))


def test_attack_build_with_setstate() -> None:
    refused(b"}}U\x0c__setstate__cos\nsystem\nsb", "not on the allow list")
    refused(b"}}b", "sets the state of something")


def test_attack_build_of_an_allowed_constructor() -> None:
    refused(b"cnumpy\nndarray\n}b", "sets the state of something")


def test_attack_inst() -> None:
    refused(b"(S'true'\nios\nsystem\n", "INST")


def test_attack_obj() -> None:
    refused(b"(cnumpy\nndarray\nK\x01o", "OBJ")


def test_attack_newobj() -> None:
    refused(b"cnumpy\nndarray\n)\x81", "NEWOBJ")


@pytest.mark.parametrize("opcode", [b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"], ids=["EXT1", "EXT2", "EXT4"])
def test_attack_extension_codes(opcode: bytes) -> None:
    refused(opcode, "registered extension")


@pytest.mark.parametrize("opcode", [b"Pname\n", b"K\x01Q"], ids=["PERSID", "BINPERSID"])
def test_attack_persistent_ids(opcode: bytes) -> None:
    refused(opcode, "persistent id")


@pytest.mark.parametrize(
    "name", [b"cnumpy\ndtype.__class__\n", b"cnumpy.core.multiarray\n_reconstruct.__globals__\n", b"cnumpy \ndtype\n"]
)
def test_attack_dotted_and_padded_globals(name: bytes) -> None:
    refused(name, "not on the allow list")


def test_attack_numpy_load_by_name() -> None:
    refused(b"cnumpy\nload\nU\x05/etc/\x85R", "not on the allow list")


def test_numpy_2s_module_name_is_explained() -> None:
    refused(b"cnumpy._core.multiarray\n_reconstruct\n", "only numpy 2 has")


def test_attack_codecs_encode_with_another_codec() -> None:
    """Only ever latin-1, whatever the file asks for: no codec is looked up by a name from the file."""
    model = parse_prm(with_value(b"c_codecs\nencode\nX\x03\x00\x00\x00abcX\x03\x00\x00\x00hex\x86R"))
    assert model.header["x"] == "abc"


def test_nested_pickles_stay_text() -> None:
    inner = pickle.dumps(Evil(Path("never")), 2)
    model = parse_prm(with_value(b"T" + struct.pack("<i", len(inner)) + inner))
    assert isinstance(model.header["x"], str)


def test_a_bare_constructor_is_no_value() -> None:
    refused(b"cnumpy\ndtype\n", "neither data nor an array")


@pytest.mark.parametrize("close", [b"\x86", b"l"], ids=["tuples", "lists"])
def test_attack_billion_laughs(close: bytes) -> None:
    """2^60 values by 60 doublings of what the memo holds."""
    mark = b"(" if close == b"l" else b""
    steps = (b"0%bh%ch%c%bq%c" % (mark, n, n, close, n + 1) for n in range(60))
    refused(b")q\x00" + b"".join(steps), "more than 2,000,000 values")


def test_attack_a_shared_long_text_is_decoded_once() -> None:
    text = b"x" * 1_000_000
    bomb = b"T" + struct.pack("<i", len(text)) + text + b"q\x00" + b"0(" + b"h\x00" * 10_000 + b"l"
    tracemalloc.start()
    parse_prm(with_value(bomb))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


def test_attack_a_list_that_holds_itself() -> None:
    refused(b"]q\x00h\x00a", "nested deeper")


def test_attack_deep_nesting() -> None:
    refused(b"]" * 100_000 + b"a" * 99_999, "nested deeper")


def test_attack_too_many_opcodes() -> None:
    refused(b"N0" * 1_600_000 + b"N", "pickle opcodes")


@pytest.mark.parametrize(
    "value",
    [
        b"T\xff\xff\xff\x7fabc",
        b"T\xff\xff\xff\xffabc",
        b"X\xff\xff\xff\xffabc",
        b"\x8b\xff\xff\xff\x7fabc",
        b"\x8b\xff\xff\xff\xffabc",
        b"I" + b"9" * 100_000 + b"\n",
        b"L" + b"9" * 100_000 + b"L\n",
        b"U\xffabc",
    ],
    ids=["BINSTRING", "negative BINSTRING", "BINUNICODE", "LONG4", "negative LONG4", "INT", "LONG", "SHORT_BINSTRING"],
)
def test_attack_huge_declared_lengths(value: bytes) -> None:
    tracemalloc.start()
    refused(value, "damaged")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


_EMPTY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"


_STATE = b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"


def array_state(shape: bytes, dtype: bytes = b"f4", state: bytes = _STATE, data: bytes = b"U\x04abcd") -> bytes:
    code = b"U" + bytes([len(dtype)]) + dtype
    return _EMPTY + b"(K\x01" + shape + b"cnumpy\ndtype\n" + code + b"K\x00K\x01\x87R" + state + b"b\x89" + data + b"tb"


def test_the_array_helper_makes_an_array() -> None:
    np.testing.assert_array_equal(parse_prm(with_value(array_state(b"K\x01\x85"))).header["x"], np.frombuffer(b"abcd", "<f4"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (array_state(b"K\x02\x85"), "has 4 bytes"),
        (array_state(b"\x8a\x08" + b"\xff" * 7 + b"\x7f\x85"), "has 4 bytes"),
        (array_state(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86"), "has 4 bytes"),
        (array_state(b"K\x00\x8a\x08" + b"\xff" * 7 + b"\x7f\x86", data=b"U\x00"), "damaged|has 0 bytes"),
        (array_state(b"K\x01\x85", dtype=b"O8"), "dtype 'O8'"),
        (array_state(b"K\x01\x85", dtype=b"V4"), "dtype 'V4'"),
        (array_state(b"K\x01\x85", dtype=b"f4,f4"), "dtype 'f4,f4'"),
        (array_state(b"K\x01\x85", state=b"(K\x03U\x01<U\x02f4NNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"), "structured dtype"),
        (array_state(b"K\x01\x85", state=b"(K\x03U\x01xNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"), "damaged"),
        (array_state(b"]"), "not as numpy writes it"),
        (array_state(b"K\x01\x85", data=b"]"), "damaged"),
        (_EMPTY, "array without values"),
        (_EMPTY + b"K\x01b", "not as numpy writes it"),
        (b"cnumpy\nndarray\nK\x05\x85R", "as neon never does"),
        (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85U\x01b\x87R", "as neon never does"),
        (b"K\x01K\x02\x85R", "no function"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_attack_hostile_array(value: bytes, message: str) -> None:
    refused(value, message)


def test_attack_unhashable_and_array_keys() -> None:
    refused(b"}]K\x01s", "neither text nor a number")
    refused(b"}" + array_state(b"K\x01\x85") + b"K\x01s", "neither text nor a number")


def test_attack_gz_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "UNPACKED_FLOOR", 1 << 20)
    path = tmp_path / "bomb.prm.gz"
    path.write_bytes(gzip.compress(bytes(3 << 20)))
    with pytest.raises(PrmError, match="unpacks to more than"):
        read_prm(path)
