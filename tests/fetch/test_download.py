"""Downloads from a real server on loopback, good and bad; whatever happens, the cache holds whole files only."""

from __future__ import annotations

import email.utils
import gzip
import hashlib
import multiprocessing
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TypeAlias

import pytest

from caffe2neon.errors import ChecksumError, FetchError
from caffe2neon.fetch import Network
from caffe2neon.records import FetchedFile, PinnedFile
from tests.fetch.conftest import DATA, QUICK, pin
from tests.fetch.server import Server, body

Get: TypeAlias = Callable[..., FetchedFile]
Cached: TypeAlias = Callable[[], list[str]]

IN_CACHE = f"sha256/{hashlib.sha256(DATA).hexdigest()}"


def test_good_file_is_cached_under_its_digest(server: Server, get: Get, cached: Cached) -> None:
    url = server.serve("/x.caffemodel", body(DATA))
    fetched = get(pin(url))
    assert fetched.path.read_bytes() == DATA
    assert (fetched.url, fetched.size, fetched.sha256) == (url, len(DATA), hashlib.sha256(DATA).hexdigest())
    assert cached() == [IN_CACHE]


@pytest.mark.parametrize("algorithm", ["sha1", "sha384"])
def test_another_hash_pins_and_sha256_is_reported(server: Server, get: Get, algorithm: str, cached: Cached) -> None:
    fetched = get(pin(server.serve("/x", body(DATA)), algorithm=algorithm))
    assert fetched.sha256 == hashlib.sha256(DATA).hexdigest()
    assert cached() == [f"{algorithm}/{hashlib.new(algorithm, DATA).hexdigest()}"]


def test_second_run_asks_nobody(server: Server, get: Get) -> None:
    pinned = pin(server.serve("/x", body(DATA)))
    get(pinned)
    assert get(pinned).path.read_bytes() == DATA
    assert server.requests == ["/x"]


def test_corrupt_cache_is_fetched_anew(server: Server, get: Get) -> None:
    pinned = pin(server.serve("/x", body(DATA)))
    path = get(pinned).path
    path.write_bytes(DATA[:-1] + b"?")
    assert get(pinned).path.read_bytes() == DATA
    assert server.requests == ["/x", "/x"]


def test_corrupt_cache_and_no_server(server: Server, get: Get) -> None:
    pinned = pin(server.serve("/x", body(DATA), body(b"", status=404)))
    get(pinned).path.write_bytes(b"")
    with pytest.raises(ChecksumError, match=r"an empty file arrived(.|\n)*404 Not Found"):
        get(pinned)


def test_redirect_is_followed(server: Server, get: Get) -> None:
    server.serve("/real", body(DATA))
    url = server.serve("/moved", body(b"", status=302, headers={"Location": "/real"}))
    assert get(pin(url)).path.read_bytes() == DATA


def test_redirect_in_a_circle(server: Server, get: Get, cached: Cached) -> None:
    url = server.serve("/circle", body(b"", status=302, headers={"Location": "/circle"}))
    with pytest.raises(FetchError, match="cannot download: Exceeded 30 redirects"):
        get(pin(url))
    assert cached() == []


def test_slow_drip_arrives(server: Server, get: Get) -> None:
    data = DATA[:2000]
    assert get(pin(server.serve("/x", body(data, step=1)), data)).path.read_bytes() == data


def test_stalled_server_is_given_up(server: Server, get: Get, cached: Cached) -> None:
    def stall(handler: BaseHTTPRequestHandler) -> None:
        body(DATA[:10], length=len(DATA))(handler)
        server.released.wait(10)

    with pytest.raises(FetchError, match="the server is silent for too long"):
        get(pin(server.serve("/x", stall)), replace(QUICK, timeout=0.1, attempts=2))
    assert server.requests == ["/x", "/x"]
    assert cached() == []


