"""The frozen records that pass a door between two rooms, a file a door; nothing here computes more than a look-up.

Shapes: a Caffe blob is ``(N, C, H, W)``, or any other number of axes with N first; neon leaves N out: ``(C, H, W)``.
"""

from caffe2neon.records.basics import JSON, Array, Shape, float32, shortest
from caffe2neon.records.caffe import CaffeLayer, CaffeNet, CaffeWeights, Loss
from caffe2neon.records.graph import Blob, Chain, Fork, Graph, LayerRule, Layout, Node, Verdict
from caffe2neon.records.inspection import CAFFEMODEL, PRM, PROTOTXT, Inspection, LayerFacts
from caffe2neon.records.neon import META, Deferred, MacrobatchPart, NeonContainer, NeonLayer, NeonModel, Param, materialize
from caffe2neon.records.progress import Event, Progress, Report, no_progress, no_report
from caffe2neon.records.results import Counts, Difference, Evaluation, Outcome, Parity, Publication, Shift, TopK
from caffe2neon.records.zoo import (
    DatasetSpec,
    FetchedFile,
    FetchedModel,
    Manifest,
    ModelSpec,
    PinnedFile,
    Preprocess,
    Published,
    TextFix,
    Tolerance,
)

__all__ = [
    "CAFFEMODEL",
    "JSON",
    "META",
    "PRM",
    "PROTOTXT",
    "Array",
    "Blob",
    "CaffeLayer",
    "CaffeNet",
    "CaffeWeights",
    "Chain",
    "Counts",
    "DatasetSpec",
    "Deferred",
    "Difference",
    "Evaluation",
    "Event",
    "FetchedFile",
    "FetchedModel",
    "Fork",
    "Graph",
    "Inspection",
    "LayerFacts",
    "LayerRule",
    "Layout",
    "Loss",
    "MacrobatchPart",
    "Manifest",
    "ModelSpec",
    "NeonContainer",
    "NeonLayer",
    "NeonModel",
    "Node",
    "Outcome",
    "Param",
    "Parity",
    "PinnedFile",
    "Preprocess",
    "Progress",
    "Publication",
    "Published",
    "Report",
    "Shape",
    "Shift",
    "TextFix",
    "Tolerance",
    "TopK",
    "Verdict",
    "float32",
    "materialize",
    "no_progress",
    "no_report",
    "shortest",
]
