"""Packages for the BioImage Model Zoo: valid, reproducible by bioimageio.core, and saying what the model does."""

import io
import re
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from aeanet_tf.errors import InputError
from aeanet_tf.interop import bioimageio_contents as contents
from aeanet_tf.interop import papers
from aeanet_tf.interop.bioimageio import export_bioimageio, require_spec
from aeanet_tf.interop.bioimageio_contents import draw_cover, example_image, example_output, spatial_axes
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models.normalizers import make_normalizer
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.networks import presets
from tests.interop.example_models import REFERENCES, make_model, randomise, relative_error

PERCENTILE = NormalizationSection()
RANGE = NormalizationSection(kind="range", low=20, high=270)
NONE = NormalizationSection(kind="none")
FACTS = {"authors": ["Ada Example, An Institute", "Bo Example"], "license": "CC-BY-4.0"}


@pytest.fixture(scope="module")
def core():
    """bioimageio.core, where it is installed and works."""
    core = pytest.importorskip("bioimageio.core")
    try:
        require_spec()
    except InputError as error:
        pytest.skip(str(error))
    return core


@pytest.fixture
def in_tmp_path(tmp_path, monkeypatch):
    """bioimageio.core unpacks weights into the working directory and sets Keras's backend."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")


def small_model(axes, *channels, **options):
    model = AEANet(AEANetConfig(axes, *channels, unet_n_first=4, **options), "m.1", None)
    randomise(model.keras_model)
    return model


@pytest.fixture(scope="module")
def packages(core, tmp_path_factory):
    """Model, normalisation and package: 2D of two channels, 3D with up-sampling attention and a scale."""
    folder = tmp_path_factory.mktemp("packages")
    rng = np.random.default_rng(0)
    made = {
        "em": (small_model("YX", 2, 2, network=REFERENCES), PERCENTILE, (56, 52, 2)),
        "care": (small_model("ZYX", probabilistic=True, network=REFERENCES), RANGE, (8, 44, 44)),
        "unet": (make_model("unet"), NONE, (68, 68)),
    }
    return {
        name: (
            model,
            section,
            export_bioimageio(
                model, folder / name, normalization=section, test_image=rng.uniform(0, 300, size), **FACTS
            ),
        )
        for name, (model, section, size) in made.items()
    }


@pytest.mark.parametrize("name", ["em", pytest.param("care", marks=pytest.mark.slow)])
def test_bioimageio_core_reproduces_the_test_output_from_both_weights(name, packages, core, in_tmp_path):
    path = packages[name][2]
    assert path.suffix == ".zip"
    summary = core.load_description_and_test(path).validation_summary
    assert summary.status == "passed", summary.format()
    passed = {detail.name for detail in summary.details if detail.status == "passed"}
    for weights in ("keras_v3", "tensorflow_saved_model_bundle"):
        assert f"Reproduce test outputs from test inputs ({weights})" in passed


def predicted(model, section, image):
    """Prediction by the model itself, its output normalised where a package cannot map it back."""
    axes, normalizer = model.config.axes, make_normalizer(section)
    if section.kind == "percentile":
        low, high = np.percentile(image, (section.low, section.high), axis=tuple(range(image.ndim - 1)))
        image, normalizer = (image - low) / (high - low), make_normalizer(NONE)
    if not model.config.probabilistic:
        return model.predict(image, axes, normalizer)
    result = model.predict_probabilistic(image, axes, normalizer)
    return np.concatenate([result.mean(), result.scale()], axis=-1)


def run(core, path, image, weights="keras_v3", **options):
    """bioimageio.core's prediction of one image, with its preprocessing and postprocessing."""
    from bioimageio.core.digest_spec import create_sample_for_model

    package = core.load_description(path)
    with core.create_prediction_pipeline(package, weight_format=weights) as pipeline:
        sample = create_sample_for_model(package, inputs={"input": image[None]})
        if options:
            sample = pipeline.predict_sample_with_blocking(sample, **options)
        else:
            sample = pipeline.predict_sample_without_blocking(
                sample, skip_input_padding=True, skip_output_cropping=True
            )
    (found,) = sample.as_arrays().values()
    return found[0]


