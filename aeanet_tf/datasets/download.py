"""Downloading a data set: fetched, checked, unpacked, and once only."""

import json
import logging
import shutil
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from aeanet_tf.datasets.archives import is_archive, unpack
from aeanet_tf.datasets.catalogue import Dataset, get_dataset
from aeanet_tf.downloads import fetch
from aeanet_tf.errors import InputError, UnfinishedError
from aeanet_tf.files import read_json, replacing_folder, write_text

_LOGGER = logging.getLogger(__name__)


class Download(NamedTuple):
    """Where a data set lies: its folder, the record of its download, and whether this call put it there."""

    folder: Path
    record: Path
    fetched: bool


def download(dataset: str | Dataset, output: str | Path = "data") -> Download:
    """Make the folder ``output/NAME`` with the contents of a data set; does nothing where it is complete.

    The data set's file is fetched to ``output`` (a file of that name that lies there, saved by hand, is taken), its
    sha256 compared, and it is unpacked to a temporary folder that gets its name when all is done; what was fetched is
    then removed. A download that broke off keeps its part, and the next call fetches the rest
    (`aeanet_tf.downloads`).

    Where nobody has published a sha256, the size that the server states and the checksums within the archive are all
    there is to check. The sha256 found is then kept in ``output/NAME.download.json``, beside the folder, with address,
    size and date. When the folder is deleted and downloaded again, that file decides: data that have changed since are
    refused, until it is deleted, too.

    Args:
        dataset: name, or the data set itself.
        output: folder for all data sets.

    Raises:
        InputError: the data set is unknown or its owner gives it out by hand only (the message says where to get it and
            how to arrange it), the folder is there but not from here, the sha256 is another (the file is removed), or
            the archive is damaged or unsafe.
        UnfinishedError: the file cannot be fetched, or the disk cannot be written.
    """
    if isinstance(dataset, str):
        dataset = get_dataset(dataset)
    folder = Path(output) / dataset.name
    record = Path(output) / f"{dataset.name}.download.json"
    recorded = _read_record(record)
    if dataset.url is None:
        if folder.is_dir():
            return Download(folder, record, False)
        raise InputError(
            f"{dataset.name}: cannot be fetched by a program: get it from {dataset.page} and put into {folder}: "
            f"{dataset.layout}; {dataset.guide} says more"
        )
    if folder.exists():
        if recorded is None:
            raise InputError(
                f"{folder}: is there, but not from a download; move it, or choose another folder with --output"
            )
        return Download(folder, record, False)
    if recorded is not None and recorded["url"] != dataset.url:
        recorded = None
    file = Path(output) / dataset.file
    remedy = "" if dataset.sha256 else f"; {record} holds that of the first download: delete it to accept the new file"
    fetched = fetch(dataset.url, file, dataset.sha256 or (recorded["sha256"] if recorded else None), remedy)
    _arrange(dataset.url, file, folder, record, fetched)
    return Download(folder, record, True)


def _arrange(url: str, file: Path, folder: Path, record: Path, fetched: bool) -> None:
    """Unpack or move the file into the folder, and record it."""
    import pooch

    facts = {"url": url, "file": file.name, "bytes": file.stat().st_size, "sha256": pooch.file_hash(str(file))}
    with replacing_folder(folder) as temporary:
        if is_archive(file):
            _LOGGER.info("unpacking %s", file)
            try:
                unpack(file, temporary)
            except UnfinishedError:
                raise
            except InputError:
                # Not what somebody saved by hand.
                if fetched:
                    file.unlink()
                raise
        else:
            temporary.mkdir(parents=True)
            # Copied, so that nothing is lost of what somebody saved by hand if this fails.
            shutil.copy2(file, temporary / file.name)
        # Before the folder has its name, so that there is never a folder without its record.
        write_text(record, json.dumps({**facts, "date": date.today().isoformat()}, indent=2) + "\n")
    if fetched and file.exists():
        file.unlink()


def _read_record(record: Path) -> dict[str, Any] | None:
    if not record.exists():
        return None
    try:
        content = read_json(record)
        if isinstance(content["url"], str) and isinstance(content["sha256"], str):
            return content
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{record}: is not the record of a download, expected JSON with url and sha256; delete it")
