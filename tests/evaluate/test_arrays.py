from __future__ import annotations

import gzip
import io
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon.errors import DataError
from caffe2neon.evaluate import Dataset, open_dataset
from caffe2neon.records import Array, DatasetSpec
from tests.conftest import shared
from tests.evaluate.helpers import picture


def npz(path: Path, **arrays: Any) -> Dataset:
    np.savez(path / "set.npz", **arrays)
    return open_dataset(DatasetSpec("digits", "npz", path / "set.npz"))


def refused(path: Path, kind: str = "npz", labels: Path | None = None) -> str:
    with pytest.raises(DataError) as failure:
        open_dataset(DatasetSpec("digits", kind, path, labels))
    assert failure.value.where.path
    return str(failure.value)


GREY = np.stack([picture(seed, channels=1) for seed in range(3)])
COLOUR = np.stack([picture(seed) for seed in range(3)])
LABELS = np.array([2, 0, 1])


@pytest.mark.parametrize("keys", [("images", "labels"), ("x_test", "y_test"), ("data", "labels")], ids=str)
def test_npz_by_any_of_the_usual_names(tmp_path: Path, keys: tuple[str, str]) -> None:
    dataset = npz(tmp_path, **dict(zip(keys, (GREY, LABELS), strict=True)))
    assert (len(dataset), dataset.name, dataset.class_order) == (3, "digits", "")
    assert dataset.labels.tolist() == [2, 0, 1]
    assert np.array_equal(dataset.picture(1, "GRAY"), GREY[1])
    assert dataset.where(1).path.endswith("set.npz")


def test_npz_colour_is_rgb_and_given_in_the_order_asked_for(tmp_path: Path) -> None:
    dataset = npz(tmp_path, images=COLOUR, labels=LABELS)
    assert np.array_equal(dataset.picture(2, "RGB"), COLOUR[2])
    assert np.array_equal(dataset.picture(2, "BGR"), COLOUR[2][:, :, [2, 1, 0]])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_npz_floats_are_channels_first_and_never_swapped(tmp_path: Path, kind: type) -> None:
    images: Array = (COLOUR.transpose(0, 3, 1, 2) / 4).astype(kind)
    dataset = npz(tmp_path, images=images, labels=LABELS)
    got = dataset.picture(2, "BGR")
    assert got.dtype == np.float32
    assert np.array_equal(got, images[2].transpose(1, 2, 0))
    flat = npz(tmp_path, images=images[:, 0], labels=LABELS)
    assert np.array_equal(flat.picture(0, "GRAY"), images[0, 0])


