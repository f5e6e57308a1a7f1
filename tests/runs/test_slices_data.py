"""Training data whose volumes are folders of slices."""

import numpy as np
import tifffile

from aeanet_tf.models import AEANetConfig
from aeanet_tf.runs.data_sections import FoldersSection
from aeanet_tf.runs.image_data import load_folders


def test_folders_of_slices_are_volumes(tmp_path):
    volumes = np.random.default_rng(0).random((2, 3, 12, 20, 18), np.float32)
    for side, three in zip(("low", "GT"), volumes, strict=True):
        for number, volume in enumerate(three):
            (tmp_path / side / f"v{number}").mkdir(parents=True)
            for z, plane in enumerate(volume):
                tifffile.imwrite(tmp_path / side / f"v{number}" / f"z{z}.tif", plane)
    section = FoldersSection(
        root=str(tmp_path), low="low", GT="GT", slices=True, validation_split=0.34, normalization={"kind": "none"}
    )
    images = load_folders(section, AEANetConfig("ZYX"))
    assert [image.shape for image in images.X] == [(12, 20, 18, 1)] * 2
    for given, found in zip(volumes[0, :2], images.X, strict=True):
        np.testing.assert_array_equal(found[..., 0], given)
    np.testing.assert_array_equal(images.validation[1][0][..., 0], volumes[1, 2])
