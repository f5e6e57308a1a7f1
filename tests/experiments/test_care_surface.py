"""A surface projection stands in where a data set has no truth of the dimensions that a network gives."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from aeanet_tf.evaluation.surface import choose_surface, surface_projection
from aeanet_tf.experiments import care, care_surface
from aeanet_tf.experiments.budget import parse_budget
from aeanet_tf.experiments.care_methods import FOLDERS, methods
from aeanet_tf.experiments.care_surface import chosen_surface, comparable, then
from aeanet_tf.experiments.laboratory import Case, Laboratory
from tests.datasets.published import write_care


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("care")
    for seed, name in enumerate(FOLDERS.values()):
        write_care(folder / name, name == FOLDERS["flywing"], "folders", 1, patches=20, seed=seed)
    return folder


def laboratory(data, output):
    return Laboratory(data, output, parse_budget("tiny"), (0,))


def cases(ndim):
    rng = np.random.default_rng(ndim)
    volume = rng.random((4, 16, 16)).astype("float32")
    truth = gaussian_filter(volume, 1) if ndim == 3 else volume.max(axis=0)
    return [Case("a", lambda: (volume, truth), "ZYX", condition) for condition in ("C1", "C2")]


def test_what_is_comparable_stays_as_it_is():
    for projects, tests in ((True, cases(2)), (False, cases(3))):
        assert comparable(projects, tests) == (tests, None)
    assert then(None, max) is max


def test_volumes_are_projected_before_they_are_compared_with_planes():
    tests = cases(2)
    shown, make = comparable(False, tests)
    volume = tests[0].read()[0]
    assert shown is tests
    found = then(make, lambda model, image, axes: model * image)(2, volume, "ZYX")
    np.testing.assert_array_equal(found, surface_projection(2 * volume).image)


def test_true_volumes_are_projected_once(monkeypatch):
    calls, tests = [], cases(3)
    monkeypatch.setattr(
        care_surface, "surface_projection", lambda volume: calls.append(1) or surface_projection(volume)
    )
    shown, make = comparable(True, tests)
    assert make is None and [case.condition for case in shown] == ["C1", "C2"]
    for case in shown:
        image, truth = case.read()
        assert image is tests[0].read()[0]
        np.testing.assert_array_equal(truth, surface_projection(tests[0].read()[1]).image)
    assert len(calls) == 1


def test_parameters_are_chosen_on_validation_patches_once(data, tmp_path, monkeypatch):
    lab = laboratory(data, tmp_path)
    config = lab.config("flywing", methods("flywing")[0], 0, data / FOLDERS["flywing"])
    found = chosen_surface(lab, config)
    with np.load(data / FOLDERS["flywing"] / "train_data" / "data.npz") as patches:
        # A tenth, the last ones.
        expected = choose_surface(zip(patches["X"][18:, 0], patches["Y"][18:, 0, 0], strict=True))
    assert found == pytest.approx(expected)
    assert json.loads((tmp_path / "flywing_surface-tiny.json").read_text())["sigma"] == expected.sigma
    monkeypatch.setattr(care_surface, "choose_surface", None)
    assert chosen_surface(lab, config) == found


def test_all_cells_of_the_transfer_table_fill(data, tmp_path, monkeypatch):
    """With networks that are simple functions: what is scored of them, and against what, is what the table needs."""

    def untrained(projects):
        return lambda image: gaussian_filter(np.asarray(image, "float32"), 1).max(axis=0) if projects else image * 1.0

    def score(lab, source, tests, protocol, predict):
        make = untrained(source == "flywing")
        through = make if predict is None else lambda image: predict(make, image, "ZYX")
        return lab.score_inputs(tests, protocol, through)

    def care_runs(lab, source, root):
        own = SimpleNamespace(predict=lambda model, image, axes: model(image))
        run = SimpleNamespace(care=own)
        run.score = lambda tests, protocol, kind, predict: score(lab, source, tests, protocol, predict)
        return [run]

    def score_runs(lab, runs, tests, protocol, kind, predict):
        source = next(iter(runs.values()))[0].model.name.partition("-")[0]
        return {label: [score(lab, source, tests, protocol, predict)] for label in runs}

    written = {}
    monkeypatch.setattr(care, "care_runs", care_runs)
    monkeypatch.setattr(care, "care_note", lambda runs: "")
    monkeypatch.setattr(Laboratory, "score_runs", score_runs)
    monkeypatch.setattr(Laboratory, "predict", lambda lab, model, image, axes: model(image))
    monkeypatch.setattr(care, "write_report", lambda lab, name, title, tables, *_: written.update({name: tables}))
    care.run_transfer(laboratory(data, tmp_path))
    for _, columns, rows in written["transfer"]:
        flywing = {column for column in columns if column.startswith("flywing")}
        assert len(rows) == 14 and len(columns) == 9 and len(flywing) == 3
        for label, row in rows.items():
            assert set(row) == (flywing if label == "no training, Surface" else set(columns))
            assert all(np.isfinite(cell.value) for cell in row.values())
    ssim = written["transfer"][0][2]
    # A network that gives its input, projected, is the surface projection of the input but for its parameters.
    restored, surface = (ssim[label]["flywing C3"].value for label in ("planaria, CARE", "no training, Surface"))
    assert restored == pytest.approx(surface, abs=0.2)
    assert ssim["planaria, CARE"]["planaria C1"] == ssim["no training, Input"]["planaria C1"]
    assert (tmp_path / "transfer_ssim.png").stat().st_size > 10000
