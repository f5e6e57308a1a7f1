"""CARE's notebooks on projecting fly wings (projection), with `ProjectionCARE` replaced by `ProjectionAEANet`.

Downloads stacks and their projections into `data`, trains a model in `models`, and puts pictures into `results`:

    python examples/care/projection.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from csbdeep.data import RawData, create_patches_reduced_target
from csbdeep.io import load_training_data, save_tiff_imagej_compatible
from csbdeep.utils import axes_dict, download_and_extract_zip_file, plot_some
from csbdeep.utils.tf import limit_gpu_memory
from tifffile import imread

from aeanet_tf import plot_history
from aeanet_tf.models import ProjectionAEANet, ProjectionAEANetConfig

limit_gpu_memory(None, allow_growth=True)
plt.rcParams["savefig.bbox"] = "tight"
Path("results").mkdir(exist_ok=True)

# 1. training data
download_and_extract_zip_file(url="http://csbdeep.bioimagecomputing.com/example_data/flywing.zip", targetdir="data")
raw_data = RawData.from_folder(
    basepath="data/flywing", source_dirs=["low_C0", "low_C2", "low_C3"], target_dir="GT", axes="ZYX"
)
X, Y, XY_axes = create_patches_reduced_target(
    raw_data=raw_data,
    patch_size=(None, 128, 128),
    n_patches_per_image=16,
    target_axes="YX",
    reduction_axes="Z",
    save_file="data/my_training_data.npz",
)
print("patches", X.shape, Y.shape, XY_axes)
plt.figure(figsize=(10, 3))
plot_some(X[:8, 0], Y[:8, 0], title_list=[np.arange(8)])
plt.savefig("results/patches.png")

# 2. training
(X, Y), (X_val, Y_val), axes = load_training_data("data/my_training_data.npz", validation_split=0.1, verbose=True)
c = axes_dict(axes)["C"]
n_channel_in, n_channel_out = X.shape[c], Y.shape[c]
config = ProjectionAEANetConfig(
    axes, n_channel_in, n_channel_out, unet_n_depth=3, train_batch_size=8, train_steps_per_epoch=20
)
model = ProjectionAEANet(config, "my_model", basedir="models")
print(model.proj_params)
history = model.train(X, Y, validation_data=(X_val, Y_val))

print(sorted(history.history.keys()))
plt.figure(figsize=(10, 4))
plot_history(history, ["loss", "val_loss"], ["mse", "val_mse", "mae", "val_mae"])
plt.savefig("results/history.png")

plt.figure(figsize=(9, 6))
P = model.keras_model.predict(X_val[:5])
plot_some(X_val[:5], Y_val[:5], P, pmax=99.5)
plt.suptitle("validation patches: source (maximum projection), target, prediction")
plt.savefig("results/validation.png")
model.export_TF()

# 3. prediction
y = imread("data/flywing/GT/session_7_P17.tif")
x = imread("data/flywing/low_C3/session_7_P17.tif")
axes = "ZYX"
model = ProjectionAEANet(config=None, name="my_model", basedir="models")
restored = model.predict(x, axes, n_tiles=(1, 4, 4))
axes_restored = axes.replace(model.proj_params.axis, "")
save_tiff_imagej_compatible(f"results/{model.name}_denoising+projection_example.tif", restored, axes_restored)

plt.figure(figsize=(9, 4))
images = np.stack([x, np.broadcast_to(restored, x.shape), np.broadcast_to(y, x.shape)])
plot_some(images, title_list=[["low (maximum projection)", "AEANet", "GT (PreMosa)"]], pmin=2, pmax=99.8)
plt.savefig("results/restored.png")
