"""Reports: the paper's layout, published figures beside ours, numbers that can be read back."""

import csv
import json
import math
from pathlib import Path

import pytest

from aeanet_tf.evaluation.tables import Cell, mean, mean_and_deviation
from aeanet_tf.experiments.budget import parse_budget
from aeanet_tf.experiments.laboratory import Laboratory
from aeanet_tf.experiments.scores import by_image, read_scores, write_report, write_scores
from aeanet_tf.files import write_text
from aeanet_tf.runs.config import RunConfig


def report(tmp_path, budget="full", epochs=2):
    lab = Laboratory(Path("data"), tmp_path, parse_budget(budget))
    columns = {"C1 (PSNR)": 2, "C1 (SSIM)": 4, "parameters": 0}
    rows = {
        "Input": {"C1 (PSNR)": Cell(20.123, None, 22.22)},
        "AEANet": {
            "C1 (PSNR)": Cell(30.126, 1.5, 32.08, 1.70),
            "C1 (SSIM)": Cell(0.5, published=0.7933),
            "parameters": Cell(1347328),
        },
        "RCAN": {"C1 (PSNR)": Cell(published=1.59), "C1 (SSIM)": Cell(math.nan)},
    }
    models = str(tmp_path / "models")
    model = {"name": "a-seed0", "basedir": models}
    training = {"steps": 7, "steps_per_epoch": 4, "patch_size": [8, 8]}
    config = RunConfig.model_validate({"model": model, "training": training})
    history = [f"{epoch},0.5,0.5" for epoch in range(epochs)]
    write_text(Path(models, "a-seed0", "history.csv"), "\n".join(["epoch,loss,val_loss", *history, ""]))
    path = write_report(lab, "table", "Title", [("Caption.", columns, rows)], ["A note."], {"A": [config]})
    return path.read_text()


def test_markdown_has_published_figures_in_brackets(tmp_path):
    lines = report(tmp_path).splitlines()
    assert lines[0] == "# Title" and "Caption. In brackets: as published." in lines and "A note." in lines
    head, rule, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert head == ["", "C1 (PSNR)", "C1 (SSIM)", "parameters"] and set("".join(rule)) == {"-"}
    assert rows == [
        ["Input", "20.12 [22.22]", "–", "–"],
        ["AEANet", "30.13 ± 1.50 [32.08 ± 1.70]", "0.5000 [0.7933]", "1,347,328"],
        ["RCAN", "– [1.59]", "nan", "–"],
    ]
    assert any("`a-seed0`: aeanet-care, 7 steps" in line for line in lines)
    assert "diverged" not in "\n".join(lines) and "diverged in epoch 1 of 2" in report(tmp_path, epochs=1)
    assert "trial run" not in "\n".join(lines) and "trial run" in report(tmp_path, "0.1")


def test_csv_and_configurations_can_be_read_back(tmp_path):
    report(tmp_path)
    with open(tmp_path / "table.csv", newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert float(rows["AEANet"]["C1 (PSNR)"]) == 30.126 and float(rows["AEANet"]["C1 (PSNR) published ±"]) == 1.70
    assert rows["Input"]["C1 (SSIM)"] == "" and float(rows["RCAN"]["C1 (PSNR) published"]) == 1.59
    # Columns without any entry are left out.
    assert "parameters ±" not in rows["Input"]
    found = json.loads((tmp_path / "table_configurations.json").read_text())
    assert RunConfig.model_validate(found["a-seed0"]).training.steps == 7


def test_scores_are_kept_to_the_last_bit_and_averaged_over_seeds(tmp_path):
    values = [[1 / 3, 2.0, 4.0], [1.0, 3.0, math.inf]]
    runs = []
    for number, run in enumerate(values):
        rows = [{"image": f"a,{i}", "condition": "C1" if i else "", "psnr": v} for i, v in enumerate(run)]
        write_scores(tmp_path / f"{number}.csv", rows)
        runs.append(read_scores(tmp_path / f"{number}.csv"))
        assert runs[-1] == rows
    assert by_image(runs, "psnr").tolist() == [(1 / 3 + 1) / 2, 2.5, math.inf]
    assert by_image(runs, "psnr", "C1").tolist() == [2.5, math.inf]


def test_cells_of_images():
    assert mean_and_deviation([1.0, 3.0], (5.0, 6.0)) == Cell(2.0, pytest.approx(2**0.5), 5.0, 6.0)
    assert mean_and_deviation([1.0], 5.0) == Cell(1.0, None, 5.0, None)
    assert mean_and_deviation([], 5.0) == Cell(None, None, 5.0, None)
    assert mean([1.0, 3.0], (5.0, 6.0)) == Cell(2.0, None, 5.0, 6.0)
