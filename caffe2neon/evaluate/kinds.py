"""What a data set is, told by what lies there, and what its labels are, told in one hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from caffe2neon.errors import DataError
from caffe2neon.evaluate.dataset import DATA, META, VAL_LIST, labels_file, open_dataset
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
    """sha256 of a data set's labels: of the file that has them, or of themselves where they are spread among pictures.

    Raises:
        DataError: something cannot be read.
    """
    if spec.kind in ("folder", "lmdb", "macrobatch"):
        return hashlib.sha256(open_dataset(spec).labels.astype("<i8").tobytes()).hexdigest()
    path = labels_file(spec)
    try:
        return digest(path)
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror or error}", path=str(path)) from error
