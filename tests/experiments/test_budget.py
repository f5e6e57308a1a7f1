"""Budgets: what is shortened, and what stays as published."""

from dataclasses import replace

import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.experiments.budget import parse_budget

TRAINING = {
    "steps": 120000,
    "steps_per_epoch": 1000,
    "batch_size": 8,
    "learning_rate": 4e-4,
    "learning_rate_decay": {"rate": 0.5, "steps": 10000},
}


def test_a_full_budget_changes_nothing():
    assert parse_budget("full").apply(TRAINING) == parse_budget("1").apply(TRAINING) == TRAINING
    assert parse_budget("full").some(list(range(30))) == list(range(30))


def test_a_fraction_keeps_the_shape_of_the_schedule_and_validates_often_enough():
    budget = parse_budget("0.01")
    found = budget.apply(TRAINING)
    assert found == {
        **TRAINING,
        "steps": 1200,
        "steps_per_epoch": 120,
        "learning_rate_decay": {"rate": 0.5, "steps": 100},
    }
    assert budget.name == "0.01" and budget.some([1, 2, 3]) == [1, 2, 3]
    # No longer epochs than published, and at least a step of each.
    assert parse_budget("0.5").apply(TRAINING)["steps_per_epoch"] == 1000
    short = parse_budget("1e-6").apply(TRAINING)
    assert (short["steps"], short["steps_per_epoch"], short["learning_rate_decay"]["steps"]) == (1, 1, 1)


def test_the_share_of_one_of_many_trainings_keeps_the_shape_of_the_schedule_too():
    found = replace(parse_budget("full"), fraction=1 / 22).apply(TRAINING)
    assert (found["steps"], found["learning_rate_decay"]["steps"], found["batch_size"]) == (5455, 455, 8)


def test_tiny_is_two_steps_of_two_patches():
    budget = parse_budget("tiny")
    found = budget.apply({**TRAINING, "learning_rate_decay": None})
    assert (found["steps"], found["steps_per_epoch"], found["batch_size"]) == (2, 1, 2)
    assert found["learning_rate_decay"] is None
    assert budget.some([1, 2, 3]) == [1, 2]
    assert budget.apply({**TRAINING, "batch_size": 1})["batch_size"] == 1


def test_epochs_are_shortened_as_steps_are():
    """A hundredth of 80 epochs; the rate still falls as often as published."""
    training = {**TRAINING, "steps": None, "epochs": 80, "steps_per_epoch": None}
    shorter = {"epochs": 0.8, "learning_rate_decay": {"rate": 0.5, "steps": 100}}
    assert parse_budget("0.01").apply(training) == {**training, **shorter}
    assert parse_budget("full").apply(training) == training
    by_epochs = {**training, "steps_per_epoch": 500, "learning_rate_decay": {"rate": 0.1, "epochs": 30}}
    found = parse_budget("0.1").apply(by_epochs)
    assert (found["epochs"], found["learning_rate_decay"]["epochs"], found["steps_per_epoch"]) == (8, 3, 50)
    tiny = parse_budget("tiny").apply(by_epochs)
    assert (tiny["steps"], tiny["epochs"], tiny["steps_per_epoch"], tiny["batch_size"]) == (2, None, 1, 2)


@pytest.mark.parametrize("text", ["none", "0", "-1", "1.5", "nan", ""])
def test_other_budgets_are_refused(text):
    with pytest.raises(InputError, match=r"--budget: .*expected full, tiny, or a fraction"):
        parse_budget(text)
