"""Class orders of ILSVRC12, and models whose classes are taken from one to the other."""

from __future__ import annotations

from caffe2neon.labels.maps import devkit_map, read_map, write_map
from caffe2neon.labels.orders import CAFFE, CLASSES, NEON, LabelMap, builtin_map, class_order
from caffe2neon.labels.reorder import remap

__all__ = ["CAFFE", "CLASSES", "NEON", "LabelMap", "builtin_map", "class_order", "devkit_map", "read_map", "remap", "write_map"]
