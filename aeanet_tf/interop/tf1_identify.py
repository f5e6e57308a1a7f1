"""Which network a checkpoint of the original programs belongs to, told from the names and shapes of its variables."""

import re
from collections import Counter

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.files import apply_override
from aeanet_tf.networks import as_spec, presets

HIDDEN = (
    "attention.num_heads",
    "attention.normalization",
    "attention.batch_aware",
    "activation",
    "output_offset",
    "last_activation",
    "momentum",
    "epsilon",
)
"""Fields of a spec that no variable shows."""

_VARIES = {"dimension", "in_channels", "out_channels", "probabilistic", "shared_references", "residual"}
_VARIES |= {"key_filters", "value_filters"}
# Operators that change resolution by the first part of the names below them; GVTOs apart.
_DOWN = {"convolution": "convolution", "convolution_1": "residual", "convolution_2": "residual"}
_UP = {"transposed_convolution": "transposed_convolution"}


def identify(variables, preset=None, overrides=()):
    """The network of a checkpoint.

    Names and shapes show the dimension, channels, depth, filters, blocks, the operator of each down- and up-sampling
    and its residual path (GVTO v1 or v2), channels of keys and values, skip connections, batch normalisation, output
    layers, shared references and whether a scale is predicted. A single missing or misshapen variable does not change
    what is read from the others, but a GVTO without shortcut of its own is one of v2.

    They cannot show the number of heads, the normalisation of the attention, batch-aware training, the activation, the
    output offset, the last activation, nor momentum and epsilon of batch normalisation. These are those of the
    published network (preset) that agrees in most of the fields that can be seen: an ``aeanet-`` one where there are
    references or the output layer has the name of AEANet's program (``batch_normalization``), else a ``gvtnet-`` one,
    or a ``unet-`` one where nothing attends. Hence 2 heads, but 1 for label-free; the offset of the care and flywing
    networks where input and output have the same number of channels; length of the key in AEANet, of the query
    in GVTNet. Batch-aware training is off in 3D (AEANet paper, section VI-B).

    Args:
        variables: dict from original name to array, without the optimiser's.
        preset: name of the network; it then decides everything but the dimension, channels, the number of its
            references, channels of keys and values, whether a scale is predicted, and down- and up-sampling by GVTOs,
            v1 or v2.
        overrides: strings ``field=value`` applied last, such as ``attention.num_heads=1`` or
            ``restoration.output_offset=false``; the value is JSON, or a string if it is no JSON.

    Returns:
        ``(preset name, spec)``. Whether every variable fits the spec is another question, see
        `aeanet_tf.interop.tf1_checkpoint.match_variables`.

    Raises:
        InputError: variables of no network of these programs, an unknown preset, or fields that contradict each other.
    """
    shapes = {name: np.shape(value) for name, value in variables.items()}
    projected = {n.removeprefix("projection/"): s for n, s in shapes.items() if n.startswith("projection/")}
    unet = {n: s for n, s in shapes.items() if not n.startswith("projection/")}
    if not any(re.match(r"(first_convolution|encoding_block_\d+)/", n) for n in unet):
        some = ", ".join(sorted(unet)[:3]) or "nothing"
        raise InputError(f"checkpoint: no variables of a network of AEANet or GVTNet, found {some}")
    fields = _unet_fields(unet)
    if projected:
        inner = {**fields, "dimension": 2}
        fields = {**_projection_fields(projected), "restoration": inner}
        fields["in_channels"] = inner["in_channels"] = fields.pop("in_channels", inner["in_channels"])
    published = preset or _nearest(fields, shapes)
    data = _applied(as_spec(published), fields, everything=preset is None)
    for override in overrides:
        apply_override(data, override)
    return published, as_spec(data)


