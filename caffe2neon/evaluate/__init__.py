"""Data sets, preprocessing as Caffe does it, and top-k accuracy of any engine."""

from caffe2neon.evaluate.dataset import KINDS, Dataset, labels_file, open_dataset
from caffe2neon.evaluate.kinds import fingerprint, kind_of
from caffe2neon.evaluate.measure import count
from caffe2neon.evaluate.preprocess import Preprocessor
from caffe2neon.evaluate.shards import shards, total
from caffe2neon.evaluate.topk import beaten_by, top_k

__all__ = [
    "KINDS",
    "Dataset",
    "Preprocessor",
    "beaten_by",
    "count",
    "fingerprint",
    "kind_of",
    "labels_file",
    "open_dataset",
    "shards",
    "top_k",
    "total",
]
