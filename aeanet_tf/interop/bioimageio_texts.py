"""What a BioImage Model Zoo package says of a model: name, tags, citations and documentation."""

import re

import aeanet_tf
from aeanet_tf.interop.bioimageio_tensors import spatial_axes

_DOCUMENTATION = """\
# {name}

{description}

Made with aeanet_tf {version}, preset `{preset}`, axes {axes}, {parameters:,} parameters.

## Input and output

{normalization}
{channels}
## Tiles

{tiles}

## Validation

{validation}
The test tensors of this package show that a program runs the model as it should; they say nothing of its quality.

## Citation

{citations}
"""

_VALIDATION = """\
Predict images that took no part in training and for which a target is known, normalise prediction and target in the
same way, and compare them by PSNR and SSIM with what a baseline reaches, for instance the input itself. Look at the
prediction beside the target, too: a network may invent plausible structure."""
_VALIDATION_OF_CLASSES = """\
Segment images that took no part in training and whose classes are known, and compare labels by the Dice ratio of each
class. Look at them beside the image, too: one number does not tell whether borders or whole objects are missed."""

_NORMALIZATION = {
    "percentile": (
        "The percentiles {low:g} and {high:g} of each image and channel become 0 and 1 before the network. The output "
        "stays in this normalised range: the specification has no step that maps it back by the percentiles of the "
        "input. Multiply it by the difference of the input's two percentiles and add the lower one to return to the "
        "input's intensities.\n"
    ),
    "range": "The values {low:g} and {high:g} become 0 and 1 before the network. {back}\n",
    "standard": (
        "Each image and channel gets mean 0 and standard deviation 1 before the network. The output stays normalised, "
        "as the targets of its training were: it has another unit than the input.\n"
    ),
    "none": "The network takes images as they are and its output is left as it is.\n",
}
_NORMALIZATION_OF_CLASSES = {
    "percentile": "The percentiles {low:g} and {high:g} of each image and channel become 0 and 1 before the network.\n",
    "range": "The values {low:g} and {high:g} become 0 and 1 before the network.\n",
    "standard": "Each image and channel gets mean 0 and standard deviation 1 before the network.\n",
    "none": "The network takes images as they are.\n",
}

CARE = (
    "Weigert et al. Content-aware image restoration: pushing the limits of fluorescence microscopy. "
    "Nature Methods 15, 2018.",
    "10.1038/s41592-018-0216-7",
)
GVTNET = (
    "Wang, Xie, Ji. Global voxel transformer networks for augmented microscopy. Nature Machine Intelligence 3, 2021.",
    "10.48550/arXiv.2008.02340",
)
AEANET = (
    "Xie, Ding, Ji. Augmented equivariant attention networks for microscopy image transformation. "
    "IEEE Transactions on Medical Imaging 41, 2022.",
    "10.48550/arXiv.2011.03633",
)
NONLOCAL = (
    "Wang, Zou, Shen, Ji. Non-local U-Nets for biomedical image segmentation. "
    "Proceedings of the AAAI Conference on Artificial Intelligence 34, 2020.",
    "10.48550/arXiv.1812.04103",
)
SSAN = (
    "Wang et al. Sparse self-attention aggregation networks for neural sequence slice interpolation. "
    "BioData Mining 14, 2021.",
    "10.1186/s13040-021-00236-z",
)


def package_name(model):
    """The model's name in the letters that the specification allows, with the class behind it."""
    name = re.sub(r"[^A-Za-z0-9_+\- ()]", "_", model.name)
    return f"{name[:100]} ({type(model).__name__})"


def default_description(model):
    """One sentence about the model."""
    does = {
        "projection": "projects 3D stacks to 2D and restores microscopy images",
        "ssan": "interpolates a slice of a serial section from the slices before and after it, its two channels",
        "segmentation": f"segments {_rank(model)}D images: it gives the probability of each of "
        f"{model.config.n_channel_out} classes at each pixel",
    }.get(model.spec.model_kind, f"restores {_rank(model)}D microscopy images")
    return f"A network of aeanet_tf (preset {model.config.preset}) that {does}."


