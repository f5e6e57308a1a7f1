"""The files of a training: whether they are still those that it began with.

A training that goes on, or is started once more, may find other images under the same names. They are told apart by
size, time of change and, where these differ, by what is in them, of which a part is enough for large files: nothing
that takes as long as reading terabytes.
"""

import hashlib
import json
import os
from pathlib import Path

from aeanet_tf.errors import InputError
from aeanet_tf.files import read_json, write_text

FILE = "training_images.json"
"""In a model folder: name of each image relative to ``data.root`` -> its size, time of change and digest."""

_WHOLE = 2**24
# Of larger files, and of folders with more files, so many parts.
_PARTS = 16
_MOST_NAMED = 3


def save_images(folder, section, paths, held_out=None):
    """Keep what tells the files of a training from others, in its model folder, and which of them are held out.

    Args:
        folder: of the model.
        section: the section ``data`` of the run configuration.
        paths: files, and folders of OME-Zarrs.
        held_out: path -> ``True``, or the part of it, of those that are only validated on; their records have it as
            ``"validation"``.

    Raises:
        InputError: one of them has gone.
    """
    root, records = _root(section), {}
    for path in dict.fromkeys(map(Path, paths)):
        try:
            size, time = _status(path)
            record = {"size": size, "time": time, "digest": content_digest(path)}
            if str(path) in (held_out or {}):
                record["validation"] = held_out[str(path)]
            records[_name(path, root)] = record
        except OSError as error:
            raise InputError(f"{path}: cannot be read any more ({error.strerror or error})") from None
    write_text(Path(folder) / FILE, json.dumps(records, indent=1) + "\n")


def check_images(folder, section, paths):
    """Refuse to go on with a training whose images are others now; nothing is known of one that kept nothing of them.

    Raises:
        InputError: images have changed, or are missing or new.
    """
    changed = _changed(folder, section, paths)
    if changed:
        raise InputError(
            f"{folder}: holds an unfinished training of other images: {_listed(changed)}; --overwrite begins anew, "
            "another model.name keeps it"
        )


def images_remark(folder, section):
    """A remark, to go behind "holds a trained model", where files that it was trained on are others now; or ``""``."""
    try:
        changed = _changed(folder, section)
    except InputError:
        # The data are not there; that is no news of the images.
        return ""
    return f" of other images ({_listed(changed)})" if changed else ""


def _changed(folder, section, paths=None):
    """Names of images with what became of them."""
    records = training_records(folder)
    if not records:
        return []
    root = _root(section)
    changed = []
    for name, record in records.items():
        path = root / name
        if not path.exists():
            changed.append(f"{name} is missing")
        elif _status(path) != (record["size"], record["time"]) and content_digest(path) != record["digest"]:
            changed.append(f"{name} has changed")
    if paths is not None:
        now = {_name(Path(path), root) for path in paths}
        changed += [f"{name} is no longer among them" for name in records if name not in now and (root / name).exists()]
        changed += [f"{name} is new" for name in sorted(now - records.keys())]
    return changed


def training_records(folder):
    """Name -> size, time, digest, and for those held out ``"validation"``, of what a model was trained on; or empty."""
    try:
        records = read_json(Path(folder) / FILE)
        fits = all({"size", "time", "digest"} <= record.keys() for record in records.values())
    except (OSError, ValueError, AttributeError):
        return {}
    return records if fits else {}


def _listed(changed):
    more = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
    return ", ".join(changed[:_MOST_NAMED]) + more


def _root(section):
    return section.folder().absolute()


def _name(path, root):
    try:
        return Path(os.path.relpath(path.absolute(), root)).as_posix()
    except ValueError:
        # On another drive.
        return path.absolute().as_posix()


def _parts(path):
    """The file, or all files of a folder in the order of their names."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _status(path):
    """Size in bytes and time of the last change in ns, of all files of a folder."""
    status = [part.stat() for part in _parts(path)]
    return sum(s.st_size for s in status), max((s.st_mtime_ns for s in status), default=0)


def fingerprint(path):
    """What tells the content of an image from that of others, as one text: its size and its digest."""
    return f"{_status(Path(path))[0]}-{content_digest(Path(path))}"


def content_digest(path):
    """Of a file, or parts from its beginning to its end; of a folder by names and sizes, and by some of its files."""
    digest, files = hashlib.blake2b(digest_size=16), _parts(path)
    for file in files:
        digest.update(repr((file.relative_to(path).as_posix(), file.stat().st_size)).encode())
    for file in files[:: max(1, len(files) // _PARTS)]:
        size = file.stat().st_size
        length = size if size <= _WHOLE else _WHOLE // _PARTS
        step = (size - length) // (_PARTS - 1)
        with open(file, "rb") as opened:
            for start in range(0, size - length + 1, step or 1) if size > length else [0]:
                opened.seek(start)
                digest.update(opened.read(length))
    return digest.hexdigest()
