"""The public data sets and checkpoints that ``aeanet download`` knows, and where their owners keep them."""

from collections.abc import Iterator
from dataclasses import dataclass

from aeanet_tf.errors import expect


@dataclass(frozen=True)
class Dataset:
    """A data set, or a checkpoint of a trained network, fetched from ``url`` or, without one, got by hand.

    Attributes:
        name: by which it is chosen, and the name of its folder.
        description: one line.
        page: where its owner presents it.
        url: address of its one file; None where the owner asks for a registration or gives no lasting address.
        file: name of that file; its ending says how it is unpacked (`aeanet_tf.datasets.download`).
        sha256: of that file, where somebody published it; None leaves the first download to record it.
        layout: folders and files expected below the data set's folder, for those got by hand.
        guide: the document that says more.
    """

    name: str
    description: str
    page: str
    url: str | None = None
    file: str = ""
    sha256: str | None = None
    layout: str = ""
    guide: str = "docs/datasets.md"


def get_dataset(name: str) -> Dataset:
    """Look a data set up by name.

    Raises:
        InputError: there is none of that name.
    """
    expect(name in DATASETS, "data set", repr(name), f"one of {', '.join(DATASETS)}")
    return DATASETS[name]


_PRETRAINED = "model.ckpt-pretrained"
_CARE_PAGE = "https://doi.org/10.17617/3.FDFZOF"


def _care() -> Iterator[Dataset]:
    """The data of the CARE paper, and the examples of CSBDeep, whose notebooks state these addresses."""
    # Edmond, the archive of the Max Planck Society, gives every file a number.
    for name, archive, number in (
        ("planaria", "Denoising_Planaria.tar.gz", 264085),
        ("tribolium", "Denoising_Tribolium.tar.gz", 264091),
    ):
        url = f"https://edmond.mpg.de/api/access/datafile/{number}"
        yield Dataset(f"care-{name}", f"CARE, 3D denoising, {name}", _CARE_PAGE, url, archive)
    yield Dataset(
        "care-flywing",
        "CARE, projection, fly wing",
        _CARE_PAGE,
        layout="train_data/data_label.npz and test_data/ of Projection_Flywing.tar.gz",
    )
    page = "https://github.com/CSBDeep/CSBDeep/tree/main/examples"
    for name, archive, description in (
        ("u2os", "snr_7_binning_2", "2D denoising, U2OS cells with synthetic noise"),
        ("tribolium", "tribolium", "3D denoising, Tribolium"),
        ("flywing", "flywing", "projection, fly wing"),
        ("retina", "retina", "isotropic reconstruction, retina"),
        ("upsampling", "synthetic_upsampling", "3D upsampling, synthetic membranes"),
        ("disks", "synthetic_disks", "2D denoising with a probabilistic network, synthetic disks"),
    ):
        url = f"http://csbdeep.bioimagecomputing.com/example_data/{archive}.zip"
        yield Dataset(f"csbdeep-{name}", f"CSBDeep's example, {description}", page, url, f"{archive}.zip")


def _label_free() -> Iterator[Dataset]:
    """The 13 archives that the owner's own script fetches (AllenCellModeling/pytorch_fnet, download_all_data.sh)."""
    page = "https://downloads.allencell.org/publication-data/label-free-prediction/index.html"
    base = "https://s3-us-west-2.amazonaws.com/downloads.allencell.org/publication-data/label-free-prediction"
    structures = (
        "alpha_tubulin beta_actin desmoplakin dic_lamin_b1 fibrillarin lamin_b1 membrane_caax_63x myosin_iib "
        "sec61_beta st6gal1 timelapse_wt2_s2 tom20 zo1"
    )
    for structure in structures.split():
        archive = f"{structure}.tar.gz"
        description = f"Allen Institute, label-free prediction, {structure}"
        yield Dataset(f"label-free-{structure}", description, page, f"{base}/{archive}", archive)


