"""Decoders written in C, given bytes that are damaged at random, end neither the process nor its memory."""

import subprocess
import sys

import pytest

MOST = 1_500_000_000
CODE = f"""
import resource, sys, time
from pathlib import Path
import numpy as np
from tests.hostile import damage, makers_hdf5, makers_nifti, makers_npz, makers_pictures, makers_zarr
from tests.hostile.test_hostile_images import patches, piecewise, slices, whole
from aeanet_tf.errors import InputError

zarr, pictures = makers_zarr, makers_pictures
makers = {{
    "blosc": (zarr.format_2(zarr._BLOSC.encode, compressor={{"id": "blosc"}}), whole),
    "lz4": (zarr.format_2(zarr._LZ4.encode, compressor={{"id": "lz4"}}), piecewise),
    "zstd": (zarr.format_2(zarr._ZSTD.encode, compressor={{"id": "zstd"}}), whole),
    "hdf5": (makers_hdf5.stack(**makers_hdf5._COMPRESSED), slices),
    "hdf5 latest": (makers_hdf5.stack("latest", chunks=(2, 8, 16), compression="lzf"), slices),
    "hdf5 plain": (makers_hdf5.stack(), slices),
    "nifti": (makers_nifti.volume("a.nii.gz"), whole),
    "npz": (makers_npz.zipped(), patches),
    "png": (pictures.picture(), whole),
    "jpeg": (pictures.saved("JPEG", pictures.COLOURS), whole),
    "bmp": (pictures.saved("BMP"), whole),
}}
before = None
for name, (make, read) in makers.items():
    for seed in range(100, 160):
        for how in (damage.flipped, damage.overwritten):
            folder = Path(sys.argv[1]) / f"{{name}} {{seed}} {{how.__name__}}"
            folder.mkdir()
            start = time.monotonic()
            try:
                read(how(make, seed)(folder))
            except InputError as error:
                assert "\\n" not in str(error)
            assert time.monotonic() - start < 20, folder
            if before is None:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
assert grown < {MOST}, grown
"""


@pytest.mark.slow
def test_1320_damaged_files_end_in_pixels_or_one_line(tmp_path):
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
