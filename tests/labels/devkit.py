"""A devkit of ILSVRC2012, as much of it as the tests need."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from scipy.io import savemat


def write_mat(ids: list[int], synsets: list[str], *, compressed: bool = True, name: str = "synsets") -> bytes:
    """A meta.mat as MATLAB's peer scipy writes it, with the devkit's fields."""
    rows = np.zeros((len(ids), 1), dtype=[(f, object) for f in ("ILSVRC2012_ID", "WNID", "words", "num_children", "children")])
    for row, number, synset in zip(rows, ids, synsets, strict=True):
        row[0] = (float(number), synset, f"words of {synset}, é", 0, np.zeros((0, 0)))
    stream = io.BytesIO()
    savemat(stream, {"other": np.arange(3), name: rows}, do_compression=compressed)
    return stream.getvalue()


def write_devkit(path: Path, meta: bytes | None) -> Path:
    """The archive with its folder; None leaves meta.mat out."""
    members = {"readme.txt": b"hello", "data/ILSVRC2012_validation_ground_truth.txt": b"1\n"}
    if meta is not None:
        members["data/meta.mat"] = meta
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"ILSVRC2012_devkit_t12/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path
