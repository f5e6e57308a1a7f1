"""Slice interpolation and its membranes: data found as they lie, table rows, costs counted by hand, tiny runs."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from aeanet_tf.datasets.catalogue import get_dataset
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.evaluation.tables import Cell
from aeanet_tf.experiments import interpolated_membranes, interpolation, published
from aeanet_tf.experiments.attention_costs import costs_table, counted_costs
from aeanet_tf.experiments.budget import parse_budget
from aeanet_tf.experiments.laboratory import Laboratory
from aeanet_tf.experiments.scores import read_scores
from aeanet_tf.experiments.slice_data import SSAN, find_slice_data, score
from aeanet_tf.io.tiff import write_image
from aeanet_tf.layers import AttentionAwareLayer
from aeanet_tf.models.folder import load_model
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.sections.alignment import to_common_histogram
from aeanet_tf.sections.baselines import smoothed_average
from tests.experiments.test_experiments import experiment, rows_of
from tests.models import EAGER, eager_tensorflow
from tests.sections.test_triplet_folders import write_triplet
from tests.sections.test_triplets import tissue

ISBI = Path(__file__).parents[3] / "shared" / "data" / "isbi2012"
NETWORK = ("filters=8", "blocks=1", "convolutions=1", "growth=4", "resolutions=2")
SMALL = [f"--set=model.network.{field}" for field in NETWORK]
SMALL += ["--set=training.patch_size=[32,32]", "--set=data.triplets.max_shift=8"]


def laboratory(data, output, *overrides, budget="full"):
    return Laboratory(data, output, parse_budget(budget), overrides=overrides)


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """A stack called as that of ISBI 2012."""
    folder = tmp_path_factory.mktemp("isbi")
    write_image(folder / "slices.tif", tissue(30, (64, 72), [(0, 0)] * 30), "ZYX")
    return folder


def test_the_stack_is_tested_where_it_is_not_trained(slices, tmp_path):
    (data,) = find_slice_data(laboratory(slices, tmp_path, "data.triplets.max_shift=0"))
    assert (data.name, data.file) == ("ISBI 2012", "isbi2012")
    assert [test.name for test in data.tests] == ["slice-25", "slice-26", "slice-27", "slice-28"]
    (before, after), truth = data.tests[1].read()
    stack = tissue(30, (64, 72), [(0, 0)] * 30)
    assert data.places["slice-26"] == (26, (0, 0), (64, 72))
    expected = to_common_histogram(stack[25], stack[27], stack[26])
    for image, one in zip((before, after, truth), expected, strict=True):
        np.testing.assert_array_equal(image, one)
    tiny = find_slice_data(laboratory(slices, tmp_path, "data.triplets.max_shift=0", budget="tiny"))
    assert [test.name for test in tiny[0].tests] == ["slice-25", "slice-26"]


def test_padded_volumes_are_found_as_they_are_downloaded(tmp_path):
    volume = tissue(8, (80, 90), [(0, 0)] * 8)
    for name in ("sample_C_padded_20160501.hdf", "cremi-a-padded/sample_A_padded_20160501.hdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with h5py.File(tmp_path / name, "w") as file:
            file["volumes/raw"] = volume
    split = ["data.train_slices=0-1", "data.validation_slices=2-3"]
    lab = laboratory(tmp_path, tmp_path, *split, "data.triplets.window=40", "data.triplets.max_shift=0")
    found = find_slice_data(lab)
    assert [(data.name, data.root.name) for data in found] == [
        ("CREMI A", "cremi-a-padded"),
        ("CREMI C", tmp_path.name),
    ]
    # Two windows of 40 along each side of 80 and of 90 pixels.
    corners = [(y, x) for y in (0, 40) for x in (0, 40)]
    assert [test.name for test in found[0].tests] == [f"slice-{n}-y{y}-x{x}" for n in (5, 6) for y, x in corners]
    (config,) = found[1].runs(lab, [SSAN])["SSAN"]
    assert config.model.name == "cremi_padded-ssan-sampleC-seed0"
    assert config.data.stack == "sample_C_padded_20160501.hdf" and config.training.loss == "style"
    with pytest.raises(InputError, match=r"sample_A_padded_20160501\.hdf: no three slices in a row that are neither"):
        find_slice_data(laboratory(tmp_path, tmp_path))


def test_ready_made_triplets_have_the_papers_names(tmp_path):
    for name in ("cremi_triplet_B", "mouse_triplet", "others"):
        for part, number in (("train", 0), ("train", 1), ("test", 2)):
            images = write_triplet(tmp_path / name / part / str(number), number)
    (tmp_path / "others" / "val").mkdir()
    # Pairs are no triplets.
    for part in ("train", "test"):
        write_triplet(tmp_path / "w2s" / part / "low", names=("a.tif", "b.tif"))
    found = find_slice_data(laboratory(tmp_path, tmp_path))
    assert [data.name for data in found] == ["CREMI B", "mouse", "others"]
    pair, truth = found[2].tests[0].read()
    np.testing.assert_array_equal(pair, images[[0, 2]])
    np.testing.assert_array_equal(truth, images[1])
    assert [data.fields for data in found[1:]] == [
        {"train": "train", "validation": None},
        {"train": "train", "validation": "val"},
    ]
    (tmp_path / "cremi_b").symlink_to(tmp_path / "cremi_triplet_B")
    with pytest.raises(InputError, match="found CREMI B twice, expected a volume or ready-made triplets of it"):
        find_slice_data(laboratory(tmp_path, tmp_path))
    (config,) = found[1].runs(laboratory(tmp_path, tmp_path), [SSAN])["SSAN"]
    assert config.data.kind == "triplets" and config.model.name == "cremi_triplet-ssan-mouse_triplet-seed0"
    with pytest.raises(InputError, match=r"no slices, expected slices\.tif \(ISBI 2012\), sample_A_padded"):
        find_slice_data(laboratory(tmp_path / "others" / "val", tmp_path))


def test_what_ships_for_padded_volumes_is_what_is_downloaded():
    config = load_run_config("configs/cremi_padded.json")
    dataset = get_dataset("cremi-a-padded")
    assert (config.data.root, config.data.stack) == (dataset.name, dataset.file)
    assert dataset.url == "https://cremi.org/static/data/sample_A_padded_20160501.hdf"


def test_costs_of_attention_by_hand():
    """Three units of C / 8 keys and queries and C / 2 values; groups of 64 positions, and of all in dense attention."""
    costs = {}
    for kind in ("sparse", "dense"):
        layer = AttentionAwareLayer(kind=kind)
        layer.build((None, None, None, 64))
        costs[kind] = counted_costs(layer, 512)
    n, unit = 512**2, 2 * 64 * 8 + 2 * 64 * 32
    assert costs["sparse"] == pytest.approx({"memory": n * 64 * 4 / 2**30, "flops": 6 * n * (unit + 64 * 40) / 1e9})
    assert costs["dense"] == pytest.approx({"memory": 256, "flops": 2 * n * (unit + n * 40) / 1e9})


def test_table_2_has_published_figures_beside_counted_ones(monkeypatch):
    monkeypatch.setattr("aeanet_tf.experiments.attention_costs.seconds", lambda layer, side: side / 1000)
    _, columns, rows = costs_table(parse_budget("tiny"))
    assert list(columns) == ["largest matrices (GiB)", "GFLOPs", "parameters (millions)", "time (ms)"]
    assert rows["AAL, two levels"]["parameters (millions)"] == Cell(0.015696, None, 0.0156)
    assert rows["AAL, two levels"]["time (ms)"] == Cell(64.0, None, 275)
    # Counted, not run; and not ours.
    assert "time (ms)" not in rows["Self-attention, dense"]
    assert rows["Kernel estimation layer"]["time (ms)"] == Cell(published=6160)


def scores_of(*psnrs):
    return [[{"image": str(i), "condition": "", "psnr": p, "ssim": 0.5, "ie": 30.0} for i, p in enumerate(psnrs)]]


def test_published_figures_stand_beside_the_papers_data_alone(monkeypatch):
    labels = (*interpolation.BASELINES, "SSAN", "SSAN, AEA block")
    of_set = {label: scores_of(16, 18 + number) for number, label in enumerate(labels)}
    methods = (SSAN, interpolation.AEA)
    *_, rows = interpolation._table("", {"ISBI 2012": of_set}, methods, published.SSAN_TABLE4)
    assert list(rows) == ["Average", "Smoothed average", "Registered average", "SSAN", "SSAN, AEA block"]
    assert rows["SSAN"]["ISBI 2012, PSNR"] == Cell(18.5, pytest.approx(np.std([16, 21], ddof=1)))
    shown = {"ISBI 2012": of_set, "CREMI C": of_set}
    *_, rows = interpolation._table("", shown, methods, published.SSAN_TABLE4)
    assert list(rows)[3:5] == ["SepConv", "DAIN"] and rows["DAIN"]["CREMI C, IE"] == Cell(published=33.59)
    assert rows["SSAN"]["CREMI C, SSIM"].published == 0.3575 and rows["SSAN"]["ISBI 2012, SSIM"].published is None
    monkeypatch.setattr(interpolation, "METHODS", methods)
    *_, rows = interpolation._differences(shown)
    assert rows["SSAN"]["CREMI C, to the average"].value == pytest.approx((0 + 3) / 2)


def few(monkeypatch):
    """Without the methods that differ from others in a field only."""
    monkeypatch.setattr(interpolation, "EXTRACTORS", interpolation.EXTRACTORS[:1])
    monkeypatch.setattr(interpolation, "PARTS", ())
    methods = (SSAN, interpolation.AEA, *interpolation.EXTRACTORS, interpolation.DENSE)
    monkeypatch.setattr(interpolation, "METHODS", (*methods, interpolation.INTERLACED))


@EAGER
@pytest.mark.parametrize("all_methods", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_interpolation(all_methods, slices, tmp_path, monkeypatch):
    if not all_methods:
        few(monkeypatch)
    with eager_tensorflow():
        text, rows = experiment("interpolation", slices, tmp_path, *SMALL)
    compared = ["Separable kernels", "Flow"] if all_methods else []
    assert list(rows) == ["Average", "Smoothed average", "Registered average", "SSAN", "SSAN, AEA block", *compared]
    (data,) = find_slice_data(laboratory(slices, tmp_path, "data.triplets.max_shift=8", budget="tiny"))
    expected = [score(truth, smoothed_average(*pair), pair) for pair, truth in (test.read() for test in data.tests)]
    column = "ISBI 2012, PSNR"
    assert float(rows["Smoothed average"][column]) == pytest.approx(np.mean([row["psnr"] for row in expected]))
    # Of predictions as they would be written.
    (pair, truth), kept = data.tests[0].read(), read_scores(tmp_path / "scores" / "isbi2012-ssan-seed0-tiny.csv")
    model = load_model(tmp_path / "models" / "isbi2012-ssan-seed0-tiny")
    found = np.clip(np.round(model.interpolate(*pair, max_shift=0, match_histograms=False)), 0, 255)
    assert kept[0]["psnr"] == pytest.approx(get_protocol("interpolation")(truth, found)["psnr"], abs=0.01)
    methods = [row for number in (3, 4) for row in rows_of(tmp_path / f"interpolation_{number}.csv")]
    assert {"U-Net", "SSA, one level", "Self-attention, dense"} <= {*methods}
    assert not all_methods or {"RDN", "SU-Net", "Long-range only", "Short-range only", "No attention"} <= {*methods}
    costs = rows_of(tmp_path / "interpolation_5.csv")
    assert float(costs["Self-attention, dense"]["largest matrices (GiB) published"]) == 256 and "Table 2" in text
    pictures = {path.name for path in tmp_path.glob("*.png")}
    gammas = {"interpolation_curves.png", "interpolation_gammas.png"}
    assert pictures == gammas | {"interpolation_slice-25.png", "interpolation_slice-26.png"}
    runs = json.loads((tmp_path / "interpolation_configurations.json").read_text())
    assert runs["isbi2012-unet-seed0-tiny"]["model"]["network"]["extractor"] == "unet"


@EAGER
@pytest.mark.slow
def test_interpolated_membranes(tmp_path):
    """Slices of 128 pixels, which a shift of 32 leaves something of."""
    stack = tissue(30, (128, 128), [(0, 0)] * 30)
    for name, pages in (("slices.tif", stack), ("membranes.tif", np.where(stack < 128, 0, 255).astype(np.uint8))):
        write_image(tmp_path / "data" / name, pages, "ZYX")
    small = ["--set=training.patch_size=[32,32]", "--set=training.batch_size=2"]
    with eager_tensorflow():
        text, rows = experiment("interpolation-membranes", tmp_path / "data", tmp_path / "results", *small)
    assert list(rows) == ["Average", "Smoothed average", "Registered average", "SSAN", "SSAN, AEA block"]
    own = rows_of(tmp_path / "results" / "interpolation-membranes_2.csv")
    assert next(iter(own)) == "True slice" and "annotators" in text
    kept = read_scores(tmp_path / "results" / "scores" / "isbi2012-ssan-seed0-tiny-membranes.csv")
    assert [row["image"] for row in kept] == ["slice-25", "slice-26"]
    pictures = {path.name for path in (tmp_path / "results").glob("*.png")}
    assert pictures == {"interpolation-membranes_slice-25.png", "interpolation-membranes_slice-26.png"}


class Marking:
    """In place of a model of membranes: dark pixels."""

    config = weights = None

    def labels(self, image):
        return np.where(np.asarray(image) < 128, 0, 255).astype(np.uint8)

    def annotated(self, place):
        return np.zeros(place.size, np.uint8)


def test_membranes_of_interpolated_slices_against_those_of_the_true_one(slices, tmp_path):
    lab = laboratory(slices, tmp_path, "data.triplets.max_shift=0")
    (data,) = find_slice_data(lab)
    scores = interpolated_membranes._scores(lab, data, Marking(), {})
    assert list(scores) == ["True slice", "Average", "Smoothed average", "Registered average"]
    (before, after), truth = data.tests[2].read()
    found, true = np.clip(np.round((before + after) / 2), 0, 255) < 128, truth < 128
    row = scores["Average"][0][2]
    assert row["precision"] == pytest.approx((found & true).sum() / found.sum())
    assert row["recall"] == pytest.approx((found & true).sum() / true.sum())
    # An annotator to whom all is membrane.
    assert row["annotated_precision"] == 1 and row["annotated_recall"] == pytest.approx(found.mean())
    assert all(row["f1"] == 1 for row in scores["True slice"][0])
    *_, rows = interpolated_membranes._table("", {"ISBI 2012": {**scores, **of_networks(scores)}}, "")
    assert "True slice" not in rows and rows["Average"]["ISBI 2012, recall"].value == pytest.approx(
        np.mean([row["recall"] for row in scores["Average"][0]])
    )
    *_, rows = interpolated_membranes._table("", {"CREMI A": {**scores, **of_networks(scores)}}, "")
    assert rows["DAIN"]["CREMI A, F1"] == Cell(published=0.563) and rows["SSAN"]["CREMI A, F1"].published == 0.602


def of_networks(scores):
    return dict.fromkeys(("SSAN", "SSAN, AEA block"), scores["Average"])


@pytest.mark.slow
@pytest.mark.skipif(not ISBI.is_dir(), reason="the stack of ISBI 2012 is not here")
def test_tiny_runs_on_the_stack_itself(tmp_path):
    text, rows = experiment("interpolation", ISBI, tmp_path)
    assert len(rows) == 7 and all(float(row["ISBI 2012, PSNR"]) > 0 for row in rows.values())
    text, rows = experiment("interpolation-membranes", ISBI, tmp_path)
    assert "Against the annotators' labels" in text and len(rows) == 5
