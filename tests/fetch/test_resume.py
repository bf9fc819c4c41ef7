"""Downloads that go on where another attempt, run or process stopped."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TypeAlias

import pytest

from caffe2neon.errors import ChecksumError, FetchError
from caffe2neon.fetch import Network, fetch_file
from caffe2neon.records import FetchedFile
from tests.fetch.conftest import DATA, QUICK, pin
from tests.fetch.files import UNDER_WAY, partial, serving
from tests.fetch.server import Answer, Server, body

Get: TypeAlias = Callable[..., FetchedFile]

DIGEST = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """Where the cache keeps a download that is not complete."""
    folder = tmp_path / "cache" / "sha256"
    folder.mkdir(parents=True)
    return folder / f"{DIGEST}.part"


def _leave(part: Path, data: bytes, url: str, *, etag: str = '"1"', modified: str = "", whole: bool = True) -> None:
    part.write_bytes(data)
    origin = {"url": url, "etag": etag, "modified": modified, "whole": whole}
    part.with_suffix(".origin").write_text(json.dumps(origin), encoding="utf-8")


def _cache(part: Path) -> list[str]:
    return sorted(path.name for path in part.parent.iterdir())


def test_the_rest_alone_is_asked_for(get: Get, part: Path) -> None:
    with serving({"/x": DATA}) as server:
        _leave(part, DATA[:HALF], f"{server.address}/x")
        assert get(pin(f"{server.address}/x")).path.read_bytes() == DATA
        assert (server.ranges, server.conditions) == ([f"bytes={HALF}-"], ['"1"'])
        assert server.sent == len(DATA) - HALF
    assert _cache(part) == [DIGEST]


def test_an_interrupted_attempt_is_gone_on_with_in_the_same_run(get: Get, part: Path, server: Server) -> None:
    url = server.serve("/x", body(DATA[:HALF], length=len(DATA)), partial(DATA[HALF:], len(DATA), HALF))
    assert get(pin(url)).path.read_bytes() == DATA
    assert _cache(part) == [DIGEST]


def test_an_interrupted_run_leaves_its_part(get: Get, part: Path, server: Server) -> None:
    url = server.serve("/x", body(DATA[:HALF], length=len(DATA), headers={"ETag": '"7"', "Last-Modified": "then"}))
    with pytest.raises(ChecksumError, match="a shorter file"):
        get(pin(url))
    assert part.read_bytes() == DATA[:HALF]
    assert json.loads(part.with_suffix(".origin").read_bytes()) == {"url": url, "etag": '"7"', "modified": "then", "whole": True}


def test_attempts_that_bring_bytes_are_not_counted(get: Get, server: Server) -> None:
    step = len(DATA) // 10
    answers = [body(DATA[:step], length=len(DATA))]
    answers += [partial(DATA[i * step : (i + 1) * step], len(DATA), i * step) for i in range(1, 9)]
    url = server.serve("/x", *answers, partial(DATA[9 * step :], len(DATA), 9 * step))
    # The scripted 206s announce what they send, so they end well before the file does: the hash alone tells.
    for i, answer in enumerate(answers[1:], 1):
        server.answers["/x"][i] = _broken_off(answer, len(DATA) - i * step)
    assert get(pin(url)).path.read_bytes() == DATA
    assert len(server.requests) == 10 > QUICK.attempts


def _broken_off(answer: Answer, announced: int) -> Answer:
    """``answer`` with a larger Content-Length than it keeps to."""

    def changed(handler: BaseHTTPRequestHandler) -> None:
        send = handler.send_header

        def send_changed(keyword: str, value: str) -> None:
            send(keyword, str(announced) if keyword == "Content-Length" else value)

        handler.send_header = send_changed  # type: ignore[method-assign]
        answer(handler)

    return changed


def test_a_changed_file_starts_anew(get: Get, part: Path) -> None:
    with serving({"/x": DATA}) as server:
        _leave(part, b"old" * 1000, f"{server.address}/x", etag='"0"')
        assert get(pin(f"{server.address}/x")).path.read_bytes() == DATA
        assert (server.conditions, server.sent) == (['"0"'], len(DATA))


def test_a_server_without_ranges_sends_all(get: Get, part: Path, server: Server) -> None:
    url = server.serve("/x", body(DATA))
    _leave(part, DATA[:HALF], url)
    assert get(pin(url)).path.read_bytes() == DATA
    assert server.requests == ["/x"]


def test_another_version_from_a_server_that_does_not_know_if_range(get: Get, part: Path, server: Server) -> None:
    url = server.serve("/x", partial(DATA[HALF:], len(DATA), HALF, headers={"ETag": '"2"'}), body(DATA))
    _leave(part, b"?" * HALF, url)
    assert get(pin(url)).path.read_bytes() == DATA
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(partial(DATA[HALF:], len(DATA), HALF), id="does-not-fit-the-part"),
        pytest.param(partial(DATA[HALF:], len(DATA) + 1, HALF), id="of-another-size"),
        pytest.param(partial(DATA[HALF + 1 :], len(DATA), HALF + 1), id="another-place"),
        pytest.param(partial(DATA[HALF:], len(DATA), HALF, headers={"Content-Encoding": "gzip"}), id="compressed"),
        pytest.param(body(b"", status=416), id="416"),
        pytest.param(body(DATA[HALF:], status=206), id="no-content-range"),
    ],
)
def test_a_rest_that_is_not_the_rest(get: Get, part: Path, server: Server, answer: Answer) -> None:
    url = server.serve("/x", answer, body(DATA))
    _leave(part, b"?" * HALF, url)
    assert get(pin(url)).path.read_bytes() == DATA
    assert len(server.requests) == 2
    assert _cache(part) == [DIGEST]


def test_the_rest_may_come_from_a_mirror(get: Get, part: Path, server: Server) -> None:
    """The hash has the last word, so there is no If-Range: the tag is another server's."""
    gone = server.serve("/gone", body(b"", status=404))
    with serving({"/y": DATA}) as files:
        _leave(part, DATA[:HALF], gone)
        assert get(pin(gone, mirrors=(f"{files.address}/y",))).path.read_bytes() == DATA
        assert (files.ranges, files.conditions, files.sent) == ([f"bytes={HALF}-"], [""], len(DATA) - HALF)


