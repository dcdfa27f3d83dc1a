"""Plans: the value of every parameter that is None, and a plan sent to other processes."""

import math
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssavae import SSAVAE
from ssavae.networks import Spec, build_networks
from ssavae.persistence.model_folder import network_weights
from ssavae.persistence.training_state import load_state, save_state
from ssavae.preprocessing.tensors import LazyInputs
from ssavae.training.batches import TensorRows, epoch_order
from ssavae.training.distributed.remote import load_result, plan_from, plan_state, save_result
from ssavae.training.plan import (
    MOST_UPDATES,
    Settings,
    Trained,
    TrainingPlan,
    min_updates,
    resolve,
    resolve_validation_fraction,
)

CPU = torch.device("cpu")
PARAMS: dict[str, Any] = SSAVAE().get_params()
OPTIONAL = {
    "weight_kl": 0.3,
    "weight_detail": 0.7,
    "weight_consistency": 0.4,
    "weight_distill": 0.6,
    "n_epochs": 3,
    "n_epochs_student": 4,
    "n_epochs_decoder": 0,
    "batch_size": 50,
    "batch_size_decoder": 60,
    "n_members": 2,
    "embedding_dim": 1,
}


def settings(
    n_rows: int = 1000,
    n_labelled: int = 1000,
    n_classes: int = 3,
    kind: str = "image",
    n_numbers: int = 8,
    **params: object,
) -> Settings:
    numbers = {"n_numbers": n_numbers, "n_rows": n_rows, "n_labelled": n_labelled, "n_classes": n_classes}
    return resolve(PARAMS | params, kind=kind, **numbers)


# ------------------------------------------------------------------------------------ settings


def test_every_parameter_that_may_be_none_is_none_by_default():
    assert {name for name in OPTIONAL if PARAMS[name] is not None} == set()
    assert {name for name, value in asdict(settings()).items() if value is None} == {"patience"}


@pytest.mark.parametrize("n_labelled", [1000, 100])
def test_parameters_that_are_given_stay_as_they_are(n_labelled):
    resolved = asdict(
        settings(n_labelled=n_labelled, **OPTIONAL, beta=0.2, gamma=0.0, patience=5, augment=("flip",))
    )
    assert {name: resolved[name] for name in OPTIONAL} == OPTIONAL
    assert (resolved["beta"], resolved["gamma"]) == (0.2, 0.0)
    assert (resolved["patience"], resolved["augment"]) == (5, ("flip",))
    rates = ("learning_rate", "learning_rate_decoder", "learning_rate_disc")
    assert {name: resolved[name] for name in rates} == {name: PARAMS[name] for name in rates}


@pytest.mark.parametrize(("n_labelled", "weight"), [(1000, 0.0), (250, 0.0), (249, 1.0), (1, 1.0)])
def test_consistency_is_at_work_where_under_a_quarter_of_the_rows_has_a_label(n_labelled, weight):
    assert settings(n_labelled=n_labelled).weight_consistency == weight


def test_without_classes_there_is_no_consistency_and_the_other_weights_are_those_of_the_plain_method():
    for weight in (None, 1.0):
        resolved = settings(n_labelled=0, n_classes=0, weight_consistency=weight)
        assert resolved.weight_consistency == 0.0
        assert (resolved.weight_kl, resolved.weight_detail) == (0.02, 0.5)


@pytest.mark.parametrize(("n_labelled", "consistency"), [(1000, None), (100, 0.0)])
def test_weights_without_consistency(n_labelled, consistency):
    resolved = settings(n_labelled=n_labelled, weight_consistency=consistency)
    assert (resolved.weight_kl, resolved.weight_detail) == (0.02, 0.5)


