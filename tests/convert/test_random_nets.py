"""Random nets that fork and join: each converts and computes what Caffe does, or is refused; never a wrong number."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffe2neon.errors import UnsupportedError
from caffe2neon.graph import build_graph
from caffe2neon.records import Array, NeonModel
from tests.convert.nets import assert_close, converted, neon_outputs, noise, random_weights, reference
from tests.convert.random_nets import random_net
from tests.convert.real_neon import run_in_neon
from tests.nets import parse


def _both(text: str) -> tuple[NeonModel, Array, dict[str, Array]] | None:
    """The model, an input, and what Caffe computes of it; None where the net is refused, with reasons."""
    net = parse(text)
    weights, x = random_weights(net), noise(build_graph(net).inputs[0].shape)
    try:
        model = converted(net, weights)
    except UnsupportedError:
        return None
    return model, x, reference(net, weights, x)


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_converts_and_matches_or_is_refused(draw: st.DataObject) -> None:
    both = _both(random_net(lambda options: draw.draw(st.sampled_from(list(options)))))
    if both is None:
        return
    model, x, expected = both
    assert_close(neon_outputs(model, x), expected)


@pytest.mark.neon
def test_the_real_neon_computes_the_same(neon_python: str, tmp_path: Path) -> None:
    """60 seeded nets, in one process."""
    nets = {}
    for number in range(60):
        generator = random.Random(number)
        both = _both(random_net(lambda options, generator=generator: generator.choice(list(options))))  # type: ignore[misc]
        if both is not None:
            nets[str(number)] = both
    assert len(nets) > 30
    computed = run_in_neon(neon_python, {seed: (model, x) for seed, (model, x, _) in nets.items()}, tmp_path)
    for seed, outputs in computed.items():
        assert not isinstance(outputs, str), f"seed {seed}: {outputs}"
        assert_close(outputs, nets[seed][2])
