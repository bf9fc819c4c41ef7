"""Against plain numpy: loops over pixels for the resize, slices for the crop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffe2neon.errors import DataError
from caffe2neon.evaluate import Preprocessor
from caffe2neon.records import Array, Preprocess, Shape
from tests.evaluate.helpers import picture


def apply(preprocess: Preprocess, shape: Shape, image: Array) -> Array:
    out = np.full(shape, np.nan, np.float32)
    Preprocessor(preprocess, shape)(image, out)
    return out


def bilinear(image: Array, height: int, width: int) -> Array:
    """Pixel centres at half-integers, borders repeated: (H, W, C) -> (height, width, C), in float64."""
    out = np.zeros((height, width, image.shape[2]))
    for y in range(height):
        for x in range(width):
            v = (y + 0.5) * image.shape[0] / height - 0.5
            u = (x + 0.5) * image.shape[1] / width - 0.5
            top, left = math.floor(v), math.floor(u)
            for row, weight_v in ((top, 1 - (v - top)), (top + 1, v - top)):
                for column, weight_u in ((left, 1 - (u - left)), (left + 1, u - left)):
                    source = image[min(max(row, 0), image.shape[0] - 1), min(max(column, 0), image.shape[1] - 1)]
                    out[y, x] += weight_v * weight_u * source
    return out


@pytest.mark.parametrize("size", [(12, 16), (8, 8), (31, 20), (5, 40)], ids=str)
def test_resize_is_bilinear_with_half_pixel_centres(size: tuple[int, int]) -> None:
    image = picture(1)
    got = apply(Preprocess(resize=size), (3, *size), image)
    # OpenCV rounds 8-bit results to whole pixels.
    assert np.abs(got.transpose(1, 2, 0) - bilinear(image, *size)).max() <= 1
    assert np.array_equal(got, np.round(got))


def test_resize_of_floats_does_not_round() -> None:
    image = picture(2).astype(np.float32)
    got = apply(Preprocess(resize=(7, 9)), (3, 7, 9), image)
    assert np.abs(got.transpose(1, 2, 0) - bilinear(image, 7, 9)).max() < 1e-3


@pytest.mark.parametrize(("height", "width", "top", "left"), [(12, 16, 3, 5), (13, 17, 3, 5), (6, 6, 0, 0), (7, 8, 0, 1)])
def test_crop_is_centred_as_caffe_does(height: int, width: int, top: int, left: int) -> None:
    image = picture(3, height, width)
    got = apply(Preprocess(crop=(6, 6)), (3, 6, 6), image)
    assert np.array_equal(got, image[top : top + 6, left : left + 6].transpose(2, 0, 1))


def test_a_crop_may_be_rectangular() -> None:
    image = picture(3)
    got = apply(Preprocess(crop=(4, 10)), (3, 4, 10), image)
    assert np.array_equal(got, image[4:8, 3:13].transpose(2, 0, 1))


@pytest.mark.parametrize("mean", [(104.0, 117.0, 123.0), (33.5,), ()], ids=str)
@pytest.mark.parametrize("scale", [1.0, 0.017])
def test_mean_and_scale(mean: tuple[float, ...], scale: float) -> None:
    image = picture(4)
    got = apply(Preprocess(mean=mean, scale=scale), (3, 12, 16), image)
    for channel in range(3):
        less = (mean * 3)[channel] if mean else 0
        expected = (image[:, :, channel].astype(np.float64) - less) * scale
        assert np.abs(got[channel] - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def test_all_steps_in_caffes_order() -> None:
    image = picture(5, 40, 30)
    got = apply(Preprocess(resize=(20, 24), crop=(9, 9), mean=(10, 20, 30), scale=0.5), (3, 9, 9), image)
    expected = (bilinear(image, 20, 24)[5:14, 7:16] - [10, 20, 30]) * 0.5
    assert np.abs(got.transpose(1, 2, 0) - expected).max() <= 0.5  # one pixel, scaled


def test_grey_pictures_have_one_channel() -> None:
    image = picture(6, channels=1)
    got = apply(Preprocess(channel_order="GRAY", resize=(6, 8), mean=(7,)), (1, 6, 8), image)
    assert np.abs(got[0] - (bilinear(image[:, :, None], 6, 8)[:, :, 0] - 7)).max() <= 1


def test_a_reversed_view_can_be_resized() -> None:
    image = picture(7)
    got = apply(Preprocess(resize=(5, 5)), (3, 5, 5), image[..., ::-1])
    assert np.array_equal(got[::-1], apply(Preprocess(resize=(5, 5)), (3, 5, 5), image))


@pytest.mark.parametrize(
    ("preprocess", "shape", "words"),
    [
        (Preprocess(crop=(8, 8), resize=(6, 9)), (3, 8, 8), "crop of 8 x 8 does not fit into a picture resized to 6 x 9"),
        (Preprocess(crop=(8, 8)), (3, 9, 9), "crop yields 8 x 8, the model takes 9 x 9"),
        (Preprocess(resize=(8, 9)), (3, 9, 8), "resize yields 8 x 9, the model takes 9 x 8"),
        (Preprocess(mean=(1, 2)), (3, 9, 9), "mean has 2 values, the model takes 3 channels"),
        (Preprocess(mean=(1, 2, 3), channel_order="GRAY"), (1, 9, 9), "mean has 3 values, the model takes 1 channels"),
        (Preprocess(channel_order="HSV"), (3, 9, 9), "unknown channel order 'HSV'"),
        (Preprocess(), (27,), r"input has the shape \(27,\)"),
    ],
)
def test_steps_that_cannot_fit_the_model(preprocess: Preprocess, shape: Shape, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Preprocessor(preprocess, shape)


@pytest.mark.parametrize(
    ("preprocess", "shape", "words"),
    [
        (Preprocess(crop=(14, 14)), (3, 14, 14), r"(?s)crop of 14 x 14 does not fit into a picture of 12 x 16.*resize"),
        (Preprocess(), (3, 12, 12), r"(?s)picture is 12 x 16 with 3 channels, the model takes 12 x 12 with 3 channels.*resize"),
        (Preprocess(), (1, 12, 16), r"(?s)takes 12 x 16 with 1 channel\b.*GRAY"),
    ],
    ids=["crop", "size", "channels"],
)
def test_pictures_that_do_not_fit(preprocess: Preprocess, shape: Shape, words: str) -> None:
    with pytest.raises(DataError, match=words):
        apply(preprocess, shape, picture(8))