@pytest.mark.parametrize(("n_labelled", "consistency"), [(100, None), (1000, 0.1)])
def test_weights_with_consistency(n_labelled, consistency):
    resolved = settings(n_labelled=n_labelled, weight_consistency=consistency)
    assert resolved.weight_kl == 0.001
    assert resolved.weight_detail == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("kind", "n_labelled", "params", "weight"),
    [
        ("image", 100, {}, 1.0),
        ("signal", 100, {}, 1.0),
        ("table", 100, {}, 0.0),
        ("image", 1000, {}, 0.0),
        ("image", 100, {"weight_consistency": 0.0}, 1.0),
        ("table", 100, {"weight_consistency": 0.0}, 1.0),
        ("table", 250, {}, 0.0),
        ("table", 1000, {"weight_distill": 0.5}, 0.5),
        ("image", 0, {"weight_distill": 0.5}, 0.0),
        ("image", 100, {"encoder": torch.nn.Identity()}, 0.0),
    ],
)
def test_where_an_auxiliary_classifier_learns_the_labels(kind, n_labelled, params, weight):
    resolved = settings(kind=kind, n_labelled=n_labelled, n_classes=3 if n_labelled else 0, **params)
    assert resolved.weight_distill == weight


def test_an_auxiliary_classifier_needs_an_encoder_whose_features_are_known():
    with pytest.raises(ValueError, match=r"weight_distill=0.5 is not for an encoder of your own"):
        settings(encoder=torch.nn.Identity(), weight_distill=0.5)


@pytest.mark.parametrize(("map_dim", "weights"), [(2, (0.001, 0.2)), (8, (0.02, 2.0)), (None, (0.02, 2.0))])
def test_a_code_in_two_parts_has_the_weights_of_few_labels(map_dim, weights):
    resolved = settings(latent_dim=8, map_dim=map_dim)
    assert (resolved.weight_kl, resolved.weight_detail) == pytest.approx(weights)
    plain = settings(latent_dim=8, map_dim=map_dim, n_classes=0, n_labelled=0)
    assert (plain.weight_kl, plain.weight_detail) == (0.02, 2.0)


@pytest.mark.parametrize(("latent_dim", "weight"), [(1, 0.25), (2, 0.5), (20, 5.0), (100, 5.0)])
def test_the_weight_of_detail_grows_with_the_code_up_to_five(latent_dim, weight):
    assert settings(latent_dim=latent_dim).weight_detail == weight
    assert settings(latent_dim=latent_dim, n_labelled=10).weight_detail == pytest.approx(weight / 10)


def test_many_rows_get_ten_and_thirty_epochs():
    resolved = settings(n_rows=60000, n_labelled=60000)
    assert (resolved.n_epochs, resolved.n_epochs_student, resolved.n_epochs_decoder) == (10, 30, 10)


def test_few_rows_get_more_epochs_until_there_are_2000_updates():
    resolved = settings(n_rows=1300, n_labelled=1300, batch_size=100, batch_size_decoder=26)
    assert resolved.n_epochs == resolved.n_epochs_student == 154  # of 13 batches
    assert resolved.n_epochs_decoder == 40  # of 50 batches


@given(n_rows=st.integers(2, 10**6), batch_size=st.integers(2, 1000), batch_size_decoder=st.integers(2, 1000))
def test_no_stage_has_fewer_updates_than_2000_or_more_epochs_than_they_take(
    n_rows, batch_size, batch_size_decoder
):
    sizes = {"batch_size": batch_size, "batch_size_decoder": batch_size_decoder}
    resolved = settings(n_rows=n_rows, n_labelled=n_rows, **sizes)
    for n_epochs, least, size in (
        (resolved.n_epochs, 10, resolved.batch_size),
        (resolved.n_epochs_student, 30, resolved.batch_size),
        (resolved.n_epochs_decoder, 10, resolved.batch_size_decoder),
    ):
        n_batches = n_rows // size
        assert n_epochs >= least and n_epochs * n_batches >= 2000
        assert n_epochs == least or (n_epochs - 1) * n_batches < 2000


