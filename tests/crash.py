"""Run as a program: convert or build in forked children, and kill them. ``python -m tests.crash (convert|build) FOLDER``.

A program of its own, so that it may fork: it has no threads. Children die just before one of the steps that change the disk; the
steps are drawn at random, with a seed; the number of children killed is printed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

# Loaded before the first fork: every child would load them again.
import onnx
import onnxruntime

import caffe2neon.engines.caffe_embedded
import caffe2neon.engines.neon_embedded
import caffe2neon.evaluate.arrays
from caffe2neon.manifest import read_manifest
from caffe2neon.pipeline import Options, build_model
from caffe2neon.single import convert_files
from tests.publish.builds import check, hidden
from tests.zoos import DIGITS, Zoo, files_of

_LOADED = (onnx, onnxruntime, caffe2neon)
_KILLS = 20
#: Python announces these before it does them.
_STEPS = ("open", "os.", "shutil.", "fcntl.")


def _steps_until_killed(action: Callable[[], None], last: int = 0) -> int:
    """Do ``action`` in a child that dies before its step ``last`` (0: never); how many steps it began."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def announced(event: str, _: object) -> None:
            nonlocal count
            if event.startswith(_STEPS):
                count += 1
                if count == last:
                    os.write(writer, str(count).encode())
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(announced)
        try:
            action()
            os.write(writer, str(count).encode())
        finally:
            os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader) as stream:
        count = int(stream.read())
    assert os.WIFSIGNALED(status) == (count == last)
    return count


def _some_of(steps: int) -> list[int]:
    return random.Random(0).sample(range(1, steps + 1), min(_KILLS, steps))


def convert(folder: Path) -> None:
    """A second model over a first one: the old bytes or the new ones, nothing else."""
    output = folder / "model.prm"
    old = b"what lay there before"

    def again() -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        output.write_bytes(old)

    def action() -> None:
        convert_files(DIGITS / "digits.prototxt", DIGITS / "digits.caffemodel", output)

    again()
    steps = _some_of(_steps_until_killed(action))
    new = output.read_bytes()
    stray = 0
    for step in steps:
        again()
        assert _steps_until_killed(action, step) == step
        left = files_of(folder)
        assert left.pop("model.prm") in (old, new)
        # Between the first name and the last one there is one moment, and then the file is whole.
        stray += len(left)
        assert all(name.startswith(".model.prm.") and content == new for name, content in left.items())
    assert stray <= 1
    print(len(steps))


def build(folder: Path) -> None:
    """Two entries, again and again into one zoo: what shows is whole, and the next build completes what is missing."""
    zoo = Zoo(folder)
    zoo.add_digits()
    zoo.add_small()
    manifest = read_manifest(zoo.write())

    def action() -> None:
        for spec in manifest.models:
            outcome = build_model(spec, Options(folder, zoo.output, folder / "cache", engine="embedded", reference="embedded"))
            assert outcome.status in ("published", "unchanged"), outcome.reason

    def again() -> None:
        shutil.rmtree(zoo.output, ignore_errors=True)

    steps = _some_of(_steps_until_killed(action))
    whole = files_of(zoo.output)
    for number, step in enumerate(steps):
        if number % 3 == 0:
            again()
        _steps_until_killed(action, step)
        if zoo.output.exists():
            check(zoo.output)
    action()
    assert files_of(zoo.output) == whole
    assert hidden(zoo.output)[0] == ".lock"
    print(len(steps))


if __name__ == "__main__":
    {"convert": convert, "build": build}[sys.argv[1]](Path(sys.argv[2]))
