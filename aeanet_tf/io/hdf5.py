"""Datasets of HDF5 files, read in parts: of this file alone, by known filters, and no more than the file can hold."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from aeanet_tf.errors import InputError, expect, one_line
from aeanet_tf.io.chunks import check_chunks, read_chunks, tell_unstored, touched
from aeanet_tf.io.codecs import Codec, decode, lzf_size, stored_at_most
from aeanet_tf.io.tiff import Slices
from aeanet_tf.memory import check_claim, check_memory
from aeanet_tf.paths import nearest_path

# Codes of HDF5's filters. What deflate makes of a chunk HDF5 itself would not limit, so these are undone here.
_DEFLATE, _SHUFFLE, _FLETCHER = 1, 2, 3
_OWN = {_DEFLATE: "zlib", _SHUFFLE: "shuffle", _FLETCHER: "fletcher32"}
# What these make of a chunk is bounded, and undone by HDF5, once it is known to fill the chunk.
_SZIP, _LZF = 4, 32000
_MOST_LINKS = 16
_MOST_NAMES = 10


@dataclass(frozen=True)
class Hdf5Dataset:
    """A dataset of an HDF5 file, which is open only while it is read; made by `open_hdf5`.

    Attributes:
        path: the file.
        name: of the dataset in it, links followed.
        shape: of the dataset.
        dtype: of the pixels, in the byte order of the machine.
        chunks: shape of what is sensible to read at once.
        stored: the dtype in the file.
        codecs: what was done to the bytes of a chunk, where it is undone here; None where HDF5 reads.
        fill: value of chunks that are not stored.
        last: code of the last filter, where HDF5 undoes it; 0 otherwise.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]
    stored: np.dtype
    codecs: tuple[Codec, ...] | None
    fill: Any
    last: int = 0

    def read(self, slices: Slices) -> np.ndarray:
        import h5py

        check_memory(self.path, math.prod(part.stop - part.start for part in slices) * self.dtype.itemsize)
        with h5py.File(self.path, "r") as file:
            dataset = file[self.name]
            if self.last:
                for index in product(*touched(slices, self.chunks)):
                    self._check_size(dataset.id, index)
            if self.codecs is None:
                return dataset[slices].astype(self.dtype, copy=False)

            def fetch(index: tuple[int, ...], within: Slices) -> np.ndarray | None:
                skipped, data = self._stored(dataset.id, index)
                if data is None:
                    return None
                codecs = [codec for number, codec in enumerate(self.codecs) if not skipped >> number & 1]
                return np.frombuffer(decode(codecs, data, self._size), self.stored).reshape(self.chunks)[within]

            return read_chunks(self.chunks, self.dtype, self.fill, slices, fetch)

    @property
    def _size(self) -> int:
        return math.prod(self.chunks) * self.stored.itemsize

    def _check_size(self, dataset: Any, index: tuple[int, ...]) -> None:
        """Raise `ValueError` for a chunk that HDF5 would not fill, leaving in it what was in memory."""
        skipped, data = self._stored(dataset, index)
        if data is None or skipped:
            return
        # szip begins with the size; of what it holds its own checks are to be relied upon.
        size = int.from_bytes(data[:4], "little") if self.last == _SZIP else lzf_size(data)
        if size != self._size:
            raise ValueError(f"a chunk has {size} bytes instead of {self._size}")

    def _stored(self, dataset: Any, index: tuple[int, ...]) -> tuple[int, bytes | None]:
        """Which filters were skipped for a chunk, bit by bit, and its bytes as stored; None where there are none."""
        start = tuple(number * size for number, size in zip(index, self.chunks, strict=True))
        place = dataset.get_chunk_info_by_coord(start)
        if not place.size:
            return 0, None
        most = min(stored_at_most(self.codecs or (), self._size), os.path.getsize(self.path))
        if place.size > most:
            raise ValueError(f"a chunk is stored in {place.size} bytes, expected at most {most}")
        return dataset.read_direct_chunk(start)


