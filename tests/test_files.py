import json
import math

import pytest

from aeanet_tf.errors import LONGEST_MESSAGE, InputError
from aeanet_tf.files import (
    MOST_JSON,
    folder_made,
    parse_json,
    read_json,
    replacing,
    replacing_folder,
    write_rows,
    write_text,
)

LONG = "a" * 246 + ".json"


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


@pytest.mark.parametrize(
    "name", [LONG, "b" * 255, "a\nb.csv", "[x] *.csv", "-a.csv", "a\udcff.csv", "ä" * 125 + ".csv"]
)
def test_any_name_that_a_file_can_have_can_be_written(tmp_path, name):
    write_text(tmp_path / name, "text")
    with replacing_folder(tmp_path / f"f{name}"[:255]) as partial:
        partial.mkdir()
    assert {path.name for path in tmp_path.iterdir()} == {name, f"f{name}"[:255]}
    assert (tmp_path / name).read_text() == "text"


def test_names_that_are_no_utf8_are_written_as_they_are(tmp_path):
    write_text(tmp_path / "a.txt", "latin-\udcfc")
    write_rows(tmp_path / "a.csv", ["name"], [{"name": "latin-\udcfc"}])
    assert (tmp_path / "a.txt").read_bytes() == b"latin-\xfc"
    assert (tmp_path / "a.csv").read_bytes() == b"name\nlatin-\xfc\n"


def test_a_name_that_is_too_long_is_told(tmp_path):
    for write in (replacing, replacing_folder, folder_made):
        with pytest.raises(InputError, match=r"a name of 256 bytes|cannot be written"), write(tmp_path / ("c" * 256)):
            pytest.fail("there is no such file")
    assert not list(tmp_path.iterdir())


def test_json_comes_through_as_python_reads_it():
    text = json.dumps({"a": [1, -2.5, True, None, {"b": "ü\n"}], "c": 2**70, "d": 1e-300})
    assert parse_json(text, "p") == json.loads(text)
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le"):
        assert parse_json(text.encode(encoding), "p") == json.loads(text), encoding
    found = parse_json('{"best": Infinity, "loss": NaN}', "p", constants=True)
    assert found["best"] == math.inf and math.isnan(found["loss"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        ("[" * 150 + "]" * 150, "nested too deeply, expected at most 100"),
        ("1" * 5000, "a number of 5000 digits"),
        ('{"a": ' + "9" * 200 + "}", "a number of 200 digits"),
        ('{"a": NaN}', "found NaN, expected finite"),
        ('{"a": -Infinity}', "found -Infinity"),
        ('{"a": 1e999}', "found 1e999"),
        ('{"a": 1, "b": 2, "a": 3}', "found the key 'a' twice"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ("\\", "not valid JSON, line 1"),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        ('{"\\udc00": 1}', "half of a surrogate pair"),
        (b"", "not valid JSON"),
        (b"\x00" * 1000, "not valid JSON"),
        ('{"a": 1}, {}', "Extra data"),
    ],
)
def test_json_that_is_refused(content, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_json(content, "folder/run.json")
    assert str(caught.value).startswith("folder/run.json: ")
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


def test_files_that_cannot_be_json(tmp_path):
    with open(tmp_path / "huge.json", "wb") as file:
        file.truncate(MOST_JSON + 1)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "loop.json").symlink_to("loop.json")
    for name in ("huge.json", "folder.json", "loop.json", "none.json", "n" * 256, "nul\0.json"):
        with pytest.raises(InputError) as caught:
            read_json(tmp_path / name)
        assert "\n" not in str(caught.value) and "\0" not in str(caught.value)


def test_messages_stay_one_line():
    text = str(InputError("a\nb\r\x1b[2J\u2028\udc80" + "x" * 5000 + "end"))
    assert text.startswith(r"a\nb\r\x1b[2J\u2028\udc80x") and text.endswith("xend") and " ... " in text
    assert len(text) == LONGEST_MESSAGE < 1000
    assert str(InputError(text)) == text
    assert str(InputError("µ ± – é 雪 😀")) == "µ ± – é 雪 😀"
