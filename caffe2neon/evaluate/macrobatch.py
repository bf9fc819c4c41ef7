"""neon v1.4.0's macrobatches: ``macrobatch_meta`` and ``macrobatch_N.cpio``, as its ``BatchWriter`` makes them for ``ImageLoader``.

Facts from neon's ``data/batch_writer.py``, ``data/imageloader.py`` and ``loader/src/batchfile.hpp``. A macrobatch is a cpio archive
in the old binary format: a header, then for each example its JPEG and its class (4 bytes), then a trailer. All numbers are
little-endian, but numbers of 4 bytes in a cpio header are two halves, the upper one first.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from caffe2neon.errors import DataError, located
from caffe2neon.evaluate.dataset import labels_file
from caffe2neon.evaluate.pictures import EncodedPictures, Span
from caffe2neon.records import DatasetSpec

#: What ``ImageLoader`` refuses to go without.
_REQUIRED = ("nclass", "train_start", "train_nrec", "val_start", "val_nrec")

#: ILSVRC12 as ``BatchWriterI1K`` writes it, in the devkit's order of classes: nclass, train_nrec, val_nrec.
_I1K = (1000, 1281167, 50000)

#: magic, dev, ino, mode, uid, gid, nlink, rdev, mtime (2), namesize, filesize (2).
_RECORD = struct.Struct("<13H")
_CPIO = 0o070707

#: magic, format and writer version, kind of data, items, largest datum and target, all data and targets, unused.
_HEADER = struct.Struct("<4s2I8s5I24s")

_REMEDY = "write it again with neon's BatchWriter"


class _Record(NamedTuple):
    name: str
    start: int
    size: int
    #: Where the next record begins: data are filled up to an even length.
    following: int


@dataclass(frozen=True)
class Macrobatches(EncodedPictures):
    """``subset`` of the macrobatches in ``folder``, train or validation; ``begins`` has the first example of each file.

    ``first`` is the number of the first file, ``classes`` what ``macrobatch_meta`` says.
    """

    folder: Path
    subset: str
    classes: int
    first: int
    begins: tuple[int, ...]

    def place(self, index: int) -> tuple[int, int]:
        """The number of the file that example ``index`` is in, and how many examples are before it there."""
        file = bisect_right(self.begins, index) - 1
        return self.first + file, index - self.begins[file]


def open_macrobatch(spec: DatasetSpec) -> Macrobatches:
    """The validation set in a folder of macrobatches; the training set where that is all there is.

    Raises:
        DataError: a file is missing, damaged or cut short, a class is none of the set's, or there are 1000 classes in an order
            that nothing tells: those of a folder of pictures are sorted as Caffe's, those of neon's own ILSVRC12 are the devkit's.
    """
    meta_path = labels_file(spec)
    with located(path=str(meta_path)):
        meta = _read_meta(meta_path)
        order = spec.class_order or _class_order(meta)
    which = "val" if meta["val_nrec"] else "train"
    first = meta[f"{which}_start"]
    batches = list(_batches(spec.path, first, meta[f"{which}_nrec"]))
    examples = [example for batch in batches for example in batch]
    labels = np.array([label for _, label in examples], np.int64)
    if (wrong := (labels < 0) | (labels >= meta["nclass"])).any():
        index = int(wrong.argmax())
        span = examples[index][0]
        message = f"the class of {span.name} is {labels[index]}, but there are {meta['nclass']} classes"
        raise DataError(message, path=str(span.path), remedy=_REMEDY)
    begins = tuple(accumulate((len(batch) for batch in batches[:-1]), initial=0))
    spans = tuple(span for span, _ in examples)
    subset = "validation" if which == "val" else which
    return Macrobatches(spec.name, order, labels, spans, spec.path, subset, meta["nclass"], first, begins)


def _read_meta(path: Path) -> dict[str, int]:
    """``name number`` on each line; the means, which are no whole numbers, are left out."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        pairs = [(name, value) for name, value in map(str.split, lines) if not name.endswith("mean")]
        meta = {name: int(value) for name, value in pairs}
    except OSError as error:
        raise DataError(f"cannot read the macrobatches' description: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError("this is no description of macrobatches: each line must be a name and a number", remedy=_REMEDY) from error
    if missing := [name for name in _REQUIRED if meta.get(name, -1) < 0]:
        raise DataError(f"the macrobatches' description does not say {', '.join(missing)}", remedy=_REMEDY)
    return meta


def _class_order(meta: dict[str, int]) -> str:
    if (meta["nclass"], meta["train_nrec"], meta["val_nrec"]) == _I1K:
        return "neon"
    if meta["nclass"] == _I1K[0]:
        orders = "neon where BatchWriterI1K wrote it, caffe where it was written from folders"
        remedy = f"say it, {orders}: --class-order; in a manifest, class_order under datasets"
        raise DataError("these are 1000 classes, but nothing says in which order", remedy=remedy)
    return ""


def _batches(folder: Path, first: int, wanted: int) -> Iterator[list[tuple[Span, int]]]:
    """Examples of one file after the other, ``wanted`` in all, as ``ImageLoader`` reads them."""
    number, left = first, wanted
    while left:
        path = folder / f"macrobatch_{number}.cpio"
        with located(path=str(path)):
            try:
                with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
                    batch = _read_batch(path, data)[:left]
            except OSError as error:
                message = f"cannot read the macrobatch: {error.strerror or error}; {left} of {wanted} examples are left"
                raise DataError(message, remedy="copy all of the files, or write them again with neon's BatchWriter") from error
            except ValueError as error:  # mmap's word for a file without a byte
                raise DataError("the macrobatch is empty", remedy=_REMEDY) from error
        if not batch:
            raise DataError("the macrobatch has no examples", path=str(path), remedy=_REMEDY)
        yield batch
        number, left = number + 1, left - len(batch)


def _read_batch(path: Path, data: mmap) -> list[tuple[Span, int]]:
    head = _record(data, 0)
    if head.size != _HEADER.size or data[head.start : head.start + 4] != b"MACR":
        raise DataError("this cpio archive is no macrobatch of neon's", remedy=_REMEDY)
    items = _HEADER.unpack_from(data, head.start)[4]
    examples, at = [], head.following
    for item in range(items):
        try:
            datum = _record(data, at)
            target = _record(data, datum.following)
        except DataError as error:
            raise DataError(f"example {item} of {items} is broken: {error.message}", remedy=_REMEDY) from error
        if target.size != 4:
            message = f"example {item} has a target of {target.size} bytes, not one class"
            raise DataError(message, remedy="only macrobatches of pictures with a class each can be measured")
        (label,) = struct.unpack_from("<i", data, target.start)
        examples.append((Span(path, f"{path.name}: {datum.name}", datum.start, datum.size), label))
        at = target.following
    return examples


def _record(data: mmap, at: int) -> _Record:
    """The cpio record at ``at``, all of which must be there."""
    if len(data) - at < _RECORD.size:
        raise DataError(f"the file ends at byte {len(data)}", remedy=_REMEDY)
    header = _RECORD.unpack_from(data, at)
    if header[0] != _CPIO:
        raise DataError(f"byte {at} begins no record of a binary cpio archive", remedy=_REMEDY)
    name, start = header[10], at + _RECORD.size
    data_start = start + name + name % 2
    size = header[11] << 16 | header[12]
    if data_start + size > len(data):
        raise DataError(f"the file ends at byte {len(data)}", remedy=_REMEDY)
    text = data[start : start + name].rstrip(b"\0").decode("ascii", "replace")
    return _Record(text, data_start, size, data_start + size + size % 2)