def differences(spec, reference, hidden=True):
    """Fields in which two specs differ: dict from dotted name to ``(value, reference's value)``.

    Args:
        spec, reference: the specs; of different kinds (one projects, the other does not) they differ in ``kind`` only.
            Fields without effect in both, such as the kernel of transposed convolutions where there are none, are
            left out.
        hidden: whether fields that no variable shows count.
    """
    if spec.kind != reference.kind:
        return {"kind": (spec.kind, reference.kind)}
    own, theirs = flat(spec.model_dump()), flat(reference.model_dump())
    unused = _without_effect(spec) & _without_effect(reference)
    return {
        key: (value, theirs[key])
        for key, value in own.items()
        if value != theirs[key] and key not in unused and (hidden or not is_hidden(key))
    }


def hidden_fields(spec):
    """Fields that no variable shows and that have an effect in this network: dict from dotted name to value."""
    unused = _without_effect(spec)
    return {key: value for key, value in flat(spec.model_dump()).items() if is_hidden(key) and key not in unused}


def _without_effect(spec, prefix=""):
    if spec.kind == "projection":
        idle = {f"attention.{key}" for key in spec.attention.model_dump()} if spec.operators == "residual" else set()
        return idle | _without_effect(spec.restoration, "restoration.")
    fields = set() if "transposed_convolution" in spec.upsamplings else {"upsampling_kernel"}
    fields |= set() if spec.batch_norm else {"momentum", "epsilon"}
    fields |= set() if spec.n_attention else {f"attention.{key}" for key in spec.attention.model_dump()}
    return {prefix + field for field in fields}


def flat(fields, prefix=""):
    """Nested fields as one dict with dotted names."""
    dotted = {}
    for key, value in fields.items():
        dotted.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return dotted


def is_hidden(field):
    """Whether no variable shows the field of this dotted name."""
    return field.removeprefix("restoration.") in HIDDEN


def _applied(spec, fields, everything):
    """The dump of a published spec with the fields of the checkpoint: all of them, or those that may vary."""
    data = spec.model_dump()
    if spec.kind == "projection":
        if "restoration" not in fields:
            fields = {"restoration": {**fields, "dimension": 2}, "in_channels": fields["in_channels"]}
        inner = _applied(spec.restoration, fields["restoration"], everything)
        data["restoration"], fields = inner, {k: v for k, v in fields.items() if k != "restoration"}
    elif "restoration" in fields:
        fields = fields["restoration"]
    attends = spec.n_attention > 0
    for key, value in flat(fields).items():
        *parents, last = key.split(".")
        may = everything or last in _VARIES or (attends and last.endswith("sampling") and _is_attention(value))
        if last == "shared_references":
            # No references where the network has some are a missing variable, and the reverse an extra one.
            may = value and (everything or data["attention"][last])
        if may:
            (data["attention"] if parents else data)[last] = value
    if data.get("output_offset") and data["in_channels"] != data["out_channels"]:
        data["output_offset"] = False
    if everything and data["dimension"] == 3:
        data["attention"]["batch_aware"] = False
    return data


def _is_attention(operators):
    """Whether a GVTO is among the operators of a field: one name for all, or a tuple."""
    return any(kind.startswith("attention") for kind in ((operators,) if isinstance(operators, str) else operators))


def _nearest(fields, shapes):
    """Name of the published network that agrees with most fields."""
    attends = any("/attention/" in name for name in shapes)
    aeanet = any(name.endswith("/nl_library") or name.startswith("batch_normalization/") for name in shapes)
    family = "unet-" if not attends else "aeanet-" if aeanet else "gvtnet-"
    if "restoration" in fields:
        return f"{family}flywing"
    seen = {key: value for key, value in flat(fields).items() if key.rpartition(".")[2] not in _VARIES}

    def agreement(name):
        other = flat(presets[name].model_dump())
        return sum(other[key] == value for key, value in seen.items())

    # The networks for segmentation are of another program.
    names = (n for n in presets if n.startswith(family) and presets[n].kind == "unet" and not n.endswith("-mri"))
    return max(names, key=agreement)


