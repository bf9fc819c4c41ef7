"""Databases are written by the lmdb package, and their records by protobuf."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe2neon.caffe.caffe_pb2 import Datum
from caffe2neon.errors import DataError, ParseError, PictureError
from caffe2neon.evaluate import Dataset, open_dataset
from caffe2neon.evaluate.lmdb_datums import _parse
from caffe2neon.records import Array, DatasetSpec
from tests.evaluate.helpers import decoded, jpeg, picture


def database(path: Path, records: Mapping[str, bytes], *, subdir: bool = True) -> Path:
    environment = lmdb.open(str(path), subdir=subdir, map_size=1 << 26, lock=False)
    with environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key.encode(), value)
    environment.close()
    return path


def opened(path: Path, class_order: str = "") -> Dataset:
    return open_dataset(DatasetSpec("val", "lmdb", path, class_order=class_order))


def raw(image: Array, label: int) -> bytes:
    """As Caffe's CVMatToDatum: (H, W, C) -> (C, H, W)."""
    height, width, channels = image.shape
    data = image.transpose(2, 0, 1).tobytes()
    return Datum(channels=channels, height=height, width=width, data=data, label=label).SerializeToString()


def encoded(data: bytes, label: int) -> bytes:
    return Datum(channels=3, height=1, width=1, data=data, label=label, encoded=True).SerializeToString()


def floats(values: Array, label: int) -> bytes:
    channels, height, width = values.shape
    return Datum(channels=channels, height=height, width=width, float_data=values.ravel().tolist(), label=label).SerializeToString()


PICTURE = picture(1, 40, 30)
FLOATS = np.random.Generator(np.random.PCG64(2)).standard_normal((3, 5, 7), dtype=np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    records = {
        "00000002_b": encoded(jpeg(PICTURE), 7),
        "00000000_z": raw(PICTURE, 999),
        "00000001_a": raw(PICTURE[..., :1], 0),
        "00000003_f": floats(FLOATS, 5),
    }
    return database(tmp_path / "val_lmdb", records)


def test_records_come_in_the_order_of_their_keys(path: Path) -> None:
    dataset = opened(path)
    assert (dataset.name, dataset.class_order, len(dataset)) == ("val", "caffe", 4)
    assert dataset.labels.tolist() == [999, 0, 7, 5]
    assert opened(path, class_order="neon").class_order == "neon"


def test_raw_channels_stay_as_they_were_stored(path: Path) -> None:
    dataset = opened(path)
    for order in ("BGR", "RGB"):
        assert np.array_equal(dataset.picture(0, order), PICTURE)
    assert np.array_equal(dataset.picture(1, "GRAY"), PICTURE[..., :1])


def test_encoded_pictures_are_decoded_as_asked(path: Path) -> None:
    dataset = opened(path)
    assert np.array_equal(dataset.picture(2, "BGR"), decoded(jpeg(PICTURE)))
    assert np.array_equal(dataset.picture(2, "RGB"), decoded(jpeg(PICTURE))[..., ::-1])
    assert dataset.picture(2, "GRAY").shape == (40, 30)


def test_floats(path: Path) -> None:
    read = opened(path).picture(3, "BGR")
    assert read.dtype == np.float32
    assert np.array_equal(read, FLOATS.transpose(1, 2, 0))


def test_bytes_go_before_floats(tmp_path: Path) -> None:
    both = Datum(channels=1, height=1, width=2, data=b"\x05\xff", float_data=[1, 2])
    image = opened(database(tmp_path / "db", {"a": both.SerializeToString()})).picture(0, "GRAY")
    assert image.tolist() == [[[5], [255]]]


def test_a_single_file(tmp_path: Path) -> None:
    assert opened(database(tmp_path / "val.mdb", {"a": raw(PICTURE, 3)}, subdir=False)).labels.tolist() == [3]


def test_opened_twice_and_read_in_any_thread(path: Path) -> None:
    both = [opened(path), opened(path / ".." / path.name)]
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda dataset, index: dataset.picture(index, "BGR"), both * 100, [0, 1, 2, 3] * 50))
    assert all(np.array_equal(read[index], read[index % 4]) for index in range(200))
    both.clear()
    lmdb.open(str(path), readonly=True, lock=False).close()  # nothing of ours is open any more


