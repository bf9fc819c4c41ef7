"""The manifest, and the files it names: manifest -> fetch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe2neon.records.basics import Shape


@dataclass(frozen=True)
class PinnedFile:
    """A file by address and digest. ``digest`` is lower-case hex of ``algorithm`` (sha256, sha384, sha1).

    ``digest`` is "" only where no hash of the file is known; such a file is never converted. With ``member``, the pinned file is an
    archive (zip or tar), and that path inside it is meant: the archive's hash decides what the member is.
    """

    url: str
    algorithm: str
    digest: str
    size: int | None = None
    mirrors: tuple[str, ...] = ()
    member: str = ""


@dataclass(frozen=True)
class TextFix:
    """One replacement in a prototxt that is needed before Caffe reads it. ``count``: how often ``find`` must be there; None: at
    least once."""

    find: str
    replace: str
    count: int | None = None


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes a net's input, in the order in which Caffe does it.

    ``resize`` squashes to (H, W); ``crop`` is a centred (H, W); ``mean`` has one value, or one per channel in ``channel_order``
    (BGR, RGB, GRAY); the input is ``(pixel - mean) * scale``, pixels 0..255.
    """

    channel_order: str = "BGR"
    resize: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    scale: float = 1.0

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Preprocess:
        """What :attr:`NeonModel.meta` holds of it; fields that this version does not know are left out."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
            if name in cls.__dataclass_fields__
        }
        return cls(**fields)


@dataclass(frozen=True)
class Published:
    """Accuracy as the model's authors state it, in percent. ``topk`` maps k to percent."""

    topk: Mapping[int, float]
    protocol: str = ""
    source: str = ""


@dataclass(frozen=True)
class Tolerance:
    """``parity``: max |difference| / max(1, max |reference|). ``top1``: percentage points below the published value."""

    parity: float = 1e-5
    top1: float = 0.5


@dataclass(frozen=True)
class DatasetSpec:
    """Where a labelled data set lies.

    ``kind``: npz, idx, image_list, folder, ilsvrc12_tar, lmdb or macrobatch. ``path`` is the file that holds it, or the folder;
    ``labels`` is the second file that some kinds have: ``val.txt``, the idx labels, the devkit, the list of a folder's classes.
    ``class_order``: caffe, neon, or "" for what the kind itself says, which may be that there is just one.
    """

    name: str
    kind: str
    path: Path
    labels: Path | None = None
    class_order: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """One entry of ``zoo.yaml``, validated. ``input`` is (C, H, W).

    ``expect`` is what should become of it: ``published``; ``refused``, because neon has no exact form for it; ``unpinned``, because
    no hash of one of its files is known, so that nothing is fetched. ``reason`` says why it is not published, and is empty where
    it is. ``class_order`` is that of the Caffe model's outputs: caffe, neon (ILSVRC12), or "" where nothing is said. ``fixes`` are
    made in the prototxt, one after the other.
    """

    name: str
    prototxt: PinnedFile
    caffemodel: PinnedFile
    license: str
    label_remap: bool = False
    input: Shape | None = None
    preprocess: Preprocess = Preprocess()
    dataset: DatasetSpec | None = None
    published: Published | None = None
    tolerance: Tolerance = Tolerance()
    groups: tuple[str, ...] = ()
    description: str = ""
    expect: str = "published"
    reason: str = ""
    class_order: str = ""
    fixes: tuple[TextFix, ...] = ()

    @property
    def license_known(self) -> bool:
        """Not where the manifest says ``unknown``, as ``zoo add`` does for whoever does not say better."""
        return self.license.partition(":")[0].strip().lower() != "unknown"


@dataclass(frozen=True)
class Manifest:
    """A whole ``zoo.yaml``; relative paths in it start at ``path``'s folder. ``warnings``: what is allowed but unwise."""

    path: Path
    models: tuple[ModelSpec, ...]
    datasets: Mapping[str, DatasetSpec]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FetchedFile:
    """A file on this machine whose digest was just checked. ``url`` is the address it really came from."""

    path: Path
    url: str
    sha256: str
    size: int


@dataclass(frozen=True)
class FetchedModel:
    spec: ModelSpec
    prototxt: FetchedFile
    caffemodel: FetchedFile
