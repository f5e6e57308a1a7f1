"""One job at a time in a thread of napari's, with a bar, a stop button and a line that says what there is to say."""

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor

from napari.qt.threading import create_worker
from napari.utils import progress
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from aeanet_tf.errors import DivergedError, InputError, one_line
from aeanet_tf.napari.garbage import collect_anywhere, collect_in_window
from aeanet_tf.napari.watch import Progress, Remark, Stopped, Watch

logger = logging.getLogger("aeanet_tf")

# Of a bar.
_STEPS = 1000
# TensorFlow is used in one thread for as long as napari runs: those of Qt end when they have nothing to do, and what
# TensorFlow keeps for a thread with them.
_thread = ThreadPoolExecutor(1, "aeanet")


class _News(QObject):
    """Brings what a job tells from its thread into that of the window."""

    told = Signal(object)


class JobWidget(QWidget):
    """A form with a button that starts a job in a thread, and what is seen of that.

    Subclasses give `start` the job, and take what it tells beside progress in `on_news`.

    Args:
        title: of the button that starts.

    Attributes:
        start_button, stop_button, bar, line: the parts below the form.
    """

    def __init__(self, title):
        super().__init__()
        self.start_button, self.stop_button = QPushButton(title), QPushButton("Stop")
        self.bar, self.line = QProgressBar(), QLabel()
        self.line.setWordWrap(True)
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self._title, self._worker, self._watch, self._done, self._napari_bar = title, None, None, None, None
        self._news = None
        self.start_button.clicked.connect(self.on_start)
        self.stop_button.clicked.connect(self.stop)
        self._show_running(False)

    def lay_out(self, *parts):
        """Put widgets one below the other, then the buttons, the bar and the line."""
        layout, buttons = QVBoxLayout(self), QHBoxLayout()
        buttons.addWidget(self.start_button)
        buttons.addWidget(self.stop_button)
        for part in parts:
            layout.addWidget(part)
        layout.addLayout(buttons)
        layout.addWidget(self.bar)
        layout.addWidget(self.line)
        layout.addStretch()

    @property
    def running(self):
        """Whether a job is there that has not ended."""
        return self._worker is not None

    def on_start(self):
        """What the button does; see `start`."""
        raise NotImplementedError

    def on_news(self, news):
        """What a job tells beside `Progress` and `Remark`."""

    def on_stopped(self):
        """What to say of a job that was stopped."""
        self.say("stopped")

    def start(self, job, done):
        """Run a job in a thread; nothing happens while another one runs.

        Args:
            job: ``job(watch)``, with a `Watch`.
            done: ``done(result)``, called in the thread of the window unless the job failed or was stopped, which it
                is where the widget is closed.
        """
        if self.running:
            return
        # Kept after the job, so that it is not the thread of the job that deletes it.
        news = self._news = _News()
        news.told.connect(self._on_told)
        watch = Watch(news.told.emit, lambda: worker.abort_requested)
        worker = create_worker(_in_thread, job, watch, _start_thread=False)
        self._worker, self._watch, self._done = worker, watch, done
        worker.returned.connect(self._on_returned)
        worker.finished.connect(self._on_finished)
        self._napari_bar = progress(total=_STEPS, desc=self._title)
        self.say("")
        self._show_running(True)
        collect_in_window()
        worker.start()

    def stop(self):
        """Ask the job to stop, if there is one."""
        if self._watch is not None:
            self._watch.stop()
            self.stop_button.setEnabled(False)
            self.say("stopping")

    def say(self, text):
        """Show a line below the bar."""
        self.line.setText(text)

    def fail(self, error):
        """Show an error in one line, here and as a notification of napari's."""
        text = one_line(error, 600)
        self.say(text)
        show_error(text)

    def event(self, event):
        """Stop the job where napari takes the widget out of its window."""
        if event.type() == QEvent.ParentChange and self.parent() is None:
            self.stop()
        return super().event(event)

    def closeEvent(self, event):
        """Stop the job."""
        self.stop()
        super().closeEvent(event)

    def _on_told(self, news):
        if isinstance(news, Remark):
            show_warning(news.text)
        elif not isinstance(news, Progress):
            self.on_news(news)
        elif self.running:
            if not self._watch.stopped:
                self.say(news.text)
            self._show_share(news.share)

    def _show_share(self, share):
        self.bar.setRange(0, 0 if share is None else _STEPS)
        if share is not None:
            value = round(share * _STEPS)
            self.bar.setValue(value)
            # The last thing: napari lets the window work meanwhile, which may end the job.
            self._napari_bar.update(max(0, value - self._napari_bar.n))

    def _on_returned(self, outcome):
        result, error = outcome
        if self._watch.stopped and (error is None or isinstance(error, Stopped)):
            self.on_stopped()
        elif error is not None:
            self.fail(error)
        else:
            self.say("done")
            self._done(result)

    def _on_finished(self):
        collect_anywhere()
        self._worker = self._watch = self._done = None
        self._napari_bar.close()
        self._show_running(False)

    def _show_running(self, running):
        self.start_button.setEnabled(not running)
        self.stop_button.setEnabled(running)
        self.bar.setRange(0, 0 if running else _STEPS)
        self.bar.setVisible(running)


def _in_thread(job, watch):
    """What `_outcome` gives, from the thread that TensorFlow has."""
    return _thread.submit(_outcome, job, watch).result()


def _outcome(job, watch):
    """What a job gives, and the error that it failed with."""
    try:
        # Of libraries; what users are to read is logged.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return job(watch), None
    except (Stopped, InputError, DivergedError, MemoryError) as error:
        return None, error
    except Exception as error:
        logger.exception("the job failed")
        return None, error
