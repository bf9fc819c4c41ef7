"""Two small engines of numpy: the one stands for Caffe, the other for neon, right or wrong on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from caffe2neon.errors import VerificationError
from caffe2neon.records import Array, Difference, Parity, Shape
from caffe2neon.verify import noise, require, table, verify

RANDOM = np.random.Generator(np.random.PCG64(7))
CHANNELS, SIZE, CLASSES = 3, 4, 6
W1 = RANDOM.standard_normal((5, CHANNELS)).astype(np.float32) * 0.01
W2 = RANDOM.standard_normal((CLASSES, 5 * SIZE * SIZE)).astype(np.float32) * 0.1
#: order[i]: Caffe's index of the remapped model's class i; not its own inverse, so that a mix-up of the two shows.
ORDER = np.array([3, 0, 4, 1, 2, 5])
META: dict[str, Any] = {
    "outputs": ["prob"],
    "trace": [["conv1", "conv1"], ["conv1#1", "relu1"], ["fc2", "fc2_bias"], ["prob", "prob"]],
}


class Fake:
    """Convolution 1x1, ReLU, inner product, softmax. ``wrong`` spoils what is computed at that blob and so all after it."""

    def __init__(
        self, kind: str, *, wrong: str = "", by: float = 1e-2, order: Array | None = None, taps: Sequence[str] | None = None
    ) -> None:
        self.kind, self.wrong, self.by, self.order = kind, wrong, by, order
        self.names = ["conv1", "conv1#1", "fc2"] if kind == "caffe" else ["conv1", "relu1", "fc2_bias"]
        self.taps = tuple(self.names if taps is None else taps)
        self.asked: list[Sequence[str]] = []
        self.fed: dict[str, Array] = {}

    @property
    def name(self) -> str:
        return f"{self.kind}-fake"

    @property
    def version(self) -> str:
        return "1"

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return {"data" if self.kind == "caffe" else "input": (CHANNELS, SIZE, SIZE)}

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("prob",)

    def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:
        assert set(taps) <= set(self.taps)
        self.asked.append(taps)
        self.fed = dict(inputs)
        (x,) = inputs.values()
        values = []
        for step in ("conv1", "conv1#1", "fc2", "prob"):
            if step == "conv1":
                x = np.einsum("kc,nchw->nkhw", W1, x)
            elif step == "conv1#1":
                x = np.maximum(x, 0)
            elif step == "fc2":
                x = x.reshape(len(x), -1) @ W2.T
            else:
                x = np.exp(x - x.max(axis=1, keepdims=True))
                x = x / x.sum(axis=1, keepdims=True)
            if step == self.wrong:
                x = x + np.float32(self.by)
            if step == "fc2" and self.order is not None:
                x = x[:, self.order]
            values.append(x)
        if self.kind == "neon":
            values[2] = values[2][:, :, None]  # neon hands features out as (F, 1)
        named = dict(zip((*self.names, "prob"), values, strict=True))
        return {name: named[name] for name in (*taps, "prob")}


def test_equal_engines_pass_and_say_what_was_compared() -> None:
    parity = verify(Fake("neon"), Fake("caffe"), meta=META, layers=True)
    assert parity.passed
    assert parity.first is None
    assert parity.worst == 0
    assert [(d.blob, d.neon_layer) for d in parity.layers] == [tuple(pair) for pair in META["trace"]]
    assert [d.shape for d in parity.layers] == [(5, 4, 4), (5, 4, 4), (6,), (6,)]
    assert (parity.engine, parity.reference) == ("neon-fake 1", "caffe-fake 1")
    assert parity.inputs.startswith("2 examples of seeded noise, seed 1")
    require(parity)


def test_outputs_alone_need_no_taps() -> None:
    neon, caffe = Fake("neon"), Fake("caffe")
    parity = verify(neon, caffe, meta=META)
    assert parity.layers == ()
    assert (neon.asked, caffe.asked) == ([[]], [[]])


@pytest.mark.parametrize(("wrong", "layer"), [("conv1", "conv1"), ("conv1#1", "relu1"), ("fc2", "fc2_bias"), ("prob", "prob")])
def test_the_first_layer_that_departs_is_named(wrong: str, layer: str) -> None:
    neon = Fake("neon", wrong=wrong)
    if wrong == "fc2":  # a constant added to all classes does not change a softmax
        neon.by = np.arange(CLASSES) * 0.1  # type: ignore[assignment]
    parity = verify(neon, Fake("caffe"), meta=META, layers=True)
    assert not parity.passed
    assert parity.first is not None
    assert (parity.first.blob, parity.first.neon_layer) == (wrong, layer)
    with pytest.raises(VerificationError) as failure:
        require(parity)
    text = str(failure.value)
    for part in ("'prob'", f"{parity.outputs[0].error:.3g}", "1e-05", repr(layer), repr(wrong)):
        assert part in text
    assert failure.value.where.layer == layer


def test_error_is_relative_to_the_largest_reference_above_one() -> None:
    class Plain(Fake):
        def __init__(self, values: list[float]) -> None:
            super().__init__("caffe")
            self.values = np.array([values], np.float32)

        def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:  # noqa: ARG002
            return {"prob": self.values}

    (d,) = verify(Plain([1.0, -8.0, 2.5]), Plain([1.0, -8.0, 2.0]), meta={}, batch=1).outputs
    assert (d.max_difference, d.max_reference, d.error) == (0.5, 8.0, 0.0625)
    (d,) = verify(Plain([0.25, 0.0, 0.0]), Plain([0.0, 0.0, 0.125]), meta={}, batch=1).outputs
    assert (d.max_difference, d.max_reference, d.error) == (0.25, 0.125, 0.25)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_on_one_side_fail(spoilt: float) -> None:
    parity = verify(Fake("neon", wrong="prob", by=spoilt), Fake("caffe"), meta=META, layers=True, tolerance=1e30)
    assert parity.worst == np.inf
    assert not parity.passed
    with pytest.raises(VerificationError, match="NaN or infinity"):
        require(parity)


def test_nan_on_both_sides_fails_since_nothing_is_verified() -> None:
    parity = verify(Fake("neon", wrong="prob", by=np.nan), Fake("caffe", wrong="prob", by=np.nan), meta=META)
    assert not parity.passed


def test_infinity_that_agrees_hides_no_other_difference() -> None:
    from caffe2neon.verify import difference

    reference = np.array([[np.inf, -np.inf, 1.0]], np.float32)
    assert difference("b", "l", reference, reference).error == 0
    assert difference("b", "l", np.array([[np.inf, -np.inf, 1.5]], np.float32), reference).error == 0.5
    assert difference("b", "l", -reference, reference).error == np.inf


def test_a_difference_too_large_for_float32_is_still_a_number() -> None:
    from caffe2neon.verify import difference

    big = np.array([[3e38]], np.float32)
    assert difference("b", "l", -big, big).error == pytest.approx(2.0)


def test_remapped_classes_are_put_back_in_caffes_order() -> None:
    meta = {**META, "remap": {"map": ORDER.tolist(), "layers": ["fc2_bias", "prob"]}}
    parity = verify(Fake("neon", order=ORDER), Fake("caffe"), meta=meta, layers=True)
    assert parity.passed
    assert parity.first is None
    assert not verify(Fake("neon", order=ORDER), Fake("caffe"), meta=META).passed, "unless the model's record says so"
    assert not verify(Fake("neon", order=np.argsort(ORDER)), Fake("caffe"), meta=meta).passed, "and not by the inverse map"


def test_a_remap_record_that_is_no_permutation_is_refused() -> None:
    meta = {**META, "remap": {"map": [0, 0, 1, 2, 3, 4], "layers": ["prob"]}}
    with pytest.raises(VerificationError, match="not a permutation"):
        verify(Fake("neon"), Fake("caffe"), meta=meta)


def test_a_remap_record_of_another_width_is_refused() -> None:
    meta = {**META, "remap": {"map": [1, 0], "layers": ["prob"]}}
    with pytest.raises(VerificationError, match=r"2 classes, but it has 6"):
        verify(Fake("neon"), Fake("caffe"), meta=meta)


def test_layers_that_an_engine_cannot_hand_out_are_left_out() -> None:
    parity = verify(Fake("neon"), Fake("caffe", taps=["conv1#1"]), meta=META, layers=True)
    assert [d.blob for d in parity.layers] == ["conv1#1", "prob"]


def test_other_input_shape_is_a_clear_error() -> None:
    class Wide(Fake):
        @property
        def inputs(self) -> Mapping[str, Shape]:
            return {"input": (3, 5, 5)}

    with pytest.raises(VerificationError, match=r"\(3, 4, 4\) in Caffe, \(3, 5, 5\) in the model"):
        verify(Wide("neon"), Fake("caffe"), meta=META)


def test_other_input_names_are_a_clear_error() -> None:
    class Two(Fake):
        @property
        def inputs(self) -> Mapping[str, Shape]:
            return {"a": (3, 4, 4), "b": (3, 4, 4)}

    with pytest.raises(VerificationError, match=r"'a', 'b', Caffe's are 'data'"):
        verify(Two("neon"), Fake("caffe"), meta=META)


def test_a_label_that_only_caffe_takes_is_zero() -> None:
    class Neon(Fake):
        @property
        def inputs(self) -> Mapping[str, Shape]:
            return {"data": (CHANNELS, SIZE, SIZE)}

    class Training(Fake):
        @property
        def inputs(self) -> Mapping[str, Shape]:
            return {"data": (CHANNELS, SIZE, SIZE), "label": ()}

        def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:
            self.label = inputs["label"]
            return super().run({"data": inputs["data"]}, taps)

    caffe = Training("caffe")
    assert verify(Neon("neon"), caffe, meta=META, batch=3).passed
    assert caffe.label.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("outputs", "words"),
    [(["prob", "loss"], "should stand for 'prob', 'loss'"), (["gone"], "output 'gone'")],
    ids=["count", "name"],
)
def test_outputs_that_do_not_match_are_a_clear_error(outputs: list[str], words: str) -> None:
    with pytest.raises(VerificationError, match=words):
        verify(Fake("neon"), Fake("caffe"), meta={"outputs": outputs})


def test_other_output_shape_is_a_clear_error() -> None:
    class Short(Fake):
        def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:
            return {name: value[:, :-1] for name, value in super().run(inputs, taps).items()}

    with pytest.raises(VerificationError, match=r"shape \(2, 6\) in Caffe, neon computes \(2, 5\)"):
        verify(Short("neon"), Fake("caffe"), meta=META)


def test_given_inputs_reach_both_engines() -> None:
    neon, caffe = Fake("neon"), Fake("caffe")
    data = np.ones((1, CHANNELS, SIZE, SIZE), np.float32)
    parity = verify(neon, caffe, meta=META, inputs={"data": data})
    assert parity.inputs == "1 given examples"
    assert np.array_equal(neon.fed["input"], data)
    assert np.array_equal(caffe.fed["data"], data)


def test_a_missing_given_input_is_a_clear_error() -> None:
    with pytest.raises(VerificationError, match="input 'data' is missing; given are 'image'"):
        verify(Fake("neon"), Fake("caffe"), meta=META, inputs={"image": np.ones((1, CHANNELS, SIZE, SIZE), np.float32)})


def test_noise_repeats_and_lies_where_preprocessing_puts_pixels() -> None:
    preprocess = {"mean": [104.0, 117.0, 123.0], "scale": 0.5}
    shapes = {"data": (3, 50, 40)}
    values, words = noise(shapes, 2, preprocess)
    again, _ = noise(shapes, 2, preprocess)
    assert np.array_equal(values["data"], again["data"])
    assert values["data"].dtype == np.float32
    for channel, mean in enumerate(preprocess["mean"]):  # type: ignore[arg-type, var-annotated]
        plane = values["data"][:, channel]
        assert plane.min() == (0 - mean) * 0.5
        assert plane.max() == (255 - mean) * 0.5
    assert "104/117/123" in words


def test_noise_without_preprocessing() -> None:
    values, words = noise({"picture": (3, 50, 40), "digit": (1, 28, 28), "features": (7,)}, 3)
    assert values["picture"].min() == -128
    assert values["picture"].max() == 127
    assert abs(values["digit"].std() - 1) < 0.05
    assert values["features"].shape == (3, 7)
    assert words.startswith("3 examples")


def test_a_mean_that_does_not_fit_the_channels_is_refused() -> None:
    with pytest.raises(VerificationError, match="2 values"):
        noise({"data": (3, 4, 4)}, 1, {"mean": [1, 2]})


def test_table_shows_every_comparison_and_marks_the_first() -> None:
    text = table(verify(Fake("neon", wrong="conv1#1"), Fake("caffe"), meta=META, layers=True))
    lines = text.splitlines()
    assert lines[0] == "neon-fake 1 against caffe-fake 1, tolerance 1e-05"
    assert lines[1].startswith("2 examples of seeded noise")
    assert [line.split()[0] for line in lines[3:]] == ["blob", "outputs", "prob", "layers", "conv1", "conv1#1", "fc2", "prob"]
    assert sum("(first)" in line for line in lines) == 1
    assert "(first)" in lines[8]
    assert "5x4x4" in lines[8]


def test_table_of_outputs_alone() -> None:
    lines = table(verify(Fake("neon"), Fake("caffe"), meta=META)).splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["blob", "outputs", "prob"]
    assert lines[-1].endswith("ok")


def test_require_without_layers_tells_how_to_see_more() -> None:
    nan = Difference("prob", "prob", (2,), float("nan"), 1.0, float("nan"))
    fine = Difference("loss", "loss", (2,), 0.0, 1.0, 0.0)
    parity = Parity("neon", "caffe", 1e-5, "2 examples", (fine, nan))
    assert not parity.passed
    with pytest.raises(VerificationError, match=r"(?s)output 'prob'.*--layers"):
        require(parity)
    inside = Parity("neon", "caffe", 1e-5, "2 examples", (nan,), (fine,))
    with pytest.raises(VerificationError, match="no layer that can be compared departs"):
        require(inside)