@pytest.mark.parametrize(
    ("name", "size", "weights"),
    [
        ("em", (56, 76, 2), "keras_v3"),
        ("care", (12, 44, 60, 1), "keras_v3"),
        ("care", (12, 44, 60, 1), "tensorflow_saved_model_bundle"),
    ],
)
def test_whole_images_of_another_size_and_range_come_out_as_from_the_model(
    name, size, weights, packages, core, in_tmp_path
):
    model, section, path = packages[name]
    image = np.random.default_rng(2).gamma(2, [30, 200][: size[-1]], size).astype("float32")
    expected = predicted(model, section, image)
    found = run(core, path, image, weights)
    assert found.shape == expected.shape
    # The scale is so much smaller than the mean that it is compared by itself.
    for channel in range(expected.shape[-1]):
        assert relative_error(found[..., channel], expected[..., channel]) < 3e-4


def test_tiles_of_a_convolutional_network_show_no_seam_inside(packages, core, in_tmp_path):
    """A halo too short, or blocks off the grid, would show; at the image's border tiles are padded otherwise."""
    model, section, path = packages["unet"]
    (halo,) = {axis.halo for axis in spatial_axes(model)}
    image = np.random.default_rng(3).random((132, 120, 1)).astype("float32")
    whole, found = predicted(model, section, image), run(core, path, image, ns=10)
    assert found.shape == whole.shape
    inside = (slice(halo, -halo), slice(halo, -halo))
    assert relative_error(found[inside], whole[inside]) < 1e-5


def test_tiles_of_an_attention_network_are_predicted(packages, core, in_tmp_path):
    found = run(core, packages["em"][2], np.random.default_rng(4).random((72, 84, 2), dtype="float32"), ns=4)
    assert found.shape == (72, 84, 2) and np.isfinite(found).all()


def test_volumes_are_predicted_in_tiles_of_y_and_x(packages, core, in_tmp_path):
    """One block along z: away from the border, tiles differ from the whole by their attention only, which is little."""
    from bioimageio.spec.model.v0_5 import AxisId, TensorId

    model, section, path = packages["care"]
    image = np.random.default_rng(5).uniform(20, 270, (8, 92, 100, 1)).astype("float32")
    blocks = {(TensorId("input"), AxisId(axis)): n for axis, n in {"z": 1, "y": 4, "x": 5}.items()}
    found, whole = run(core, path, image, ns=blocks), predicted(model, section, image)
    assert found.shape == whole.shape
    inside = (slice(None), slice(20, -20), slice(20, -20))
    assert relative_error(found[inside], whole[inside]) < 0.02


def test_the_package_says_what_the_model_does(packages, core):
    package = core.load_description(packages["care"][2])
    assert package.name == "m_1 (AEANet)" and package.license == "CC-BY-4.0"
    assert [(a.name, a.affiliation) for a in package.authors] == [
        ("Ada Example", "An Institute"),
        ("Bo Example", None),
    ]
    assert [(a.id, getattr(a.size, "min", None), getattr(a.size, "step", None)) for a in package.inputs[0].axes] == [
        ("batch", None, None),
        ("z", 4, 4),
        ("y", 44, 4),
        ("x", 44, 4),
        ("channel", None, None),
    ]
    assert [getattr(a, "halo", None) for a in package.outputs[0].axes] == [None, None, 20, 20, None]
    assert package.outputs[0].axes[-1].channel_names == ["mean", "scale"]
    scaling = package.outputs[0].postprocessing[0].kwargs
    assert (scaling.gain, scaling.offset) == ([250, 250], [20, 0])
    assert package.config.aeanet_tf["network"] == packages["care"][0].config.network
    assert package.weights.keras_v3.parent is None
    assert package.weights.tensorflow_saved_model_bundle.parent == "keras_v3"


