"""What a data set is to the rest of this room, and the door to the kinds of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from caffe2neon.errors import DataError, UsageError, Where, located
from caffe2neon.records import Array, DatasetSpec

#: Names that files have by custom: an image list's, ImageNet's devkit, an LMDB's, and what describes neon's macrobatches.
VAL_LIST, DEVKIT, DATA, META = "val.txt", "ILSVRC2012_devkit_t12.tar.gz", "data.mdb", "macrobatch_meta"

#: All kinds, and those of them without a second file.
KINDS = ("npz", "idx", "image_list", "folder", "ilsvrc12_tar", "lmdb", "macrobatch")
_WHOLE = ("npz", "lmdb", "macrobatch")


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
            PictureError: it cannot be read; its message names it.
        """

    def where(self, index: int) -> Where:
        """The file, and the line of the list, that example ``index`` comes from; for messages."""


def open_dataset(spec: DatasetSpec) -> Dataset:
    """Open a data set: labels are read and checked, pictures not yet.

    ``npz``: arrays ``images`` and ``labels`` (or ``x_test`` and ``y_test``, or ``data`` and ``labels``). ``idx``: MNIST's format,
    plain or ``.gz``. ``image_list``: a folder, and Caffe's list of ``relative/path label`` lines (``val.txt`` in that folder
    unless ``spec.labels`` says otherwise). ``folder``: a folder of pictures for each class. ``ilsvrc12_tar``: ImageNet's
    ``ILSVRC2012_img_val.tar``, and the devkit (beside it unless ``spec.labels`` says otherwise). ``lmdb``: Caffe's, of Datums.
    ``macrobatch``: neon's, a folder of them.

    Raises:
        DataError: a file is missing or damaged, a label is wrong, the data set is empty, or of an unknown kind.
        UsageError: ``spec.labels`` is set for a kind that has its labels within.
    """
    # Each kind in its own module, imported late: listing a zoo opens no data set.
    from caffe2neon.evaluate.arrays import open_idx, open_npz
    from caffe2neon.evaluate.folder import open_folder
    from caffe2neon.evaluate.ilsvrc12 import open_ilsvrc12_tar
    from caffe2neon.evaluate.image_list import open_image_list
    from caffe2neon.evaluate.lmdb_datums import open_lmdb
    from caffe2neon.evaluate.macrobatch import open_macrobatch

    kinds: dict[str, Callable[[DatasetSpec], Dataset]] = {
        "npz": open_npz,
        "idx": open_idx,
        "image_list": open_image_list,
        "folder": open_folder,
        "ilsvrc12_tar": open_ilsvrc12_tar,
        "lmdb": open_lmdb,
        "macrobatch": open_macrobatch,
    }
    if spec.kind not in kinds:
        raise DataError(f"data set {spec.name!r} is of an unknown kind, {spec.kind!r}", remedy=f"known are: {', '.join(kinds)}")
    if spec.labels is not None and spec.kind in _WHOLE:
        remedy = "leave out the labels (--labels; in a manifest, labels under datasets)"
        raise UsageError(f"a data set of the kind {spec.kind} holds its labels itself", path=str(spec.path), remedy=remedy)
    with located(path=str(spec.path)):
        dataset = kinds[spec.kind](spec)
        if not len(dataset):
            raise DataError(f"data set {spec.name!r} has no examples")
        return dataset


def labels_file(spec: DatasetSpec) -> Path:
    """The file that a data set's labels are in: ``spec.labels``, or where that kind has them; a folder itself where no file has."""
    if spec.labels is not None:
        return spec.labels
    if spec.kind == "ilsvrc12_tar":
        return spec.path.with_name(DEVKIT)
    beside = {"image_list": VAL_LIST, "macrobatch": META, "lmdb": DATA if spec.path.is_dir() else ""}
    return spec.path / beside.get(spec.kind, "")
