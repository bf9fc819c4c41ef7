"""The image's lock files hold what pyproject.toml asks for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def _list(name: str) -> list[str]:
    """A list of strings in pyproject.toml; Python 3.10 has no reader of TOML."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    match = re.search(rf"^{name} = \[(.*?)\]$", text, re.DOTALL | re.MULTILINE)
    assert match is not None
    return re.findall(r'"([^"]+)"', match[1])


def _locked(name: str) -> dict[str, set[str]]:
    """Package -> versions, of which there may be several for several Pythons."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "docker" / name).read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(canonicalize_name(package), set()).add(version)
    return found


@pytest.mark.parametrize(("wanted", "lock"), [("dependencies", "requirements.lock"), ("requires", "build.lock")])
def test_every_dependency_is_locked(wanted: str, lock: str) -> None:
    locked = _locked(lock)
    for text in _list(wanted):
        requirement = Requirement(text)
        versions = locked.get(canonicalize_name(requirement.name), set())
        assert versions, f"{text} is not in docker/{lock}: make it anew, as it says"
        assert all(requirement.specifier.contains(version) for version in versions), text


@pytest.mark.parametrize("lock", ["requirements.lock", "build.lock", "neon.lock", "neon-cuda.lock", "neon-cuda-source.lock"])
def test_every_locked_version_has_a_hash(lock: str) -> None:
    text = (ROOT / "docker" / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    pinned = [line for line in text.splitlines() if re.match(r"[\w.-]+==", line)]
    assert pinned
    assert all("--hash=sha256:" in line for line in pinned)
