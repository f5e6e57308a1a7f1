"""Channels of an image that a model of one channel restores: chosen by number or name, or all of them."""

import difflib
from dataclasses import replace

from aeanet_tf.errors import InputError, expect, short
from aeanet_tf.io.channel_names import channel_names
from aeanet_tf.io.channels import PickedChannels, open_channels
from aeanet_tf.io.frame import frame_image
from aeanet_tf.io.image import with_axes
from aeanet_tf.io.read import open_image
from aeanet_tf.prediction.options import ALL_CHANNELS

# So many are told by name.
_TOLD = 12


def open_chosen(path, options, net_axes):
    """Open an image as it is to be predicted, with the channels that `FileOptions` choose.

    Args:
        path: of the image.
        options: `FileOptions`.
        net_axes: of the network; axes of size 1 follow it (`with_axes`).

    Returns:
        The `Image`, left where it is stored; of one chosen channel without C.

    Raises:
        InputError: it cannot be read; it has no such channel, or no channels.
    """
    axes, channels = options.axes, options.channels
    image = with_axes(open_channels(path, channels, axes) if channels else open_image(path, axes), net_axes)
    return image if options.channel is None else _with_channels(image, options.channel)


def _with_channels(image, chosen):
    if chosen == ALL_CHANNELS and "C" not in image.axes:
        return image
    if "C" not in image.axes:
        raise InputError(f"{image.path}: axes {image.axes}, expected C, of which --channel {' '.join(chosen)} chooses")
    axis = image.axes.index("C")
    names = channel_names(image.path, image.array.shape[axis])
    if chosen == ALL_CHANNELS:
        return replace(image, channel_names=tuple(names))
    indices = tuple(_index(image.path, one, names) for one in chosen)
    image = replace(image, channel_names=tuple(names[i] for i in indices))
    if len(indices) == 1:
        return frame_image(image, {"C": indices[0]})
    expect(len(set(indices)) == len(indices), image.path, f"--channel {' '.join(chosen)}", "each channel once")
    return replace(image, array=PickedChannels(image.array, axis, indices))


def _index(path, one, names):
    """The number of a channel that is given by name or number; names come first, then such in other capitals."""
    known = [name for name in names if name]
    for own, wanted in ((names, one), ([name.lower() for name in names], one.lower())):
        if own.count(wanted) == 1:
            return own.index(wanted)
    if one.isdecimal() and one.isascii() and int(one) < len(names):
        return int(one)
    # Names of channels are short: three letters of which two are exchanged are near.
    near = difflib.get_close_matches(one[:100].lower(), [name.lower() for name in known], 1, 0.6)
    hint = f", did you mean {next(name for name in known if name.lower() == near[0])}?" if near else ""
    raise InputError(f"{path}: found no channel {short(one)}, expected {told(names)}{hint}")


def told(names):
    """Channels for a message, by number, and by name where they have one."""
    each = [f"{number} ({name})" if name else str(number) for number, name in enumerate(names)]
    return ", ".join(each) if len(each) <= _TOLD else f"{', '.join(each[:_TOLD])}, ... {len(each) - 1}"


def check_one_channel(image, model):
    """Refuse several channels for a model of one, and say how they are chosen.

    Args:
        image: an `Image`.
        model: a `StoredModel`.

    Raises:
        InputError: the image has several channels and the model takes one.
    """
    if model.n_channel_in != 1 or "C" not in image.axes or image.array.shape[image.axes.index("C")] == 1:
        return
    count = image.array.shape[image.axes.index("C")]
    every = "" if model.segments or model.n_channel_out != 1 else ", --channel all restores each by itself"
    # Samples of a picture are its last axis.
    grey = ", grey levels that are stored as colours are read with axes without C"
    raise InputError(
        f"{image.path}: found {count} channels, expected 1, which the model takes; --channel N chooses one of "
        f"{told(channel_names(image.path, count))}{every}"
        f"{grey if image.axes.endswith('C') and count in (2, 3, 4) else ''}"
    )


def check_takes_channels(options, model):
    """Check that a model restores channels one by one, where `FileOptions` choose them.

    Args:
        options: `FileOptions`.
        model: a `StoredModel`.

    Raises:
        InputError: it takes several, or gives other than one where several are chosen.
    """
    if options.channel is None:
        return
    expected = "one that takes 1; --channel is for these"
    expect(model.n_channel_in == 1, model.folder, f"a model of {model.n_channel_in} channels", expected)
    if options.keeps_channels:
        restores = model.n_channel_out == 1 and not model.segments
        expect(restores, model.folder, "a model of several channels or labels", "one that gives 1 for each channel")
