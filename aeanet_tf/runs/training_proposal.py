"""How a new model is trained: network, patches, length and rates for a task, a size of images and this machine.

Those of restoration are what was measured best on W2S and on volumes (docs/training.md): no batch norm, warm-up and
cosine, clipped gradients. The others are those of the configurations that come with the package. On a processor
networks have 16 first filters; with a GPU they have the preset's, larger batches and more steps.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any, NamedTuple

from aeanet_tf.errors import InputError, expect

TASKS = ("restoration", "projection", "segmentation", "slices")

_COSINE = {"learning_rate_cosine": {"warmup": 0.1, "final": 0}, "clip_norm": 0.3}
_LEAST_PATCH = 8


class Plan(NamedTuple):
    """How a model is trained.

    Attributes:
        preset: of the network.
        network: fields that differ from it.
        patch: size of a patch by axis, without channels.
        batch: patches a step.
        steps: of the optimiser.
        training: other fields of the section ``training``.
        normalization: of the section ``data``.
    """

    preset: str
    network: dict[str, Any]
    patch: tuple[int, ...]
    batch: int
    steps: int
    training: dict[str, Any]
    normalization: dict[str, Any]

    def section(self, patches: bool = True) -> dict[str, Any]:
        """The section ``training``; ``patches`` where they are cut from whole images."""
        size = {"patch_size": list(self.patch)} if patches else {}
        interval = max(1, min(400, self.steps // 10))
        return {
            "steps": self.steps,
            "steps_per_epoch": interval,
            "batch_size": self.batch,
            **size,
            **self.training,
            "augment": True,
        }


_PERCENTILES = {"kind": "percentile", "low": 2, "high": 99.8}


def _plans(task: str, flat: bool) -> Plan:
    """What is wished for, before it is fitted to the images: of images (``flat``), or of volumes."""
    if task == "segmentation":
        loss = {"loss": "cross_entropy_dice", "batch_norm_batches": 8}
        standard = {"kind": "standard"}
        if flat:
            rates = {"learning_rate": 0.003, "learning_rate_decay": {"rate": 0.5, "steps": 350}}
            return Plan(
                "aeanet-em", {"first_filters": 16, "depth": 4}, (256, 256), 2, 2000, {**loss, **rates}, standard
            )
        rates = {"learning_rate": 0.001}
        return Plan("aeanet-mri", {"first_filters": 16}, (32, 32, 32), 2, 2000, {**loss, **rates}, standard)
    if task == "slices":
        rates = {"loss": "pixel", "learning_rate": 0.001, "learning_rate_decay": {"rate": 0.1, "steps": 900}}
        return Plan("ssan", {"filters": 32}, (128, 128), 4, 1200, rates, _PERCENTILES)
    if task == "projection":
        network = {"restoration": {"first_filters": 16}}
        rates = {"loss": "mae", "learning_rate": 0.002, **_COSINE}
        return Plan("aeanet-flywing", network, (0, 64, 64), 4, 800, rates, _PERCENTILES)
    if flat:
        rates = {"loss": "mae", "learning_rate": 0.002, **_COSINE}
        return Plan("aeanet-care", {"first_filters": 16, "depth": 4}, (128, 128), 8, 1200, rates, _PERCENTILES)
    rates = {"loss": "mae", "learning_rate": 0.004, **_COSINE}
    return Plan("aeanet-care", {"first_filters": 16, "depth": 3}, (8, 48, 48), 4, 800, rates, _PERCENTILES)


def plan_training(
    task: str,
    axes: str,
    sizes: Sequence[int],
    *,
    preset: str | None = None,
    steps: int | None = None,
    patch: Sequence[int] | None = None,
    batch: int | None = None,
    exact: bool = False,
    gpu: bool | None = None,
) -> Plan:
    """Fit network, patches and length to images.

    Args:
        task: one of `TASKS`.
        axes: of the images, without channels.
        sizes: of the smallest image along these axes: no patch is larger.
        preset, steps, patch, batch: what the user has chosen; ``None`` for ours.
        exact: whether the sizes are those of ready-made patches.
        gpu: whether there is one; ``None`` looks.

    Raises:
        InputError: images too small for any network; a preset that there is none of, or of another task; patches that
            do not fit the images or the network.
    """
    wished = _plans(task, len(axes) == 2)
    if gpu_there() if gpu is None else gpu:
        wished = wished._replace(network=_wide(wished.network), batch=wished.batch * 2, steps=wished.steps * 4)
    if preset is not None and preset != wished.preset:
        network, divisors = {}, _divisors(preset, task, len(axes))
    else:
        network, divisors = _fitted(wished, task, axes, patch or sizes, exact or patch is not None)
    size = tuple(sizes) if exact else _patch(axes, sizes, patch, wished.patch, divisors)
    length, training = steps or wished.steps, dict(wished.training)
    if decay := training.get("learning_rate_decay"):
        # As many falls in a training of another length.
        usual = _plans(task, len(axes) == 2).steps
        training["learning_rate_decay"] = {**decay, "steps": max(1, round(decay["steps"] * length / usual))}
    return wished._replace(
        preset=preset or wished.preset,
        network=network,
        patch=size,
        batch=batch or wished.batch,
        steps=length,
        training=training,
    )


def _wide(network: dict[str, Any]) -> dict[str, Any]:
    """The network with the preset's channels."""
    return {name: value for name, value in network.items() if name not in ("first_filters", "filters", "restoration")}


