"""Processes that do tasks: what they say when they fail, and what they leave when their parent is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caffe2neon.bugs import ElsewhereError, place_of
from caffe2neon.workers import Death, Workers

ROOT = Path(__file__).resolve().parents[1]

#: More than a pipe or a log's end holds, in lines.
_MANY = "a line of a log that goes on and on\n" * 10_000


def results(work: Callable[[Any, Callable[[Any], None]], Any], *tasks: Any, jobs: int = 1) -> list[Any]:
    with closing(Workers(work, tasks, jobs, lambda *_: None)) as workers:
        return [result for _, result in workers.results()]


def until(done: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.02)
    return done()


# ---- errors ----


class OddError(Exception):
    """Pickle calls it with what its parent's constructor got: one argument too few."""

    def __init__(self, a: str, b: str) -> None:
        super().__init__(a)
        self.b = b


def _deep(task: str, _: object) -> None:
    raise KeyError(task)


def _odd(task: str, _: object) -> None:
    raise OddError(task, task)


def _nested(task: str, _: object) -> None:
    results(_deep, task)


@pytest.mark.parametrize("work", [_deep, _nested], ids=["worker", "worker-of-a-worker"])
def test_a_bug_in_a_worker_is_said_where_it_is(work: Callable[..., None]) -> None:
    with pytest.raises(KeyError, match="this") as caught:
        results(work, "this")
    assert place_of(caught.value) == f"test_workers.py:{_deep.__code__.co_firstlineno + 1}"
    assert isinstance(caught.value.__cause__, ElsewhereError)
    assert "in _deep" in str(caught.value.__cause__)


def test_an_error_that_cannot_be_pickled_is_said_in_its_words() -> None:
    with pytest.raises(RuntimeError, match=r"^OddError: this$") as caught:
        results(_odd, "this")
    assert place_of(caught.value) == f"test_workers.py:{_odd.__code__.co_firstlineno + 1}"


# ---- logs ----


def _write_and_die(task: str, _: object) -> None:
    os.write(2, f"{_MANY}last words\n".encode())
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)


def test_of_a_long_log_the_last_line_is_told() -> None:
    (death,) = results(_write_and_die, "die")
    assert death == Death("died 2 times, the last time by SIGKILL: last words")


def _write_and_measure(task: str, _: object) -> int:
    """The log's size at the task's end."""
    os.write(2, task.encode())
    return os.fstat(2).st_size


def test_a_log_is_of_one_task() -> None:
    assert results(_write_and_measure, _MANY, "a", "bc") == [len(_MANY), 1, 2]


# ---- a parent that is killed ----


def _linger(task: Path, _: object) -> None:
    """As an engine does: a folder, and a program that is ended if anything happens."""
    with tempfile.TemporaryDirectory(dir=task):
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"], start_new_session=True)
        (task / "pid.part").write_text(str(process.pid))
        (task / "pid.part").rename(task / "pid")
        try:
            process.wait()
        finally:
            process.kill()
            process.wait()
            (task / "pid").unlink()


_PARENT = """
import sys
from pathlib import Path
from tests.test_workers import _linger, results
if __name__ == "__main__":
    results(_linger, *map(Path, sys.argv[1:]), jobs=2)
"""


def test_workers_put_things_in_order_when_their_parent_is_killed(tmp_path: Path) -> None:
    """Neither folders nor programs that they have started stay."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    (tmp_path / "parent.py").write_text(_PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), *map(str, folders)]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as parent:
        assert until(lambda: all((folder / "pid").exists() for folder in folders), 60)
        programs = [int((folder / "pid").read_text()) for folder in folders]
        parent.kill()
    assert until(lambda: not any(list(folder.iterdir()) for folder in folders))
    assert not any(Path(f"/proc/{program}").exists() for program in programs)
