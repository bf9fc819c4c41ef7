"""``model.json``: what a user of a published file needs to know about it."""

from __future__ import annotations

from urllib.parse import urlsplit

from caffe2neon import __version__
from caffe2neon.labels import class_order
from caffe2neon.records import JSON, FetchedFile, FetchedModel, ModelSpec, NeonModel, PinnedFile
from caffe2neon.report import to_json


def model_json(spec: ModelSpec, fetched: FetchedModel, model: NeonModel) -> JSON:
    """Licence, sources, shapes, preprocessing, classes, notes."""
    meta = model.meta
    return {
        "schema": 1,
        "name": spec.name,
        "description": spec.description,
        "license": spec.license,
        "converter": {"caffe2neon": __version__, "neon": str(model.header["neon_version"])},
        "sources": {
            "prototxt": _provenance(spec.prototxt, fetched.prototxt),
            "caffemodel": _provenance(spec.caffemodel, fetched.caffemodel),
        },
        "fixes": to_json(spec.fixes),
        "input": {"name": to_json(meta["inputs"][0]), "shape": to_json(model.input_shape)},
        "outputs": to_json(meta["outputs"]),
        "preprocess": to_json(spec.preprocess),
        "class_order": class_order(model) or (spec.dataset.class_order if spec.dataset else ""),
        "published": to_json(spec.published),
        "notes": to_json(meta["notes"]),
    }


def _provenance(pinned: PinnedFile, file: FetchedFile) -> JSON:
    """Where the file is from by the manifest; the folders of this machine are nobody else's business."""
    local = urlsplit(pinned.url).scheme == "file"
    place = {"url": pinned.url.rpartition("/")[2] if local else pinned.url, **({"member": pinned.member} if pinned.member else {})}
    return {**place, "sha256": file.sha256, "size": file.size}
