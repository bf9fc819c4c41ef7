"""Caffe's image lists: a folder of pictures, and a text file with ``relative/path label`` on each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caffe2neon.errors import DataError, Where, located
from caffe2neon.evaluate.dataset import labels_file
from caffe2neon.evaluate.pictures import Span, decode, read
from caffe2neon.records import Array, DatasetSpec

#: How many missing pictures a message names.
_NAMED = 3


@dataclass(frozen=True)
class ImageList:
    """Pictures are decoded when they are asked for, by the decoder that Caffe uses, OpenCV's."""

    name: str
    class_order: str
    labels: NDArray[np.int64]
    root: Path
    files: Sequence[str]
    lines: Sequence[int]
    list_path: Path

    def __len__(self) -> int:
        return len(self.files)

    def picture(self, index: int, channel_order: str) -> Array:
        """See :func:`~caffe2neon.evaluate.pictures.decode`."""
        file, where = self.files[index], self.where(index)
        with located(path=where.path, line=where.line):
            return decode(file, read(Span(self.root / file, file)), channel_order)

    def where(self, index: int) -> Where:
        return Where(path=str(self.list_path), line=self.lines[index])


def open_image_list(spec: DatasetSpec) -> ImageList:
    """Every line is checked and every picture looked for; empty lines are skipped.

    As in Caffe, the label is what follows the last blank, so names may have blanks in them, and a leading slash means the folder.
    """
    if not spec.path.is_dir():
        raise DataError("this is not a folder of pictures", path=str(spec.path))
    list_path = labels_file(spec)
    try:
        text = list_path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read the list of pictures: {error.strerror or error}", path=str(list_path)) from error
    except UnicodeDecodeError as error:
        raise DataError("the list of pictures is not text", path=str(list_path)) from error

    files, labels, lines = [], [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            file, label = _parse(line, Where(path=str(list_path), line=number))
            files.append(file)
            labels.append(label)
            lines.append(number)

    missing = [index for index, file in enumerate(files) if not (spec.path / file).is_file()]
    if missing:
        named = ", ".join(f"{files[index]!r} (line {lines[index]})" for index in missing[:_NAMED])
        more = f", and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise DataError(
            f"{len(missing)} of {len(files)} pictures are not in {spec.path}: {named}{more}",
            path=str(list_path),
            line=lines[missing[0]],
            remedy="is this the folder that the list's paths start from?",
        )
    return ImageList(spec.name, spec.class_order, np.array(labels, np.int64), spec.path, tuple(files), tuple(lines), list_path)


def _parse(line: str, where: Where) -> tuple[str, int]:
    file, *label = line.strip().rsplit(maxsplit=1)
    # isdecimal() alone lets other scripts' digits through; 18 of them fit an int64.
    if not label or not (label[0].isascii() and label[0].isdecimal()) or len(label[0]) > 18:
        raise DataError(
            f"not a path and a label: {line.strip()[:80]!r}", where=where, remedy="write `relative/path label`, label 0, 1, 2..."
        )
    return file.lstrip("/"), int(label[0])
