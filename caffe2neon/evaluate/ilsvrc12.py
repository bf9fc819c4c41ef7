"""ILSVRC12's validation set as ImageNet hands it out: one tar of pictures, read in place, and the devkit with their classes."""

from __future__ import annotations

import re
import tarfile
import zlib
from pathlib import Path

import numpy as np

from caffe2neon.errors import DataError, located
from caffe2neon.evaluate.dataset import labels_file
from caffe2neon.evaluate.pictures import EncodedPictures, Span
from caffe2neon.records import DatasetSpec

_CLASSES = 1000
_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
_PICTURE = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")

#: The real file of classes has under 200 kB; a hostile archive may promise more than there is memory for.
_MOST_BYTES = 1 << 20

#: What tarfile and what is beneath it raise on damaged archives.
_BAD_TAR = (tarfile.TarError, EOFError, zlib.error, ValueError)


def open_ilsvrc12_tar(spec: DatasetSpec) -> EncodedPictures:
    """``ILSVRC2012_img_val.tar`` with ``ILSVRC2012_devkit_t12.tar.gz`` beside it, or where ``spec.labels`` says.

    The devkit numbers the classes 1..1000, picture by picture in the order of their names; neon's order is the devkit's, from 0.

    Raises:
        DataError: one of the archives is missing, damaged or another one, or they do not have the same number of pictures.
    """
    devkit = labels_file(spec)
    with located(path=str(devkit)):
        labels = _truth(devkit)
    spans = _index(spec.path)
    if len(spans) != len(labels):
        message = f"this has {len(spans)} pictures, but the devkit has classes for {len(labels)}"
        raise DataError(message, remedy=f"download one of them again; the classes are from {devkit}")
    return EncodedPictures(spec.name, spec.class_order or "neon", np.array(labels, np.int64), spans)


def _index(path: Path) -> tuple[Span, ...]:
    """Where the pictures lie in the tar, by number. Only the members' headers are read."""
    found: dict[int, Span] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if member.isreg() and not member.issparse() and (match := _PICTURE.fullmatch(name)):
                    found[int(match[1])] = Span(path, name, member.offset_data, member.size)
    except _BAD_TAR as error:
        remedy = "it must be ILSVRC2012_img_val.tar as ImageNet hands it out, not compressed: download it again"
        raise DataError(f"this is no tar, or a truncated one: {error}", remedy=remedy) from error
    except OSError as error:
        raise DataError(f"cannot read the pictures: {error.strerror or error}") from error
    if not found:
        raise DataError("none of ILSVRC12's validation pictures is in this tar", remedy="it must be ILSVRC2012_img_val.tar")
    for number in range(1, len(found) + 1):
        if number not in found:
            raise DataError(f"ILSVRC2012_val_{number:08}.JPEG is not in this tar, but later ones are", remedy="download it again")
    return tuple(found[number] for number in sorted(found))


def _truth(path: Path) -> list[int]:
    """The class of each picture, from 0."""
    remedy = "it must be ILSVRC2012_devkit_t12.tar.gz as ImageNet hands it out: download it again"
    try:
        with tarfile.open(path, "r:*") as archive:
            member = next((member for member in archive if f"/{member.name}".endswith(f"/{_TRUTH}") and member.isreg()), None)
            stream = archive.extractfile(member) if member else None
            if stream is None:
                raise DataError(f"there is no {_TRUTH} in this archive", remedy=remedy)
            lines = stream.read(_MOST_BYTES).split()
    except _BAD_TAR as error:
        raise DataError(f"this is no devkit of ILSVRC12, or a damaged one: {error}", remedy=remedy) from error
    except OSError as error:
        raise DataError(f"cannot read the devkit: {error.strerror or error}", remedy=remedy) from error
    for number, line in enumerate(lines, start=1):
        if not line.isdigit() or not 1 <= int(line[:9]) <= _CLASSES or len(line) > 4:
            said = line[:20].decode("ascii", "replace")
            raise DataError(f"{_TRUTH} says {said!r} of picture {number}, not a class from 1 to {_CLASSES}", remedy=remedy)
    return [int(line) - 1 for line in lines]
