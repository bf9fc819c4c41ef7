"""Publishing into a folder: layout, immutability, the index, concurrency, full disks."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from caffe2neon.errors import PublishError
from caffe2neon.publish import build_id, current_builds, find_build, read_index, staged_build, staging, update_index
from caffe2neon.records import JSON
from tests.publish.builds import build_of, check, hidden, publish, visible


def test_layout(tmp_path: Path) -> None:
    root = tmp_path / "out" / "zoo"
    publication = publish(root, "lenet", 1)
    assert publication.path == root / "lenet" / build_of(1)
    assert visible(root) == ["index.json", "lenet"]
    assert visible(publication.path) == ["SHA256SUMS", "evaluation.json", "lenet.prm", "model.json", "parity.json"]
    assert hidden(root) == [".lock"]
    assert publication.sizes["lenet.prm"] == 3000
    assert check(root) == {"lenet": build_of(1)}


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs the program sha256sum")
def test_sums_are_as_sha256sum_reads_them(tmp_path: Path) -> None:
    publication = publish(tmp_path, "lenet", 1)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=publication.path, check=True, capture_output=True)


def test_index_tells_build_sizes_hashes_and_accuracy(tmp_path: Path) -> None:
    publication = publish(tmp_path, "lenet", 1)
    assert read_index(tmp_path) == {
        "schema": 1,
        "models": {
            "lenet": {
                "build": build_of(1),
                "path": f"lenet/{build_of(1)}",
                "files": {file: {"sha256": publication.files[file], "size": publication.sizes[file]} for file in publication.files},
                "accuracy": {"top1": 91.0},
                "parity": 1e-7,
            }
        },
    }


def test_model_without_a_data_set(tmp_path: Path) -> None:
    with staged_build(tmp_path, "m", "b") as stage:
        (stage.folder / "m.prm").write_bytes(b"x")
        (stage.folder / "model.json").write_bytes(b"{}")
        stage.commit()
    assert (read_index(tmp_path)["models"]["m"]["accuracy"], read_index(tmp_path)["models"]["m"]["parity"]) == (None, None)


def test_a_second_build_keeps_the_first(tmp_path: Path) -> None:
    publish(tmp_path, "lenet", 1)
    publish(tmp_path, "lenet", 2)
    assert check(tmp_path) == {"lenet": build_of(2)}
    assert visible(tmp_path / "lenet") == sorted([build_of(1), build_of(2)])


def test_the_same_build_again_changes_no_file(tmp_path: Path) -> None:
    publish(tmp_path, "lenet", 1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    publish(tmp_path, "lenet", 1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == {
        path: time for path, time in before.items() if path.is_file()
    }


def test_same_models_are_the_same_bytes(tmp_path: Path) -> None:
    for order in ([1, 2], [2, 1]):
        for number in order:
            publish(tmp_path / str(order), f"model{number}", number)
    first, second = ({p.relative_to(top): p.read_bytes() for p in top.rglob("*") if p.is_file()} for top in tmp_path.iterdir())
    assert first == second


def test_intact_build_is_not_replaced(tmp_path: Path) -> None:
    publish(tmp_path, "lenet", 1, size=10)
    assert publish(tmp_path, "lenet", 1, size=20).sizes["lenet.prm"] == 10


@pytest.mark.parametrize("damage", ["changed", "missing", "no sums"])
def test_damaged_build_is_replaced(tmp_path: Path, damage: str) -> None:
    folder = publish(tmp_path, "lenet", 1).path
    if damage == "changed":
        (folder / "lenet.prm").write_bytes(b"?")
        assert find_build(tmp_path, "lenet", build_of(1)) is not None
    else:
        (folder / ("lenet.prm" if damage == "missing" else "SHA256SUMS")).unlink()
        assert find_build(tmp_path, "lenet", build_of(1)) is None
    assert find_build(tmp_path, "lenet", build_of(1), verify=True) is None
    publish(tmp_path, "lenet", 1)
    assert check(tmp_path) == {"lenet": build_of(1)}
    assert hidden(tmp_path) == [".lock"]


@pytest.mark.parametrize("sums", [b"", b"nonsense\n", b"\xff\n", b"0" * 64 + b"  ../lenet.prm\n", b"0" * 64 + b"  model.json\n"])
def test_sums_that_say_nothing_of_use(tmp_path: Path, sums: bytes) -> None:
    folder = publish(tmp_path, "lenet", 1).path
    (folder / "SHA256SUMS").write_bytes(sums)
    assert find_build(tmp_path, "lenet", build_of(1)) is None


def test_find_build_of_nothing(tmp_path: Path) -> None:
    assert find_build(tmp_path / "nowhere", "lenet", "0" * 16) is None


@pytest.mark.parametrize(("name", "build"), [("..", "b"), ("a/b", "b"), ("m", ".."), ("m", ""), (".m", "b")])
def test_names_that_lead_elsewhere(tmp_path: Path, name: str, build: str) -> None:
    with pytest.raises(PublishError, match="cannot name a folder"), staged_build(tmp_path / "zoo", name, build):
        pass
    assert visible(tmp_path) == []


def test_nothing_is_published_without_commit(tmp_path: Path) -> None:
    with staged_build(tmp_path, "lenet", "b") as stage:
        (stage.folder / "lenet.prm").write_bytes(b"x")
    assert (visible(tmp_path), hidden(tmp_path)) == ([], [".lock"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_of_a_failed_build(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with staged_build(tmp_path, "lenet", "b") as stage:
            (stage.folder / "lenet.prm").write_bytes(b"x")
            raise error

    with pytest.raises(error):
        fail()
    assert (visible(tmp_path), hidden(tmp_path)) == ([], [".lock"])


def test_incomplete_build(tmp_path: Path) -> None:
    missing = r"not complete: lenet\.prm, model\.json missing"
    with pytest.raises(PublishError, match=missing), staged_build(tmp_path, "lenet", "b") as stage:
        stage.commit()
    assert visible(tmp_path) == []


def test_living_process_keeps_its_folder(tmp_path: Path) -> None:
    with staged_build(tmp_path, "alexnet", "b") as stage:
        (stage.folder / "alexnet.prm").write_bytes(b"x")
        publish(tmp_path, "lenet", 1)
        assert (stage.folder / "alexnet.prm").read_bytes() == b"x"


def test_entries_of_others_stay_as_they_are(tmp_path: Path) -> None:
    other = {"build": "b", "path": "other/b", "new key": [1, 2]}
    (tmp_path / "index.json").write_text(json.dumps({"schema": 1, "models": {"other": other}, "page": "index.html"}))
    publish(tmp_path, "lenet", 1)
    index = read_index(tmp_path)
    assert (index["models"]["other"], index["page"]) == (other, "index.html")


def test_the_current_build_is_that_of_the_file_as_it_is_now(tmp_path: Path) -> None:
    assert current_builds(tmp_path) == {}
    for version in (1, 2, 1):
        publish(tmp_path, "lenet", version)
        assert current_builds(tmp_path) == {"lenet": build_of(version)}
    publish(tmp_path, "alexnet", 1)
    assert current_builds(tmp_path) == {"alexnet": build_of(1), "lenet": build_of(1)}
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(PublishError, match="not the index of a zoo"):
        current_builds(tmp_path)
    (tmp_path / "index.json").unlink()
    assert current_builds(tmp_path) == {}


def test_index_is_mended_without_a_build(tmp_path: Path) -> None:
    """A process that died between its two renames leaves a build that the index does not know."""
    publish(tmp_path, "lenet", 1)
    expected = (tmp_path / "index.json").read_bytes()
    (tmp_path / "index.json").unlink()
    publication = find_build(tmp_path, "lenet", build_of(1))
    assert publication is not None
    update_index(tmp_path, publication)
    assert (tmp_path / "index.json").read_bytes() == expected


@pytest.mark.parametrize("text", ["", "{", "<html>", "[]", "\xff", '{"schema": 2, "models": {}}', '{"schema": 1}'])
def test_index_that_we_do_not_understand_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text, encoding="latin-1")
    with pytest.raises(PublishError, match="not the index of a zoo"):
        publish(tmp_path, "lenet", 1)
    assert (tmp_path / "index.json").read_text(encoding="latin-1") == text
    assert visible(tmp_path) == ["index.json"]


def test_damaged_evaluation(tmp_path: Path) -> None:
    with staged_build(tmp_path, "m", "b") as stage:
        for file in ("m.prm", "model.json", "evaluation.json"):
            (stage.folder / file).write_bytes(b"?")
        with pytest.raises(PublishError, match="not JSON"):
            stage.commit()
    assert visible(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_disk_full_while_files_are_written(tmp_path: Path) -> None:
    def fill() -> None:
        with staged_build(tmp_path, "lenet", "b") as stage:
            (stage.folder / "lenet.prm").symlink_to("/dev/full")
            (stage.folder / "lenet.prm").write_bytes(b"x")

    with pytest.raises(PublishError, match="No space left on device") as caught:
        fill()
    assert "free some space" in caught.value.remedy
    assert (visible(tmp_path), hidden(tmp_path)) == ([], [".lock"])


def test_disk_full_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may find out as late as fsync that it has no room."""
    publish(tmp_path, "lenet", 1)

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

    monkeypatch.setattr(staging, "sync_folder", full)
    with pytest.raises(PublishError, match="No space left on device"):
        publish(tmp_path, "lenet", 2)
    assert check(tmp_path) == {"lenet": build_of(1)}
    assert visible(tmp_path / "lenet") == [build_of(1)]
    assert hidden(tmp_path) == [".lock"]


