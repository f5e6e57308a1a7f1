"""Isotropic restoration of a volume that we make coarse along Z, beside interpolation; its truth is known.

Networks see the coarse volume alone, and of that the front; what is scored is the back.
"""

import json
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
from scipy.ndimage import gaussian_filter1d

from aeanet_tf.datasets.anisotropic import default_sigma
from aeanet_tf.errors import InputError, expect
from aeanet_tf.evaluation.baselines import SIGMAS, gaussian
from aeanet_tf.evaluation.figures import save_figure
from aeanet_tf.evaluation.interpolation_baselines import STRENGTHS, UPSAMPLINGS, sharpened
from aeanet_tf.evaluation.isotropic_panels import plane_panels
from aeanet_tf.evaluation.metrics import psnr, ssim
from aeanet_tf.evaluation.statistics import paired_difference
from aeanet_tf.evaluation.tables import Cell
from aeanet_tf.experiments.comparison import COLUMNS, Comparison
from aeanet_tf.experiments.figures import draw_curves
from aeanet_tf.experiments.laboratory import Case, Method, quiet
from aeanet_tf.experiments.scores import by_image, fingerprint, write_report
from aeanet_tf.files import read_json, replacing_folder, write_text
from aeanet_tf.io.read import find_images, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.io.zoomed import plane_count
from aeanet_tf.models.normalizers import own_normalizer

METHODS = (Method("U-Net", "unet", "unet-care"), Method("AEANet", "aeanet", "aeanet-care"))
FACTOR = 4
SIGMA = default_sigma(FACTOR)
# Between what is trained on and what is scored, along Y, and what is the former.
GAP, TRAINED = 8, 0.6
# Parts that are scored, along Y and X: intervals need several.
TESTS = 2, 2
CUBIC = "cubic"
_SMALLEST = 64
_SOURCE = "source.json"


def run(lab):
    """Make the coarse volume, train every method with every seed, score the back of it, write ``isotropic.md``."""
    folder = lab.output / "isotropic"
    prepare(lab.data, folder)
    lab = replace(lab, data=folder)
    tests, protocol = cases(folder), partial(_scores, _data_range(folder))
    comparison = _Isotropic(lab, "isotropic", METHODS)
    scores = comparison.score(tests, protocol)
    others = {label: lab.score_inputs(tests, protocol, function) for label, function in baselines(folder).items()}
    best = max(others, key=lambda label: by_image([others[label]], "psnr").mean())
    tables = [
        comparison.means_table(scores, COLUMNS, others),
        comparison.seeds_table(scores),
        _gains(scores, {CUBIC: others[CUBIC], best: others[best]}),
    ]
    runs = comparison.runs()
    path = write_report(lab, "isotropic", "A volume made coarse along Z", tables, _notes(len(tests), lab.seeds), runs)
    draw_curves(lab, "isotropic", runs)
    _draw(lab, folder, tests, runs, best, protocol)
    return path


class _Isotropic(Comparison):
    """A `Comparison` whose models restore volumes plane by plane."""

    def score(self, tests, protocol, kind=""):
        """Label of a method -> list of scores by part, one a seed."""
        runs = self.runs()
        return self.lab.score_runs(runs, tests, protocol, kind, predict)


def predict(model, volume, axes):
    """A coarse volume as a model of its planes restores it."""
    from aeanet_tf.models.isotropic import predict_isotropic

    return predict_isotropic(model, volume, axes, FACTOR, own_normalizer(model), planes="step")


def prepare(data, folder):
    """Write ``folder/{train,test}/volume.tif``, coarse along Z, and ``folder/truth/volume.tif``, unless they are there.

    The truth is the volume, cut to the box of what is not 0. It is blurred along Z by a Gaussian of 0.42 * 4 voxels,
    which is as wide as planes are apart then, and every fourth plane is kept. The same volume gives the same files.

    Args:
        data: folder of one volume, ZYX, with voxels of equal sides.
        folder: is there when all files are.

    Raises:
        InputError: none, or several images; too small a volume; the folder holds another one.
    """
    paths = find_images(data)
    expect(len(paths) == 1, f"{data}", f"{len(paths)} images", "one volume, ZYX")
    source = {"volume": fingerprint(paths), "factor": FACTOR, "sigma": SIGMA, "gap": GAP, "trained": TRAINED}
    if folder.is_dir():
        if read_json(folder / _SOURCE) != source:
            raise InputError(f"{folder}: found another volume than {paths[0]}; take another --output")
        return
    image = read_image(paths[0], "ZYX")
    volume = _cropped(image.array).astype("float32")
    if min(volume.shape) < _SMALLEST:
        raise InputError(f"{paths[0]}: {volume.shape} voxels are not 0, expected at least {_SMALLEST} along each axis")
    coarse = gaussian_filter1d(volume, SIGMA, axis=0)[::FACTOR]
    edge = round(TRAINED * volume.shape[1])
    parts = {"train": coarse[:, : edge - GAP], "test": coarse[:, edge:]}
    truth = volume[: plane_count(len(coarse), FACTOR), edge:]
    size = image.pixel_size.get("X", 1.0)
    with replacing_folder(folder) as temporary:
        for name, part in parts.items():
            sizes = {"Z": FACTOR * size, "Y": size, "X": size}
            write_image(temporary / name / "volume.tif", part, "ZYX", sizes, image.unit or "um")
        sizes = dict.fromkeys("ZYX", size)
        write_image(temporary / "truth" / "volume.tif", truth, "ZYX", sizes, image.unit or "um")
        write_text(temporary / _SOURCE, json.dumps(source, indent=2) + "\n")


