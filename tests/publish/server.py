"""Stores on this machine: an S3-compatible server, and a plain web server."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

BUCKET = "zoo"


class Requests:
    """What the server was asked, as ``METHOD /bucket/key``."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def puts(self) -> list[str]:
        """Keys written, in order."""
        return [line.removeprefix(f"PUT /{BUCKET}/") for line in self.seen if line.startswith(f"PUT /{BUCKET}/")]


@contextlib.contextmanager
def s3() -> Iterator[tuple[str, Requests]]:
    """Address of a server with one empty bucket, and what it is asked."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    requests = Requests()
    server: Any = ThreadedMotoServer(ip_address="127.0.0.1", port=_free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    application, one_at_a_time = server._server.app, threading.Lock()

    def recorded(environ: dict[str, Any], start: Any) -> Any:
        with one_at_a_time:  # a real store decides on If-Match and writes in one step; this one has a gap between them
            requests.seen.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
            return list(application(environ, start))

    server._server.app = recorded
    ask("PUT", f"http://{host}:{port}")
    try:
        yield f"http://{host}:{port}", requests
    finally:
        server.stop()


def ask(method: str, address: str, key: str = "", data: bytes = b"", query: dict[str, str] | None = None) -> bytes:
    """One request of S3's protocol, without the code under test; its body."""
    body: bytes = _ask(method, address, key, data, query).content
    return body


def _ask(method: str, address: str, key: str, data: bytes = b"", query: dict[str, str] | None = None) -> Any:
    """The server wants to see a signature, and does not check it."""
    import requests

    signature = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    headers = {"Authorization": signature}
    answer = requests.request(method, f"{address}/{BUCKET}/{key}", data=data, params=query, headers=headers, timeout=60)
    answer.raise_for_status()
    return answer


def objects(address: str, prefix: str) -> dict[str, bytes]:
    """All objects below ``prefix`` by the rest of their keys, read without the code under test."""
    return {key.removeprefix(f"{prefix}/"): ask("GET", address, key) for key in _keys(address, prefix)}


def content_types(address: str, prefix: str) -> dict[str, str]:
    """What a browser is told that each of :func:`objects` is."""
    answers = {key: _ask("GET", address, key) for key in _keys(address, prefix)}
    return {key.removeprefix(f"{prefix}/"): answer.headers["Content-Type"] for key, answer in answers.items()}


def _keys(address: str, prefix: str) -> list[str]:
    listing = ask("GET", address, query={"list-type": "2", "prefix": f"{prefix}/"}).decode()
    return re.findall(r"<Key>([^<]+)</Key>", listing)


def check(files: dict[str, bytes]) -> dict[str, str]:
    """Assert that all a reader can find is whole; the current build of each model."""
    index = json.loads(files.get("index.json", b'{"models": {}}'))
    for key, listed in files.items():
        folder, _, file = key.rpartition("/")
        if file == "SHA256SUMS":
            for line in listed.decode().splitlines():
                assert hashlib.sha256(files[f"{folder}/{line[66:]}"]).hexdigest() == line[:64]
    for name, entry in index["models"].items():
        assert f"{name}/{entry['build']}/SHA256SUMS" in files
        for file, facts in entry["files"].items():
            data = files[f"{name}/{entry['build']}/{file}"]
            assert (len(data), hashlib.sha256(data).hexdigest()) == (facts["size"], facts["sha256"])
    return {name: entry["build"] for name, entry in index["models"].items()}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def credentials(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """What S3's own tools read."""
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@contextlib.contextmanager
def web(folder: Path) -> Iterator[str]:
    """Address of a web server that shows ``folder``."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
