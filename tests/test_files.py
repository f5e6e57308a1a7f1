import pytest

from aeanet_tf.files import replacing, write_text


def test_old_or_new_never_half(tmp_path):
    path = tmp_path / "history.csv"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
        assert partial.suffix == ".csv"
        partial.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["history.csv"]
