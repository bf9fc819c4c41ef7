"""Pulling a model: verified before any of it shows, whatever the zoo says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from caffe2neon.errors import PublishError
from caffe2neon.files import claim
from caffe2neon.publish import Folder, Store, open_place, publish_zoo, pull
from tests.publish.builds import build_of, publish
from tests.publish.server import web


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    publish(tmp_path / "zoo", "lenet", 1)
    return tmp_path / "zoo"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "models" / "lenet"


def build(zoo: Path, version: int = 1) -> Path:
    return zoo / "lenet" / build_of(version)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(folder: Path) -> list[str]:
    """Hidden ones, too."""
    return sorted(path.name for path in folder.iterdir())


def entry(zoo: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((zoo / "index.json").read_text())["models"]["lenet"]
    return found


def rewrite_index(zoo: Path, **changes: object) -> None:
    (zoo / "index.json").write_text(json.dumps({"schema": 1, "models": {"lenet": {**entry(zoo), **changes}}}))


def nothing_left(output: Path) -> bool:
    return not output.parent.exists() or names(output.parent) == []


def test_all_files_arrive(zoo: Path, output: Path) -> None:
    publication, fresh = pull(Folder(zoo), "lenet", output)
    assert fresh
    assert contents(output) == contents(build(zoo))
    assert (publication.path, publication.build) == (output, build_of(1))
    assert names(output.parent) == ["lenet"]


def test_from_a_web_server(zoo: Path, output: Path) -> None:
    pytest.importorskip("aiohttp")
    with web(zoo) as address:
        pull(open_place(address), "lenet", output)
        with pytest.raises(PublishError, match="has no index"):
            pull(open_place(f"{address}/lenet"), "lenet", output)
    assert contents(output) == contents(build(zoo))


def test_from_a_store(zoo: Path, output: Path) -> None:
    pytest.importorskip("fsspec")
    store = Store("memory://pulled/zoo")
    list(publish_zoo(zoo, store))
    pull(store, "lenet", output)
    assert contents(output) == contents(build(zoo))


def test_up_to_date(zoo: Path, output: Path) -> None:
    pull(Folder(zoo), "lenet", output)
    (build(zoo) / "lenet.prm").unlink()  # so that it cannot be brought again
    publication, fresh = pull(Folder(zoo), "lenet", output)
    assert (publication.build, fresh) == (build_of(1), False)


def test_older_pull_is_replaced(zoo: Path, output: Path) -> None:
    pull(Folder(zoo), "lenet", output)
    publish(zoo, "lenet", 2)
    assert pull(Folder(zoo), "lenet", output)[1]
    assert contents(output) == contents(build(zoo, 2))
    assert names(output.parent) == ["lenet"]


def test_older_pull_stays_where_the_new_one_fails(zoo: Path, output: Path) -> None:
    pull(Folder(zoo), "lenet", output)
    before = contents(output)
    publish(zoo, "lenet", 2)
    (build(zoo, 2) / "lenet.prm").write_bytes(b"?")
    with pytest.raises(PublishError, match="1 bytes arrived of a file of 3000"):
        pull(Folder(zoo), "lenet", output)
    assert contents(output) == before
    assert names(output.parent) == ["lenet"]


@pytest.mark.parametrize(
    ("file", "data", "said"),
    [
        ("notes.txt", b"mine", "notes.txt was not of it"),
        ("lenet.prm", b"mine", "lenet.prm has changed"),
        ("lenet.prm", None, "lenet.prm is missing"),
        ("SHA256SUMS", None, "it has no SHA256SUMS"),
        ("SHA256SUMS", b"mine", "SHA256SUMS has changed"),
    ],
)
def test_folder_with_something_else_is_left_alone(zoo: Path, output: Path, file: str, data: bytes | None, said: str) -> None:
    """A file of the user's beside an older pull, or one of the pull's own that was changed; it is named, and the model once."""
    pull(Folder(zoo), "lenet", output)
    publish(zoo, "lenet", 2)
    (output / file).write_bytes(data) if data else (output / file).unlink()
    before = contents(output)
    with pytest.raises(PublishError) as caught:
        pull(Folder(zoo), "lenet", output)
    assert str(caught.value).splitlines()[0] == f"{output}: already there, and not as a pull left it, so it stays: {said}"
    assert contents(output) == before


def test_output_that_is_a_file(zoo: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"mine")
    with pytest.raises(PublishError, match="so it stays"):
        pull(Folder(zoo), "lenet", tmp_path / "x")


def test_empty_folder_is_filled(zoo: Path, output: Path) -> None:
    output.mkdir(parents=True)
    assert pull(Folder(zoo), "lenet", output)[1]


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"?" * 3000, "not the file that was published"), (b"\1" * 2999, "2999 bytes arrived"), (b"\1" * 3001, "more arrived")],
    ids=["tampered", "truncated", "longer"],
)
def test_file_that_is_not_the_published_one(zoo: Path, output: Path, data: bytes, words: str) -> None:
    (build(zoo) / "lenet.prm").write_bytes(data)
    with pytest.raises(PublishError, match=words) as caught:
        pull(Folder(zoo), "lenet", output)
    assert caught.value.where.path == str(build(zoo) / "lenet.prm")
    assert caught.value.where.model == "lenet"
    assert nothing_left(output)


def test_missing_file(zoo: Path, output: Path) -> None:
    (build(zoo) / "lenet.prm").unlink()
    with pytest.raises(PublishError, match="cannot read"):
        pull(Folder(zoo), "lenet", output)
    assert nothing_left(output)


def test_file_and_sums_tampered_alike(zoo: Path, output: Path) -> None:
    """The index is a second witness."""
    (build(zoo) / "lenet.prm").write_bytes(b"?" * 3000)
    sums = (build(zoo) / "SHA256SUMS").read_text()
    honest = entry(zoo)["files"]["lenet.prm"]["sha256"]  # type: ignore[index]
    (build(zoo) / "SHA256SUMS").write_text(sums.replace(honest, hashlib.sha256(b"?" * 3000).hexdigest()))
    with pytest.raises(PublishError, match=r"SHA256SUMS and the index do not agree on lenet\.prm"):
        pull(Folder(zoo), "lenet", output)
    assert nothing_left(output)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", "..", ".", ".hidden", "a\\b", "C:evil", "SHA256SUMS", "a\x00b"])
def test_path_that_leads_out_of_the_build(zoo: Path, output: Path, name: str) -> None:
    """In SHA256SUMS and in the index alike."""
    sums = (build(zoo) / "SHA256SUMS").read_text()
    (build(zoo) / "SHA256SUMS").write_text(f"{sums}{'0' * 64}  {name}\n")
    files = {**entry(zoo)["files"], name: {"sha256": "0" * 64, "size": 1}}  # type: ignore[dict-item]
    for words in ("cannot be a file of a build", "leads elsewhere|cannot be a file of a build"):
        with pytest.raises(PublishError, match=words) as caught:
            pull(Folder(zoo), "lenet", output)
        assert repr(name) in str(caught.value) or "leads elsewhere" in str(caught.value)
        rewrite_index(zoo, files=files)
    assert nothing_left(output)


@pytest.mark.parametrize("build_name", ["../..", "..", "", "a/b", 7, None])
def test_build_that_leads_elsewhere(zoo: Path, output: Path, build_name: object) -> None:
    rewrite_index(zoo, build=build_name)
    with pytest.raises(PublishError, match=r"leads elsewhere|not an entry") as caught:
        pull(Folder(zoo), "lenet", output)
    assert caught.value.where.model == "lenet"


@pytest.mark.parametrize("files", [None, [], {"lenet.prm": "abc"}, {"lenet.prm": {"sha256": "00"}}, {"lenet.prm": {"size": "x"}}])
def test_entry_that_says_too_little(zoo: Path, output: Path, files: object) -> None:
    rewrite_index(zoo, files=files)
    with pytest.raises(PublishError, match=r"not an entry|do not agree"):
        pull(Folder(zoo), "lenet", output)


def test_sums_that_are_none(zoo: Path, output: Path) -> None:
    (build(zoo) / "SHA256SUMS").write_text("<html>\n")
    with pytest.raises(PublishError, match="not a list of checksums") as caught:
        pull(Folder(zoo), "lenet", output)
    assert caught.value.where.line == 1


def test_build_that_is_not_there(zoo: Path, output: Path) -> None:
    shutil.rmtree(build(zoo))
    with pytest.raises(PublishError, match="a build that is not there"):
        pull(Folder(zoo), "lenet", output)


def test_unknown_model_names_the_nearest(zoo: Path, output: Path) -> None:
    with pytest.raises(PublishError, match="no model 'lenett'") as caught:
        pull(Folder(zoo), "lenett", output)
    assert caught.value.remedy == "it has: lenet"


def test_no_zoo(tmp_path: Path, output: Path) -> None:
    with pytest.raises(PublishError, match="no published zoo here"):
        pull(Folder(tmp_path), "lenet", output)


def test_what_a_killed_pull_left_is_cleared_away(zoo: Path, output: Path) -> None:
    left = output.parent / ".lenet.pull" / "new"
    left.mkdir(parents=True)
    (left / "lenet.prm").write_bytes(b"half")
    pull(Folder(zoo), "lenet", output)
    assert names(output.parent) == ["lenet"]


def test_two_pulls_at_once(zoo: Path, output: Path) -> None:
    staging = output.parent / ".lenet.pull"
    staging.mkdir(parents=True)
    other = claim(staging)
    assert other is not None
    with pytest.raises(PublishError, match="another pull"):
        pull(Folder(zoo), "lenet", output)
    os.close(other)
    assert pull(Folder(zoo), "lenet", output)[1]
