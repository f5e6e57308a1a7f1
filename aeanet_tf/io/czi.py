"""Channels of Zeiss CZI files, read through the optional package pylibCZIrw."""

from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError


def read_czi_channel(path: str | Path, channel: int) -> np.ndarray:
    """Read one channel of a CZI of one scene and one time point, plane by plane; nothing else is decoded.

    Args:
        path: the file.
        channel: its number, from 0.

    Returns:
        ZYX in the dtype of the file.

    Raises:
        InputError: pylibCZIrw is not installed; the file is missing or damaged, lacks the channel, or has several
            time points or colours.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        from pylibCZIrw import czi
    except ImportError as error:
        raise InputError(
            f"{path}: CZI files need pylibCZIrw; install aeanet-tf[czi], or convert to OME-TIFF"
        ) from error
    try:
        with czi.open_czi(str(path)) as document:
            box = document.total_bounding_box
            _check(path, box, channel)
            (first, last), start = box.get("Z", (0, 1)), box.get("C", (0, 1))[0]
            planes = [document.read(plane={"C": start + channel, "Z": z, "T": 0}) for z in range(first, last)]
    except InputError:
        raise
    # The library raises RuntimeError and others for whatever is wrong in a file.
    except Exception as error:
        raise InputError(f"{path}: not a readable CZI file ({' '.join(str(error).split())[:160]})") from error
    if any(plane.shape[-1] != 1 for plane in planes):
        raise InputError(f"{path}: channel {channel} has colours, expected grey levels")
    return np.stack([plane[..., 0] for plane in planes])


def _check(path: Path, box: dict[str, tuple[int, int]], channel: int) -> None:
    sizes = {axis: last - first for axis, (first, last) in box.items()}
    channels = sizes.get("C", 1)
    if not 0 <= channel < channels:
        raise InputError(f"{path}: no channel {channel}, it has {channels} (numbered from 0)")
    if sizes.get("T", 1) != 1:
        raise InputError(f"{path}: {sizes['T']} time points, expected one")
