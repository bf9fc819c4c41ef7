"""Where a file would come from, and files that are on this machine already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from caffe2neon.errors import ChecksumError, FetchError
from caffe2neon.fetch import fetch, fetch_file, plan
from caffe2neon.records import FetchedFile, ModelSpec
from tests.fetch.conftest import DATA, pin
from tests.fetch.server import Server, body

Get: TypeAlias = Callable[..., FetchedFile]

URL = "http://127.0.0.1:1/models/x%20y.caffemodel?raw=true"


def _actions(tmp_path: Path, url: str = URL, mirrors: tuple[Path, ...] = (), own: tuple[str, ...] = ()) -> list[str]:
    candidates = plan(pin(url, mirrors=own), root=tmp_path / "zoo", cache=tmp_path / "cache", mirrors=mirrors)
    return [candidate.action for candidate in candidates]


def test_nothing_here_means_download(tmp_path: Path) -> None:
    assert _actions(tmp_path) == ["download"]
    assert _actions(tmp_path, own=("https://127.0.0.1/y",)) == ["download", "download"]


def test_order_of_places(tmp_path: Path) -> None:
    deep = tmp_path / "mirror" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "x y.caffemodel").write_bytes(DATA)
    (tmp_path / "cache" / "sha256").mkdir(parents=True)
    (tmp_path / "cache" / "sha256" / hashlib.sha256(DATA).hexdigest()).write_bytes(DATA)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "here").write_bytes(DATA)
    assert _actions(tmp_path, mirrors=(tmp_path / "mirror",), own=("here",)) == ["local", "mirror", "cached", "download"]


def test_mirror_file_of_another_size_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x y.caffemodel").write_bytes(DATA + b"!")
    assert _actions(tmp_path, mirrors=(tmp_path,)) == ["download"]


def test_hidden_folders_of_a_mirror_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x y.caffemodel").write_bytes(DATA)
    assert _actions(tmp_path, mirrors=(tmp_path,)) == ["download"]


def test_mirrors_that_did_not_have_it_are_named(tmp_path: Path, get: Get) -> None:
    """Who mistyped a name, or has another version of the file, sees where it was looked for, and as what."""
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    (other / "deep").mkdir(parents=True)
    (other / "deep" / "x y.caffemodel").write_bytes(bytes(len(DATA)))
    with pytest.raises(FetchError) as caught:
        get(pin(URL), mirrors=(empty, other))
    said = str(caught.value).splitlines()
    assert [line for line in said if line.startswith(f"  {empty}: ")] == [
        f"  {empty}: no file 'x y.caffemodel' of {len(DATA)} bytes is in this folder or below it"
    ]
    assert [line for line in said if "x%20y.caffemodel: checksum mismatch" in line and other.as_uri() in line]
    assert not [line for line in said if line.startswith(f"  {other}: ")]
    assert [line for line in said if line.startswith(f"  {URL}: cannot reach the server")]


def test_mirrors_are_named_where_the_network_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=rf"not to be asked\n  {tmp_path}: no file 'x y.caffemodel' is in this folder"):
        fetch_file(pin(URL, sized=False), root=tmp_path, cache=tmp_path / "cache", mirrors=(tmp_path,), offline=True)


def test_missing_mirror_folder(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no such mirror folder"):
        _actions(tmp_path, mirrors=(tmp_path / "nowhere",))


def test_mirror_serves_before_the_network(server: Server, get: Get, tmp_path: Path) -> None:
    """Three files have the name; only the checksum can tell which is meant."""
    for folder, data in (("a", DATA[::-1]), ("b", DATA), ("c", DATA[::-1])):
        (tmp_path / "mirror" / folder).mkdir(parents=True)
        (tmp_path / "mirror" / folder / "deploy.prototxt").write_bytes(data)
    fetched = get(pin(server.serve("/deploy.prototxt", body(DATA))), mirrors=(tmp_path / "mirror",))
    assert fetched.path == tmp_path / "mirror" / "b" / "deploy.prototxt"
    assert fetched.path.read_bytes() == DATA
    assert server.requests == []


def test_mirror_with_wrong_bytes_is_passed_over(server: Server, get: Get, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "x").write_bytes(DATA[::-1])
    assert get(pin(server.serve("/x", body(DATA))), mirrors=(tmp_path / "mirror",)).path.read_bytes() == DATA
    assert server.requests == ["/x"]


def test_path_beside_the_manifest_is_used_in_place(get: Get, tmp_path: Path) -> None:
    (tmp_path / "zoo" / "weights").mkdir()
    (tmp_path / "zoo" / "weights" / "w").write_bytes(DATA)
    fetched = get(pin("weights/w"))
    assert (fetched.path, fetched.url) == (tmp_path / "zoo" / "weights" / "w", "weights/w")
    assert not (tmp_path / "cache").exists()


def test_file_url_is_used_in_place(get: Get, tmp_path: Path) -> None:
    path = tmp_path / "ä b"
    path.write_bytes(DATA)
    assert get(pin(path.as_uri())).path == path


def test_missing_local_file(get: Get) -> None:
    with pytest.raises(FetchError, match="no such file"):
        get(pin("weights/w"))


def test_missing_local_file_has_a_mirror(server: Server, get: Get) -> None:
    assert get(pin("weights/w", mirrors=(server.serve("/w", body(DATA)),))).path.read_bytes() == DATA


def test_local_folder_instead_of_a_file(get: Get, tmp_path: Path) -> None:
    (tmp_path / "zoo" / "w").mkdir()
    with pytest.raises(FetchError, match="not a file"):
        get(pin("w"))


def test_changed_local_file(get: Get, tmp_path: Path) -> None:
    (tmp_path / "zoo" / "w").write_bytes(DATA[:7])
    with pytest.raises(ChecksumError, match=rf"a shorter file \(7 of {len(DATA)} bytes\)"):
        get(pin("w"))


def test_stated_size_must_hold_for_local_files_too(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"ab")
    pinned = pin("w", b"ab")
    wrong = type(pinned)(pinned.url, pinned.algorithm, pinned.digest, size=3)
    with pytest.raises(ChecksumError, match="a shorter file"):
        fetch(ModelSpec("m", wrong, wrong, ""), root=tmp_path, cache=tmp_path / "cache")


def test_cache_that_cannot_be_made(server: Server, get: Get, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(FetchError, match="cannot make the cache"):
        get(pin(server.serve("/x", body(DATA))))


def test_progress_is_told(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(DATA)
    told: list[tuple[str, int, int | None]] = []
    pinned = pin("w")
    fetch(ModelSpec("m", pinned, pinned, ""), root=tmp_path, cache=tmp_path, progress=lambda *step: told.append(step))
    assert told == [("check w", len(DATA), len(DATA))] * 2
