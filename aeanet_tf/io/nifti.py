"""Volumes of magnetic resonance imaging: NIfTI (.nii, .nii.gz) and Analyze (.hdr with .img), by nibabel."""

import gzip
import math
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO, UnsupportedOperation
from pathlib import Path
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, expect, one_line
from aeanet_tf.files import replacing
from aeanet_tf.io.image import NIFTI_SUFFIXES, Image, check_finite, image_suffix
from aeanet_tf.io.zoomed import plane_count
from aeanet_tf.memory import DEFLATE_RATIO, check_claim, check_memory, in_words
from aeanet_tf.paths import nearest_path

# NIfTI's names of units of length. Analyze states none; its voxels are in millimetres by convention.
_UNITS = {"mm": "mm", "unknown": "mm", "micron": "um", "meter": "m"}
# Bytes of the longest header, and where voxels may begin: in between are extensions, texts of some kilobytes.
_HEADER, _FURTHEST_VOXELS = 540, 2**24
_LARGEST_MATRIX = 2**17
_ANALYZE_INTEGERS = ("uint8", "int16", "int32")


@dataclass
class Volume(Image):
    """A volume with its place in the scanner's space, as the file states both.

    ``array`` is indexed [k, j, i], axes "ZYX", where i, j, k are the voxel indices of NIfTI and Analyze: the voxels
    stay in the order of the file, nothing is flipped or resampled to some orientation. ``pixel_size`` holds the
    header's zooms, by default in "mm".

    Attributes:
        affine: 4 x 4, from voxel indices (i, j, k, 1), so (X, Y, Z, 1) of ``array``, to millimetres (x, y, z, 1).
        header: nibabel's header of the file, which `write_nifti` takes over.
    """

    affine: np.ndarray | None = None
    header: Any = None


def read_nifti(path: str | Path) -> Volume:
    """Read a volume of NIfTI 1 or 2 (.nii, .nii.gz, or .hdr with .img) or Analyze (.hdr with .img).

    Pixels keep the dtype of the file; where the header scales integers they are float32. A fourth and further
    dimensions of size 1, which Analyze files often have, are dropped.

    Args:
        path: the file; of a pair the .hdr.

    Returns:
        The volume, axes ZYX, see `Volume`.

    Raises:
        InputError: nibabel is not installed; the file or the .img beside a .hdr is missing; it is damaged, no volume
            of real numbers, has several frames, or holds NaN or infinity.
    """
    path = Path(path)
    nibabel = _nibabel(path, "reading")
    _check_there(path)
    with _faults(path), _quietly(), _opened(path, nibabel) as (image, stream):
        if not isinstance(image, nibabel.AnalyzeImage):
            raise InputError(f"{path}: is {type(image).__name__}, expected a volume of NIfTI or Analyze")
        _check_volume(path, image)
        array = np.asanyarray(image.dataobj)
        _check_end(stream)
        sizes, unit = _calibration(image.header)
        affine, header = np.array(image.affine, np.float64), image.header.copy()
    stored = image.get_data_dtype()
    dtype = np.float32 if array.dtype.kind == "f" and stored.kind != "f" else array.dtype.newbyteorder("=")
    # What is beyond floats becomes infinite, which is refused.
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array.reshape((*array.shape, 1, 1)[:3], order="F").T, dtype)
    check_finite(path, array)
    return Volume(array, "ZYX", sizes, unit, path, affine, header)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (InputError, MemoryError):
        raise
    # nibabel and zlib raise whatever the damaged bytes lead them to.
    except Exception as error:
        raise InputError(f"{path}: not a readable NIfTI or Analyze volume ({one_line(error)})") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what nibabel logs of a header, and NumPy of its NaN, from the terminal: it is mended, or refused."""
    from nibabel.imageglobals import logger

    disabled, logger.disabled = logger.disabled, True
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        logger.disabled = disabled


@contextmanager
def _opened(path: Path, nibabel: Any) -> Iterator[tuple[Any, "_Stream | None"]]:
    """nibabel's image, whose voxels can be read within the block, and, of a compressed one, what it is read from."""
    suffix = image_suffix(path)
    if suffix == ".hdr":
        # SPM's affine of 4 x 4, which scipy would read whatever it were.
        matrix = path.with_suffix(".mat")
        size = matrix.stat().st_size if matrix.is_file() else 0
        expect(size <= _LARGEST_MATRIX, matrix, in_words(size), f"an affine, at most {in_words(_LARGEST_MATRIX)}")
        yield nibabel.load(path, mmap=False), None
        return
    with (gzip.open if suffix == ".nii.gz" else open)(path, "rb") as raw:
        kind = _kind(raw.read(_HEADER), nibabel)
        stream = _Stream(raw)
        holder = nibabel.FileHolder(filename=str(path), fileobj=stream)
        yield kind.from_file_map({"image": holder}, mmap=False), stream if suffix == ".nii.gz" else None


