"""Text in a drawing: how wide it is, and how to shorten what does not fit. All text is monospaced, so that this is arithmetic."""

from __future__ import annotations

import re
import unicodedata

#: The advance of a character in ems, that of the widest of the usual monospaced fonts (DejaVu Sans Mono: 0.602) and a little more.
_ADVANCE = 0.61

#: What XML 1.0 cannot hold; and marks that reorder a line, with which a name could pass for another.
_UNPRINTABLE = re.compile(
    "[^\t\n\r -\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]"
)


def printable(text: str) -> str:
    """``text`` on one line, with the replacement character for what no XML file may hold."""
    return " ".join(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text).split())


def width(text: str, size: float) -> float:
    """In pixels, at a font size of ``size`` pixels."""
    return sum(map(_cells, text)) * _ADVANCE * size


def shorten(text: str, size: float, room: float) -> str:
    """``text``, with an ellipsis in place of its middle where it is wider than ``room``: names differ at both ends."""
    if width(text, size) <= room:
        return text
    head, tail = len(text) * 2 // 5, len(text) * 3 // 5
    while head + tail and width(short := f"{text[:head]}…{text[len(text) - tail :]}", size) > room:
        head, tail = (head - 1, tail) if head >= tail else (head, tail - 1)
    return short if head + tail else "…"


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" or ord(character) > 0xFFFF else 1
