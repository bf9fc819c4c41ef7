"""Nets as pictures: a layered layout of our own, written as SVG."""

from __future__ import annotations

from caffe2neon.report.drawing.records import FAMILIES, Drawing, Layer
from caffe2neon.report.drawing.svg import draw

__all__ = ["FAMILIES", "Drawing", "Layer", "draw"]
