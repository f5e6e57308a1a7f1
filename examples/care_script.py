"""The workflow of CSBDeep's documentation, with `CARE` replaced by `AEANet` and nothing else changed.

Data generation, training and prediction from a folder with `low` and `GT` tif pairs, in 2D and 3D:

    python examples/care_script.py DATA YX
    python examples/care_script.py DATA ZYX
"""

import sys
from pathlib import Path

import numpy as np
from csbdeep.data import RawData, create_patches
from csbdeep.io import load_training_data, save_tiff_imagej_compatible
from csbdeep.models import Config
from csbdeep.utils import axes_dict
from tifffile import imread

from aeanet_tf.models import AEANet

basepath, axes_in = Path(sys.argv[1]), sys.argv[2]
epochs, steps = (int(n) for n in sys.argv[3:5]) if len(sys.argv) > 3 else (20, 100)
patch_size = (64, 64) if axes_in == "YX" else (8, 32, 32)

# data generation
raw_data = RawData.from_folder(basepath=str(basepath), source_dirs=["low"], target_dir="GT", axes=axes_in)
X, Y, XY_axes = create_patches(
    raw_data=raw_data, patch_size=patch_size, n_patches_per_image=16, save_file=str(basepath / "my_training_data.npz")
)

# training
(X, Y), (X_val, Y_val), axes = load_training_data(
    str(basepath / "my_training_data.npz"), validation_split=0.1, verbose=True
)
c = axes_dict(axes)["C"]
n_channel_in, n_channel_out = X.shape[c], Y.shape[c]
config = Config(axes, n_channel_in, n_channel_out, train_batch_size=4, train_epochs=epochs, train_steps_per_epoch=steps)
model = AEANet(config, "my_model", basedir=str(basepath / "models"))
history = model.train(X, Y, validation_data=(X_val, Y_val))
print(sorted(history.history.keys()))

# prediction
model = AEANet(config=None, name="my_model", basedir=str(basepath / "models"))
file = sorted((basepath / "low").glob("*.tif"))[0]
x = imread(file)
restored = model.predict(x, axes_in, n_tiles=tuple(2 if a == "Y" else 1 for a in axes_in))
save_tiff_imagej_compatible(str(basepath / f"{model.name}_{file.name}"), restored, axes=axes_in)
print("restored", restored.shape, "mean", np.mean(restored))
