"""What all tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# A shell starts what it runs in the background with SIGINT ignored, nohup with SIGHUP, and children inherit that: tests of stopping
# would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# ONNX Runtime, which some tests import by themselves, reports nothing to its makers; see engines/onnx_graph.py.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(*parts: str) -> Path:
    """A file of the developers' test data, which a plain clone does not have: the test is skipped there, saying so."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs ../shared/{'/'.join(parts)}, which only developers have")
    return path


@pytest.fixture
def neon_python() -> str:
    """The interpreter that imports the real neon v1.4.0; tests that use it carry the mark ``neon``."""
    interpreter = os.environ.get("CAFFE2NEON_NEON_PYTHON")
    if not interpreter:
        pytest.skip("needs the real neon v1.4.0: set CAFFE2NEON_NEON_PYTHON")
    return interpreter


@pytest.fixture
def caffe_python() -> str:
    """The interpreter that imports real pycaffe; tests that use it carry the mark ``caffe``."""
    interpreter = os.environ.get("CAFFE2NEON_CAFFE_PYTHON")
    if not interpreter:
        pytest.skip("needs real pycaffe: set CAFFE2NEON_CAFFE_PYTHON")
    return interpreter
