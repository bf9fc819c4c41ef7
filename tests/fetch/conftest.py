"""What the tests of fetching share: a server, one entry, a quick network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caffe2neon.fetch import Network, fetch
from caffe2neon.records import FetchedFile, ModelSpec, PinnedFile
from tests.fetch.server import Server, running

DATA = bytes(range(256)) * 700
QUICK = Network(timeout=5, attempts=3, pause=0, longest_pause=1)


def pin(
    url: str, data: bytes = DATA, *, algorithm: str = "sha256", mirrors: tuple[str, ...] = (), sized: bool = True
) -> PinnedFile:
    return PinnedFile(url, algorithm, hashlib.new(algorithm, data).hexdigest(), len(data) if sized else None, mirrors)


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def get(tmp_path: Path) -> Callable[..., FetchedFile]:
    """Fetch an entry whose net is a file beside the manifest, and return what became of the weights."""
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "net.prototxt").write_bytes(b"layer {}")

    def get(pinned: PinnedFile, network: Network = QUICK, mirrors: tuple[Path, ...] = ()) -> FetchedFile:
        spec = ModelSpec("lenet", pin("net.prototxt", b"layer {}"), pinned, "none")
        return fetch(spec, root=tmp_path / "zoo", cache=tmp_path / "cache", mirrors=mirrors, network=network).caffemodel

    return get


@pytest.fixture
def cached(tmp_path: Path) -> Callable[[], list[str]]:
    """All files in the cache, hidden ones too."""
    return lambda: sorted(str(path.relative_to(tmp_path / "cache")) for path in (tmp_path / "cache").rglob("*") if path.is_file())
