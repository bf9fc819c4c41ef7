"""Runs one model in the real neon v1.4.0. Python 2.7, numpy and neon only; never imported by caffe2neon.

Called as ``INTERPRETER neon_worker.py REQUEST RESPONSE``. Both are JSON files; arrays lie beside them as ``.npy``.

Request, protocol 1::

    {"protocol": 1, "task": "probe", "backend": "cpu" or "gpu"}
    {"protocol": 1, "task": "run", "backend": ..., "model": FILE.prm, "input": FILE.npy, "batch": n, "taps": [layer, ...],
     "memory": bytes or 0}
    {"protocol": 1, "task": "evaluate", "backend": ..., "model": ..., "batch": n, "memory": ..., "topk": [k, ...], "output": index,
     "array": {"input": FILE.npy, "labels": FILE.npy, "classes": n}
       or "macrobatches": {"folder": ..., "subset": "train" or "validation", "first": file's number, "skip": examples of it,
                           "count": n, "size": pixels, "scale_range": pixels or 0, "mean": [blue, green, red]}}

``input`` is float32, (N, C, H, W) or (N, n). neon's batch size is fixed for a process, so N is cut into batches of ``batch``, the
last one filled up with copies of its last example, whose results are dropped. ``memory`` limits the address space. ``gpu`` is
taken where neon finds one of compute capability 5.x, for which its kernels are made; elsewhere the CPU computes.

``evaluate`` feeds neon's ``ArrayIterator``, or its ``ImageLoader`` with ``do_transforms=False``, and asks its
``TopKMisclassification`` of the output ``index``.

Response::

    {"protocol": 1, "neon": "1.4.0", "numpy": "1.9.3", "backend": "cpu" or "gpu", "loader": bool}          probe
    {"protocol": 1, "neon": ..., "numpy": ..., "backend": ..., ...}                                        all others, and there
    {..., "outputs": ["out0.npy", ...], "taps": {name: "tap0.npy"}}                                        run
    {..., "misclassified": "misclassified.npy", "labels": "labels.npy"}                                    evaluate
    {"protocol": 1, "stage": "import" | "load" | "initialize" | "fprop", "error": "TypeError: ..."}        neon refused

Arrays in it are float32 with the batch axis first and the layer's shape after it; a vector has one axis. A tap is a copy of what
the layer's fprop returned, made right after it, for later layers may work in its buffer; of several layers of one name the first to
run. ``loader``: neon's loader library is built, with OpenCV. ``misclassified``: for each example, for each k, 1 minus what the
metric gives it: on a GPU, where scores tie, neither 0 nor 1. ``labels``: for each example what the iterator said, as float32.

Exit codes: 0, a response was written (errors of neon too: they are data); 2, wrong arguments, or a request this worker does not
know. Anything else: it died. Standard output carries no data. The file is unpickled with the globals of a numpy array and no other,
so that a hostile file runs nothing.
"""

# Python 2.7 has no pathlib, no f-strings and no unpacking in lists:
# ruff: noqa: C402, I001, PTH104, PTH118, PTH120, PTH123, RUF005, UP004, UP031

import json
import os
import resource
import signal
import sys

PROTOCOL = 1
GLOBALS = frozenset(
    [
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    ]
)


def main(arguments):
    if len(arguments) != 2:
        sys.stderr.write("usage: neon_worker.py REQUEST RESPONSE\n")
        return 2
    end_with_parent()
    with open(arguments[0]) as stream:
        request = json.load(stream)
    if request.get("protocol") != PROTOCOL or request.get("task") not in ("probe", "run", "evaluate"):
        sys.stderr.write("a request of protocol %r, task %r\n" % (request.get("protocol"), request.get("task")))
        return 2
    job = Job(os.path.dirname(arguments[1]))
    try:
        job.start(request["backend"])
        getattr(job, request["task"])(request)
    except (Exception, SystemExit) as error:
        job.response = {"stage": job.stage, "error": "%s: %s" % (type(error).__name__, error)}
    job.response["protocol"] = PROTOCOL
    with open(arguments[1] + ".part", "w") as stream:
        json.dump(job.response, stream)
    os.rename(arguments[1] + ".part", arguments[1])
    return 0


