"""Writing: the old bytes or the new ones, whatever happens, and nothing lying about."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe2neon.errors import PublishError
from caffe2neon.files import BLOCK, atomic_write, digest, json_bytes, open_path, read_json, write_bytes


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["nameless", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Linux can make files without a name; elsewhere the temporary file has one."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no O_TMPFILE")
    return str(request.param)


def _interrupted(stream: BinaryIO) -> None:
    stream.write(b"half")
    stream.flush()
    raise KeyboardInterrupt


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000], ids=["cut", "no text", "nested too deep"])
def test_damaged_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(PublishError, match="not JSON") as caught:
        read_json(path, remedy="build again")
    assert (caught.value.where.path, caught.value.remedy) == (str(path), "build again")


def test_a_folder_that_is_there_but_takes_no_file() -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("needs /proc, which is such a folder")
    with pytest.raises(PublishError, match="cannot write") as caught:
        write_bytes(Path("/proc/a.prm"), b"")
    assert caught.value.remedy == "name another folder"


def test_json_that_is_no_object_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert read_json(path) is None
    path.write_bytes(b"null")
    assert read_json(path) is None
    path.write_bytes(json_bytes({"a": [1]}))
    assert read_json(path) == {"a": [1]}
    with pytest.raises(PublishError, match="cannot read"):
        read_json(tmp_path)


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("old", [None, b"old"])
def test_the_name_comes_with_the_last_byte(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "model.prm"
    if old is not None:
        path.write_bytes(old)
    with atomic_write(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert (path.read_bytes() if path.exists() else None) == old
        assert open_path(stream).read_bytes() == b"new"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["model.prm"]


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("old", [None, b"old"])
def test_an_exception_leaves_what_was_there(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "model.prm"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as stream:
        _interrupted(stream)
    assert (path.read_bytes() if path.exists() else None) == old
    assert names(tmp_path) == (["model.prm"] if old else [])


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "model.prm", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "model.prm").stat().st_mode & 0o777 == mode


@pytest.mark.usefixtures("kind")
def test_a_missing_folder_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="No such file or directory") as raised:
        write_bytes(tmp_path / "no" / "model.prm", b"new")
    assert raised.value.where.path == str(tmp_path / "no" / "model.prm")
    assert raised.value.remedy == f"make the folder first: mkdir -p {tmp_path / 'no'}"


@pytest.mark.usefixtures("kind")
def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PublishError, match="Not a directory"):
        write_bytes(tmp_path / "file" / "model.prm", b"new")


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("name", ["folder", ".", "", "..", "/"])
def test_a_folder_is_not_replaced_and_nothing_is_computed_first(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(PublishError, match="Is a directory") as raised, atomic_write(Path(name)):
        pytest.fail("the block was entered")
    assert raised.value.remedy == "name a file in it"
    assert names(tmp_path) == ["folder"]


def test_a_pipe_or_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PublishError, match="a device or a pipe"):
        write_bytes(tmp_path / "pipe", b"new")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.usefixtures("kind")
def test_a_folder_that_nobody_may_write_to(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("who runs this may write everywhere")
    with pytest.raises(PublishError, match="Permission denied") as raised:
        write_bytes(folder / "model.prm", b"new")
    assert raised.value.remedy == "check who may write to that folder"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "check who may write to that folder"),
        (errno.EROFS, "that disk is mounted read-only"),
        (errno.ENOSPC, "free some space, or write to another disk"),
    ],
)
def test_what_the_system_refuses_comes_with_a_remedy(
    tmp_path: Path, number: int, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PublishError, match=os.strerror(number)) as raised:
        write_bytes(tmp_path / "model.prm", b"new")
    assert raised.value.remedy == remedy


def _child(code: str, *arguments: Path | str) -> subprocess.Popen[str]:
    program = f"import sys\nfrom pathlib import Path\nfrom caffe2neon.files import atomic_write, write_bytes\n{code}"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


_NAMED = "import os\nif sys.argv[2] == 'named': del os.O_TMPFILE\n"


def test_a_full_disk_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.prm"
    path.write_bytes(b"old")
    code = f"""{_NAMED}
import resource
from caffe2neon.errors import PublishError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_bytes(Path(sys.argv[1]), bytes(1_000_000))
except PublishError as error:
    print(error)
"""
    out, err = _child(code, path, kind).communicate(timeout=60)
    assert (err, out.splitlines()[0]) == ("", f"{path}: cannot write: File too large")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["model.prm"]


def test_kill_9_in_the_middle_leaves_the_old_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.prm"
    path.write_bytes(b"old")
    code = f"""{_NAMED}
with atomic_write(Path(sys.argv[1])) as stream:
    stream.write(bytes(3_000_000))
    stream.flush()
    print("half", flush=True)
    sys.stdin.read()
"""
    program = _child(code, path, kind)
    assert program.stdout is not None
    assert program.stdout.readline() == "half\n"
    program.kill()
    program.communicate(timeout=60)
    assert program.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    left = names(tmp_path)
    if kind == "nameless":
        assert left == ["model.prm"]
    else:
        assert [name.startswith(".model.prm.") and name.endswith(".part") for name in left] == [True, False]


def test_a_reader_never_sees_a_mixture(tmp_path: Path) -> None:
    """A writer that is killed while it replaces a file again and again."""
    path = tmp_path / "model.prm"
    write_bytes(path, b"0" * 100_000)
    code = """
print("go", flush=True)
for number in range(1_000_000):
    write_bytes(Path(sys.argv[1]), str(number % 10).encode() * 100_000)
"""
    program = _child(code, path)
    assert program.stdout is not None
    program.stdout.readline()
    end = time.monotonic() + 0.3
    seen = set()
    while time.monotonic() < end:
        data = path.read_bytes()
        assert (len(data), len(set(data))) == (100_000, 1)
        seen.add(data[0])
    program.kill()
    program.communicate(timeout=60)
    assert len(seen) > 1
    assert len(path.read_bytes()) == 100_000


@given(st.binary(max_size=100), st.sampled_from(["sha256", "sha384", "sha1"]))
def test_digest_is_hashlibs(data: bytes, algorithm: str) -> None:
    path = Path(f"/proc/self/fd/{(descriptor := os.memfd_create('data'))}")
    try:
        os.write(descriptor, data)
        assert digest(path, algorithm) == hashlib.new(algorithm, data).hexdigest()
    finally:
        os.close(descriptor)


def test_digest_tells_how_far_it_is(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(BLOCK + 5))
    counts: list[int] = []
    digest(tmp_path / "data", advance=counts.append)
    assert counts == [BLOCK, 5]


def test_json_is_the_same_for_the_same_value() -> None:
    assert json_bytes({"b": [1, 2.5, None], "a": "×"}) == json_bytes({"a": "×", "b": [1, 2.5, None]})
    assert json.loads(json_bytes({"b": [1, 2.5, None], "a": "×"})) == {"a": "×", "b": [1, 2.5, None]}
    assert json_bytes([]).endswith(b"\n")


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_json_has_no_nan(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_bytes(number)
