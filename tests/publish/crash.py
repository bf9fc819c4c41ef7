"""Run as a program: publish in forked children and kill them. ``python -m tests.publish.crash (points|random) FOLDER``.

A program of its own, so that it may fork: it has no threads.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.publish.builds import build_of, check, hidden, publish

#: Python announces these before it does them; together they are all that changes the disk, and the locks.
_STEPS = ("open", "os.", "shutil.", "fcntl.")


def _in_child(action: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    return child


def _publish_until(root: Path, last: int) -> None:
    """Publish, and be killed before the ``last``-th step."""
    steps = 0

    def count(event: str, _: object) -> None:
        nonlocal steps
        if event.startswith(_STEPS):
            steps += 1
            if steps == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    publish(root, "lenet", 2)


def _recovers(root: Path) -> None:
    """The next publish succeeds, and clears away what the dead one left."""
    publish(root, "lenet", 2)
    assert check(root) == {"lenet": build_of(2), "alexnet": build_of(1)}
    assert hidden(root) == [".lock"]


def points(folder: Path) -> None:
    """Kill at every single step of publishing a second build; print how many there are."""
    base = folder / "base"
    publish(base, "alexnet", 1)
    publish(base, "lenet", 1)
    last = 0
    while True:
        last += 1
        root = folder / str(last)
        shutil.copytree(base, root)
        _, status = os.waitpid(_in_child(lambda: _publish_until(root, last)), 0)  # noqa: B023 - the child runs at once
        current = check(root)
        assert current["alexnet"] == build_of(1)
        assert current["lenet"] in (build_of(1), build_of(2))
        assert (root / "lenet" / build_of(1)).is_dir()
        _recovers(root)
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    print(last - 1)


def at_random(folder: Path) -> None:
    """Kill a busy publisher at random moments; print how many builds it got done in all."""
    moments = random.Random(0)
    publish(folder, "alexnet", 1)

    def busy() -> None:
        for version in range(3, 200):
            publish(folder, "lenet", version, size=200_000)

    for _ in range(40):
        child = _in_child(busy)
        time.sleep(moments.uniform(0.001, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert check(folder)["alexnet"] == build_of(1)
    _recovers(folder)
    print(len(list((folder / "lenet").iterdir())))


if __name__ == "__main__":
    {"points": points, "random": at_random}[sys.argv[1]](Path(sys.argv[2]))
