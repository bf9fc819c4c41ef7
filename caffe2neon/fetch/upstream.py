"""Whether the file at an address is still the pinned one, without fetching it all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from urllib.parse import urlsplit

from caffe2neon.errors import ChecksumError, FetchError, PublishError
from caffe2neon.fetch.arrival import Arrival
from caffe2neon.fetch.http import Again, Answer, Network, Unchanged, get, sendable
from caffe2neon.files import json_bytes, read_json, write_bytes
from caffe2neon.records import PinnedFile

#: Up to this many bytes a file is read to its end and hashed.
_SMALL = 1 << 20


def check_upstream(pinned: PinnedFile, cache: Path, network: Network) -> str:
    """Ask the entry's own address; "" where nothing speaks against the pin, else why nobody can tell (the server is not there).

    A small file is hashed; of a larger one its length is compared, and its beginning with that of the file in the cache: one that
    was replaced by another of the same length and beginning goes unnoticed until it is fetched anew. What the server calls a
    version whose bytes were compared so (ETag, Last-Modified) is remembered in the cache, and then only asked about: no byte of
    the file comes. A file that its server calls another version, or that is unlike the one in the cache, is hashed, however large:
    nobody has hashed the one in the cache yet.

    Raises:
        ChecksumError: another file lies there now.
    """
    if urlsplit(pinned.url).scheme not in ("http", "https") or not pinned.digest:
        return ""
    memory = cache / "upstream" / f"{hashlib.sha256(f'{pinned.url} {pinned.digest}'.encode()).hexdigest()}.json"
    known = _recall(memory)
    try:
        with ExitStack() as stack:
            answer = stack.enter_context(get(pinned.url, network.timeout, etag=known.etag, modified=known.modified))
            if _compare(pinned, cache / pinned.algorithm / pinned.digest, answer, known):
                _remember(memory, _Version(answer.etag, answer.modified))
    except Unchanged:
        return ""
    except Again as again:
        return again.error.message
    except ChecksumError as error:
        raise ChecksumError(f"changed upstream: {error.message}", remedy=error.remedy, path=pinned.url) from error
    except FetchError as error:
        return error.message
    return ""


@dataclass(frozen=True)
class _Version:
    """What a server calls a version of a file; "" where it says nothing."""

    etag: str = ""
    modified: str = ""

    def replaced_by(self, answer: Answer) -> bool:
        """Whether the server says that this is not the file it had."""
        if self.etag and answer.etag:
            return self.etag.removeprefix("W/") != answer.etag.removeprefix("W/")
        return bool(self.modified and answer.modified) and self.modified != answer.modified


def _recall(memory: Path) -> _Version:
    """A record that is missing or damaged is none."""
    try:
        version = _Version(**read_json(memory) or {})
    except (PublishError, TypeError):
        return _Version()
    return version if sendable(version.etag) and sendable(version.modified) else _Version()


def _remember(memory: Path, version: _Version) -> None:
    """Where that cannot be, the next time just costs more."""
    if version != _Version():
        with suppress(OSError, PublishError):
            memory.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(memory, json_bytes(asdict(version)))


def _compare(pinned: PinnedFile, cached: Path, answer: Answer, known: _Version) -> bool:
    """Whether bytes of the file were compared, not only its length."""
    if None not in (answer.total, pinned.size) and answer.total != pinned.size:
        arrival = Arrival(pinned)
        _feed(arrival, islice(answer.blocks, 1))
        raise ChecksumError(f"{answer.total} bytes instead of {pinned.size}", remedy=arrival.mismatch().remedy)
    blocks = answer.blocks
    here = cached.stat().st_size if cached.is_file() else None
    if (pinned.size or answer.total or here or _SMALL + 1) > _SMALL and not known.replaced_by(answer):
        if here is None:
            return False
        first = next(blocks, b"")
        if answer.total in (None, here) and _begins(cached, first):
            return bool(first)
        blocks = chain([first], blocks)
    arrival = Arrival(pinned)
    _feed(arrival, blocks)
    if arrival.count < (answer.length or 0) and not arrival.too_long:
        raise Again(FetchError("the connection broke"))
    arrival.check()
    return True


def _begins(path: Path, data: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(data)) == data


def _feed(arrival: Arrival, blocks: Iterator[bytes]) -> None:
    """Up to the first byte that is too many."""
    for block in blocks:
        arrival.add(block)
        if arrival.too_long:
            return
