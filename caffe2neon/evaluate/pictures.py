"""Encoded pictures, each a file or a part of a bigger one, and how they are decoded: by OpenCV, as in Caffe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffe2neon.errors import PictureError, Where, located
from caffe2neon.records import Array

_REMEDY = "restore that picture, or leave out what cannot be read: --skip-bad"

#: How a JPEG and a PNG begin.
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG")


class Span(NamedTuple):
    """Where a picture lies: ``size`` bytes (None: to the end) of ``path`` from ``start`` on. ``name`` is for messages."""

    path: Path
    name: str
    start: int = 0
    size: int | None = None


@dataclass(frozen=True)
class EncodedPictures:
    """Pictures are read and decoded when they are asked for.

    A file is opened for each of them: what that takes is little beside decoding, and so the set is safe in any thread, survives
    pickling, and leaves nothing open.
    """

    name: str
    class_order: str
    labels: NDArray[np.int64]
    spans: Sequence[Span]

    def __len__(self) -> int:
        return len(self.spans)

    def picture(self, index: int, channel_order: str) -> Array:
        """See :func:`decode`."""
        where = self.where(index)
        with located(path=where.path, line=where.line):
            return decode(self.spans[index].name, read(self.spans[index]), channel_order)

    def where(self, index: int) -> Where:
        return Where(path=str(self.spans[index].path))


def decode(name: str, data: bytes, channel_order: str) -> Array:
    """8 bits, (H, W, 3), or (H, W) for GRAY, converted while decoding as Caffe's ``is_color`` asks for.

    As in today's OpenCV, so in Caffe built with it: a camera's note about its orientation is obeyed, transparency dropped.

    Raises:
        PictureError: it is empty, damaged, truncated or no picture.
    """
    import cv2

    if not data:
        raise unreadable(name, "is empty")
    flag = cv2.IMREAD_GRAYSCALE if channel_order == "GRAY" else cv2.IMREAD_COLOR
    try:
        # From memory, not by imread: that returns the rest of a truncated JPEG in grey, and says nothing.
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise unreadable(name, f"is refused by OpenCV: {error.err}") from error
    if picture is None:
        broken = data.startswith(_SIGNATURES)
        raise unreadable(name, "is truncated or damaged" if broken else "is no picture that OpenCV can read")
    return picture[..., ::-1] if channel_order == "RGB" else picture


def unreadable(name: str, what: str) -> PictureError:
    return PictureError(f"the picture {name!r} {what}", remedy=_REMEDY)


def read(span: Span) -> bytes:
    """
    Raises:
        PictureError: the file cannot be read.
    """
    try:
        with span.path.open("rb") as stream:
            stream.seek(span.start)
            return stream.read(-1 if span.size is None else span.size)
    except OSError as error:
        raise unreadable(span.name, f"cannot be read: {error.strerror or error}") from error
