"""Bytes as they arrive: counted, hashed, and named for what they are when they are not what was asked for."""

from __future__ import annotations

import hashlib
import re

from caffe2neon.errors import ChecksumError
from caffe2neon.records import PinnedFile

#: Enough to see what a file is and to find a page's title.
_HEAD = 8192
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html)\b", re.IGNORECASE)


class Arrival:
    """Feed it all blocks in order, then :meth:`check`."""

    def __init__(self, pinned: PinnedFile) -> None:
        self.pinned = pinned
        self.count = 0
        self._head = b""
        self._sha256 = hashlib.sha256()
        other = pinned.algorithm != "sha256"
        self._pinned_hash = hashlib.new(pinned.algorithm, usedforsecurity=False) if other else self._sha256

    def add(self, block: bytes) -> None:
        self.count += len(block)
        self._sha256.update(block)
        if self._pinned_hash is not self._sha256:
            self._pinned_hash.update(block)
        if len(self._head) < _HEAD:
            self._head += block[: _HEAD - len(self._head)]

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def too_long(self) -> bool:
        """Whether more came than the manifest states; nothing that follows can make it right."""
        return self.pinned.size is not None and self.count > self.pinned.size

    @property
    def fits(self) -> bool:
        """Whether the bytes are the pinned ones; of a file without a hash, whether it may be what its publisher meant to give."""
        if not self.pinned.digest:
            return bool(self.count) and not _PAGE.match(self._head)
        return self._pinned_hash.hexdigest() == self.pinned.digest and self.pinned.size in (None, self.count)

    def check(self) -> None:
        """Raise ChecksumError unless the bytes are the pinned ones."""
        if not self.fits:
            raise self.mismatch()

    def mismatch(self) -> ChecksumError:
        """The error that says what arrived instead."""
        if not self.pinned.digest:
            return ChecksumError(f"{self._what()} arrived", remedy="give the address of the file itself")
        expected = f"expected {self.pinned.algorithm} {self.pinned.digest}"
        got = "" if self.too_long else f", got {self._pinned_hash.hexdigest()}"
        return ChecksumError(
            f"checksum mismatch: {self._what()} arrived; {expected}{got}",
            remedy="if the publisher meant to change the file, look at the new one, and pin its hash and size in the manifest",
        )

    def _what(self) -> str:
        size = self.pinned.size
        if not self.count:
            return "an empty file"
        if _PAGE.match(self._head):
            return f"an HTML page{self._title()} ({self.count} bytes)"
        if self._head.startswith(b"version https://git-lfs.github.com/spec/"):
            return "a git-lfs pointer, which only stands for the file,"
        if size is None:
            what = f"another file of {self.count} bytes"
        elif self.count == size:
            what = f"another file of the right size ({size} bytes)"
        elif self.count < size:
            what = f"a shorter file ({self.count} of {size} bytes)"
        else:
            what = f"a longer file (more than {size} bytes)"
        return what + self._first_line()

    def _title(self) -> str:
        match = re.search(rb"<title[^>]*>(.*?)</title", self._head, re.IGNORECASE | re.DOTALL)
        return f" titled {_shown(match[1])!r}" if match else ""

    def _first_line(self) -> str:
        """A host's error often comes as a line of text with status 200."""
        line = self._head.strip().partition(b"\n")[0]
        return f" that begins {_shown(line)!r}" if line and b"\0" not in self._head and _is_text(line) else ""


def _is_text(data: bytes) -> bool:
    try:
        return data[:200].decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def _shown(data: bytes) -> str:
    """One line of at most 80 characters that cannot upset a terminal."""
    text = " ".join(data.decode("utf-8", "replace").split())
    return "".join(character for character in text if character.isprintable())[:80]
