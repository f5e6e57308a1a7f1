"""The presets of networks from the literature: their names in tables, and sizes of them (docs/networks.md)."""

import json

from aeanet_tf.errors import InputError

LITERATURE = {
    "rcan": "RCAN",
    "edsr": "EDSR",
    "vdsr": "VDSR",
    "attention-unet": "Attention U-Net",
    "unet-plusplus": "U-Net++",
    "dilated-unet": "Dilated U-Net",
    "ce-net": "CE-Net",
    "rsgu-net": "RSGU-Net",
}
"""Preset -> label in tables, that of published figures where there are any."""

SMALL = {
    "rcan": {"filters": 16, "groups": 2, "blocks": 3, "reduction": 4},
    "edsr": {"filters": 24, "blocks": 6},
    "vdsr": {"filters": 24, "blocks": 10},
    "attention-unet": {"first_filters": 16, "depth": 4},
    "unet-plusplus": {"first_filters": 16, "depth": 4},
    "dilated-unet": {"first_filters": 16, "depth": 4},
    "ce-net": {"first_filters": 32, "blocks": [2, 2]},
    "rsgu-net": {"first_filters": 16, "depth": 4},
}
"""Fields of a size for one workstation: a training step in 2D costs half to twice that of the U-Net of the
configuration ``w2s``. The published sizes were made for GPUs: RCAN's has four hundred times as many parameters."""

PUBLISHED = "published"


def preset_and_fields(name):
    """What ``--networks`` says of a preset of `LITERATURE`: its name, and the fields that are not as published.

    Args:
        name: ``rcan``, which has the size of `SMALL`; ``rcan:published``; or ``rcan:filters=32:blocks=4``.

    Raises:
        InputError: what stands behind the preset is neither.
    """
    preset, *texts = name.split(":")
    if not texts:
        return preset, SMALL[preset]
    return preset, {} if texts == [PUBLISHED] else dict(_field(name, text) for text in texts)


def _field(name, text):
    field, equals, value = text.partition("=")
    if not equals or not field:
        raise InputError(f"--networks: {name}: found {text!r}, expected {PUBLISHED}, or field=value")
    try:
        return field, json.loads(value)
    except json.JSONDecodeError:
        return field, value
