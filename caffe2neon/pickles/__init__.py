"""Reading pickles of neon's kind without trusting them; a leaf, like ``files``, which any room may use."""

from __future__ import annotations

from caffe2neon.pickles.constructors import REMEDY_DAMAGED, REMEDY_HOSTILE, Ndarray, text
from caffe2neon.pickles.opcodes import run

__all__ = ["REMEDY_DAMAGED", "REMEDY_HOSTILE", "Ndarray", "run", "text"]
