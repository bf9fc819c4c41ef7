"""caffe2neon: a batch model-zoo converter from Caffe to neon v1.4.0."""

__version__ = "0.1.0"
