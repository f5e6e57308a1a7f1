"""Checkpoints as the original programs write them, of small networks with random weights."""

import numpy as np

from aeanet_tf.interop.tf1_checkpoint import original_names
from aeanet_tf.networks import build_network


def network(spec, seed=0):
    """The network of a spec with random weights, and its variables as the original programs name and shape them."""
    model, rng = build_network(spec), np.random.default_rng(seed)
    dimension = len(model.get_layer("first_convolution").kernel.shape) - 2
    gvtnet = _named_as_gvtnet(spec)
    variables = {}
    for weight in model.weights:
        kernel = weight.name in ("kernel", "nl_library")
        scale = np.prod(weight.shape[:-1]) ** -0.5 if kernel else 0.1
        value = rng.normal(0, scale, weight.shape).astype("float32")
        value = abs(value) + 1 if weight.name == "moving_variance" else value
        weight.assign(value)
        name = original_names(weight.path)[-1 if gvtnet else 0]
        if name.endswith("_transform/kernel") and value.ndim == 2:
            value = value.reshape((1,) * (3 if name.startswith("projection/") else dimension) + value.shape)
        variables[name] = value
    return model, variables


def _named_as_gvtnet(spec):
    # GVTNet's networks with batch normalisation have other names for the last layers than AEANet's.
    spec = getattr(spec, "restoration", spec)
    return spec.batch_norm and not spec.attention.shared_references


def with_slots(variables):
    """The variables with those of an Adam optimiser."""
    trained = {name: value for name, value in variables.items() if "/moving_" not in name}
    adam = {f"{name}/{slot}": value / 9 for name, value in trained.items() for slot in ("Adam", "Adam_1")}
    counters = {"global_step": np.int64(7), "beta1_power": np.float32(0.5), "beta2_power": np.float32(0.9)}
    return {**variables, **adam, **counters}


def write_checkpoint(prefix, variables):
    """Write ``prefix.index`` and ``prefix.data-00000-of-00001`` and return the prefix."""
    import tensorflow as tf

    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(variables)
    tensors = [tf.constant(variables[name]) for name in names]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)
    return prefix


def data_file(prefix):
    """The only file of values of a checkpoint."""
    return prefix.with_name(f"{prefix.name}.data-00000-of-00001")
