"""Whether the file at an address is still the pinned one, without fetching it all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from caffe2neon.errors import ChecksumError, FetchError
from caffe2neon.fetch.arrival import Arrival
from caffe2neon.fetch.http import Again, Answer, Network, get
from caffe2neon.records import PinnedFile

#: Up to this many bytes a file is read to its end and hashed.
_SMALL = 1 << 20


def check_upstream(pinned: PinnedFile, cache: Path, network: Network) -> str:
    """Ask the entry's own address; "" where nothing speaks against the pin, else why nobody can tell (the server is not there).

    A small file is hashed. Of a larger one its length is compared, and its beginning with that of the file in the cache: one that
    was replaced by another of the same length and beginning goes unnoticed until it is fetched anew.

    Raises:
        ChecksumError: another file lies there now.
    """
    if urlsplit(pinned.url).scheme not in ("http", "https") or not pinned.digest:
        return ""
    try:
        with ExitStack() as stack:
            _compare(pinned, cache, stack.enter_context(get(pinned.url, network.timeout)))
    except Again as again:
        return again.error.message
    except ChecksumError as error:
        raise ChecksumError(f"changed upstream: {error.message}", remedy=error.remedy, path=pinned.url) from error
    except FetchError as error:
        return error.message
    return ""


def _compare(pinned: PinnedFile, cache: Path, answer: Answer) -> None:
    arrival = Arrival(pinned)
    cached = cache / pinned.algorithm / pinned.digest
    size = pinned.size or (cached.stat().st_size if cached.is_file() else None)
    if answer.total is not None and size is not None and answer.total != size:
        _feed(arrival, islice(answer.blocks, 1))
        raise ChecksumError(f"{answer.total} bytes instead of {size}", remedy=arrival.mismatch().remedy)
    if (size or answer.total or _SMALL + 1) <= _SMALL:
        _feed(arrival, answer.blocks)
        arrival.check()
    elif cached.is_file() and (block := next(answer.blocks, b"")):
        with cached.open("rb") as stream:
            if stream.read(len(block)) != block:
                _feed(arrival, iter([block]))
                raise arrival.mismatch()


def _feed(arrival: Arrival, blocks: Iterator[bytes]) -> None:
    for block in blocks:
        arrival.add(block)
