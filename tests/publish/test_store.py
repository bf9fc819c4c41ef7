"""Publishing to stores: an S3-compatible server on loopback, fsspec's memory, and folders."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from caffe2neon.errors import PublishError, UsageError
from caffe2neon.publish import Copied, Folder, Store, open_place, publish_zoo
from caffe2neon.records import no_progress
from tests.publish.builds import build_of, publish
from tests.publish.builds import check as check_folder
from tests.publish.server import Requests, ask, check, content_types, credentials, objects, s3, web

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = ["evaluation.json", "lenet.prm", "model.json", "parity.json"]


def clear_connections() -> None:
    """fsspec keeps one for all stores of a kind, with the address and the credentials of its time."""
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Requests]]:
    clear_connections()
    with s3() as running:
        yield running
    clear_connections()


@pytest.fixture
def s3_server(server: tuple[str, Requests], monkeypatch: pytest.MonkeyPatch) -> tuple[str, Requests]:
    credentials(monkeypatch, server[0])
    server[1].seen.clear()
    return server


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    publish(tmp_path / "made", "lenet", 1)
    return tmp_path / "made"


def send(zoo: Path, url: str) -> dict[str, str]:
    """Publish; each model's status."""
    return {copied.name: copied.status for copied in publish_zoo(zoo, open_place(url))}


def test_files_then_sums_then_index(zoo: Path, s3_server: tuple[str, Requests]) -> None:
    address, requests = s3_server
    publish(zoo, "alexnet", 2)
    assert send(zoo, "s3://zoo/order") == {"alexnet": "published", "lenet": "published"}
    one, two = f"order/alexnet/{build_of(2)}", f"order/lenet/{build_of(1)}"
    puts = requests.puts()
    assert [sorted(puts[:4]), sorted(puts[5:9])] == [
        sorted(f"{one}/{file.replace('lenet', 'alexnet')}" for file in FILES),
        sorted(f"{two}/{file}" for file in FILES),
    ]
    assert [puts[4], *puts[9:]] == [f"{one}/SHA256SUMS", f"{two}/SHA256SUMS", "order/index.json"]
    found = objects(address, "order")
    assert check(found) == {"alexnet": build_of(2), "lenet": build_of(1)}
    assert found == {
        str(path.relative_to(zoo)): path.read_bytes() for path in zoo.rglob("*") if path.is_file() and path.name != ".lock"
    }


def test_a_browser_is_told_what_each_file_is(tmp_path: Path, zoo: Path, s3_server: tuple[str, Requests]) -> None:
    """Without a type, a page is saved to a file, not shown. The index is written twice: where there is none, and in its place."""
    folder = zoo / "lenet" / build_of(1)
    for file, data in (("lenet.svg", b"<svg/>"), ("lenet.prototxt", b"name: 'lenet'")):
        (folder / file).write_bytes(data)
        with (folder / "SHA256SUMS").open("a") as sums:
            sums.write(f"{hashlib.sha256(data).hexdigest()}  {file}\n")
    publish(tmp_path / "paged", "vgg16", 1)
    (tmp_path / "paged" / "index.html").write_text("<title>a zoo</title>")
    send(tmp_path / "paged", "s3://zoo/types")
    assert content_types(s3_server[0], "types")["index.json"] == "application/json; charset=utf-8"
    send(zoo, "s3://zoo/types")
    types = {key.rpartition("/")[2]: kind for key, kind in content_types(s3_server[0], "types").items()}
    assert types == {
        "index.html": "text/html; charset=utf-8",
        "lenet.svg": "image/svg+xml; charset=utf-8",
        "lenet.prototxt": "text/plain; charset=utf-8",
        "SHA256SUMS": "text/plain; charset=utf-8",
        **dict.fromkeys(("lenet.prm", "vgg16.prm"), "application/octet-stream"),
        **dict.fromkeys(("index.json", "evaluation.json", "model.json", "parity.json"), "application/json; charset=utf-8"),
    }


def test_publishing_again_writes_nothing(zoo: Path, s3_server: tuple[str, Requests]) -> None:
    send(zoo, "s3://zoo/again")
    s3_server[1].seen.clear()
    assert send(zoo, "s3://zoo/again/") == {"lenet": "unchanged"}
    assert s3_server[1].puts() == []
    assert not [line for line in s3_server[1].seen if line.endswith(".prm")]