def _kind(header: bytes, nibabel: Any) -> Any:
    """nibabel's class for a file that begins so. What stands before its voxels has to be of a length to be read."""
    for order in "<>":
        for size, form, at, magic, where, kind in (
            (348, "f", 108, b"n+1\0", 344, nibabel.Nifti1Image),
            (540, "q", 168, b"n+2\0", 4, nibabel.Nifti2Image),
        ):
            begins = len(header) >= size and struct.unpack_from(f"{order}i", header)[0] == size
            if begins and header[where : where + 4] == magic:
                (offset,) = struct.unpack_from(order + form, header, at)
                if not size + 4 <= offset <= _FURTHEST_VOXELS:
                    raise ValueError(f"the voxels begin at byte {offset:.0f}")
                return kind
    raise ValueError("no header of NIfTI")


class _Stream:
    """A file for nibabel, which reads extensions of the header at once, however long they say that they are."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _FURTHEST_VOXELS:
            raise ValueError(f"a part of {size} bytes in the header")
        return self.raw.read(size)

    def readinto(self, buffer: Any) -> int:
        return self.raw.readinto(buffer)

    def write(self, data: Any) -> int:
        # By this nibabel knows a file from a name.
        raise UnsupportedOperation("it is read")

    def seek(self, place: int, whence: int = 0) -> int:
        return self.raw.seek(place, whence)

    def tell(self) -> int:
        return self.raw.tell()


def _check_end(stream: _Stream | None) -> None:
    """Read a compressed file to its end, where the checksum stands; nibabel stops behind the last voxel."""
    left = 0
    while stream is not None and (block := stream.read(2**20)):
        left += len(block)
        if left > _FURTHEST_VOXELS:
            raise ValueError(f"more than {in_words(_FURTHEST_VOXELS)} behind the voxels")


def write_nifti(path: str | Path, array: np.ndarray, like: Volume, description: str | None = None) -> None:
    """Write labels or probabilities that belong to a volume, in its place: same affine, same voxel size.

    The suffix decides on the format: .nii and .nii.gz are NIfTI; .hdr, with a .img beside it, is what ``like`` was,
    NIfTI or Analyze. Values are stored without scaling. bool becomes uint8, float16 float32, and integers of 64 bits
    int32, since programs for these files rarely read them; so do those that Analyze does not know, such as uint16.
    Channels, such as the probabilities of classes, become the fourth dimension of the file, where other programs have
    frames. Files appear only when they are whole; of a pair the .img comes first, and a run killed between the two
    leaves a new .img beside the old .hdr.

    Args:
        path: the file to write.
        array: ZYX or ZYXC, of the shape of ``like`` along Z, Y, X, real numbers.
        like: the volume that it belongs to, from `read_nifti`.
        description: for the header, at most 80 letters; that of ``like`` by default.

    Raises:
        InputError: nibabel is not installed; the suffix, shape or values do not fit; Analyze cannot hold the
            affine (that of a .mat file of SPM); or the file cannot be written.
    """
    path, array = Path(path), np.asarray(array)
    check_nifti(path, array.shape, like)
    array = _storable(path, array, image_suffix(path) == ".hdr" and not _is_nifti(like.header))
    image = _image_like(path, array.T if array.ndim == 3 else array.transpose(2, 1, 0, 3), like)
    if description is not None:
        image.header["descrip"] = description.encode()
    if image_suffix(path) == ".hdr":
        _write_pair(path, image)
        return
    content = image.to_bytes()
    with replacing(path) as temporary:
        # Without the time the same labels give the same file.
        temporary.write_bytes(gzip.compress(content, mtime=0) if image_suffix(path) == ".nii.gz" else content)


def with_planes(like: Volume, factor: float) -> Volume:
    """The place of a volume with planes at a ``factor``-th of the distance, the first where it was.

    Returns:
        A volume of the shape `aeanet_tf.io.zoomed.plane_count` gives, whose array holds nothing; ``like`` itself for a
        factor of 1.
    """
    if factor == 1:
        return like
    header, scale = like.header.copy(), np.diag([1, 1, 1 / factor, 1])
    shape = (plane_count(len(like.array), factor), *like.array.shape[1:])
    array = np.broadcast_to(np.uint8(0), shape)
    sizes = {axis: size / factor if axis == "Z" else size for axis, size in like.pixel_size.items()}
    zooms = [*header.get_zooms(), 1.0, 1.0][:3]
    header.set_data_shape(array.T.shape)
    header.set_zooms((*zooms[:2], zooms[2] / factor))
    affine = like.affine @ scale
    if _is_nifti(header):
        # The other, of rotations, has its lengths from the zooms.
        stated, code = header.get_sform(coded=True)
        if code:
            header.set_sform(stated @ scale, int(code))
    else:
        # Analyze has its origin in the middle.
        affine = header.get_best_affine()
    return Volume(array, like.axes, sizes, like.unit, like.path, affine, header)


def check_nifti(path: str | Path, shape: tuple[int, ...], like: Volume) -> None:
    """Check, before there are values, that `write_nifti` can write an array of this shape; arguments as there.

    Raises:
        InputError: nibabel is not installed; the suffix or shape does not fit; Analyze cannot hold the affine, or the
            affine means nothing (NaN).
    """
    path = Path(path)
    _nibabel(path, "writing")
    if image_suffix(path) not in NIFTI_SUFFIXES:
        raise InputError(f"{path}: volumes are written as NIfTI or Analyze, expected a name in .nii, .nii.gz or .hdr")
    fits = shape[:3] == like.array.shape and len(shape) <= 4 and 0 not in shape
    expect(fits, path, f"an array of shape {shape}", f"{like.array.shape} as {like.path} has, channels last")
    try:
        # It holds a single number.
        with _quietly():
            _image_like(path, np.broadcast_to(np.uint8(0), (*shape[2::-1], *shape[3:])), like)
    except InputError:
        raise
    # nibabel's errors, by what is wrong with the header that was read.
    except Exception as error:
        raise InputError(f"{path}: the place of {like.path} cannot be written ({one_line(error)})") from error


def check_same_place(first: str | Path | None, other: str | Path | None) -> None:
    """Check that two volumes have the same affine, where both files state one: NIfTI, not Analyze.

    Volumes that were not resampled to each other, or are stored in another orientation, may have one shape, and would
    be taken for images of the same voxels.

    Raises:
        InputError: entries of the affines differ by more than 0.01 mm.
    """
    if not all(path is not None and image_suffix(path) in NIFTI_SUFFIXES for path in (first, other)):
        return
    stated = []
    for path in map(Path, (first, other)):
        _check_there(path)
        nibabel = _nibabel(path, "reading")
        with _faults(path), _quietly(), _opened(path, nibabel) as (volume, _):
            # The header of Analyze says nothing of the orientation.
            stated += [volume.affine] if hasattr(volume.header, "get_sform") else []
    same = len(stated) < 2 or np.allclose(*stated, rtol=0, atol=0.01)
    expect(same, other, f"another affine than {Path(first).name} has", "the same place and orientation; resample it")


def _nibabel(path: Path, doing: str) -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise InputError(f'{doing} {path}: nibabel is not installed; run pip install "aeanet-tf[mri]"') from error
    return nibabel


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file{nearest_path(path)}")
    if image_suffix(path) == ".hdr":
        pixels = _beside(path)
        if not pixels.is_file():
            raise InputError(f"{pixels}: no such file, expected the voxels of {path.name} beside it")


def _beside(path: Path) -> Path:
    """The file of voxels of a header, in capitals where the header's suffix is."""
    return path.with_suffix(".IMG" if path.suffix.isupper() else ".img")


