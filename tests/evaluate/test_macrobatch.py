"""``macrobatches/`` was written by the real neon v1.4.0: its ``BatchWriter``, half for validation, 4 to a file, of twelve pictures.

They are plain: those of class ``blue`` have their number's level in channel 0 (BGR), ``green`` in 1, ``red`` in 2. What the
writer's own lists (``val_file.csv.gz``, ``train_file.csv.gz``) said of them is below. Other files are made here by the format's
description.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from caffe2neon.errors import DataError, PictureError
from caffe2neon.evaluate import Dataset, open_dataset
from caffe2neon.records import DatasetSpec
from tests.evaluate.helpers import decoded, jpeg, picture
from tests.evaluate.macrobatch_files import macrobatch, record, write

SAMPLE = Path(__file__).parent / "macrobatches"
BLUE, GREEN, RED = range(3)
VALIDATION = [(GREEN, 0), (GREEN, 1), (RED, 0), (RED, 1), (BLUE, 0), (BLUE, 1)]
TRAINING = [(BLUE, 3), (RED, 2), (GREEN, 3), (RED, 3), (GREEN, 2), (BLUE, 2)]
SIZES = [(12, 16), (13, 11), (20, 24), (17, 15)]


def opened(folder: Path, class_order: str = "") -> Dataset:
    return open_dataset(DatasetSpec("photos", "macrobatch", folder, class_order=class_order))


def check_sample(dataset: Dataset, expected: Sequence[tuple[int, int]]) -> None:
    assert dataset.labels.tolist() == [label for label, _ in expected]
    for index, (channel, number) in enumerate(expected):
        image = dataset.picture(index, "BGR").astype(int)
        assert image.shape == (*SIZES[number], 3)
        plain = np.zeros_like(image)
        plain[..., channel] = 60 + 45 * number
        assert abs(image - plain).max() <= 3  # JPEG rounds


def test_the_validation_set_of_the_real_writer() -> None:
    dataset = opened(SAMPLE)
    assert (dataset.name, dataset.class_order, len(dataset)) == ("photos", "", 6)
    check_sample(dataset, VALIDATION)
    files = [Path(dataset.where(index).path).name for index in (0, 3, 4)]
    assert files == ["macrobatch_2.cpio", "macrobatch_2.cpio", "macrobatch_3.cpio"]


def test_the_training_set_where_it_is_all_there_is(tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / f"macrobatch_{number}.cpio").write_bytes((SAMPLE / f"macrobatch_{number}.cpio").read_bytes())
    text = (SAMPLE / "macrobatch_meta").read_text()
    (tmp_path / "macrobatch_meta").write_text(text.replace("val_nrec 6", "val_nrec 0"))
    check_sample(opened(tmp_path), TRAINING)


# ---- by the format's description ----


ITEMS = [(jpeg(picture(number, 30 + number, 41)), (number * 7) % 10) for number in range(6)]


def test_files_follow_one_another_until_all_are_there(tmp_path: Path) -> None:
    """As in ImageLoader, what a file has beyond the number in the description is not used."""
    dataset = opened(write(tmp_path, macrobatch(ITEMS[:2]), macrobatch(ITEMS[2:])))
    assert dataset.labels.tolist() == [0, 7, 4, 1, 8]
    assert len({len(data) % 2 for data, _ in ITEMS}) == 2  # odd lengths are filled up
    for index, (data, _) in enumerate(ITEMS[:5]):
        assert np.array_equal(dataset.picture(index, "BGR"), decoded(data))


def test_large_pictures(tmp_path: Path) -> None:
    """Sizes beyond 65,535 bytes are in two halves, the upper one first."""
    large = jpeg(picture(1, 400, 400))
    assert len(large) > 1 << 16
    dataset = opened(write(tmp_path, macrobatch([(large, 3), *ITEMS]), validation=2))
    assert np.array_equal(dataset.picture(0, "BGR"), decoded(large))
    assert dataset.labels.tolist() == [3, 0]


def test_neons_own_ilsvrc12_is_in_its_order(tmp_path: Path) -> None:
    one = macrobatch([(b"not read", 999)] * 50000)
    assert opened(write(tmp_path, one, classes=1000, training=1281167, validation=50000)).class_order == "neon"


def test_a_thousand_classes_in_nobody_knows_which_order(tmp_path: Path) -> None:
    folder = write(tmp_path, macrobatch(ITEMS), classes=1000)
    with pytest.raises(DataError, match=r"(?s)macrobatch_meta: these are 1000 classes, but.*: --class-order; in a"):
        opened(folder)
    assert opened(folder, "caffe").class_order == "caffe"


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    dataset = opened(write(tmp_path, macrobatch([ITEMS[0], (ITEMS[1][0][:-50], 1)]), validation=2))
    with pytest.raises(PictureError, match=r"macrobatch_3\.cpio: the picture 'macrobatch_3\.cpio: cpiodtm1' is truncated"):
        dataset.picture(1, "BGR")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"macrobatch_4\.cpio: cannot read .*: No such file.*; 3 of 5 examples are left"):
        opened(write(tmp_path, macrobatch(ITEMS[:2])))


@pytest.mark.parametrize("left", [0, 1, 20, 40, 100, 300, 3000, -40, -110])
def test_a_file_cut_short(tmp_path: Path, left: int) -> None:
    whole = macrobatch(ITEMS[:5])
    if left == -40:  # only the trailer is missing, which nobody needs
        assert len(opened(write(tmp_path, whole[:left]))) == 5
        return
    folder = write(tmp_path, whole[: left if left >= 0 else len(whole) + left - 40])
    with pytest.raises(DataError, match=r"the macrobatch is empty|the file ends at byte \d+") as failure:
        opened(folder)
    assert failure.value.where.path == str(tmp_path / "macrobatch_3.cpio")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (macrobatch(ITEMS, magic=b"CRAM"), "no macrobatch of neon's"),
        (b"<html>" * 100, "byte 0 begins no record of a binary cpio archive"),
        (record("cpiohdr", b"MACR"), "no macrobatch of neon's"),
        (macrobatch([]), "has no examples"),
        (macrobatch(ITEMS, target="<q"), "example 0 has a target of 8 bytes, not one class"),
        (macrobatch([(b"x", 0), (b"x", 10)]), "the class of macrobatch_3.cpio: cpiodtm1 is 10, but there are 10 classes"),
        (macrobatch([(b"x", 0), (b"x", -1)]), "the class of macrobatch_3.cpio: cpiodtm1 is -1"),
        (macrobatch(ITEMS[:2]).replace(struct.pack("<H", 0o070707), b"xx"), "byte 0 begins no record"),
    ],
)
def test_a_broken_file(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DataError) as failure:
        opened(write(tmp_path, data, validation=2))
    assert words in failure.value.message
    assert failure.value.where.path == str(tmp_path / "macrobatch_3.cpio")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nclass 10\n", "does not say train_start, train_nrec, val_start, val_nrec"),
        ("", "does not say nclass"),
        ("nclass,10\n", "each line must be a name and a number"),
        ("nclass ten\n", "each line must be a name and a number"),
        ("nclass 10\ntrain_start 0\ntrain_nrec 5\nval_start -1\nval_nrec 5\n", "does not say val_start"),
        ("nclass ²\n", "each line must be a name and a number"),
    ],
)
def test_a_broken_description(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "macrobatch_meta").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words) as failure:
        opened(tmp_path)
    assert failure.value.where.path == str(tmp_path / "macrobatch_meta")


def test_a_missing_description(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the macrobatches' description: No such file"):
        opened(tmp_path)


def test_no_examples_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no examples"):
        opened(write(tmp_path, validation=0))
