"""Pooling. neon in caffe mode agrees with Caffe but for three things, each exact by a one-hot convolution before or after.

* AVE with padding: neon takes the mean over valid pixels, Caffe counts the padding up to H + pad. Padding the map first makes
  every pixel of the padding a valid zero, and the divisor the same.
* Caffe clips the last window of both axes as soon as either is padded; neon looks at each axis alone.
* ``round_mode: FLOOR`` drops the incomplete window that neon computes.
"""

from __future__ import annotations

from caffe2neon.convert.neon_layers import pooling, selector
from caffe2neon.convert.registry import Refused, Site, converter
from caffe2neon.convert.shapes import pooled
from caffe2neon.records import NeonLayer, Shape


@converter(
    "Pooling",
    becomes="Pooling; a one-hot Convolution beside it where neon pads or rounds otherwise",
    condition="MAX or AVE, no window wholly outside the map",
    reason="neon does not pick at random (STOCHASTIC) and has no mask of maxima; Caffe's empty windows hold no number",
)
def convert_pooling(site: Site) -> list[NeonLayer]:
    param = site.node.layer.param.pooling_param
    if param.pool == param.STOCHASTIC:
        raise Refused("picks at random (STOCHASTIC), which Caffe computes on a GPU only and neon not at all")
    if len(site.node.tops) > 1:
        raise Refused("has a second top, the mask of maxima, which neon cannot hand on")
    op = "avg" if param.pool == param.AVE else "max"
    if param.global_pooling:
        return [pooling(site.name, op, None)]
    kernel, stride, pad = (_pair(param, *names) for names in _FIELDS)
    size, wanted = site.shape[1:], site.node.tops[0].shape[2:]
    _refuse_empty_windows(size, stride, pad, wanted)
    if op == "max":
        return _convert_max(site, kernel, stride, pad)
    # What Caffe's windows see of the padded map; a wholly skipped window must not be there, or neon would average it.
    padded = tuple(n + 2 * p for n, p in zip(size, pad, strict=True))
    seen = tuple(
        n if pooled(n, k, s, 0) == out else (out - 1) * s + k
        for n, k, s, out in zip(padded, kernel, stride, wanted, strict=True)
    )
    window = pooling(site.name, op, kernel, stride=stride)
    if seen == size and not any(pad):
        return [window]
    return [_select(site, f"{site.name}_pad", pad=pad, crop=_less(padded, seen)), window]


def _convert_max(site: Site, kernel: Shape, stride: Shape, pad: Shape) -> list[NeonLayer]:
    """A window that Caffe drops is cropped: off the input where it has no padding, else off the output, where zeros do no harm."""
    before, after = [0, 0], [0, 0]
    for axis, (size, wanted) in enumerate(zip(site.shape[1:], site.node.tops[0].shape[2:], strict=True)):
        made = pooled(size, kernel[axis], stride[axis], pad[axis])
        if made != wanted and pad[axis]:
            after[axis] = made - wanted
        elif made != wanted:
            before[axis] = size - ((wanted - 1) * stride[axis] + kernel[axis])
    layers = [pooling(site.name, "max", kernel, stride=stride, pad=pad)]
    if any(before):
        layers.insert(0, _select(site, f"{site.name}_pad", crop=tuple(before)))
    if any(after):
        layers.append(_select(site, f"{site.name}_crop", crop=tuple(after)))
    return layers


_FIELDS = (("kernel_size", "kernel_h", "kernel_w"), ("stride", "stride_h", "stride_w"), ("pad", "pad_h", "pad_w"))


def _pair(param: object, both: str, height: str, width: str) -> Shape:
    """(rows, columns); the graph has checked that the fields agree."""
    if param.HasField(height):  # type: ignore[attr-defined]
        return (getattr(param, height), getattr(param, width))
    return (getattr(param, both),) * 2


def _less(whole: Shape, part: Shape) -> Shape:
    return tuple(a - b for a, b in zip(whole, part, strict=True))


def _refuse_empty_windows(size: Shape, stride: Shape, pad: Shape, out: Shape) -> None:
    """Real Caffe gives -FLT_MAX or NaN where a window lies wholly outside the image."""
    for n, s, p, count in zip(size, stride, pad, out, strict=True):
        if (count - 1) * s - p >= n:
            raise Refused(
                "its last window lies wholly outside the image, where Caffe computes -FLT_MAX (MAX) or NaN (AVE)",
                "a stride not larger than the kernel avoids that",
            )


def _select(site: Site, name: str, *, pad: Shape = (0, 0), crop: Shape = (0, 0)) -> NeonLayer:
    channels = site.shape[0]
    site.notes.append(f"{site.name}: padding or rounding that neon's Pooling lacks, by a one-hot {channels}×{channels} convolution")
    return selector(name, range(channels), channels, pad=pad, after=crop)
