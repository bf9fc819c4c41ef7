"""Running a script in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, *arguments: Path | str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """``folder`` is the current one of the process; warnings are errors there too."""
    command = [sys.executable, "-W", "error", ROOT / "scripts" / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder or ROOT, timeout=60, check=False)
