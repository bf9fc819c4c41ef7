"""Whether the file at an address is still the pinned one, without fetching it all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from caffe2neon.errors import ChecksumError, FetchError, PublishError
from caffe2neon.fetch.arrival import Arrival
from caffe2neon.fetch.http import Again, Answer, Network, Unchanged, get
from caffe2neon.files import json_bytes, write_bytes
from caffe2neon.records import PinnedFile

#: Up to this many bytes a file is read to its end and hashed.
_SMALL = 1 << 20


def check_upstream(pinned: PinnedFile, cache: Path, network: Network) -> str:
    """Ask the entry's own address; "" where nothing speaks against the pin, else why nobody can tell (the server is not there).

    What the server calls its version (ETag, Last-Modified) is remembered in the cache when nothing speaks against it, and then
    only asked about: no byte of the file comes. Without that, a small file is hashed; of a larger one its length is compared, and
    its beginning with that of the file in the cache: one that was replaced by another of the same length and beginning goes
    unnoticed until it is fetched anew. A file whose server says that it is another version is hashed, however large.

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
            _compare(pinned, cache, answer, known)
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
        version = _Version(**json.loads(memory.read_bytes()))
    except (OSError, ValueError, TypeError):
        return _Version()
    return version if isinstance(version.etag, str) and isinstance(version.modified, str) else _Version()


def _remember(memory: Path, version: _Version) -> None:
    """Where that cannot be, the next time just costs more."""
    if version != _Version():
        with suppress(OSError, PublishError):
            memory.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(memory, json_bytes(asdict(version)))


def _compare(pinned: PinnedFile, cache: Path, answer: Answer, known: _Version) -> None:
    arrival = Arrival(pinned)
    cached = cache / pinned.algorithm / pinned.digest
    size = pinned.size or (cached.stat().st_size if cached.is_file() else None)
    if answer.total is not None and size is not None and answer.total != size:
        _feed(arrival, islice(answer.blocks, 1))
        raise ChecksumError(f"{answer.total} bytes instead of {size}", remedy=arrival.mismatch().remedy)
    if (size or answer.total or _SMALL + 1) <= _SMALL or known.replaced_by(answer):
        _feed(arrival, answer.blocks)
        if arrival.count < (answer.length or 0):
            raise Again(FetchError("the connection broke"))
        arrival.check()
    elif cached.is_file() and (block := next(answer.blocks, b"")):
        with cached.open("rb") as stream:
            if stream.read(len(block)) != block:
                _feed(arrival, iter([block]))
                raise arrival.mismatch()


def _feed(arrival: Arrival, blocks: Iterator[bytes]) -> None:
    for block in blocks:
        arrival.add(block)
