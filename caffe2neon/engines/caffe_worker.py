"""Runs one net in real pycaffe. Python 2.7 or 3, numpy and pycaffe only; never imported by caffe2neon.

Called as ``INTERPRETER caffe_worker.py REQUEST RESPONSE``. Both are JSON files; arrays lie beside them as ``.npy``.

Request, protocol 1::

    {"protocol": 1, "task": "probe"}
    {"protocol": 1, "task": "run", "net": FILE.prototxt, "layers": [name, ...], "weights": FILE.caffemodel or null,
     "known": [layer, ...], "params": {layer: ["p0_0.npy", ...]}, "inputs": {blob: "in0.npy"},
     "wanted": [[key, layer number or -1, blob], ...], "memory": bytes or 0}

``layers`` are the net's layers in order; Caffe's own (Split, Input) may stand between them. ``weights`` are copied by layer name as
Caffe does it, then ``params`` overwrite learnable blobs of as many numbers. A layer with learnable blobs that neither names
(``known`` are the layers of the caffemodel) is an error, where Caffe would go on with its filler. ``inputs`` also say the batch.
``wanted`` are blobs, read right after the layer of that number, for later layers may work in their memory; -1 is before the
first. ``memory`` limits the address space.

Response::

    {"protocol": 1, "caffe": "ca4e3428b...", "layer_types": [...], "schema": "caffe.desc"}         probe
    {"protocol": 1, "caffe": ..., "values": {key: "out0.npy"}}                                      run
    {"protocol": 1, "stage": "import" | "load" | "weights" | "forward", "error": "ImportError: ..."}   it failed

``caffe`` is a file REVISION in the package, else its ``__version__``, else null. ``schema`` is the caffe.proto of this Caffe, as a
serialized FileDescriptorProto. Arrays are float32 in the blob's shape.

Exit codes: 0, a response was written; 2, wrong arguments, or a request this worker does not know. Whatever Caffe itself refuses
kills the process by SIGABRT, after a line on standard error that says why. Standard output carries no data.
"""

# Python 2.7 has no pathlib, no f-strings and no unpacking in lists:
# ruff: noqa: B905, C402, PTH104, PTH110, PTH118, PTH120, PTH123, UP004, UP031

import json
import os
import resource
import signal
import sys

PROTOCOL = 1


def main(arguments):
    if len(arguments) != 2:
        sys.stderr.write("usage: caffe_worker.py REQUEST RESPONSE\n")
        return 2
    end_with_parent()
    with open(arguments[0]) as stream:
        request = json.load(stream)
    if request.get("protocol") != PROTOCOL or request.get("task") not in ("probe", "run"):
        sys.stderr.write("a request of protocol %r, task %r\n" % (request.get("protocol"), request.get("task")))
        return 2
    job = Job(os.path.dirname(arguments[1]))
    try:
        job.start()
        if request["task"] == "run":
            job.run(request)
        else:
            job.probe()
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

    def start(self):
        import caffe

        self.response = {"caffe": revision(caffe)}
        caffe.set_mode_cpu()

    def probe(self):
        import caffe
        from caffe.proto import caffe_pb2

        with open(os.path.join(self.folder, "caffe.desc"), "wb") as stream:
            stream.write(caffe_pb2.DESCRIPTOR.serialized_pb)
        self.response["layer_types"] = list(caffe.layer_type_list())
        self.response["schema"] = "caffe.desc"

    def run(self, request):
        import caffe
        import numpy as np

        if request["memory"]:
            resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
        self.stage = "load"
        inputs = dict((str(name), self.load(file)) for name, file in request["inputs"].items())
        net = caffe.Net(str(request["net"]), caffe.TEST)
        numbers = positions([str(name) for name in net._layer_names], request["layers"])
        self.stage = "weights"
        if request["weights"]:
            net.copy_from(str(request["weights"]))
        given = dict((str(name), [self.load(file) for file in files]) for name, files in request["params"].items())
        self.fill(net, given, set(request["known"]))
        self.stage = "forward"
        for name, value in inputs.items():
            net.blobs[name].reshape(*value.shape)
        net.reshape()
        for name, value in inputs.items():
            net.blobs[name].data[...] = value
        wanted = {}
        for key, number, blob in request["wanted"]:
            wanted.setdefault(-1 if number < 0 else numbers[number], []).append((key, str(blob)))
        values = {}
        for number in range(-1, len(net.layers)):
            if number >= 0:
                net._forward(number, number)
            for key, blob in wanted.get(number, []):
                values[key] = "out%d.npy" % len(values)
                np.save(os.path.join(self.folder, values[key]), np.array(net.blobs[blob].data, dtype=np.float32, order="C"))
        self.response["values"] = values

    def fill(self, net, given, known):
        for name, blobs in net.params.items():
            if name not in given and name not in known:
                raise ValueError("layer %r has learnable blobs, but no weights are given" % name)
            for blob, value in zip(blobs, given.get(name, [])):
                blob.data[...] = value.reshape(blob.data.shape)

    def load(self, name):
        import numpy as np

        return np.load(os.path.join(self.folder, name))


def revision(caffe):
    path = os.path.join(os.path.dirname(caffe.__file__), "REVISION")
    if os.path.exists(path):
        with open(path) as stream:
            return stream.read().strip()
    return getattr(caffe, "__version__", None)


def positions(built, asked):
    """Where in the net that Caffe built each layer asked for is; Caffe adds layers, but never reorders."""
    found = []
    for number, name in enumerate(built):
        if len(found) < len(asked) and name == asked[len(found)]:
            found.append(number)
    if len(found) != len(asked):
        raise ValueError("Caffe built no layer %r" % asked[len(found)])
    return found


if __name__ == "__main__":
    sys.path.pop(0)  # this file's folder, whose modules are of another program
    sys.exit(main(sys.argv[1:]))
