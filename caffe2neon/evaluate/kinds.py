"""What a data set is, told by what lies there, and which one it is, told in one hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from caffe2neon.errors import DataError
from caffe2neon.evaluate.dataset import DATA, META, VAL_LIST, Dataset, labels_file, open_dataset
from caffe2neon.evaluate.image_list import ImageList
from caffe2neon.evaluate.pictures import EncodedPictures
from caffe2neon.files import digest
from caffe2neon.records import DatasetSpec

#: How files begin: offset, bytes, kind.
_BEGINNINGS = (
    (0, b"PK\x03\x04", "npz"),
    (0, b"\x00\x00\x08\x03", "idx"),
    (0, b"\x1f\x8b", "idx"),  # of the kinds, MNIST's alone is compressed
    (16, b"\xde\xc0\xef\xbe", "lmdb"),
    (257, b"ustar", "ilsvrc12_tar"),
)


def kind_of(path: Path, labels: Path | None = None) -> str:
    """The kind of the data set at ``path``, by its contents; ``labels`` as in :class:`~caffe2neon.records.DatasetSpec`.

    A folder without any other sign is one of classes.

    Raises:
        DataError: it is not there, or nothing known.
    """
    try:
        if path.is_dir():
            return _kind_of_folder(path, labels)
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        message = f"cannot read the data set: {error.strerror or error}"
        raise DataError(message, path=str(path), remedy="check the name and the folder") from error
    for start, beginning, kind in _BEGINNINGS:
        if head[start : start + len(beginning)] == beginning:
            return kind
    remedy = "it may be an .npz, idx images, ILSVRC2012_img_val.tar, Caffe's data.mdb, or a folder"
    raise DataError("this is no data set of a known kind", path=str(path), remedy=remedy)


def _kind_of_folder(path: Path, labels: Path | None) -> str:
    if (path / META).exists():
        return "macrobatch"
    if (path / DATA).exists():
        return "lmdb"
    listed = labels or path / VAL_LIST
    if not listed.exists():
        return "folder"
    if labels is None and not any(entry.is_dir() for entry in path.iterdir()):
        return "image_list"  # whatever is wrong with the list, its reader says best
    with listed.open("rb") as stream:
        line = next((line for line in stream if line.strip()), b"")
    # `picture 17` in an image list; a list of classes begins with a name, and words may follow.
    return "image_list" if len(line.split()) > 1 and line.split()[-1].isdigit() else "folder"


def fingerprint(spec: DatasetSpec) -> str:
    """sha256 of what tells a data set from another, without reading its pictures: of all labels, and of the sizes of all files that
    pictures are in; of npz and idx, of the very files.

    Raises:
        DataError: something cannot be read.
    """
    try:
        if spec.kind in ("npz", "idx"):
            said = "".join(map(digest, dict.fromkeys((spec.path, labels_file(spec))))).encode()
        elif spec.kind == "ilsvrc12_tar":  # its 50,000 members would take seconds to find
            said = f"{digest(labels_file(spec))} {spec.path.stat().st_size}".encode()
        else:
            dataset = open_dataset(spec)
            sizes = [path.stat().st_size for path in _files(spec, dataset)]
            said = np.concatenate((dataset.labels, sizes)).astype("<i8").tobytes()
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror or error}", path=str(error.filename or spec.path)) from error
    return hashlib.sha256(said).hexdigest()


def _files(spec: DatasetSpec, dataset: Dataset) -> Iterable[Path]:
    if isinstance(dataset, ImageList):
        return (dataset.root / file for file in dataset.files)
    if isinstance(dataset, EncodedPictures):
        return dict.fromkeys(span.path for span in dataset.spans)
    return (labels_file(spec),)
