"""The training options that `optimisation.py` compares: what each changes of a run configuration."""

import json
from pathlib import Path
from typing import NamedTuple

from aeanet_tf.errors import InputError
from aeanet_tf.experiments.step_times import of_length, seconds_per_step, steps_of, training_step
from aeanet_tf.runs.config import load_run_config

SAMPLE = "sample"
DEFAULT = "default"
# In an override: a quarter of the steps, which are known last.
QUARTER = "QUARTER"
_NETWORK = "model.network"
# Of as many pixels as a batch of the default.
_LARGE = ("training.batch_size=2", "training.patch_size=[256,256]")
_LARGE_LABEL = "batch 2, patches of 256 x 256"


class Variant(NamedTuple):
    """One option that differs from the default.

    Attributes:
        label: in the table.
        overrides: strings ``section.key=value``, as ``--set`` takes them.
    """

    label: str
    overrides: tuple[str, ...] = ()


def _one(label, **values):
    """Name of a variant of one training field for each value -> `Variant`."""
    ((field, choices),) = values.items()
    return {
        f"{label.replace(' ', '-')}-{value:g}": Variant(f"{label} {value:g}", (f"training.{field}={value}",))
        for value in choices
    }


VARIANTS = {
    DEFAULT: Variant(DEFAULT),
    **_one("learning rate", learning_rate=(0.001, 0.002, 0.004, 0.008)),
    "staircase": Variant(
        "learning rate halved each quarter",
        (
            "training.learning_rate_cosine=null",
            f'training.learning_rate_decay={{"rate": 0.5, "steps": {QUARTER}}}',
        ),
    ),
    "no-warm-up": Variant("no warm-up", ("training.learning_rate_cosine.warmup=0",)),
    **_one("clipping to", clip_norm=(0.1, 1)),
    "no-clipping": Variant("no clipping", ("training.clip_norm=null",)),
    **_one("weight decay", weight_decay=(1e-4, 1e-3, 1e-2)),
    "averaged": Variant("averaged weights 0.99", ("training.average=0.99",)),
    **_one("batch", batch_size=(4, 8, 16)),
    **{
        f"patch-{size}": Variant(f"patches of {size} x {size}", (f"training.patch_size=[{size},{size}]",))
        for size in (64, 192)
    },
    "patch-256": Variant(_LARGE_LABEL, _LARGE),
    **{f"depth-{depth}": Variant(f"depth {depth}", (f"model.network.depth={depth}",)) for depth in (3, 5)},
    **{f"filters-{n}": Variant(f"{n} first filters", (f"model.network.first_filters={n}",)) for n in (8, 32)},
    **{loss: Variant(f"loss {loss}", (f"training.loss={loss}",)) for loss in ("mae", "mse", "charbonnier")},
    "batch-norm": Variant("batch norm (aeanet-em)", ("model.preset=aeanet-em",)),
    "unmatched": Variant("targets not matched", ("data.match_targets=false",)),
    "no-attention": Variant("no attention (unet-care)", ("model.preset=unet-care",)),
    "no-attention-patch-256": Variant(f"no attention, {_LARGE_LABEL}", ("model.preset=unet-care", *_LARGE)),
    "attention-at-bottom": Variant("attention at the bottom alone", (f"{_NETWORK}.upsampling=transposed_convolution",)),
    "attention-everywhere": Variant("attention in down-sampling, too", (f"{_NETWORK}.downsampling=attention",)),
    "attention-twice": Variant("two attention blocks at the bottom", (f'{_NETWORK}.bottom=["attention","attention"]',)),
    **{f"heads-{n}": Variant(f"{n} heads", (f"{_NETWORK}.attention.num_heads={n}",)) for n in (1, 4)},
    **{
        f"references-{n}": Variant(f"{n} references", (f"{_NETWORK}.attention.shared_references={n}",))
        for n in (0, 16, 256)
    },
    "batch-aware": Variant("batch-aware attention", (f"{_NETWORK}.attention.batch_aware=true",)),
}


class Study(NamedTuple):
    """What is varied, and where its models are kept.

    Attributes:
        data: folder of pairs, or "sample".
        output: folder of the results.
        config: path of the run configuration that is the default; that of the data where it is ``None``.
        overrides: that all variants have.
    """

    data: str
    output: Path
    config: Path | None = None
    overrides: tuple[str, ...] = ()

    @property
    def label(self):
        """Of the data, in file names."""
        return SAMPLE if self.data == SAMPLE else Path(self.data).resolve().name

    def run_config(self, name, seed=0, steps=None):
        """The `RunConfig` of a variant.

        Args:
            name: of the variant.
            seed: of the training.
            steps: at most so many; those of the configuration where it is ``None``.

        Raises:
            InputError: a configuration or an override that is wrong.
        """
        path = self.config or ("quickstart" if self.data == SAMPLE else "w2s")
        root = [] if self.data == SAMPLE else [f"data.root={json.dumps(str(Path(self.data).resolve()))}"]
        own = [f"training.seed={seed}", f"model.name={self.label}-{name}-seed{seed}"]
        basedir = f"model.basedir={json.dumps(str(self.output / 'models'))}"
        # Counted before a variant that is told a quarter of them.
        base = load_run_config(path, [*root, *self.overrides])
        total = steps_of(base if steps is None else of_length(base, steps))
        changes = [change.replace(QUARTER, str(max(1, total // 4))) for change in VARIANTS[name].overrides]
        config = load_run_config(path, [*root, *self.overrides, *changes, *own, basedir])
        return config if steps is None else of_length(config, steps)

    def variants(self, only=()):
        """Names of the variants to compare, the default first, without those that change nothing of it.

        Raises:
            InputError: ``only`` has an unknown name.
        """
        unknown = [name for name in only if name not in VARIANTS]
        if unknown:
            raise InputError(f"--only: found {unknown[0]}, expected some of {', '.join(VARIANTS)}")
        default = _varied(self.run_config(DEFAULT))
        named = [name for name in VARIANTS if name == DEFAULT or not only or name in only]
        return [name for name in named if name == DEFAULT or _varied(self.run_config(name)) != default]

    def seconds(self, names):
        """Seconds of a training step of each variant; those that compute the same in a step share one time."""
        configs = {name: self.run_config(name) for name in names}
        keys = {name: _cost(config) for name, config in configs.items()}
        candidates = {keys[name]: lambda config=config: training_step(config) for name, config in configs.items()}
        found = seconds_per_step(self.output / f"optimisation_{self.label}_step_times.json", candidates)
        return {name: found[keys[name]] for name in names}


def _varied(config):
    """What tells two variants apart: everything but the name."""
    found = config.model_dump(mode="json")
    del found["model"]["name"]
    return found


def _cost(config):
    """Text that is the same where a step computes the same."""
    training, model = config.training, config.model
    parts = {
        "preset": model.preset,
        "network": model.network,
        "batch": training.batch_size,
        "patch": training.patch_size,
        "loss": training.loss,
        "precision": training.precision,
    }
    optional = [name for name in ("clip_norm", "weight_decay", "average") if getattr(training, name) is not None]
    return json.dumps({**parts, "with": optional}, sort_keys=True)