def test_a_projection_s_output_lacks_z_and_needs_it_whole(core, tmp_path):
    from aeanet_tf.interop.bioimageio_tensors import input_tensor, output_tensor

    file, model = tmp_path / "test.npy", make_model("flywing")
    np.save(file, 0)
    (z, y, _), output = input_tensor(model, PERCENTILE, file).axes[1:4], output_tensor(model, PERCENTILE, file)
    assert (z.size.min, z.size.step, z.concatenable) == (1, 1, False)
    assert (y.size.min, y.size.step, y.concatenable) == (208, 16, True)
    assert [a.id for a in output.axes] == ["batch", "y", "x", "channel"]
    assert output.axes[1].size.axis_id == "y" and output.axes[1].halo == 96


def test_normalisation_becomes_processing(core, tmp_path):
    from aeanet_tf.interop.bioimageio_tensors import input_tensor, output_tensor

    file = tmp_path / "test.npy"
    np.save(file, 0)

    def steps(model, section):
        before = input_tensor(model, section, file).preprocessing
        after = output_tensor(model, section, file).postprocessing
        return [s for s in before if s.id != "ensure_dtype"], [s for s in after if s.id != "ensure_dtype"]

    model, to_two = small_model("YX"), small_model("YX", 1, 2)
    assert steps(model, NONE) == ([], [])
    assert steps(model, NormalizationSection(kind="range", low=0, high=1)) == ([], [])
    (before,), (after,) = steps(model, RANGE)
    assert (before.kwargs.gain, before.kwargs.offset) == (1 / 250, -20 / 250)
    assert (after.kwargs.gain, after.kwargs.offset) == (250, 20)
    # CSBDeep does not map back where the channels differ in number.
    assert len(steps(to_two, RANGE)[0]) == 1 and steps(to_two, RANGE)[1] == []
    (before, bound), after = steps(model, NormalizationSection(low=1, high=99))
    assert (before.kwargs.min_percentile, before.kwargs.max_percentile) == (1, 99)
    assert (bound.kwargs.min, bound.kwargs.max) == (-1e6, 1e6)
    assert list(before.kwargs.axes) == ["y", "x"] and after == []


def test_a_package_gives_finite_values_of_images_whose_percentiles_coincide(packages, core, in_tmp_path):
    """Of a constant what the model itself gives. Of sparse signal something else, which the documentation says."""
    model, _, path = packages["em"]
    constant = np.full((56, 52, 2), 300, "float32")
    expected = model.predict(np.zeros_like(constant), "YXC", None)
    assert np.abs(run(core, path, constant) - expected).max() < 1e-4 * np.ptp(expected)
    sparse = constant.copy()
    sparse[20, 30:33] = 4e9
    assert np.isfinite(run(core, path, sparse)).all()
    with zipfile.ZipFile(path) as archive:
        assert "Where they coincide (sparse signal, saturation)" in archive.read("README.md").decode()


def test_a_test_image_whose_percentiles_coincide_is_refused(core, tmp_path):
    image = np.zeros((68, 68))
    image[30, 30:33] = 7
    for wrong, expected in (
        (image, "an image whose percentiles 2 and 99.8 coincide"),
        (np.where(image > 0, np.inf, 0), "NaN or inf"),
    ):
        with pytest.raises(InputError, match=f"test_image: .*{expected}"):
            export_bioimageio(
                make_model("unet"), tmp_path / "m", normalization=NormalizationSection(), test_image=wrong, **FACTS
            )
    assert not list(tmp_path.iterdir())


