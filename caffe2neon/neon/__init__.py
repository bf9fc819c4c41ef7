"""NeonModel <-> .prm: the writer, the safe reader, and what neon v1.4.0 accepts in a description."""

from __future__ import annotations

from caffe2neon.neon.classes import check_classes
from caffe2neon.neon.reader import parse_prm, read_prm
from caffe2neon.neon.writer import write_prm, write_prm_stream

__all__ = ["check_classes", "parse_prm", "read_prm", "write_prm", "write_prm_stream"]
