"""Concat."""

from __future__ import annotations

from caffe2neon.convert.neon_layers import merge
from caffe2neon.convert.registry import Joint, Refused, joiner
from caffe2neon.records import Node, Shape


@joiner("Concat")
def join_concat(node: Node, name: str, arms: tuple[Shape, ...]) -> Joint:
    """Along channels it is ``MergeBroadcast(merge='depth')``; flat blobs of unlike neon shapes are stacked."""
    param = node.layer.param.concat_param
    along = param.concat_dim if param.HasField("concat_dim") else param.axis % len(node.tops[0].shape)
    if along != 1:
        raise Refused(f"concatenates along axis {along}; neon concatenates channels (axis 1)")
    tails = ((),) * len(arms)
    if len({(len(arm), *arm[1:]) for arm in arms}) == 1:
        return Joint(merge(name, "depth"), tails, (sum(arm[0] for arm in arms), *arms[0][1:]))
    return Joint(merge(name, "stack"), tails, (node.tops[0].shape[1],))
