"""Parameters of SSAVAE: each is taken, or refused in one line that names it and what it may be."""

import re

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_param_validation

from ssavae import SSAVAE
from ssavae.training.parameters import check_params, pairs_of, seed_of

VALUES = [2.5, 32, -1, True, None, "0.1", "noise", 1j, {"a": 1}, [None], ["noise"], (2.5,), (True,), (32, 16)]
TAKEN: dict[str, list[object]] = {  # of VALUES, where it is not [32]
    "kind": [None],
    "augment": [["noise"]],
    "validation_fraction": [None],
    "dropout": [None],
    "random_state": [32, None],
    "map_dim": [None],
    "verbose": [32, True],
    "deterministic": [True],
    "batch_size": [32, None],
    "batch_size_decoder": [32, None],
    "warm_start": [True],
    "encoder": [None],
    "decoder": [None],
    "checkpoint_folder": ["0.1", "noise", None],
    "device": ["0.1", "noise"],  # refused by launch_fabric, which knows the devices
    "precision": ["0.1", "noise"],
    "patience": [None],
    "n_epochs": [32, None],
    "n_epochs_decoder": [32, None],
    "n_epochs_student": [32, None],
    "n_members": [32, None],
    "embedding_dim": [32, None],
    "class_weight": [None, {"a": 1}],
    "weight_kl": [2.5, 32, None],
    "weight_detail": [2.5, 32, None],
    "weight_consistency": [2.5, 32, None],
    "weight_distill": [2.5, 32, None],
    "widths": [None, (32, 16)],
    "student_widths": [None, (32, 16)],
}
for _name in ("beta", "gamma", "learning_rate", "learning_rate_decoder", "learning_rate_disc"):
    TAKEN[_name] = [2.5, 32]


@pytest.mark.parametrize("name", list(SSAVAE().get_params()))
def test_a_parameter_is_taken_or_refused_by_its_name(name: str):
    for value in VALUES:
        params = SSAVAE().set_params(**{name: value}).get_params()
        if any(value is each or value == each for each in TAKEN.get(name, [32]) if type(each) is type(value)):
            check_params(params)
            continue
        with pytest.raises(ValueError, match=name) as caught:
            check_params(params)
        assert re.search("must be|cannot be divided|needs", str(caught.value)), caught.value
        assert "\n" not in str(caught.value)


def test_wrong_types_are_refused_as_scikit_learn_has_it():
    check_param_validation("SSAVAE", SSAVAE())


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_a_generator_gives_a_new_seed_each_time(make):
    generator = make(0)
    seeds = [seed_of(generator), seed_of(generator)]
    assert seeds[0] != seeds[1]
    assert seed_of(make(0)) == seeds[0]


@pytest.mark.parametrize("eval_set", [([1], [2], [3]), [[1], [2]], "ab", [([1], [2]), [1]]])
def test_an_eval_set_is_a_pair_or_a_list_of_pairs(eval_set):
    with pytest.raises(ValueError, match=r"eval_set must be a tuple \(X, y\), or a list of them"):
        pairs_of(eval_set)
