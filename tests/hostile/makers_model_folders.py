"""Model folders as they should not be: damaged configurations and weights, claims, links, flipped bytes.

A case is ``(name, make, expected)``; ``make(folder)`` gives the words of a command.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import tifffile

SEED = 20
WEIGHTS = "weights_best.h5"
SAVE = """
import sys
from aeanet_tf.models import AEANet, AEANetConfig, CARENet, CARENetConfig
for name, filters in (("m", 4), ("other", 6)):
    config = AEANetConfig("YX", network={"first_filters": filters, "depth": 2}, train_seed=0)
    model = AEANet(config, name, sys.argv[1])
    model.keras_model.save_weights(str(model.logdir / "weights_best.h5"))
for name, fields in (("care", {}), ("projecting", {"proj_n_depth": 1, "proj_n_filt": 2})):
    config = CARENetConfig("ZYX" if fields else "YX", unet_n_first=4, unet_n_depth=1, unet_kern_size=3, **fields)
    model = CARENet(config, name, sys.argv[1])
    model.write_weights(model.logdir / "weights_best.h5")
"""


@functools.cache
def models():
    """A folder with two small models, made in a process of its own, since TensorFlow cannot be forked once used."""
    folder = Path(tempfile.mkdtemp(prefix="aeanet-models-"))
    path = os.pathsep.join(map(str, sys.path))
    subprocess.run(
        [sys.executable, "-c", SAVE, str(folder)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return folder


def model(folder, name="m"):
    """A copy of a model, and an image for it."""
    shutil.copytree(models() / name, folder / "m")
    pixels = np.random.default_rng(SEED).poisson(80, (24, 20)).astype("uint16")
    tifffile.imwrite(folder / "a.tif", pixels)
    return folder / "m"


_PREDICT = ("predict", "--model", "{m}", "--input", "{f}/a.tif", "--output", "{f}/out")


def words(folder, given=_PREDICT):
    return [word.format(m=folder / "m", f=folder) for word in given]


def config(folder, of="m", **fields):
    """Fields of ``config.json`` changed: ``network__depth=3``."""
    path = model(folder, of) / "config.json"
    data = json.loads(path.read_text())
    for key, value in fields.items():
        *parents, last = key.split("__")
        inner = data
        for parent in parents:
            inner = inner[parent]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
    path.write_text(json.dumps(data))
    return words(folder)


def content(folder, name, data=None, change=None, given=_PREDICT):
    """A file of the folder with other content."""
    path = model(folder) / name
    data = change(path.read_bytes()) if data is None else data
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return words(folder, given)


def weights(folder, spoil):
    """The file of weights changed by ``spoil(file, first)``, whose second argument is the path of the first array."""
    path = model(folder) / WEIGHTS
    with h5py.File(path, "r+") as file:
        found = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        spoil(file, found[0])
    return words(folder)


def _replace(file, name, *arguments, **options):
    del file[name]
    return file.create_dataset(name, *arguments, **options)


def _claim(file, name):
    _replace(file, name, (600_000_000,), "float32", chunks=(10**6,))


def _claim_beside(file, name):
    file.create_dataset("more", (2_000_000_000,), "float32", chunks=(10**6,), compression="gzip")


def _strings(file, name):
    _replace(file, name, data=np.array(["a", "b"], dtype=h5py.string_dtype()))


def _objects(file, name):
    _replace(file, name, (2,), h5py.ref_dtype)


def _double(file, name):
    _replace(file, name, data=file[name][()].astype("float64"))


def _transposed(file, name):
    _replace(file, name, data=np.zeros((7, 3), "float32"))


def _external(file, name):
    del file[name]
    file[name] = h5py.ExternalLink(str(models() / "other" / WEIGHTS), "/" + name)


def _circle(file, name):
    del file[name]
    file[name] = h5py.SoftLink("/" + name)


def _hard_circle(file, name):
    group = name.split("/")[0]
    file[f"{group}/again"] = file[group]


def _root_in_itself(file, name):
    file["again"] = file["/"]


def _elsewhere(file, name):
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, "float32", external=[("/etc/passwd", 0, 10**6)])


def _virtual(file, name):
    shape = file[name].shape
    del file[name]
    layout = h5py.VirtualLayout(shape, "float32")
    layout[...] = h5py.VirtualSource(str(models() / "m" / WEIGHTS), name, shape)
    file.create_virtual_dataset(name, layout)


def _without(file, name):
    del file[name]


def _without_layer(file, name):
    del file[name.split("/")[0]]


def _without_names(file, name):
    del file.attrs["layer_names"]


def _wrong_names(file, name):
    file.attrs["layer_names"] = np.array([b"a", b"b"])


def _numbers_as_names(file, name):
    file.attrs["layer_names"] = np.arange(5)


def _group_for_array(file, name):
    del file[name]
    file.create_group(name)


def _deep(file, name):
    file.create_group("/".join("d" * 300))


def _other(folder):
    model(folder)
    shutil.copy(models() / "other" / WEIGHTS, folder / "m" / WEIGHTS)
    return words(folder)


def _care_with(folder, source):
    model(folder, "care")
    shutil.copy(models() / source / WEIGHTS, folder / "m" / WEIGHTS)
    return words(folder)


def _as_folder(folder, name):
    path = model(folder) / name
    path.unlink(missing_ok=True)
    path.mkdir()
    return words(folder)


def _link(folder, name, target):
    path = model(folder) / name
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return words(folder)


def _pipe(folder, name):
    path = model(folder) / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return words(folder)


def _removed(folder, name):
    (model(folder) / name).unlink()
    return words(folder)


def _flip(data, where, bit):
    return data[:where] + bytes([data[where] ^ 1 << bit]) + data[where + 1 :]


def flipped(folder, number, share):
    """One bit flipped, in the first ``share`` of the file, where the structure is denser."""
    rng = np.random.default_rng(SEED + number)
    return content(
        folder, WEIGHTS, change=lambda data: _flip(data, int(rng.integers(len(data) * share)), int(rng.integers(8)))
    )


def scrambled(folder, number):
    """64 bytes overwritten."""
    rng = np.random.default_rng(SEED + number)

    def change(data):
        start = int(rng.integers(len(data) - 64))
        return data[:start] + rng.bytes(64) + data[start + 64 :]

    return content(folder, WEIGHTS, change=change)


def truncated(folder, part):
    return content(folder, WEIGHTS, change=lambda data: data[: int(len(data) * part)])


def weight_values(folder, value):
    def spoil(file, name):
        file[name][...] = value

    return weights(folder, spoil)


def command(folder, given):
    """Another command than `predict`, with a damaged file of weights."""
    truncated(folder, 0.5)
    return words(folder, given)


def unfinished(folder, state=None, change=None):
    """A training that was stopped, with a damaged state to go on from."""
    from aeanet_tf.runs.config import load_run_config, save_run
    from tests.hostile.makers_configurations import field

    given = field(folder)
    run = load_run_config(folder / "run.json")
    place = folder / "models" / "m"
    (place / "resume").mkdir(parents=True)
    save_run(place, run)
    good = {"epoch": 1, "weights": "state-0001-x.weights.h5", "step": 2, "seeds": [], "callbacks": []}
    state = json.dumps({**good, **(change or {})}) if state is None else state
    (place / "resume" / "state.json").write_bytes(state if isinstance(state, bytes) else state.encode())
    return given


def missing(folder, name):
    return ["predict", "--model", str(folder / name), "--input", str(folder), "--output", str(folder / "out")]


CONFIGURATIONS = [
    ("good", config, "right"),
    ("byte order mark", partial(content, name="config.json", change=lambda b: b"\xef\xbb\xbf" + b), "right"),
    ("no config.json", partial(_removed, name="config.json"), "refused"),
    ("config.json empty", partial(content, name="config.json", data=b""), "refused"),
    ("config.json a folder", partial(_as_folder, name="config.json"), "refused"),
    ("config.json a pipe", partial(_pipe, name="config.json"), "refused"),
    ("config.json a link to itself", partial(_link, name="config.json", target="config.json"), "refused"),
    ("config.json noise", partial(content, name="config.json", data=np.random.default_rng(SEED).bytes(999)), "refused"),
    ("config.json zeros", partial(content, name="config.json", data=bytes(999)), "refused"),
    ("config.json cut", partial(content, name="config.json", change=lambda b: b[: len(b) // 2]), "refused"),
    ("config.json 200,000 deep", partial(content, name="config.json", data=b"[" * 200_000), "refused"),
    ("config.json a list", partial(content, name="config.json", data=b"[1]"), "refused"),
    ("config.json null", partial(content, name="config.json", data=b"null"), "refused"),
    ("no network", partial(config, network=...), "refused"),
    ("network a list", partial(config, network=[1, 2]), "refused"),
    ("network a text", partial(config, network="aeanet-em"), "refused"),
    ("kind a list", partial(config, network__kind=["unet"]), "refused"),
    ("kind missing", partial(config, network__kind=...), "refused"),
    ("kind unknown", partial(config, network__kind="vnet"), "refused"),
    ("kind of slices", partial(config, network__kind="ssan"), "refused"),
    ("softmax at the end", partial(config, network__last_activation="softmax"), "refused"),
    ("unknown key", partial(config, evil=1), "refused"),
    ("unknown key of the network", partial(config, network__evil=1), "refused"),
    ("new parameters allowed", partial(config, allow_new_parameters=True, is_valid=5), "refused"),
    ("method replaced", partial(config, is_valid=1), "refused"),
    ("axes a number", partial(config, axes=5), "refused"),
    ("axes TX", partial(config, axes="TX"), "refused"),
    ("axes of volumes", partial(config, axes="ZYXC"), "refused"),
    ("channels a text", partial(config, n_channel_in="one"), "refused"),
    ("channels null", partial(config, n_channel_in=None), "refused"),
    ("channels 2", partial(config, n_channel_in=2), "refused"),
    ("10^9 channels", partial(config, n_channel_in=10**9, network__in_channels=10**9), "refused"),
    ("probabilistic a text", partial(config, probabilistic="maybe"), "refused"),
    ("preset a list", partial(config, preset=[]), "refused"),
    ("20,000 filters", partial(config, network__first_filters=20_000), "refused"),
    ("2,000 filters", partial(config, network__first_filters=2000), "refused"),
    ("depth 60", partial(config, network__depth=60), "refused"),
    ("depth a text", partial(config, network__depth="two"), "refused"),
    ("10^7 blocks", partial(config, network__encoding_blocks=[10**7, 0]), "refused"),
    ("60 blocks", partial(config, network__encoding_blocks=[60, 0]), "refused"),
    ("input_size huge", partial(config, network__input_size=[2**30, 2**30]), "refused"),
    ("misspelt initialiser", partial(config, network__kernel_initializer="glorot"), "refused"),
    ("batch a text", partial(config, train_batch_size="16"), "either"),
    ("10^9 devices", partial(config, train_devices=10**9), "refused"),
    ("checkpoint outside", partial(config, train_checkpoint="../../evil.h5"), "refused"),
    ("temporary checkpoint outside", partial(config, train_checkpoint_epoch="/tmp/evil"), "refused"),
    ("monitor 5", partial(config, train_reduce_lr={"monitor": 5}), "refused"),
]

care = partial(config, of="care")
OF_CSBDEEP = [
    ("a model of CARE", care, "right"),
    ("CARE: fields of a projection", partial(config, of="projecting", proj_axis="X"), "refused"),
    ("CARE: projection beyond the depth", partial(config, of="projecting", proj_n_depth=2**70), "refused"),
    ("CARE: pools a text", partial(config, of="projecting", proj_pool="122"), "refused"),
    ("CARE: pools of 0", partial(config, of="projecting", proj_pool=[1, 0, 2]), "refused"),
    ("CARE: kernels a number", partial(config, of="projecting", proj_kern=3), "refused"),
    ("CARE: projection of an image", partial(care, proj_n_depth=1), "refused"),
    ("CARE: depth missing", partial(care, unet_n_depth=...), "refused"),
    ("CARE: depth 60", partial(care, unet_n_depth=60), "refused"),
    ("CARE: depth a list", partial(care, unet_n_depth=[2]), "refused"),
    ("CARE: 2^30 filters", partial(care, unet_n_first=2**30), "refused"),
    ("CARE: 5,000 filters", partial(care, unet_n_first=5000), "refused"),
    ("CARE: kernel of 10^9", partial(care, unet_kern_size=10**9), "refused"),
    ("CARE: kernel of 4", partial(care, unet_kern_size=4), "refused"),
    ("CARE: kernel null", partial(care, unet_kern_size=None), "refused"),
    ("CARE: residual a text", partial(care, unet_residual="no"), "refused"),
    ("CARE: activation a number", partial(care, unet_last_activation=1), "refused"),
    ("CARE: probabilistic", partial(care, probabilistic=True), "refused"),
    ("CARE: axes a list", partial(care, axes=["Y", "X"]), "refused"),
    ("CARE: axes null", partial(care, axes=None), "refused"),
    ("CARE: channels a text", partial(care, n_channel_in="one"), "refused"),
    ("CARE: method replaced", partial(care, is_valid=1), "refused"),
    ("CARE: new parameters allowed", partial(care, allow_new_parameters=True, evil=1), "refused"),
    ("CARE: another network that extends it", partial(care, n2v_patch_shape=[64, 64]), "refused"),
    ("CARE: weights of ours", partial(_care_with, source="m"), "refused"),
    ("CARE: weights of a projection", partial(_care_with, source="projecting"), "refused"),
]

FILES = [
    ("no weights", partial(_removed, name=WEIGHTS), "refused"),
    ("weights a folder", partial(_as_folder, name=WEIGHTS), "refused"),
    ("weights a pipe", partial(_pipe, name=WEIGHTS), "refused"),
    ("weights a link to nothing", partial(_link, name=WEIGHTS, target="nowhere"), "refused"),
    ("weights a link to themselves", partial(_link, name=WEIGHTS, target=WEIGHTS), "refused"),
    ("weights a link to endless zeros", partial(_link, name=WEIGHTS, target="/dev/zero"), "refused"),
    ("weights empty", partial(content, name=WEIGHTS, data=b""), "refused"),
    ("weights text", partial(content, name=WEIGHTS, data=b"weights"), "refused"),
    ("weights noise", partial(content, name=WEIGHTS, data=np.random.default_rng(SEED).bytes(9999)), "refused"),
    ("weights of another network", _other, "refused"),
    ("weights of Keras that are none", partial(content, name="weights_best_2.weights.h5", data=b"PK"), "either"),
    ("an array missing", partial(weights, spoil=_without), "refused"),
    ("a layer missing", partial(weights, spoil=_without_layer), "refused"),
    ("no names of layers", partial(weights, spoil=_without_names), "refused"),
    ("names of other layers", partial(weights, spoil=_wrong_names), "refused"),
    ("numbers as names", partial(weights, spoil=_numbers_as_names), "refused"),
    ("a group for an array", partial(weights, spoil=_group_for_array), "refused"),
    ("an array of another shape", partial(weights, spoil=_transposed), "refused"),
    ("an array that claims 2.4 GB", partial(weights, spoil=_claim), "refused"),
    ("an array beside that claims 8 GB", partial(weights, spoil=_claim_beside), "refused"),
    ("texts for weights", partial(weights, spoil=_strings), "refused"),
    ("references for weights", partial(weights, spoil=_objects), "refused"),
    ("weights of 64 bits", partial(weights, spoil=_double), "right"),
    ("a link to another file", partial(weights, spoil=_external), "refused"),
    ("a link in a circle", partial(weights, spoil=_circle), "refused"),
    ("a group in itself", partial(weights, spoil=_hard_circle), "refused"),
    ("the root in itself", partial(weights, spoil=_root_in_itself), "refused"),
    ("an array stored in /etc/passwd", partial(weights, spoil=_elsewhere), "refused"),
    ("a virtual array", partial(weights, spoil=_virtual), "refused"),
    ("300 groups deep", partial(weights, spoil=_deep), "refused"),
    ("weights NaN", partial(weight_values, value=np.nan), "either"),
    ("weights infinite", partial(weight_values, value=np.inf), "either"),
    ("weights 1e38", partial(weight_values, value=1e38), "either"),
    *((f"cut at {part:.0%}", partial(truncated, part=part), "refused") for part in (0.001, 0.02, 0.1, 0.5, 0.9, 0.999)),
    *((f"bit {n} flipped", partial(flipped, number=n, share=1), "either") for n in range(8)),
    *((f"bit {n} flipped at the beginning", partial(flipped, number=n, share=0.1), "either") for n in range(8, 20)),
    *((f"bytes {n} overwritten", partial(scrambled, number=n), "either") for n in range(20, 26)),
]

NORMALISATION = [
    (f"{file} {what}", partial(content, name=file, data=data), expected)
    for file in ("run.json", "normalization.json")
    for what, data, expected in (
        ("noise", np.random.default_rng(SEED).bytes(99), "refused"),
        ("Latin-1", '{"kind": "Größe"}'.encode("latin-1"), "refused"),
        ("empty", b"", "refused"),
        ("a list", b"[1]", "refused"),
        ("200,000 deep", b"[" * 200_000, "refused"),
    )
]
NORMALISATION += [
    ("run.json with data a list", partial(content, name="run.json", data=b'{"data": [1]}'), "refused"),
    (
        "run.json with normalization a list",
        partial(content, name="run.json", data=b'{"data": {"normalization": [1]}}'),
        "refused",
    ),
    (
        "run.json with unknown normalization",
        partial(content, name="run.json", data=b'{"data": {"normalization": {"kind": "z"}}}'),
        "refused",
    ),
    (
        "run.json with a byte order mark",
        partial(content, name="run.json", data=b'\xef\xbb\xbf{"data": {"kind": "npz"}}'),
        "right",
    ),
    ("run.json a folder", partial(_as_folder, name="run.json"), "refused"),
    ("normalization.json a pipe", partial(_pipe, name="normalization.json"), "refused"),
    ("normalization.json a folder", partial(_as_folder, name="normalization.json"), "refused"),
    (
        "normalization.json unknown key",
        partial(content, name="normalization.json", data=b'{"kind": "range", "x": 1}'),
        "refused",
    ),
    (
        "normalization.json NaN",
        partial(content, name="normalization.json", data=b'{"kind": "range", "low": NaN, "high": 1}'),
        "refused",
    ),
    (
        "normalization.json upside down",
        partial(content, name="normalization.json", data=b'{"low": 99, "high": 1}'),
        "refused",
    ),
    (
        "normalization.json 1e999",
        partial(content, name="normalization.json", data=b'{"kind": "range", "low": 0, "high": 1e999}'),
        "refused",
    ),
]

_MODEL, _IMAGE, _OUT = ("--model", "{m}"), ("--input", "{f}/a.tif"), ("--output", "{f}/out")
COMMANDS = [
    ("no such folder", partial(missing, name="nowhere"), "refused"),
    ("folder with NUL", partial(missing, name="a\0b"), "refused"),
    ("folder of 300 letters", partial(missing, name="m" * 300), "refused"),
    *(
        (f"{given[0]} with cut weights", partial(command, given=given), "refused")
        for given in (
            ("export", *_MODEL, "--format", "keras", "--output", "{f}/out/m.keras"),
            ("explain", *_MODEL, *_IMAGE, *_OUT),
            ("predict", *_MODEL, "{m}", *_IMAGE, *_OUT),
            ("train", "--config", "quickstart", "--set", "training.initial_weights={m}", "--set", "data.kind=sample"),
        )
    ),
    (
        "evaluate with filters that are none",
        partial(
            content,
            name="filters.json",
            data=b"[1]",
            given=(
                "evaluate",
                "--prediction",
                "{f}/a.tif",
                "--gt",
                "{f}/a.tif",
                *_IMAGE,
                "--protocol",
                "care",
                "--baselines",
                "{m}",
            ),
        ),
        "refused",
    ),
]

UNFINISHED = [
    ("state that is noise", partial(unfinished, state=np.random.default_rng(SEED).bytes(99)), "refused"),
    ("state a list", partial(unfinished, state="[]"), "refused"),
    ("state without fields", partial(unfinished, state="{}"), "refused"),
    ("state of 5,000 digits", partial(unfinished, state='{"epoch": ' + "1" * 5000 + "}"), "refused"),
    ("state with an epoch as text", partial(unfinished, change={"epoch": "one"}), "refused"),
    ("state with weights outside", partial(unfinished, change={"weights": "../../../w.h5"}), "refused"),
    ("state with weights that are not there", partial(unfinished), "refused"),
    ("state with callbacks a number", partial(unfinished, change={"callbacks": 5}), "refused"),
    (
        "state with values for other attributes",
        partial(unfinished, change={"callbacks": [{"class": "BestWeights", "values": {"path": "/tmp/x"}}]}),
        "refused",
    ),
]

CASES = [*CONFIGURATIONS, *OF_CSBDEEP, *FILES, *NORMALISATION, *COMMANDS, *UNFINISHED]
