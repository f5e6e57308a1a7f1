"""Every experiment from end to end by its command: data as published, a tiny budget, tables and pictures."""

import csv
import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.experiments import figure3d, paired_em, published, w2s
from aeanet_tf.experiments.budget import parse_budget
from aeanet_tf.experiments.laboratory import Laboratory
from aeanet_tf.experiments.scores import read_scores
from aeanet_tf.io.tiff import write_image
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.shipped import CONFIGS
from aeanet_tf.runs.train import model_config
from tests.datasets.published import write_care, write_label_free, write_paired_em
from tests.models import EAGER, eager_tensorflow

PAIRED = ("em", "em-notebook")
# Where the table is checked and not the networks.
SMALL = ["--set", "training.batch_norm_batches=1", "--set", "training.tensorboard=false"]


def experiment(name, data, output, *options):
    """Run the command; the Markdown and the rows of the CSV."""
    arguments = ["experiment", name, "--data", str(data), "--output", str(output), "--budget", "tiny"]
    assert main([*arguments, *SMALL, *options]) == 0
    rows = rows_of(output / f"{name}.csv")
    text = (output / f"{name}.md").read_text()
    assert "a trial run" in text
    runs = json.loads((output / f"{name}_configurations.json").read_text())
    assert set(runs) <= {path.name for path in (output / "models").iterdir()}
    assert all(run["training"]["steps"] == 2 for run in runs.values())
    return text, rows


def rows_of(path):
    """Rows of a table by method."""
    with open(path, newline="") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def care(tmp_path_factory):
    folder = tmp_path_factory.mktemp("care")
    write_care(folder / "Denoising_Planaria")
    write_care(folder / "Denoising_Tribolium", form="folders", seed=1)
    write_care(folder / "Projection_Flywing", projection=True, form="folders", seed=2)
    return folder


@pytest.fixture(scope="module")
def em(tmp_path_factory):
    """The folder of the owner, and that of the results, which the experiments share."""
    folder = tmp_path_factory.mktemp("em")
    write_paired_em(folder / "data", pairs=2)
    return folder / "data", folder / "results"


@EAGER
@pytest.mark.parametrize("filters", [4, pytest.param(32, marks=pytest.mark.slow)])
def test_table2(filters, care, tmp_path):
    with eager_tensorflow() if filters == 4 else nullcontext():
        text, rows = experiment("table2", care, tmp_path, "--set", f"model.network.first_filters={filters}")
    assert list(rows) == ["Input", "CARE", "U-Net", "GVTNet", "AEANet"]
    assert float(rows["AEANet"]["C3 (SSIM) published"]) == published.TABLE2["AEANet"]["C3"][0][0]
    # What the paper calls U-Net is CARE.
    assert float(rows["CARE"]["C1 (PSNR) published"]) == 31.57 and rows["U-Net"]["C1 (PSNR) published"] == ""
    assert "996,769 parameters" in text and "2 steps of 2 on" in text
    errors = rows_of(tmp_path / "table2_2.csv")
    for label, row in rows.items():
        # Of one score the other, and a mean of logarithms is at most the logarithm of the mean.
        bound = -20 * np.log10(float(errors[label]["C2 (NRMSE)"]))
        assert bound <= float(row["C2 (PSNR)"]) <= bound + 3
    for row in rows.values():
        psnr = [float(row[f"{c} (PSNR)"]) for c in ("C1", "C2", "C3")]
        assert float(row["Avg (PSNR)"]) == pytest.approx(np.mean(psnr))
    # More light, more to see.
    noise = [float(rows["Input"][f"{c} (PSNR)"]) for c in ("C3", "C2", "C1")]
    assert noise == sorted(noise) and noise[0] < noise[2]
    assert "32.08 ± 1.70" in text
    assert (tmp_path / "table2_curves.png").stat().st_size > 10000
    assert len(list(tmp_path.glob("table2_img_*_C3.png"))) == 2 and (tmp_path / "table2_nrmse.png").exists()


