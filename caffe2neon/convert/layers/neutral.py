"""Layers that change no number at inference."""

from __future__ import annotations

from caffe2neon.convert.neon_layers import dropout
from caffe2neon.convert.registry import TRAIN, Refused, Site, absent, converter
from caffe2neon.records import NeonLayer, shortest

absent("Input", "DummyData", becomes="the model's input", condition="one, from which all outputs are computed")
absent("Silence", becomes="nothing, and so do layers that only it reads")


@converter("Dropout", becomes="Dropout, identity at inference; left out of side branches")
def convert_dropout(site: Site) -> list[NeonLayer]:
    """Inverted in Caffe and in neon's caffe mode: identity at inference, so it stays for whoever trains on."""
    ratio = shortest(site.node.layer.param.dropout_param.dropout_ratio)
    if not 0 <= ratio < 1:
        raise Refused(f"has dropout_ratio {ratio:g}, outside [0, 1)")
    if site.node.layer.param.phase == TRAIN and not site.training:
        raise Refused("drops at inference, too: its own phase is TRAIN")
    return [dropout(site.name, 1 - ratio)]


@converter("Split", becomes="nothing: any number of layers may read a blob")
def convert_split(_: Site) -> list[NeonLayer]:
    """One top of a Split that is an output; the graph has taken away all others."""
    return []


@converter(
    "Flatten",
    "Reshape",
    becomes="nothing: neon's features are flat already",
    condition="to a flat blob, or to the shape it has",
    reason="neon has no layer that gives features another shape",
)
def convert_shape(site: Site) -> list[NeonLayer]:
    """neon's features are flat already, in Caffe's order (C, H, W): all that matters is that the shape is flat, or stays."""
    shape = site.node.tops[0].shape
    if shape[0] != site.node.bottoms[0].shape[0] or (len(shape) != 2 and shape[1:] != site.shape):
        raise Refused(f"makes a blob of {'×'.join(map(str, shape))}; neon has no layer that gives features another shape")
    return []