def _fitted(wished: Plan, task: str, axes: str, sizes: Sequence[int], exact: bool) -> tuple[dict[str, Any], list[int]]:
    """The network, with fewer resolutions where images are small, and what sizes must be divisible by."""
    network = dict(wished.network)
    if task == "slices":
        return network, [1, 1]
    if task == "projection":
        return network, [1, 16, 16]
    depth = most = network.get("depth", 3)

    def fits(divisor: int) -> bool:
        return all(n >= divisor and not (exact and n % divisor) for n in sizes)

    while depth > 2 and not fits(2 ** (depth - 1)):
        depth -= 1
    if depth != most:
        network["depth"] = depth
    return network, [2 ** (depth - 1)] * len(axes)


_FROM_IMAGE_TO_IMAGE = ("unet", "fnet", "super_resolution", "unet_variant", "ce_net")


def _divisors(preset: str, task: str, dimension: int) -> list[int]:
    # Of the presets themselves, whose package takes seconds to import.
    from aeanet_tf.field_errors import did_you_mean
    from aeanet_tf.networks.presets import presets

    if preset not in presets:
        hint = did_you_mean(preset, presets)
        raise InputError(f"--preset: found {preset!r}{hint or f', expected one of {chr(44).join(presets)}'}")
    spec = presets[preset]
    kinds = {"projection": ("projection",), "slices": ("ssan",)}.get(task, _FROM_IMAGE_TO_IMAGE)
    expect(spec.kind in kinds, "--preset", repr(preset), f"a network for {task}")
    return list(spec.divisor) if spec.kind == "projection" else [spec.divisor[0]] * dimension


def _patch(
    axes: str, sizes: Sequence[int], chosen: Sequence[int] | None, wished: Sequence[int], divisors: Sequence[int]
) -> tuple[int, ...]:
    if chosen is not None:
        expect(len(chosen) == len(axes), "--patch-size", f"{len(chosen)} numbers", f"one for each of the axes {axes}")
        for axis, n, size, divisor in zip(axes, chosen, sizes, divisors, strict=True):
            expect(0 < n <= size, "--patch-size", f"{n} along {axis}", f"at most {size}, what images have to offer")
            expect(n % divisor == 0, "--patch-size", f"{n} along {axis}", f"a multiple of {divisor} for this network")
        return tuple(chosen)
    # 0 is all that there is.
    facts = zip(wished, sizes, divisors, strict=True)
    fitting = [min(n or size, size) // divisor * divisor for n, size, divisor in facts]
    for axis, n, size, divisor in zip(axes, fitting, sizes, divisors, strict=True):
        least = max(divisor, _LEAST_PATCH if axis in "YX" else 1)
        expect(n >= least, "images", f"{size} pixels along {axis}", f"at least {least} to cut patches from")
    return tuple(fitting)


def gpu_there() -> bool:
    """Whether there is a GPU of NVIDIA's, asked of its driver: TensorFlow takes seconds to import."""
    program = shutil.which("nvidia-smi")
    if program is None or os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return False
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU " in listed.stdout