def test_a_weak_tag_is_not_for_if_range(get: Get, part: Path) -> None:
    with serving({"/x": DATA}) as server:
        server.etags["/x"], server.modified = 'W/"1"', "Sun, 06 Nov 1994 08:49:37 GMT"
        _leave(part, DATA[:HALF], f"{server.address}/x", etag='W/"1"', modified=server.modified)
        get(pin(f"{server.address}/x"))
        assert (server.conditions, server.sent) == ([server.modified], len(DATA) - HALF)


def test_a_part_that_is_complete_needs_no_network(get: Get, part: Path) -> None:
    url = "http://127.0.0.1:1/x"
    _leave(part, DATA, url)
    assert get(pin(url)).path.read_bytes() == DATA
    assert _cache(part) == [DIGEST]


@pytest.mark.parametrize("sized", [True, False])
def test_a_part_longer_than_the_file(get: Get, part: Path, sized: bool) -> None:
    with serving({"/x": DATA}) as server:
        server.files["/x"] = DATA
        _leave(part, DATA + b"more", f"{server.address}/x", etag="")
        assert get(pin(f"{server.address}/x", sized=sized)).path.read_bytes() == DATA


@pytest.mark.parametrize(
    "record",
    [
        *(b"", b"{", b"[]", b'{"url": 3}', b'{"who": "?"}', b"\xff"),
        pytest.param(b"[" * 100_000, id="nested too deep"),
        b'{"url": "URL", "etag": "\\u20ac"}',
    ],
)
def test_a_broken_record_of_origin(get: Get, part: Path, record: bytes) -> None:
    with serving({"/x": DATA}) as server:
        part.write_bytes(DATA[:HALF])
        part.with_suffix(".origin").write_bytes(record.replace(b"URL", f"{server.address}/x".encode()))
        assert get(pin(f"{server.address}/x")).path.read_bytes() == DATA
        assert server.sent == len(DATA) - HALF


