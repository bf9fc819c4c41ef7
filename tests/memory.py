"""The peak memory of a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_TELL = "\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"


def peak_memory(code: str, *arguments: Path) -> tuple[list[str], int]:
    """What ``code`` prints, word by word, and the most memory its process had, in bytes; pages of mapped files count.

    (``ru_maxrss`` would not do: a child starts with its parent's.)
    """
    command = [sys.executable, "-c", code + _TELL, *map(str, arguments)]
    *words, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return words, int(peak) * 1024
