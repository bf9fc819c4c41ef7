"""Label maps from pickles and from the devkit, good, damaged and hostile."""

from __future__ import annotations

import os
import pickle
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe2neon.errors import LabelError
from caffe2neon.labels import LabelMap, builtin_map, devkit_map, read_map, write_map
from caffe2neon.labels.maps import read_devkit
from caffe2neon.labels.matlab import MOST_BYTES, read_structs
from tests.labels.devkit import write_devkit, write_mat

ORDER = LabelMap(np.random.RandomState(0).permutation(1000))
SYNSETS = [f"n{i:08d}" for i in range(1000)]


def _python2(pickled: bytes) -> bytes:
    """As numpy 1 under Python 2 names its module, which numpy 2 does not."""
    return pickled.replace(b"numpy._core", b"numpy.core")


# ---- pickled maps ----


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["<i8", "<i4", ">i8", "<u2"])
def test_pickled_maps_are_read(tmp_path: Path, protocol: int, dtype: str) -> None:
    path = tmp_path / "map.p"
    path.write_bytes(_python2(pickle.dumps(ORDER.array.astype(dtype), protocol)))
    assert np.array_equal(read_map(path).array, ORDER.array)


def test_written_map_is_read_by_us_and_by_pickle(tmp_path: Path) -> None:
    path = tmp_path / "map.pkl"
    write_map(ORDER, path)
    assert np.array_equal(read_map(path).array, ORDER.array)
    assert b"numpy._core" not in path.read_bytes()
    assert np.array_equal(pickle.loads(path.read_bytes()), ORDER.array)
    first = path.read_bytes()
    write_map(read_map(path), path)
    assert path.read_bytes() == first


@pytest.mark.neon
def test_maps_pass_to_python_2_and_back(tmp_path: Path, neon_python: str) -> None:
    ours, theirs = tmp_path / "ours.pkl", tmp_path / "theirs.pkl"
    write_map(ORDER, ours)
    code = "import pickle, sys; m = pickle.load(open(sys.argv[1], 'rb')); pickle.dump(m, open(sys.argv[2], 'w')); print(m.tolist())"
    done = subprocess.run([neon_python, "-c", code, ours, theirs], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ORDER.array.tolist())
    assert np.array_equal(read_map(theirs).array, ORDER.array)


