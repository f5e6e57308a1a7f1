"""What a process keeps of models that are made, trained and dropped (docs/reliability.md).

A line a model: megabytes, and how many of TensorFlow's traced graphs are alive.
"""

import argparse
import ctypes
import gc
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import psutil


def resident():
    """Megabytes, with what Python and the C library have no more use for given back."""
    gc.collect()
    if sys.platform.startswith("linux"):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return psutil.Process().memory_info().rss / 1e6


def train_one(patches):
    """Train a default network for two steps."""
    from aeanet_tf.models import AEANet, AEANetConfig

    config = AEANetConfig("YX", train_batch_size=2, train_epochs=1, train_steps_per_epoch=2)
    model = AEANet(config, "model", basedir=None)
    model.train(patches, patches, validation_data=(patches[:2], patches[:2]), verbose=0)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=15)
    args = parser.parse_args()
    from tensorflow.python.framework.func_graph import FuncGraph

    patches = np.random.default_rng(0).random((8, 32, 32, 1)).astype("float32")
    print("| model | resident (MB) | graphs |\n| --- | --- | --- |")
    for number in range(1, args.models + 1):
        train_one(patches)
        held = resident()
        graphs = sum(isinstance(thing, FuncGraph) for thing in gc.get_objects())
        print(f"| {number} | {held:.0f} | {graphs} |", flush=True)


if __name__ == "__main__":
    main()
