"""Bars are shown at a terminal and in notebooks, and nowhere else."""

import sys
from types import SimpleNamespace

import pytest

from aeanet_tf.progress import in_notebook, progress_bar


class Widget:
    """As much of a widget of ipywidgets as tqdm's bar needs."""

    def __init__(self, **options):
        self.layout, self.style, self.bar_style = SimpleNamespace(), SimpleNamespace(bar_color=None), ""
        self.__dict__.update(options)

    def close(self):
        pass


def shell(monkeypatch, config):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(config=config)))


def test_no_bar_where_nobody_looks(capsys, monkeypatch):
    assert not in_notebook() and progress_bar(range(3)).disable
    # IPython at a terminal that is a pipe.
    shell(monkeypatch, {"TerminalIPythonApp": {}})
    assert not in_notebook() and list(progress_bar(range(3))) == [0, 1, 2]
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook() and capsys.readouterr().err == ""


def test_a_bar_at_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress_bar(range(3), unit="tile")) == [0, 1, 2] and "tile" in capsys.readouterr().err
    assert progress_bar(range(3), quiet=True).disable


@pytest.mark.parametrize("widgets", [True, False])
def test_a_bar_in_a_notebook(capsys, monkeypatch, recwarn, widgets):
    """The kernel's standard error is no terminal; without ipywidgets the bar is text."""
    shown = []
    shell(monkeypatch, {"IPKernelApp": {}})
    # By which tqdm knows a notebook from a console.
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", SimpleNamespace())
    monkeypatch.delenv("QT_API", raising=False)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=shown.append))
    fake = SimpleNamespace(HTML=Widget, HBox=Widget, FloatProgress=Widget) if widgets else None
    monkeypatch.setitem(sys.modules, "ipywidgets", fake)
    for name in ("auto", "autonotebook", "notebook"):
        monkeypatch.delitem(sys.modules, f"tqdm.{name}", raising=False)
    bar = progress_bar(range(3), unit="tile")
    assert not bar.disable and list(bar) == [0, 1, 2]
    assert bool(shown) == widgets and ("tile" in capsys.readouterr().err) != widgets
    assert not recwarn.list
