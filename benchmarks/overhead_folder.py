"""`predict_files` for a folder of images of many sizes, against one of images of one size and as many pixels in all.

Each run in a process of its own, from tif files to tif files; loading TensorFlow and the model is not counted, tracing
is. For contrast, a loop over the files that calls ``keras_model.predict``, with CSBDeep's normaliser, tifffile, and
``jit_compile=False`` (by default Keras would compile each size with XLA).
"""

import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from fresh import call_apart
from tables import digits, markdown, ratio, spread
from tifffile import imread, imwrite
from timing import alternate, summary

STEP = 8
WAYS = {"predict_files": "run_predict_files", "keras_model.predict": "run_loop"}


def many_sizes(count, side):
    """``count`` different sizes, lying and standing, with ``count * side**2`` pixels together."""
    offsets = [n * STEP * sign for n in range(1, count // 2 + 1) for sign in (1, -1)] + [0] * (count % 2)
    if min(offsets, default=0) <= -side:
        from aeanet_tf.errors import InputError

        raise InputError(f"--file: {side}, expected more than {-min(offsets)} for {count} different sizes")
    return [(side, side + n) if i % 4 < 2 else (side + n, side) for i, n in enumerate(offsets)]


def measure(config, count, side, rounds, seconds):
    """Times of both ways for both folders."""
    folders = {"one size": [(side, side)] * count, "many sizes": many_sizes(count, side)}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        save_model(config, folder)
        for name, sizes in folders.items():
            write_images(folder / name, sizes)
        cases = {f"{way}, {name}": (WAYS[way], name) for way in WAYS for name in folders}
        measures = {key: _measure(folder, *case) for key, case in cases.items()}
        times = alternate(measures, rounds, seconds, warm_up=False)
    return {"sizes": folders, "programs": summary(times, "predict_files, one size")}


def save_model(config, folder):
    """An untrained model in ``folder / "model"``, as a training would leave it."""
    from aeanet_tf.models import AEANet

    model = AEANet(config, "model", str(folder))
    model.keras_model.save_weights(str(model.logdir / "weights_best.h5"))


def write_images(folder, sizes):
    """Images of noise, 16 bit."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, size in enumerate(sizes):
        imwrite(folder / f"{i:02}.tif", rng.gamma(2, 50, size).astype("uint16"))


def _measure(folder, function, name):
    target = f"overhead_folder:{function}"
    return lambda: call_apart(target, model=str(folder / "model"), images=str(folder / name))


def run_predict_files(model, images):
    """Seconds that `predict_files` takes; for a process of its own."""
    from aeanet_tf.models.folder import load_model
    from aeanet_tf.models.preparation import NormalizationSection
    from aeanet_tf.runs.predict_files import predict_files

    model = load_model(model)
    with tempfile.TemporaryDirectory() as output:
        start = perf_counter()
        predict_files(model, images, output, NormalizationSection(), axes="YX")
        return perf_counter() - start


def run_loop(model, images):
    """Seconds that a loop over ``keras_model.predict`` takes; for a process of its own."""
    from csbdeep.data import PercentileNormalizer

    from aeanet_tf.models.folder import load_model

    model = load_model(model)
    model.prepare_for_training()
    with tempfile.TemporaryDirectory() as output:
        start = perf_counter()
        for path in sorted(Path(images).iterdir()):
            normalizer = PercentileNormalizer()
            x = normalizer.before(imread(path), "YX")
            y = model.keras_model.predict(x[None, ..., None], verbose=0)[0, ..., 0]
            imwrite(Path(output) / path.name, normalizer.after(y, None, "YX")[0])
        return perf_counter() - start


def report(found):
    """Table with the images a second."""
    count, pixels = len(found["sizes"]["one size"]), sum(y * x for y, x in found["sizes"]["one size"])
    lines = [[name, spread(one), ratio(one)] for name, one in found["programs"].items()]
    return [
        markdown(["", "s", "/ predict_files, one size"], lines),
        f"{count} images, {digits(pixels / 1e6)} megapixels in all.",
    ]
