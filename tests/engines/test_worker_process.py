"""What is the same for all workers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from caffe2neon.engines import caffe_external, neon_external
from caffe2neon.engines.worker_process import Program, exchange_folder

#: Starts a worker, says its number and waits for it, as an engine does.
_PARENT = "import subprocess, sys; worker = subprocess.Popen(sys.argv[1:]); print(worker.pid, flush=True); worker.wait()"
#: Seconds, on a machine that has much else to do.
_LONG = 60


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker ends when its work does")
@pytest.mark.parametrize("program", [caffe_external.PROGRAM, neon_external.PROGRAM], ids=lambda program: program.name)
def test_a_worker_ends_with_a_parent_that_is_killed(program: Program, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    os.mkfifo(request)
    command = [sys.executable, "-c", _PARENT, sys.executable, str(program.worker), str(request), str(tmp_path / "response.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = Path(f"/proc/{int(parent.stdout.readline())}")
        end = _opened(request)  # and nothing written: it reads for ever
        try:
            assert worker.exists()
            parent.kill()
            deadline = time.monotonic() + _LONG
            while worker.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not worker.exists()
        finally:
            os.close(end)


def _opened(fifo: Path) -> int:
    """The end to write to, as soon as somebody reads."""
    deadline = time.monotonic() + _LONG
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


#: Makes a folder for an exchange, fills it, and is killed.
_KILLED = """
import os, signal
from caffe2neon.engines.worker_process import exchange_folder
with exchange_folder() as folder:
    (folder / "input.npy").write_bytes(b"pictures")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    command = [sys.executable, "-c", _KILLED]
    killed = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": str(tmp_path)})
    left = Path(killed.stdout.strip())
    assert (left / "input.npy").exists()
    with exchange_folder() as first:
        assert not left.exists()
        with exchange_folder() as second:
            assert first != second
            assert sorted(tmp_path.iterdir()) == sorted((first, second))
    assert not list(tmp_path.iterdir())
