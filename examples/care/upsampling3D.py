"""CARE's notebooks on up-sampling and denoising (upsampling3D), with `UpsamplingCARE` replaced by `UpsamplingAEANet`.

Downloads synthetic membranes into `data`, trains a model in `models`, and puts pictures into `results`:

    python examples/care/upsampling3D.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from csbdeep.data import RawData, create_patches
from csbdeep.data.transform import anisotropic_distortions
from csbdeep.io import load_training_data, save_tiff_imagej_compatible
from csbdeep.utils import axes_dict, download_and_extract_zip_file, plot_some
from csbdeep.utils.tf import limit_gpu_memory
from tifffile import imread

from aeanet_tf import plot_history
from aeanet_tf.models import AEANetConfig, UpsamplingAEANet

limit_gpu_memory(None, allow_growth=True)
plt.rcParams["savefig.bbox"] = "tight"
Path("results").mkdir(exist_ok=True)

# 1. training data: inputs lose three of four slices along Z
download_and_extract_zip_file(
    url="http://csbdeep.bioimagecomputing.com/example_data/synthetic_upsampling.zip", targetdir="data"
)
raw_data = RawData.from_folder(
    basepath="data/synthetic_upsampling/training_stacks", source_dirs=["low"], target_dir="high", axes="ZYX"
)
anisotropic_transform = anisotropic_distortions(subsample=4, psf=None, subsample_axis="Z", yield_target="target")
X, Y, XY_axes = create_patches(
    raw_data=raw_data,
    patch_size=(32, 64, 64),
    n_patches_per_image=512,
    transforms=[anisotropic_transform],
    save_file="data/my_training_data.npz",
)
print("patches", X.shape, XY_axes)
plt.figure(figsize=(10, 2))
plot_some(X[:8, 0, :, :, 0], Y[:8, 0, :, :, 0], title_list=[np.arange(8)])
plt.savefig("results/patches.png")

# 2. training
(X, Y), (X_val, Y_val), axes = load_training_data("data/my_training_data.npz", validation_split=0.1, verbose=True)
c = axes_dict(axes)["C"]
n_channel_in, n_channel_out = X.shape[c], Y.shape[c]
config = AEANetConfig(axes, n_channel_in, n_channel_out, train_steps_per_epoch=25, train_batch_size=4)
model = UpsamplingAEANet(config, "my_model", basedir="models")
history = model.train(X, Y, validation_data=(X_val, Y_val))

print(sorted(history.history.keys()))
plt.figure(figsize=(10, 4))
plot_history(history, ["loss", "val_loss"], ["mse", "val_mse", "mae", "val_mae"])
plt.savefig("results/history.png")

plt.figure(figsize=(9, 4))
P = model.keras_model.predict(X_val[:5])
plot_some(X_val[:5, ..., 0, 0], Y_val[:5, ..., 0, 0], P[..., 0, 0], pmax=99.5)
plt.suptitle("validation patches (ZY): source, target, prediction")
plt.savefig("results/validation.png")
model.export_TF()

# 3. prediction
name = "stack_low_sub_4_03.tif"
x = imread(f"data/synthetic_upsampling/test_stacks_sub_4/{name}")
axes, subsample = "ZYX", 4
model = UpsamplingAEANet(config=None, name="my_model", basedir="models")
restored = model.predict(x, axes, subsample, n_tiles=(2, 2, 2))
print("input", x.shape, "output", restored.shape)
save_tiff_imagej_compatible(f"results/{model.name}_restored_{name}", restored, axes)

for image, title, aspect in ((x, "input", subsample), (restored, "restored", 1)):
    plt.figure(figsize=(6, 6))
    plt.imshow(image[..., 20], aspect=aspect, cmap="magma")
    plt.title(f"{title}, ZY slice")
    plt.axis("off")
    plt.savefig(f"results/{title}.png")
