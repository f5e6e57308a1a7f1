"""CARE's notebooks on denoising images of cells (denoising2D), with `CARE` replaced by `AEANet`.

Downloads the images into `data`, trains a model in `models`, and puts pictures into `results`:

    python examples/care/denoising2D.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from csbdeep.data import RawData, create_patches, no_background_patches
from csbdeep.io import load_training_data, save_tiff_imagej_compatible
from csbdeep.utils import axes_dict, download_and_extract_zip_file, normalize, plot_some
from csbdeep.utils.tf import limit_gpu_memory
from tifffile import imread

from aeanet_tf import plot_history
from aeanet_tf.models import AEANet, AEANetConfig

limit_gpu_memory(None, allow_growth=True)
plt.rcParams["savefig.bbox"] = "tight"
Path("results").mkdir(exist_ok=True)

# 1. training data
download_and_extract_zip_file(
    url="http://csbdeep.bioimagecomputing.com/example_data/snr_7_binning_2.zip", targetdir="data", verbose=1
)
raw_data = RawData.from_folder(basepath="data/train", source_dirs=["low"], target_dir="GT", axes="YX")
X, Y, XY_axes = create_patches(
    raw_data=raw_data,
    patch_size=(128, 128),
    patch_filter=no_background_patches(0),
    n_patches_per_image=2,
    save_file="data/my_training_data.npz",
)
print("patches", X.shape, XY_axes)
plt.figure(figsize=(10, 3))
plot_some(X[:8, 0], Y[:8, 0], title_list=[np.arange(8)])
plt.savefig("results/patches.png")

# 2. training
(X, Y), (X_val, Y_val), axes = load_training_data("data/my_training_data.npz", validation_split=0.05, verbose=True)
c = axes_dict(axes)["C"]
n_channel_in, n_channel_out = X.shape[c], Y.shape[c]
config = AEANetConfig(axes, n_channel_in, n_channel_out, unet_kern_size=3, train_batch_size=8, train_steps_per_epoch=40)
model = AEANet(config, "my_model", basedir="models")
model.keras_model.summary()
history = model.train(X, Y, validation_data=(X_val, Y_val))

print(sorted(history.history.keys()))
plt.figure(figsize=(10, 4))
plot_history(history, ["loss", "val_loss"], ["mse", "val_mse", "mae", "val_mae"])
plt.savefig("results/history.png")

plt.figure(figsize=(9, 6))
P = model.keras_model.predict(X_val[:5])
plot_some(X_val[:5], Y_val[:5], P, pmax=99.5)
plt.suptitle("validation patches: source, target, prediction")
plt.savefig("results/validation.png")
model.export_TF()

# 3. prediction
y = imread("data/test/GT/img_0010.tif")
x = imread("data/test/low/img_0010.tif")
axes = "YX"
model = AEANet(config=None, name="my_model", basedir="models")
restored = model.predict(x, axes)
save_tiff_imagej_compatible(f"results/{model.name}_img_0010.tif", restored, axes)

plt.figure(figsize=(9, 4))
plot_some(np.stack([x, restored, y]), title_list=[["low", "AEANet", "GT"]], pmin=2, pmax=99.8)
plt.savefig("results/restored.png")
plt.figure(figsize=(9, 4))
for image, name in zip((x, restored, y), ("low", "AEANet", "GT"), strict=True):
    plt.plot(normalize(image, 1, 99.7)[180], label=name, lw=2)
plt.xlabel("x (pixels)")
plt.ylabel("normalised intensity")
plt.legend()
plt.savefig("results/profile.png")