def _unet_fields(shapes):
    """Fields of a `UNetSpec` that show; a field whose variable is missing is left out, so that its absence shows."""
    kernels = {n: s for n, s in shapes.items() if n.endswith("/kernel")}
    dimension = 3 if _vote(len(s) for s in kernels.values()) == 5 else 2
    kernels = {n: s for n, s in kernels.items() if len(s) == dimension + 2}
    depth = max(2, _count(shapes, r"encoding_block_(\d+)/") - 1, _count(shapes, r"decoding_block_(\d+)/"))
    filters = _first_filters(kernels)
    out = next((n for n in ("out_conv", "output_convolution") if f"{n}/kernel" in kernels), "")
    output = kernels.get(f"{out}/kernel", kernels.get("out_sigma_conv/kernel"))
    references = _vote(s[1] for n, s in shapes.items() if n.endswith("/nl_library") and len(s) == 3)
    normalised = sum(bool(re.search(r"(^|/)batch_norm\w*/", n)) for n in shapes)
    fields = {
        "dimension": dimension,
        "in_channels": kernels.get("first_convolution/kernel", (1, 1))[-2] or 1,
        "out_channels": output[-1] if output else 1,
        "depth": depth,
        "first_filters": filters,
        "encoding_blocks": tuple(_count(shapes, rf"encoding_block_{i}/res_(\d+)/") for i in range(1, depth + 1)),
        "decoding_blocks": tuple(_count(shapes, rf"decoding_block_{i}/res_(\d+)/") for i in range(depth - 1, 0, -1)),
        **_resampling(shapes, depth),
        "upsampling_kernel": _vote(s[0] for n, s in kernels.items() if "/transposed_convolution/" in n),
        "bottom": _bottom(shapes),
        "skip": _skip(kernels, depth, filters),
        # By majority: one variable too many or too few is to be named, not to make another network.
        "batch_norm": 2 * normalised > len(kernels),
        "probabilistic": "out_sigma_conv/kernel" in shapes,
        "attention": {"shared_references": references or 0, **_versions(shapes), **_widths(shapes)},
    }
    if out and kernels[f"{out}/kernel"][0] in (1, 3, 5):
        fields["output_kernel"] = kernels[f"{out}/kernel"][0]
        # The published networks have a bias where the kernel is 3; without it the variable is missing.
        fields["output_bias"] = f"{out}/bias" in shapes or fields["output_kernel"] > 1
    return {key: value for key, value in fields.items() if value is not None}


def _projection_fields(shapes):
    """Fields of a `ProjectionSpec` that show; names without ``projection/``."""
    filters = _vote(s[0] for n, s in shapes.items() if re.fullmatch(r"Conv_(down|up|bottom)_\d+/bias", n) and s)
    first = shapes.get("Conv_down_0/kernel", ())
    references = _vote(s[1] for n, s in shapes.items() if n.endswith("/nl_library") and len(s) == 3)
    fields = {
        "in_channels": first[-2] if len(first) == 5 else None,
        "filters": filters,
        "levels": max(1, *(_count(shapes, rf"Conv_{way}_(\d+)/") for way in ("down", "up"))),
        "operators": "attention" if any("/attention/" in n for n in shapes) else "residual",
        "attention": {"shared_references": references or 0, **_widths(shapes)},
    }
    return {key: value for key, value in fields.items() if value is not None}


def _vote(values):
    """The most frequent value, None of none."""
    return next((value for value, _ in Counter(values).most_common(1)), None)


def _count(names, pattern):
    """One more than the largest number in the names that match; two digits are more than any network has."""
    matches = (re.match(pattern, name) for name in names)
    return max((int(m[1]) for m in matches if m and len(m[1]) < 3), default=-1) + 1


def _first_filters(kernels):
    votes = []
    for name, shape in kernels.items():
        level = re.match(r"(first_convolution)/|encoding_block_(\d{1,2})/", name)
        if level and not re.search(r"/[qkv]_transform/", name):
            votes.append(shape[-1] / (1 if level[1] else 2 ** max(0, int(level[2]) - 1)))
    filters = _vote(votes)
    return int(filters) if filters and filters.is_integer() else None