def end_with_parent():
    """Who is killed cannot stop this process, and nobody would read what it finds."""
    import ctypes

    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Job(object):
    def __init__(self, folder):
        self.folder = folder
        self.stage = "import"
        self.response = {}

    def start(self, backend):
        import neon
        import numpy

        self.response = {"neon": neon.__version__, "numpy": numpy.__version__, "backend": device(backend)}

    def probe(self, request):  # noqa: ARG002 - as all tasks
        self.response["loader"] = has_loader()

    def open(self, request):
        """The backend, which rounds the batch up to what its kernels take, and the model, not initialized."""
        from neon.backends import gen_backend
        from neon.models import Model

        if request["memory"]:
            resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
        self.stage = "load"
        kind = self.response["backend"]
        batch = request["batch"] + (-request["batch"] % 32 if kind == "gpu" else 0)
        backend = gen_backend(backend=kind, batch_size=batch, rng_seed=0)
        return backend, Model(load(request["model"]))

    def run(self, request):
        import numpy as np

        backend, model = self.open(request)
        data, batch = np.load(request["input"]), backend.bsz
        self.stage = "initialize"
        shape = data.shape[1:]
        model.initialize(shape[0] if len(shape) == 1 else shape)
        taken = {}
        shapes = tap(model.layers, set(request["taps"]), taken)
        self.stage = "fprop"
        source = backend.iobuf(shape[0] if len(shape) == 1 else shape)
        found = []
        for start in range(0, len(data), batch):
            part = data[start : start + batch].reshape(-1, source.shape[0])
            taken.clear()
            source.set(np.ascontiguousarray(filled(part, batch).T))
            outputs = model.fprop(source, inference=True)
            outputs = outputs if isinstance(outputs, list) else [outputs]
            found.append(([each.get() for each in outputs], dict(taken)))
        ends = model.layers.out_shape
        ends = ends if isinstance(ends, list) else [ends]
        self.response["outputs"] = [
            self.save("out%d.npy" % index, [outputs[index] for outputs, _ in found], ends[index], len(data))
            for index in range(len(found[0][0]))
        ]
        self.response["taps"] = dict(
            (name, self.save("tap%d.npy" % index, [taps[name] for _, taps in found], shapes[name], len(data)))
            for index, name in enumerate(sorted(found[0][1]))
        )

    def evaluate(self, request):
        """As neon's ``Model.eval``, which gives no more than the mean over all."""
        import numpy as np
        from neon.transforms import TopKMisclassification

        backend, model = self.open(request)
        batch = backend.bsz
        if "array" in request:
            iterator, skip, count = from_array(batch, **request["array"])
        else:
            iterator, skip, count = from_macrobatches(**request["macrobatches"])
        self.stage = "initialize"
        model.initialize(iterator)
        metrics = [TopKMisclassification(k) for k in request["topk"]]
        self.stage = "fprop"
        iterator.reset()
        wrong, labels, done = [], [], 0
        for data, target in iterator:
            done += batch
            if done > skip:
                scores = model.fprop(data, inference=True)
                scores = scores[request["output"]] if isinstance(scores, list) else scores
                labels.append(target.get().argmax(axis=0)[np.newaxis])
                wrong.append(np.array([misclassified(metric, scores, target) for metric in metrics]))
        first = skip - skip // batch * batch  # in the first batch that was computed
        for name, parts in (("misclassified", wrong), ("labels", labels)):
            whole = np.concatenate(parts, axis=1).T[first : first + count]
            np.save(os.path.join(self.folder, name + ".npy"), np.ascontiguousarray(whole, dtype=np.float32))
            self.response[name] = name + ".npy"

    def save(self, name, parts, shape, count):
        """(features, N) parts -> one (N, shape...) file; its name."""
        import numpy as np

        shape = shape if isinstance(shape, tuple) else (shape,)
        shape = shape[:1] if len(shape) == 2 and shape[1] == 1 else shape
        whole = np.concatenate(parts, axis=1).T[:count].reshape((count,) + tuple(int(n) for n in shape))
        np.save(os.path.join(self.folder, name), np.ascontiguousarray(whole, dtype=np.float32))
        return name