@pytest.mark.slow
def test_table3(care, tmp_path):
    text, rows = experiment("table3", care, tmp_path)
    assert list(rows) == ["Input", "Surface", "CARE", "U-Net", "GVTNet", "AEANet"]
    # Sheets without debris: what a maximum shows, with less of the noise.
    assert float(rows["Surface"]["C3 (PSNR)"]) > float(rows["Input"]["C3 (PSNR)"]) + 1
    assert "surface of least cost" in text
    assert float(rows["Input"]["Avg (PSNR) published"]) == 17.41 and "maximum along z" in text
    assert all(np.isfinite(float(rows[m]["C2 (SSIM)"])) for m in rows) and "own ProjectionCARE" in text


@EAGER
@pytest.mark.slow
def test_tribolium(care, tmp_path):
    with eager_tensorflow():
        text, rows = experiment("tribolium", care, tmp_path, "--set", "model.network.first_filters=4")
    assert list(rows) == ["Input", "CARE", "U-Net", "GVTNet", "AEANet"] and "published" not in text
    assert {path.name.partition("-")[0] for path in (tmp_path / "models").iterdir()} == {"tribolium"}


@EAGER
@pytest.mark.slow
def test_figure3d_shares_the_models_of_table2(care, tmp_path, monkeypatch):
    monkeypatch.setattr(figure3d, "SIZES", ((16, 32, 32), (95, 512, 512)))
    small = "--set", "model.network.first_filters=4"
    with eager_tensorflow():
        experiment("table2", care, tmp_path, *small)
        before = sorted(path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("weights_best.h5"))
        _, rows = experiment("figure3d", care, tmp_path, *small)
    assert before == sorted(path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("weights_best.h5"))
    assert list(rows) == [f"{m}, C{i}" for m in ("CARE", "U-Net", "GVTNet", "AEANet") for i in (1, 2, 3)]
    of_table = rows_of(tmp_path / "table2.csv")
    for label, row in rows.items():
        method, condition = label.split(", ")
        whole = float(of_table[method][f"{condition} (SSIM)"])
        # Volumes of 16 x 48 x 48 are one patch of the larger size; the smaller ones overlap.
        assert float(row["whole"]) == pytest.approx(whole) == pytest.approx(float(row["512 x 512 x 95"]), abs=1e-5)
        assert 0 < abs(float(row["32 x 32 x 16"]) - whole) < 0.5
    assert (tmp_path / "figure3d.png").stat().st_size > 10000


@pytest.mark.slow
def test_transfer(care, tmp_path):
    text, rows = experiment("transfer", care, tmp_path)
    assert len(rows) == 14 and "NRMSE" in text and text.count("CARE: CSBDeep's own") == 3
    cells = {f"{data} C{i}" for data in ("planaria", "tribolium", "flywing") for i in (1, 2, 3)}
    filled = {label: {cell for cell in cells if row[cell] != ""} for label, row in rows.items()}
    # All of them; of the surface projection of inputs, where there is a projection to compare with.
    assert filled.pop("no training, Surface") == {f"flywing C{i}" for i in (1, 2, 3)}
    assert all(of_row == cells for of_row in filled.values())
    assert all(np.isfinite(float(rows[label][cell])) for label, of_row in filled.items() for cell in of_row)
    # Its other models are those of the tables.
    assert len(list((tmp_path / "models").iterdir())) == 12


@pytest.mark.slow
def test_table1_and_table5_share_their_models(em):
    data, results = em
    text, rows = experiment("table1", data, results)
    assert float(rows["AEANet"]["Δ PSNR (dB) published"]) == 2.10 and rows["RCAN"]["Δ SSIM (em)"] == ""
    assert all(np.isfinite(float(rows[m]["Δ PSNR (dB)"])) for m in ("U-Net", "GVTNet", "Learned query", "AEANet"))
    # Without a network: the library knows what the high magnification looks like, and has less noise.
    assert float(rows["Paired LB-NLM"]["Δ PSNR (dB) published"]) == 0.78
    assert float(rows["Paired LB-NLM"]["Δ PSNR (dB)"]) > 0.3
    kept = read_scores(results / "scores" / "paired_em-library-tiny.csv")
    assert [row["image"] for row in kept] == [f"sample{i}_r{r}_c3" for i in range(2) for r in range(3)]
    regions = rows_of(results / "table1_2.csv")
    assert np.isfinite(float(regions["AEANet"]["Foreground"])) and "6 sub-images" in text
    before = {path: path.stat().st_mtime_ns for path in (results / "models").rglob("weights_best.h5")}
    text, rows = experiment("table5", data, results)
    assert list(rows) == ["Self-attention", "Learned query", "AEA block"]
    assert all(float(rows[m]["Rot. 90"]) > 0 for m in rows) and "below the self-attention's" in text
    assert before == {path: path.stat().st_mtime_ns for path in (results / "models").rglob("weights_best.h5")}


