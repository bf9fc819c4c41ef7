"""Layer types of BVLC Caffe that neon v1.4.0 has no exact form for, and why."""

from __future__ import annotations

from caffe2neon.convert.registry import refuse

_DEPLOY = "give the deploy net, with an Input layer and without losses"
_OUTSIDE = "end the net before this layer (--cut BLOB) and compute it outside"

refuse("ArgMax", reason="neon has no ArgMax", remedy=_OUTSIDE)
refuse("MVN", reason="normalizes each example by its own mean and variance; neon has no such layer")
refuse("BNLL", "Exp", "Log", "Swish", "Threshold", reason="neon has no such function among its transforms")
refuse("RNN", "LSTM", "LSTMUnit", reason="Caffe's recurrent layers take a second, time-major input, which neon's do not")
refuse("Embed", reason="looks up rows by index; neon's layers compute with their input's values")
refuse("Reduction", "Im2col", "SPP", reason="makes a shape that neon has no layer for")
refuse("BatchReindex", "Filter", reason="picks examples of the batch; neon's batch size is fixed")
refuse("Python", reason="runs code of its own, which the net definition does not hold")
refuse(
    *("ContrastiveLoss", "EuclideanLoss", "HingeLoss", "InfogainLoss", "MultinomialLogisticLoss", "SigmoidCrossEntropyLoss"),
    "SoftmaxWithLoss",
    reason="is a loss, which belongs to training; a model that computes ends in what the loss reads",
    remedy=_DEPLOY,
)
refuse("Accuracy", reason="compares with labels, which belong to training and testing, not to the model", remedy=_DEPLOY)
refuse(
    *("Data", "HDF5Data", "ImageData", "MemoryData", "WindowData"),
    reason="reads a data source; a neon model has an input, fed by whoever runs it",
    remedy=_DEPLOY,
)
refuse("HDF5Output", reason="writes a file; a neon model has outputs, kept by whoever runs it", remedy=_DEPLOY)
refuse("Parameter", reason="hands out weights as a blob; neon's layers own theirs")
