"""What a data set is to the rest of this room, and the door to the three kinds of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from caffe2neon.errors import DataError, Where, located
from caffe2neon.records import Array, DatasetSpec


class Dataset(Protocol):
    """Labelled pictures. Labels are in memory; a picture is read when it is asked for, from any thread.

    ``class_order`` is caffe, neon, or "" where there is just one; ``labels`` are int64 of shape (N,), none negative.
    """

    @property
    def name(self) -> str: ...

    @property
    def class_order(self) -> str: ...

    @property
    def labels(self) -> NDArray[np.int64]: ...

    def __len__(self) -> int: ...

    def picture(self, index: int, channel_order: str) -> Array:
        """Example ``index`` as uint8 or float32 of shape (H, W) or (H, W, C), channels in ``channel_order`` (BGR, RGB, GRAY).

        Raises:
            DataError: it cannot be read.
        """

    def where(self, index: int) -> Where:
        """The file, and the line of the list, that example ``index`` comes from; for messages."""


def open_dataset(spec: DatasetSpec) -> Dataset:
    """Open a data set: labels are read and checked, pictures not yet.

    ``npz``: arrays ``images`` and ``labels`` (or ``x_test`` and ``y_test``, or ``data`` and ``labels``). ``idx``: MNIST's format,
    plain or ``.gz``. ``image_list``: a folder, and Caffe's list of ``relative/path label`` lines (``val.txt`` in that folder
    unless ``spec.labels`` says otherwise).

    Raises:
        DataError: a file is missing or damaged, a label is wrong, the data set is empty, or of an unknown kind.
    """
    # Each kind in its own module, imported late: listing a zoo opens no data set.
    from caffe2neon.evaluate.arrays import open_idx, open_npz
    from caffe2neon.evaluate.image_list import open_image_list

    kinds: dict[str, Callable[[DatasetSpec], Dataset]] = {"npz": open_npz, "idx": open_idx, "image_list": open_image_list}
    if spec.kind not in kinds:
        raise DataError(f"data set {spec.name!r} is of an unknown kind, {spec.kind!r}", remedy=f"known are: {', '.join(kinds)}")
    with located(path=str(spec.path)):
        dataset = kinds[spec.kind](spec)
        if not len(dataset):
            raise DataError(f"data set {spec.name!r} has no examples")
        return dataset


def labels_file(spec: DatasetSpec) -> Path:
    """The file that a data set's labels are in: its own, ``val.txt`` in the folder of pictures, or the one with everything."""
    if spec.labels is not None:
        return spec.labels
    return spec.path / "val.txt" if spec.kind == "image_list" else spec.path
