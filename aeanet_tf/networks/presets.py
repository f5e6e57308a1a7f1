"""The published networks as data: name -> spec (docs/networks.md). An ablation is a preset with a field changed."""

from aeanet_tf.networks.spec import (
    AttentionSpec,
    CENetSpec,
    FNetSpec,
    ProjectionSpec,
    SSANSpec,
    SuperResolutionSpec,
    UNetSpec,
    UNetVariantSpec,
)

_REFERENCES_ONLY = {"shared_references": 64, "batch_aware": False, "normalization": "key_length"}
_AUGMENTED = {**_REFERENCES_ONLY, "batch_aware": True}
_CONVOLUTIONAL = {"bottom": ("residual",), "downsampling": "convolution", "upsampling": "transposed_convolution"}

_em = UNetSpec(
    dimension=2,
    depth=3,
    first_filters=32,
    encoding_blocks=(1, 1, 0),
    decoding_blocks=(1, 1),
    upsampling_kernel=4,
    batch_norm=True,
    output_offset=False,
    attention=AttentionSpec(num_heads=2, normalization="query_length"),
)
_care = UNetSpec(
    dimension=3,
    depth=3,
    first_filters=32,
    encoding_blocks=(1, 1, 0),
    decoding_blocks=(1, 1),
    upsampling="attention",
    batch_norm=False,
    output_offset=True,
    attention=AttentionSpec(num_heads=2, normalization="query_length", residual="v2"),
)
_labelfree = UNetSpec(
    dimension=3,
    depth=4,
    first_filters=32,
    encoding_blocks=(1, 0, 0, 0),
    decoding_blocks=(1, 1, 1),
    downsampling="residual",
    skip="add",
    batch_norm=True,
    output_kernel=3,
    output_bias=True,
    output_offset=False,
    attention=AttentionSpec(num_heads=1, normalization="query_length"),
)
_nonlocal = UNetSpec(
    dimension=3,
    in_channels=2,
    out_channels=4,
    depth=3,
    first_filters=32,
    encoding_blocks=(1, 0, 0),
    decoding_blocks=(1, 1),
    first_shortcut="convolution",
    downsampling="residual",
    upsampling=("attention", "transposed_convolution"),
    upsampling_heads=1,
    skip="add",
    batch_norm=True,
    output_dropout=0.5,
    output_bias=True,
    output_offset=False,
    kernel_initializer="he_normal",
    attention=AttentionSpec(num_heads=2, normalization="softmax", residual="v1", dropout=0.5),
)
_flywing = ProjectionSpec(
    attention=AttentionSpec(num_heads=2, normalization="query_length"),
    restoration=_care.replace(dimension=2),
)
_of_one_order = SSANSpec(filters=32, extractor="unet", siamese=False, symmetric=False, attention="none")

presets = {
    "gvtnet-em": _em,
    "gvtnet-care": _care,
    "gvtnet-labelfree": _labelfree,
    "gvtnet-flywing": _flywing,
    "aeanet-em": _em.replace(attention=_AUGMENTED),
    # The paper leaves batch-aware attention off in 3D, for memory (AEANet paper, section VI-B).
    "aeanet-care": _care.replace(attention=_REFERENCES_ONLY),
    # Ours: without the encoder's block of the full size, a quarter of what is computed. It takes no longer than CARE's
    # network does for volumes.
    "aeanet-care-fast": _care.replace(attention=_REFERENCES_ONLY, encoding_blocks=(0, 1, 0)),
    "aeanet-labelfree": _labelfree.replace(attention=_REFERENCES_ONLY),
    "aeanet-flywing": _flywing.replace(
        attention=_REFERENCES_ONLY,
        restoration=_flywing.restoration.replace(attention=_REFERENCES_ONLY).model_dump(),
    ),
    "unet-em": _em.replace(**_CONVOLUTIONAL),
    "unet-care": _care.replace(**_CONVOLUTIONAL),
    "unet-labelfree": _labelfree.replace(bottom=("residual",)),
    # The baseline of the GVTNet paper, section 2.2.
    "fnet-labelfree": FNetSpec(),
    "unet-flywing": _flywing.replace(
        operators="residual", restoration=_flywing.restoration.replace(**_CONVOLUTIONAL).model_dump()
    ),
    "learned-query-em": _em.replace(
        input_size=(256, 256), attention={"query": "learned", "normalization": "key_length"}
    ),
    "ssan": SSANSpec(),
    # What the SSAN paper compares with, after SepConv and after coarse-to-fine flow; far smaller than its authors'.
    "sepconv": _of_one_order.replace(synthesis="kernels"),
    "flow-interpolation": _of_one_order.replace(synthesis="flow"),
    # Networks that the papers compare with, or that are asked for; widths and depths are those of their papers.
    "rcan": SuperResolutionSpec(body="groups", filters=64, groups=10, blocks=20, reduction=16),
    "edsr": SuperResolutionSpec(body="blocks", filters=256, blocks=32, reduction=None, residual_scale=0.1),
    "vdsr": SuperResolutionSpec(
        body="convolutions",
        filters=64,
        blocks=18,
        reduction=None,
        output_offset=True,
        kernel_initializer="he_normal",
    ),
    "attention-unet": UNetVariantSpec(first_filters=16, skip="gated", upsampling="linear", output_offset=True),
    "unet-plusplus": UNetVariantSpec(skip="nested", output_offset=True),
    "dilated-unet": UNetVariantSpec(bottom="dilated", output_offset=True),
    "rsgu-net": UNetVariantSpec(depth=4, bottom="global", range_scaling=True, output_offset=True),
    "ce-net": CENetSpec(output_offset=True),
    # Segmentation (AEANet paper, section VI-C): T1 and T2 to the logits of background, CSF, GM and WM.
    "nonlocal-unet-mri": _nonlocal,
    "aeanet-mri": _nonlocal.replace(attention={**_REFERENCES_ONLY, "dropout": 0}),
    "unet-mri": _nonlocal.replace(bottom=("residual",), upsampling="transposed_convolution"),
}
"""All presets, by name.

The networks for segmentation, ``-mri``, are those of the AEANet paper, section VI-C, which are Non-local U-Nets (Wang
et al., AAAI 2020). They give logits, one channel a class; softmax comes after them, in the model. Their kernels are
drawn from a truncated normal distribution whose width the paper leaves open: ``"he_normal"`` (variance ``2 / fan_in``,
for what follows a ReLU) is our choice, since a width of 1, TensorFlow 1's default, would not train.
"""