@pytest.fixture
def without_graph(monkeypatch):
    """The slowest part of a package, which refusals and descriptions do not need."""
    import aeanet_tf.interop.fiji

    monkeypatch.setattr(
        aeanet_tf.interop.fiji, "export_fiji", lambda model, path: zipfile.ZipFile(path, "w").close() or path
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"license": "MIT-ish"}, r"license: 'MIT-ish' is no SPDX identifier"),
        ({"authors": []}, "authors: none given"),
        ({"authors": [", An Institute"]}, "authors: found ', An Institute', expected"),
        ({"authors": ["A/B"]}, "authors: .*[sS]lash"),
        ({"description": "x" * 2000}, "description: .*1024"),
        ({"test_image": np.zeros((80, 80, 3))}, "test_image: found shape .* expected the axes YXC with 1"),
    ],
)
def test_what_the_specification_refuses_is_named_in_one_line(changes, message, core, tmp_path, without_graph):
    options = {**FACTS, "normalization": PERCENTILE, **changes}
    with pytest.raises(InputError, match=message) as caught:
        export_bioimageio(make_model("unet"), tmp_path / "p.zip", **options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_failing_specification_tells_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bioimageio.spec", None)
    with pytest.raises(InputError, match=re.escape('pip install "aeanet-tf[bioimageio]"')):
        export_bioimageio(None, "p.zip", normalization=NONE, **FACTS)


def test_another_version_of_pydantic_is_named(core, monkeypatch):
    from bioimageio.spec.model import v0_5

    def refuse(*args, **kwargs):
        raise TypeError("index_key")

    monkeypatch.setattr(v0_5.TorchscriptWeightsDescr, "model_dump", refuse)
    with pytest.raises(InputError, match="does not work with pydantic"):
        require_spec()


def test_a_test_image_is_cut_to_the_grid():
    model = make_model("em")
    image = np.arange(70 * 59, dtype="uint16").reshape(70, 59)
    found = example_image(model, PERCENTILE, image)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[..., 0], image[:68, :56])
    with pytest.raises(InputError, match="size 70 x 51, expected at least 52 x 52 along YX"):
        example_image(model, PERCENTILE, image[:, :51])


def test_the_synthetic_image_is_the_same_every_time_and_in_range():
    model = make_model("flywing")
    image = example_image(model, RANGE)
    assert image.shape == (16, 208, 208, 1)
    np.testing.assert_array_equal(image, example_image(model, RANGE))
    assert 20 < np.percentile(image, 5) < np.percentile(image, 95) < 270
    two = example_image(make_model("probabilistic-2d"), NONE)
    assert two.shape == (128, 128, 2) and not np.array_equal(two[..., 0], two[..., 1])


def test_the_cover_shows_input_and_output_side_by_side(tmp_path):
    model = small_model("ZYX", preset="unet-care")
    image = np.zeros((8, 60, 40, 1), "float32")
    image[4, :30] = 1
    draw_cover(tmp_path / "cover.png", model, image, -image)
    cover = np.asarray(Image.open(tmp_path / "cover.png").convert("L"))
    assert cover.shape[1] == 2 * cover.shape[0] and (tmp_path / "cover.png").stat().st_size < 500_000
    quarter, middle = cover.shape[0] // 4, cover.shape[1] // 2
    assert cover[quarter, 50] == 255 and cover[3 * quarter, 50] == 0
    assert cover[quarter, middle + 50] == 0 and cover[3 * quarter, middle + 50] == 255


def test_percentiles_are_not_mapped_back_and_ranges_are():
    model = small_model("YX")
    image = example_image(model, RANGE, np.random.default_rng(0).uniform(100, 200, (64, 64)))
    for section in (PERCENTILE, RANGE):
        assert relative_error(example_output(model, section, image), predicted(model, section, image)) < 1e-4
    mapped = example_output(model, RANGE, image)
    np.testing.assert_allclose(mapped, 250 * predicted(model, NONE, (image - 20) / 250) + 20, rtol=1e-3, atol=0.05)


