"""Two zoos compared, and builds that the index no longer names."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from caffe2neon.errors import PublishError
from caffe2neon.publish import Folder, compare_zoos, prune, read_zoo, stale_builds
from tests.publish.builds import build_of, check, hidden, publish, visible


@pytest.fixture
def zoos(tmp_path: Path) -> tuple[Path, Path]:
    before, after = tmp_path / "before", tmp_path / "after"
    for name in ("gone", "same", "other"):
        publish(before, name, 1)
    publish(after, "same", 1)
    publish(after, "other", 2, size=4000)
    publish(after, "new", 1)
    return before, after


def test_compare(zoos: tuple[Path, Path]) -> None:
    changes = compare_zoos(*(read_zoo(Folder(zoo)) for zoo in zoos))
    assert {change.name: change.status for change in changes} == {
        "gone": "removed",
        "new": "added",
        "other": "changed",
        "same": "unchanged",
    }
    records: dict[str, Any] = {change.name: change.json() for change in changes}
    prm = [hashlib.sha256(bytes([version]) * size).hexdigest() for version, size in ((1, 3000), (2, 4000))]
    other = records["other"]
    assert sorted(other.pop("files")) == ["evaluation.json", "model.json", "other.prm"]
    assert other == {
        "name": "other",
        "status": "changed",
        "build": [build_of(1), build_of(2)],
        "size": [3000, 4000],
        "accuracy": {"top1": [91.0, 92.0]},
        "parity": [1e-7, 1e-7],
    }
    assert changes[2].files["other.prm"] == tuple(prm)
    assert records["gone"]["size"] == [3000, None]
    assert records["new"]["accuracy"] == {"top1": [None, 91.0]}
    assert records["same"]["files"] == {}


def test_compare_without_measurements(tmp_path: Path) -> None:
    publish(tmp_path, "m", 1)
    index = json.loads((tmp_path / "index.json").read_text())
    index["models"]["m"].update(accuracy=None, parity="NaN")
    (tmp_path / "index.json").write_text(json.dumps(index))
    (change,) = compare_zoos({}, read_zoo(Folder(tmp_path)))
    record: Any = change.json()
    assert (record["accuracy"], record["parity"]) == ({}, [None, "NaN"])


def test_prune(tmp_path: Path) -> None:
    for version in (1, 2, 3):
        publish(tmp_path, "lenet", version)
    publish(tmp_path, "alexnet", 1)
    publish(tmp_path, "withdrawn", 1)
    index = json.loads((tmp_path / "index.json").read_text())
    del index["models"]["withdrawn"]
    (tmp_path / "index.json").write_text(json.dumps(index))
    half = tmp_path / "alexnet" / ("0" * 16)
    half.mkdir()
    (half / "alexnet.prm").write_bytes(b"half")
    for mine in ("alexnet/mine", "notes", ".git/objects"):
        (tmp_path / mine).mkdir(parents=True)
        (tmp_path / mine / "x").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    shown = stale_builds(tmp_path)
    older = sorted([build_of(1), build_of(2)])
    expected = [("alexnet", "0" * 16), *(("lenet", build) for build in older), ("withdrawn", build_of(1))]
    assert [(stale.name, stale.build) for stale in shown] == expected
    assert shown[0].size == 4
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before

    assert prune(tmp_path) == shown
    left = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {path: data for path, data in before.items() if not any(stale.path in path.parents for stale in shown)}
    assert not (tmp_path / "withdrawn").exists()
    assert not (tmp_path / ".staging").exists()
    assert prune(tmp_path) == ()


def test_prune_leaves_a_zoo_that_is_whole(tmp_path: Path) -> None:
    publish(tmp_path, "lenet", 1)
    publish(tmp_path, "lenet", 2)
    prune(tmp_path)
    assert check(tmp_path) == {"lenet": build_of(2)}
    assert visible(tmp_path / "lenet") == [build_of(2)]
    assert hidden(tmp_path) == [".lock"]


def test_prune_follows_no_link(tmp_path: Path) -> None:
    publish(tmp_path / "zoo", "lenet", 1)
    publish(tmp_path / "elsewhere", "lenet", 2)
    (tmp_path / "zoo" / "link").symlink_to(tmp_path / "elsewhere" / "lenet")
    (tmp_path / "zoo" / "lenet" / build_of(2)).symlink_to(tmp_path / "elsewhere" / "lenet" / build_of(2))
    assert prune(tmp_path / "zoo") == ()
    assert check(tmp_path / "elsewhere") == {"lenet": build_of(2)}


@pytest.mark.parametrize("index", [None, "{", '{"schema": 1, "models": {"lenet": {}}}'])
def test_nothing_is_pruned_without_an_index_to_go_by(tmp_path: Path, index: str | None) -> None:
    publish(tmp_path, "lenet", 1)
    (tmp_path / "index.json").unlink()
    if index is not None:
        (tmp_path / "index.json").write_text(index)
    with pytest.raises(PublishError, match=r"index|entry"):
        prune(tmp_path)
    assert visible(tmp_path / "lenet") == [build_of(1)]


def test_build_that_was_pruned_meanwhile(tmp_path: Path) -> None:
    """Found, then pruned by another process: the index must not name it."""
    from caffe2neon.publish import find_build, update_index

    publish(tmp_path, "lenet", 1)
    publish(tmp_path, "lenet", 2)
    found = find_build(tmp_path, "lenet", build_of(1))
    assert found is not None
    prune(tmp_path)
    with pytest.raises(PublishError, match="removed meanwhile"):
        update_index(tmp_path, found)
    assert check(tmp_path) == {"lenet": build_of(2)}


def test_a_build_being_prepared_stays(tmp_path: Path) -> None:
    from caffe2neon.publish import staged_build

    publish(tmp_path, "lenet", 1)
    publish(tmp_path, "lenet", 2)
    with staged_build(tmp_path, "alexnet", "b") as stage:
        (stage.folder / "alexnet.prm").write_bytes(b"x")
        prune(tmp_path)
        assert (stage.folder / "alexnet.prm").read_bytes() == b"x"
    shutil.rmtree(tmp_path / "lenet")
