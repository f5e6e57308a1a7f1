"""Training data of files that hold several images."""

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from aeanet_tf.errors import InputError
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.runs.data_sections import FoldersSection, SlicesSection
from aeanet_tf.runs.image_data import load_folders

NETWORK = SimpleNamespace(axes="YXC", n_channel_in=1, n_channel_out=1, spec=SimpleNamespace(upscale=1))
IMAGES = np.random.default_rng(0).integers(0, 100, (2, 3, 12, 16)).astype(np.uint16)


@pytest.fixture
def data(tmp_path):
    for name, images in zip(("low", "GT"), IMAGES, strict=True):
        (tmp_path / "train" / name).mkdir(parents=True)
        with tifffile.TiffWriter(tmp_path / "train" / name / "p.ome.tif", ome=True) as tif:
            for image in images:
                tif.write(image, metadata={"axes": "YX"})
    return tmp_path


def section(data, **fields):
    none = NormalizationSection(kind="none")
    return FoldersSection(root=str(data), validation_split=0.4, normalization=none, **fields)


def test_every_image_of_a_file_is_trained_on(data):
    loaded = load_folders(section(data, series="all"), NETWORK)
    for found, images in zip((loaded.X, loaded.Y), IMAGES, strict=True):
        np.testing.assert_array_equal(np.stack(found)[..., 0], images[:2])
    for found, images in zip(loaded.validation, IMAGES, strict=True):
        np.testing.assert_array_equal(np.stack(found)[..., 0], images[2:])
    assert [name.rpartition("/")[2] for name in loaded.names[0]] == ["p.ome.tif [series 0]", "p.ome.tif [series 1]"]


def test_a_file_of_several_is_refused_where_none_is_chosen(data):
    (data / "train" / "low" / "q.tif").write_bytes((data / "train" / "low" / "p.ome.tif").read_bytes())
    (data / "train" / "GT" / "q.tif").write_bytes((data / "train" / "GT" / "p.ome.tif").read_bytes())
    with pytest.raises(InputError, match=r"p\.ome\.tif: holds 3 images"):
        load_folders(section(data), NETWORK)
    loaded = load_folders(section(data, series=1), NETWORK)
    np.testing.assert_array_equal(loaded.X[0][..., 0], IMAGES[0, 1])


@pytest.mark.parametrize("value", [-1, True, "first", 1.5])
def test_other_choices_are_refused(data, value):
    with pytest.raises(ValueError, match="series"):
        section(data, series=value)


def test_of_stacks_one_is_chosen():
    with pytest.raises(ValueError, match="series: 'all', expected the number of one stack"):
        SlicesSection(stack="a.tif", train_slices="0-4", validation_slices="5-8", series="all")
