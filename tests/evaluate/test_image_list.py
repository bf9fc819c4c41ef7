from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from caffe2neon.errors import DataError
from caffe2neon.evaluate import Dataset, open_dataset
from caffe2neon.records import DatasetSpec
from tests.evaluate.helpers import picture, save, write_list


def opened(folder: Path, labels: Path | None = None) -> Dataset:
    return open_dataset(DatasetSpec("photos", "image_list", folder, labels, class_order="caffe"))


def test_pictures_come_as_opencv_reads_them(tmp_path: Path) -> None:
    image = picture(1)
    save(tmp_path / "a" / "one.png", image)
    save(tmp_path / "two.jpg", image)
    write_list(tmp_path, "a/one.png 3", "two.jpg 0")
    dataset = opened(tmp_path)
    assert (dataset.name, dataset.class_order, len(dataset)) == ("photos", "caffe", 2)
    assert dataset.labels.tolist() == [3, 0]
    assert np.array_equal(dataset.picture(0, "BGR"), image)
    assert np.array_equal(dataset.picture(0, "RGB"), image[:, :, ::-1])
    for order, flag in (("BGR", cv2.IMREAD_COLOR), ("GRAY", cv2.IMREAD_GRAYSCALE)):
        assert np.array_equal(dataset.picture(1, order), np.asarray(cv2.imread(str(tmp_path / "two.jpg"), flag)))


def test_grey_and_transparent_files_become_colour(tmp_path: Path) -> None:
    grey = picture(2, channels=1)
    save(tmp_path / "grey.png", grey)
    save(tmp_path / "alpha.png", picture(3, channels=4))
    write_list(tmp_path, "grey.png 0", "alpha.png 1")
    dataset = opened(tmp_path)
    assert np.array_equal(dataset.picture(0, "BGR"), np.repeat(grey[:, :, None], 3, axis=2))
    assert np.array_equal(dataset.picture(1, "BGR"), picture(3, channels=4)[:, :, :3])


def test_lines_as_caffe_reads_them(tmp_path: Path) -> None:
    """The label follows the last blank; a leading slash is the folder; Windows line ends and empty lines do no harm."""
    for name in ("a b.png", "c.png", "d.png"):
        save(tmp_path / name, picture(1))
    (tmp_path / "val.txt").write_bytes(b"a b.png 1\r\n\r\n/c.png\t2\n\nd.png 3")
    dataset = opened(tmp_path)
    assert dataset.labels.tolist() == [1, 2, 3]
    assert [dataset.where(index).line for index in range(3)] == [1, 3, 5]
    assert dataset.picture(0, "BGR").shape == dataset.picture(1, "BGR").shape == (12, 16, 3)


def test_a_list_elsewhere(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", picture(1))
    labels = write_list(tmp_path, "a.png 4", name="test.txt")
    assert opened(tmp_path / "photos", labels).labels.tolist() == [4]


@pytest.mark.parametrize("line", ["a.png", "a.png one", "a.png -1", "a.png 1.0", "7", "a.png ²", "a.png 9999999999999999999"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    save(tmp_path / "a.png", picture(1))
    path = write_list(tmp_path, "a.png 0", line)
    with pytest.raises(DataError, match="not a path and a label") as failure:
        opened(tmp_path)
    assert (failure.value.where.path, failure.value.where.line) == (str(path), 2)


def test_missing_pictures_are_counted_and_the_first_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(1))
    path = write_list(tmp_path, "a.png 0", *(f"gone{number}.png 0" for number in range(5)))
    with pytest.raises(DataError) as failure:
        opened(tmp_path)
    assert (failure.value.where.path, failure.value.where.line) == (str(path), 2)
    text = failure.value.message
    assert text.startswith("5 of 6 pictures are not in")
    assert text.endswith("'gone0.png' (line 2), 'gone1.png' (line 3), 'gone2.png' (line 4), and 2 more")


def test_one_missing_picture(tmp_path: Path) -> None:
    write_list(tmp_path, "gone.png 0")
    with pytest.raises(DataError, match=r"1 of 1 pictures are not in .*: 'gone.png' \(line 1\)"):
        opened(tmp_path)


def test_missing_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"val\.txt: cannot read the list of pictures: No such file"):
        opened(tmp_path)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        opened(tmp_path / "gone")


def test_empty_list(tmp_path: Path) -> None:
    write_list(tmp_path, "", "")
    with pytest.raises(DataError, match="no examples"):
        opened(tmp_path)


def test_a_list_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_bytes(b"\x93NUMPY\xff\xfe")
    with pytest.raises(DataError, match="not text"):
        opened(tmp_path)


def _refused(folder: Path, name: str) -> str:
    path = write_list(folder, "good.png 0", f"{name} 0")
    save(folder / "good.png", picture(1))
    dataset = opened(folder)
    assert dataset.picture(0, "BGR").shape == (12, 16, 3)
    with pytest.raises(DataError) as failure:
        dataset.picture(1, "BGR")
    assert (failure.value.where.path, failure.value.where.line) == (str(path), 2)
    assert repr(name) in failure.value.message
    return failure.value.message


@pytest.mark.parametrize("left", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_truncated_picture(tmp_path: Path, kind: str, left: float) -> None:
    path = save(tmp_path / f"cut.{kind}", picture(1, 64, 64))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * left)])
    assert _refused(tmp_path, path.name).endswith("is truncated or damaged")


def test_not_a_picture(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    assert _refused(tmp_path, "page.jpg").endswith("is no picture that OpenCV can read")


def test_empty_picture(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    assert _refused(tmp_path, "empty.jpg").endswith("is empty")


def test_picture_of_absurd_size(tmp_path: Path) -> None:
    """A PNG header that promises 2^31 - 1 pixels a side; OpenCV refuses by an exception or by no picture."""
    path = save(tmp_path / "huge.png", picture(1))
    data = bytearray(path.read_bytes())
    data[16:24] = b"\x7f\xff\xff\xff" * 2
    path.write_bytes(data)
    assert "OpenCV" in _refused(tmp_path, "huge.png") or "damaged" in _refused(tmp_path, "huge.png")


def test_picture_that_vanishes_after_opening(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", picture(1))
    write_list(tmp_path, "a.png 0")
    dataset = opened(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"val\.txt:1: the picture 'a\.png' cannot be read: No such file"):
        dataset.picture(0, "BGR")
