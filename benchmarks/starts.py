"""How many short trainings are thrown off: attention that starts as it is drawn, or small, and no attention.

Each seed is a training of its own from the first step, with warm-up and cosine over ``--steps`` steps. It is thrown off
where the loss of some step is ``OFF`` times the mean of the first ten. Some come back, slowly; of others the
activations before the last convolution are gone, and the network gives its input with a constant added for ever.

    python benchmarks/starts.py --data w2s [--learning-rates 0.004 0.008] [--seeds 16] [--steps 100]
        [--batch 4] [--patch 64] [--only "as drawn"]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from hardware import facts, line
from tables import digits, markdown, quiet, run_script, section, write_results

from aeanet_tf.layers import GlobalAttention
from aeanet_tf.layers.attention import START
from aeanet_tf.models.folder import model_class
from aeanet_tf.models.training_data import training_data
from aeanet_tf.networks.keras_internals import flattened_layers
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.train import load_data, model_config
from aeanet_tf.training import seed_everything

OFF, MEAN_OF = 5, 10
# Preset, and what the output projections of attention are multiplied with.
STARTS = {
    "small, the default": ("aeanet-care", 1),
    "as drawn": ("aeanet-care", 1 / START),
    "no attention": ("unet-care", 1),
}


def main(argv=None):
    """Train all, print the table."""
    options = _options(argv)
    results = {"hardware": facts(), "losses": {}}
    with quiet():
        data = None
        for name in options.only or STARTS:
            for rate in options.learning_rates:
                config = _config(options, name, rate)
                data = data or load_data(config.data, model_config(config))
                found = [training_losses(config, data, seed, STARTS[name][1]) for seed in range(options.seeds)]
                results["losses"].setdefault(name, {})[f"{rate:g}"] = found
                write_results(options.json, results)
    title = f"Trainings of {options.steps} steps of {options.batch} x {options.patch} x {options.patch}"
    section(title, line(results["hardware"]), starts_table(results["losses"]))


def _options(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="pairs as those of W2S")
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[0.004, 0.008], metavar="R")
    parser.add_argument("--seeds", type=int, default=16, metavar="N")
    parser.add_argument("--steps", type=int, default=100, metavar="N")
    parser.add_argument("--batch", type=int, default=4, metavar="N")
    parser.add_argument("--patch", type=int, default=64, metavar="N")
    parser.add_argument("--only", nargs="+", choices=list(STARTS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a field of all trainings")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the losses of all steps")
    return parser.parse_args(argv)


def _config(options, name, rate):
    fields = {
        "data.root": str(options.data.resolve()),
        "model.preset": STARTS[name][0],
        "training.learning_rate": rate,
        "training.steps": options.steps,
        "training.steps_per_epoch": options.steps,
        "training.batch_size": options.batch,
        "training.patch_size": [options.patch] * 2,
    }
    overrides = [f"{key}={json.dumps(value)}" for key, value in fields.items()]
    return load_run_config("w2s", [*overrides, *options.set])


def training_losses(config, data, seed, factor):
    """The loss of each step of a training."""
    seed_everything(seed)
    network = model_config(config)
    network.train_seed = seed
    model = model_class(network.spec.model_kind)(network, config.model.name, None)
    for layer in flattened_layers(model.keras_model):
        if isinstance(layer, GlobalAttention):
            layer.out_transform.kernel.assign(factor * np.asarray(layer.out_transform.kernel))
    model.prepare_for_training()
    sampler, _ = training_data(network, *data[:3])
    losses = []
    for step in range(config.training.steps):
        model.trained_network.reset_metrics()
        losses.append(float(np.ravel(model.trained_network.train_on_batch(*sampler[step]))[0]))
    return losses


def is_thrown_off(losses):
    """Whether the loss of a step is far above where the training began."""
    return not max(losses) < OFF * np.mean(losses[:MEAN_OF])


def starts_table(losses):
    """Markdown table: how many are thrown off, the largest loss, and the mean of the last ten steps: of all, worst."""
    rates = list(dict.fromkeys(rate for found in losses.values() for rate in found))
    columns = ("thrown off", "largest loss", "end", "worst end")
    header = ["attention starts", *(f"{what}, rate {rate}" for rate in rates for what in columns)]
    lines = []
    for name, by_rate in losses.items():
        cells = []
        for rate in rates:
            runs = by_rate[rate]
            ends = [float(np.mean(run[-MEAN_OF:])) for run in runs]
            cells += [f"{sum(map(is_thrown_off, runs))} of {len(runs)}", digits(max(map(max, runs)))]
            cells += [digits(float(np.mean(ends))), digits(max(ends))]
        lines.append([name, *cells])
    return markdown(header, lines)


if __name__ == "__main__":
    run_script(main)
