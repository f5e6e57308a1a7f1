"""Tables state mean, spread and gain over the same images; the CSV gives the very numbers."""

import csv
import statistics

import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.tables import Row, summary_table, write_csv

PSNR, INPUT = [30.0, 31.5, 36.0], [20.0, 24.0, 22.0]
ROWS = [
    Row(f"{number}.tif", {"psnr": psnr, "ssim": 0.9}, {"psnr": low, "ssim": 0.3 + number / 10})
    for number, (psnr, low) in enumerate(zip(PSNR, INPUT, strict=True))
]


def cells(table, score):
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {score}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_compares_image_by_image():
    gains = [high - low for high, low in zip(PSNR, INPUT, strict=True)]
    table = summary_table(ROWS)
    assert cells(table, "PSNR (dB)")[1:] == [
        "3",
        f"22.00 ± {statistics.stdev(INPUT):.2f}",
        f"32.50 ± {statistics.stdev(PSNR):.2f}",
        f"+{statistics.mean(gains):.2f} ± {statistics.stdev(gains):.2f}",
    ]
    assert cells(table, "SSIM")[1:] == ["3", "0.4000 ± 0.1000", "0.9000 ± 0.0000", "+0.5000 ± 0.1000"]
    lines = table.splitlines()
    assert len({len(line) for line in lines}) == 1 and set(lines[1]) == set("|- ")


def test_without_input_and_for_one_image_only_what_is_known_stands():
    table = summary_table([Row("a.tif", {"nrmse": 0.25})])
    assert cells(table, "score") == ["score", "n", "prediction"]
    assert cells(table, "NRMSE") == ["NRMSE", "1", "0.2500"]


def with_filter(row, psnr):
    return Row(row.file, row.prediction, row.input, others={"a filter (2)": {"psnr": psnr, "ssim": 0.8}})


def test_others_stand_between_input_and_prediction_with_their_differences():
    filtered = [29.0, 32.5, 33.0]
    table = summary_table([with_filter(row, psnr) for row, psnr in zip(ROWS, filtered, strict=True)])
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert lines[0] == ["", "n", "PSNR (dB)", "SSIM"]
    gains = [high - low for high, low in zip(PSNR, filtered, strict=True)]
    assert [line[:1] + line[2:] for line in lines[2:]] == [
        ["input", f"22.00 ± {statistics.stdev(INPUT):.2f}", "0.4000 ± 0.1000"],
        ["a filter (2)", f"31.50 ± {statistics.stdev(filtered):.2f}", "0.8000 ± 0.0000"],
        ["prediction", f"32.50 ± {statistics.stdev(PSNR):.2f}", "0.9000 ± 0.0000"],
        ["prediction - input", cells(summary_table(ROWS), "PSNR")[4], "+0.5000 ± 0.1000"],
        ["prediction - a filter (2)", f"+1.00 ± {statistics.stdev(gains):.2f}", "+0.1000 ± 0.0000"],
    ]
    assert {line[1] for line in lines[2:]} == {"3"}
    assert len({len(line) for line in table.splitlines()}) == 1


def test_a_perfect_image_does_not_break_the_table():
    rows = [Row("a", {"psnr": float("inf")}, {"psnr": 20.0}), Row("b", {"psnr": 30.0}, {"psnr": 21.0})]
    assert cells(summary_table(rows), "PSNR")[2:] == ["20.50 ± 0.71", "inf", "+inf"]


def test_csv_keeps_every_digit(tmp_path):
    rows = [Row('odd, "name".tif', {"psnr": 0.1 + 0.2}, {"psnr": 1 / 3}, others={"f (2)": {"psnr": 1 / 7}})]
    write_csv(tmp_path / "new" / "scores.csv", rows)
    with open(tmp_path / "new" / "scores.csv", newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["file"] == 'odd, "name".tif'
    assert (float(line["psnr"]), float(line["input_psnr"])) == (0.1 + 0.2, 1 / 3)
    assert float(line["f (2)_psnr"]) == 1 / 7 and len(line) == 4
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_rows_that_do_not_belong_together_are_refused(tmp_path):
    for rows, message in (
        ([], "no images"),
        ([Row("a", {"psnr": 1.0}), Row("b", {"ssim": 1.0})], "b: its scores differ"),
        ([ROWS[0], Row("b", {"psnr": 1.0, "ssim": 1.0})], "b: expected input scores"),
        ([with_filter(ROWS[0], 1.0), ROWS[1]], r"1\.tif: expected scores of a filter \(2\), as the first"),
        ([ROWS[0], with_filter(ROWS[1], 1.0)], r"1\.tif: expected scores of nothing else"),
        ([Row("b", {"psnr": 1.0}, others={"f": {"ssim": 1.0}})], "b: its scores differ"),
    ):
        with pytest.raises(InputError, match=message):
            summary_table(rows)
        with pytest.raises(InputError, match=message):
            write_csv(tmp_path / "scores.csv", rows)
    assert list(tmp_path.iterdir()) == []


def test_a_csv_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"scores\.csv: cannot be written"):
        write_csv(tmp_path / "file" / "scores.csv", ROWS)
    with pytest.raises(InputError, match="found a folder"):
        write_csv(tmp_path, ROWS)