def _check_volume(path: Path, image: Any) -> None:
    """Check what a header says, before there is an array of it."""
    shape, dtype = tuple(map(int, image.shape)), image.get_data_dtype()
    expect(dtype.kind in "biuf", path, f"voxels of type {dtype}", "integers or floats")
    if min(shape, default=0) < 1:
        raise InputError(f"{path}: the volume is empty, its shape is {shape}")
    frames = math.prod(shape[3:])
    expect(frames <= 1, path, f"{frames} frames, shape {shape}", "one volume of three dimensions")
    single = image_suffix(path) != ".hdr"
    stored = (path if single else _beside(path)).stat().st_size
    nbytes = math.prod(shape) * dtype.itemsize
    check_claim(path, nbytes, stored, DEFLATE_RATIO if image_suffix(path) == ".nii.gz" else 1, "voxels")
    # Scaled they are of 8 bytes for a time, then as floats.
    check_memory(path, nbytes + math.prod(shape) * (8 if dtype.kind != "f" else dtype.itemsize), "voxels")


def _calibration(header: Any) -> tuple[dict[str, float], str]:
    zooms = (*header.get_zooms(), 1.0, 1.0)[:3]
    # A size of 0 stands for one that is not known.
    sizes = {axis: float(size) for axis, size in zip("XYZ", zooms, strict=True) if np.isfinite(size) and size > 0}
    unit = header.get_xyzt_units()[0] if hasattr(header, "get_xyzt_units") else "mm"
    return sizes, _UNITS.get(unit, "mm")


