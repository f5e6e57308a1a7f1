"""From a spec to a Keras model."""

from contextlib import contextmanager

import keras
from pydantic import BaseModel, TypeAdapter, ValidationError

from aeanet_tf.device_names import PRECISIONS
from aeanet_tf.errors import expect
from aeanet_tf.field_errors import from_validation
from aeanet_tf.layers.attention import GlobalAttention, start_small
from aeanet_tf.layers.convolution import TRANSPOSED, start_phases_alike
from aeanet_tf.networks.care import care
from aeanet_tf.networks.ce_net import ce_net
from aeanet_tf.networks.fnet import fnet
from aeanet_tf.networks.keras_internals import flattened_layers, long_chains
from aeanet_tf.networks.presets import presets
from aeanet_tf.networks.spec import TAGGED, NetworkSpec, ProjectionSpec
from aeanet_tf.networks.ssan import ssan
from aeanet_tf.networks.super_resolution import super_resolution
from aeanet_tf.networks.unet import projection, unet
from aeanet_tf.networks.unet_variant import unet_variant

_FUNCTIONS = {
    "unet": unet,
    "fnet": fnet,
    "ssan": ssan,
    "care": care,
    "super_resolution": super_resolution,
    "unet_variant": unet_variant,
    "ce_net": ce_net,
}
_adapter = TypeAdapter(NetworkSpec)
# Keras's global dtype policy is left as it is where no precision is asked for.
_POLICIES = {None: None, **dict(zip(PRECISIONS, ("float32", "mixed_bfloat16"), strict=True))}


def as_spec(spec):
    """A validated spec from a spec, the name of a preset, or a dict as ``spec.model_dump()`` writes it.

    Raises:
        InputError: an unknown preset, or the fields that are wrong.

    Example:
        >>> as_spec("aeanet-em").replace(depth=2, encoding_blocks=(1, 0), decoding_blocks=(1,)).divisor
        (2, 2)
    """
    if isinstance(spec, str):
        expect(spec in presets, "preset", repr(spec), f"one of {', '.join(sorted(presets))}")
        return presets[spec]
    try:
        return _adapter.validate_python(spec.model_dump() if isinstance(spec, BaseModel) else spec)
    except ValidationError as error:
        # The first name is the tag of the kind.
        raise from_validation(error, "network", (None, *TAGGED), NetworkSpec) from None


def check_precision(precision):
    """Raise `InputError` for a precision that is not one of `PRECISIONS`."""
    expect(precision in PRECISIONS, "precision", repr(precision), f"one of {', '.join(PRECISIONS)}")


def build_network(spec, name=None, precision=None):
    """The Keras model of a network.

    Args:
        spec: a `UNetSpec` or a spec of another network (`aeanet_tf.networks.spec`), for instance
            ``presets["aeanet-em"]``, the name of a preset, or the dict of a spec.
        name: of the Keras model.
        precision: ``"float32"``, or ``"bfloat16"`` for layers that compute in bfloat16 with weights in float32; the
            moments of attention, the last convolutions and the output stay in float32. By default Keras's global
            dtype policy.

    Returns:
        A functional ``keras.Model`` from ``(batch, *spatial, in_channels)`` to ``(batch, *spatial, out_channels)``
        in float32 (twice the channels, mean then scale, for probabilistic networks; without z for projections).
        Spatial sizes are free; they must be divisible by ``spec.divisor``. Weights follow the global Keras seed
        (``keras.utils.set_random_seed``); transposed convolutions start with all phases alike
        (`aeanet_tf.layers.convolution.start_phases_alike`), and attention small
        (`aeanet_tf.layers.attention.start_small`).

    Example:
        >>> network = build_network("aeanet-em")
        >>> network.input_shape, network.output_shape
        ((None, None, None, 1), (None, None, None, 1))
    """
    spec = as_spec(spec)
    expect(spec.kind != "own", "network", "one that other code has built", "the spec of a network")
    if precision is not None:
        check_precision(precision)
    with dtype_policy(_POLICIES[precision]), long_chains():
        size = getattr(spec, "input_size", None) or (None,) * spec.dimension
        image = keras.Input((*size, spec.in_channels), name="input")
        if isinstance(spec, ProjectionSpec):
            output = unet(spec.restoration, projection(spec, image))
        else:
            output = _FUNCTIONS[spec.kind](spec, image)
        network = keras.Model(image, output, name=name)
    for layer in flattened_layers(network):
        if isinstance(layer, TRANSPOSED):
            start_phases_alike(layer)
        if isinstance(layer, GlobalAttention):
            start_small(layer)
    return network


@contextmanager
def dtype_policy(policy):
    """Set the dtype policy of layers made meanwhile, Keras's own and ours, unless it is None."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
