"""What a prediction of files has done so far, kept beside its results until they are complete."""

import hashlib
import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path

from aeanet_tf.errors import InputError, expect, one_line, writing
from aeanet_tf.files import read_json, write_text
from aeanet_tf.io.made_by import MadeBy
from aeanet_tf.locks import locked
from aeanet_tf.models.weights_file import network_digest
from aeanet_tf.prediction.kept import Features, Journal
from aeanet_tf.prediction.plan import Plan

logger = logging.getLogger("aeanet_tf")

PREFIX = ".partial-run-"


class RunState:
    """A hidden folder in the output folder, named after what is predicted and how.

    The same command finds it again and goes on; another one begins anew. It is there only from the first thing that
    is worth keeping until the run is complete.

    Args:
        output: the output folder.
        facts: what decides the result: JSON data.
        made_by: the `MadeBy` of the results.
    """

    def __init__(self, output, facts, made_by=None):
        self.made_by = made_by
        self.digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]
        self.folder = Path(output) / f"{PREFIX}{self.digest}"
        others = [p.name for p in Path(output).glob(f"{PREFIX}*") if p.is_dir() and p != self.folder]
        if others:
            logger.warning(
                "%s holds what other, unfinished runs have done (%s); delete it if it is not wanted",
                output,
                ", ".join(sorted(others)),
            )

    def locked(self, wait=False):
        """Hold the run for this process, see `aeanet_tf.locks.locked`; workers of a cluster need no lock."""
        hint = "--wait waits for its end, another --output predicts beside it"
        path = self.folder.with_name(f"{self.folder.name}.lock")
        return locked(path, "this prediction is being made", hint, wait)

    def finished(self, paths):
        """Whether these results are complete, and still what this run has written."""
        path = self.folder / "finished.txt"
        # A last line without its end was cut off by a kill.
        lines = set(path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]) if path.exists() else set()
        return lines.issuperset(json.dumps(file_facts(p)) for p in paths)

    def enter_finished(self, paths):
        """Note results that are complete."""
        path = self.folder / "finished.txt"
        with writing(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.writelines(f"{json.dumps(file_facts(p))}\n" for p in paths)

    def plan(self, group):
        """The `Plan` that a group of images was begun with, ``None`` if it was not, or if nobody can tell any more."""
        path = self._of(group) / "plan.json"
        if not path.exists():
            return None
        try:
            plan = Plan(**{k: tuple(v) if isinstance(v, list) else v for k, v in read_json(path).items()})
            numbers = [*plan.n_tiles, *plan.size, *plan[2:]]
            expect(all(isinstance(n, (int, float)) for n in numbers), "plan", "other values", "numbers")
            return plan
        except (InputError, AttributeError, TypeError) as error:
            logger.warning("%s: damaged (%s); these images are begun anew", path, one_line(error))
            return None

    def enter_plan(self, group, plan):
        """Keep the `Plan` of a group."""
        write_text(self._of(group) / "plan.json", json.dumps(plan._asdict()))

    def journal(self, group, job):
        """The `Journal` of one job of a group."""
        return Journal(self._of(group) / f"job{job}")

    def features(self, group, job, plan):
        """The `Features` of one job of a group. Another plan has others, should a lost worker still write."""
        return Features(self._of(group) / f"job{job}" / "x".join(map(str, (*plan.n_tiles, plan.kept))))

    def forget(self, group):
        """Remove what is known of a group."""
        # The plan first: whoever is killed in between begins anew.
        with suppress(OSError):
            (self._of(group) / "plan.json").unlink()
        shutil.rmtree(self._of(group), ignore_errors=True)

    def remove(self):
        """Remove everything: the run is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _of(self, group):
        return self.folder / f"group{group}"


def maker_of(models):
    """The `MadeBy` of what one model predicts, or several together."""
    digest = hashlib.sha256("".join(map(network_digest, models)).encode()).hexdigest()[:12]
    return MadeBy(" + ".join(model.name for model in models), digest)


def file_facts(path):
    """What tells one version of a file, or of all files of a folder, from another: path, sizes, times of change."""
    path = Path(path)
    described = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in described:
        status = file.stat() if file.exists() else None
        facts = (str(file.relative_to(path)), status and status.st_size, status and status.st_mtime_ns)
        digest.update(repr(facts).encode())
    return [str(path.resolve()), digest.hexdigest()]
