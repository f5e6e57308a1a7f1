"""``aeanet evaluate`` matches by name, says what it computed, and refuses what it cannot compare."""

import csv
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from skimage.io import imsave
from skimage.restoration import denoise_nl_means

from aeanet_tf.cli import evaluate
from aeanet_tf.cli.main import make_parser
from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.baselines import SIGMAS, STRENGTHS, Filters, noise_sigma, write_filters
from aeanet_tf.evaluation.patch_library import choose_library
from aeanet_tf.evaluation.protocols import PROTOCOLS, care_psnr, get_protocol
from aeanet_tf.io.tiff import write_image


def run(*arguments):
    evaluate.run(make_parser().parse_args(["evaluate", *map(str, arguments)]))


def image(seed, shape=(16, 18)):
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


@pytest.fixture
def folders(tmp_path):
    for name in ("pred", "GT", "low"):
        (tmp_path / name).mkdir()
    for number, stem in enumerate(("b", "a", "c")):
        gt = image(number)
        imsave(tmp_path / "GT" / f"{stem}.png", gt, check_contrast=False)
        write_image(tmp_path / "pred" / f"{stem}.tif", gt + image(number + 10) / 8, "YX")
        write_image(tmp_path / "low" / f"{stem}.tif", gt + image(number + 20).astype(float), "YX")
    return tmp_path


def arguments(folder, *more):
    return ["--prediction", folder / "pred", "--gt", folder / "GT", *more]


def test_scores_are_those_of_the_image_of_the_same_name(folders, capsys):
    output = folders / "scores.csv"
    run(*arguments(folders, "--input", folders / "low", "--output", output))
    with open(output, newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["file"] for line in lines] == ["a.tif", "b.tif", "c.tif"]
    for line, number in zip(lines, (1, 0, 2), strict=True):
        gt = image(number)
        expected = get_protocol("care")(gt, (gt + image(number + 10) / 8).astype(np.float32))
        assert {name: float(line[name]) for name in expected} == pytest.approx(expected)
        expected = get_protocol("care")(gt, (gt + image(number + 20).astype(float)).astype(np.float32))
        assert float(line["input_psnr"]) == pytest.approx(expected["psnr"])
    printed = capsys.readouterr().out
    mean = np.mean([float(line["psnr"]) for line in lines])
    assert printed.startswith("protocol care:") and "| PSNR (dB) | 3 | " in printed and f"{mean:.2f} ±" in printed
    assert "difference" in printed


def test_protocol_and_data_range_are_followed(folders, capsys):
    run(*arguments(folders, "--protocol", "plain", "--data-range", "4095"))
    printed = capsys.readouterr().out
    assert "data range 4095" in printed and "difference" not in printed
    expected = [get_protocol("plain")(image(n), image(n) + image(n + 10) / 8, 4095)["psnr"] for n in range(3)]
    assert f"{np.mean(expected):.2f} ±" in printed
    run(*arguments(folders, "--protocol", "label-free"))
    assert "Pearson r" in capsys.readouterr().out


def microscopy(folder, shape=(40, 44), axes="YX"):
    """Smooth truths, noisy inputs in another unit, and predictions; as the files have them."""
    pairs = {}
    for number, stem in enumerate(("a", "b")):
        rng = np.random.default_rng(number)
        gt = gaussian_filter(rng.random(shape), 2) * 4000
        low = (0.5 * gt + 100 + rng.normal(0, 100 + 100 * number, shape)).astype(np.uint16)
        for side, array in (("GT", gt), ("low", low), ("pred", gt + rng.normal(0, 10, shape))):
            write_image(folder / side / f"{stem}.tif", array.astype(np.float32), axes)
        pairs[stem] = low, gt.astype(np.float32)
    return pairs


