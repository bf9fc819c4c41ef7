"""Data sets that are arrays in one or two files: numpy's .npz, and MNIST's idx."""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caffe2neon.errors import DataError, Where
from caffe2neon.records import Array, DatasetSpec

#: Names of the two arrays in an .npz, tried in this order.
_KEYS = (("images", "labels"), ("x_test", "y_test"), ("data", "labels"))

#: What numpy and zipfile raise on damaged files, files with objects, and headers that promise absurd sizes.
_BAD_NPZ = (ValueError, EOFError, KeyError, RuntimeError, NotImplementedError, MemoryError, zipfile.BadZipFile, zlib.error)

_IDX_IMAGES = 0x00000803  # unsigned bytes, three axes
_IDX_LABELS = 0x00000801  # unsigned bytes, one axis


@dataclass(frozen=True)
class ArrayDataset:
    """Pictures in memory: uint8 (N, H, W) or (N, H, W, C), or floats (N, H, W) or (N, C, H, W)."""

    name: str
    class_order: str
    labels: NDArray[np.int64]
    images: Array
    path: Path

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, index: int, channel_order: str) -> Array:
        """8-bit colour is RGB, as everything but OpenCV stores it, and swapped for BGR; floats are in the net's order already."""
        image: Array = self.images[index]
        if image.dtype != np.uint8:
            image = image.astype(np.float32, copy=False)
            if image.ndim == 3:
                image = image.transpose(1, 2, 0)  # (C, H, W) -> (H, W, C)
        elif channel_order == "BGR" and image.ndim == 3:
            image = image[..., ::-1]
        return image

    def where(self, index: int) -> Where:  # noqa: ARG002 an array has no lines
        return Where(path=str(self.path))


def open_npz(spec: DatasetSpec) -> ArrayDataset:
    """Pickled objects in the file are refused, never loaded."""
    try:
        # Opened here: numpy leaves a damaged file open.
        with spec.path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError("this is one array (.npy), not an .npz with images and labels")
            with archive:
                keys = _keys(archive.files)
                images, labels = archive[keys[0]], archive[keys[1]]
    except OSError as error:
        raise DataError(f"cannot read the data set: {error.strerror or error}") from error
    except _BAD_NPZ as error:
        raise DataError(f"this is not an .npz of plain arrays: {error}") from error
    return _dataset(spec, images, labels)


def _keys(names: Sequence[str]) -> tuple[str, str]:
    for pair in _KEYS:
        if set(pair) <= set(names):
            return pair
    present = ", ".join(map(repr, sorted(names))) or "none"
    wanted = ", or ".join(f"{images!r} and {labels!r}" for images, labels in _KEYS)
    raise DataError(f"the .npz has the arrays {present}", remedy=f"it must have {wanted}")


def open_idx(spec: DatasetSpec) -> ArrayDataset:
    if spec.labels is None:
        remedy = "name it: --labels; in a manifest, labels under datasets"
        raise DataError("an idx data set needs a second file with the labels", remedy=remedy)
    return _dataset(spec, _read_idx(spec.path, _IDX_IMAGES, "images"), _read_idx(spec.labels, _IDX_LABELS, "labels"))


def _read_idx(path: Path, magic: int, what: str) -> NDArray[np.uint8]:
    """A big-endian header (magic number, length of each axis), then the bytes."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                data = stream.read()
        else:
            data = path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"the compressed idx {what} are damaged: {error}", path=str(path)) from error
    except OSError as error:
        raise DataError(f"cannot read the idx {what}: {error.strerror or error}", path=str(path)) from error
    axes = magic & 0xFF
    start = 4 * (1 + axes)
    if len(data) < start or struct.unpack_from(">I", data)[0] != magic:
        raise DataError(f"these are not idx {what}: the file must begin with {magic:#010x}, not {data[:4].hex()}", path=str(path))
    shape = struct.unpack_from(f">{axes}I", data, 4)
    if len(data) - start != math.prod(shape):
        raise DataError(
            f"the idx {what} should be {' x '.join(map(str, shape))} bytes after the header, but there are {len(data) - start}",
            path=str(path),
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _dataset(spec: DatasetSpec, images: Array, labels: Array) -> ArrayDataset:
    if not _are_pictures(images):
        raise DataError(
            f"images have the type {images.dtype} and the shape {images.shape}",
            remedy="they must be uint8 (N, H, W) or (N, H, W, 1 or 3), or floats (N, H, W) or (N, C, H, W)",
        )
    if labels.ndim == 2 and labels.shape[1] == 1:  # as CIFAR's are stored
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"labels have the type {labels.dtype} and the shape {labels.shape}", remedy="they must be integers (N,)")
    if len(labels) != len(images):
        raise DataError(f"there are {len(images)} images and {len(labels)} labels")
    if len(labels) and labels.min() < 0:
        raise DataError(f"label {labels.min()} of example {labels.argmin()} is negative")
    return ArrayDataset(spec.name, spec.class_order, labels.astype(np.int64), images, spec.path)


def _are_pictures(images: Array) -> bool:
    if images.dtype == np.uint8:
        return images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    return images.dtype.kind == "f" and images.ndim in (3, 4)