class _Hostile:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", [0, 2])
def test_hostile_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "map.p"
    path.write_bytes(pickle.dumps(_Hostile(tmp_path / "made"), protocol))
    with pytest.raises(LabelError, match="not on the allow list"):
        read_map(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no label map"),
        (b"<!DOCTYPE html><html></html>", "no label map"),
        (_python2(pickle.dumps(ORDER.array, 2))[:-900], "the file ends in the middle"),
        (pickle.dumps([1, 2, 3], 2), "no numpy array"),
        (_python2(pickle.dumps(np.arange(10), 2)), "shape (10,)"),
        (_python2(pickle.dumps(np.zeros(1000, int), 2)), "has 0 1000 times"),
    ],
    ids=["empty", "page", "truncated", "list", "too short", "no permutation"],
)
def test_bad_map_files_are_label_errors(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "map.p"
    path.write_bytes(data)
    with pytest.raises(LabelError) as error:
        read_map(path)
    assert message in error.value.message
    assert error.value.where.path == str(path)


def test_missing_map_file(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="cannot read: No such file"):
        read_map(tmp_path / "none.p")


# ---- the devkit ----


def _shuffled() -> tuple[list[int], list[str]]:
    """Leaves in another order than their numbers, inner classes after them: 1860 rows, as the real file has."""
    ids = [*(np.random.RandomState(1).permutation(1000) + 1), *range(1001, 1861)]
    return [int(i) for i in ids], [f"n{90000000 + 7 * int(i)}" for i in ids]


@pytest.mark.parametrize("compressed", [True, False])
def test_devkit_lists_classes_by_their_number(tmp_path: Path, compressed: bool) -> None:
    ids, synsets = _shuffled()
    path = write_devkit(tmp_path / "devkit.tar.gz", write_mat(ids, synsets, compressed=compressed))
    assert read_devkit(path) == [f"n{90000000 + 7 * i}" for i in range(1, 1001)]


def test_map_from_synsets_and_devkit_is_the_built_in_one(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "caffe2neon" / "labels" / "ilsvrc12_devkit_order.txt").read_text()
    devkit = text.split()
    (tmp_path / "synsets.txt").write_text("\n".join(sorted(devkit)))
    path = write_devkit(tmp_path / "devkit.tar.gz", write_mat(list(range(1, 1001)), devkit))
    assert np.array_equal(devkit_map(tmp_path / "synsets.txt", path).array, builtin_map().array)


def test_big_endian_file_with_small_and_long_elements() -> None:
    """Made by hand after the format's description: a 1x1 struct, one uncompressed number in a small element, one text."""

    def element(kind: int, data: bytes) -> bytes:
        if len(data) <= 4:
            return len(data).to_bytes(2, "big") + kind.to_bytes(2, "big") + data.ljust(4, b"\0")
        return kind.to_bytes(4, "big") + len(data).to_bytes(4, "big") + data + b"\0" * (-len(data) % 8)

    def matrix(what: int, shape: tuple[int, int], name: bytes, *parts: bytes) -> bytes:
        sizes = b"".join(n.to_bytes(4, "big") for n in shape)
        return element(14, element(6, what.to_bytes(4, "big") + bytes(4)) + element(5, sizes) + element(1, name) + b"".join(parts))

    number = matrix(6, (1, 1), b"", element(2, b"\x07"))
    text = matrix(4, (1, 2), b"", element(4, "né".encode("utf-16-be")))
    names = b"a".ljust(8, b"\0") + b"b".ljust(8, b"\0")
    struct = matrix(2, (1, 1), b"s", element(5, (8).to_bytes(4, "big")), element(1, names), number, text)
    data = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + struct
    assert read_structs(data, "s", ("b", "a")) == [{"b": "né", "a": 7.0}]


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (None, "no data/meta.mat in it"),
        (b"MATLAB", "no MATLAB 5 file"),
        (write_mat([1], ["n00000001"], name="wrong"), "no variable synsets"),
        (write_mat(list(range(1, 1000)), SYNSETS[:999]), "no class 1000 of 1..1000"),
        (write_mat(list(range(1, 1001)), ["n00000001"] * 1000), "n00000001 stands in line 1 already"),
        (write_mat(list(range(1, 1001)), ["cat", *SYNSETS[1:]]), "'cat' is no WordNet id"),
        (write_mat(list(range(1, 1001)), SYNSETS, compressed=False)[:9000], "behind the file"),
        (write_mat(list(range(1, 1001)), SYNSETS)[:-500], "behind the file"),
    ],
    ids=["no meta", "no mat", "no variable", "class missing", "repetition", "no synset", "truncated", "truncated, compressed"],
)
def test_bad_devkits_are_label_errors(tmp_path: Path, meta: bytes | None, message: str) -> None:
    path = write_devkit(tmp_path / "devkit.tar.gz", meta)
    with pytest.raises(LabelError) as error:
        read_devkit(path)
    assert message in str(error.value)
    assert error.value.where.path == str(path)


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"\x1f\x8b" + bytes(50)], ids=["empty", "page", "zeros"])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "devkit.tar.gz"
    path.write_bytes(data)
    with pytest.raises(LabelError, match="no devkit"):
        read_devkit(path)


def test_missing_devkit_and_missing_synsets(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="cannot read"):
        read_devkit(tmp_path / "none.tar.gz")
    with pytest.raises(LabelError, match="cannot read"):
        devkit_map(tmp_path / "synsets.txt", tmp_path / "none.tar.gz")


def test_truncated_archive(tmp_path: Path) -> None:
    path = write_devkit(tmp_path / "devkit.tar.gz", write_mat(list(range(1, 1001)), SYNSETS))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(LabelError, match="no devkit"):
        read_devkit(path)


_SMALL = write_mat([1, 2], ["n00000001", "n00000002"], compressed=False)


def _read_damaged(folder: Path, meta: bytes) -> None:
    """Whatever is read from two rows, a thousand classes are not among them."""
    with pytest.raises(LabelError):
        read_devkit(write_devkit(folder / "devkit.tar.gz", meta))


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, len(_SMALL) - 1), value=st.integers(0, 255))
def test_a_changed_byte_raises_nothing_else(tmp_path_factory: pytest.TempPathFactory, place: int, value: int) -> None:
    _read_damaged(tmp_path_factory.getbasetemp(), _SMALL[:place] + bytes([value]) + _SMALL[place + 1 :])


@settings(max_examples=100, deadline=None)
@given(length=st.integers(0, len(_SMALL)))
def test_a_cut_raises_nothing_else(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    _read_damaged(tmp_path_factory.getbasetemp(), _SMALL[:length])


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    packed = zlib.compress(bytes(MOST_BYTES + 1), 9)
    meta = _SMALL[:128] + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed
    with pytest.raises(LabelError, match="unpacks to more than"):
        read_devkit(write_devkit(tmp_path / "devkit.tar.gz", meta))