@pytest.mark.parametrize(
    ("n_rows", "of_step_1", "of_step_2"), [(120, 300, 300), (800, 800, 800), (3100, 3000, 1000)]
)
def test_the_updates_of_a_table_follow_its_rows(n_rows, of_step_1, of_step_2):
    resolved = settings(n_rows, n_rows, kind="table")
    for n_epochs, batch_size, n_updates in (
        (resolved.n_epochs, resolved.batch_size, of_step_1),
        (resolved.n_epochs_decoder, resolved.batch_size_decoder, of_step_2),
    ):
        n_batches = n_rows // batch_size
        assert n_updates <= n_epochs * n_batches < n_updates + n_batches


@given(n_rows=st.integers(5, 5000), share=st.floats(0.0, 1.0), batch_size=st.integers(2, 300))
def test_the_updates_of_a_table_do_not_grow_where_few_rows_have_a_label(n_rows, share, batch_size):
    n_labelled = round(share * n_rows)
    resolved = settings(n_rows, n_labelled, kind="table", batch_size=batch_size)
    y = np.where(np.arange(n_rows) < n_labelled, 0, -1)
    n_batches = len(epoch_order(y, resolved.batch_size, (0,)))
    assert (resolved.n_epochs - 1) * n_batches < max(
        9 * n_batches + 1, min_updates("table", n_rows, MOST_UPDATES)
    )
    assert resolved.n_epochs * n_batches >= min_updates("table", n_rows, MOST_UPDATES)


def test_a_table_has_four_members_unless_the_encoder_is_the_user_s():
    assert settings(kind="table").n_members == 4
    assert settings(kind="table", n_members=1).n_members == 1
    assert settings(kind="table", encoder=torch.nn.Identity()).n_members == 1
    assert settings(kind="image").n_members == settings(kind="signal").n_members == 1


def test_columns_are_embedded_by_ensembles_where_they_are_not_too_many():
    assert settings(kind="table").embedding_dim == 4
    assert settings(kind="table", n_members=1).embedding_dim == 1
    assert settings(kind="table", n_members=1, embedding_dim=3).embedding_dim == 3
    assert settings(kind="table", encoder=torch.nn.Identity()).embedding_dim == 1
    assert settings(kind="image").embedding_dim == settings(kind="signal").embedding_dim == 1
    assert settings(kind="table", n_numbers=999).embedding_dim == 4
    assert settings(kind="table", n_numbers=1000).embedding_dim == 1
    with pytest.raises(ValueError, match="embedding_dim=3 is for tables"):
        settings(kind="image", embedding_dim=3)


@pytest.mark.parametrize(
    ("n_rows", "n_labelled", "n_classes", "rate"),
    [
        (999, 999, 2, 0.5),
        (1000, 1000, 2, 0.3),  # 1,000 bits
        (1999, 1999, 2, 0.3),
        (2000, 2000, 2, 0.0),
        (150, 150, 3, 0.5),
        (300, 300, 8, 0.5),
        (600, 600, 8, 0.3),
        (700, 700, 8, 0.0),
        (9000, 1499, 3, 0.3),  # few labels
        (9000, 1500, 3, 0.0),
        (1499, 0, 0, 0.3),  # none
        (1500, 0, 0, 0.0),
    ],
)
def test_dropout_is_for_tables_whose_labels_say_little(n_rows, n_labelled, n_classes, rate):
    assert settings(n_rows, n_labelled, n_classes, kind="table").dropout == rate


def test_dropout_is_for_ensembles_of_default_widths():
    few = partial(settings, 99, 99, 2)
    assert few(kind="table", widths=(32, 16)).dropout == few(kind="table", n_members=1).dropout == 0.0
    assert few(kind="table", widths=(32, 16), dropout=0.3).dropout == 0.3
    assert few(kind="table", n_members=1, dropout=0.5).dropout == 0.5
    assert few(kind="table", dropout=0.0).dropout == 0.0
    assert few(kind="image").dropout == few(kind="signal").dropout == 0.0


