"""CARE's notebooks on denoising volumes of Tribolium castaneum (denoising3D), with `CARE` replaced by `AEANet`.

Downloads the volumes into `data`, trains a model in `models`, and puts pictures into `results`:

    python examples/care/denoising3D.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from csbdeep.data import RawData, create_patches
from csbdeep.io import load_training_data, save_tiff_imagej_compatible
from csbdeep.utils import axes_dict, download_and_extract_zip_file, plot_some
from csbdeep.utils.tf import limit_gpu_memory
from tifffile import imread

from aeanet_tf import plot_history
from aeanet_tf.models import AEANet, AEANetConfig

limit_gpu_memory(None, allow_growth=True)
plt.rcParams["savefig.bbox"] = "tight"
Path("results").mkdir(exist_ok=True)

# 1. training data
download_and_extract_zip_file(url="http://csbdeep.bioimagecomputing.com/example_data/tribolium.zip", targetdir="data")
raw_data = RawData.from_folder(basepath="data/tribolium/train", source_dirs=["low"], target_dir="GT", axes="ZYX")
X, Y, XY_axes = create_patches(
    raw_data=raw_data, patch_size=(16, 64, 64), n_patches_per_image=1024, save_file="data/my_training_data.npz"
)
print("patches", X.shape, XY_axes)
plt.figure(figsize=(10, 3))
plot_some(X[:8, 0], Y[:8, 0], title_list=[np.arange(8)])
plt.savefig("results/patches.png")

# 2. training
(X, Y), (X_val, Y_val), axes = load_training_data("data/my_training_data.npz", validation_split=0.1, verbose=True)
c = axes_dict(axes)["C"]
n_channel_in, n_channel_out = X.shape[c], Y.shape[c]
config = AEANetConfig(axes, n_channel_in, n_channel_out, train_steps_per_epoch=10)
model = AEANet(config, "my_model", basedir="models")
history = model.train(X, Y, validation_data=(X_val, Y_val))

print(sorted(history.history.keys()))
plt.figure(figsize=(10, 4))
plot_history(history, ["loss", "val_loss"], ["mse", "val_mse", "mae", "val_mae"])
plt.savefig("results/history.png")

plt.figure(figsize=(9, 6))
P = model.keras_model.predict(X_val[:5])
plot_some(X_val[:5], Y_val[:5], P, pmax=99.5)
plt.suptitle("validation patches (maximum projections): source, target, prediction")
plt.savefig("results/validation.png")
model.export_TF()

# 3. prediction
name = "nGFP_0.1_0.2_0.5_20_14_late.tif"
y = imread(f"data/tribolium/test/GT/{name}")
x = imread(f"data/tribolium/test/low/{name}")
axes = "ZYX"
model = AEANet(config=None, name="my_model", basedir="models")
restored = model.predict(x, axes, n_tiles=(1, 4, 4))
save_tiff_imagej_compatible(f"results/{model.name}_{name}", restored, axes)

plt.figure(figsize=(9, 4))
plot_some(np.stack([x, restored, y]), title_list=[["low", "AEANet", "GT"]], pmin=2, pmax=99.8)
plt.suptitle("maximum projections")
plt.savefig("results/restored.png")
