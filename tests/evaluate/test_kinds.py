from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import lmdb
import numpy as np
import pytest

from caffe2neon.caffe.caffe_pb2 import Datum
from caffe2neon.errors import DataError, UsageError
from caffe2neon.evaluate import KINDS as ALL_KINDS
from caffe2neon.evaluate import fingerprint, kind_of, labels_file, open_dataset
from caffe2neon.records import DatasetSpec
from tests.evaluate.helpers import jpeg, picture, save, write_list
from tests.evaluate.macrobatch_files import macrobatch, write
from tests.evaluate.test_ilsvrc12 import devkit, name_of, tar
from tests.evaluate.test_macrobatch import ITEMS


def write_lmdb(path: Path, labels: list[int], *, subdir: bool = True) -> Path:
    environment = lmdb.open(str(path), subdir=subdir, map_size=1 << 20, lock=False)
    with environment.begin(write=True) as transaction:
        for number, label in enumerate(labels):
            datum = Datum(channels=1, height=1, width=1, data=b"x", label=label)
            transaction.put(b"%d" % number, datum.SerializeToString())
    environment.close()
    return path


def make(kind: str, root: Path) -> DatasetSpec:
    """A data set of that kind with the labels 3, 0 (3 classes in order for ``folder``)."""
    root.mkdir()
    path, labels = root, None
    if kind == "npz":
        path = root / "any.name"
        with path.open("wb") as stream:
            np.savez(stream, images=np.zeros((2, 4, 4), np.uint8), labels=[3, 0])
    elif kind in ("idx", "idx.gz"):
        path, labels = root / "images", root / "labels"
        images = struct.pack(">4I", 0x803, 2, 1, 1) + b"ab"
        if kind == "idx.gz":
            path, images = root / "images.gz", gzip.compress(images)
        path.write_bytes(images)
        labels.write_bytes(struct.pack(">2I", 0x801, 2) + b"\x03\x00")
    elif kind == "image_list":
        save(root / "a b.png", picture(1))
        write_list(root, "", "a b.png 3", "a b.png 0")
    elif kind == "folder":
        for name in ("x", "y", "z"):
            save(root / name / "1.png", picture(1))
    elif kind == "ilsvrc12_tar":
        path = tar(root / "val.tar", {name_of(1): jpeg(picture(1)), name_of(2): jpeg(picture(2))})
        labels = devkit(root / "kit", [4, 1])
    elif kind == "lmdb":
        write_lmdb(root, [3, 0])
    elif kind == "mdb":
        path = write_lmdb(root / "some.mdb", [3, 0], subdir=False)
    else:
        write(root, macrobatch([(ITEMS[0][0], 3), (ITEMS[1][0], 0)]), validation=2)
    return DatasetSpec("data", {"idx.gz": "idx", "mdb": "lmdb"}.get(kind, kind), path, labels)


KINDS = ["npz", "idx", "idx.gz", "image_list", "folder", "ilsvrc12_tar", "lmdb", "mdb", "macrobatch"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_told_by_its_contents(tmp_path: Path, kind: str) -> None:
    spec = make(kind, tmp_path / "data")
    assert kind_of(spec.path, spec.labels) == spec.kind
    expected = [0, 1, 2] if kind == "folder" else [3, 0]
    assert open_dataset(spec).labels.tolist() == expected


def test_every_kind_is_tried(tmp_path: Path) -> None:
    assert {make(kind, tmp_path / kind).kind for kind in KINDS} == set(ALL_KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fingerprint_is_of_the_contents(tmp_path: Path, kind: str) -> None:
    one, two = (fingerprint(make(kind, tmp_path / name)) for name in ("one", "two"))
    if kind not in ("npz", "ilsvrc12_tar", "idx.gz"):  # archives of the same are not the same bytes
        assert one == two
    assert len(one) == 64


def test_a_fingerprint_changes_with_the_labels(tmp_path: Path) -> None:
    lists = [DatasetSpec("d", "lmdb", write_lmdb(tmp_path / name, labels)) for name, labels in (("a", [3, 0]), ("b", [0, 3]))]
    assert fingerprint(lists[0]) != fingerprint(lists[1])
    spec = make("macrobatch", tmp_path / "m")
    before = fingerprint(spec)
    write(spec.path, macrobatch([(ITEMS[0][0], 0), (ITEMS[1][0], 3)]), validation=2)
    assert fingerprint(spec) != before


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_fingerprint_changes_with_the_pictures(tmp_path: Path, kind: str) -> None:
    """Labels stay; some picture, or the file that it is in, becomes longer."""
    spec = make(kind, tmp_path / "data")
    before = fingerprint(spec)
    files = [spec.path] if spec.path.is_file() else sorted(path for path in spec.path.rglob("*") if path.is_file())
    pictures = [path for path in files if path.suffix in (".png", ".jpg", ".cpio", ".mdb")] or files
    with pictures[-1].open("ab") as stream:
        stream.write(bytes(4096))
    assert fingerprint(spec) != before


@pytest.mark.parametrize("kind", ["npz", "lmdb", "macrobatch"])
def test_labels_beside_those_within_are_refused(tmp_path: Path, kind: str) -> None:
    spec = replace(make(kind, tmp_path / "data"), labels=tmp_path / "val.txt")
    with pytest.raises(UsageError, match=f"kind {kind} holds its labels itself"):
        open_dataset(spec)


def test_a_list_tells_pictures_from_classes(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "x" / "1.png", picture(1))
    pictures = write_list(tmp_path, "x/1.png 0", name="pictures.txt")
    classes = write_list(tmp_path, "x", "y", name="classes.txt")
    words = write_list(tmp_path, "n00000001 tench, Tinca tinca", name="words.txt")
    assert kind_of(tmp_path / "photos", pictures) == "image_list"
    assert kind_of(tmp_path / "photos", classes) == "folder"
    assert kind_of(tmp_path / "photos", words) == "folder"


@pytest.mark.parametrize("data", [b"", b"<html>", bytes(1000)])
def test_nothing_known(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(DataError, match="file: this is no data set of a known kind"):
        kind_of(tmp_path / "file")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: cannot read the data set: No such file"):
        kind_of(tmp_path / "gone")
    with pytest.raises(DataError, match=r"val\.txt: cannot read the list of pictures: No such file"):
        fingerprint(DatasetSpec("d", "image_list", tmp_path))


def test_where_labels_are(tmp_path: Path) -> None:
    def name(kind: str, path: Path = tmp_path) -> str:
        return labels_file(DatasetSpec("d", kind, path)).relative_to(tmp_path).as_posix()

    assert [name(kind) for kind in ("image_list", "macrobatch", "lmdb")] == ["val.txt", "macrobatch_meta", "data.mdb"]
    assert name("ilsvrc12_tar", tmp_path / "ILSVRC2012_img_val.tar") == "ILSVRC2012_devkit_t12.tar.gz"
    assert [name("npz", tmp_path / "a"), name("lmdb", tmp_path / "a"), name("folder")] == ["a", "a", "."]
    assert labels_file(DatasetSpec("d", "folder", tmp_path, tmp_path / "list")) == tmp_path / "list"