def _resampling(shapes, depth):
    """The fields ``downsampling`` and ``upsampling``: one name where all operators are alike, else one for each.

    GVTOs are called by their versions where the network has both.
    """
    mixed = len(set(_sampling_versions(shapes).values())) > 1

    def operators(blocks, parts):
        found = [_operator(shapes, block, parts, mixed) for block in blocks]
        # Of one that does not show, what most others are.
        found = [kind or _vote(k for k in found if k) for kind in found]
        return found[0] if len(set(found)) == 1 else tuple(found)

    return {
        "downsampling": operators([f"encoding_block_{i}/downsampling" for i in range(2, depth + 1)], _DOWN),
        "upsampling": operators([f"decoding_block_{i}/upsampling" for i in range(depth - 1, 0, -1)], _UP),
    }


def _operator(shapes, block, parts, mixed):
    """The operator of a block that changes resolution, by the first part of the names below it."""
    version = _sampling_versions(shapes).get(block)
    if version:
        return f"attention_{version}" if mixed else "attention"
    below = (re.match(rf"{block}/(\w+)/", name) for name in shapes)
    return _vote(parts[m[1]] for m in below if m and m[1] in parts)


def _sampling_versions(shapes):
    """The version of every GVTO that changes resolution, by its block: v1 where it has a shortcut of its own."""
    blocks = {m[1] for m in (re.match(r"((?:en|de)coding_block_\d+/\w+sampling)/attention/", n) for n in shapes) if m}
    own = {name.partition("/projection_shortcut/")[0] for name in shapes if "/projection_shortcut/" in name}
    return {block: "v1" if block in own else "v2" for block in blocks}


def _versions(shapes):
    """``{"residual": version}`` where all GVTOs that change resolution have one, else nothing."""
    versions = set(_sampling_versions(shapes).values())
    return {"residual": versions.pop()} if len(versions) == 1 else {}


def _widths(shapes):
    """``key_filters`` and ``value_filters`` where operators have others than their output's channels."""
    adding = {block for block, version in _sampling_versions(shapes).items() if version == "v2"}
    keys, values = [], []
    for block in sorted({name.partition("/attention/")[0] for name in shapes if "/attention/" in name}):
        output = _width(shapes, block, "out/bias", "out/kernel")
        values.append((output, _width(shapes, block, "v/bias", "v/kernel")))
        # The others' query is added to the output, or is the input.
        if block not in adding and not block.startswith("Upsample_"):
            keys.append((output, _width(shapes, block, "k/bias", "k/kernel", "q/bias")))
    votes = {
        field: _vote(width for output, width in widths if width != output)
        for field, widths in (("key_filters", keys), ("value_filters", values))
    }
    return {field: width for field, width in votes.items() if width}


def _width(shapes, block, *names):
    """Channels that most of these variables of a block's attention give."""
    paths = (f"{block}/attention/{name.replace('/', '_transform/')}" for name in names)
    return _vote(shapes[path][-1] for path in paths if shapes.get(path))


def _bottom(shapes):
    blocks = []
    for i in range(_count(shapes, r"bottom_block/block_(\d+)/")):
        inside = [n for n in shapes if n.startswith(f"bottom_block/block_{i}/")]
        residual = inside and not any("/attention/" in n for n in inside)
        blocks.append("residual" if residual else "attention")
    return tuple(blocks)


def _skip(kernels, depth, filters):
    """Whether what follows a skip connection takes the channels of one of its inputs (add) or of both (concat)."""
    votes = []
    for level in range(1, depth):
        after = f"decoding_block_{level - 1}/upsampling"
        # Channels enter a transposed convolution at its last axis.
        entries = [
            (f"decoding_block_{level}/res_0/convolution_1/kernel", -2),
            (f"{after}/transposed_convolution/kernel", -1),
            (f"{after}/attention/k_transform/kernel", -2),
            *((f"{name}/kernel", -2) for name in ("out_conv", "output_convolution") if level == 1),
        ]
        channels = next(((kernels[name][axis]) for name, axis in entries if name in kernels), None)
        if channels and filters:
            votes.append({1: "add", 2: "concat"}.get(channels / (filters * 2 ** (level - 1))))
    return _vote(v for v in votes if v)
