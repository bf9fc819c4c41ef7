"""NeonModel <-> .prm: the writer, the safe reader, and what neon v1.4.0 accepts in a description."""

from __future__ import annotations

from caffe2neon.neon.writer import write_prm, write_prm_stream

__all__ = ["write_prm", "write_prm_stream"]