def test_npz_labels_in_a_column(tmp_path: Path) -> None:
    assert npz(tmp_path, images=GREY, labels=LABELS[:, None].astype(np.uint8)).labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": GREY}, r"has the arrays 'images'\n.*'images' and 'labels'"),
        ({}, "has the arrays none"),
        ({"images": GREY, "labels": LABELS[:2]}, "3 images and 2 labels"),
        ({"images": GREY, "labels": LABELS / 2}, "labels have the type float64"),
        ({"images": GREY, "labels": np.eye(3, dtype=int)}, r"labels have the type int64 and the shape \(3, 3\)"),
        ({"images": GREY, "labels": LABELS - 1}, "label -1 of example 1 is negative"),
        ({"images": GREY.astype(np.int32), "labels": LABELS}, "images have the type int32"),
        ({"images": COLOUR.transpose(0, 3, 1, 2), "labels": LABELS}, r"images have the type uint8 and the shape \(3, 3, 12, 16\)"),
        ({"images": GREY[:, 0], "labels": LABELS}, r"images have the type uint8 and the shape \(3, 16\)"),
        ({"images": GREY[:0], "labels": LABELS[:0]}, "no examples"),
        ({"images": np.array([{}, {}, {}]), "labels": LABELS}, "not an .npz of plain arrays"),
    ],
    ids=[
        *("no labels", "nothing", "lengths", "float labels", "one-hot", "negative"),
        *("int images", "NCHW bytes", "flat", "empty", "objects"),
    ],
)
def test_npz_with_wrong_contents(tmp_path: Path, arrays: dict[str, Array], words: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    assert re.search(words, refused(tmp_path / "bad.npz"))


class _Hostile:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (_touch, ("hostile",))


def _touch(_: str) -> None:
    pytest.fail("a pickled object was run")


def test_hostile_npz_runs_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", images=GREY, labels=np.array([_Hostile()], dtype=object))
    assert "not an .npz of plain arrays" in refused(tmp_path / "bad.npz")


def test_hostile_pickle_named_npz_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(pickle.dumps(_Hostile()))
    assert "not an .npz of plain arrays" in refused(tmp_path / "bad.npz")


def test_npz_that_promises_an_absurd_size(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 1 << 10, 1 << 10)})
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue())
        archive.writestr("labels.npy", header.getvalue())
    assert "not an .npz of plain arrays" in refused(tmp_path / "bad.npz")


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty"])
def test_damaged_npz(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, images=GREY, labels=LABELS)
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[120] ^= 0xFF
    damaged = {"cut": bytes(data[: len(data) // 2]), "flipped": bytes(data), "text": b"<html>404</html>", "empty": b""}
    path.write_bytes(damaged[damage])
    assert "not an .npz of plain arrays" in refused(path)


def test_one_array_is_no_data_set(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", GREY)
    assert "one array (.npy)" in refused(tmp_path / "one.npy")


def test_missing_npz(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "gone.npz")


def test_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)unknown kind, 'csv'.*npz, idx, image_list"):
        open_dataset(DatasetSpec("digits", "csv", tmp_path))


# ---- idx ----


def idx(images: Array = GREY, labels: Array = LABELS) -> tuple[bytes, bytes]:
    return (
        struct.pack(">IIII", 0x803, *images.shape) + images.tobytes(),
        struct.pack(">II", 0x801, len(labels)) + labels.astype(np.uint8).tobytes(),
    )


def write_idx(folder: Path, images: bytes, labels: bytes, suffix: str = "") -> tuple[Path, Path]:
    paths = folder / f"images-idx3-ubyte{suffix}", folder / f"labels-idx1-ubyte{suffix}"
    for path, data in zip(paths, (images, labels), strict=True):
        path.write_bytes(gzip.compress(data) if suffix == ".gz" else data)
    return paths


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx(tmp_path: Path, suffix: str) -> None:
    images, labels = write_idx(tmp_path, *idx(), suffix)
    dataset = open_dataset(DatasetSpec("digits", "idx", images, labels))
    assert dataset.labels.tolist() == [2, 0, 1]
    assert all(np.array_equal(dataset.picture(index, "GRAY"), GREY[index]) for index in range(3))


IMAGES, IDX_LABELS = idx()


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (IDX_LABELS, IDX_LABELS, "not idx images: the file must begin with 0x00000803, not 00000801"),
        (IMAGES, IMAGES, "not idx labels"),
        (IMAGES[:-1], IDX_LABELS, "should be 3 x 12 x 16 bytes after the header, but there are 575"),
        (IMAGES + b"\0", IDX_LABELS, "but there are 577"),
        (IMAGES[:9], IDX_LABELS, "not idx images"),
        (b"", IDX_LABELS, "not idx images"),
        (IMAGES, IDX_LABELS[:-1], "labels should be 3 bytes"),
        (IMAGES, idx(labels=LABELS[:2])[1], "3 images and 2 labels"),
    ],
    ids=["swapped images", "swapped labels", "truncated", "too long", "half a header", "empty", "truncated labels", "lengths"],
)
def test_damaged_idx(tmp_path: Path, images: bytes, labels: bytes, words: str) -> None:
    paths = write_idx(tmp_path, images, labels)
    assert words in refused(paths[0], "idx", paths[1])


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_truncated_gzip(tmp_path: Path, keep: float) -> None:
    images, labels = write_idx(tmp_path, *idx(), ".gz")
    data = images.read_bytes()
    images.write_bytes(data[: int(len(data) * keep)])
    assert "compressed idx images are damaged" in refused(images, "idx", labels)


def test_gz_that_is_none(tmp_path: Path) -> None:
    images, labels = write_idx(tmp_path, *idx(), ".gz")
    images.write_bytes(b"<html>404</html>")
    assert "compressed idx images are damaged" in refused(images, "idx", labels)


def test_missing_idx_labels(tmp_path: Path) -> None:
    images, _ = write_idx(tmp_path, *idx())
    assert "needs a second file" in refused(images, "idx")
    assert "cannot read the idx labels: No such file" in refused(images, "idx", tmp_path / "gone")


def test_mnist() -> None:
    dataset = open_dataset(DatasetSpec("mnist", "npz", shared("data", "mnist_t10k.npz")))
    assert len(dataset) == 10_000
    assert dataset.picture(0, "GRAY").shape == (28, 28)
    # MNIST's test set, by its publisher: how often each digit occurs.
    assert np.bincount(dataset.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
