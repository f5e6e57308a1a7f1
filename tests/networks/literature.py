"""Small networks of each of the presets from the literature, for tests."""

from aeanet_tf.networks import presets

SMALL = {
    "rcan": {"filters": 8, "groups": 2, "blocks": 1, "reduction": 4},
    "edsr": {"filters": 4, "blocks": 2},
    "vdsr": {"filters": 4, "blocks": 2},
    "attention-unet": {"first_filters": 4, "depth": 3},
    "unet-plusplus": {"first_filters": 4, "depth": 3},
    "dilated-unet": {"first_filters": 4, "depth": 2, "rates": (1, 3)},
    "rsgu-net": {"first_filters": 4, "depth": 2},
    "ce-net": {"first_filters": 4, "blocks": (1, 1)},
}


def small(name, **changes):
    """The spec of a small network of the preset ``name``."""
    return presets[name].replace(**{**SMALL[name], **changes})