@pytest.mark.slow
def test_table6_and_figure9_share_theirs(em):
    data, results = em
    _, rows = experiment("table6", data, results)
    assert float(rows["References only"]["Δ PSNR (dB) published"]) == 2.04
    assert all(np.isfinite(float(rows[f"Both, {n} references"]["Δ SSIM (em)"])) for n in (16, 32, 64))
    assert rows["RCAN"]["Δ PSNR (dB)"] == ""
    text, rows = experiment("table6", data, results, "--networks", "aeanet", "rcan")
    assert float(rows["RCAN"]["Δ PSNR (dB) published"]) == 1.59 and np.isfinite(float(rows["RCAN"]["Δ PSNR (dB)"]))
    assert rows["GVTNet"]["Δ PSNR (dB)"] == "" and "RCAN: filters=16; groups=2" in text
    _, rows = experiment("figure9", data, results)
    assert list(rows) == ["GVTNet", "AEANet (16)", "AEANet (32)", "AEANet (64)"]
    found = [float(rows["AEANet (64)"][size]) for size in ("full", "512", "384", "256", "128")]
    # Networks that attend to more give something else.
    assert len(set(found)) == 5 and float(rows["AEANet (64)"]["128 published"]) == 1.303
    assert float(rows["AEANet (16)"]["256 published"]) == 1.690 and rows["AEANet (32)"]["128 published"] == ""


@pytest.mark.slow
def test_table1_of_single_images(em, tmp_path):
    """Each network trained on one image, tested on it alone; the table's columns are means over all."""
    text, rows = experiment("table1", em[0], tmp_path, "--self", "--set", "model.network.first_filters=4")
    assert float(rows["AEANet"]["Δ PSNR (dB), self-training published"]) == 1.06
    assert rows["Learned query"]["Δ PSNR (dB), self-training published"] == ""
    assert float(rows["EDSR"]["Δ SSIM (em), self-training published"]) == 0.052
    assert float(rows["Paired LB-NLM"]["Δ PSNR (dB), self-training"]) > 0.3
    assert float(rows["Paired LB-NLM"]["Δ PSNR (dB), self-training published"]) == 1.67
    for method, key in (("U-Net", "unet"), ("AEANet", "aeanet")):
        files = [tmp_path / "scores" / f"paired_em-{key}-sample{i}-seed0-tiny.csv" for i in range(2)]
        found = [read_scores(file) for file in files]
        assert [{row["image"].partition("_")[0] for row in of} for of in found] == [{"sample0"}, {"sample1"}]
        mean = np.mean([row["delta_psnr"] for of in found for row in of])
        assert float(rows[method]["Δ PSNR (dB), self-training"]) == pytest.approx(mean)
    regions = rows_of(tmp_path / "table1_2.csv")
    assert np.isfinite(float(regions["AEANet (self)"]["Foreground"])) and "2 networks of each kind" in text
    runs = json.loads((tmp_path / "table1_configurations.json").read_text())
    assert len(runs) == 12 and runs["paired_em-gvtnet-sample1-seed0-tiny"]["data"]["pair"] == "sample1"


