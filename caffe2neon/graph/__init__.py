"""CaffeNet -> Graph: blob versions, shapes, passes, regions."""

from caffe2neon.graph.build import build_graph
from caffe2neon.graph.passes import drop_dead, drop_splits
from caffe2neon.graph.regions import Regions

__all__ = ["Regions", "build_graph", "drop_dead", "drop_splits"]
