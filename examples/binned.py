"""Shrink the images of a folder by taking means of blocks, for a model that learns to give pixels back.

python examples/binned.py w2s/train/low w2s/train/low_binned 2
"""

import sys
from pathlib import Path

import numpy as np

from aeanet_tf.io.image import image_stem
from aeanet_tf.io.read import find_images, read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.training.pairs import binned


def main(source, target, factor, axes="YX"):
    """Write float32 means of blocks of ``factor`` pixels along Y and X; pixel sizes are as many times as large."""
    for path in find_images(source):
        image = read_image(path, axes)
        # Planes and such are channels to this.
        small = binned(np.moveaxis(image.array.astype("float32"), (-2, -1), (0, 1)), factor, 2)
        sizes = {axis: size * (factor if axis in "YX" else 1) for axis, size in image.pixel_size.items()}
        place = Path(target) / f"{image_stem(path)}.tif"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_image(place, np.moveaxis(small, (0, 1), (-2, -1)), image.axes, sizes, image.unit)


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:])
