"""CARE's notebooks on predicting a distribution for each pixel, with `CARE` replaced by `AEANet`.

Downloads patches of synthetic disks into `data`, trains a model in `models`, and puts pictures into `results`:

    python examples/care/denoising2D_probabilistic.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from csbdeep.io import load_training_data, save_tiff_imagej_compatible
from csbdeep.utils import axes_dict, download_and_extract_zip_file, plot_some
from csbdeep.utils.tf import limit_gpu_memory

from aeanet_tf import plot_history
from aeanet_tf.models import AEANet, AEANetConfig

limit_gpu_memory(None, allow_growth=True)
plt.rcParams["savefig.bbox"] = "tight"
Path("results").mkdir(exist_ok=True)

# 1. training data, which are given as patches
download_and_extract_zip_file(
    url="http://csbdeep.bioimagecomputing.com/example_data/synthetic_disks.zip", targetdir="data"
)
(X, Y), (X_val, Y_val), axes = load_training_data("data/synthetic_disks/data.npz", validation_split=0.1, verbose=True)
c = axes_dict(axes)["C"]
n_channel_in, n_channel_out = X.shape[c], Y.shape[c]
plt.figure(figsize=(9, 4))
plot_some(X_val[:5], Y_val[:5])
plt.suptitle("validation patches: source, target")
plt.savefig("results/patches.png")

# 2. training
config = AEANetConfig(axes, n_channel_in, n_channel_out, probabilistic=True, train_steps_per_epoch=30)
model = AEANet(config, "my_model", basedir="models")
history = model.train(X, Y, validation_data=(X_val, Y_val))

print(sorted(history.history.keys()))
plt.figure(figsize=(10, 4))
plot_history(history, ["loss", "val_loss"], ["mse", "val_mse", "mae", "val_mae"])
plt.savefig("results/history.png")

plt.figure(figsize=(9, 8))
P = model.keras_model.predict(X_val[:5])
P_mean, P_scale = P[..., : P.shape[-1] // 2], P[..., P.shape[-1] // 2 :]
plot_some(X_val[:5], Y_val[:5], P_mean, P_scale, pmax=99.5)
plt.suptitle("validation patches: source, target, Laplace mean, Laplace scale")
plt.savefig("results/validation.png")
model.export_TF()

# 3. prediction
y, x, axes = Y_val[2, ..., 0], X_val[2, ..., 0], "YX"
model = AEANet(config=None, name="my_model", basedir="models")
restored = model.predict(x, axes, normalizer=None)
save_tiff_imagej_compatible(f"results/{model.name}_validation_image.tif", restored, axes)

restored_prob = model.predict_probabilistic(x, axes, normalizer=None)
plt.figure(figsize=(9, 4))
plot_some(np.stack([restored_prob.mean(), restored_prob.scale()]), title_list=[["mean", "scale"]])
plt.savefig("results/mean_and_scale.png")
plt.figure(figsize=(9, 4))
plot_some(np.stack([restored_prob.var(), restored_prob.entropy()]), title_list=[["variance", "entropy"]])
plt.savefig("results/variance_and_entropy.png")

samples = np.stack(list(restored_prob.sampling_generator(50)))
plt.figure(figsize=(10, 4))
plot_some(samples[:3], pmin=0.1, pmax=99.9)
plt.savefig("results/samples.png")

i, q = 61, 0.025
line = restored_prob[i]
n = len(line)
plt.figure(figsize=(10, 4))
label = f"{100 * (1 - 2 * q):.0f}% credible interval"
plt.fill_between(range(n), line.ppf(q), line.ppf(1 - q), alpha=0.5, label=label)
plt.plot(line.mean(), linewidth=3, label="expected restored image")
plt.plot(y[i], "--", linewidth=3, label="ground truth")
plt.plot(x[i], ":", linewidth=1, label="input image")
plt.xlabel("x (pixels)")
plt.ylabel("intensity")
plt.xlim(0, n - 1)
plt.legend(loc="lower right")
plt.savefig("results/profile.png")
