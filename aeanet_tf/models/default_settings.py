"""What is trained, and how, where a configuration says nothing: one set for those of runs and those of models."""

from aeanet_tf.models.training_settings import SCHEDULES, TARGETS

RESTORATION, SEGMENTATION, INTERPOLATION = "restoration", "segmentation", "interpolation"
"""Kinds of models; those that project are among the first."""

TRUTH, NOISE2NOISE, NOISE2VOID = TARGETS
"""What restoration is trained for: ground truth, or noisy images alone."""

PRESETS = {RESTORATION: "aeanet-care", SEGMENTATION: "aeanet-mri", INTERPOLATION: "ssan"}
"""The network of a kind. One that projects is asked for by name, or by `ProjectionAEANetConfig`."""

STEPS, STEPS_PER_EPOCH = 40_000, 400
"""Length of a training, and what of it lies between two validations at most: CSBDeep's 100 epochs of 400 steps."""

_LOSSES = {RESTORATION: "mae", SEGMENTATION: "cross_entropy", INTERPOLATION: "pixel"}
_KERNEL_L2 = {SEGMENTATION: 2e-6}
# What was best for restoration (docs/training.md), and CSBDeep's.
_MEASURED = {"learning_rate": 2e-3, "learning_rate_cosine": {"warmup": 0.1, "final": 0.0}, "clip_norm": 0.3}
_CSBDEEP = {"learning_rate": 4e-4, "reduce_learning_rate": {"factor": 0.5, "patience": 10, "min_delta": 0}}


def default_settings(kind, given=(), probabilistic=False, target=TRUTH):
    """What is not given of the settings whose defaults depend on the kind of model.

    Restoration has warm-up and cosine to 2e-3 and clipped gradients; segmentation and slice interpolation have
    CSBDeep's 4e-4, halved on a plateau. Where one of the three schedules is named, be it as ``None``, nobody adds
    another: what is not given then is a rate of 4e-4 and no clipping.

    Args:
        kind: `RESTORATION`, `SEGMENTATION` or `INTERPOLATION`.
        given: names of settings that are given, as run configurations have them.
        probabilistic: whether the model predicts distributions.
        target: what is trained for. The mean of noisy images is the signal, and the squared error leads to the mean;
            the absolute one leads to the median, which differs where noise is skewed.

    Returns:
        Name -> value, of ``loss``, ``kernel_l2``, ``learning_rate``, a schedule and ``clip_norm``.
    """
    values = {
        "loss": "laplace" if probabilistic else _LOSSES[kind] if target == TRUTH else "mse",
        "kernel_l2": _KERNEL_L2.get(kind, 0.0),
        "learning_rate": _CSBDEEP["learning_rate"],
    }
    if not any(name in given for name in SCHEDULES):
        values |= _MEASURED if kind == RESTORATION else _CSBDEEP
    return {name: value for name, value in values.items() if name not in given}
