"""Reports without pictures, for tests of what they say."""

from aeanet_tf.reports import pictures


def leave_out_pictures(monkeypatch):
    """Draw no pictures, which take most of the time of a report."""
    for name in ("pairs_figure", "intensities_figure", "example_figure", "profile_figure", "curves_figure"):
        monkeypatch.setattr(pictures, name, lambda *args: None)
    monkeypatch.setattr(pictures, "as_png", lambda figure: b"")
    monkeypatch.setattr(pictures, "stacked", lambda images: b"")