def test_nothing_is_written(path: Path) -> None:
    opened(path).picture(0, "BGR")
    assert [file.name for file in path.iterdir()] == ["data.mdb"]


def test_more_than_lmdbs_default_size(tmp_path: Path) -> None:
    large = np.zeros((2000, 3000, 3), np.uint8)
    dataset = opened(database(tmp_path / "db", {"a": raw(large, 1), "b": raw(large, 2)}))
    assert dataset.labels.tolist() == [1, 2]
    assert dataset.picture(1, "BGR").shape == large.shape


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (Datum(channels=3, height=40, width=30, data=b"12").SerializeToString(), "should have 3 x 40 x 30 values, but has 2"),
        (Datum(channels=-3, height=-1, width=1, data=b"123").SerializeToString(), "should have -3 x -1 x 1 values, but has 3"),
        (b"", "should have 0 x 0 x 0 values, but has 0"),
        (encoded(jpeg(PICTURE)[:300], 1), "is truncated or damaged"),
        (encoded(b"", 1), "is empty"),
        (raw(PICTURE, 1)[:-30], "is no Datum of Caffe's, or a damaged one"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, record: bytes, words: str) -> None:
    path = database(tmp_path / "db", {"a/good.jpg": raw(PICTURE, 1), "b/bad.jpg": record})
    dataset = opened(path)
    assert dataset.picture(0, "BGR").shape == PICTURE.shape
    with pytest.raises(PictureError) as failure:
        dataset.picture(1, "BGR")
    assert failure.value.message.startswith("the picture 'b/bad.jpg' ")
    assert words in failure.value.message
    assert failure.value.where.path == str(path / "data.mdb")


def test_a_negative_label(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.mdb: the label of 'a' is -1"):
        opened(database(tmp_path / "db", {"a": raw(PICTURE, -1)}))


def test_an_lmdb_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of its 2 records is a Datum"):
        opened(database(tmp_path / "db", {"a": b"\xff\xff", "b": b"hello"}))


def test_an_empty_lmdb(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no examples"):
        opened(database(tmp_path / "db", {}))


@pytest.mark.parametrize("data", [b"", b"junk" * 3000, bytes(8192)])
def test_no_lmdb(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(data)
    with pytest.raises(DataError, match=r"data\.mdb: this is no LMDB, or a damaged one"):
        opened(tmp_path)


def test_missing_lmdb(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        opened(tmp_path)


def test_an_lmdb_cut_short(path: Path) -> None:
    """Reading beyond the end of a mapped file would kill the process."""
    data = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut short: \d+ of \d+ bytes"):
        opened(path)


def test_without_the_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(DataError, match=r"needs the package lmdb\n  pip install 'caffe2neon\[lmdb\]'"):
        opened(path)


@given(
    st.builds(
        Datum,
        channels=st.integers(-(2**31), 2**31 - 1),
        height=st.integers(0, 9),
        width=st.integers(0, 9),
        data=st.binary(max_size=300),
        label=st.integers(-(2**31), 2**31 - 1),
        float_data=st.lists(st.floats(width=32, allow_nan=False), max_size=80),
        encoded=st.booleans(),
    ),
    st.booleans(),
)
def test_records_as_protobuf_reads_them(datum: Datum, packed: bool) -> None:
    data = datum.SerializeToString()
    if packed:  # a reader of protobuf must take both forms
        values = np.array(datum.float_data, "<f4").tobytes()
        rest = Datum()
        rest.CopyFrom(datum)
        rest.ClearField("float_data")
        size = len(values)
        length = bytes([size]) if size < 128 else bytes([size % 128 + 128, size // 128])
        data = rest.SerializeToString() + b"\x32" + length + values
    read = _parse(memoryview(data))
    assert (read.channels, read.height, read.width) == (datum.channels, datum.height, datum.width)
    assert (read.label, read.encoded) == (datum.label, datum.encoded)
    assert (data[read.data.start : read.data.stop] if read.data else b"") == datum.data
    assert read.floats.tolist() == list(datum.float_data)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_record_or_an_error_of_ours(data: bytes) -> None:
    try:
        _parse(memoryview(data))
    except ParseError:
        return
