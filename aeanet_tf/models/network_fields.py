"""The network that a configuration asks for: that of a preset, with fields changed."""

from pydantic import ValidationError

from aeanet_tf.field_errors import from_validation
from aeanet_tf.networks.attention_spec import DEEPEST
from aeanet_tf.networks.spec import TAGGED


def customised(spec, config, dimension, network, unet):
    """``spec`` for the images of ``config``, with CSBDeep's ``unet_*`` values and the user's fields applied."""
    changes = {
        "dimension": dimension,
        "in_channels": config.n_channel_in,
        "out_channels": config.n_channel_out,
        "probabilistic": config.probabilistic,
        "output_offset": unet.get("unet_residual", spec.output_offset) and config.n_channel_in == config.n_channel_out,
        spec.width: unet.get("unet_n_first", getattr(spec, spec.width)),
        "last_activation": unet.get("unet_last_activation", spec.last_activation),
    }
    if spec.input_size and len(spec.input_size) != dimension:
        changes["input_size"] = network.get("input_size")
    spec = replaced(spec, changes)
    if "unet_n_depth" in unet:
        spec = spec.with_depth(unet["unet_n_depth"] + 1)
    return replaced(spec, network)


def replaced(spec, changes):
    """``spec`` with fields changed; `InputError` names one that is wrong.

    A ``depth`` fills in the blocks and up-samplings of the resolutions, which other fields may then change.
    """
    try:
        if isinstance(changes.get("depth"), int) and 2 <= changes["depth"] <= DEEPEST:
            spec = spec.with_depth(changes["depth"])
        inner = changes.get("restoration")
        if isinstance(inner, dict) and isinstance(inner.get("depth"), int):
            changes = {**changes, "restoration": replaced(spec.restoration, inner).model_dump()}
        return spec.replace(**changes)
    except ValidationError as error:
        raise from_validation(error, "network", TAGGED, type(spec)) from None
