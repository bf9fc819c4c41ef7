from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from caffe2neon.errors import DataError, PictureError
from caffe2neon.evaluate import Dataset, open_dataset
from caffe2neon.records import DatasetSpec
from tests.evaluate.helpers import decoded, jpeg, picture

TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"


def tar(path: Path, files: Mapping[str, bytes], mode: str = "w:") -> Path:
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def devkit(path: Path, classes: Sequence[object]) -> Path:
    files = {"ILSVRC2012_devkit_t12/readme.txt": b"words", TRUTH: "".join(f"{number}\n" for number in classes).encode()}
    return tar(path, files, "w:gz")


def name_of(number: int) -> str:
    return f"ILSVRC2012_val_{number:08}.JPEG"


PICTURES = {number: jpeg(picture(number, 20 + number, 30)) for number in range(1, 6)}
CLASSES = [490, 1, 1000, 171, 490]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    # As in the real one, members do not come in the order of their names.
    tar(tmp_path / "ILSVRC2012_img_val.tar", {name_of(number): PICTURES[number] for number in (3, 1, 5, 4, 2)})
    devkit(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", CLASSES)
    return tmp_path


def opened(root: Path, labels: Path | None = None, class_order: str = "") -> Dataset:
    return open_dataset(DatasetSpec("ilsvrc12", "ilsvrc12_tar", root / "ILSVRC2012_img_val.tar", labels, class_order))


def test_pictures_and_classes_go_by_name(root: Path) -> None:
    dataset = opened(root)
    assert (dataset.class_order, len(dataset)) == ("neon", 5)
    assert dataset.labels.tolist() == [489, 0, 999, 170, 489]
    for index in range(5):
        assert np.array_equal(dataset.picture(index, "BGR"), decoded(PICTURES[index + 1]))
    assert Path(dataset.where(0).path).name == "ILSVRC2012_img_val.tar"
    assert opened(root, class_order="caffe").class_order == "caffe"


def test_pictures_are_read_in_any_thread(root: Path) -> None:
    dataset = opened(root)
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda index: dataset.picture(index % 5, "BGR"), range(200)))
    assert all(np.array_equal(image, decoded(PICTURES[index % 5 + 1])) for index, image in enumerate(read))


def test_the_devkit_elsewhere_and_a_folder_within_the_tar(tmp_path: Path) -> None:
    files = {"./val/": b"", **{f"./val/{name_of(number)}": PICTURES[number] for number in (1, 2)}, "./val/readme": b"words"}
    tar(tmp_path / "ILSVRC2012_img_val.tar", files)
    elsewhere = devkit(tmp_path / "kit.tgz", [7, 8])
    assert opened(tmp_path, elsewhere).labels.tolist() == [6, 7]


def test_a_damaged_picture_is_named(root: Path) -> None:
    files = {name_of(number): data for number, data in PICTURES.items()} | {name_of(2): PICTURES[2][:100]}
    tar(root / "ILSVRC2012_img_val.tar", files)
    dataset = opened(root)
    assert dataset.picture(2, "BGR").shape == (23, 30, 3)
    with pytest.raises(PictureError, match=r"val\.tar: the picture 'ILSVRC2012_val_00000002\.JPEG' is truncated"):
        dataset.picture(1, "BGR")


@pytest.mark.parametrize("left", [1, 700, 0.5, 0.8])
def test_a_tar_cut_short(root: Path, left: float) -> None:
    path = root / "ILSVRC2012_img_val.tar"
    data = path.read_bytes()
    path.write_bytes(data[: int(left if left >= 1 else left * sum(512 + -(-len(x) // 512) * 512 for x in PICTURES.values()))])
    with pytest.raises(DataError, match=r"no tar, or a truncated one|is not in this tar|this has \d pictures"):
        opened(root)


def test_a_compressed_tar(root: Path) -> None:
    tar(root / "ILSVRC2012_img_val.tar", {name_of(1): PICTURES[1]}, "w:gz")
    with pytest.raises(DataError, match=r"(?s)no tar.*not compressed"):
        opened(root)


def test_another_tar(root: Path) -> None:
    tar(root / "ILSVRC2012_img_val.tar", {"n01440764.tar": b"x"})
    with pytest.raises(DataError, match="none of ILSVRC12's validation pictures"):
        opened(root)


def test_a_picture_is_missing(root: Path) -> None:
    tar(root / "ILSVRC2012_img_val.tar", {name_of(number): PICTURES[number] for number in (1, 2, 4, 5)})
    with pytest.raises(DataError, match=r"ILSVRC2012_val_00000003\.JPEG is not in this tar"):
        opened(root)


def test_the_last_pictures_are_missing(root: Path) -> None:
    tar(root / "ILSVRC2012_img_val.tar", {name_of(number): PICTURES[number] for number in (1, 2)})
    with pytest.raises(DataError, match="this has 2 pictures, but the devkit has classes for 5"):
        opened(root)


def test_no_tar(root: Path) -> None:
    (root / "ILSVRC2012_img_val.tar").unlink()
    with pytest.raises(DataError, match=r"val\.tar: cannot read the pictures: No such file"):
        opened(root)


@pytest.mark.parametrize("word", ["0", "1001", "-1", "x", "1.0", "00000000000001"])
def test_a_class_that_is_none(root: Path, word: str) -> None:
    devkit(root / "ILSVRC2012_devkit_t12.tar.gz", [1, 2, word, 4, 5])
    with pytest.raises(DataError, match=f"says '{word}' of picture 3, not a class from 1 to 1000"):
        opened(root)


def test_bad_devkit(root: Path) -> None:
    path = root / "ILSVRC2012_devkit_t12.tar.gz"
    data = path.read_bytes()
    for broken in (data[:40], b"", b"<html>404</html>", data[:60] + bytes(20) + data[80:]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="devkit") as failure:
            opened(root)
        assert failure.value.where.path == str(path)
    tar(path, {"ILSVRC2012_devkit_t12/readme.txt": b""}, "w:gz")
    with pytest.raises(DataError, match=r"no data/ILSVRC2012_validation_ground_truth\.txt"):
        opened(root)
    path.unlink()
    with pytest.raises(DataError, match=r"t12\.tar\.gz: cannot read the devkit: No such file"):
        opened(root)
