"""Run configurations and ``--set`` as they come and as they should not: texts, types, sizes, names.

A case is ``(name, make, expected)``; ``make(folder)`` gives the words of a command.
"""

import json
import os
from functools import partial

import numpy as np

PATCH = 16


def data(folder):
    """Patches to train on, and a configuration that trains on them for two steps."""
    x = np.random.default_rng(0).random((8, 1, PATCH, PATCH)).astype("float32")
    np.savez(folder / "p.npz", X=x, Y=x, axes="SCYX")
    return {
        "model": {"name": "m", "basedir": str(folder / "models"), "network": {"first_filters": 4, "depth": 2}},
        "data": {"kind": "npz", "root": str(folder), "npz": "p.npz", "validation_split": 0.25},
        "training": {"steps": 2, "steps_per_epoch": 2, "batch_size": 2},
    }


def words(folder, *more):
    return ["train", "--config", str(folder / "run.json"), *more]


def text(folder, content=None, change=None):
    """A configuration written as a text or as bytes; ``change`` is made to that of a good one."""
    content = change(json.dumps(data(folder))) if content is None else content
    content = content() if callable(content) else content
    (folder / "run.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    return words(folder)


def field(folder, **fields):
    """A good configuration with fields changed: ``section__key=value``."""
    config = data(folder)
    for key, value in fields.items():
        *parents, last = key.split("__")
        inner = config
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    # As Python writes them, NaN and Infinity included.
    (folder / "run.json").write_text(json.dumps(config))
    return words(folder)


def override(folder, given):
    """A good configuration, changed by ``--set``."""
    field(folder)
    return words(folder, "--set", given)


def _folder(folder):
    (folder / "run.json").mkdir()
    return words(folder)


def _missing(folder):
    return words(folder)


def _loop(folder):
    (folder / "run.json").symlink_to("run.json")
    return words(folder)


def _pipe(folder):
    os.mkfifo(folder / "run.json")
    return words(folder)


def _huge(folder):
    with open(folder / "run.json", "wb") as file:
        file.truncate(2**31)
    return words(folder)


def _named(folder, name):
    field(folder)
    return ["train", "--config", name]


def _show(folder):
    text(folder, "[" * 100_000)
    return ["configs", "--show", str(folder / "run.json")]


TEXTS = [
    ("good", partial(field), "right"),
    ("byte order mark", partial(text, change=lambda s: b"\xef\xbb\xbf" + s.encode()), "right"),
    ("UTF-16", partial(text, change=lambda s: s.encode("utf-16")), "right"),
    ("UTF-16, cut", partial(text, change=lambda s: s.encode("utf-16")[:-1]), "refused"),
    ("Latin-1", partial(text, change=lambda s: s.replace('"m"', '"Größe"').encode("latin-1")), "refused"),
    ("lines of Windows", partial(text, change=lambda s: s.replace(",", ",\r\n")), "right"),
    ("empty", partial(text, content=""), "refused"),
    ("white", partial(text, content=" \n\n"), "refused"),
    ("zeros", partial(text, content=bytes(4096)), "refused"),
    ("noise", partial(text, content=lambda: np.random.default_rng(0).bytes(4096)), "refused"),
    ("cut", partial(text, change=lambda s: s[: len(s) // 2]), "refused"),
    ("comma at the end", partial(text, change=lambda s: s[:-1] + ",}"), "refused"),
    ("comment", partial(text, change=lambda s: "// mine\n" + s), "refused"),
    ("Python", partial(text, change=lambda s: s.replace('"', "'")), "refused"),
    ("two documents", partial(text, change=lambda s: s + s), "refused"),
    ("a list", partial(text, content="[]"), "refused"),
    ("a number", partial(text, content="5"), "refused"),
    ("null", partial(text, content="null"), "refused"),
    ("an empty object", partial(text, content="{}"), "refused"),
    ("lists 200,000 deep", partial(text, content="[" * 200_000), "refused"),
    ("lists 200,000 deep, closed", partial(text, content="[" * 200_000 + "]" * 200_000), "refused"),
    ("objects 200,000 deep", partial(text, content='{"a":' * 200_000 + "1" + "}" * 200_000), "refused"),
    (
        "network 500 deep",
        partial(text, change=lambda s: s.replace("4,", '{"a":' * 500 + "1" + "}" * 500 + ",")),
        "refused",
    ),
    (
        "integer of 5,000 digits",
        partial(text, change=lambda s: s.replace('"batch_size": 2', '"batch_size": ' + "9" * 5000)),
        "refused",
    ),
    ("integer of 10^6 digits", partial(text, content="9" * 10**6), "refused"),
    ("number of 5,000 decimals", partial(text, change=lambda s: s.replace("0.25", "0.25" + "0" * 5000)), "either"),
    ("key twice", partial(text, change=lambda s: s.replace('"steps": 2', '"steps": 2, "steps": 3')), "refused"),
    ("section twice", partial(text, change=lambda s: s[:-1] + ', "model": {"name": "n"}}'), "refused"),
    ("half a surrogate", partial(text, change=lambda s: s.replace('"m"', r'"\ud800"')), "refused"),
    ("surrogates in the wrong order", partial(text, change=lambda s: s.replace('"m"', r'"\udc00\ud800"')), "refused"),
    ("emoji as surrogates", partial(text, change=lambda s: s.replace('"m"', r'"\ud83d\ude00"')), "right"),
    ("unknown escape", partial(text, change=lambda s: s.replace('"m"', r'"\x41"')), "refused"),
    ("20 MB of lists", partial(text, content=lambda: "[" + "[]," * 7 * 10**6 + "[]]"), "refused"),
    ("100,000 unknown keys", partial(text, content=lambda: json.dumps({f"k{i}": i for i in range(10**5)})), "refused"),
    ("a key of 10^6 letters", partial(text, content=lambda: json.dumps({"k" * 10**6: 1})), "refused"),
    ("2 GB of zeros", _huge, "refused"),
    ("a folder", _folder, "refused"),
    ("missing", _missing, "refused"),
    ("a pipe", _pipe, "refused"),
    ("endless zeros", partial(_named, name="/dev/zero"), "refused"),
    ("a link to itself", _loop, "refused"),
    ("a name of 300 letters", partial(_named, name="c" * 300), "refused"),
    ("a name with NUL", partial(_named, name="run\0.json"), "refused"),
    ("an empty name", partial(_named, name=""), "refused"),
    ("shown although it is none", _show, "refused"),
]

NETWORKS = [
    ("misspelt initialiser", partial(field, model__network__kernel_initializer="glorot_unifrom"), "refused"),
    ("initialiser of another rank", partial(field, model__network__kernel_initializer="identity"), "refused"),
    (
        "initialiser as an object",
        partial(field, model__network__kernel_initializer={"class_name": "Lambda"}),
        "refused",
    ),
    ("initialiser of Keras by class", partial(field, model__network__kernel_initializer="HeNormal"), "right"),
    ("kind a list", partial(field, model__network__kind=["unet"]), "refused"),
    ("kind of another network", partial(field, model__network__kind="ssan"), "refused"),
    ("unknown key", partial(field, model__network__filters=4), "refused"),
    ("unknown key in attention", partial(field, model__network__attention={"heads": 2}), "refused"),
    ("20,000 first filters", partial(field, model__network__first_filters=20_000), "refused"),
    ("10^12 first filters", partial(field, model__network__first_filters=10**12), "refused"),
    ("first filters 0", partial(field, model__network__first_filters=0), "refused"),
    ("first filters 4.5", partial(field, model__network__first_filters=4.5), "refused"),
    ("first filters NaN", partial(field, model__network__first_filters=float("nan")), "refused"),
    ("3 first filters, 2 heads", partial(field, model__network__first_filters=3), "either"),
    ("depth 60", partial(field, model__network__depth=60), "refused"),
    ("depth 10^9", partial(field, model__network__depth=10**9), "refused"),
    ("depth -1", partial(field, model__network__depth=-1), "refused"),
    ("depth true", partial(field, model__network__depth=True), "refused"),
    ("depth a list", partial(field, model__network__depth=[2]), "refused"),
    ("10^7 blocks", partial(field, model__network__encoding_blocks=[10**7, 0]), "refused"),
    ("10^5 entries of blocks", partial(field, model__network__encoding_blocks=[1] * 10**5), "refused"),
    ("blocks a number", partial(field, model__network__encoding_blocks=1), "refused"),
    ("input_size huge", partial(field, model__network__input_size=[10**9, 10**9]), "refused"),
    ("input_size of another patch", partial(field, model__network__input_size=[32, 32]), "refused"),
    (
        "learned query of 10^10 positions",
        partial(field, model__network__input_size=[10**5, 10**5], model__network__attention={"query": "learned"}),
        "refused",
    ),
    ("10^9 references", partial(field, model__network__attention={"shared_references": 10**9}), "refused"),
    ("references true", partial(field, model__network__attention={"shared_references": "many"}), "refused"),
    ("10^9 heads", partial(field, model__network__attention={"num_heads": 10**9}), "refused"),
    ("epsilon infinite", partial(field, model__network__epsilon=float("inf")), "refused"),
    ("network a list", partial(field, model__network=[1]), "refused"),
    ("network a text", partial(field, model__network="big"), "refused"),
    ("preset unknown", partial(field, model__preset="aeanet-me"), "refused"),
    ("preset a list", partial(field, model__preset=[]), "refused"),
    ("preset of slices", partial(field, model__preset="ssan"), "refused"),
    ("preset of projections in 2D", partial(field, model__preset="aeanet-flywing"), "refused"),
    ("10^9 channels", partial(field, model__n_channel_in=10**9), "refused"),
    ("channels that the data lack", partial(field, model__n_channel_in=3), "refused"),
    ("axes TX", partial(field, model__axes="TX"), "refused"),
    ("axes XX", partial(field, model__axes="XX"), "refused"),
    ("axes of 10^6 letters", partial(field, model__axes="X" * 10**6), "refused"),
    ("axes a number", partial(field, model__axes=5), "refused"),
    ("axes ZYX for images", partial(field, model__axes="ZYX"), "refused"),
    ("labels without classes", partial(field, model__labels=[0, 1]), "refused"),
]

SECTIONS = [
    ("name ../evil", partial(field, model__name="../evil"), "refused"),
    ("name absolute", partial(field, model__name="/tmp/aeanet-evil"), "refused"),
    ("name a/../../evil", partial(field, model__name="a/../../evil"), "refused"),
    ("name .", partial(field, model__name="."), "refused"),
    ("name empty", partial(field, model__name=""), "refused"),
    ("name with NUL", partial(field, model__name="a\0b"), "refused"),
    ("name of 300 letters", partial(field, model__name="n" * 300), "refused"),
    ("name a number", partial(field, model__name=2024), "refused"),
    ("name a list", partial(field, model__name=["m"]), "refused"),
    ("basedir of 300 letters", partial(field, model__basedir="b" * 300), "refused"),
    ("basedir a file", lambda folder: field(folder, model__basedir=str(folder / "p.npz")), "refused"),
    ("root missing", partial(field, data__root="nowhere"), "refused"),
    ("root with NUL", partial(field, data__root="a\0b"), "refused"),
    ("root ~nosuchuser", partial(field, data__root="~nosuchuser/data"), "refused"),
    ("npz outside", partial(field, data__npz="../../../etc/passwd"), "refused"),
    ("npz a pattern of nothing", partial(field, data__npz="[z]*.npz"), "refused"),
    ("download unknown", partial(field, data__download="nothing", data__root="nowhere"), "refused"),
    ("another kind a list", partial(field, data__kind=["npz"]), "refused"),
    ("kind unknown", partial(field, data__kind="hdf5"), "refused"),
    ("field of another kind", partial(field, data__stack="s.tif"), "refused"),
    ("validation_split 0", partial(field, data__validation_split=0), "refused"),
    ("validation_split a text", partial(field, data__validation_split="half"), "refused"),
    ("batch of 10^30", partial(field, training__batch_size=10**30), "refused"),
    ("batch of 0", partial(field, training__batch_size=0), "refused"),
    ("batch a text", partial(field, training__batch_size="two"), "refused"),
    ("10^9 devices", partial(field, training__devices=10**9), "refused"),
    ("devices nested", partial(field, training__devices=[["GPU:0"]]), "refused"),
    ("CPU 10^9", partial(field, training__devices=["CPU:999999999"]), "refused"),
    ("CPU of 5,000 digits", partial(field, training__devices=["CPU:" + "9" * 5000]), "refused"),
    ("devices that are not there", partial(field, training__devices=["GPU:97", "GPU:98"]), "refused"),
    ("monitor 5", partial(field, training__reduce_learning_rate={"monitor": 5}), "refused"),
    ("plateau of unknown arguments", partial(field, training__reduce_learning_rate={"patence": 5}), "refused"),
    ("plateau a number", partial(field, training__reduce_learning_rate=5), "refused"),
    ("patience a text", partial(field, training__reduce_learning_rate={"patience": "long"}), "refused"),
    ("plateau", partial(field, training__reduce_learning_rate={"patience": 3, "factor": 0.1}), "right"),
    ("learning rate NaN", partial(field, training__learning_rate=float("nan")), "refused"),
    ("learning rate 1e300", partial(field, training__learning_rate=1e300), "refused"),
    ("learning rate -1", partial(field, training__learning_rate=-1), "refused"),
    ("steps -5", partial(field, training__steps=-5), "refused"),
    ("steps 1e99", partial(field, training__steps=1e99), "refused"),
    ("epochs 1e300", partial(field, training__epochs=1e300), "refused"),
    ("epochs and steps", partial(field, training__epochs=1, training__steps=1), "refused"),
    ("seed 2^64", partial(field, training__seed=2**64), "refused"),
    ("loss unknown", partial(field, training__loss="ssim"), "refused"),
    ("loss of slices", partial(field, training__loss="style"), "refused"),
    ("patch of 10^10", partial(field, training__patch_size=[10**10, 16]), "refused"),
    ("patch of 2^30", partial(field, training__patch_size=[2**30, 2**30]), "refused"),
    ("patch of three axes", partial(field, training__patch_size=[8, 8, 8]), "refused"),
    ("precision unknown", partial(field, training__precision="float8"), "refused"),
    ("weights from nowhere", partial(field, training__initial_weights="nowhere"), "refused"),
    ("weights from a name with NUL", partial(field, training__initial_weights="a\0"), "refused"),
    ("model a list", partial(field, model=[]), "refused"),
    ("data a text", partial(field, data="folders"), "refused"),
    ("training null", partial(field, training=None), "refused"),
    ("unknown section", partial(field, modell={}), "refused"),
    ("description a list", partial(field, description=[]), "refused"),
]

OVERRIDES = [
    ("--set a number for a name", partial(override, given="model.name=2024"), "right"),
    ("--set true for a name", partial(override, given="model.name=true"), "right"),
    ("--set null for a name", partial(override, given="model.name=null"), "refused"),
    ("--set a quoted name", partial(override, given='model.name="null"'), "right"),
    ("--set ../evil", partial(override, given="model.name=../evil"), "refused"),
    ("--set without =", partial(override, given="training.steps"), "refused"),
    ("--set without a key", partial(override, given="=5"), "refused"),
    ("--set an empty value", partial(override, given="training.steps="), "refused"),
    ("--set unknown key", partial(override, given="training.step=5"), "refused"),
    ("--set through a value", partial(override, given="training.steps.of=5"), "refused"),
    ("--set dots", partial(override, given="...=5"), "refused"),
    ("--set 10,000 dots", partial(override, given="a." * 10_000 + "b=5"), "refused"),
    ("--set lists 200,000 deep", partial(override, given="model.network=" + "[" * 60_000), "refused"),
    ("--set objects 30,000 deep", partial(override, given="model.network=" + '{"a":' * 30_000), "refused"),
    ("--set 5,000 digits", partial(override, given="training.steps=" + "9" * 5000), "refused"),
    ("--set NaN", partial(override, given="training.learning_rate=NaN"), "refused"),
    ("--set -Infinity", partial(override, given="training.learning_rate=-Infinity"), "refused"),
    ("--set a key twice", partial(override, given='training={"steps": 1, "steps": 2}'), "refused"),
    ("--set a section", partial(override, given='training={"steps": 2, "batch_size": 2}'), "right"),
    ("--set cut JSON", partial(override, given='training={"steps": 2'), "refused"),
    ("--set 20,000 filters", partial(override, given="model.network.first_filters=20000"), "refused"),
    ("--set a line", partial(override, given="model.network.kind=a\nb\rc"), "refused"),
    ("--set 100,000 letters", partial(override, given="model.preset=" + "p" * 100_000), "refused"),
    ("--set bytes that are no UTF-8", partial(override, given="model.axes=\udcff"), "refused"),
    ("--set a terminal's commands", partial(override, given="model.axes=\x1b[2J"), "refused"),
]

CASES = [*TEXTS, *NETWORKS, *SECTIONS, *OVERRIDES]
