"""Repairs that a published prototxt needs before Caffe can read it: data of the manifest, never code."""

from __future__ import annotations

from collections.abc import Sequence

from caffe2neon.errors import ParseError
from caffe2neon.manifest.section import Section
from caffe2neon.records import TextFix

KEYS = ("find", "replace", "count")


def apply_fixes(text: bytes, fixes: Sequence[TextFix]) -> bytes:
    """The text of a prototxt after all ``fixes``, one after the other.

    Raises:
        ParseError: a text to be replaced is not there, or not as often as the manifest says: the file is another one than that for
            which the fix was made.
    """
    for fix in fixes:
        found, wanted = text.count(fix.find.encode()), fix.count
        if not found or wanted not in (None, found):
            times = "" if wanted is None else f" {wanted} times"
            raise ParseError(
                f"the manifest replaces {fix.find!r}, which should be in this file{times}, and is there {found} times",
                remedy="correct the entry's fixes",
            )
        text = text.replace(fix.find.encode(), fix.replace.encode())
    return text


def read_fixes(entry: Section) -> tuple[TextFix, ...]:
    """The entry's ``fixes``."""
    fixes = []
    for fix in entry.sections("fixes", KEYS):
        for key in ("find", "replace"):
            fix.require(key)
        find, replace = fix.text("find"), fix.text("replace", blank=True)
        if find and find == replace:
            fix.wrong("replace", "replaces a text by itself")
        fixes.append(TextFix(find, replace, fix.size("count")))
    return tuple(fixes)