def test_the_papers_of_the_network_are_cited():
    first = {name: papers.citations(spec)[0] for name, spec in presets.items()}
    assert {name for name, paper in first.items() if paper == papers.AEANET} == {
        *(name for name in presets if name.startswith("aeanet")),
        "learned-query-em",
    }
    assert papers.citations(presets["unet-em"])[1] == papers.CARE
    assert (first["sepconv"], first["flow-interpolation"]) == (papers.SEPCONV, papers.SPYNET)
    assert first["ssan"] == papers.SSAN and first["fnet-labelfree"] == papers.FNET
    assert (first["rcan"], first["edsr"], first["vdsr"]) == (papers.RCAN, papers.EDSR, papers.VDSR)
    variants = [first[name] for name in ("attention-unet", "unet-plusplus", "dilated-unet", "rsgu-net", "ce-net")]
    assert variants == [papers.ATTENTION_UNET, papers.UNET_PLUSPLUS, papers.DILATED, papers.RSGU, papers.CENET]
    assert papers.citations(presets["ssan"].replace(attention="aea"))[:2] == [papers.SSAN, papers.AEANET]
    of_mri = {name: papers.citations(spec, name)[:-1] for name, spec in presets.items() if name.endswith("-mri")}
    assert of_mri.pop("aeanet-mri") == [papers.AEANET, papers.NONLOCAL]
    assert set(of_mri) == {"nonlocal-unet-mri", "unet-mri"} and all(p == [papers.NONLOCAL] for p in of_mri.values())


def test_a_model_that_segments_is_packed_as_such(core, tmp_path, without_graph):
    """Probabilities, a channel a class; not mapped back, though there are as many classes as input channels."""
    model = make_model("labels")
    path = export_bioimageio(model, tmp_path / "p.zip", normalization=RANGE, **FACTS)
    package = core.load_description(path)
    (output,) = package.outputs
    assert output.axes[-1].channel_names == ["label0", "label255"] and "probabilities" in output.description
    assert {step.id for step in output.postprocessing} <= {"ensure_dtype"}
    assert {"semantic-segmentation", "unet"} <= set(package.tags) and "image-restoration" not in package.tags
    assert "segments 2D images" in package.description and package.config.bioimageio.task == "semantic segmentation"
    with zipfile.ZipFile(path) as file:
        text = io.TextIOWrapper(file.open("README.md"), "utf-8").read()
        found = np.load(io.BytesIO(file.read("test_output.npy")))
    assert "had the values 0, 255 in the label images" in text and "Dice ratio" in text
    assert "intensities" not in text and "PSNR" not in text and "mapped back" not in text
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    assert found.std() > 0.01 and found.dtype == np.float32


def test_a_model_that_interpolates_slices_is_packed_as_such(core, tmp_path):
    model = make_model("slices-aea")
    path = export_bioimageio(model, tmp_path / "p.zip", normalization=RANGE, **FACTS)
    with zipfile.ZipFile(path) as package:
        text = io.TextIOWrapper(package.open("README.md"), "utf-8").read()
    assert "interpolates a slice of a serial section from the slices before and after it" in text
    assert "slice-interpolation" in contents.tags(model) and "unet" not in contents.tags(model)
    with pytest.raises(InputError, match=r"network\.attention: 'sparse'"):
        export_bioimageio(make_model("slices"), tmp_path / "q.zip", normalization=RANGE, **FACTS)
    assert [one.name for one in tmp_path.iterdir()] == ["p.zip"]


def test_the_documentation_tells_of_normalisation_tiles_and_validation(packages):
    def text(name):
        with zipfile.ZipFile(packages[name][2]) as package:
            return io.TextIOWrapper(package.open("README.md"), "utf-8").read()

    assert "# m_1 (AEANet)" in text("em") and "## Validation" in text("em")
    assert "percentiles 2 and 99.8" in text("em") and "stays in this normalised range" in text("em")
    assert "values 20 and 270" in text("care") and "mapped back by the inverse" in text("care")
    assert "whole along Z" in text("care") and "channels of scales" in text("care")
    assert "attends to the whole image" in text("em") and "no seams" in text("unet")
