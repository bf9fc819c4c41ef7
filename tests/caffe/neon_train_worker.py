"""Trains a converted model in the real neon v1.4.0, as a person would, for one epoch. Python 2.7.

Called as ``INTERPRETER neon_train_worker.py MODEL.prm DATA.npz BATCH RATE RESULT.json``. DATA holds ``x`` (N, features), ``y`` (N,)
and ``shape``. RESULT gets the mean cost over the data before the epoch and after it.
"""

# ruff: noqa: PTH123

import json
import sys

import numpy as np
from neon.backends import gen_backend
from neon.callbacks.callbacks import Callbacks
from neon.data import ArrayIterator
from neon.layers import GeneralizedCost, Multicost
from neon.models import Model
from neon.optimizers import GradientDescentMomentum
from neon.util.persist import load_obj

prm, data, batch, rate, result = sys.argv[1:]
be = gen_backend(backend="cpu", batch_size=int(batch), rng_seed=0)
arrays = np.load(data)
train = ArrayIterator(arrays["x"], arrays["y"], nclass=10, lshape=tuple(int(n) for n in arrays["shape"]))

desc = load_obj(prm)
cost = (Multicost if "Multicost" in desc["cost"]["type"] else GeneralizedCost).gen_class(desc["cost"]["config"])
model = Model(desc)
model.initialize(train, cost)


def mean_cost():
    train.reset()
    return float(np.mean([float(cost.get_cost(model.fprop(x), y).get()) for x, y in train]))


before = mean_cost()
train.reset()
callbacks = Callbacks(model, progress_bar=False)
model.fit(train, cost=cost, optimizer=GradientDescentMomentum(float(rate), 0.9), num_epochs=1, callbacks=callbacks)
with open(result, "w") as stream:
    json.dump({"before": before, "after": mean_cost()}, stream)
