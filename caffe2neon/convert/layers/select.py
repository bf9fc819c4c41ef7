"""Slice, Crop, Tile: choosing channels, rows and columns, by one-hot convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from caffe2neon.convert.neon_layers import selector
from caffe2neon.convert.registry import Refused, Site, converter
from caffe2neon.records import NeonLayer, Shape


@converter(
    "Slice",
    becomes="one-hot Convolution for each top",
    condition="of maps; the batch is not sliced",
    reason="neon has no such layer, and a flat blob cannot be convolved",
)
def convert_slice(site: Site) -> list[NeonLayer]:
    """One top of a Slice; the graph has a node for each."""
    param, shape, top = site.node.layer.param.slice_param, site.node.bottoms[0].shape, site.node.tops[0]
    along = param.slice_dim if param.HasField("slice_dim") else param.axis % len(shape)
    tops = site.node.layer.tops
    step = shape[along] // len(tops)
    bounds = [0, *(param.slice_point or range(step, shape[along], step))]
    return _select(site, along, bounds[tops.index(top.name)], top.shape[along])


@converter(
    "Crop",
    becomes="one-hot Convolution",
    condition="of maps; the batch is not cropped",
    reason="neon has no such layer, and a flat blob cannot be convolved",
)
def convert_crop(site: Site) -> list[NeonLayer]:
    """The graph has taken the second bottom away: it gives nothing but a size."""
    param, shape, wanted = site.node.layer.param.crop_param, site.node.bottoms[0].shape, site.node.tops[0].shape
    first = param.axis % len(shape)
    offsets = list(param.offset) or [0]
    offsets = offsets * (len(shape) - first) if len(offsets) == 1 else offsets
    if first == 0 and (offsets[0] or wanted[0] != shape[0]):
        raise Refused("crops the batch; neon's batch size is fixed")
    starts = [0] * first + offsets
    return _one_hot(site, range(starts[1], starts[1] + wanted[1]), _pair(starts), _pair(wanted))


@converter(
    "Tile",
    becomes="one-hot Convolution",
    condition="of maps; along axis 1",
    reason="neon has no such layer, and a flat blob cannot be convolved",
)
def convert_tile(site: Site) -> list[NeonLayer]:
    param, shape = site.node.layer.param.tile_param, site.node.bottoms[0].shape
    if param.axis % len(shape) != 1:
        raise Refused(f"repeats along axis {param.axis}; only channels (axis 1) can be repeated by a convolution")
    return _one_hot(site, [*range(shape[1])] * param.tiles, (0, 0), _pair(shape))


def _select(site: Site, along: int, start: int, count: int) -> list[NeonLayer]:
    shape = site.node.bottoms[0].shape
    if along == 0:
        raise Refused("slices the batch; neon's batch size is fixed")
    if along == 1:
        return _one_hot(site, range(start, start + count), (0, 0), _pair(shape))
    starts, wanted = [0] * len(shape), list(shape)
    starts[along], wanted[along] = start, count
    return _one_hot(site, range(shape[1]), _pair(starts), _pair(wanted))


def _one_hot(site: Site, channels: Sequence[int], start: Shape, size: Shape) -> list[NeonLayer]:
    if len(site.shape) != 3 or site.shape != site.node.bottoms[0].shape[1:]:
        raise Refused("works on a flat blob; the one-hot convolution that stands for it needs maps")
    name = f"{site.name}_{site.node.tops[0].name}" if len(site.node.layer.tops) > 1 else site.name
    after = (site.shape[1] - start[0] - size[0], site.shape[2] - start[1] - size[1])
    site.notes.append(f"{name}: by a one-hot convolution of {len(channels)}×{site.shape[0]} maps")
    return [selector(name, channels, site.shape[0], before=start, after=after)]


def _pair(values: Sequence[int]) -> Shape:
    """Rows and columns of a 4-axis shape."""
    return (values[2], values[3]) if len(values) == 4 else (0, 0)