def test_killed_before_each_write(zoo: Path, s3_server: tuple[str, Requests]) -> None:
    """Four files, SHA256SUMS, the index: six writes. Whatever was done, readers see the old state; the next run sends the rest."""
    address, requests = s3_server
    for number in range(7):
        for file, data in found(str(zoo)).items():
            ask("PUT", address, f"killed/{number}/{file}", data)
    publish(zoo, "lenet", 2)
    command = [sys.executable, "-m", "tests.publish.upload", str(zoo), "s3://zoo/killed"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "6\n"), done.stderr
    for number in range(7):
        there = objects(address, f"killed/{number}")
        assert check(there) == {"lenet": build_of(2 if number == 6 else 1)}
        assert len([key for key in there if build_of(2) in key]) == min(number, 5)
        requests.seen.clear()
        send(zoo, f"s3://zoo/killed/{number}")
        assert len(requests.puts()) == 6 - number
        assert not {key.removeprefix(f"killed/{number}/") for key in requests.puts()} & (there.keys() - {"index.json"})
        assert check(objects(address, f"killed/{number}")) == {"lenet": build_of(2)}


def _send_all(zoo: Path, url: str) -> None:
    send(zoo, url)


def test_two_publishers_at_once(tmp_path: Path, s3_server: tuple[str, Requests]) -> None:
    """Each has models of its own, and both have one model with the same build."""
    context = multiprocessing.get_context("spawn")
    zoos = [tmp_path / "a", tmp_path / "b"]
    for zoo in zoos:
        for name in ("both", f"{zoo.name}1", f"{zoo.name}2"):
            publish(zoo, name, 1)
    workers = [context.Process(target=_send_all, args=(zoo, "s3://zoo/two")) for zoo in zoos]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert check(objects(s3_server[0], "two")).keys() == {"both", "a1", "a2", "b1", "b2"}


