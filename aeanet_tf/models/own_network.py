"""Networks that the ``_build`` of a user's class gives: described for prediction, kept with the model, read back."""

import json

import keras

from aeanet_tf.errors import InputError, expect
from aeanet_tf.files import read_json, write_text
from aeanet_tf.models.care import PublicCARE
from aeanet_tf.networks import as_spec
from aeanet_tf.networks.architecture import network_of, written
from aeanet_tf.networks.measured import graph_of
from aeanet_tf.networks.own_spec import OwnSpec
from aeanet_tf.prediction.stages import attention_operators

ARCHITECTURE = "network.json"
"""In a model folder: the layers of a network that no spec describes."""


def described(model, network):
    """A network that a user's ``_build`` gave, and its `OwnSpec`.

    Args:
        model: the `AEANet` whose ``_build`` it was.
        network: a Keras model of any kind; where it is not functional, it becomes the only layer of one that is.

    Raises:
        InputError: something else, or a network whose output does not fit the configuration.
    """
    config, name = model.config, f"{type(model).__name__}._build"
    expect(isinstance(network, keras.Model), name, type(network).__name__, "a Keras model")
    if model.segments or model.interpolates or config.projected_axis is not None:
        raise InputError(f"{name}: a network of its own, expected of a class that extends AEANet itself")
    if type(network) is not keras.Model and not hasattr(network, "_nodes_by_depth"):
        image = keras.Input(config.unet_input_shape)
        network = keras.Model(image, network(image))
    for what, tensors in (("inputs", network.inputs), ("outputs", network.outputs)):
        expect(len(tensors) == 1, name, f"{len(tensors)} {what}", "one")
    taken, given = network.inputs[0].shape, network.outputs[0].shape
    channels = config.n_channel_out * (1 + config.probabilistic)
    for what, shape, last in (("input", taken, config.n_channel_in), ("output", given, channels)):
        fits = len(shape) == config.n_dim + 2 and shape[-1] == last
        expect(fits, name, f"an {what} of shape {tuple(shape)}", f"{config.n_dim} spatial axes and {last} channels")
    graph = graph_of(network, _overridden(model, "_axes_div_by"))
    fits = set(graph.strides(graph.output)) == {1}
    expect(fits, name, "an output of another size than the input", "images of one size")
    spec = OwnSpec(
        dimension=config.n_dim,
        in_channels=config.n_channel_in,
        out_channels=config.n_channel_out,
        probabilistic=config.probabilistic,
        divisor=_overridden(model, "_axes_div_by") or graph.divisor(),
        input_size=None if None in taken[1:-1] else tuple(taken[1:-1]),
        n_attention=len(attention_operators(network)),
        built_by=f"{type(model).__module__}:{type(model).__qualname__}",
        base=base_spec(config).model_dump(mode="json"),
    )
    return network, spec


def base_spec(config):
    """The spec that a configuration asks for; of one whose network a user's class has built, the one it began with."""
    return as_spec(config.spec.base) if config.spec.kind == "own" else config.spec


def own_graph(model):
    """Arguments of `OwnAttention` for the network of a model: what its class says itself, as CSBDeep asks for it."""
    if model.spec.kind != "own":
        return {}
    return {"divisor": _overridden(model, "_axes_div_by"), "overlap": _overridden(model, "_axes_tile_overlap")}


def _overridden(model, method):
    """What a method of CSBDeep's gives for the spatial axes, where a user's class overrides it; else ``None``."""
    if getattr(type(model), method) is getattr(PublicCARE, method):
        return None
    return tuple(map(int, getattr(model, method)(model.config.axes.replace("C", ""))))


def check_builder(config):
    """Raise `InputError` for a configuration whose network only a class of the user's can build."""
    spec = config.spec
    expect(spec.kind != "own", "config.network", f"one that {getattr(spec, 'built_by', '')} has built", "that class")


def keep(model, network):
    """Write what a network of the user's own is into the configuration of its model, and into its folder."""
    model.config.preset, model.config.network = "own", model.spec.model_dump(mode="json")
    if model.basedir is None:
        return
    model.write_config()
    path = model.logdir / ARCHITECTURE
    try:
        write_text(path, written(network))
    except InputError:
        # Its class opens the model all the same.
        path.unlink(missing_ok=True)


def kept_network(model):
    """The network that `keep` wrote into the folder of a model, for who has not the class that built it.

    Raises:
        InputError: it was not written, or its layers cannot be made without the user's code.
    """
    built_by = model.spec.built_by
    module, _, name = built_by.partition(":")
    opens = f"in Python, {name}(None, {model.name!r}, BASEDIR) of {module} opens the model"
    path = model.logdir / ARCHITECTURE
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected the layers that {built_by} has built; {opens}")
    text = json.dumps(read_json(path))
    try:
        return network_of(text)
    except InputError as error:
        raise InputError(f"{path}: {error}; {opens}") from None


def checked(model, network):
    """The network of a model for what ``_build`` gave, with its spec and its files where that is a user's."""
    # Of a class that changes what AEANet's own _build gives, too.
    if network is model.built:
        return network
    network, model.spec = described(model, network)
    keep(model, network)
    return network
