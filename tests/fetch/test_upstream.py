"""Whether a file is still the pinned one where it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe2neon.errors import ChecksumError
from caffe2neon.fetch import check_upstream
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
    (tmp_path / "sha256").mkdir()
    (tmp_path / "sha256" / pinned.digest).write_bytes(LARGE)
    if changed:
        with pytest.raises(ChecksumError):
            check_upstream(pinned, tmp_path, QUICK)
    else:
        assert check_upstream(pinned, tmp_path, QUICK) == ""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(body(b"", status=404), "the server answered 404"), (body(b"", status=503), "the server answered 503")],
    ids=["gone", "busy"],
)
def test_a_server_that_does_not_give_it(server: Server, tmp_path: Path, answer: Answer, reason: str) -> None:
    assert reason in check_upstream(pin(server.serve("/f", answer)), tmp_path, QUICK)


def test_a_file_beside_the_manifest_has_no_upstream(tmp_path: Path) -> None:
    assert check_upstream(pin("net.prototxt"), tmp_path, QUICK) == ""