def device(asked):
    from neon.backends.util.check_gpu import get_compute_capability

    return "gpu" if asked == "gpu" and int(get_compute_capability()) == 5 else "cpu"


def has_loader():
    import ctypes
    import neon

    place = os.path.dirname(os.path.dirname(os.path.realpath(neon.__file__)))
    try:
        ctypes.cdll.LoadLibrary(os.path.join(place, "loader", "bin", "loader.so"))
    except OSError:
        return False
    with open("/proc/self/maps") as maps:  # without OpenCV it can be built, but reads no picture
        return "opencv" in maps.read()


def filled(rows, count):
    """At least ``count`` rows: the last one is repeated."""
    import numpy as np

    return np.concatenate([rows] + [rows[-1:]] * (count - len(rows)))


def from_array(batch, input, labels, classes):  # noqa: A002 - the request's name
    """An iterator, how many examples are to be left out, and how many follow that count."""
    import numpy as np
    from neon.data import ArrayIterator

    data, labels = np.load(input), np.load(labels)
    rows, shape = filled(data.reshape(len(data), -1), batch), data.shape[1:]
    lshape = None if len(shape) == 1 else shape
    return ArrayIterator(rows, filled(labels, batch), nclass=classes, lshape=lshape), 0, len(data)


def from_macrobatches(folder, subset, first, skip, count, size, scale_range, mean):
    """As :func:`from_array`. The loader begins at the file that it is told of, not at the set's first."""
    from neon.data import ImageLoader

    class Part(ImageLoader):
        def configure(self, *arguments):
            ImageLoader.configure(self, *arguments)
            setattr(self, self.set_name + "_start", first)
            self.recs_available = self.ndata = skip + count

    loader = Part(set_name=str(subset), repo_dir=str(folder), inner_size=size, scale_range=scale_range, do_transforms=False)
    means = loader.media_params
    means.blue_mean, means.green_mean, means.red_mean = mean
    return loader, skip, count


def misclassified(metric, scores, target):
    """For each example of the batch; what the metric returns is their mean.

    NaN where a score is none or infinite: infinity times 0 is NaN, and the metric calls what compares with nothing right.
    """
    import numpy as np

    metric(scores, target)
    return np.where(np.isfinite(scores.get()).all(axis=0), metric.topk.get()[0], np.nan)


def load(path):
    """As ``neon.util.persist.load_obj``, but nothing beyond numpy arrays is ever looked up."""
    import cPickle
    import gzip

    def find_global(module, name):
        if (module, name) not in GLOBALS:
            raise ValueError("the file asks for %s.%s" % (module, name))
        __import__(module)
        return getattr(sys.modules[module], name)

    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as stream:
        unpickler = cPickle.Unpickler(stream)
        unpickler.find_global = find_global
        return unpickler.load()


def tap(container, names, taken):
    """Make every layer named in ``names`` leave a copy of its output in ``taken``; returns the layers' shapes."""
    shapes = {}
    for layer in [container] + list(getattr(container, "layers", [])):
        if layer.name in names and not isinstance(layer.out_shape, list) and "fprop" not in vars(layer):
            shapes.setdefault(layer.name, layer.out_shape)
            layer.fprop = copying(layer, layer.fprop, taken)
        if layer is not container and hasattr(layer, "layers"):
            for name, shape in tap(layer, names, taken).items():
                shapes.setdefault(name, shape)
    return shapes


def copying(layer, fprop, taken):
    def wrapper(*arguments, **keywords):
        output = fprop(*arguments, **keywords)
        if layer.name not in taken:
            taken[layer.name] = output.get()
        return output

    return wrapper


if __name__ == "__main__":
    sys.path.pop(0)  # this file's folder, whose modules are of Python 3
    sys.exit(main(sys.argv[1:]))
