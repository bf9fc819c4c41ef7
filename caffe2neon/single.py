"""One model by hand: what the commands convert, verify and evaluate do, and what the pipeline does for every entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from caffe2neon.caffe import at_inference, deploy, read_net, read_weights, require_finite
from caffe2neon.convert import check, check_types, convert
from caffe2neon.errors import DataError, GraphError, UnsupportedError, located
from caffe2neon.files import atomic_write, digest, open_path
from caffe2neon.graph import build_graph, lay_out, simplify
from caffe2neon.labels import CAFFE, NEON, builtin_map, class_order, remap
from caffe2neon.neon import read_prm, write_prm_stream
from caffe2neon.records import (
    Array,
    CaffeNet,
    CaffeWeights,
    Counts,
    DatasetSpec,
    Evaluation,
    FetchedFile,
    Layout,
    NeonModel,
    Parity,
    Preprocess,
    Progress,
    Shape,
    no_progress,
)
from caffe2neon.verify import require


def lay_out_net(net: CaffeNet) -> Layout:
    """The graph of a net, taken apart; nothing is left that the converter could refuse but how arms nest.

    Raises:
        UnsupportedError: all layers that neon has no exact form for; where an unknown type keeps the graph from being built, all
            layers whose type alone rules them out.
        GraphError: Caffe would refuse the net.
    """
    try:
        graph = simplify(build_graph(net))
    except GraphError:
        if findings := check_types(net):
            raise UnsupportedError(findings) from None
        raise
    if findings := check(graph):
        raise UnsupportedError(findings)
    return lay_out(graph)


@dataclass(frozen=True)
class NetOptions:
    """Which net of a prototxt is meant: see :func:`~caffe2neon.caffe.read_net` and :func:`~caffe2neon.caffe.deploy`."""

    phase: str = "TEST"
    stages: tuple[str, ...] = ()
    level: int = 0
    shape: Shape | None = None
    head: str = ""
    cut: str = ""


def load_net(prototxt: Path, options: NetOptions = NetOptions()) -> CaffeNet:
    """The net that is to be converted: read, upgraded, filtered, without data layers; with its losses only in phase TRAIN."""
    net = read_net(prototxt, phase=options.phase, stages=options.stages, level=options.level)
    return deploy(net, shape=options.shape, head=options.head, cut=options.cut, train=options.phase == "TRAIN")


def convert_files(
    prototxt: Path,
    caffemodel: Path,
    output: Path,
    *,
    options: NetOptions = NetOptions(),
    remap_classes: bool = False,
    preprocess: Preprocess | None = None,
    tolerance: float | None = None,
) -> tuple[NeonModel, Parity | None]:
    """Convert one model and write it; whatever lay at ``output`` stays until the new file is complete and, if asked, verified.

    Args:
        tolerance: compare with Caffe before the file gets its name; None does not compare.

    Raises:
        Caffe2NeonError: of the room that failed.
    """
    parity = None
    with located(stage="convert"):
        net = load_net(prototxt, options)
        layout = lay_out_net(net)
        if preprocess is not None:
            preprocess = _fitting(preprocess, layout.trunk.source.shape[1:])
        weights = read_weights(caffemodel)
        require_finite(net, weights)
        source = source_record(_by_hand(prototxt), _by_hand(caffemodel))
        model = convert(layout, weights, source=source, preprocess=preprocess)
        if remap_classes:
            model = remap(model, builtin_map())
        with located(path=str(output)), atomic_write(output) as stream:
            write_prm_stream(model, stream)
            if tolerance is not None:
                stream.flush()
                parity = compare(open_path(stream), net, weights, tolerance=tolerance, layers=True)
                require(parity)
    return model, parity


def _fitting(preprocess: Preprocess, shape: Shape) -> Preprocess:
    """A preprocessing that yields ``shape``: pictures for one channel are gray.

    Raises:
        DataError: it cannot, whatever the picture.
    """
    from caffe2neon.evaluate import Preprocessor

    if shape[:1] == (1,):
        preprocess = replace(preprocess, channel_order="GRAY")
    Preprocessor(preprocess, shape)
    return preprocess


def _by_hand(path: Path) -> FetchedFile:
    return FetchedFile(path, path.name, digest(path), path.stat().st_size)


def source_record(prototxt: FetchedFile, caffemodel: FetchedFile) -> dict[str, Any]:
    """What a model file says of the files it was made of: names without folders, and hashes."""
    files = {"prototxt": prototxt, "caffemodel": caffemodel}
    return {role: {"name": file.url.rpartition("/")[2], "sha256": file.sha256} for role, file in files.items()}


def compare(
    prm: Path,
    net: CaffeNet,
    weights: CaffeWeights,
    *,
    tolerance: float = 1e-5,
    layers: bool = False,
    engine: str = "auto",
    reference: str = "auto",
    batch: int = 2,
    threads: int = 0,
) -> Parity:
    """A model file against the Caffe net it was made of, on ``batch`` examples of seeded noise, at inference.

    ``threads`` 0 means one a core.
    """
    from caffe2neon.engines import open_caffe, open_neon
    from caffe2neon.verify import verify

    neon = open_neon(prm, engine=engine, threads=threads)
    caffe = open_caffe(at_inference(net), weights, engine=reference, batch=batch, threads=threads)
    return verify(neon, caffe, meta=read_prm(prm).meta, tolerance=tolerance, layers=layers, batch=batch)


@dataclass(frozen=True)
class MeasureOptions:
    """How accuracy is measured.

    ``threads`` compute, ``workers`` decode; 0 and None mean one a core.
    ``order`` says in which order the model's classes are ("caffe", "neon"); left empty, a file of ours knows: it is in neon's once
    it was remapped, and in Caffe's until then. ``skip_bad`` leaves out pictures that cannot be read; the result names them.
    """

    engine: str = "auto"
    topk: tuple[int, ...] = (1, 5)
    workers: int | None = None
    threads: int = 0
    order: str = ""
    skip_bad: bool = False


#: :func:`measure`, or what stands for it where several processes measure.
Measure: TypeAlias = Callable[[Path, DatasetSpec, Preprocess, MeasureOptions, Progress], Evaluation]


def measure(
    prm: Path,
    dataset: DatasetSpec,
    preprocess: Preprocess,
    how: MeasureOptions = MeasureOptions(),
    progress: Progress = no_progress,
) -> Evaluation:
    """Top-k accuracy of a model file over a data set; see :func:`measure_part`, which raises what this raises."""
    from caffe2neon.evaluate import total

    return total([measure_part(prm, dataset, preprocess, how, progress=progress)])


def measure_part(
    prm: Path,
    dataset: DatasetSpec,
    preprocess: Preprocess,
    how: MeasureOptions = MeasureOptions(),
    *,
    part: range | None = None,
    progress: Progress = no_progress,
) -> Counts:
    """What a model file has right of the examples in ``part``; None is the whole data set.

    Raises:
        DataError: the data set is missing, damaged or does not fit; or nobody knows the order of its labels, and it matters.
        EngineError, PrmError, UsageError: of the engine, the file, and ``how.topk``.
    """
    from caffe2neon.engines import open_neon
    from caffe2neon.evaluate import count, open_dataset

    data = open_dataset(dataset)
    model = read_prm(prm)
    recorded = how.order or class_order(model)
    if recorded == NEON and not data.class_order:
        remedy = "say so: --class-order caffe (or neon); in a manifest, class_order under datasets"
        message = "the model's classes are in neon's order; in which order are this data set's labels?"
        raise DataError(message, path=str(dataset.path), remedy=remedy)
    opened = open_neon(prm, engine=how.engine, threads=how.threads)
    model_order = recorded or (CAFFE if data.class_order else "")
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(f"evaluate {prm.stem}", done, len(data.labels) if part is None else len(part))

    return count(
        opened,
        data,
        preprocess,
        model_order=model_order,
        topk=how.topk,
        label_map=_label_map(model) if model_order != data.class_order else None,
        part=part,
        skip_bad=how.skip_bad,
        workers=how.workers,
        progress=advance,
    )


def _label_map(model: NeonModel) -> Array:
    """Caffe's index of each of the model's classes: by the map it was reordered with, which need not be the built-in one."""
    done = model.meta.get("remap")
    return np.asarray(done["map"]) if done else builtin_map().array
