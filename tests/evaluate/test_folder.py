from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from caffe2neon.errors import DataError, PictureError
from caffe2neon.evaluate import Dataset, open_dataset
from caffe2neon.records import DatasetSpec
from tests.evaluate.helpers import picture, save


def opened(folder: Path, labels: Path | None = None, class_order: str = "") -> Dataset:
    return open_dataset(DatasetSpec("photos", "folder", folder, labels, class_order))


def classes(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        save(root / name / "a.png", picture(number))


def test_classes_are_numbered_as_names_sort(tmp_path: Path) -> None:
    for seed, name in enumerate(["dog/b.png", "cat/2.png", "cat/10.png", "dog/more/a.PNG", "bird/x.jpeg"]):
        save(tmp_path / name, picture(seed))
    dataset = opened(tmp_path)
    assert (dataset.name, dataset.class_order, len(dataset)) == ("photos", "", 5)
    assert dataset.labels.tolist() == [0, 1, 1, 2, 2]
    assert [Path(dataset.where(index).path).name for index in range(5)] == ["x.jpeg", "10.png", "2.png", "b.png", "a.PNG"]
    assert np.array_equal(dataset.picture(1, "BGR"), picture(2))
    assert np.array_equal(dataset.picture(1, "RGB"), picture(2)[..., ::-1])
    assert dataset.picture(1, "GRAY").shape == (12, 16)


def test_what_is_no_picture_is_left_out(tmp_path: Path) -> None:
    classes(tmp_path, "cat", "dog")
    for name in ("notes.txt", "cat/Thumbs.db", "cat/.hidden.png", "dog/.cache/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    assert opened(tmp_path).labels.tolist() == [0, 1]


def test_a_thousand_wordnet_ids_are_in_caffes_order(tmp_path: Path) -> None:
    for number in range(1000):
        folder = tmp_path / f"n{90000000 - 7919 * number:08}"
        folder.mkdir()
        (folder / "a.jpg").touch()
    dataset = opened(tmp_path)
    assert dataset.class_order == "caffe"
    assert dataset.labels.tolist() == list(range(1000))
    assert opened(tmp_path, class_order="neon").class_order == "neon"


def test_some_of_imagenets_classes_need_the_list(tmp_path: Path) -> None:
    classes(tmp_path / "photos", "n00000300", "n00000100")
    with pytest.raises(DataError, match=r"folders for 2 of ImageNet's classes.*\n.*synsets\.txt"):
        opened(tmp_path / "photos")
    listed = tmp_path / "synset_words.txt"
    listed.write_text("".join(f"n{number:08} some, words\n" for number in range(0, 100000, 100)))
    dataset = opened(tmp_path / "photos", listed)
    assert dataset.labels.tolist() == [1, 3]
    assert dataset.class_order == "caffe"


def test_a_list_decides_the_order(tmp_path: Path) -> None:
    classes(tmp_path / "photos", "cat", "dog")
    listed = tmp_path / "classes.txt"
    listed.write_text("dog\n\nbird\ncat\n")
    dataset = opened(tmp_path / "photos", listed)
    assert dataset.labels.tolist() == [2, 0]  # of cat, then dog
    assert dataset.class_order == ""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"cat\n", "not in the list of classes: 'dog'"),
        (b"cat\ndog\ncat\n", "has some twice: 'cat'"),
        (b"\xff\xfe", "is not text"),
        (None, "cannot read the list of classes: No such file"),
    ],
)
def test_bad_list(tmp_path: Path, data: bytes | None, words: str) -> None:
    classes(tmp_path / "photos", "cat", "dog")
    listed = tmp_path / "classes.txt"
    if data is not None:
        listed.write_bytes(data)
    with pytest.raises(DataError, match=words) as failure:
        opened(tmp_path / "photos", listed)
    assert failure.value.where.path == str(listed)


def test_a_class_without_pictures(tmp_path: Path) -> None:
    classes(tmp_path, "cat")
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match=r"dog: no pictures"):
        opened(tmp_path)


def test_no_classes(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(1))
    with pytest.raises(DataError, match="no folder of pictures here"):
        opened(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the folder of classes: No such file"):
        opened(tmp_path / "gone")


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "cat" / "a.jpg", picture(1, 64, 64))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(PictureError, match=r"cat/a\.jpg: the picture 'cat/a\.jpg' is truncated"):
        opened(tmp_path).picture(0, "BGR")


def test_it_can_be_sent_to_a_worker(tmp_path: Path) -> None:
    classes(tmp_path, "cat", "dog")
    copy = pickle.loads(pickle.dumps(opened(tmp_path)))
    assert np.array_equal(copy.picture(1, "BGR"), picture(1))
