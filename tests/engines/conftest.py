"""What tests of engines share."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.engines.neon_models import saved, sequential, weighted


@pytest.fixture
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where all that a test exchanges with a worker lies, so that what is left shows."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two numbers in, the same out."""
    return saved(tmp_path / "m.prm", sequential("main", weighted("Linear", "fc", np.eye(2), nout=2)), (2,))
