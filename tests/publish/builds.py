"""Builds to publish, and what must hold of a published zoo whatever happened to the processes that wrote it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from caffe2neon.publish import build_id, find_build, staged_build
from caffe2neon.records import Publication


def build_of(version: int) -> str:
    return build_id({"version": version})


def publish(root: Path, name: str, version: int, size: int = 3000) -> Publication:
    """Publish a model whose bytes follow from ``version``."""
    with staged_build(root, name, build_of(version)) as stage:
        (stage.folder / f"{name}.prm").write_bytes(bytes([version % 256]) * size)
        (stage.folder / "model.json").write_text(json.dumps({"version": version}))
        (stage.folder / "evaluation.json").write_text(json.dumps({"topk": [{"k": 1, "percent": 90.0 + version}]}))
        (stage.folder / "parity.json").write_text(json.dumps({"worst": 1e-7}))
        return stage.commit()


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def hidden(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob(".*"))


def check(root: Path) -> dict[str, str]:
    """Assert that all that shows is whole, read without the code under test where possible; the current build of each model."""
    index = json.loads((root / "index.json").read_text()) if (root / "index.json").exists() else {"models": {}}
    for name in visible(root):
        if (root / name).is_file():  # the index, the page, a report
            continue
        for build in visible(root / name):
            lines = (root / name / build / "SHA256SUMS").read_text().splitlines()
            sums = {line[66:]: line[:64] for line in lines}
            assert sums.keys() | {"SHA256SUMS"} == set(visible(root / name / build))
            for file, digest in sums.items():
                assert hashlib.sha256((root / name / build / file).read_bytes()).hexdigest() == digest
    for name, entry in index["models"].items():
        publication = find_build(root, name, entry["build"], verify=True)
        assert publication is not None, f"{name} has lost its build"
        assert {file: facts["sha256"] for file, facts in entry["files"].items()} == publication.files
    return {name: entry["build"] for name, entry in index["models"].items()}