@pytest.mark.slow
def test_labelfree(tmp_path):
    write_label_free(tmp_path / "data", test=3)
    results = tmp_path / "results"
    text, rows = experiment("labelfree", tmp_path / "data", results, "--set", "model.network.first_filters=4")
    assert list(rows) == ["dna", "tom20"]
    methods = ["U-Net", "U-Net, depth 4", "GVTNet", "AEANet"]
    for row in rows.values():
        assert float(row["n"]) == 2 and 0 <= float(row["GVTNet > U-Net: p"]) <= 1
        assert all(-1 <= float(row[m]) <= 1 for m in methods)
    costs = rows_of(results / "labelfree_2.csv")
    assert list(costs) == methods and "[23,280,769]" in text and "[6,172,225]" in text
    kept = json.loads((results / "labelfree_image_times.json").read_text())
    assert {label: float(row["seconds"]) for label, row in costs.items()} == kept and min(kept.values()) > 0
    for structure in rows:
        (picture,) = results.glob(f"labelfree_{structure}_*.png")
        assert picture.stat().st_size > 10000


@EAGER
@pytest.mark.slow
def test_w2s(tmp_path, monkeypatch):
    chosen = {method.label: method for method in w2s.METHODS}
    # What is left out are settings of these.
    care = replace(chosen["CARE"], patch_size=(32, 32), per_image=4, batch_size=2)
    default = "AEANet, references only (default)"
    monkeypatch.setattr(w2s, "METHODS", (care, *(chosen[label] for label in ("U-Net", "GVTNet", default))))
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2), ("test", 3)):
        for i in range(count):
            gt = rng.random((8, 8)).repeat(16, 0).repeat(16, 1)
            write_image(tmp_path / "data" / split / "GT" / f"fov0_c{i}.tif", (200 * gt).astype("uint8"), "YX")
            low = 200 * gt + rng.normal(0, 20, gt.shape)
            write_image(tmp_path / "data" / split / "low" / f"fov0_c{i}.tif", low.clip(0, 255).astype("uint8"), "YX")
    results = tmp_path / "results"
    results.mkdir()
    # 0.06 s; with as many steps as the budget has without a clock.
    seconds = {"w2s-care": 0.06, "unet": 0.03, "gvtnet": 0.025, "aeanet-references": 0.021}
    (results / "w2s_step_times.json").write_text(json.dumps(seconds))
    options = ["--seeds", "2", "--set", "model.network.first_filters=4", "--set", "training.patch_size=[32,32]"]
    with eager_tensorflow():
        text, rows = experiment("w2s", tmp_path / "data", results, *options, "--minutes", "0.001")
    labels = ["CARE", "U-Net", "GVTNet", default]
    filters, methods = list(rows)[:-4], list(rows)[-4:]
    assert methods == labels and [label.partition(" (")[0] for label in filters] == [
        "input",
        "Gaussian",
        "non-local means",
        "library non-local means",
        "Gaussian, the best sigma of each test image",
        "published denoiser",
    ]
    assert all("of validation" in label for label in filters[1:3])
    assert float(rows[filters[4]]["PSNR (dB)"]) >= float(rows[filters[1]]["PSNR (dB)"])
    # It has seen blocks such as these.
    assert float(rows[filters[3]]["PSNR (dB)"]) > float(rows["input"]["PSNR (dB)"]) + 3
    assert [(float(rows[label]["steps"]), float(rows[label]["s a step"])) for label in labels] == [
        (steps, seconds[key]) for key, steps in (("w2s-care", 1), ("unet", 2), ("gvtnet", 2), ("aeanet-references", 2))
    ]
    channels, seeds, psnr, _, intensities, patches, turned = (
        rows_of(results / f"w2s_{number}.csv") for number in range(2, 9)
    )
    # The budget has two images, of a channel each.
    for label in labels:
        found = [float(channels[label][f"c{i}, PSNR (dB)"]) for i in range(2)]
        assert np.mean(found) == pytest.approx(float(rows[label]["PSNR (dB)"]))
        by_seed = [float(seeds[label][f"seed {seed}"]) for seed in range(2)]
        assert np.mean(by_seed) == pytest.approx(float(rows[label]["PSNR (dB)"]))
    expected = float(rows["GVTNet"]["PSNR (dB)"]) - float(rows["U-Net"]["PSNR (dB)"])
    assert float(psnr["GVTNet"]["to U-Net, over images"]) == pytest.approx(expected)
    assert float(psnr["GVTNet"]["to U-Net, over seeds"]) == pytest.approx(expected)
    assert psnr["U-Net"]["to U-Net, over images"] == "" and psnr["U-Net"]["to CARE, over seeds"]
    assert list(intensities) == labels
    assert all(np.isfinite(float(intensities[label]["signal ratio"])) for label in labels)
    assert list(patches) == labels[1:]
    # The images have 128 x 128 pixels.
    assert all(row["whole"] == row["256 x 256"] == row["128 x 128"] for row in patches.values())
    assert len(turned) == 3 and "self-attention's" in text and "Each training was given 0.001 minutes" in text
    scores = (results / "scores" / "w2s-aeanet-references-seed1-tiny.csv").read_text().splitlines()
    assert len(scores) == 3


