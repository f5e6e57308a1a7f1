"""CZI files as ZEN writes them, and damaged; none where pylibCZIrw is not installed."""

from functools import partial
from importlib.util import find_spec

import numpy as np

from tests.hostile.makers_tiff import pixels


def write(folder, name="a.czi", planes=1, scenes=1, dtype="uint16", samples=None):
    """A CZI of slices and scenes."""
    from pylibCZIrw import czi

    path = folder / name
    with czi.create_czi(str(path)) as file:
        for scene in range(scenes):
            for plane in range(planes):
                array = pixels(dtype, (24, 24) if samples is None else (24, 24, samples), seed=plane)
                where = {"location": (60 * scene, 0), "scene": scene} if scenes > 1 else {}
                file.write(data=array, plane={"C": 0, "T": 0, "Z": plane}, **where)
        file.write_metadata(name, scale_x=1e-7, scale_y=1e-7, scale_z=3e-7)
    return path


def _cut(folder, share):
    path = write(folder)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def _flipped(folder, seed):
    path = write(folder)
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for _ in range(6):
        data[int(rng.integers(0, len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    return path


def _bytes(folder, data):
    (folder / "a.czi").write_bytes(data)
    return folder / "a.czi"


_CASES = [
    ("one plane", write, "right"),
    ("a volume", partial(write, planes=3), "right"),
    ("ending .CZI", partial(write, name="A.CZI"), "right"),
    ("8 bits", partial(write, dtype="uint8"), "right"),
    ("float", partial(write, dtype="float32"), "right"),
    ("colour", partial(write, dtype="uint8", samples=3), "refused"),
    ("two scenes", partial(write, scenes=2), "refused"),
    ("the second scene", lambda folder: [write(folder, scenes=2), "--series", "1"], "right"),
    ("a scene that is not there", lambda folder: [write(folder, scenes=2), "--series", "5"], "refused"),
    *((f"truncated to {share:.0%}", partial(_cut, share=share), "refused") for share in (0.05, 0.3, 0.6, 0.95)),
    *((f"bits flipped, {seed}", partial(_flipped, seed=seed), "either") for seed in range(8)),
    ("no byte", partial(_bytes, data=b""), "refused"),
    ("text", partial(_bytes, data=b"ZISRAWFILE" + b"no such thing " * 99), "refused"),
]
CASES = _CASES if find_spec("pylibCZIrw") else []
