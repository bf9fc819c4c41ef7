"""The files of an entry: where they lie and what pins them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from caffe2neon.manifest.section import Section
from caffe2neon.records import ModelSpec, PinnedFile

#: Strongest first; hex digits of each.
ALGORITHMS = {"sha384": 96, "sha256": 64, "sha1": 40}
KEYS = ("url", "mirrors", "size", "member", *ALGORITHMS)
_NO_FILE = PinnedFile(url="", algorithm="sha256", digest="")


def read_file(entry: Section, key: str, *, pinned: bool) -> PinnedFile:
    """The file under ``key``. Without ``pinned`` its hash may be missing."""
    if key not in entry:
        return _NO_FILE
    file = entry.section(key, KEYS)
    file.require("url")
    url = file.text("url")
    mirrors = file.texts("mirrors")
    for where, address in (("url", url), *(("mirrors", mirror) for mirror in mirrors)):
        if address and (problem := _url_problem(address)):
            file.wrong(where, problem)
    member = file.text("member")
    if member and not _is_inside(member):
        file.wrong("member", f"expected a path inside the archive such as folder/name, got {member!r}")
    algorithm, digest = _digest(file, pinned)
    return PinnedFile(url, algorithm, digest, file.size("size"), mirrors, member)


def check_urls(sections: Mapping[str, Section], models: tuple[ModelSpec, ...]) -> None:
    """One address pinned to two contents is a slip of copying; models may share files, and differ in ``label_remap`` alone."""
    pins: dict[tuple[str, str], tuple[str, str]] = {}
    for model in models:
        for key, pinned in (("prototxt", model.prototxt), ("caffemodel", model.caffemodel)):
            for address in filter(None, (pinned.url, *pinned.mirrors) if pinned.digest else ()):
                owner, digest = pins.setdefault((address, pinned.algorithm), (model.name, pinned.digest))
                if digest != pinned.digest:
                    sections[model.name].wrong(key, f"{address} is pinned to another {pinned.algorithm} in {owner}")


def _is_inside(member: str) -> bool:
    path = PurePosixPath(member)
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)


def _url_problem(url: str) -> str:
    """What is wrong with an address, or "". A path beside the manifest has no scheme."""
    if re.search(r"\s", url):
        return f"an address has no spaces: {url!r}"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return f"{url!r} is no address: {error}"
    if parts.scheme in ("http", "https"):
        return "" if parts.hostname else f"{url!r} names no host"
    if parts.scheme == "file":
        return "" if parts.netloc in ("", "localhost") and parts.path.startswith("/") else f"write {url!r} as file:///folder/name"
    return f"expected http, https, file or a path beside the manifest, got {parts.scheme!r}" if parts.scheme else ""


def _digest(file: Section, pinned: bool) -> tuple[str, str]:
    """The strongest digest given; each that is given must be well formed."""
    given = {name: file.written(name).lower() for name in ALGORITHMS if name in file}
    if not given:
        if pinned:
            file.require("sha256")
        return "sha256", ""
    for name, digest in given.items():
        if not digest:
            continue
        if not re.fullmatch("[0-9a-f]*", digest):
            file.wrong(name, f"a hash has only the digits 0-9 and a-f, got {digest[:80]!r}")
        elif len(digest) != ALGORITHMS[name]:
            fits = next((f"; that is the length of {other}" for other, n in ALGORITHMS.items() if n == len(digest)), "")
            file.wrong(name, f"expected {ALGORITHMS[name]} hex digits, got {len(digest)}{fits}")
        elif digest == hashlib.new(name, b"", usedforsecurity=False).hexdigest():
            file.wrong(name, "this is the hash of an empty file")
    if pinned and set(given) == {"sha1"}:
        file.warn("sha1", "SHA-1 can be forged; pin the file by sha256")
    return next(iter(given.items()))
