"""The surface projection in the tables of CARE's data: beside the networks, and where the owner ships no such truth."""

import json
from functools import partial

import numpy as np

from aeanet_tf.evaluation.surface import SurfaceSettings, choose_surface, surface_projection
from aeanet_tf.experiments.scores import fingerprint
from aeanet_tf.files import read_json, write_text
from aeanet_tf.paths import matching_paths
from aeanet_tf.runs.train import load_data, model_config

SURFACE = "Surface"
# Validation patches that its parameters are chosen on, spread over all.
PATCHES = 32

NOTE = (
    "Surface: no network; a surface of least cost through planes of high local contrast, and the mean of the planes "
    "around it (`aeanet project`). Thickness and a Gaussian filter were chosen on validation patches of flywing."
)
TRANSFER_NOTE = (
    "Denoising networks need a ground truth in 3D, projecting ones in 2D. Where the owner ships the other one only, a "
    "surface projection fills in (the paper took PreMosa): a ground truth in 3D is projected for the networks that "
    "project, and what denoising networks make of flywing is projected before it is scored. Thickness 1, no filter."
)


def chosen_surface(lab, config):
    """The surface projection that is best on validation patches of a `RunConfig`, chosen once and kept.

    Returns:
        `SurfaceSettings`.
    """
    files = fingerprint(matching_paths(config.data.folder() / config.data.npz))
    path = lab.output / f"flywing_surface{lab.budget.suffix}.json"
    known = read_json(path) if path.is_file() else {}
    if known.get("data") != files:
        x, y = load_data(config.data, model_config(config)).validation
        chosen = np.unique(np.linspace(0, len(x) - 1, PATCHES).astype(int))
        # The target is (1, Y, X) or (Y, X), before its channel.
        settings = choose_surface((x[i][..., 0], y[i].reshape(x[i].shape[1:3])) for i in chosen)
        known = {"data": files, **settings._asdict()}
        write_text(path, json.dumps(known, indent=2) + "\n")
    return SurfaceSettings(known["thickness"], known["sigma"], known["score"])


def comparable(projects, tests):
    """Test images of another data set for a network, and what is done to its predictions.

    Args:
        projects: whether the network gives planes; others give volumes.
        tests: list of `Case`, all with truths of one kind.

    Returns:
        The tests, with truths of as many dimensions as the predictions have at the end; and a function of a volume that
        makes the plane that is scored, None where predictions are scored as they are.
    """
    has_planes = tests[0].read()[1].ndim == 2
    if has_planes and not projects:
        return tests, _project
    if projects and not has_planes:
        known = {}
        return [test._replace(read=partial(_read_projected, test, known)) for test in tests], None
    return tests, None


def then(make, predict):
    """``predict``, a function ``(model, image, axes)``, whose result goes through ``make``; itself for None."""
    return predict if make is None else lambda model, image, axes: make(predict(model, image, axes))


def _project(volume):
    return surface_projection(volume).image


def _read_projected(test, known):
    image, truth = test.read()
    # The same for all conditions.
    if test.name not in known:
        known[test.name] = _project(truth)
    return image, known[test.name]