def test_published_figures_stand_beside_the_protocol_that_made_them():
    gt = np.random.default_rng(0).integers(40, 200, (14, 14)).astype(np.uint8)
    low, image = gt + 20.0, gt + 10.0
    scores = paired_em._protocol(gt, image, low)
    assert scores["delta_psnr"] == scores["delta_foreground"] == pytest.approx(20 * np.log10(2))
    expected = [get_protocol(name)(gt, image)["ssim"] - get_protocol(name)(gt, low)["ssim"] for name in PAIRED]
    assert [scores["delta_ssim"], scores["delta_ssim_notebook"]] == expected
    rows = [{"image": "a", "condition": "", **scores}]
    _, _, table = paired_em._table("", paired_em._DELTAS, {"AEANet": [rows]}, published.TABLE1)
    columns = [f"Δ SSIM ({name})" for name in PAIRED]
    assert [table["AEANet"][column].value for column in columns] == expected
    assert [table["AEANet"][column].published for column in columns] == [None, 0.087]
    # Of the earlier study, which the paper's text follows.
    assert [table["RCAN"][column].published for column in columns] == [0.051, None]


def test_ablations_are_those_of_the_configurations(tmp_path):
    lab = Laboratory(tmp_path, tmp_path, parse_budget("full"))
    methods = {
        "references_only": paired_em.REFERENCES,
        "batch_aware_only": paired_em.BATCH,
        "references_16": paired_em.FEWER[16],
        "references_32": paired_em.FEWER[32],
        "references_64": paired_em.AEANET,
    }
    assert set(methods) == {path.stem for path in (CONFIGS / "paired_em_ablations").iterdir()}
    for name, method in methods.items():
        ours = lab.config("paired_em", method, 0)
        theirs = load_run_config(f"paired_em_ablations/{name}")
        assert model_config(ours).spec == model_config(theirs).spec
        assert ours.training == theirs.training


def test_mistakes_are_one_line(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "file").write_text("")
    data, output = ["--data", str(tmp_path / "data")], ["--output", str(tmp_path / "out")]
    for arguments, message in (
        (
            ["table2", *data, *output, "--budget", "small"],
            "--budget: found 'small', expected full, tiny, or a fraction",
        ),
        (["table2", *data, *output, "--seeds", "0"], "--seeds: '0', expected a number of at least 1, or different"),
        (["table2", *data, *output, "--seeds", "2,2"], "--seeds: '2,2', expected a number of at least 1, or different"),
        (["w2s", *data, *output, "--minutes", "0"], "--minutes: found 0, expected a number above 0"),
        (["table2", *data, *output, "--minutes", "1"], "--minutes: found it for table2, expected one of w2s, volume"),
        (["table6", *data, *output, "--self"], "--self: found it for table6, expected table1"),
        (["table2", "--data", str(tmp_path / "none"), *output], "none: no such folder"),
        (["table2", *data, "--output", str(tmp_path / "file")], "file: is a file, expected a folder"),
        (["table2", *data, *output], "has no Denoising_Planaria/train_data and no train_data;"),
        (["transfer", *data, *output], "has no Denoising_Planaria/train_data;"),
        (["labelfree", *data, *output], "has a table of none of the 13 structures"),
        (["table4", *data, *output], "no subject in it, expected subject-<i>-T1.hdr"),
        (["membranes", *data, *output], "slices.tif: no such file"),
        (["volume", *data, *output], "slices.tif: no such file, expected a stack (ZYX)"),
    ):
        assert main(["experiment", *arguments]) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert len(error) == 1 and message in error[0]
    assert not (tmp_path / "out").exists()
