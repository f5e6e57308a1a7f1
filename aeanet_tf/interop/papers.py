"""The papers that networks come from: pairs of text and DOI."""

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
FNET = (
    "Ounkomol et al. Label-free prediction of three-dimensional fluorescence images from transmitted-light microscopy. "
    "Nature Methods 15, 2018.",
    "10.1038/s41592-018-0111-2",
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
SEPCONV = (
    "Niklaus, Mai, Liu. Video frame interpolation via adaptive separable convolution. ICCV 2017.",
    "10.48550/arXiv.1708.01692",
)
SPYNET = (
    "Ranjan, Black. Optical flow estimation using a spatial pyramid network. CVPR 2017.",
    "10.48550/arXiv.1611.00850",
)
RCAN = (
    "Zhang et al. Image super-resolution using very deep residual channel attention networks. ECCV 2018.",
    "10.1007/978-3-030-01234-2_18",
)
EDSR = (
    "Lim et al. Enhanced deep residual networks for single image super-resolution. CVPR workshops 2017.",
    "10.1109/CVPRW.2017.151",
)
VDSR = (
    "Kim, Lee, Lee. Accurate image super-resolution using very deep convolutional networks. CVPR 2016.",
    "10.1109/CVPR.2016.182",
)
ATTENTION_UNET = (
    "Oktay et al. Attention U-Net: learning where to look for the pancreas. 2018.",
    "10.48550/arXiv.1804.03999",
)
UNET_PLUSPLUS = (
    "Zhou et al. UNet++: a nested U-Net architecture for medical image segmentation. DLMIA 2018.",
    "10.48550/arXiv.1807.10165",
)
DILATED = (
    "Zhang et al. Image segmentation with pyramid dilated convolution based on ResNet and U-Net. ICONIP 2017.",
    "10.1007/978-3-319-70096-0_38",
)
RSGU = (
    "Huang et al. Range scaling global U-Net for perceptual image enhancement on mobile devices. ECCV workshops 2018.",
    "10.1007/978-3-030-11021-5_15",
)
CENET = (
    "Gu et al. CE-Net: context encoder network for 2D medical image segmentation. "
    "IEEE Transactions on Medical Imaging 38, 2019.",
    "10.48550/arXiv.1903.02740",
)
UNET = (
    "Ronneberger, Fischer, Brox. U-Net: convolutional networks for biomedical image segmentation. MICCAI 2015.",
    "10.48550/arXiv.1505.04597",
)

_OF_BODIES = {"groups": RCAN, "blocks": EDSR, "convolutions": VDSR}
_OF_SKIPS = {"gated": ATTENTION_UNET, "nested": UNET_PLUSPLUS}
_OF_BOTTOMS = {"dilated": DILATED, "global": RSGU}


def citations(spec, preset=""):
    """Pairs of text and DOI: the papers of the network, which is that of a preset, and of CARE."""
    if spec.kind == "ssan":
        # Features alone are the paper's own.
        first = {"features": [], "kernels": [SEPCONV], "flow": [SPYNET]}[spec.synthesis]
        return [*first, SSAN, *([AEANET] if spec.attention == "aea" else []), CARE]
    if spec.kind in ("care", "own"):
        return [GVTNET, CARE] if spec.n_attention else [CARE]
    if spec.kind == "fnet":
        return [FNET, CARE]
    if spec.kind == "ce_net":
        return [CENET, CARE]
    if spec.kind == "super_resolution":
        return [_OF_BODIES[spec.body], CARE]
    if spec.kind == "unet_variant":
        own = [papers[part] for papers, part in ((_OF_SKIPS, spec.skip), (_OF_BOTTOMS, spec.bottom)) if part in papers]
        return [*(own or [UNET]), CARE]
    attention = [spec.attention] if spec.kind == "unet" else [spec.attention, spec.restoration.attention]
    augmented = spec.n_attention and any(
        a.shared_references or a.batch_aware or a.query == "learned" for a in attention
    )
    if preset.endswith("-mri"):
        return [AEANET, NONLOCAL, CARE] if augmented else [NONLOCAL, CARE]
    return [AEANET if augmented else GVTNET, CARE]