def read_columns(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def nlm(image, strength, size=5, distance=6):
    """Non-local means of scikit-image as they are called for an image."""
    sigma = noise_sigma(image)
    options = {"h": strength * sigma, "sigma": sigma, "preserve_range": True}
    return denoise_nl_means(image.astype(float), size, distance, **options)


@pytest.mark.parametrize("protocol", ["care", "plain"])
def test_the_best_filters_stand_beside_the_prediction(tmp_path, capsys, protocol):
    pairs = microscopy(tmp_path)
    more = ["--input", tmp_path / "low", "--output", tmp_path / "s.csv", "--protocol", protocol]
    run(*arguments(tmp_path, *more, "--baselines"))
    score = get_protocol(protocol)
    sigma = max(
        SIGMAS, key=lambda s: np.mean([score(gt, gaussian_filter(1.0 * x, s))["psnr"] for x, gt in pairs.values()])
    )
    strength = max(STRENGTHS, key=lambda h: np.mean([score(gt, nlm(x, h))["psnr"] for x, gt in pairs.values()]))
    labels = [
        f"Gaussian (sigma {sigma:g}; best for this truth)",
        f"non-local means ({strength:g}; best for this truth)",
    ]
    lines = read_columns(tmp_path / "s.csv")
    for line, (low, gt) in zip(lines, pairs.values(), strict=True):
        for label, filtered in zip(labels, (gaussian_filter(1.0 * low, sigma), nlm(low, strength)), strict=True):
            found = {name: float(line[f"{label}_{name}"]) for name in score.scores}
            assert found == pytest.approx(score(gt, filtered.astype(np.float32)), rel=1e-4)
    printed = capsys.readouterr().out
    mean = np.mean([float(line[f"{labels[0]}_psnr"]) for line in lines])
    assert re.search(rf"\| {re.escape(labels[0])} +\| 2 \| {mean:.2f} ± ", printed)
    assert f"| prediction - {labels[1]} " in printed and "filters chosen" not in printed


def test_a_library_of_other_pairs_stands_beside_them(tmp_path, capsys):
    pairs = microscopy(tmp_path)
    others = microscopy(tmp_path / "more")
    more = ["--input", tmp_path / "low", "--output", tmp_path / "s.csv"]
    run(*arguments(tmp_path, *more, "--library", tmp_path / "more" / "low", tmp_path / "more" / "GT"))
    # The first is held out.
    held_out, *training = others.values()
    library = choose_library(training, [held_out], matched=True)
    for line, (low, gt) in zip(read_columns(tmp_path / "s.csv"), pairs.values(), strict=True):
        assert float(line[f"{library.label}_psnr"]) == pytest.approx(care_psnr(gt, library(low)), rel=1e-4)
        assert not any(column.startswith("Gaussian") for column in line)
    assert f"| prediction - {library.label} " in capsys.readouterr().out


def test_filters_of_a_model_are_taken_as_they_are(tmp_path, capsys):
    pairs = microscopy(tmp_path)
    write_filters(tmp_path / "model", Filters(5.0, 0.5))
    more = ["--input", tmp_path / "low", "--output", tmp_path / "s.csv"]
    run(*arguments(tmp_path, *more, "--baselines", tmp_path / "model"))
    for line, (low, gt) in zip(read_columns(tmp_path / "s.csv"), pairs.values(), strict=True):
        for label, filtered in (
            ("Gaussian (sigma 5)", gaussian_filter(1.0 * low, 5)),
            ("non-local means (0.5)", nlm(low, 0.5)),
        ):
            assert float(line[f"{label}_psnr"]) == pytest.approx(get_protocol("care")(gt, filtered)["psnr"], rel=1e-4)
    assert f"filters chosen on the validation images of {tmp_path / 'model'}\n" in capsys.readouterr().out
    write_filters(tmp_path / "model", Filters(5.0))
    run(*arguments(tmp_path, *more, "--baselines", tmp_path / "model"))
    assert "non-local" not in capsys.readouterr().out


def test_volumes_and_channels_are_filtered_one_by_one(tmp_path):
    pairs = microscopy(tmp_path, (2, 9, 20, 22), "CZYX")
    write_filters(tmp_path / "model", Filters(1.5))
    more = ["--input", tmp_path / "low", "--output", tmp_path / "s.csv"]
    run(*arguments(tmp_path, *more, "--baselines", tmp_path / "model"))
    lines = {line["file"]: line for line in read_columns(tmp_path / "s.csv")}
    assert list(lines) == ["a.tif [C=0]", "a.tif [C=1]", "b.tif [C=0]", "b.tif [C=1]"]
    for channel in range(2):
        low, gt = (array[channel] for array in pairs["b"])
        expected = get_protocol("care")(gt, gaussian_filter(low.astype(float), 1.5))
        found = float(lines[f"b.tif [C={channel}]"]["Gaussian (sigma 1.5)_psnr"])
        assert found == pytest.approx(expected["psnr"], rel=1e-5)


def test_filters_that_cannot_be_are_refused(tmp_path):
    microscopy(tmp_path)
    more = ["--input", tmp_path / "low"]
    output = tmp_path / "s.csv"
    for options, message in (
        (["--baselines"], "--baselines: found no --input, expected the images to filter"),
        ([*more, "--baselines", tmp_path], r"filters\.json: cannot be read .*, expected the filters of a model"),
        (
            [*more, "--baselines", "--protocol", "label-free"],
            "baselines: found the protocol label-free, expected one of",
        ),
        ([*more, "--baselines", "--protocol", "segmentation"], "baselines: found the protocol segmentation"),
        (["--library", tmp_path / "low", tmp_path / "GT"], "--library: found no --input, expected the images"),
        ([*more, "--library", tmp_path / "low" / "a.tif", tmp_path / "GT" / "a.tif"], "library: found one pair in"),
        ([*more, "--library", *["x"] * 2, "--protocol", "label-free"], "library: found the protocol label-free"),
    ):
        with pytest.raises(InputError, match=message):
            run(*arguments(tmp_path, *options, "--output", output))
    write_image(tmp_path / "low" / "b.tif", np.zeros((40, 45), np.float32), "YX")
    with pytest.raises(InputError, match=r"low.b\.tif: shape \(40, 45\)"):
        run(*arguments(tmp_path, *more, "--baselines", "--output", output))
    assert not output.exists()


def test_intensities_are_compared_above_the_offset(tmp_path, capsys):
    gt = image(0).astype(np.float32)
    write_image(tmp_path / "GT" / "a.tif", gt + 100, "YX")
    write_image(tmp_path / "pred" / "a.tif", 1.5 * gt + 100, "YX")
    run(*arguments(tmp_path, "--protocol", "plain", "--offset", "100"))
    printed = capsys.readouterr().out
    assert re.search(r"\| signal ratio +\| 1 \| 1\.500 ", printed) and "\noffset 100\n" in printed
    run(*arguments(tmp_path, "--protocol", "plain"))
    printed = capsys.readouterr().out
    assert f"| {(1.5 * gt + 100).mean() / (gt + 100).mean():.3f} " in printed and "\noffset" not in printed
    for protocol in ("care", "segmentation"):
        with pytest.raises(InputError, match="--offset: found 0, but it is for the protocol plain"):
            run(*arguments(tmp_path, "--protocol", protocol, "--offset", "0"))


def test_labels_are_scored_by_tissue(tmp_path, capsys):
    gt, prediction = (np.random.default_rng(n).choice(np.uint8([0, 10, 150, 250]), (6, 8, 9)) for n in range(2))
    write_image(tmp_path / "GT" / "a.tif", gt, "ZYX")
    write_image(tmp_path / "pred" / "a.tif", prediction, "ZYX")
    run(*arguments(tmp_path, "--protocol", "mri"))
    printed, _, following = capsys.readouterr().out.rpartition("next: ")
    assert following == "aeanet export --model MODEL --format fiji\n"
    expected = get_protocol("mri")(gt, prediction)
    cells = {name.strip(): value.strip() for _, name, _, value, _ in (r.split("|") for r in printed.splitlines()[2:])}
    assert cells["Dice GM"] == f"{expected['dice_gm']:.4f}" and cells["MHD CSF"] == f"{expected['mhd_csf']:.3f}"


def write_labels(folder, images):
    for (side, stem), array in images.items():
        write_image(folder / side / f"{stem}.tif", np.asarray(array, np.uint8), "YX")


def test_any_classes_are_scored_with_their_confusion(tmp_path, capsys):
    write_labels(
        tmp_path,
        {
            ("GT", "a"): [[0, 0, 3, 3], [0, 0, 3, 3]],
            ("pred", "a"): [[0, 0, 0, 3], [0, 3, 3, 3]],
            ("GT", "b"): [[0, 0, 20, 20]],
            ("pred", "b"): [[0, 0, 20, 3]],
            ("GT", "c"): [[0, 0, 20, 20]],
            ("pred", "c"): [[0, 0, 20, 20]],
        },
    )
    run(*arguments(tmp_path, "--protocol", "segmentation", "--output", tmp_path / "out" / "scores.csv"))
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line[:1] == "|"]
    assert [row[:2] for row in rows[2:6]] == [["Dice 0", "3"], ["Dice 3", "2"], ["Dice 20", "2"], ["Dice mean", "3"]]
    # a: 3/4 and 3/4; b: 1, 0 and 2/3; c: 1 and 1.
    assert rows[4][2].startswith(f"{(2 / 3 + 1) / 2:.4f} ±")
    assert rows[5][2].startswith(f"{(0.75 + 1 / 3 + 1) / 3:.4f} ±")
    assert "neither ground truth nor image has the class (nan): Dice 3 (1 of 3 images), Dice 20 (1 of 3" in printed
    assert ["3", "4", "5", "3", f"{6 / 9:.4f}"] in rows and ["GT \\ prediction", "0", "3", "20"] in rows
    assert rows[-3:] == [["0", "7", "1", "0"], ["3", "1", "3", "0"], ["20", "0", "1", "3"]]
    with open(tmp_path / "out" / "scores_confusion.csv", newline="") as file:
        written = list(csv.reader(file))
    assert written == [["gt", "0", "3", "20"], *rows[-3:]]
    with open(tmp_path / "out" / "scores.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["dice_20"] for line in lines] == ["nan", repr(2 / 3), "1.0"]
    assert [(line["gt_3"], line["prediction_3"], line["both_3"]) for line in lines] == [
        ("4", "4", "3"),
        ("0", "1", "0"),
        ("0", "0", "0"),
    ]


def test_the_background_is_what_it_is_said_to_be(tmp_path, capsys):
    write_labels(tmp_path, {("GT", "a"): [[0, 0, 255, 255]], ("pred", "a"): [[0, 255, 255, 255]]})
    ratios = {0: 2 / 3, 255: 4 / 5}
    for options, mean in (
        ([], ratios[255]),
        (["--background", "255"], ratios[0]),
        (["--background", "none"], np.mean(list(ratios.values()))),
    ):
        run(*arguments(tmp_path, "--protocol", "segmentation", *options))
        printed = capsys.readouterr().out
        assert re.search(rf"Dice mean +\| 1 \| {mean:.4f}", printed)
        assert f"background {options[-1] if options else 0}\n" in printed
    with pytest.raises(InputError, match="--background: got 0, but it is for the protocol segmentation"):
        run(*arguments(tmp_path, "--background", "0"))


def test_absent_tissues_are_noted(tmp_path, capsys):
    write_labels(
        tmp_path,
        {
            ("GT", "a"): [[0, 10, 150, 250]],
            ("pred", "a"): [[0, 10, 150, 250]],
            ("GT", "b"): [[0, 10, 10, 250]],
            ("pred", "b"): [[0, 0, 10, 250]],
        },
    )
    run(*arguments(tmp_path, "--protocol", "mri"))
    printed = capsys.readouterr().out
    assert "| Dice GM    | 1 | 1.0000" in printed and f"| Dice mean  | 2 | {(1 + (2 / 3 + 1) / 2) / 2:.4f} ±" in printed
    assert "(nan): Dice GM (1 of 2 images), MHD GM (1 of 2 images), 3D-MHD GM (1 of 2 images)" in printed


def test_label_images_must_be_of_labels(tmp_path):
    write_labels(tmp_path, {("GT", "a"): [[0, 1]]})
    write_image(tmp_path / "pred" / "a.tif", np.float32([[0, 0.25]]), "YX")
    output = tmp_path / "scores.csv"
    with pytest.raises(InputError, match=r"a\.tif against .*a\.tif: .*: has the value 0\.25, expected labels"):
        run(*arguments(tmp_path, "--protocol", "segmentation", "--output", output))
    with pytest.raises(InputError, match="protocol segmentation fixes it"):
        run(*arguments(tmp_path, "--protocol", "segmentation", "--data-range", "1"))
    assert not list(tmp_path.glob("*.csv"))


def test_volumes_of_nifti_are_scored(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    for side, name, shift in (("GT", "a.nii.gz", 0), ("pred", "a.hdr", 1)):
        (tmp_path / side).mkdir()
        array = np.roll(image(0, (6, 7, 8)) % 3, shift)
        kind = nibabel.Nifti1Image if shift == 0 else nibabel.AnalyzeImage
        kind(array, np.diag([2, 2, 2, 1]) if shift == 0 else None).to_filename(tmp_path / side / name)
    run(*arguments(tmp_path, "--protocol", "segmentation", "--output", tmp_path / "s.csv"))
    with open(tmp_path / "s.csv", newline="") as file:
        (line,) = csv.DictReader(file)
    truth = image(0, (6, 7, 8)) % 3
    assert line["file"] == "a.hdr"
    assert float(line["dice_mean"]) == get_protocol("segmentation")(truth, np.roll(truth, 1))["dice_mean"]


def test_channels_count_as_images_and_axes_are_matched(tmp_path, capsys):
    gt = image(0, (8, 9, 10, 2)).astype(np.float32)
    prediction = gt + image(1, gt.shape) * np.array([0.1, 0.5])
    for name in ("pred", "GT"):
        (tmp_path / name).mkdir()
    tifffile.imwrite(tmp_path / "GT" / "v.tif", gt)
    # as aeanet predict writes it: ImageJ's order ZCYX
    write_image(tmp_path / "pred" / "v.tif", prediction, "ZYXC")
    run(*arguments(tmp_path, "--axes", "ZYXC", "--output", tmp_path / "s.csv"))
    with open(tmp_path / "s.csv", newline="") as file:
        lines = {line["file"]: float(line["psnr"]) for line in csv.DictReader(file)}
    assert list(lines) == ["v.tif [C=0]", "v.tif [C=1]"]
    for channel in range(2):
        volumes = gt[..., channel], prediction[..., channel].astype(np.float32)
        assert lines[f"v.tif [C={channel}]"] == pytest.approx(get_protocol("care")(*volumes)["psnr"])


def test_names_that_do_not_match_are_refused(folders):
    (folders / "pred" / "a.tif").rename(folders / "pred" / "x.tif")
    with pytest.raises(InputError, match=r"pred: 1 of 3 images .*: x\.tif"):
        run(*arguments(folders))
    with pytest.raises(InputError, match=r"low: 2 of 3 images .*: b\.tif, c\.tif"):
        run("--prediction", folders / "low" / "a.tif", "--gt", folders / "GT" / "a.png", "--input", folders / "low")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((16, 17), np.uint8), r"pred.a\.tif: shape \(16, 17\).*GT.a\.png has \(16, 18\)"),
        (np.full((16, 18), np.nan, np.float32), r"pred.a\.tif.*NaN"),
        (np.zeros((5, 16, 18), np.uint8), r"pred.a\.tif"),
    ],
)
def test_predictions_that_do_not_fit_are_named_and_nothing_is_written(folders, content, message):
    tifffile.imwrite(folders / "pred" / "a.tif", content)
    with pytest.raises(InputError, match=message):
        run(*arguments(folders, "--output", folders / "scores.csv"))
    assert not (folders / "scores.csv").exists()