@pytest.mark.parametrize("other", [{"kind": "image"}, {"kind": "table", "encoder": torch.nn.Identity()}])
def test_dropout_is_refused_where_there_are_no_hidden_units_to_leave_out(other):
    with pytest.raises(ValueError, match=r"dropout=0\.1 is for tables"):
        settings(**{**other, "dropout": 0.1})


def test_a_batch_has_no_more_rows_than_there_are():
    resolved = settings(n_rows=9, n_labelled=9)
    assert (resolved.batch_size, resolved.batch_size_decoder) == (9, 9)
    assert resolved.n_epochs == 2000
    resolved = settings(n_rows=100, n_labelled=100)
    assert (resolved.batch_size, resolved.batch_size_decoder) == (100, 32)


def test_a_batch_size_of_none_is_the_default_of_its_step():
    resolved = settings(n_rows=60000, n_labelled=60000)
    assert (resolved.batch_size, resolved.batch_size_decoder) == (128, 32)


@pytest.mark.parametrize(("devices", "nodes", "size"), [(2, 1, 8), (2, 2, 8), (3, 1, 9), (5, 1, 5)])
def test_a_batch_is_divided_equally_among_the_processes(devices, nodes, size):
    resolved = settings(n_rows=9, n_labelled=9, devices=devices, nodes=nodes)
    assert (resolved.batch_size, resolved.batch_size_decoder) == (size, size)
    assert resolved.n_epochs == math.ceil(2000 / (9 // size))


def test_fewer_rows_than_processes_are_refused():
    with pytest.raises(ValueError, match="3 rows cannot be divided among 4 processes"):
        settings(n_rows=3, n_labelled=3, devices=2, nodes=2)


@pytest.mark.parametrize(
    ("fraction", "n_labelled", "resolved"),
    [(None, 10000, 0.05), (None, 9999, 0.0), (None, 0, 0.0), (0.0, 10000, 0.0), (0.3, 5, 0.3)],
)
def test_rows_are_held_out_where_labels_are_many(fraction, n_labelled, resolved):
    params = PARAMS | {"validation_fraction": fraction}
    assert resolve_validation_fraction(params, n_labelled) == resolved


# ------------------------------------------------------------------------- plans for other processes

SPEC = Spec((1, 8, 8), 2, 3, bounded=True, widths=(8, 4), student_widths=(8,))


def plan(with_detail: bool = True, with_auxiliary: bool = False, **fields: Any) -> TrainingPlan:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((20, 1, 8, 8), dtype=np.float32))
    return TrainingPlan(
        networks=build_networks(SPEC, with_detail, with_auxiliary=with_auxiliary),
        spec=SPEC,
        kind="image",
        settings=settings(augment=("flip", "translate"), patience=3),
        rows=TensorRows(x, np.arange(20) % 4 - 1, CPU),
        seed=7,
        fingerprint="abc",
        **fields,
    )


def sent(original: TrainingPlan, folder: Path) -> TrainingPlan:
    """Return the plan as another process reads it from a file."""
    save_state(folder, plan_state(original))
    return plan_from(load_state(folder), CPU)


def same_tensors(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(("with_detail", "with_auxiliary"), [(True, False), (False, True)])
def test_networks_and_rows_of_a_plan_are_sent(tmp_path, with_detail, with_auxiliary):
    original = plan(with_detail, with_auxiliary)
    copy = sent(original, tmp_path)
    assert same_tensors(network_weights(copy.networks), network_weights(original.networks))
    assert (copy.networks.vec.detail is not None) == with_detail
    assert (copy.networks.vec.auxiliary is not None) == with_auxiliary
    assert isinstance(copy.rows, TensorRows) and isinstance(original.rows, TensorRows)
    assert torch.equal(copy.rows.x, original.rows.x)
    assert copy.rows.y.dtype == original.rows.y.dtype and (copy.rows.y == original.rows.y).all()
    assert copy.rows.weights is None


def test_weights_of_a_plan_are_sent(tmp_path):
    original = plan()
    assert isinstance(original.rows, TensorRows)
    weights = np.linspace(0, 2, 20, dtype=np.float32)
    original.rows = TensorRows(original.rows.x, original.rows.y, CPU, weights)
    copy = sent(original, tmp_path)
    assert copy.rows.weights is not None and (copy.rows.weights == weights).all()
    assert copy.rows.weights.dtype == np.float32


def test_every_field_of_a_plan_is_sent(tmp_path):
    inputs = torch.rand(4, 1, 8, 8)
    fields: dict[str, Any] = {
        "validation": (inputs, np.array([0, -1, 2, 1])),
        "eval_sets": [(1 - inputs[:2], np.array([1, 1])), (inputs, np.array([0, 0, 1, 1]))],
        "train_vec": False,
        "history": [{"step": "vec", "epoch": 1, "loss_kl": 0.25}],
        "resume": True,
        "folder": tmp_path / "run",
        "checkpoint_every": 5,
        "verbose": True,
    }
    original = plan(**fields)
    copy = sent(original, tmp_path)
    assert len(copy.eval_sets) == 2
    wanted = [fields["validation"], *fields["eval_sets"]]
    found: list[Any] = [copy.validation, *copy.eval_sets]
    for (inputs, labels), (rows, classes) in zip(found, wanted, strict=True):
        assert torch.equal(inputs, rows)
        assert labels.dtype == classes.dtype and (labels == classes).all()
    compared = vars(plan()).keys() - {"networks", "rows", "validation", "eval_sets", "pretrained"}
    assert {name: getattr(copy, name) for name in compared} == {
        name: getattr(original, name) for name in compared
    }
    assert copy.settings == original.settings and type(copy.settings.augment) is tuple
    assert copy.spec == SPEC


def test_what_a_plan_lacks_it_lacks_in_another_process_too(tmp_path):
    copy = sent(plan(), tmp_path)
    assert (copy.validation, copy.eval_sets, copy.folder, copy.pretrained) == (None, [], None, None)
    assert (copy.history, copy.train_vec, copy.resume, copy.verbose) == ([], True, False, False)


def test_inputs_that_are_computed_lazily_are_sent_as_tensors(tmp_path):
    x = np.random.default_rng(0).random((600, 1, 8, 8), dtype=np.float32)
    copy = sent(plan(validation=(LazyInputs(x, np.asarray), np.zeros(600, dtype=int))), tmp_path)
    assert copy.validation is not None
    inputs, _ = copy.validation
    assert isinstance(inputs, torch.Tensor) and torch.equal(inputs, torch.from_numpy(x))


def test_a_result_comes_back_into_the_networks_of_the_plan(tmp_path):
    original = plan()
    copy = sent(original, tmp_path)
    with torch.no_grad():
        for parameter in copy.networks.decoder.parameters():
            parameter += 1.0
    save_result(
        tmp_path, Trained(copy.networks, [{"step": "decoder", "epoch": 1, "loss_rec": 0.5}], (0.1, 0.2))
    )
    trained = load_result(tmp_path, original.networks)
    assert trained.networks is original.networks
    assert same_tensors(network_weights(original.networks), network_weights(copy.networks))
    assert trained.history == [{"step": "decoder", "epoch": 1, "loss_rec": 0.5}]
    assert trained.feature_weights == (0.1, 0.2)


def test_settings_of_any_plan_survive(tmp_path):
    original = plan()
    for changed in ({"augment": ()}, {"patience": None}, {"n_epochs_decoder": 0}, {"weight_kl": 1e-7}):
        original.settings = replace(original.settings, **changed)
        assert sent(original, tmp_path).settings == original.settings
