"""Macrobatches made by the format's description."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path


def record(name: str, data: bytes) -> bytes:
    """An old binary cpio record: header, name and its end, data; both filled up to an even length."""
    text = name.encode() + b"\0"
    size = len(data)
    header = struct.pack("<8H", 0o070707, 0, 0, 0o100644, 0, 0, 0, 0)
    header += struct.pack("<HHHHH", 0, 0, len(text), size >> 16, size & 0xFFFF)
    return header + text + b"\0" * (len(text) % 2) + data + b"\0" * (size % 2)


def macrobatch(items: Sequence[tuple[bytes, int]], *, magic: bytes = b"MACR", target: str = "<i") -> bytes:
    sizes = [len(data) for data, _ in items]
    totals = (len(items), max(sizes, default=0), 4, sum(sizes), 4 * len(items))
    head = magic + struct.pack("<II8sIIIII24s", 1, 1, b"imgclass", *totals, b"")
    body = b"".join(
        record(f"cpiodtm{number}", data) + record(f"cpiotgt{number}", struct.pack(target, label))
        for number, (data, label) in enumerate(items)
    )
    return record("cpiohdr", head) + body + record("cpiotlr", bytes(16)) + record("TRAILER!!!", b"")


def write(folder: Path, *batches: bytes, classes: int = 10, training: int = 0, validation: int = 5) -> Path:
    (folder / "macrobatch_meta").write_text(
        f"train_start 0\ntrain_nrec {training}\nval_start 3\nval_nrec {validation}\nnclass {classes}\n"
        "item_max_size 25000\nlabel_size 4\n"
        "R_mean      104.412277\nG_mean      119.213318\nB_mean      126.806091\n"
    )
    for number, data in enumerate(batches, start=3):
        (folder / f"macrobatch_{number}.cpio").write_bytes(data)
    return folder
