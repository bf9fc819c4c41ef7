"""Run as a program: publish FOLDER to PREFIX/1, PREFIX/2… in forked children, each killed before one write more than the last.

``python -m tests.publish.upload FOLDER PREFIX``; prints how many were killed. The last one is done before it dies.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

# Loaded before the first fork: every child would load them again. No connection, and so no thread, is made here.
import aiobotocore.session
import s3fs

from caffe2neon.publish import open_place, publish_zoo

_LOADED = aiobotocore.session


def _publish(folder: Path, url: str, writes: int = -1) -> None:
    """Publish; be killed before the write that ``writes`` others came before."""
    left = writes
    call = s3fs.S3FileSystem._call_s3

    async def counted(self: Any, method: str, *arguments: Any, **keywords: Any) -> Any:
        nonlocal left
        if method == "put_object":
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return await call(self, method, *arguments, **keywords)

    s3fs.S3FileSystem._call_s3 = counted
    for _ in publish_zoo(folder, open_place(url)):
        pass


def main(folder: Path, prefix: str) -> None:
    writes = 0
    while True:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _publish(folder, f"{prefix}/{writes}", writes)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL, "the child failed"
        writes += 1
    print(writes)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
