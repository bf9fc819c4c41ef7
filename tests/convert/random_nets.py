"""Random nets that fork and join, for property tests and for campaigns by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tests.nets import conv, data, layer

#: Makes every choice: hypothesis, or a seeded generator.
Pick = Callable[[Sequence[Any]], Any]
#: channels, rows, columns
Maps = tuple[int, int, int]
#: Convolutions that leave rows and columns as they are.
_WINDOWS = ("kernel_size: 1", "kernel_size: 3 pad: 1", "kernel_size: 3 pad: 2 dilation: 2", "kernel_h: 3 kernel_w: 1 pad_h: 1")


def random_net(pick: Pick) -> str:
    """A net definition as text: one input, a trunk of random steps, forks inside forks, skips, one head or several."""
    return "\n".join(_Maker(pick).net())


class _Maker:
    def __init__(self, pick: Pick) -> None:
        self._pick = pick
        self._layers: list[str] = []
        self._shapes: dict[str, Maps] = {}
        self._readers: Counter[str] = Counter()
        self._count = 0

    def net(self) -> list[str]:
        shape: Maps = (self._pick([2, 3]), self._pick([5, 6]), self._pick([5, 7]))
        self._shapes["data"] = shape
        self._layers.append(data(2, *shape))
        blob = "data"
        if self._pick([True, True, False]):
            blob = self._conv(blob)
        for _ in range(self._pick([1, 2, 3, 4])):
            blob = self._step(blob, depth=2)
            if self._pick([False] * 7 + [True]):
                self._head(blob)
        if self._pick([True, False]):
            self._head(blob)
        elif blob == "data":
            self._conv(blob)
        if self._pick([False] * 9 + [True]):
            self._layers.append(f'layer {{ name: "quiet" type: "Silence" bottom: "{self._pick(list(self._shapes))}" }}')
        return self._layers

    def _add(self, type_: str, bottoms: Sequence[str], shape: Maps, more: str = "", *, in_place: bool = False) -> str:
        self._count += 1
        name = f"{type_[:4].lower()}{self._count}"
        top = bottoms[0] if in_place else name
        if not in_place:
            self._readers.update(bottoms)
            self._shapes[top] = shape
        self._layers.append(layer(name, type_, " ".join(bottoms), top, more))
        return top

    def _conv(self, blob: str, maps: int | None = None, *, keep: bool = True) -> str:
        channels, rows, columns = self._shapes[blob]
        maps = maps or self._pick([2, 3, 4])
        window = self._pick(_WINDOWS)
        more = self._pick(["", "bias_term: false", *([f"group: {channels}"] if maps % channels == 0 else [])])
        if not keep and min(rows, columns) > 3:
            window, rows, columns = "kernel_size: 3 pad: 1 stride: 2", (rows + 1) // 2, (columns + 1) // 2
        self._count += 1
        name = f"conv{self._count}"
        self._readers.update([blob])
        self._shapes[name] = (maps, rows, columns)
        self._layers.append(conv(name, blob, maps, f"{window} {more}"))
        return name

    def _relu(self, blob: str) -> str:
        type_, more = self._pick(
            [
                ("ReLU", ""),
                ("ReLU", ""),
                ("ReLU", "relu_param { negative_slope: 0.1 }"),
                ("Dropout", ""),
                ("TanH", ""),
                ("Scale", "scale_param { bias_term: true }"),
                ("BatchNorm", ""),
                ("PReLU", ""),
                ("Power", "power_param { scale: 0.5 shift: 1 }"),
                ("Bias", ""),
                ("Clip", "clip_param { min: 0 max: 6 }"),
                ("ELU", ""),
                ("Sigmoid", ""),
            ]
        )
        free = not self._readers[blob] and blob != "data"
        return self._add(type_, [blob], self._shapes[blob], more, in_place=free and self._pick([True, True, False]))

    def _normalize(self, blob: str) -> str:
        top = self._add("BatchNorm", [blob], self._shapes[blob])
        return self._add("Scale", [top], self._shapes[blob], "scale_param { bias_term: true }", in_place=self._pick([True, False]))

    def _lrn(self, blob: str) -> str:
        return self._add("LRN", [blob], self._shapes[blob], self._pick(["", "lrn_param { k: 2 local_size: 3 alpha: 0.5 }"]))

    def _pool(self, blob: str) -> str:
        way = self._pick(["MAX", "AVE"])
        more = f"pooling_param {{ pool: {way} kernel_size: 3 pad: 1 }}"
        return self._add("Pooling", [blob], self._shapes[blob], more)

    def _shrink(self, blob: str) -> str:
        channels, rows, columns = self._shapes[blob]
        if min(rows, columns) < 4 or self._pick([True, False]):
            return self._conv(blob, keep=False)
        more = f"pooling_param {{ pool: {self._pick(['MAX', 'AVE'])} kernel_size: 2 stride: 2 }}"
        return self._add("Pooling", [blob], (channels, -(-rows // 2), -(-columns // 2)), more)

    def _grow(self, blob: str) -> str:
        channels, rows, columns = self._shapes[blob]
        if max(rows, columns) > 7:
            return self._shrink(blob)
        maps, group = self._pick([(2, 1), (channels, channels)])
        window = f"num_output: {maps} kernel_size: 2 stride: 2 group: {group} bias_term: {self._pick(['true', 'false'])}"
        return self._crop(self._add("Deconvolution", [blob], (maps, 2 * rows, 2 * columns), f"convolution_param {{ {window} }}"))

    def _crop(self, blob: str) -> str:
        """To the size of an earlier blob, which gives nothing else."""
        channels, rows, columns = self._shapes[blob]
        smaller = [name for name, (_, r, c) in self._shapes.items() if r < rows and c < columns]
        if not smaller:
            return blob
        like = self._pick(smaller)
        offset = f"crop_param {{ offset: {self._pick([0, 1])} }}"
        return self._add("Crop", [blob, like], (channels, *self._shapes[like][1:]), offset)

    def _split(self, blob: str) -> str:
        """An explicit Split; its tops are one memory, so nothing may work in place there."""
        self._count += 1
        tops = [f"split{self._count}{letter}" for letter in "ab"]
        self._readers.update([blob, *tops])
        self._shapes.update(dict.fromkeys(tops, self._shapes[blob]))
        self._layers.append(layer(f"split{self._count}", "Split", blob, " ".join(tops)))
        return str(self._pick(tops))

    def _step(self, blob: str, depth: int, *, keep: bool = False) -> str:
        plain = [self._conv, self._conv, self._relu, self._relu, self._normalize, self._pool, self._lrn]
        forks = [self._concat, self._sum, self._skip, self._slice] if depth else []
        step = self._pick([*plain, *forks, *forks, self._split, *([] if keep else [self._shrink, self._grow])])
        return str(step(blob, depth) if step in forks else step(blob))

    def _arm(self, blob: str, depth: int) -> str:
        """Some steps that leave rows and columns as they are, or none."""
        for _ in range(self._pick([0, 1, 1, 2, 3])):
            blob = self._step(blob, depth - 1, keep=True)
        return blob

    def _concat(self, blob: str, depth: int) -> str:
        # an arm must not work in place on what the other arms read
        self._readers[blob] += 1
        arms = [self._arm(blob, depth) for _ in range(self._pick([2, 2, 3]))]
        shape = (sum(self._shapes[arm][0] for arm in arms), *self._shapes[blob][1:])
        return self._add("Concat", arms, shape)

    def _sum(self, blob: str, depth: int) -> str:
        self._readers[blob] += 1
        arms = [self._arm(blob, depth) for _ in range(self._pick([2, 2, 3]))]
        shape = self._shapes[arms[0]]
        arms = [arm if self._shapes[arm] == shape else self._conv(arm, shape[0]) for arm in arms]
        return self._add("Eltwise", arms, shape, self._coefficients(len(arms)))

    def _skip(self, blob: str, _: int) -> str:
        """Join with any earlier blob that fits: skips cross as they will."""
        shape = self._shapes[blob]
        if self._pick([True, False]):
            others = [name for name, other in self._shapes.items() if other[1:] == shape[1:]]
            other = self._pick(others)
            return self._add("Concat", [blob, other], (shape[0] + self._shapes[other][0], *shape[1:]))
        other = self._pick([name for name, other in self._shapes.items() if other == shape])
        return self._add("Eltwise", [other, blob], shape, self._coefficients(2))

    def _slice(self, blob: str, depth: int) -> str:
        channels, rows, columns = self._shapes[blob]
        if channels < 2:
            return self._conv(blob)
        self._count += 1
        name = f"slice{self._count}"
        first, second = f"{name}a", f"{name}b"
        self._readers.update([blob])
        self._shapes[first], self._shapes[second] = (1, rows, columns), (channels - 1, rows, columns)
        self._layers.append(layer(name, "Slice", blob, f"{first} {second}", "slice_param { slice_point: 1 }"))
        arms = [self._arm(top, depth) for top in (first, second)]
        return self._add("Concat", arms, (sum(self._shapes[arm][0] for arm in arms), rows, columns))

    def _coefficients(self, count: int) -> str:
        values = self._pick([[], [], [1, -1, 0.5], [2, 0.5, 1]])[:count]
        return "eltwise_param {{ {} }}".format(" ".join(f"coeff: {value}" for value in values))

    def _head(self, blob: str) -> None:
        """A classifier beside whatever follows."""
        self._count += 1
        name = f"ip{self._count}"
        self._readers.update([blob])
        self._layers.append(layer(name, "InnerProduct", blob, name, "inner_product_param { num_output: 3 }"))
        if self._pick([False, False, True]):
            arms = f"{name} {name}_more"
            self._layers.append(layer(f"{name}_more", "InnerProduct", name, "", "inner_product_param { num_output: 3 }"))
            name = f"{name}_join"
            self._layers.append(layer(name, self._pick(["Concat", "Eltwise"]), arms))
        end = self._pick(["", "ReLU", "Softmax", "Dropout", "BatchNorm", "PReLU"])
        if end:
            self._layers.append(layer(f"{name}_{end.lower()}", end, name, name if self._pick([True, False]) else f"{name}_out"))
