"""TIFF files opened for a while: what tifffile says of them, and the calibration in their metadata."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import tifffile

from aeanet_tf.errors import InputError, one_line
from aeanet_tf.io.image import TIFF_SUFFIXES, image_suffix
from aeanet_tf.io.ome_sets import companion_xml, metadata_file, ome_files
from aeanet_tf.io.pixel_size import imagej_pixel_size, lsm_pixel_size, ome_pixel_size, stk_pixel_size
from aeanet_tf.io.tiff_claims import check_chain, check_ome

logger = logging.getLogger("aeanet_tf")


@contextmanager
def _tifffile_complaints() -> Iterator[tuple[list[str], list[str]]]:
    """Collect what tifffile logs as errors (a truncated file gives fewer pages and no exception), and as warnings."""
    complaints: list[str] = []
    warnings: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        # An unreadable tag is no loss of pixels.
        if record.levelno >= logging.ERROR and "TiffTag" not in message:
            complaints.append(message)
        # Planes that are missing are told by who opens the image.
        elif record.levelno == logging.WARNING and "TiffTag" not in message and "OME series" not in message:
            warnings.append(message)
        return record.levelno < logging.WARNING

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield complaints, warnings
    finally:
        logger.removeFilter(collect)


@contextmanager
def tiff_file(path: str | Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file for the block; what goes wrong in the block counts as a fault of the file.

    Of a set of OME-TIFFs one with the metadata is opened, where the metadata are in another file (a TIFF, or one
    called ``.companion.ome``).

    Raises:
        InputError: the file is not a TIFF, or damaged, or truncated.
    """
    path = Path(path)
    with _tifffile_complaints() as (complaints, warnings):
        try:
            check_chain(path)
            with tifffile.TiffFile(path) as tif, _with_metadata(path, tif) as described:
                if described.is_ome:
                    check_ome(path, described.ome_metadata, described.pages[0])
                yield described
        except (InputError, MemoryError):
            raise
        # Codecs and the parser raise whatever the damaged bytes lead them to.
        except Exception as error:
            raise InputError(f"{path}: not a readable TIFF image ({one_line(error)}){codec_remedy(error)}") from error
    if complaints:
        raise InputError(f"{path}: the TIFF file is damaged or truncated ({one_line(complaints[0])})")
    for warning in warnings:
        _say_once(path, one_line(warning))


def codec_remedy(error: Exception) -> str:
    """What to do about a codec that is not installed, for the end of a message."""
    missing = isinstance(error, ImportError) or "imagecodecs" in str(error)
    return "; its codec is missing: pip install imagecodecs" if missing else ""


@lru_cache(maxsize=256)
def _say_once(path: Path, warning: str) -> None:
    logger.warning("%s: %s", path, warning)


@contextmanager
def _with_metadata(path: Path, tif: tifffile.TiffFile) -> Iterator[tifffile.TiffFile]:
    files = ome_files(tif.ome_metadata) if tif.is_ome else None
    if files is None or files.metadata is None:
        yield tif
        return
    main = metadata_file(path, files)
    if image_suffix(main) in TIFF_SUFFIXES:
        with tifffile.TiffFile(main) as other:
            yield other
    else:
        with tifffile.TiffFile(path, omexml=companion_xml(main)) as other:
            yield other


def tiff_calibration(tif: tifffile.TiffFile, number: int = 0) -> tuple[dict[str, float], str | None]:
    """Size by axis (Z, Y, X in the unit, T in seconds) and the unit, from metadata of OME, ImageJ, LSM or STK.

    Args:
        tif: the open file.
        number: of the image among those that the metadata names.
    """
    if tif.is_ome:
        return ome_pixel_size(tif.ome_metadata, number)
    if tif.is_imagej:
        return imagej_pixel_size(tif.imagej_metadata, tif.pages[0].tags)
    if tif.is_lsm:
        return lsm_pixel_size(tif.lsm_metadata)
    if tif.is_stk:
        return stk_pixel_size(tif.stk_metadata)
    return {}, None
