"""Members of archives: every kind that is read, and every trick that is not."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from caffe2neon.errors import ChecksumError, FetchError
from caffe2neon.fetch import archive
from caffe2neon.records import FetchedFile
from tests.fetch.conftest import DATA, pin
from tests.fetch.server import Server, body

Get: TypeAlias = Callable[..., FetchedFile]

FILES = {"net/deploy.prototxt": b"layer {}", "net/net.caffemodel": DATA, "readme": b"read me"}


def _tar(files: dict[str, bytes] = FILES, *special: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in special:
            tar.addfile(info)
    return stream.getvalue()


def _zip(files: dict[str, bytes] = FILES, mode: int = 0o100644) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, data)
    return stream.getvalue()


@pytest.fixture
def take(server: Server, get: Get) -> Callable[[bytes, str], FetchedFile]:
    """Fetch a member of an archive."""

    def take(data: bytes, member: str) -> FetchedFile:
        return get(replace(pin(server.serve("/a", body(data)), data), member=member))

    return take


Take: TypeAlias = Callable[[bytes, str], FetchedFile]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_zip(), id="zip"),
        pytest.param(_tar(), id="tar"),
        pytest.param(gzip.compress(_tar()), id="tar.gz"),
        pytest.param(bz2.compress(_tar()), id="tar.bz2"),
        pytest.param(lzma.compress(_tar()), id="tar.xz"),
    ],
)
@pytest.mark.parametrize("member", ["net/net.caffemodel", "./net//net.caffemodel"])
def test_each_kind(take: Take, data: bytes, member: str) -> None:
    fetched = take(data, member)
    assert fetched.path.read_bytes() == DATA
    assert (fetched.sha256, fetched.size) == (hashlib.sha256(DATA).hexdigest(), len(DATA))


def test_names_with_a_dot_in_front(take: Take) -> None:
    assert take(_tar({"./net/x": b"1"}), "net/x").path.read_bytes() == b"1"


def test_the_archive_is_downloaded_once_for_two_members(server: Server, get: Get) -> None:
    data = _zip()
    pinned = pin(server.serve("/a", body(data)), data)
    paths = {get(replace(pinned, member=member)).path for member in FILES}
    assert {path.read_bytes() for path in paths} == set(FILES.values())
    assert server.requests == ["/a"]


def test_a_changed_member_in_the_cache_is_taken_out_again(take: Take) -> None:
    path = take(_zip(), "readme").path
    path.write_bytes(b"something else")
    assert take(_zip(), "readme").path.read_bytes() == b"read me"


def test_a_wrong_archive_is_not_opened(server: Server, get: Get) -> None:
    url = server.serve("/a", body(_zip({"readme": b"another"})))
    with pytest.raises(ChecksumError):
        get(replace(pin(url, _zip()), member="readme"))


def test_archive_beside_the_manifest(get: Get, tmp_path: Path) -> None:
    (tmp_path / "zoo" / "a.tar").write_bytes(_tar())
    assert get(replace(pin("a.tar", _tar()), member="readme")).path.read_bytes() == b"read me"


def test_absolute_and_climbing_names_stay_in_the_cache(take: Take, tmp_path: Path) -> None:
    """Such a name can be asked for, but nothing is ever written where it says."""
    before = set(tmp_path.parent.iterdir())
    fetched = take(_tar({"../../evil": b"x", "/etc/evil": b"y"}), "../../evil")
    assert fetched.path.is_relative_to(tmp_path / "cache")
    assert set(tmp_path.parent.iterdir()) == before


def _special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(take: Take, kind: bytes) -> None:
    with pytest.raises(FetchError, match="'x' in the archive is a link or a device, not a file"):
        take(_tar(FILES, _special("x", kind, "/etc/passwd")), "x")


def test_link_in_a_zip(take: Take) -> None:
    with pytest.raises(FetchError, match="is a link or a device"):
        take(_zip({"x": b"/etc/passwd"}, mode=0o120777), "x")


@pytest.mark.parametrize("data", [_zip(), gzip.compress(_tar())], ids=["zip", "tar"])
def test_no_such_member(take: Take, data: bytes) -> None:
    with pytest.raises(FetchError, match=r"does not hold 'deploy.prototxt'; it holds 'net/deploy.prototxt'"):
        take(data, "deploy.prototxt")


def test_one_name_twice_in_a_tar(take: Take) -> None:
    with pytest.raises(FetchError, match="the archive holds 'x' 2 times"):
        take(_tar({"x": b"1", "./x": b"2"}), "x")


def test_one_name_twice_in_a_zip(take: Take) -> None:
    with pytest.raises(FetchError, match="the archive holds 'x' 2 times"):
        take(_zip({"x": b"1", "./x": b"2"}), "x")


@pytest.mark.parametrize("data", [b"layer {}" * 1000, gzip.compress(b"not a tar" * 1000)], ids=["text", "gzip"])
def test_no_archive(take: Take, data: bytes) -> None:
    with pytest.raises(FetchError, match="neither a zip nor a tar archive"):
        take(data, "x")


@pytest.mark.parametrize(
    ("name", "data"), [("tar", _tar()), ("gz", gzip.compress(_tar())), ("bz2", bz2.compress(_tar())), ("xz", lzma.compress(_tar()))]
)
def test_cut_off(take: Take, name: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"damaged archive|neither a zip nor a tar"):
        take(data[: len(data) // 2], "net/net.caffemodel")
    assert [path for path in (tmp_path / "cache" / "members").rglob("*") if path.is_file()] == [], name


def test_zip_with_a_wrong_checksum(take: Take) -> None:
    data = bytearray(_zip({"x": random.Random(1).randbytes(5000)}))
    data[2000] ^= 1
    with pytest.raises(FetchError, match="a damaged archive"):
        take(bytes(data), "x")


def test_encrypted_zip(take: Take) -> None:
    data = bytearray(_zip({"x": b"1" * 100}))
    data[6] |= 1  # the local header's flag, and the directory's
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(FetchError, match="the archive is encrypted"):
        take(bytes(data), "x")


def test_bomb_in_a_zip(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_LARGEST", 1 << 20)
    with pytest.raises(FetchError, match="the archive unpacks to more than"):
        take(_zip({"x": bytes(2 << 20)}), "x")


@pytest.mark.parametrize("member", ["x", "behind"])
def test_bomb_in_a_tar(take: Take, monkeypatch: pytest.MonkeyPatch, member: str) -> None:
    """Whether it is the member itself or lies before it."""
    monkeypatch.setattr(archive, "_LARGEST", 1 << 20)
    with pytest.raises(FetchError, match="the archive unpacks to more than"):
        take(gzip.compress(_tar({"x": bytes(2 << 20), "behind": b"1"})), member)


def test_bomb_in_a_name(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    """tarfile reads a long name in one piece."""
    monkeypatch.setattr(archive, "_LARGEST_READ", 1 << 16)
    with pytest.raises(FetchError, match="the archive unpacks to more than"):
        take(gzip.compress(_tar({"a" * (1 << 17): b"1"})), "x")