def test_silent_server_is_given_up(server: Server, get: Get) -> None:
    def silence(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        server.released.wait(10)

    with pytest.raises(FetchError, match="silent"):
        get(pin(server.serve("/x", silence)), replace(QUICK, timeout=0.1, attempts=1))


def test_truncated_each_time(server: Server, get: Get, cached: Cached) -> None:
    url = server.serve("/x", body(DATA[:1000], length=len(DATA)))
    with pytest.raises(ChecksumError, match=rf"a shorter file \(1000 of {len(DATA)} bytes\) arrived"):
        get(pin(url))
    assert len(server.requests) == QUICK.attempts
    assert IN_CACHE not in cached()


def test_truncated_once(server: Server, get: Get) -> None:
    url = server.serve("/x", body(DATA[:1000], length=len(DATA)), body(DATA))
    assert get(pin(url)).path.read_bytes() == DATA


def test_connection_breaks_within_a_chunk(server: Server, get: Get, cached: Cached) -> None:
    def broken(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"ffff\r\n" + DATA[:1000])

    with pytest.raises(FetchError, match="the connection broke: "):
        get(pin(server.serve("/x", broken)))
    assert len(server.requests) == QUICK.attempts
    assert cached() == []


def test_shorter_file(server: Server, get: Get, cached: Cached) -> None:
    with pytest.raises(ChecksumError, match=rf"a shorter file \(1000 of {len(DATA)} bytes\) arrived"):
        get(pin(server.serve("/x", body(DATA[:1000]))))
    assert len(server.requests) == 1
    assert cached() == []


def test_longer_file_is_cut_off(server: Server, get: Get, cached: Cached) -> None:
    with pytest.raises(ChecksumError, match=rf"a longer file \(more than {len(DATA)} bytes\) arrived"):
        get(pin(server.serve("/x", body(DATA * 10))))
    assert cached() == []


def test_wrong_bytes(server: Server, get: Get, cached: Cached) -> None:
    wrong = b"\0" + DATA[1:-1] + b"!"
    with pytest.raises(ChecksumError, match="another file of the right size") as caught:
        get(pin(server.serve("/x", body(wrong))))
    assert hashlib.sha256(wrong).hexdigest() in caught.value.message
    assert hashlib.sha256(DATA).hexdigest() in caught.value.message
    assert (caught.value.where.model, caught.value.where.stage) == ("lenet", "fetch")
    assert caught.value.where.path == server.address + "/x"
    assert cached() == []


def test_wrong_bytes_where_no_size_is_known(server: Server, get: Get) -> None:
    with pytest.raises(ChecksumError, match="another file of 3 bytes that begins 'abc'"):
        get(pin(server.serve("/x", body(b"abc")), sized=False))


def test_html_page(server: Server, get: Get, cached: Cached) -> None:
    page = b"\n<!DOCTYPE html>\n<html><head><title>\x1b[31m Sign\n in </title></head></html>"
    with pytest.raises(ChecksumError, match=r"an HTML page titled '\[31m Sign in' \(\d+ bytes\) arrived"):
        get(pin(server.serve("/x", body(page))))
    assert cached() == []


def test_empty_file(server: Server, get: Get, cached: Cached) -> None:
    with pytest.raises(ChecksumError, match="an empty file arrived"):
        get(pin(server.serve("/x", body(b""))))
    assert cached() == []


def test_git_lfs_pointer(server: Server, get: Get) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    with pytest.raises(ChecksumError, match="a git-lfs pointer"):
        get(pin(server.serve("/x", body(pointer))))


def test_text_error_with_status_200(server: Server, get: Get) -> None:
    with pytest.raises(ChecksumError, match="that begins 'Quota exceeded for this file'"):
        get(pin(server.serve("/x", body(b"Quota exceeded for this file\ncome back later\n"))))


def test_not_found_is_not_tried_again(server: Server, get: Get, cached: Cached) -> None:
    with pytest.raises(FetchError, match="the server answered 404 Not Found") as caught:
        get(pin(server.serve("/x", body(b"gone", status=404))))
    assert not isinstance(caught.value, ChecksumError)
    assert server.requests == ["/x"]
    assert cached() == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_failure_is_tried_again(server: Server, get: Get, status: int) -> None:
    url = server.serve("/x", body(b"oops", status=status), body(b"oops", status=status), body(DATA))
    assert get(pin(url)).path.read_bytes() == DATA


def test_lasting_500(server: Server, get: Get) -> None:
    with pytest.raises(FetchError, match="500 Internal Server Error"):
        get(pin(server.serve("/x", body(b"", status=500))))
    assert len(server.requests) == QUICK.attempts


def test_pauses_double_and_keep_to_retry_after(server: Server, get: Get) -> None:
    waits: list[float] = []
    soon = email.utils.formatdate(time.time() - 5, usegmt=True)
    url = server.serve(
        "/x",
        body(b"", status=503),
        body(b"", status=503, headers={"Retry-After": "7"}),
        body(b"", status=503),
        body(b"", status=503, headers={"Retry-After": soon}),
        body(b"", status=503, headers={"Retry-After": "whenever"}),
        body(DATA),
    )
    get(pin(url), Network(attempts=6, pause=1, longest_pause=10, sleep=waits.append))
    assert waits == [1, 7, 4, 0, 10]


def test_retry_after_too_long(server: Server, get: Get) -> None:
    url = server.serve("/x", body(b"", status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(FetchError, match="429 Too Many Requests, and asks to wait 3600 s"):
        get(pin(url))
    assert server.requests == ["/x"]


def test_nobody_listens(get: Get) -> None:
    with pytest.raises(FetchError, match="cannot reach the server: "):
        get(pin("http://127.0.0.1:1/x"))


def test_mirrors_of_the_entry_in_turn(server: Server, get: Get) -> None:
    gone = server.serve("/gone", body(b"", status=404))
    wrong = server.serve("/wrong", body(b"no"))
    good = server.serve("/good", body(DATA))
    assert get(pin(gone, mirrors=(wrong, good))).url == good
    assert server.requests == ["/gone", "/wrong", "/good"]


def test_all_places_fail_and_each_says_why(server: Server, get: Get) -> None:
    gone = server.serve("/gone", body(b"", status=410))
    wrong = server.serve("/wrong", body(b"<html>"))
    with pytest.raises(ChecksumError, match=r"no place has the file:\n.*/gone: .*410(.|\n)*/wrong: .*an HTML page"):
        get(pin(gone, mirrors=(wrong,)))


def test_an_answer_that_nobody_asked_for_sends_to_the_next_place(server: Server, get: Get) -> None:
    """A 304 has no body, and says that we have the file."""
    odd = server.serve("/odd", body(b"", status=304))
    good = server.serve("/good", body(DATA))
    assert get(pin(odd, mirrors=(good,))).url == good
    with pytest.raises(FetchError, match="the server answered 304 Not Modified"):
        get(pin(odd, DATA + b"x"))


def test_transfer_encoding_does_not_confuse(server: Server, get: Get) -> None:
    packed = gzip.compress(DATA)
    url = server.serve("/x", body(packed, headers={"Content-Encoding": "gzip"}))
    assert get(pin(url)).path.read_bytes() == DATA


def _get_in_process(pinned: PinnedFile, folder: Path, results: multiprocessing.Queue[bytes]) -> None:
    from caffe2neon.fetch import fetch
    from caffe2neon.records import ModelSpec

    results.put(fetch(ModelSpec("m", pinned, pinned, ""), root=folder, cache=folder / "cache").caffemodel.path.read_bytes())


def test_two_processes_share_a_cache(server: Server, tmp_path: Path, cached: Cached) -> None:
    pinned = pin(server.serve("/x", body(DATA, step=4096)))
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[bytes] = context.Queue()
    workers = [context.Process(target=_get_in_process, args=(pinned, tmp_path, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=60), results.get(timeout=60)] == [DATA, DATA]
    for worker in workers:
        worker.join()
    results.close()
    results.join_thread()
    assert cached() == [IN_CACHE]


def test_full_disk(server: Server, tmp_path: Path, cached: Cached) -> None:
    """A limit on the size of files stands for a full disk, which only root could make; the kernel answers EFBIG, not ENOSPC."""
    pinned = pin(server.serve("/x", body(DATA)))
    program = (
        "import signal, sys\nfrom pathlib import Path\n"
        "from caffe2neon.errors import FetchError\nfrom caffe2neon.fetch import fetch\n"
        "from caffe2neon.records import ModelSpec, PinnedFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"pinned = {pinned!r}\nfolder = Path(sys.argv[1])\n"
        "try:\n    fetch(ModelSpec('m', pinned, pinned, ''), root=folder, cache=folder / 'cache')\n"
        "except FetchError as error:\n    print(type(error).__name__, error)\n"
    )
    limit = len(DATA) // 2
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert result.stdout.startswith("FetchError m: fetch: ")
    assert "cannot write: File too large" in result.stdout
    assert (tmp_path / "cache" / f"{IN_CACHE}.part").read_bytes() == DATA[:limit]
    assert IN_CACHE not in cached()


def test_killed_in_the_middle_leaves_no_half_file(server: Server, tmp_path: Path, cached: Cached) -> None:
    """The server holds back the second half; the client is killed while it waits."""

    def half(handler: BaseHTTPRequestHandler) -> None:
        body(DATA[: len(DATA) // 2], length=len(DATA))(handler)
        server.released.wait(30)

    pinned = pin(server.serve("/x", half))
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from caffe2neon.fetch import fetch\nfrom caffe2neon.records import ModelSpec, PinnedFile\n"
        f"pinned = {pinned!r}\nfolder = Path(sys.argv[1])\n"
        "def tell(what, done, total):\n    print(done, flush=True)\n"
        "fetch(ModelSpec('m', pinned, pinned, ''), root=folder, cache=folder / 'cache', progress=tell)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        process.kill()
        process.stdout.read()
    assert IN_CACHE not in cached()
