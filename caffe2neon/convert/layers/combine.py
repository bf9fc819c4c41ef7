"""Concat and Eltwise."""

from __future__ import annotations

from caffe2neon.convert.neon_layers import affine, constant, merge, merge_sum
from caffe2neon.convert.registry import Joint, Refused, joiner
from caffe2neon.records import Node, Shape, shortest


@joiner(
    "Concat",
    becomes="MergeBroadcast",
    condition="along axis 1, of branches of one input",
    reason="neon concatenates channels only",
)
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


@joiner(
    "Eltwise",
    becomes="MergeSum; a coefficient is a BatchNorm at the end of its arm (inference only)",
    condition="SUM, of branches of one input",
    reason="neon has no element-wise product or maximum",
)
def join_eltwise(node: Node, name: str, arms: tuple[Shape, ...]) -> Joint:
    """SUM is ``MergeSum``; a coefficient is a per-channel factor at the end of its arm, and a BatchNorm can add to a sum."""
    param = node.layer.param.eltwise_param
    if param.operation != param.SUM:
        what = "multiplies" if param.operation == param.PROD else "takes the maximum"
        raise Refused(f"{what} element by element; neon can only add")
    coefficients = [shortest(value) for value in param.coeff] or [1.0] * len(arms)
    tails = tuple(
        () if factor == 1 else (affine(f"{name}_coeff{i}", constant(shape[:1], factor), constant(shape[:1], 0)),)
        for i, (factor, shape) in enumerate(zip(coefficients, arms, strict=True))
    )
    notes = (f"{name}: coefficients as BatchNorms of fixed statistics, which serve inference only",) if any(tails) else ()
    return Joint(merge_sum(name), tails, arms[0], notes)
