"""Many models in the real neon v1.4.0, in one process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from caffe2neon.engines import neon_external
from caffe2neon.neon import write_prm
from caffe2neon.records import Array, NeonModel, float32

Outputs = dict[str, Array]


def run_in_neon(python: str, models: Mapping[str, tuple[NeonModel, Array]], folder: Path) -> dict[str, Outputs | str]:
    """What neon computes of each model and its input: outputs by the names in ``meta``, or the error in neon's words."""
    requests = []
    for index, (model, x) in enumerate(models.values()):
        place = folder / str(index)
        place.mkdir()
        write_prm(model, place / "net.prm")
        np.save(place / "input.npy", float32(x))
        task = {"model": str(place / "net.prm"), "input": str(place / "input.npy"), "batch": len(x), "taps": [], "memory": 0}
        requests.append({**task, "backend": "cpu", "folder": str(place)})
    (folder / "requests.json").write_text(json.dumps(requests))
    jobs = Path(neon_external.__file__).with_name("neon_worker.py")
    batch = Path(__file__).with_name("neon_batch_worker.py")
    subprocess.run([python, str(batch), str(jobs), str(folder / "requests.json")], check=True, capture_output=True)
    return {
        name: _outputs(folder / str(index), model) for index, (name, (model, _)) in enumerate(models.items())
    }


def _outputs(folder: Path, model: NeonModel) -> Outputs | str:
    response = json.loads((folder / "response.json").read_text())
    if "error" in response:
        return f"{response['stage']}: {response['error']}"
    return {name: np.load(folder / file) for name, file in zip(model.meta["outputs"], response["outputs"], strict=True)}
