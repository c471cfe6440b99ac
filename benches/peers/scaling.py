"""Hoffmann 3 by SciPy's L-BFGS-B with analytic gradients, for benches/scaling.sh: POINTS.csv SAMPLES.

The same work as examples/scaling_speed.rs: 4,500 starts, the sum of Huber losses, then resamples from the best optimum.
Prints one line of JSON. Needs numpy and scipy; one thread.
"""

import itertools
import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
from scipy.optimize import minimize

DELTA = 1e-3
points = np.loadtxt(sys.argv[1], delimiter=",", skiprows=1)
samples = int(sys.argv[2])
logs = np.log(points)
# From the centre, as ours: the search then needs fewer updates.
centre = logs[:, :2].mean(axis=0)
logs[:, :2] -= centre


def objective(p, n, d, loss):
    a, b, e, alpha, beta = p
    of_n = np.exp(a - alpha * n)
    of_d = np.exp(b - beta * d)
    least = np.exp(e)
    total = of_n + of_d + least
    residual = np.log(total) - loss
    slope = np.clip(residual, -DELTA, DELTA)
    value = np.dot(slope, residual) - 0.5 * np.dot(slope, slope)
    share = slope / total
    of_n *= share
    of_d *= share
    return value, np.array([of_n.sum(), of_d.sum(), least * share.sum(), -of_n.dot(n), -of_d.dot(d)])


def search(start, n, d, loss):
    options = {"ftol": 1e-15, "gtol": 1e-11, "maxiter": 3000, "maxfun": 10000, "maxcor": 10}
    with np.errstate(all="ignore"):
        return minimize(objective, start, args=(n, d, loss), jac=True, method="L-BFGS-B", options=options)


columns = [np.ascontiguousarray(logs[:, k]) for k in range(3)]
exponents = [0.0, 0.5, 1.0, 1.5, 2.0]
coefficients = [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]
starts = [
    [a - alpha * centre[0], b - beta * centre[1], e, alpha, beta]
    for alpha, beta, e, a, b in itertools.product(
        exponents, exponents, [-1.0, -0.5, 0.0, 0.5, 1.0], coefficients, coefficients
    )
]
began = time.perf_counter()
found = [search(start, *columns) for start in starts]
grid = time.perf_counter() - began
best = min((f for f in found if np.isfinite(f.fun)), key=lambda f: f.fun)
random = np.random.default_rng(0)
began = time.perf_counter()
for _ in range(samples):
    drawn = random.integers(0, len(logs), len(logs))
    search(best.x, *[column[drawn] for column in columns])
resamples = time.perf_counter() - began
a, b, e, alpha, beta = best.x
parameters = [np.exp(e), np.exp(a + alpha * centre[0]), np.exp(b + beta * centre[1]), alpha, beta]
print(
    json.dumps(
        {
            "starts": len(starts),
            "grid_seconds": grid,
            "resamples_seconds": resamples,
            "objective": float(best.fun),
            "reached": sum(bool(f.fun <= best.fun * (1 + 1e-6)) for f in found),
            "evaluations": sum(f.nfev for f in found),
            "parameters": [float(p) for p in parameters],
        }
    )
)
