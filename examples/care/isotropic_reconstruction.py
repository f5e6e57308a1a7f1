"""CARE's notebooks on isotropic reconstruction, with `IsotropicCARE` replaced by `IsotropicAEANet`.

Downloads a stack of a zebrafish's retina into `data`, trains a model in `models`, and puts pictures into `results`:

    python examples/care/isotropic_reconstruction.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from csbdeep.data import RawData, create_patches
from csbdeep.data.transform import anisotropic_distortions
from csbdeep.io import load_training_data, save_tiff_imagej_compatible, save_training_data
from csbdeep.utils import axes_dict, download_and_extract_zip_file, plot_some
from csbdeep.utils.tf import limit_gpu_memory
from tifffile import imread

from aeanet_tf import plot_history
from aeanet_tf.models import AEANetConfig, IsotropicAEANet

limit_gpu_memory(None, allow_growth=True)
plt.rcParams["savefig.bbox"] = "tight"
Path("results").mkdir(exist_ok=True)

# 1. training data: slices in XY, which along X are made as coarse as Z is
download_and_extract_zip_file(url="http://csbdeep.bioimagecomputing.com/example_data/retina.zip", targetdir="data")
raw_data = RawData.from_folder(basepath="data", source_dirs=["retina"], target_dir="retina", axes="ZCYX")
# Put the point spread function of your microscope here.
anisotropic_transform = anisotropic_distortions(subsample=10.2, psf=np.ones((3, 3)) / 9, psf_axes="YX")
X, Y, XY_axes = create_patches(
    raw_data=raw_data, patch_size=(1, 2, 128, 128), n_patches_per_image=512, transforms=[anisotropic_transform]
)
# The network sees images of two channels.
z = axes_dict(XY_axes)["Z"]
X, Y, XY_axes = np.take(X, 0, axis=z), np.take(Y, 0, axis=z), XY_axes.replace("Z", "")
print("patches", X.shape, XY_axes)
save_training_data("data/my_training_data.npz", X, Y, XY_axes)
plt.figure(figsize=(10, 3))
plot_some(np.moveaxis(X[:8], 1, -1), np.moveaxis(Y[:8], 1, -1), title_list=[np.arange(8)])
plt.savefig("results/patches.png")

# 2. training
(X, Y), (X_val, Y_val), axes = load_training_data("data/my_training_data.npz", validation_split=0.1, verbose=True)
c = axes_dict(axes)["C"]
n_channel_in, n_channel_out = X.shape[c], Y.shape[c]
# Patches are coarse along X alone and must not be turned.
config = AEANetConfig(axes, n_channel_in, n_channel_out, train_steps_per_epoch=128, train_augment=False)
model = IsotropicAEANet(config, "my_model", basedir="models")


def augmenter(x, y):
    scale, offset = np.random.uniform(0.5, 2, (1, 1, 2)), np.random.uniform(-1, 1, (1, 1, 2))  # noqa: NPY002
    return x * scale + offset, y * scale + offset


history = model.train(X, Y, validation_data=(X_val, Y_val), augmenter=augmenter)

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
name = "cropped_farred_RFP_GFP_2109175_2color_sub_10.20.tif"
x = imread(f"data/retina/{name}")
axes, subsample = "ZCYX", 10.2
model = IsotropicAEANet(config=None, name="my_model", basedir="models")
restored = model.predict(x, axes, subsample)
print("input", x.shape, "output", restored.shape)
save_tiff_imagej_compatible(f"results/{model.name}_{name}", restored, axes)

for image, title, aspect in ((x, "input", subsample), (restored, "restored", 1)):
    plt.figure(figsize=(9, 5))
    slices = np.moveaxis(np.moveaxis(image, 1, -1)[:, [50, -50]], 1, 0)
    plot_some(slices, title_list=[["XZ slice", "XZ slice"]], pmin=2, pmax=99.8, aspect=aspect)
    plt.savefig(f"results/{title}.png")
