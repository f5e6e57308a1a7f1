"""Where the predictions of image files go, and what must not be written over."""

import errno
import os
from pathlib import Path

from aeanet_tf.errors import InputError, WriteError, expect
from aeanet_tf.files import existing_folder
from aeanet_tf.io.image import (
    NIFTI_SUFFIXES,
    PREVIEW,
    SUFFIXES,
    WRITTEN_TIFF_SUFFIXES,
    ZARR_SUFFIX,
    image_stem,
    image_suffix,
)
from aeanet_tf.io.made_by import made_by
from aeanet_tf.io.ome_zarr import is_zarr
from aeanet_tf.paths import check_path

_WRITTEN = (*WRITTEN_TIFF_SUFFIXES, ZARR_SUFFIX, *NIFTI_SUFFIXES)


def place_outputs(output, paths, options, model, several=False):
    """The folder of the predictions, and for each image the files that are written for it.

    Args:
        output: a folder; or, for one image, the file, whose ending says the format (`written_file`).
        paths: of the images.
        options: `FileOptions`.
        model: a `StoredModel`.
        several: whether there are several models, whose disagreement is written, too.

    Returns:
        The folder, and a list of paths for each image: of the prediction, its scale or probabilities where they are
        wanted, the disagreement, and what else is wanted of the distributions: the divergence, the lower and the upper
        limit of the interval.

    Raises:
        InputError: a file for several images, or of a format that is not written; a name that would be written for two
            images, or over an input.
        WriteError: the folder cannot be made or written.
    """
    output = check_path(output)
    volumes = options.isotropic is not None or ("Z" in model.axes and "Z" in model.axes_out)
    # The place of a NIfTI volume is written for its own voxels.
    volumes = volumes and model.upscale == 1
    if written_file(output):
        _check_file(output, paths, options, volumes)
        folder, names = output.parent, [(image_stem(output), output.name[len(image_stem(output)) :])]
    else:
        folder, names = output, [(image_stem(path), _suffix(path, options, volumes)) for path in paths]
    _check_folder(folder)
    ends = [""] + ["_scale"] * options.scale + ["_probabilities"] * options.probabilities
    expect(several or not options.divergence, "--divergence", "one model", "several, whose distributions may differ")
    ends += ["_disagreement"] * several + ["_divergence"] * options.divergence
    ends += ["_lower", "_upper"] * (options.interval is not None)
    targets = [[folder / f"{stem}{end}{suffix}" for end in ends] for stem, suffix in names]
    _check_targets(paths, targets)
    return folder, targets


def written_file(output):
    """Whether a name is that of a file, by its ending, not of a folder; a folder that is there stays one."""
    suffix, path = image_suffix(output), Path(output)
    if path.is_dir() and not (suffix == ZARR_SUFFIX or is_zarr(path)):
        return False
    return suffix in (*_WRITTEN, *SUFFIXES)


def preview_path(target):
    """Where the picture of a prediction is."""
    return Path(target).with_name(f"{image_stem(target)}{PREVIEW}")


def check_replaceable(targets, maker=None, overwrite=False):
    """Refuse to replace what another model has predicted, or what nobody knows of.

    Args:
        targets: list of paths for each image.
        maker: the `MadeBy` that is to replace them; ``None`` where it is not known yet.
        overwrite: whether anything may be replaced.

    Raises:
        InputError: one is there, and of another maker.
    """
    remedy = "--overwrite (overwrite) replaces it, another --output keeps both"
    for file in (file for files in targets for file in files):
        if overwrite or not os.path.lexists(file):
            continue
        found = made_by(file)
        if found is None:
            raise InputError(f"{file}: is there and does not say which model made it; {remedy}")
        if maker is not None and found.digest != maker.digest:
            same = "other weights of " if found.model == maker.model else ""
            raise InputError(f"{file}: was made by {same}the model {found.model}, not by {maker.model}; {remedy}")


def _check_file(output, paths, options, volumes):
    """Refuse a single file where several are written, and formats that are not."""
    suffix = image_suffix(output)
    expected = ".tif, .tiff, .zarr or .nii.gz"
    expect(suffix in _WRITTEN, "--output", f"{output}", f"a folder, or a file that ends in {expected}")
    expect(len(paths) == 1, "--output", f"the file {output.name} for {len(paths)} images", "a folder")
    given = options.file_format
    expect(given is None, "--output", f"the file {output.name} and --format {given}", "one of both")
    if suffix in NIFTI_SUFFIXES:
        fits = volumes and image_suffix(paths[0]) in NIFTI_SUFFIXES
        expected = "a .tif or .zarr: NIfTI is written of volumes, from NIfTI, of the same voxels"
        expect(fits, "--output", str(output), expected)


def _suffix(path, options, volumes):
    """Of what is written for an image. NIfTI holds volumes only."""
    if options.file_format is not None:
        return f".{options.file_format}"
    suffix = image_suffix(path)
    return suffix if suffix in (ZARR_SUFFIX, *(NIFTI_SUFFIXES if volumes else ())) else ".tif"


def _check_folder(folder):
    """Refuse a folder that cannot be made or written, before images are read for hours."""
    there = existing_folder(folder)
    reason = None if os.access(there, os.W_OK | os.X_OK) else errno.EACCES
    reason = reason if there.is_dir() else errno.ENOTDIR
    if reason:
        raise WriteError(f"{folder}: cannot be written ({os.strerror(reason)})")


def _check_targets(paths, targets):
    """Refuse to write one file twice, or over an input."""
    inputs = {Path(path).resolve() for path in paths}
    taken = {}
    for path, files in zip(paths, targets, strict=True):
        for file in files:
            check_path(file)
            if file in taken:
                raise InputError(
                    f"{path}: {file} would also be written for {taken[file]}; rename one, or predict apart"
                )
            taken[file] = path
            if file.resolve() in inputs:
                raise InputError(f"{file.parent}: {file.name} would replace an input, choose another output folder")
