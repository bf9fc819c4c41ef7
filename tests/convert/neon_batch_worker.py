"""Runs many models in the real neon, in one process: it takes a second to start. Python 2.7.

Called as ``INTERPRETER neon_batch_worker.py NEON_WORKER REQUESTS``. NEON_WORKER is the package's ``neon_worker.py``; REQUESTS is a
JSON list of its ``run`` requests, each with a ``folder`` of its own, where ``response.json`` is written.
"""

# ruff: noqa: PTH118, PTH123

import imp
import json
import os
import sys

worker = imp.load_source("neon_worker", sys.argv[1])
with open(sys.argv[2]) as stream:
    requests = json.load(stream)
for request in requests:
    job = worker.Job(request["folder"])
    try:
        job.start(request["backend"])
        job.run(request)
    except (Exception, SystemExit) as error:
        job.response = {"stage": job.stage, "error": "%s: %s" % (type(error).__name__, error)}  # noqa: UP031
    with open(os.path.join(request["folder"], "response.json"), "w") as stream:
        json.dump(job.response, stream)
