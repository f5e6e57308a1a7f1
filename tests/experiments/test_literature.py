"""Networks from the literature as rows: which are taken, in what size, and what is refused."""

import json

import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.errors import InputError
from aeanet_tf.experiments.budget import parse_budget
from aeanet_tf.experiments.care_rival import CareRival
from aeanet_tf.experiments.laboratory import Laboratory, Method
from aeanet_tf.experiments.literature import chosen_methods, sizes_note
from aeanet_tf.networks import build_network, presets
from aeanet_tf.networks.literature import LITERATURE, SMALL

UNET = Method("U-Net", "unet", "unet-care")
OWN = (CareRival("CARE", "w2s-care", matched=False), UNET, Method("AEANet", "aeanet", "aeanet-care"))


def chosen(*names):
    return chosen_methods(names, OWN, "w2s")


def test_without_names_the_experiments_own():
    assert chosen_methods(None, OWN) == OWN


def test_names_in_their_order():
    methods = chosen("rcan", "care", "unet")
    assert [method.label for method in methods] == ["RCAN", "CARE", "U-Net"] and methods[2] is UNET
    assert methods[0].preset == "rcan" and methods[0].network == SMALL["rcan"]


def test_what_is_offered_is_taken_by_name_only():
    fast = Method("AEANet, fast", "aeanet-fast", "aeanet-care-fast")
    assert chosen_methods(None, OWN, "w2s", [fast]) == OWN
    assert chosen_methods(["aeanet-fast", "unet"], OWN, "w2s", [fast]) == (fast, UNET)


def test_every_preset_of_the_literature_has_a_small_size():
    assert set(LITERATURE) == set(SMALL)
    # As a run that was kept has them, which its experiment compares with these.
    assert json.loads(json.dumps(SMALL)) == SMALL
    for name, fields in SMALL.items():
        small, published = presets[name].replace(**fields), presets[name]
        # For a workstation; those of the papers have up to 39 million.
        assert build_network(small).count_params() < 2e6, name
        assert small != published


def test_published_size_and_fields_of_ones_own():
    published, other = chosen("ce-net:published", "ce-net:blocks=[2,2]:first_filters=16")
    assert not published.network and published.label == "CE-Net, published size"
    assert other.network == {"blocks": [2, 2], "first_filters": 16}
    assert other.label == "CE-Net (blocks=[2,2]; first_filters=16)" and other.key == "ce-net-blocks2_2-first_filters16"


def test_fields_of_the_configuration_are_those_of_its_own_networks(tmp_path):
    lab = Laboratory(tmp_path, tmp_path, parse_budget("full"))
    config = lab.config("w2s", chosen("rcan")[0], 3)
    assert config.model.preset == "rcan" and config.model.network == SMALL["rcan"]
    assert config.model.name == "w2s-rcan-seed3" and config.training.steps == 1200
    assert lab.config("w2s", UNET, 3).model.network == {"first_filters": 16, "depth": 4}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["rcn"], r"--networks: found 'rcn', expected some of care, unet, aeanet, rcan, .*, did you mean rcan\?"),
        (["rcan", "unet", "rcan"], "--networks: found rcan twice, expected each network once"),
        (["care"], "--networks: found care, expected one of unet, aeanet or a preset beside"),
        (["rcan:filter=3"], "--networks: rcan:filter=3: filter: .*did you mean filters"),
        (["rcan:filters=many"], "--networks: rcan:filters=many: filters: found 'many', expected a whole number"),
        (["rcan:filters"], "--networks: rcan:filters: found 'filters', expected published, or field=value"),
    ],
)
def test_refusals(names, message):
    with pytest.raises(InputError, match=message):
        chosen(*names)


def test_the_report_says_the_sizes():
    (note,) = sizes_note(chosen("unet", "edsr", "vdsr:published"))
    assert "EDSR: filters=24; blocks=6; VDSR, published size: none" in note
    assert sizes_note(chosen("unet")) == []


def test_only_experiments_that_compare_take_them(tmp_path, capsys):
    arguments = ["experiment", "table5", "--data", str(tmp_path), "--output", str(tmp_path), "--networks", "rcan"]
    assert main(arguments) == 2
    assert "--networks: found it for table5, expected one of table1, table6, w2s" in capsys.readouterr().err
