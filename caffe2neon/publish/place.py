"""Where a published zoo lies: a folder, or whatever fsspec reaches."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from caffe2neon.errors import Caffe2NeonError, PublishError, UsageError
from caffe2neon.files import BLOCK
from caffe2neon.records import Progress, no_progress

#: Stores that show an object when it is all there, under the name by which fsspec knows them.
_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss"}
#: Those of them where a write can depend on what it replaces (``If-Match``), and fsspec's implementation passes that on.
_CONDITIONAL = {"s3", "s3a"}
#: Those of them that are told what a file is, and tell every browser: else a page is saved, and not shown.
_TYPED = {"s3", "s3a"}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".prototxt": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",  # SHA256SUMS
}
#: What such a store answers when somebody else was faster.
_LOST = {"PreconditionFailed", "ConditionalRequestConflict"}


class Folder:
    """A zoo in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def address(self, name: str = "") -> str:
        return str(self.root / name)

    def read(self, name: str) -> bytes | None:
        """A small file's bytes, or None where there is no such file. ``name`` is relative, with slashes.

        Raises:
            PublishError: it cannot be read.
        """
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise PublishError(f"cannot read: {error.strerror}", path=self.address(name)) from error

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file to read.

        Raises:
            PublishError: it is not there, or reading fails.
        """
        try:
            with (self.root / name).open("rb") as stream:
                yield stream
        except OSError as error:
            raise PublishError(f"cannot read: {error.strerror or error}", path=self.address(name)) from error


class Store:
    """A zoo that fsspec reaches. Nothing is cached: what others do meanwhile is seen.

    Every method raises PublishError where the store does not do as asked.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._protocol = url.partition(":")[0]
        self._system, root = _connect(url, self._protocol)
        self._root = str(root).rstrip("/")

    def address(self, name: str = "") -> str:
        return f"{self._url}/{name}" if name else self._url

    def read(self, name: str) -> bytes | None:
        """A small file's bytes, or None where there is no such file."""
        with self._reaching(name):
            try:
                return bytes(self._system.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file to read."""
        with self._reaching(name), self._system.open(self._path(name), "rb") as stream:
            yield cast(BinaryIO, stream)

    def sizes(self, folder: str) -> dict[str, int]:
        """The files right in ``folder``, with their bytes; empty where there is no such folder."""
        with self._reaching(folder):
            try:
                listed = self._system.ls(self._path(folder), detail=True)
            except FileNotFoundError:
                return {}
            return {str(entry["name"]).rpartition("/")[2]: entry["size"] or 0 for entry in listed if entry["type"] == "file"}

    def write(self, name: str, data: bytes) -> None:
        """Put ``data`` there in one step."""
        with self._appearing(name) as path:
            self._make_folder(path)
            self._system.pipe_file(path, data, **self._type(name))

    def put(self, source: Path, name: str, progress: Progress = no_progress) -> None:
        """Copy a file there; it shows when it is whole."""
        from fsspec.callbacks import Callback

        step = f"upload {name}"
        size = source.stat().st_size
        progress(step, 0, size)
        told = Callback(size=size, hooks={"progress": lambda size, value, **_: progress(step, value, size)})
        with self._appearing(name) as path:
            self._make_folder(path)
            self._system.put_file(str(source), path, callback=told, **self._type(name))

    def version(self, name: str) -> str | None:
        """What identifies the present bytes of a file to :meth:`replace`; None where there is no file, or the store cannot say."""
        if self._protocol not in _CONDITIONAL:
            return None
        with self._reaching(name):
            try:
                return cast(str, self._system.info(self._path(name))["ETag"])
            except FileNotFoundError:
                return None

    def replace(self, name: str, data: bytes, version: str | None) -> bool:
        """:meth:`write`, provided that the file still is of that version. False: it is not, and nothing was written.

        Stores that know no such condition write in any case.
        """
        if self._protocol not in _CONDITIONAL:
            self.write(name, data)
            return True
        condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
        kind = self._type(name)
        with self._reaching(name):
            try:
                self._system.pipe_file(self._path(name), data, **condition, **kind)
            except OSError as error:
                code = _code(error)
                if code in _LOST or (version and isinstance(error, FileNotFoundError)):
                    return False
                if code != "NotImplemented":
                    raise
                self._system.pipe_file(self._path(name), data, **kind)
        return True

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _type(self, name: str) -> dict[str, str]:
        if self._protocol not in _TYPED:
            return {}
        return {"ContentType": _TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")}

    def _make_folder(self, path: str) -> None:
        if self._protocol not in _WHOLE:
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)

    @contextlib.contextmanager
    def _appearing(self, name: str) -> Iterator[str]:
        """Where to write ``name`` so that it is never seen half-written."""
        path = self._path(name)
        with self._reaching(name):
            if self._protocol in _WHOLE:
                yield path
                return
            folder, _, file = path.rpartition("/")
            temporary = f"{folder}/.{file}.{secrets.token_hex(4)}.part"
            try:
                yield temporary
                self._system.mv(temporary, path)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._system.rm_file(temporary)
                raise

    @contextlib.contextmanager
    def _reaching(self, name: str) -> Iterator[None]:
        try:
            yield
        except Caffe2NeonError:
            raise
        except Exception as error:  # whatever the store's client raises: each has an error root of its own
            text = str(error) or type(error).__name__
            remedy = "check the address and who may read and write there; credentials are read as the store's own tools read them"
            raise PublishError(f"the store says: {text}", path=self.address(name), remedy=remedy) from error


#: Where a zoo can be read from.
Place: TypeAlias = Folder | Store


def open_place(url: str) -> Place:
    """A folder for a path or a ``file://`` URL, a store for every other URL.

    Raises:
        UsageError: no such kind of address, an address with one slash, or the package that reaches it is not installed.
    """
    scheme, colon, _ = url.partition("://")
    if not colon:
        if slip := re.match("([A-Za-z][A-Za-z0-9+.-]+):/", url):
            meant = url.replace(":/", ":///" if slip[1] in ("file", "local") else "://", 1)
            remedy = f"write {meant}, or ./{url} for a folder of that name"
            raise UsageError(f"{url} is no address, for want of a slash", remedy=remedy)
        return Folder(Path(url))
    if scheme in ("file", "local"):
        return Folder(Path(unquote(urlsplit(url).path)))
    return Store(url)


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    """The stream in pieces that fit the memory."""
    while block := stream.read(BLOCK):
        yield block


def _connect(url: str, protocol: str) -> tuple[Any, str]:
    extra = {"s3": "s3", "s3a": "s3", "http": "remote", "https": "remote"}.get(protocol, "")
    try:
        import fsspec
    except ImportError as error:
        raise _not_installed(url, extra or "remote", "fsspec is not installed") from error
    try:
        system, root = fsspec.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise _not_installed(url, extra, str(error)) from error
    except ValueError as error:
        remedy = "write a folder, s3://bucket/path, or another of fsspec's URLs"
        raise UsageError(f"cannot reach {url}: {error}", remedy=remedy) from error
    return system, root


def _not_installed(url: str, extra: str, text: str) -> UsageError:
    remedy = f'pip install "caffe2neon[{extra}]"' if extra else "install the package it names"
    return UsageError(f"cannot reach {url}: {text}", remedy=remedy)


def _code(error: BaseException | None) -> str:
    """S3's word for what went wrong; the client wraps it."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        error = error.__cause__
    return ""
