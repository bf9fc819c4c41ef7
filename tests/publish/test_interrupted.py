"""Processes killed while they publish leave no half build, and lose no whole one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("how", "at_least"), [("points", 20), ("random", 1)])
def test_kill(tmp_path: Path, how: str, at_least: int) -> None:
    """``points``: before each step that touches the disk, of which there are more than 20. ``random``: at any moment."""
    command = [sys.executable, "-m", "tests.publish.crash", how, str(tmp_path)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= at_least