def _storable(path: Path, array: np.ndarray, analyze: bool) -> np.ndarray:
    """The array in a dtype that programs read, and that Analyze knows where it is to be that."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    expect(kind in "biuf", path, f"voxels of type {array.dtype}", "integers or floats")
    check_finite(path, array)
    if kind == "b":
        return array.astype(np.uint8)
    if kind == "f":
        return array.astype(np.float64 if size >= 8 else np.float32, copy=False)
    if size < 8 and not (analyze and array.dtype.name not in _ANALYZE_INTEGERS):
        return array
    info = np.iinfo(np.int32)
    low, high = array.min(), array.max()
    fits = low >= info.min and high <= info.max
    expect(fits, path, f"values {low} to {high}", "integers that fit into 32 bits")
    return array.astype(np.int32)


def _is_nifti(header: Any) -> bool:
    import nibabel

    return isinstance(header, nibabel.Nifti1Header)


def _image_like(path: Path, data: np.ndarray, like: Volume) -> Any:
    """nibabel's image of ``data``, indexed [i, j, k] or [i, j, k, channel], in the place of ``like``."""
    import nibabel

    header, single = like.header.copy(), image_suffix(path) != ".hdr"
    analyze = not _is_nifti(header)
    kind = "Nifti2" if isinstance(header, nibabel.Nifti2Header) else "Nifti1"
    if analyze and not single:
        return _analyze(path, data, header, like.affine)
    image = getattr(nibabel, f"{kind}{'Image' if single else 'Pair'}")(data, like.affine, None if analyze else header)
    if analyze:
        image.header.set_xyzt_units("mm")
    image.set_data_dtype(data.dtype)
    image.header.set_slope_inter(1, 0)
    # The window of grey values is that of the scan.
    image.header["cal_min"] = image.header["cal_max"] = 0
    return image


def _analyze(path: Path, data: np.ndarray, header: Any, affine: np.ndarray) -> Any:
    import nibabel

    kinds = (nibabel.Spm2AnalyzeImage, nibabel.Spm99AnalyzeImage, nibabel.AnalyzeImage)
    kind = next(kind for kind in kinds if isinstance(header, kind.header_class))
    header.set_data_shape(data.shape)
    if not np.allclose(header.get_best_affine(), affine):
        raise InputError(f"{path}: Analyze cannot hold the affine of the volume (from a .mat file); write a .nii file")
    header.set_data_dtype(data.dtype)
    return kind(data, affine, header)


def _write_pair(path: Path, image: Any) -> None:
    from nibabel.fileholders import FileHolder

    # In memory, since nibabel chooses names by suffixes; a third part (.mat, of SPM) says what the header says.
    parts = {name: FileHolder(fileobj=BytesIO()) for name in image.file_map}
    image.to_file_map(parts)
    with ExitStack() as stack:
        # The last to enter is the first to be renamed.
        for name, part in (("header", path), ("image", _beside(path))):
            stack.enter_context(replacing(part)).write_bytes(parts[name].fileobj.getvalue())
