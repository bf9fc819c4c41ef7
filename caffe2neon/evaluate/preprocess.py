"""From a picture to a net's input, as Caffe's ImageData layer and DataTransformer do it at TEST."""

from __future__ import annotations

import numpy as np

from caffe2neon.errors import DataError
from caffe2neon.records import Array, Preprocess, Shape


class Preprocessor:
    """Squash resize (bilinear, OpenCV's), centre crop, ``(pixel - mean) * scale`` in float32, channels first.

    Safe to call from many threads at once.

    Args:
        preprocess: what to do.
        shape: (C, H, W) that the net takes.

    Raises:
        DataError: the steps cannot yield that shape, whatever the picture.
    """

    def __init__(self, preprocess: Preprocess, shape: Shape) -> None:
        if len(shape) != 3:
            raise DataError(f"the model's input has the shape {tuple(shape)}; a picture needs (C, H, W)")
        self.channel_order = preprocess.channel_order
        self.shape = shape
        self._resize = preprocess.resize
        self._crop = preprocess.crop
        self._scale = np.float32(preprocess.scale)
        self._check(preprocess)
        # (1 or C,) -> (1 or C, 1, 1), to be subtracted from (C, H, W)
        self._mean = np.asarray(preprocess.mean, np.float32)[:, None, None] if any(preprocess.mean) else None

    def __call__(self, picture: Array, out: Array) -> None:
        """Write a picture, (H, W) or (H, W, C) of uint8 or float32, into ``out``, float32 (C, H, W), a slice of a batch.

        Raises:
            DataError: the picture is smaller than the crop, or has another size or number of channels than the net takes.
        """
        if self._resize is not None and picture.shape[:2] != self._resize:
            import cv2

            height, width = self._resize
            picture = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=cv2.INTER_LINEAR)
        if picture.ndim == 2:
            picture = picture[:, :, None]
        if self._crop is not None:
            picture = _centre(picture, self._crop)
        planes = picture.transpose(2, 0, 1)  # (H, W, C) -> (C, H, W)
        if planes.shape != self.shape:
            message = f"the picture is {_words(planes.shape)}, the model takes {_words(self.shape)}"
            raise DataError(message, remedy=self._remedy(planes))
        # One pass over strided bytes, then plain arithmetic: half the time of arithmetic on the strided view.
        planes = np.ascontiguousarray(planes)
        if self._mean is None:
            np.multiply(planes, self._scale, out=out)
            return
        np.subtract(planes, self._mean, out=out)
        if self._scale != 1:
            np.multiply(out, self._scale, out=out)

    def _check(self, preprocess: Preprocess) -> None:
        channels, *size = self.shape
        if preprocess.channel_order not in ("BGR", "RGB", "GRAY"):
            raise DataError(f"unknown channel order {preprocess.channel_order!r}", remedy="known are: BGR, RGB, GRAY")
        if len(preprocess.mean) not in (0, 1, channels):
            message = f"the mean has {len(preprocess.mean)} values, the model takes {channels} channels"
            raise DataError(message, remedy="give one value, or one a channel")
        if not preprocess.scale:
            remedy = "Caffe's input is (pixel - mean) * scale: leave it at 1"
            raise DataError("a scale of 0 makes all pictures alike", remedy=remedy)
        if len(preprocess.mean) > 1 and preprocess.channel_order == "GRAY":
            raise DataError(f"the mean has {len(preprocess.mean)} values, a gray picture has one channel", remedy="give one value")
        crop, resize = preprocess.crop, preprocess.resize
        if crop and resize and (crop[0] > resize[0] or crop[1] > resize[1]):
            raise DataError(f"a crop of {_by(crop)} does not fit into a picture resized to {_by(resize)}")
        final = crop or resize
        if final and tuple(final) != tuple(size):
            step = "crop" if crop else "resize"
            remedy = f"give --{step} {size[0]}x{size[1]}; in a manifest, {step} under preprocess"
            raise DataError(f"{step} yields {_by(final)}, the model takes {_by(size)}", remedy=remedy)

    def _remedy(self, planes: Array) -> str:
        if planes.shape[0] == self.shape[0]:
            return "give --resize, or --resize and --crop; in a manifest, resize and crop under preprocess"
        return "give --channel-order GRAY; in a manifest, channel_order under preprocess" if self.shape[0] == 1 else ""


def _centre(picture: Array, crop: tuple[int, int]) -> Array:
    """Caffe's centre crop: an odd margin's extra pixel is left over at the bottom and at the right."""
    height, width = picture.shape[:2]
    if height < crop[0] or width < crop[1]:
        remedy = "give --resize; in a manifest, resize under preprocess"
        raise DataError(f"a crop of {_by(crop)} does not fit into a picture of {_by((height, width))}", remedy=remedy)
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    return picture[top : top + crop[0], left : left + crop[1]]


def _by(size: tuple[int, ...] | list[int]) -> str:
    return " x ".join(str(n) for n in size)


def _words(shape: Shape) -> str:
    channels = "1 channel" if shape[0] == 1 else f"{shape[0]} channels"
    return f"{_by(shape[1:])} with {channels}"
