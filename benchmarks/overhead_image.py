"""`AEANet.predict` of one image against the network alone, in one process, in turn.

* ``tf.function``: the network compiled, from a tensor to a tensor: what has to be computed;
* ``keras_model.predict``: from array to array by Keras;
* ``AEANet.predict, normalised``: of an image that needs no normalisation (``normalizer=None``);
* ``AEANet.predict``: as users call it, with CSBDeep's percentiles;
* ``normalisation``: the two passes of CSBDeep's normaliser that the last one includes, by themselves.

All give the same result, which is checked first (1e-4 of the range).
"""

import numpy as np
from agreement import check_agreement
from compiled import forward
from csbdeep.data import PercentileNormalizer
from tables import digits, markdown, ratio, spread
from timing import alternate, clocked, summary

from aeanet_tf.models import AEANet

BARE, NORMALISATION = "tf.function", "normalisation"


def measure(config, side, rounds, seconds):
    """Times of all programs, see the module; an image of ``side`` x ``side`` pixels."""
    model = AEANet(config, "model", None)
    # Compiled as for training: otherwise Keras would compile its prediction with XLA.
    model.prepare_for_training()
    image = np.random.default_rng(0).gamma(2, 50, (side, side)).astype("float32")
    normalised = PercentileNormalizer().before(image, "YX")
    programs = make_programs(model, image, normalised)
    check({name: run() for name, run in programs.items()}, image)
    times = alternate({name: clocked(run) for name, run in programs.items()}, rounds, seconds)
    return {"size": [side, side], "programs": summary(times, BARE)}


def make_programs(model, image, normalised):
    """Name -> function without arguments, see the module."""
    network = forward(model.keras_model, (1, None, None, 1))
    batch = normalised[None, ..., None]
    # Made once: the copy to a GPU is not the network's.
    from keras import ops

    tensor = ops.convert_to_tensor(batch)
    return {
        BARE: lambda: network(tensor),
        "keras_model.predict": lambda: model.keras_model.predict(batch, verbose=0),
        "AEANet.predict, normalised": lambda: model.predict(normalised, "YX", normalizer=None),
        "AEANet.predict": lambda: model.predict(image, "YX"),
        NORMALISATION: lambda: _normalise(image, image),
    }


def _normalise(image, prediction):
    """Both passes of a normaliser: the image before the network, and the prediction after it."""
    normalizer = PercentileNormalizer()
    normalizer.before(image, "YX")
    return normalizer.after(prediction, None, "YX")[0]


def check(results, image):
    """Raise `DisagreementError` unless all predictions are the same."""
    results = {name: np.squeeze(found) for name, found in results.items() if name != NORMALISATION}
    # The network's own result, taken back to the range of the image.
    results[BARE + ", range of the image"] = _normalise(image, results[BARE])
    own = {name: [results[name]] for name in (BARE, "keras_model.predict", "AEANet.predict, normalised")}
    check_agreement(own, BARE, 1e-4)
    names = (BARE + ", range of the image", "AEANet.predict")
    check_agreement({name: [results[name]] for name in names}, names[0], 1e-4)


def report(found):
    """Table, and what `AEANet.predict` takes beside network and normalisation."""
    programs = found["programs"]
    lines = [[name, spread(one, 1e3), ratio(one)] for name, one in programs.items()]
    whole, bare, normalisation = (programs[name]["median"] for name in ("AEANet.predict", BARE, NORMALISATION))
    size = " x ".join(map(str, found["size"]))
    text = (
        f"{size} pixels. `AEANet.predict` {digits(1e3 * whole)} ms: network {digits(1e3 * bare)} ms, normalisation "
        f"{digits(1e3 * normalisation)} ms, the rest {digits(1e3 * (whole - bare - normalisation))} ms (medians)."
    )
    return [markdown(["", "ms", "/ tf.function"], lines), text]
