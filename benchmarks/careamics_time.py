"""CAREamics' Noise2Void on a folder of noisy images, for so much processor time: what ours is compared with.

It runs in an environment of its own (``pip install careamics``; no aeanet_tf is needed), on one core:

    taskset -c 0 python benchmarks/careamics_time.py --images "/path/to/w2s/test/low/*.tif" --seconds 372 --output out

Images are normalised by their percentiles 2 and 99.8, as ours are, before CAREamics does its own. The last tenth by
name is validated on; patches of 64 x 64, batches of 16, everything else by its defaults (``--n2v2`` for that variant).
The processor time is that of the training, without imports and statistics. Predictions of all images, whole, lie in
``OUTPUT`` under the names of the images; `aeanet evaluate --protocol care` scores them.
"""

import argparse
import os
import time
from glob import glob
from pathlib import Path

# Before anything that counts threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from tifffile import imread, imwrite


def main(argv=None):
    """Train, predict, and say how many steps the time was enough for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", required=True, metavar="PATTERN", help="noisy images of one size")
    parser.add_argument("--seconds", type=float, required=True, help="processor time of the training")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the predictions")
    parser.add_argument("--n2v2", action="store_true", help="median replacement, blur pooling, fewer skips")
    parser.add_argument("--seed", type=int, default=1, help="above 0")
    options = parser.parse_args(argv)
    import torch
    from careamics import CAREamist
    from careamics.config import create_advanced_n2v_config
    from lightning.pytorch.callbacks import Callback

    torch.set_num_threads(1)

    class Stop(Callback):
        """Ends the training when the time is up."""

        started, steps = None, 0

        def on_train_batch_start(self, trainer, *_):
            self.started = self.started or time.process_time()

        def on_train_batch_end(self, trainer, *_):
            self.steps += 1
            self.seconds = time.process_time() - self.started
            trainer.should_stop = self.seconds > options.seconds

    paths = sorted(map(Path, glob(options.images)))
    images = np.stack([_normalised(imread(path)) for path in paths])
    held, stop = max(1, len(images) // 10), Stop()
    config = create_advanced_n2v_config(
        "n2v", "array", "SYX", (64, 64), 16, num_epochs=1000, use_n2v2=options.n2v2, num_workers=0, seed=options.seed
    )
    careamist = CAREamist(config, work_dir=options.output / "work", callbacks=[stop], enable_progress_bar=False)
    careamist.train(train_data=images[:-held], val_data=images[-held:])
    print(f"{stop.steps} steps in {stop.seconds:.0f} s of processor time")
    predictions, _ = careamist.predict(images, batch_size=1, axes="SYX", data_type="array", num_workers=0)
    for path, prediction in zip(paths, np.asarray(predictions).reshape(images.shape), strict=True):
        imwrite(options.output / path.name, prediction.astype("float32"))


def _normalised(image):
    low, high = np.percentile(image, (2, 99.8))
    return ((image - low) / (high - low)).astype("float32")


if __name__ == "__main__":
    main()