def open_hdf5(path: str | Path, dataset: str) -> tuple[Hdf5Dataset, np.ndarray]:
    """Open a dataset of an HDF5 file without reading its pixels.

    Args:
        path: the file.
        dataset: path of the dataset in it. Links within the file are followed.

    Returns:
        The dataset, and the numbers of its attribute ``resolution``, empty where it has none.

    Raises:
        InputError: there is no such file or dataset; it refers to another file (external links, external storage,
            virtual datasets), is damaged, holds no numbers, has a filter that is not known, or claims more than the
            file or memory can hold.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file{nearest_path(path)}")
    with _faults(path):
        import h5py

        with h5py.File(path, "r") as file:
            name = _follow(path, file, dataset)
            entry = file[name] if name is not None else None
            if not isinstance(entry, h5py.Dataset):
                raise InputError(f"{path}: no dataset {dataset!r} in it, expected one of: {_datasets(file)}")
            return _described(path, name, entry), _resolution(entry)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (InputError, MemoryError, ImportError):
        raise
    # h5py raises whatever the damaged bytes lead HDF5 to.
    except Exception as error:
        raise InputError(f"{path}: not a readable HDF5 file ({one_line(error)})") from error


def _follow(path: Path, file: Any, dataset: str) -> str | None:
    """The path of an object with no soft link in it; None where there is none.

    Raises:
        InputError: a link leads out of the file, or links lead in a circle.
    """
    from h5py import h5g, h5l

    left, walked, followed = dataset.split("/")[::-1], [], 0
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        group = file.id if not walked else h5g.open(file.id, "/".join(walked).encode())
        name = part.encode()
        if not group.links.exists(name):
            return None
        kind = group.links.get_info(name).type
        if kind == h5l.TYPE_SOFT:
            followed += 1
            expect(followed <= _MOST_LINKS, path, f"links in a circle at {part!r:.60}", "a dataset behind them")
            target = group.links.get_val(name).decode()
            walked = [] if target.startswith("/") else walked
            left += target.split("/")[::-1]
            continue
        expect(kind == h5l.TYPE_HARD, path, f"{part!r:.60} in another file", "a dataset of this file")
        walked.append(part)
        if [name for name in left if name not in ("", ".")] and not _is_group(file, walked):
            return None
    return "/".join(walked) or None


def _is_group(file: Any, parts: list[str]) -> bool:
    from h5py import h5o

    return h5o.get_info(h5o.open(file.id, "/".join(parts).encode())).type == h5o.TYPE_GROUP


def _described(path: Path, name: str, entry: Any) -> Hdf5Dataset:
    from h5py import h5d

    # A dataset without a value has no shape.
    shape, dtype = entry.shape or (), entry.dtype
    expect(
        dtype.kind in "biufc" and dtype.subdtype is None, path, f"pixels of type {dtype!s:.60}", "integers or floats"
    )
    expect(_is_plain(entry, dtype), path, f"pixels of a type like {dtype}, with unused bits", "a type of NumPy's")
    created = entry.id.get_create_plist()
    layout = created.get_layout()
    own_bytes = layout != h5d.VIRTUAL and not created.get_external_count()
    expect(own_bytes, path, f"dataset {name!r:.60}, whose pixels are in other files", "pixels in this file")
    nbytes = math.prod(shape) * dtype.itemsize
    common = path, name, shape, dtype.newbyteorder("=")
    if layout != h5d.CHUNKED:
        stored = entry.id.get_storage_size()
        check_claim(path, nbytes, min(stored, path.stat().st_size), 1)
        tell_unstored(path, name, int(stored > 0), 1, entry.fillvalue)
        return Hdf5Dataset(*common, shape, dtype, None, 0)
    filters = [created.get_filter(number) for number in range(created.get_nfilters())]
    for code, _, _, label in filters:
        known = code in _OWN or code in (_SZIP, _LZF)
        expect(known, path, f"the filter {code} ({label.decode(errors='replace'):.40})", "gzip, lzf, szip or shuffle")
    stored = entry.id.get_num_chunks()
    total = check_chunks(path, shape, entry.chunks, dtype.itemsize, stored)
    tell_unstored(path, name, stored, total, entry.fillvalue)
    width = (("elementsize", dtype.itemsize),)
    codecs = tuple(Codec(_OWN[f[0]], width if f[0] == _SHUFFLE else ()) for f in filters if f[0] in _OWN)
    own = codecs if len(codecs) == len(filters) else None
    # Before a checksum, which HDF5 compares, there is nothing to be checked.
    last = filters[-1][0] if filters and filters[-1][0] in (_SZIP, _LZF) else 0
    return Hdf5Dataset(*common, entry.chunks, dtype, own, entry.fillvalue, last)


def _is_plain(entry: Any, dtype: np.dtype) -> bool:
    """Whether the stored numbers are those of a dtype, byte by byte; HDF5 knows others, such as of 12 bits."""
    from h5py import h5t

    stored = entry.id.get_type()
    if isinstance(stored, h5t.TypeEnumID):
        stored = stored.get_super()
    if dtype.kind == "c":
        return True
    return stored.equal(h5t.py_create(np.dtype("int8") if dtype.kind == "b" else np.dtype(dtype.str)))


def _resolution(entry: Any) -> np.ndarray:
    if "resolution" not in entry.attrs:
        return np.empty(0)
    attribute = entry.attrs.get_id("resolution")
    plain = (
        attribute.dtype.kind in "iuf"
        and attribute.shape is not None
        and math.prod(attribute.shape) <= len(entry.shape or ())
    )
    return np.ravel(entry.attrs["resolution"]) if plain else np.empty(0)


def _datasets(file: Any) -> str:
    """The first datasets of an open HDF5 file, in words."""
    import h5py

    names: list[str] = []

    def note(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset):
            names.append(name[:100])
        # What is returned ends the search.
        return True if len(names) > _MOST_NAMES else None

    file.visititems(note)
    return ", ".join([*names[:_MOST_NAMES], *(["..."] if len(names) > _MOST_NAMES else [])]) or (
        "none, the file has no datasets"
    )
