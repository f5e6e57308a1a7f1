"""Measures what tiles change in a prediction, and whether their borders show: test images of W2S, whole and in tiles.

Each test image is predicted whole and in square tiles, with tiling="overlap" (each tile attends to itself and its halo,
as in CSBDeep) and tiling="exact" (all tiles share the attention of the image). The table gives, over the images,

* mean and largest absolute difference to the whole prediction, relative to its range (the largest of all images);
* the PSNR against the truth, care protocol, as `aeanet evaluate --protocol care`;
* for overlap, the step of (tiles - whole) between neighbouring pixels: its mean absolute value across tile borders,
  relative to the range of the whole prediction, and the ratio of that to its mean elsewhere. Without seams the ratio
  is 1. It says how the error is distributed, the step itself how large a seam is; neither says that one sees it.

    python benchmarks/seams.py --model models/w2s --data w2s [--every 3] [--tiles 64 128 256] [--output seams.json]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tables import markdown, run_script
from tqdm import tqdm

from aeanet_tf.datasets.pairs import pair_folders, read_pair
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.files import write_text
from aeanet_tf.io.image import check_fits

CARE = get_protocol("care")


def main(argv=None):
    """Predict, print the table, and write the numbers of every image where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_sources(parser)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth image")
    parser.add_argument("--tiles", type=int, nargs="+", default=[64, 128, 256], metavar="PIXELS", help="sides of tiles")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    options = parser.parse_args(argv)
    if options.every < 1:
        raise InputError(f"--every: {options.every}, expected at least 1")
    pairs = test_pairs(options.data)[:: options.every]
    model, normalizer = model_and_normalizer(options.model)
    rows = []
    for paths in tqdm(pairs, disable=None, unit="image"):
        low, truth = read_arrays(paths, model)
        check_tiles(options.tiles, low.shape, model.spec.divisor)
        rows.append({"image": paths[0].name, **measure(model, normalizer, low, truth, options.tiles)})
    print(seams_table(rows, options.tiles))
    if options.output:
        write_text(options.output, json.dumps(rows, indent=1) + "\n")


def add_sources(parser):
    """Arguments for the model and the data."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="model folder")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with test/low and test/GT")


def test_pairs(data):
    """Paths of (low, GT) of the test images of a folder like that of W2S."""
    return pair_folders(data / "test" / "low", data / "test" / "GT")


def model_and_normalizer(folder):
    """The model of a folder, and the normaliser it was trained with."""
    from aeanet_tf.startup import load_backend

    load_backend()
    from aeanet_tf.models.folder import load_model, prediction_normalization
    from aeanet_tf.models.normalizers import make_normalizer

    return load_model(folder), make_normalizer(prediction_normalization(folder))


def read_arrays(paths, model):
    """Arrays (y, x) of a pair, as float32 and as stored; the model has to take the first."""
    low, truth = read_pair(*paths, "YX")
    check_fits(low, model.config.axes, model.config.n_channel_in)
    return low.array.astype("float32"), truth.array


def check_tiles(sides, shape, divisor):
    """Raise `InputError` for tiles that do not cover an image evenly, or whose borders are off the network's grid."""
    for side in sides:
        if side < 1 or any(n % side or n == side or side % d for n, d in zip(shape, divisor, strict=True)):
            size, step = (" x ".join(map(str, numbers)) for numbers in (shape, divisor))
            raise InputError(f"--tiles: {side}, expected less than, and a divisor of, {size}, in multiples of {step}")


def measure(model, normalizer, low, truth, sides):
    """PSNR of an image predicted whole, and for each side of tiles what they change, see `compare`."""
    whole = model.predict(low, "YX", normalizer, tiling="whole")
    found = {"whole": {"psnr": CARE(truth, whole)["psnr"]}}
    for side in sides:
        n_tiles = [n // side for n in low.shape]
        for tiling in ("overlap", "exact"):
            tiled = model.predict(low, "YX", normalizer, n_tiles=n_tiles, tiling=tiling)
            found[f"{tiling} {side}"] = {"psnr": CARE(truth, tiled)["psnr"], **compare(tiled, whole, side)}
    return found


def compare(tiled, whole, side):
    """Mean and largest difference of two predictions, and its mean step at borders and elsewhere, by the range."""
    difference = (tiled.astype("float64") - whole) / np.ptp(whole)
    size = np.abs(difference)
    border, elsewhere = steps(difference, side)
    return {"mean": size.mean(), "largest": size.max(), "border_step": border, "other_step": elsewhere}


def steps(image, side):
    """Mean absolute difference of neighbours on two sides of a tile border, and of all other neighbours."""
    found = {True: [], False: []}
    for axis in (0, 1):
        step = np.abs(np.diff(image, axis=axis))
        crosses = np.arange(1, image.shape[axis]) % side == 0
        for at_border, values in found.items():
            values.append(np.compress(crosses == at_border, step, axis).ravel())
    return np.concatenate(found[True]).mean(), np.concatenate(found[False]).mean()


def seams_table(rows, sides):
    """Markdown table, one line a side of tiles."""
    lines = [["whole", "–", "–", f"{_mean(rows, 'whole', 'psnr'):.3f}", *"–––––"]]
    for side in sides:
        line = [str(side)]
        for key in (f"overlap {side}", f"exact {side}"):
            line += [f"{_mean(rows, key, 'mean'):.1e}", f"{max(row[key]['largest'] for row in rows):.1e}"]
            line += [f"{_mean(rows, key, 'psnr'):.3f}"]
            if key.startswith("overlap"):
                border, other = _mean(rows, key, "border_step"), _mean(rows, key, "other_step")
                line += [f"{border:.1e}", f"{border / other:.1f}" if other else "–"]
        lines.append(line)
    columns = ("mean diff.", "largest diff.", "PSNR (dB)")
    header = [
        "tile",
        *(f"overlap: {c}" for c in (*columns, "border step", "/ elsewhere")),
        *(f"exact: {c}" for c in columns),
    ]
    return markdown(header, lines)


def _mean(rows, key, name):
    return float(np.mean([row[key][name] for row in rows]))


if __name__ == "__main__":
    run_script(main)
