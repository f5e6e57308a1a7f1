"""`AEANet.predict` of a list of small images of one size, which it evaluates together, against a call for each.

Both give the same result, which is checked first (1e-4 of the range).
"""

import numpy as np
from agreement import check_agreement
from tables import markdown, ratio, spread
from timing import alternate, clocked, summary

from aeanet_tf.models import AEANet

TOGETHER, ALONE = "a list", "one by one"


def measure(config, sides, count, rounds, seconds):
    """Times of both ways for ``count`` images of each size."""
    model = AEANet(config, "model", None)
    return {"count": count, "sizes": {str(side): _measure(model, side, count, rounds, seconds) for side in sides}}


def _measure(model, side, count, rounds, seconds):
    rng = np.random.default_rng(0)
    images = [rng.gamma(2, 50, (side, side)).astype("float32") for _ in range(count)]
    programs = {
        TOGETHER: lambda: model.predict(images, "YX"),
        ALONE: lambda: [model.predict(image, "YX") for image in images],
    }
    check_agreement({name: run() for name, run in programs.items()}, ALONE, 1e-4)
    return summary(alternate({name: clocked(run) for name, run in programs.items()}, rounds, seconds), ALONE)


def report(found):
    """Table with a row for each size."""
    lines = [
        [f"{side} x {side}", spread(programs[TOGETHER], 1e3), spread(programs[ALONE], 1e3), ratio(programs[TOGETHER])]
        for side, programs in found["sizes"].items()
    ]
    return [markdown(["pixels", f"{TOGETHER} (ms)", f"{ALONE} (ms)", "time"], lines), f"{found['count']} images."]