def _cropped(volume):
    """The box of a volume that is not 0."""
    places = [np.flatnonzero(volume.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not all(map(len, places)):
        return volume[:0]
    return volume[tuple(slice(place[0], place[-1] + 1) for place in places)]


def cases(folder):
    """A `Case` for each part of the test volume that is scored."""
    files = [folder / name / "volume.tif" for name in ("test", "truth")]

    # Once for all parts, which are predicted together.
    @lru_cache(1)
    def coarse():
        return read_image(files[0], "ZYX").array

    truth = read_image(files[1], "ZYX").array
    edges = [[n * i // count for i in range(count + 1)] for n, count in zip(truth.shape[1:], TESTS, strict=True)]
    parts = []
    for top, bottom in zip(edges[0], edges[0][1:], strict=False):
        for left, right in zip(edges[1], edges[1][1:], strict=False):
            part = (slice(None), slice(top, bottom), slice(left, right))
            read = partial(lambda part: (coarse(), truth[part]), part)
            parts.append(Case(f"y{top}-x{left}", read, "ZYX", part=part, files=tuple(files)))
    return parts


def _data_range(folder):
    truth = read_image(folder / "truth" / "volume.tif", "ZYX").array
    return float(truth.max() - truth.min())


def _scores(data_range, gt, image, _):
    """PSNR and SSIM of intensities as they are; the data range is that of all of the truth."""
    gt, image = gt.astype(np.float64), image.astype(np.float64)
    return {"psnr": psnr(gt, image, data_range), "ssim": ssim(gt, image, data_range)}


def baselines(folder):
    """Interpolations by label, of coarse volumes, and cubic interpolation with the best filter after it.

    Parameters of filters are those that restore the planes of the training volume best, made as coarse along X.
    """
    made = {label: partial(_upsampled, function) for label, function in UPSAMPLINGS.items()}
    x, y = _lateral(folder)
    strength = min(STRENGTHS, key=lambda value: float(np.mean((sharpened(x, SIGMA, value) - y) ** 2)))
    made[f"cubic, Wiener filter ({strength:g})"] = lambda volume: sharpened(
        _upsampled(UPSAMPLINGS[CUBIC], volume), SIGMA, strength
    )
    sigma = min((0.0, *SIGMAS), key=lambda value: float(np.mean((gaussian(x, value) - y) ** 2)))
    made[f"cubic, Gaussian ({sigma:g})"] = lambda volume: gaussian(_upsampled(UPSAMPLINGS[CUBIC], volume), sigma)
    return made


def _upsampled(function, volume):
    return function(volume, FACTOR)


def _lateral(folder):
    """The training volume with X first, made coarse along it and interpolated cubically; and as it is."""
    sharp = read_image(folder / "train" / "volume.tif", "ZYX").array.transpose(2, 0, 1)
    x = UPSAMPLINGS[CUBIC](gaussian_filter1d(sharp, SIGMA, axis=0)[::FACTOR], FACTOR)
    return x, sharp[: len(x)]


def _gains(scores, others):
    """Table of what the methods gain in PSNR."""
    columns = {f"to {label}": 2 for label in others}
    rows = {}
    for label, runs in scores.items():
        own = by_image(runs, "psnr")
        rows[label] = {
            f"to {other}": Cell(*paired_difference(own, by_image([row], "psnr"))) for other, row in others.items()
        }
    return (
        "Differences in PSNR (dB) to cubic interpolation and to the best filter, with the 95 % interval.",
        columns,
        rows,
    )


def _notes(parts, seeds):
    return [
        f"The volume is real, **it was made coarse by us**: blurred along Z by a Gaussian of {SIGMA:.2f} voxels, every "
        f"{FACTOR}th plane kept. Networks and filters know this blur. They were trained on planes of the front of the "
        f"coarse volume alone; scored are {parts} parts of its back, {GAP} voxels away, against the volume as it was, "
        f"intensities as they are. {len(seeds)} seed{'s' * (len(seeds) > 1)}.",
    ]


def _draw(lab, folder, tests, runs, best, protocol):
    """Write ``isotropic_xz.png``: a plane XZ of the coarse volume, cubic, the best filter, AEANet, and the truth."""
    coarse = read_image(folder / "test" / "volume.tif", "ZYX")
    truth = read_image(folder / "truth" / "volume.tif", "ZYX").array
    label, (config, *_) = list(runs.items())[-1]
    made = baselines(folder)
    with quiet():
        restored = predict(lab.model(config), coarse.array, "ZYX")
    volumes = {
        "cubic": made[CUBIC](coarse.array),
        best: made[best](coarse.array),
        label: restored,
    }
    row = coarse.array.shape[1] // 3
    nearest = np.repeat(coarse.array[:, row], FACTOR, axis=0)[: len(truth)]
    planes = {name: volume[:, row] for name, volume in volumes.items()}
    captions = {name: f"{protocol(truth[:, row], plane, None)['psnr']:.1f} dB" for name, plane in planes.items()}
    size, unit = coarse.pixel_size["X"], coarse.unit
    figure = plane_panels({"input": nearest, **planes, "truth": truth[:, row]}, captions, size, unit)
    save_figure(figure, lab.reports / "isotropic_xz.png")