def citations(spec, preset=""):
    """Pairs of text and DOI: the papers of the network, which is that of a preset, and of CARE."""
    if spec.kind == "ssan":
        return [SSAN, AEANET, CARE] if spec.attention == "aea" else [SSAN, CARE]
    attention = [spec.attention] if spec.kind == "unet" else [spec.attention, spec.restoration.attention]
    augmented = spec.n_attention and any(
        a.shared_references or a.batch_aware or a.query == "learned" for a in attention
    )
    if preset.endswith("-mri"):
        return [AEANET, NONLOCAL, CARE] if augmented else [NONLOCAL, CARE]
    return [AEANET if augmented else GVTNET, CARE]


def tags(model):
    """Tags by which the package is found."""
    does = {"ssan": ["slice-interpolation"], "segmentation": ["semantic-segmentation", "unet"]}.get(
        model.spec.model_kind, ["image-restoration", "unet"]
    )
    found = ["aeanet_tf", *does, f"{_rank(model)}d", "tensorflow", "keras"]
    if model.spec.n_attention:
        found.append("attention")
    if model.spec.kind == "projection":
        found.append("projection")
    return found


def documentation(model, description, normalization, mapped_back):
    """The package's documentation in Markdown.

    Args:
        model: an `AEANet` or one of its siblings.
        description: a sentence about the model.
        normalization: the `NormalizationSection` of the package.
        mapped_back: whether the output is mapped back to the range of the input.
    """
    back = "The output is mapped back by the inverse." if mapped_back else "The output stays in this normalised range."
    segments = model.segments
    normalizations = _NORMALIZATION_OF_CLASSES if segments else _NORMALIZATION
    return _DOCUMENTATION.format(
        name=package_name(model),
        description=description,
        version=aeanet_tf.__version__,
        preset=model.config.preset,
        axes=model.config.axes,
        parameters=model.keras_model.count_params(),
        normalization=normalizations[normalization.kind].format(
            low=normalization.low, high=normalization.high, back=back
        ),
        channels=_channels(model),
        tiles=_tiles(model),
        validation=_VALIDATION_OF_CLASSES if segments else _VALIDATION,
        citations="\n".join(
            f"* {text} https://doi.org/{doi}" for text, doi in citations(model.spec, model.config.preset)
        ),
    )


def _channels(model):
    lines = []
    if model.config.probabilistic:
        lines.append(
            "The output has a Laplace distribution for each pixel: the means, then as many channels of scales.\n"
        )
    if model.segments:
        lines.append(
            "The output has a channel for each class, its probability; at each pixel they add up to 1. The class of a "
            f"pixel is that of its largest probability. The classes, in the order of the channels, had the values "
            f"{', '.join(map(str, model.config.labels))} in the label images of training.\n"
        )
    if model.spec.kind == "projection":
        lines.append(
            f"The output lacks the axis {model.config.proj_axis}; along it the network needs the whole stack.\n"
        )
    return "\n" + "\n".join(lines) if lines else ""


def _tiles(model):
    axes = spatial_axes(model)
    text = "Sizes are multiples of " + ", ".join(f"{axis.step} along {axis.letter}" for axis in axes) + "."
    whole = [axis.letter for axis in axes if not axis.halo]
    if whole:
        text += f" Images are taken whole along {' and '.join(whole)}: cut tiles along the other axes only."
    if model.spec.n_attention:
        text += (
            " The network attends to the whole image it is given. Predicted in tiles, each tile attends to itself "
            "only, and results differ from those of the whole image, seams included: predict whole images as long as "
            "memory allows, in few large tiles otherwise. The halo covers the convolutions, not the attention."
        )
    else:
        text += " The network is convolutional: with the halo, tiles show no seams."
    return text


def _rank(model):
    return len(model.config.axes.replace("C", ""))
