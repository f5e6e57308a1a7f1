"""Adversarial training of a model: what it is refused for, what it is made of, what is told of it and kept."""

import json
import logging
from pathlib import Path

from pydantic import ValidationError

from aeanet_tf.errors import InputError, expect
from aeanet_tf.field_errors import from_validation
from aeanet_tf.files import replacing, write_text
from aeanet_tf.models.default_settings import INTERPOLATION, SEGMENTATION, TRUTH
from aeanet_tf.models.training_settings import AdversarialSection

logger = logging.getLogger("aeanet_tf")

ADVERSARIAL_FILE, DISCRIMINATOR_FILE = "adversarial.json", "discriminator.keras"
"""In the folder of a model that was trained adversarially: that it was, and the discriminator as it was at the end."""

INVENTED = (
    "trained adversarially: fine textures of its predictions are invented, they look as in recorded images and are not "
    "those of the specimen; measure nothing in them"
)
"""What is to be known of such a model."""

VIEWS_DIFFER = "planes of two views are averaged, whose invented textures are not the same"
"""Why models that do so are not trained adversarially."""

# pix2pix's, whose discriminator it is.
_BETA_1 = 0.5


def why_not_adversarial(kind, target, probabilistic, devices):
    """What speaks against adversarial training, in words; ``None`` for nothing.

    Args:
        kind: of the model, as `default_settings` knows it.
        target: what is trained for, one of `TARGETS`.
        probabilistic: whether the model predicts distributions.
        devices: to train on.
    """
    if kind == SEGMENTATION:
        return "labels have no textures"
    if kind == INTERPOLATION:
        return "slice interpolation has losses of its own (training.loss)"
    if target != TRUTH:
        return f"with target {target!r} the noise of the targets would be what it learns to make"
    if probabilistic:
        return "the mean and scale of a distribution are no image"
    if devices is not None:
        return f"devices is {devices!r}, and it trains on one, of TensorFlow's own choice (devices null)"
    return None


def adversarial_section(config):
    """The `AdversarialSection` of the configuration of a model, ``None`` where it is off.

    Raises:
        InputError: fields that are wrong.
    """
    # Configurations of CARE's own networks have none.
    found = getattr(config, "train_adversarial", None)
    if found is None or isinstance(found, AdversarialSection):
        return found
    try:
        return AdversarialSection.model_validate(found)
    except ValidationError as error:
        raise from_validation(error, "train_adversarial", model=AdversarialSection) from None


def check_adversarial(config):
    """Fill in what the adversarial training of a model does not say, and refuse what cannot be trained so.

    Args:
        config: an `AEANetConfig`.

    Raises:
        InputError: fields that are wrong; a model or a target that it means nothing for.
    """
    section = adversarial_section(config)
    if section is None:
        return
    why = why_not_adversarial(config.kind, config.train_target, config.probabilistic, config.train_devices)
    expect(why is None, "train_adversarial", "one", f"null: {why}")
    if section.conditional:
        expected = "false for a model that projects, or makes more pixels"
        same = config.projected_axis is None and config.spec.upscale == 1
        expect(same, "adversarial.conditional", True, expected)
    config.train_adversarial = section.model_dump(mode="json")


def check_patches(config, size):
    """Raise `InputError` where the discriminator would see no more than one position of a patch of a size."""
    section = adversarial_section(config)
    if section is None:
        return
    size = _judged_size(config, size)
    # Instance norm of a single position is 0, whatever the image.
    most = max((n - 1).bit_length() - 1 for n in size)
    expect(section.depth <= most, "adversarial.depth", section.depth, f"at most {most} for patches of {tuple(size)}")


def adversarial_model(model, network):
    """The network of an `AEANet` with its discriminator, an `AdversarialModel`; as it is where it is trained alone.

    Raises:
        InputError: a kind of model whose predictions are not what the network makes.
    """
    section, config = adversarial_section(model.config), model.config
    if section is None:
        return network
    name = type(model).__name__
    expect(not model.averages_views, "train_adversarial", "one", f"null for {name}: {VIEWS_DIFFER}")
    from aeanet_tf.training import adam
    from aeanet_tf.training.adversarial import AdversarialModel
    from aeanet_tf.training.discriminator import discriminator

    rank = len(network.output.shape) - 2
    opponent = discriminator(rank, _judged(config, section), section.filters, section.depth, config.train_seed)
    optimizer = adam(section.learning_rate, _BETA_1)
    logger.warning("%s: %s", model.name, INVENTED)
    logger.info(
        "adversarial training: weight %g, a discriminator of %d parameters that judges %d pixels along each axis",
        *(section.weight, opponent.count_params(), seen(section.depth)),
    )
    if model.basedir is not None:
        _tell(model.logdir, section, opponent)
    return AdversarialModel(network, opponent, optimizer, section.weight, section.conditional)


def _judged(config, section):
    """Channels that a discriminator sees."""
    return config.n_channel_out + section.conditional * config.n_channel_in


def seen(depth):
    """Pixels along an axis that a judgement of a discriminator of a depth is of."""
    # Two kernels of 4 without strides, and those with.
    pixels = 7
    for _ in range(depth):
        pixels = 2 * pixels + 2
    return pixels


def adversarial_bytes(config, batch, size):
    """What a discriminator adds to the memory of a training step, see `discriminator_bytes`; 0 without any.

    Args:
        config: an `AEANetConfig`.
        batch, size: number of patches of a step, and their spatial size.
    """
    section = adversarial_section(config)
    if section is None:
        return 0
    from aeanet_tf.training.discriminator import discriminator_bytes

    shape = (batch, *_judged_size(config, size), _judged(config, section))
    return discriminator_bytes(shape, section.filters, section.depth)


def _judged_size(config, size):
    """Spatial size of what the network makes of a patch of a size."""
    return tuple(n * config.spec.upscale for axis, n in enumerate(size) if axis != config.projected_axis)


def _tell(folder, section, opponent):
    facts = {"remark": INVENTED, **section.model_dump(mode="json"), "parameters": opponent.count_params()}
    write_text(Path(folder) / ADVERSARIAL_FILE, json.dumps(facts, indent=1) + "\n")


def keep_discriminator(model):
    """Write the discriminator of an adversarial training that has ended into the folder of its `AEANet`.

    It is a Keras model, which ``keras.models.load_model`` reads; with its optimiser it is in `FINISHED_FILE`, which
    training goes on with.
    """
    opponent = getattr(model.trained_network, "discriminator", None)
    if opponent is not None and model.basedir is not None:
        with replacing(model.logdir / DISCRIMINATOR_FILE) as partial:
            opponent.save(partial)


def remove_adversarial(folder):
    """Remove what an adversarial training left in a model folder."""
    for name in (ADVERSARIAL_FILE, DISCRIMINATOR_FILE):
        (Path(folder) / name).unlink(missing_ok=True)


def say_adversarial(model):
    """Log of a model that was trained adversarially what is to be known of it."""
    try:
        found = adversarial_section(model.config)
    except InputError:
        # A configuration that somebody has changed; it predicts all the same.
        found = True
    if found:
        logger.warning("%s: %s", model.name, INVENTED)
