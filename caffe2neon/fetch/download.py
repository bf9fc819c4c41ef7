"""One file over HTTP into the cache: gone on with where an earlier attempt or run stopped, retried while there is hope."""

from __future__ import annotations

from pathlib import Path

from caffe2neon.errors import ChecksumError, FetchError
from caffe2neon.fetch.arrival import Arrival
from caffe2neon.fetch.http import Again, Answer, Network, Stale, get
from caffe2neon.fetch.part import Origin, Part, locked_part
from caffe2neon.fetch.plan import file_name
from caffe2neon.files import BLOCK
from caffe2neon.records import FetchedFile, PinnedFile, Progress


def download(url: str, pinned: PinnedFile, target: Path, network: Network, progress: Progress) -> FetchedFile:
    """Bring ``url`` to ``target``, which appears only when it is complete and its digest fits.

    What another process brings there meanwhile is waited for and used. A part that stays behind is used by the next call: the
    server is asked for the rest, and for all of it if the file has changed. As the hash has the last word, the rest may come from
    another address than the beginning.

    Raises:
        ChecksumError: another file arrived, or a part of it each time.
        FetchError: the server refused or could not be reached, or the disk is full.
    """
    name = file_name(url)
    with locked_part(target, lambda: progress(f"wait for another process that downloads {name}", 0, pinned.size)) as part:
        if pinned.digest and (brought := _brought(url, pinned, target, progress)):
            part.discard()
            return brought
        return _Download(url, pinned, part, network, progress).run()


def _brought(url: str, pinned: PinnedFile, target: Path, progress: Progress) -> FetchedFile | None:
    """The file that another process put there while this one planned or waited, if it is the right one."""
    if not target.is_file():
        return None
    arrival = Arrival(pinned)
    with target.open("rb") as stream:
        while block := stream.read(BLOCK):
            arrival.add(block)
            progress(f"check {file_name(url)}", arrival.count, pinned.size)
    return FetchedFile(target, url, arrival.sha256, arrival.count) if arrival.fits else None


class _Download:
    def __init__(self, url: str, pinned: PinnedFile, part: Part, network: Network, progress: Progress) -> None:
        self._url = url
        self._pinned = pinned
        self._part = part
        self._network = network
        self._progress = progress
        self._what = f"download {file_name(url)}"

    def run(self) -> FetchedFile:
        network, pause = self._network, self._network.pause
        left, most = network.attempts, 0
        while True:
            try:
                return self._attempt()
            except Again as again:
                if self._part.size > most:
                    left, pause, most = network.attempts, network.pause, self._part.size
                left -= 1
                wait = pause if again.wait is None else again.wait
                if not left:
                    raise again.error from again
                if wait > network.longest_pause:
                    raise FetchError(f"{again.error.message}, and asks to wait {wait:.0f} s", remedy="try again later") from again
                network.sleep(wait)
                pause = min(2 * pause, network.longest_pause)

    def _attempt(self) -> FetchedFile:
        """From the part, if there is one; where that leads nowhere, from nothing."""
        arrival = self._resumed()
        if arrival is not None:
            try:
                return self._finish(arrival)
            except (Stale, ChecksumError):
                self._drop()
        try:
            return self._finish(Arrival(self._pinned))
        except Stale as stale:
            raise FetchError("the server sends parts of the file that were not asked for") from stale
        except ChecksumError:
            self._drop()
            raise

    def _resumed(self) -> Arrival | None:
        """The bytes that are here, hashed; None where there are none, or where no one could tell that the rest belongs to them."""
        origin = self._part.origin()
        known = origin.url == self._url and bool(origin.validator)
        if not self._part.size or not origin.whole or not (self._pinned.digest or known):
            return None
        arrival = Arrival(self._pinned)
        for block in self._part.blocks():
            arrival.add(block)
            self._progress(f"check what is here of {file_name(self._url)}", arrival.count, self._pinned.size)
        return None if arrival.too_long else arrival

    def _finish(self, arrival: Arrival) -> FetchedFile:
        if not (arrival.count and self._pinned.digest and arrival.fits):
            origin = self._part.origin()
            validator = origin.validator if origin.url == self._url else ""
            with get(self._url, self._network.timeout, arrival.count, validator) as answer:
                arrival = self._receive(answer, arrival)
        arrival.check()
        self._part.commit()
        return FetchedFile(self._part.target, self._url, arrival.sha256, arrival.count)

    def _receive(self, answer: Answer, arrival: Arrival) -> Arrival:
        if not answer.start:
            arrival = Arrival(self._pinned)
            self._part.restart(Origin(self._url, answer.etag, answer.modified, not answer.compressed))
        elif answer.compressed or self._pinned.size not in (None, answer.total) or self._is_another(answer):
            raise Stale
        total = self._pinned.size if self._pinned.size is not None else answer.total
        self._progress(self._what, arrival.count, total)
        for block in answer.blocks:
            arrival.add(block)
            if arrival.too_long:
                raise arrival.mismatch()
            self._part.append(block)
            self._progress(self._what, arrival.count, total)
        if answer.length is not None and arrival.count < answer.start + answer.length:
            raise Again(arrival.mismatch())
        return arrival

    def _is_another(self, answer: Answer) -> bool:
        """Whether a server that does not know If-Range sends the rest of another version."""
        origin = self._part.origin()
        return origin.url == self._url and bool(origin.etag and answer.etag) and origin.etag != answer.etag

    def _drop(self) -> None:
        self._part.restart(Origin(""))