def test_axes_that_differ_are_refused_until_stated(tmp_path):
    for name, axes in (("pred", "TYX"), ("GT", "ZYX")):
        write_image(tmp_path / name / "v.tif", image(0, (8, 9, 10)), axes)
    with pytest.raises(InputError, match=r"axes TYX, but .* has ZYX"):
        run(*arguments(tmp_path))
    run(*arguments(tmp_path, "--axes", "ZYX"))


def test_what_the_protocol_refuses_names_the_files(folders):
    imsave(folders / "GT" / "a.png", np.full((16, 18), 7, np.uint8), check_contrast=False)
    with pytest.raises(InputError, match=r"pred.a\.tif against .*GT.a\.png: .*contrast"):
        run(*arguments(folders))
    with pytest.raises(InputError, match="protocol care fixes it"):
        run(*arguments(folders, "--data-range", "255"))
    with pytest.raises(InputError, match="none: no such file or folder"):
        run("--prediction", folders / "none", "--gt", folders / "GT")
    with pytest.raises(InputError, match="axes"):
        run(*arguments(folders, "--axes", "YQ"))


def test_the_parser_is_light_and_knows_every_protocol():
    assert list(PROTOCOLS) == list(evaluate.PROTOCOLS)
    code = (
        "import sys, aeanet_tf.cli.evaluate, aeanet_tf.cli.patches; "
        "print({'numpy', 'keras', 'tensorflow', 'skimage', 'tifffile'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_images_of_a_file_are_matched_by_their_numbers(tmp_path, capsys):
    for name in ("pred", "GT", "low"):
        (tmp_path / name).mkdir()
    for name, first in (("GT", 0), ("low", 20)):
        with tifffile.TiffWriter(tmp_path / name / "p.ome.tif", ome=True) as tif:
            for number in range(2):
                tif.write(image(number + first), metadata={"axes": "YX"})
    for number in range(2):
        write_image(tmp_path / "pred" / f"p_s{number}.tif", image(number + 10), "YX")
    output = tmp_path / "scores.csv"
    for series, numbers in (("all", [0, 1]), ("1", [1])):
        prediction = tmp_path / "pred" if series == "all" else tmp_path / "pred" / "p_s1.tif"
        given = [
            "--prediction",
            prediction,
            "--gt",
            tmp_path / "GT",
            "--input",
            tmp_path / "low",
            "--protocol",
            "plain",
        ]
        run(*given, "--series", series, "--output", output)
        with open(output, newline="") as file:
            lines = list(csv.DictReader(file))
        assert [line["file"] for line in lines] == [f"p_s{number}.tif" for number in numbers]
        for line, number in zip(lines, numbers, strict=True):
            truth = image(number)
            for name, other in (("psnr", number + 10), ("input_psnr", number + 20)):
                expected = get_protocol("plain")(truth, image(other))["psnr"]
                assert float(line[name]) == pytest.approx(expected)
    with pytest.raises(InputError, match="holds 2 images"):
        run("--prediction", tmp_path / "GT", "--gt", tmp_path / "GT")
