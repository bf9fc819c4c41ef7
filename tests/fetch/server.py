"""A real HTTP server on loopback whose answers are scripted per path."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """``answers`` maps a path to what is answered, call by call; the last is repeated. ``requests`` lists the paths asked for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[str] = []
        self.released = threading.Event()

    def serve(self, path: str, *answers: Answer) -> str:
        """The URL under which ``answers`` come."""
        self.answers[path] = list(answers)
        return self.address + path


def body(
    data: bytes, *, status: int = 200, length: int | None = None, headers: dict[str, str] | None = None, step: int = 1 << 16
) -> Answer:
    """``data`` with a Content-Length of its own or of ``length``, sent ``step`` bytes at a time."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data) if length is None else length))
        for key, value in (headers or {}).items():
            handler.send_header(key, value)
        handler.end_headers()
        for start in range(0, len(data), step):
            handler.wfile.write(data[start : start + step])
            handler.wfile.flush()

    return answer


@contextlib.contextmanager
def running() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append(self.path)
            answers = server.answers[self.path]
            with contextlib.suppress(ConnectionError):  # a client that has seen enough hangs up
                (answers.pop(0) if len(answers) > 1 else answers[0])(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{listener.server_port}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        listener.shutdown()
        listener.server_close()
        thread.join()
