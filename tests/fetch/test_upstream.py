"""Whether a file is still the pinned one where it comes from."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from caffe2neon.errors import ChecksumError
from caffe2neon.fetch import check_upstream
from caffe2neon.records import PinnedFile
from tests.fetch.conftest import DATA, QUICK, pin
from tests.fetch.server import Answer, Server, body

LARGE = bytes(range(251)) * 8000


def test_the_same_small_file(server: Server, tmp_path: Path) -> None:
    assert check_upstream(pin(server.serve("/f", body(DATA))), tmp_path, QUICK) == ""


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize(("data", "what"), [(DATA[:-1] + b"x", "another file"), (DATA + b"x", "bytes"), (b"<html>", "")])
def test_another_small_file(server: Server, tmp_path: Path, sized: bool, data: bytes, what: str) -> None:
    with pytest.raises(ChecksumError, match="changed upstream: ") as caught:
        check_upstream(pin(server.serve("/f", body(data)), sized=sized), tmp_path, QUICK)
    assert not sized or what in caught.value.message
    assert caught.value.where.path == server.address + "/f"


def test_a_large_file_is_not_read_to_its_end(server: Server, tmp_path: Path) -> None:
    """The server would send other bytes at the end, of which nobody hears."""
    pinned = pin(server.serve("/f", body(LARGE[:-9] + b"different")), LARGE)
    assert check_upstream(pinned, tmp_path, QUICK) == ""


@pytest.mark.parametrize(("data", "changed"), [(LARGE + b"x", True), (b"x" + LARGE[1:], True), (LARGE, False)])
def test_a_large_file_of_another_length_or_beginning(server: Server, tmp_path: Path, data: bytes, changed: bool) -> None:
    pinned = pin(server.serve("/f", body(data)), LARGE)
    cached(pinned, tmp_path, LARGE)
    if changed:
        with pytest.raises(ChecksumError):
            check_upstream(pinned, tmp_path, QUICK)
    else:
        assert check_upstream(pinned, tmp_path, QUICK) == ""


def cached(pinned: PinnedFile, cache: Path, data: bytes) -> None:
    path = cache / pinned.algorithm / pinned.digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_a_large_file_of_another_beginning_is_named_by_the_hash_of_all_of_it(server: Server, tmp_path: Path) -> None:
    other = b"x" + LARGE[1:]
    pinned = pin(server.serve("/f", body(other)), LARGE)
    cached(pinned, tmp_path, LARGE)
    with pytest.raises(ChecksumError) as caught:
        check_upstream(pinned, tmp_path, QUICK)
    assert f"another file of the right size ({len(LARGE)} bytes) arrived; " in caught.value.message
    assert caught.value.message.endswith(f"got {hashlib.sha256(other).hexdigest()}")


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("damaged", [b"x" + LARGE[1:], LARGE[:-1], b""], ids=["another beginning", "shorter", "empty"])
def test_a_damaged_file_in_the_cache_is_no_change(server: Server, tmp_path: Path, damaged: bytes, sized: bool) -> None:
    pinned = pin(server.serve("/f", body(LARGE)), LARGE, sized=sized)
    cached(pinned, tmp_path, damaged)
    assert check_upstream(pinned, tmp_path, QUICK) == ""


def test_a_file_without_end_is_not_read_for_ever(server: Server, tmp_path: Path) -> None:
    """Without a length, and longer than the pinned one from the beginning on."""

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(1 << 16))

    pinned = pin(server.serve("/f", endless), LARGE)
    cached(pinned, tmp_path, LARGE)
    with pytest.raises(ChecksumError, match="a longer file"):
        check_upstream(pinned, tmp_path, QUICK)


def versioned(data: bytes, etag: str, modified: str = "", *, asked: list[str], heeds: bool = True) -> Answer:
    """As servers of files answer; ``asked`` gets what the client said it has. Without ``heeds`` the server does not know that."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        has = handler.headers.get("If-None-Match") or handler.headers.get("If-Modified-Since") or ""
        asked.append(has)
        if heeds and has and has in (etag, modified):
            body(b"", status=304)(handler)
        else:
            body(data, headers={name: value for name, value in (("ETag", etag), ("Last-Modified", modified)) if value})(handler)

    return answer


MONDAY, TUESDAY = "Mon, 05 Jan 2026 00:00:00 GMT", "Tue, 06 Jan 2026 00:00:00 GMT"


@pytest.mark.parametrize(("etag", "modified", "says"), [('"a"', MONDAY, '"a"'), ('W/"a"', "", 'W/"a"'), ("", MONDAY, MONDAY)])
def test_the_same_version_is_not_sent_again(server: Server, tmp_path: Path, etag: str, modified: str, says: str) -> None:
    """Had the server sent another file, it would have been noticed: it was small enough to be hashed."""
    asked: list[str] = []
    pinned = pin(server.serve("/f", versioned(DATA, etag, modified, asked=asked), versioned(b"x", etag, modified, asked=asked)))
    assert [check_upstream(pinned, tmp_path, QUICK) for _ in range(3)] == ["", "", ""]
    assert asked == ["", says, says]


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize(("first", "second"), [(('"a"', ""), ('"b"', "")), (("", MONDAY), ("", TUESDAY))], ids=["tag", "date"])
@pytest.mark.parametrize("same", [True, False])
def test_a_large_file_of_another_version_is_hashed(
    server: Server, tmp_path: Path, same: bool, first: tuple[str, str], second: tuple[str, str], heeds: bool
) -> None:
    """Of the same length and beginning, so that nothing else tells them apart; the same bytes under a new name are no change."""
    asked: list[str] = []
    other = LARGE if same else LARGE[:-9] + b"different"
    answers = versioned(LARGE, *first, asked=asked), versioned(other, *second, asked=asked, heeds=heeds)
    pinned = pin(server.serve("/f", *answers), LARGE)
    cached(pinned, tmp_path, LARGE)
    assert check_upstream(pinned, tmp_path, QUICK) == ""
    if same:
        assert [check_upstream(pinned, tmp_path, QUICK) for _ in range(2)] == ["", ""]
        assert asked == ["", first[0] or first[1], second[0] or second[1]]
    else:
        for _ in range(2):
            with pytest.raises(ChecksumError, match="another file of the right size"):
                check_upstream(pinned, tmp_path, QUICK)


def test_a_version_of_which_only_the_length_was_compared_is_not_trusted(server: Server, tmp_path: Path) -> None:
    """The first night has nothing to compare with; then a mirror brings the right file, and the wrong one upstream is seen."""
    asked: list[str] = []
    pinned = pin(server.serve("/f", versioned(bytes(len(LARGE)), '"a"', asked=asked)), LARGE)
    assert check_upstream(pinned, tmp_path, QUICK) == ""
    cached(pinned, tmp_path, LARGE)
    with pytest.raises(ChecksumError, match="another file of the right size"):
        check_upstream(pinned, tmp_path, QUICK)
    assert asked == ["", ""]


def test_a_version_is_remembered_of_one_pin(server: Server, tmp_path: Path) -> None:
    """A manifest that pins another file is held against the server anew."""
    asked: list[str] = []
    url = server.serve("/f", versioned(DATA, '"a"', asked=asked))
    assert check_upstream(pin(url), tmp_path, QUICK) == ""
    with pytest.raises(ChecksumError):
        check_upstream(pin(url, DATA + b"x", sized=False), tmp_path, QUICK)
    assert asked == ["", ""]


@pytest.mark.parametrize(
    "record",
    [
        *(b"", b"[]", b'{"etag": 1}', b'{"etag": "a", "colour": "red"}', b"\xff"),
        pytest.param(b"[" * 100_000, id="nested too deep"),
        *(json.dumps({"etag": text}).encode() for text in ("\u20ac", "a\nb: c", " a", "\xa0", "\x85")),
    ],
)
def test_a_damaged_memory_is_none(server: Server, tmp_path: Path, record: bytes) -> None:
    asked: list[str] = []
    pinned = pin(server.serve("/f", versioned(DATA, '"a"', asked=asked)))
    check_upstream(pinned, tmp_path, QUICK)
    (path,) = (tmp_path / "upstream").iterdir()
    path.write_bytes(record)
    assert check_upstream(pinned, tmp_path, QUICK) == ""
    assert asked == ["", ""]


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    pinned = pin(server.serve("/f", versioned(DATA, '"a"', asked=[])))
    assert check_upstream(pinned, tmp_path / "file", QUICK) == ""


def test_a_connection_that_breaks_is_no_change(server: Server, tmp_path: Path) -> None:
    pinned = pin(server.serve("/f", body(DATA[:-1], length=len(DATA))))
    assert "the connection broke" in check_upstream(pinned, tmp_path, QUICK)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(body(b"", status=404), "the server answered 404"), (body(b"", status=503), "the server answered 503")],
    ids=["gone", "busy"],
)
def test_a_server_that_does_not_give_it(server: Server, tmp_path: Path, answer: Answer, reason: str) -> None:
    assert reason in check_upstream(pin(server.serve("/f", answer)), tmp_path, QUICK)


def test_a_file_beside_the_manifest_has_no_upstream(tmp_path: Path) -> None:
    assert check_upstream(pin("net.prototxt"), tmp_path, QUICK) == ""
