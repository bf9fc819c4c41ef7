"""Who looks at what is printed: a terminal, or a program that wants whole lines."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import pytest

from caffe2neon.cli.common import is_terminal, table_width
from caffe2neon.cli.progress import Bars, Lines, display_for
from tests.zoos import Zoo, run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], TextIO]]:
    """A terminal of so many lines and columns, written to."""
    monkeypatch.delenv("COLUMNS", raising=False)
    with ExitStack() as stack:

        def opened(lines: int, columns: int) -> TextIO:
            main, other = os.openpty()
            stack.callback(os.close, main)
            fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            return stack.enter_context(os.fdopen(other, "w"))

        yield opened


@pytest.mark.parametrize(("lines", "columns", "bars"), [(24, 80, True), (0, 0, False), (24, 0, False)])
def test_a_terminal_without_a_size_gets_lines(
    terminal: Callable[[int, int], TextIO], monkeypatch: pytest.MonkeyPatch, lines: int, columns: int, bars: bool
) -> None:
    """As ``script`` and ``docker run -t`` make them: bars are as wide as the terminal, so nothing would be seen at all."""
    stream = terminal(lines, columns)
    monkeypatch.setattr(sys, "stderr", stream)
    assert is_terminal(stream) == bars
    assert isinstance(display_for("auto"), Bars if bars else Lines)


def test_width_is_the_terminals_and_a_file_has_none(
    terminal: Callable[[int, int], TextIO], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert table_width(terminal(24, 80)) == 80
    assert table_width(terminal(0, 0)) > 10_000
    with (tmp_path / "log").open("w") as log:
        assert table_width(log) > 10_000
        monkeypatch.setenv("COLUMNS", "90")  # who says so means it
        assert table_width(log) == 90


def test_what_is_piped_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address or an option is found by grep, however long its line."""
    monkeypatch.delenv("COLUMNS", raising=False)
    zoo = Zoo(tmp_path)
    zoo.add_small()
    address = f"http://127.0.0.1:9/{'a-long-folder/' * 12}net.caffemodel"
    zoo.models["small"]["caffemodel"]["url"] = address
    result = zoo.build("--offline")
    assert result.exit_code == 1
    assert f"{address}: not on this machine, and the network is not to be asked" in result.stdout
    assert "leave --offline out, or put it into a folder that --mirror names" in result.stdout


ADDRESS = "s3://models/neon"
WANTS_FOLDER = [
    (("report", ADDRESS), "zoo publish takes a folder's page along"),
    (("prune", ADDRESS), "in a store, remove by its own tools what index.json does not name"),
    (("publish", ADDRESS, "there"), "publish the folder that a build wrote"),
    (("build", "--output", ADDRESS), "build into a folder, then zoo publish"),
    (("pull", "lenet", "--from", "zoo", "-o", ADDRESS), "name a file or a folder"),
    (("fetch", "--mirror", ADDRESS), "name a file or a folder"),
]


@pytest.mark.parametrize(("arguments", "instead"), WANTS_FOLDER, ids=[arguments[0] for arguments, _ in WANTS_FOLDER])
def test_an_address_where_a_folder_is_wanted(
    arguments: tuple[str, ...], instead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is said as it was given, and nothing is made of it."""
    monkeypatch.chdir(tmp_path)
    result = run("zoo", *arguments)
    assert result.exit_code == 2
    assert f"{ADDRESS} is an address, and this is for what lies on this machine: {instead}." in re.sub(r"\s+", " ", result.stderr)
    assert list(tmp_path.iterdir()) == []


def test_publishing_to_an_address_with_one_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    zoo = Zoo(tmp_path)
    zoo.add_small()
    assert zoo.build().exit_code == 0
    result = run("zoo", "publish", "zoo", "s3:/models/neon")
    assert (result.exit_code, Path("s3:").exists()) == (2, False)
    assert "write s3://models/neon" in result.stderr