@pytest.mark.parametrize("first", [False, True], ids=["index there", "no index yet"])
def test_index_written_by_another_in_between(
    tmp_path: Path, zoo: Path, s3_server: tuple[str, Requests], monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """Between reading the index and replacing it, another publisher is done: the store refuses, and both are merged."""
    url, other = f"s3://zoo/between-{first}", tmp_path / "other"
    publish(other, "alexnet", 1)
    if not first:
        publish(tmp_path / "old", "vgg16", 1)
        send(tmp_path / "old", url)
    replace = Store.replace
    answers = []

    def late(store: Store, name: str, data: bytes, version: str | None) -> bool:
        monkeypatch.setattr(Store, "replace", replace)
        send(other, url)
        answers.append(replace(store, name, data, version))
        return answers[0]

    monkeypatch.setattr(Store, "replace", late)
    send(zoo, url)
    assert answers == [False]
    expected = {"alexnet", "lenet"} if first else {"alexnet", "lenet", "vgg16"}
    assert check(objects(s3_server[0], url.removeprefix("s3://zoo/"))).keys() == expected


def test_a_build_with_other_bytes_stays(tmp_path: Path, s3_server: tuple[str, Requests]) -> None:
    for number in (1, 2):
        publish(tmp_path / str(number), "lenet", 1, size=1000 * number)
    send(tmp_path / "1", "s3://zoo/kept")
    before = objects(s3_server[0], "kept")
    assert send(tmp_path / "2", "s3://zoo/kept") == {"lenet": "kept"}
    assert objects(s3_server[0], "kept") == before


def test_other_bytes_arrive_while_files_are_written(tmp_path: Path, s3_server: tuple[str, Requests]) -> None:
    """Another publisher of the same build, whose parity.json says something else, writes it just before our SHA256SUMS."""
    publish(tmp_path, "lenet", 1)
    key = f"meanwhile/lenet/{build_of(1)}/parity.json"

    class Meddled(Store):
        def write(self, name: str, data: bytes) -> None:
            ask("PUT", s3_server[0], key, b'{"worst": 2e-7}')
            super().write(name, data)

    list(publish_zoo(tmp_path, Meddled("s3://zoo/meanwhile")))
    assert check(objects(s3_server[0], "meanwhile")) == {"lenet": build_of(1)}


@pytest.mark.parametrize("damage", ["shorter", "gone", "left by a killed run, with other bytes"])
def test_damaged_build_is_mended(zoo: Path, damage: str, s3_server: tuple[str, Requests]) -> None:
    address, requests = s3_server
    prefix = f"damage-{damage[:4]}"
    folder = f"{prefix}/lenet/{build_of(1)}"
    if damage.startswith("left"):
        ask("PUT", address, f"{folder}/lenet.prm", b"?" * 3000)
    else:
        publish(zoo, "alexnet", 1)
        send(zoo, f"s3://zoo/{prefix}")
        if damage == "shorter":
            ask("PUT", address, f"{folder}/lenet.prm", b"?")
        else:
            ask("DELETE", address, f"{folder}/lenet.prm")
    requests.seen.clear()
    assert send(zoo, f"s3://zoo/{prefix}")["lenet"] == "published"
    assert f"{folder}/lenet.prm" in requests.puts()
    assert check(objects(address, prefix))["lenet"] == build_of(1)


@pytest.mark.usefixtures("s3_server")
def test_bucket_that_is_not_there(zoo: Path) -> None:
    with pytest.raises(PublishError, match="bucket does not exist") as caught:
        send(zoo, "s3://nobody/zoo")
    assert caught.value.where.path.startswith("s3://nobody/zoo/lenet/")


def test_server_that_is_not_there(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = pytest.importorskip("s3fs").S3FileSystem
    credentials(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(system, "retries", 1)
    clear_connections()
    with pytest.raises(PublishError, match="the store says"):
        send(zoo, "s3://zoo/x")
    clear_connections()


@pytest.fixture(params=["memory", "file", "path"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Somewhere to publish to."""
    return {
        "memory": f"memory://{secrets.token_hex(4)}/zoo",
        "file": (tmp_path / "a folder" / "zoo").as_uri(),
        "path": str(tmp_path / "there"),
    }[request.param]


def found(url: str) -> dict[str, bytes]:
    """All files of a place, read without the code under test."""
    fsspec = pytest.importorskip("fsspec")
    system, root = fsspec.url_to_fs(url.replace("%20", " "))
    return {path.removeprefix(f"{root}/"): system.cat_file(path) for path in system.find(root) if not path.endswith("/.lock")}


def test_anywhere(zoo: Path, url: str, tmp_path: Path) -> None:
    (zoo / "index.html").write_text("page 1")
    assert send(zoo, url) == {"lenet": "published"}
    first = found(url)
    assert check(first) == {"lenet": build_of(1)}
    assert first["index.html"] == b"page 1"
    assert send(zoo, url) == {"lenet": "unchanged"}
    assert found(url) == first
    publish(tmp_path / "other", "alexnet", 1)
    (tmp_path / "other" / "index.html").write_text("tells of alexnet alone")
    assert send(tmp_path / "other", url) == {"alexnet": "published"}
    assert check(found(url)) == {"alexnet": build_of(1), "lenet": build_of(1)}
    assert found(url)["index.html"] == b"page 1"
    publish(zoo, "lenet", 2)
    send(zoo, url)
    assert check(found(url)) == {"alexnet": build_of(1), "lenet": build_of(2)}
    assert first.items() - {("index.json", first["index.json"])} <= found(url).items()
    assert not [key for key in found(url) if ".part" in key]


def test_two_places_hold_the_same_bytes(zoo: Path, tmp_path: Path) -> None:
    send(zoo, str(tmp_path / "copy"))
    send(zoo, "memory://same/zoo")
    assert found(str(tmp_path / "copy")) == found("memory://same/zoo") == found(str(zoo))
    check_folder(tmp_path / "copy")


def test_an_interrupted_write_does_not_show(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a store shows what is half-written, it has another name until it is whole."""
    memory = pytest.importorskip("fsspec.implementations.memory").MemoryFileSystem
    shown: list[str] = []

    def put_file(_: object, __: str, path: str, **___: object) -> None:
        memory().pipe_file(path, b"half")
        shown.extend(key for key in found("memory://half/zoo") if not key.rpartition("/")[2].startswith("."))
        raise ConnectionError("the line is dead")

    monkeypatch.setattr(memory, "put_file", put_file)
    with pytest.raises(PublishError, match="the line is dead"):
        send(zoo, "memory://half/zoo")
    assert (shown, found("memory://half/zoo")) == ([], {})


@pytest.mark.parametrize("target", ["memory://changed/zoo", "copy"])
def test_local_file_that_has_changed(zoo: Path, tmp_path: Path, target: str) -> None:
    (zoo / "lenet" / build_of(1) / "lenet.prm").write_bytes(b"?" * 3000)
    url = target if "://" in target else str(tmp_path / target)
    with pytest.raises(PublishError, match="has changed") as caught:
        send(zoo, url)
    assert caught.value.where.path.endswith("lenet.prm")
    assert not [key for key in found(url) if key.endswith(("lenet.prm", "index.json", "SHA256SUMS"))]


def test_local_build_that_is_not_complete(zoo: Path) -> None:
    (zoo / "lenet" / build_of(1) / "lenet.prm").unlink()
    with pytest.raises(PublishError, match="not complete"):
        send(zoo, "memory://incomplete/zoo")


def test_folder_without_an_index(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="not a published zoo"):
        send(tmp_path, "memory://nothing/zoo")


@pytest.mark.parametrize("text", ["{", '{"schema": 2, "models": {}}'])
def test_index_there_that_we_do_not_understand_stays(zoo: Path, text: str) -> None:
    store = Store(f"memory://{secrets.token_hex(4)}/zoo")
    store.write("index.json", text.encode())
    with pytest.raises(PublishError, match="not the index of a zoo"):
        list(publish_zoo(zoo, store))
    assert store.read("index.json") == text.encode()


def test_a_web_server_is_read_only(zoo: Path, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    (tmp_path / "empty").mkdir()
    with web(tmp_path / "empty") as address, pytest.raises(PublishError, match="the store says"):
        send(zoo, address)


def test_progress_counts_bytes(zoo: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    list(publish_zoo(zoo, Store("memory://progress/zoo"), lambda *step: told.append(step)))
    name = f"upload lenet/{build_of(1)}/lenet.prm"
    assert sorted({step for step in told if step[0] == name}) == [(name, 0, 3000), (name, 3000, 3000)]


@pytest.mark.parametrize(("url", "extra"), [("s3://zoo/x", "s3"), ("https://host/zoo", "remote"), ("memory://x", "remote")])
@pytest.mark.parametrize("all_of_it", [True, False], ids=["fsspec, too", "but fsspec"])
def test_package_that_is_missing(url: str, extra: str, all_of_it: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who needs two packages is told of the extra that brings both."""
    fsspec = pytest.importorskip("fsspec")
    if all_of_it or url.startswith("memory"):
        monkeypatch.setitem(sys.modules, "fsspec", None)
    else:

        def missing(*_: object, **__: object) -> None:
            raise ImportError("Install it")

        monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(UsageError, match="cannot reach") as caught:
        open_place(url)
    assert caught.value.remedy == f'pip install "caffe2neon[{extra}]"'


def test_folders_need_no_package(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert list(publish_zoo(zoo, Folder(tmp_path / "x"), no_progress)) == [Copied("lenet", build_of(1), "published", 3067)]


def test_address_of_an_unknown_kind() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(UsageError, match="Protocol not known"):
        open_place("nonsense://x")


@pytest.mark.parametrize(
    ("url", "meant"), [("s3:/models/neon", "s3://models/neon"), ("file:/srv/zoo", "file:///srv/zoo"), ("https:/h/z", "https://h/z")]
)
def test_address_with_one_slash(url: str, meant: str) -> None:
    """It would make a folder ``s3:``, and nobody would find the models."""
    with pytest.raises(UsageError, match="is no address, for want of a slash") as caught:
        open_place(url)
    assert caught.value.remedy == f"write {meant}, or ./{url} for a folder of that name"
    assert isinstance(open_place(f"./{url}"), Folder)
    assert isinstance(open_place("a:b/c"), Folder)


def test_index_says_what_the_kept_build_holds(tmp_path: Path) -> None:
    """The index of a store whose entry is gone is mended from the build that lies there, not from ours."""
    for number in (1, 2):
        publish(tmp_path / str(number), "lenet", 1, size=1000 * number)
    store = Store("memory://mended/zoo")
    list(publish_zoo(tmp_path / "1", store))
    store.write("index.json", json.dumps({"schema": 1, "models": {}}).encode())
    assert [copied.status for copied in publish_zoo(tmp_path / "2", store)] == ["kept"]
    assert check(found("memory://mended/zoo")) == {"lenet": build_of(1)}
