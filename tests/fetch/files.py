"""A server of real files that knows Range and If-Range, and counts every byte that it hands to the kernel."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.fetch.server import Answer

#: The kernel's buffer at this end, as asked for; Linux doubles it.
SEND_BUFFER = 1 << 13
#: What may be lost at a kill: the server's send buffer, twice what it asked for; the client's receive buffer; the client's block.
UNDER_WAY = 2 * SEND_BUFFER + (1 << 16) + (1 << 14)


class FileServer:
    """``files`` by path; ``sent`` counts body bytes, ``ranges`` has the Range headers, or ""; ``pause``: seconds between blocks."""

    def __init__(self, address: str, files: dict[str, bytes], pause: float) -> None:
        self.address = address
        self.files = files
        self.pause = pause
        self.etags = dict.fromkeys(files, '"1"')
        self.modified = ""
        self.sent = 0
        self.ranges: list[str] = []
        self.conditions: list[str] = []
        self.lock = threading.Lock()


@contextlib.contextmanager
def serving(files: dict[str, bytes], pause: float = 0.0, block: int = 1 << 12) -> Iterator[FileServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            asked, condition = self.headers.get("Range", ""), self.headers.get("If-Range", "")
            with server.lock:
                server.ranges.append(asked)
                server.conditions.append(condition)
            data, tag = server.files[self.path], server.etags[self.path]
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and condition in ("", tag, server.modified) else 0
            if start:
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(data) - start))
            self.send_header("ETag", tag)
            if server.modified:
                self.send_header("Last-Modified", server.modified)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for offset in range(start, len(data), block):
                    piece = data[offset : offset + block]
                    self.connection.sendall(piece)
                    with server.lock:
                        server.sent += len(piece)
                    time.sleep(server.pause)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server = FileServer(f"http://127.0.0.1:{listener.server_port}", files, pause)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def partial(data: bytes, total: int, start: int, *, headers: dict[str, str] | None = None) -> Answer:
    """A scripted 206."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{total}")
        handler.send_header("Content-Length", str(len(data)))
        for key, value in (headers or {}).items():
            handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer
