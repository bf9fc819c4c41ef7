"""One request over HTTP, and what its failure means."""

from __future__ import annotations

import contextlib
import email.utils
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from caffe2neon.errors import FetchError

if TYPE_CHECKING:
    from requests import Response

#: Bytes that a killed process has to fetch again: a block is in memory until it is complete.
_BLOCK = 1 << 14
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_UNSATISFIABLE = 416
_NOT_MODIFIED = 304
#: What RFC 9110 lets stand in a tag or a date, and what http.client can encode.
_FIELD = re.compile(r"([!-~][ -~\x80-\xff]*)?")


@dataclass(frozen=True)
class Network:
    """How patient to be, in seconds. Proxies, certificates and passwords are as requests finds them in the environment.

    ``timeout`` is for connecting and for each silence of the server, not for the whole file. The pause before a new attempt starts
    at ``pause`` and doubles; a server's ``Retry-After`` is kept to, and where it asks for more than ``longest_pause`` we give up.
    ``attempts`` counts those in a row that bring no byte.
    """

    timeout: float = 30.0
    attempts: int = 4
    pause: float = 1.0
    longest_pause: float = 60.0
    sleep: Callable[[float], None] = time.sleep


#: What suits a person who waits, and a nightly run.
PATIENT = Network()


class Again(Exception):
    """This attempt failed in a way that may pass. ``wait``: seconds that the server asks for."""

    def __init__(self, error: FetchError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


class Stale(Exception):
    """The server cannot give the rest of what we have a part of."""


class Unchanged(Exception):
    """The file is still the version that was asked about."""


@dataclass(frozen=True)
class Answer:
    """A body about to come. ``start``: the byte it begins with; ``length``: its bytes as announced, None where not."""

    start: int
    length: int | None
    total: int | None
    etag: str
    modified: str
    compressed: bool
    blocks: Iterator[bytes]


def sendable(value: object) -> bool:
    """Whether what was read from a record may be a header's value, "" among them: a tag, or a date."""
    return isinstance(value, str) and _FIELD.fullmatch(value) is not None


@contextlib.contextmanager
def get(url: str, timeout: float, start: int = 0, validator: str = "", *, etag: str = "", modified: str = "") -> Iterator[Answer]:
    """Ask for ``url`` from byte ``start`` on, if it is still the version that ``validator`` names; else the server sends all.

    Args:
        etag: of a version that need not be sent; so is ``modified``, which counts where there is no tag.

    Raises:
        Unchanged: it is still the version of ``etag`` or ``modified``.
        Again: it may work later.
        Stale: there is nothing from ``start`` on.
        FetchError: it will not work.
    """
    import requests

    # Compressed transfer would make Content-Length and Range count other bytes than those that the manifest pins.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    if etag:
        headers["If-None-Match"] = etag
    elif modified:
        headers["If-Modified-Since"] = modified
    try:
        response = requests.get(url, stream=True, timeout=timeout, headers=headers)
    except requests.RequestException as error:
        raise _failure(error) from error
    with response:
        _check_status(response, start, conditional=bool(etag or modified))
        # urllib3 would drop the last bytes of a body that ends early; we keep and count them, and compare with what was announced.
        response.raw.enforce_content_length = False
        first, total = _range(response)
        if first not in (0, start):
            raise Stale
        length = _length(response)
        whole = length if total is None and not first else total
        head = response.headers
        compressed = head.get("Content-Encoding", "identity") != "identity"
        yield Answer(
            first, length, whole, head.get("ETag", ""), head.get("Last-Modified", ""), compressed, _blocks(response)
        )


def _check_status(response: Response, start: int, *, conditional: bool) -> None:
    """``conditional``: whether the server was told of a version that need not be sent."""
    if response.status_code == _UNSATISFIABLE and start:
        raise Stale
    if response.status_code == _NOT_MODIFIED and conditional:
        raise Unchanged
    if 200 <= response.status_code < 300:  # not ``ok``, which a 304 that nobody asked for is, too, and it has no body
        return
    error = FetchError(f"the server answered {response.status_code} {response.reason}".rstrip())
    if response.status_code in _RETRIED:
        raise Again(error, _retry_after(response.headers.get("Retry-After", "")))
    raise error


def _range(response: Response) -> tuple[int, int | None]:
    """The first byte of the body, and how many the whole file has, where the answer is a part of it."""
    if response.status_code != 206:
        return 0, None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if match is None:
        raise Stale
    return int(match[1]), None if match[2] == "*" else int(match[2])


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


def _length(response: Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and "Content-Encoding" not in response.headers else None


def _blocks(response: Response) -> Iterator[bytes]:
    """The body. The errors of requests are OSErrors, which would pass for a full disk: they are turned into ours here."""
    import requests

    try:
        yield from response.iter_content(_BLOCK)
    except requests.exceptions.ChunkedEncodingError as error:
        raise Again(FetchError(f"the connection broke: {_root_cause(error)}")) from error
    except requests.RequestException as error:
        raise _failure(error) from error


def _failure(error: Exception) -> Again | FetchError:
    """A server that is not there may come back; an address that makes no sense stays so."""
    import requests

    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):
        return Again(FetchError("the server is silent for too long"))
    if isinstance(error, requests.exceptions.SSLError):
        return FetchError(f"the server's certificate is not to be trusted: {error}")
    if isinstance(error, requests.exceptions.ProxyError):
        return Again(FetchError(f"cannot reach the proxy: {_root_cause(error)}"))
    if isinstance(error, requests.ConnectionError):
        return Again(FetchError(f"cannot reach the server: {_root_cause(error)}"))
    return FetchError(f"cannot download: {error}")


def _root_cause(error: BaseException) -> str:
    """requests wraps urllib3, which wraps the system's error: only the innermost is worth reading."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