def test_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "zoo").write_bytes(b"")
    with pytest.raises(PublishError, match="cannot write"):
        publish(tmp_path / "zoo", "lenet", 1)


def _publish_all(root: Path, names: list[str]) -> None:
    for version in (1, 2, 3):
        for name in names:
            publish(root, name, version)


def test_two_processes_at_once(tmp_path: Path) -> None:
    """Each has models of its own, and both publish the same builds of one."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_publish_all, args=(tmp_path, ["both", f"own{i}", f"more{i}"])) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    current = check(tmp_path)
    assert current.keys() == {"both", "own0", "own1", "more0", "more1"}
    assert {build for name, build in current.items() if name != "both"} == {build_of(3)}
    assert hidden(tmp_path) == [".lock"]


def test_build_id_follows_every_input() -> None:
    base: dict[str, JSON] = {"caffemodel": "ab", "options": {"remap": True, "scale": 0.1}, "version": "1"}
    assert build_id(base) == build_id(dict(reversed(base.items())))
    others: list[dict[str, JSON]] = [{"version": "2"}, {"options": {"remap": True, "scale": 0.1 + 2**-53}}, {"x": None}]
    assert len({build_id(base), *(build_id({**base, **other}) for other in others)}) == 4
    assert len(build_id(base)) == 16
