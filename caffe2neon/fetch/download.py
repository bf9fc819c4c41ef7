"""One file over HTTP into the cache, retried while there is hope."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from caffe2neon.errors import FetchError, PublishError
from caffe2neon.fetch.arrival import Arrival
from caffe2neon.fetch.plan import file_name
from caffe2neon.files import BLOCK, atomic_write
from caffe2neon.records import FetchedFile, PinnedFile, Progress

if TYPE_CHECKING:
    from requests import Response

_RETRIED = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Network:
    """How patient to be, in seconds.

    ``timeout`` is for connecting and for each silence of the server, not for the whole file. The pause before a new attempt starts
    at ``pause`` and doubles; a server's ``Retry-After`` is kept to, and where it asks for more than ``longest_pause`` we give up.
    """

    timeout: float = 30.0
    attempts: int = 4
    pause: float = 1.0
    longest_pause: float = 60.0
    sleep: Callable[[float], None] = time.sleep


class _Again(Exception):
    """This attempt failed in a way that may pass. ``wait``: seconds that the server asks for."""

    def __init__(self, error: FetchError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


def download(url: str, pinned: PinnedFile, target: Path, network: Network, progress: Progress) -> FetchedFile:
    """Bring ``url`` to ``target``, which appears only when it is complete and its digest fits.

    Raises:
        ChecksumError: another file arrived, or a part of it each time.
        FetchError: the server refused or could not be reached, or the disk is full.
    """
    pause = network.pause
    for left in reversed(range(network.attempts)):
        try:
            return _attempt(url, pinned, target, network, progress)
        except _Again as again:
            wait = pause if again.wait is None else again.wait
            if not left:
                raise again.error from again
            if wait > network.longest_pause:
                raise FetchError(f"{again.error.message}, and asks to wait {wait:.0f} s", remedy="try again later") from again
            network.sleep(wait)
            pause = min(2 * pause, network.longest_pause)
        except PublishError as error:
            raise FetchError(error.message, remedy=error.remedy, where=error.where) from error
    raise ValueError("attempts must be at least 1")


def _attempt(url: str, pinned: PinnedFile, target: Path, network: Network, progress: Progress) -> FetchedFile:
    import requests

    try:
        # Compressed transfer would make Content-Length count other bytes than those that the manifest pins.
        response = requests.get(url, stream=True, timeout=network.timeout, headers={"Accept-Encoding": "identity"})
    except requests.RequestException as error:
        raise _failure(error) from error
    with response:
        _check_status(response)
        return _receive(response, url, pinned, target, progress)


def _check_status(response: Response) -> None:
    if response.ok:
        return
    error = FetchError(f"the server answered {response.status_code} {response.reason}".rstrip())
    if response.status_code in _RETRIED:
        raise _Again(error, _retry_after(response.headers.get("Retry-After", "")))
    raise error


def _retry_after(value: str) -> float | None:
    """Seconds, from either form of the header; None where it says nothing that can be understood."""
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def _receive(response: Response, url: str, pinned: PinnedFile, target: Path, progress: Progress) -> FetchedFile:
    # urllib3 would drop the last bytes of a body that ends early; we keep and count them, and compare with what was announced.
    response.raw.enforce_content_length = False
    announced = _announced(response)
    total = pinned.size if pinned.size is not None else announced
    what = f"download {file_name(url)}"
    arrival = Arrival(pinned)
    with atomic_write(target) as stream:
        progress(what, 0, total)
        for block in _blocks(response):
            arrival.add(block)
            if arrival.too_long:
                raise arrival.mismatch()
            stream.write(block)
            progress(what, arrival.count, total)
        if announced is not None and arrival.count < announced:
            raise _Again(arrival.mismatch())
        arrival.check()
    return FetchedFile(target, url, arrival.sha256, arrival.count)


def _announced(response: Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and "Content-Encoding" not in response.headers else None


def _blocks(response: Response) -> Iterator[bytes]:
    """The body. The errors of requests are OSErrors, which would pass for a full disk: they are turned into ours here."""
    import requests

    try:
        yield from response.iter_content(BLOCK)
    except requests.exceptions.ChunkedEncodingError as error:
        raise _Again(FetchError(f"the connection broke: {_root_cause(error)}")) from error
    except requests.RequestException as error:
        raise _failure(error) from error


def _failure(error: Exception) -> _Again | FetchError:
    """A server that is not there may come back; an address that makes no sense stays so."""
    import requests

    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):
        return _Again(FetchError("the server is silent for too long"))
    if isinstance(error, requests.exceptions.SSLError):
        return FetchError(f"the server's certificate is not to be trusted: {error}")
    if isinstance(error, requests.ConnectionError):
        return _Again(FetchError(f"cannot reach the server: {_root_cause(error)}"))
    return FetchError(f"cannot download: {error}")


def _root_cause(error: BaseException) -> str:
    """requests wraps urllib3, which wraps the system's error: only the innermost is worth reading."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
