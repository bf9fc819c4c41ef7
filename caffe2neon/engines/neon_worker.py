"""Runs one model in the real neon v1.4.0. Python 2.7, numpy and neon only; never imported by caffe2neon.

Called as ``INTERPRETER neon_worker.py REQUEST RESPONSE``. Both are JSON files; arrays lie beside them as ``.npy``.

Request, protocol 1::

    {"protocol": 1, "task": "probe", "backend": "cpu" or "gpu"}
    {"protocol": 1, "task": "run", "backend": ..., "model": FILE.prm, "input": FILE.npy, "batch": n, "taps": [layer, ...],
     "memory": bytes or 0}

``input`` is float32, (N, C, H, W) or (N, n). neon's batch size is fixed for a process, so N is cut into batches of ``batch``, the
last one filled up with copies of its last example, whose results are dropped. ``memory`` limits the address space. ``gpu`` is
taken where neon finds one of compute capability 5.x, for which its kernels are made; elsewhere the CPU computes.

Response::

    {"protocol": 1, "neon": "1.4.0", "numpy": "1.9.3", "backend": "cpu" or "gpu"}                          probe
    {"protocol": 1, "neon": ..., "numpy": ..., "backend": ..., "outputs": ["out0.npy", ...], "taps": {name: "tap0.npy"}}   run
    {"protocol": 1, "stage": "import" | "load" | "initialize" | "fprop", "error": "TypeError: ..."}        neon refused

Arrays in it are float32 with the batch axis first and the layer's shape after it; a vector has one axis. A tap is a copy of what
the layer's fprop returned, made right after it, for later layers may work in its buffer; of several layers of one name the first to
run.

Exit codes: 0, a response was written (errors of neon too: they are data); 2, wrong arguments, or a request this worker does not
know. Anything else: it died. Standard output carries no data. The file is unpickled with the globals of a numpy array and no other,
so that a hostile file runs nothing.
"""

# Python 2.7 has no pathlib, no f-strings and no unpacking in lists:
# ruff: noqa: C402, I001, PTH104, PTH118, PTH120, PTH123, RUF005, UP004, UP031

import json
import os
import resource
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
    with open(arguments[0]) as stream:
        request = json.load(stream)
    if request.get("protocol") != PROTOCOL or request.get("task") not in ("probe", "run"):
        sys.stderr.write("a request of protocol %r, task %r\n" % (request.get("protocol"), request.get("task")))
        return 2
    job = Job(os.path.dirname(arguments[1]))
    try:
        job.probe(request["backend"])
        if request["task"] == "run":
            job.run(request)
    except (Exception, SystemExit) as error:
        job.response = {"stage": job.stage, "error": "%s: %s" % (type(error).__name__, error)}
    job.response["protocol"] = PROTOCOL
    with open(arguments[1] + ".part", "w") as stream:
        json.dump(job.response, stream)
    os.rename(arguments[1] + ".part", arguments[1])
    return 0


class Job(object):
    def __init__(self, folder):
        self.folder = folder
        self.stage = "import"
        self.response = {}

    def probe(self, backend):
        import neon
        import numpy

        self.response = {"neon": neon.__version__, "numpy": numpy.__version__, "backend": device(backend)}

    def run(self, request):
        import numpy as np
        from neon.backends import gen_backend
        from neon.models import Model

        if request["memory"]:
            resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
        self.stage = "load"
        data = np.load(request["input"])
        batch = request["batch"]
        self.response["backend"] = device(request["backend"])
        backend = gen_backend(backend=self.response["backend"], batch_size=batch, rng_seed=0)
        model = Model(load(request["model"]))
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
            filled = np.concatenate([part] + [part[-1:]] * (batch - len(part)))
            taken.clear()
            source.set(np.ascontiguousarray(filled.T))
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