def _electron_microscopy() -> Iterator[Dataset]:
    # As torch_em publishes them; the challenge's page gives none.
    hashes = {
        "a": "4c563d1b78acb2bcfb3ea958b6fe1533422f7f4a19f3e05b600bfa11430b510d",
        "b": "887e85521e00deead18c94a21ad71f278d88a5214c7edeed943130a1f4bb48b8",
        "c": "2874496f224d222ebc29d0e4753e8c458093e1d37bc53acd1b69b19ed1ae7052",
    }
    for sample, sha256 in hashes.items():
        file = f"sample_{sample.upper()}_20160501.hdf"
        description = f"CREMI, serial section EM of fly brain, sample {sample.upper()}, cropped"
        url = f"https://cremi.org/static/data/{file}"
        yield Dataset(f"cremi-{sample}", description, "https://cremi.org/data", url, file, sha256)
    for sample in hashes:
        # Nobody has published a sha256 of these.
        file = f"sample_{sample.upper()}_padded_20160501.hdf"
        description = f"CREMI, sample {sample.upper()} with the tissue around it, as the SSAN paper takes it"
        url = f"https://cremi.org/static/data/{file}"
        yield Dataset(f"cremi-{sample}-padded", description, "https://cremi.org/data", url, file)
    yield Dataset(
        "isbi2012",
        "ISBI 2012 challenge, serial section EM of fly larva, membranes",
        "https://imagej.net/events/isbi-2012-segmentation-challenge",
        "https://downloads.imagej.net/ISBI-2012-challenge.zip",
        "ISBI-2012-challenge.zip",
    )
    yield Dataset(
        "paired-em",
        "Paired EM, super-resolution, 22 pairs of nanoparticles",
        "https://aml.engr.tamu.edu/2001/09/01/publications/ (J74)",
        layout="the BMP files as published, *10000.bmp (low) and *20000.bmp (high) of each pair",
    )


def _others() -> Iterator[Dataset]:
    yield Dataset(
        "iseg2017",
        "iSeg-2017 challenge, infant brain MRI, segmentation (registration)",
        "https://iseg2017.web.unc.edu/download/",
        layout="subject-<i>-T1, subject-<i>-T2 and subject-<i>-label, each as .hdr and .img, i from 1 to 10",
    )
    yield Dataset(
        "w2s",
        "W2S, widefield fluorescence, denoising and super-resolution",
        "https://github.com/IVRL/w2s",
        layout="the repository's data/train and data/test, each with avg1, avg2, avg4, avg8, avg16 and sim",
    )


def _checkpoints() -> Iterator[Dataset]:
    """What the authors of AEANet and GVTNet have released with their programs: files of a repository, no archive."""
    structures = (
        "alpha_tubulin beta_actin desmoplakin dic_lamin_b1 dna fibrillarin lamin_b1 membrane_caax_63x myosin_iib "
        "sec61_beta st6gal1 tom20 zo1"
    )
    care = {"planaria": "care_denoising", "tribolium": "care_denoising", "flywing": "care_projection"}
    released = [
        (f"aeanet-{n}", f"paired EM, {n} shared references", f"models/pooled_batch8_lib{n}_kshape/model.ckpt-120000")
        for n in (16, 32, 64)
    ]
    released += [
        (f"gvtnet-{name}", f"CARE, {name}", f"save_dir/{task}/{name}/models/gvtnet_care_pretrained/{_PRETRAINED}")
        for name, task in care.items()
    ]
    released += [
        (
            f"gvtnet-{name}",
            f"label-free prediction, {name}",
            f"save_dir/label-free/{name}/models/gvtnet_label-free_pretrained/{_PRETRAINED}",
        )
        for name in structures.split()
    ]
    for name, description, prefix in released:
        program = "AEANets" if name.startswith("aeanet") else "GVTNets"
        yield Dataset(
            f"checkpoint-{name}",
            f"TensorFlow 1 checkpoint of the authors' {program}, {description}",
            f"https://github.com/divelab/{program}",
            layout=f"{prefix}.index and .data-00000-of-00001 beside it, for aeanet import-tf1",
            guide="docs/training.md",
        )


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for part in (_care, _label_free, _electron_microscopy, _others, _checkpoints)
    for dataset in part()
}