def test_what_came_compressed_starts_anew(get: Get, part: Path) -> None:
    with serving({"/x": DATA}) as server:
        _leave(part, DATA[:HALF], f"{server.address}/x", whole=False)
        get(pin(f"{server.address}/x"))
        assert server.ranges == [""]


def test_a_link_in_place_of_a_part_is_not_followed(get: Get, part: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    part.symlink_to(other)
    with pytest.raises(FetchError, match="cannot write"):
        get(pin("http://127.0.0.1:1/x"))
    assert other.read_bytes() == b"mine"


def test_two_at_once_download_once(part: Path, tmp_path: Path) -> None:
    """Each opens the part anew, so that two threads exclude each other as two processes do."""
    told: list[str] = []
    with serving({"/x": DATA}, pause=0.005) as server:

        def run() -> None:
            pinned = pin(f"{server.address}/x")
            files.append(fetch_file(pinned, root=tmp_path, cache=tmp_path / "cache", progress=lambda what, *_: told.append(what)))

        files: list[FetchedFile] = []
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.sent == len(DATA)
    assert [file.path.read_bytes() for file in files] == [DATA] * 4
    assert "wait for another process that downloads x" in told
    assert _cache(part) == [DIGEST]


#: Forks a process that fetches all, and kills it when it says that so many bytes more are here; then fetches all in peace. Prints
#: how many died. A machine that is slow to kill finds the process waiting, so that 50 kills never meet one that is through.
KILLER = """
import json, os, signal, sys
from pathlib import Path
import requests  # before the forks, so that the killing starts with the work
from caffe2neon.fetch import fetch_file
from caffe2neon.records import PinnedFile

folder, pins, moments = Path(sys.argv[1]), *json.load(sys.stdin)

def fetch_all(progress=lambda *_: None):
    for url, digest, size in pins:
        fetch_file(PinnedFile(url, "sha256", digest, size), root=folder, cache=folder / "cache", progress=progress)

def telling(pipe, moment):
    last, here = ("", 0), 0
    def progress(step, done, total):
        nonlocal last, here
        if step.startswith("download"):
            here += done - last[1] if last[0] == step else 0
            last = step, done
            if here >= moment:
                os.write(pipe, b".")
            if here >= moment + 100_000:
                signal.pause()
    return progress

died = 0
for moment in moments:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        fetch_all(telling(writer, moment))
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)
    os.kill(child, signal.SIGKILL)
    died += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    os.close(reader)
fetch_all()
print(died)
"""


def test_killed_50_times(tmp_path: Path) -> None:
    """kill -9 at random moments: in the end all files are whole, and no byte came twice beyond what was under way at each kill.

    That is what the kernel holds at both ends, and the block that the client had in hand.
    """
    dice = random.Random(2016)
    files = {f"/{i}": dice.randbytes(3_000_000) for i in range(5)}
    moments = [dice.randrange(150_000) for _ in range(50)]
    with serving(files, pause=0.0002) as server:
        pins = [(f"{server.address}{path}", hashlib.sha256(data).hexdigest(), len(data)) for path, data in files.items()]
        command = [sys.executable, "-c", KILLER, str(tmp_path)]
        result = subprocess.run(command, input=json.dumps([pins, moments]), text=True, check=True, capture_output=True)
        assert result.stdout == "50\n"
        assert sum(bool(asked) for asked in server.ranges) > 40
        total = sum(map(len, files.values()))
        assert total <= server.sent <= total + 50 * UNDER_WAY
    folder = tmp_path / "cache" / "sha256"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        digest: data for (_, digest, _), data in zip(pins, files.values(), strict=True)
    }


def test_proxy_from_the_environment(get: Get, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is asked for the whole address."""
    server.serve("http://models.example/x", body(DATA))
    monkeypatch.setenv("http_proxy", server.address)
    assert get(pin("http://models.example/x")).path.read_bytes() == DATA
    assert server.requests == ["http://models.example/x"]


def test_no_proxy_from_the_environment(get: Get, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert get(pin(server.serve("/x", body(DATA)))).path.read_bytes() == DATA


def test_proxy_that_is_not_there(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(FetchError, match="cannot reach the proxy"):
        get(pin("http://models.example/x"), Network(attempts=1))
