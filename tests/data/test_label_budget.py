"""Label budgets: what is drawn, that it is written down and can be used again, and that nothing leaks."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ssavae._checks import UsageError
from ssavae.app.runs.folder import LABELS_FILE, RunFolder
from ssavae.data.label_budget import (
    LabelBudget,
    draw_labelled,
    grant_labels,
    read_labels,
)
from ssavae.data.labelled import LabelledData
from ssavae.data.partition import draw_split
from ssavae.preprocessing.labels import encode_labels

Y = np.repeat([0, 1, 2, -1], [30, 20, 10, 40])
NONE = np.empty(0, dtype=np.int64)


@pytest.fixture
def loaded() -> LabelledData:
    x = np.arange(200.0, dtype=np.float32).reshape(100, 2)
    return LabelledData("trees", x, Y, class_names=("oak", "elm", "ash"), kind="table")


def granted(loaded, budget, folder, held_out=NONE, seed=0) -> np.ndarray:
    result = grant_labels(loaded, budget, held_out, seed)
    RunFolder(folder).write_labels(result, held_out)
    assert result.y_train is not None
    return result.y_train


def test_so_many_rows_of_each_class_are_drawn_by_seed():
    rows = draw_labelled(Y, 0, per_class=4)
    assert np.bincount(Y[rows]).tolist() == [4, 4, 4]
    assert np.array_equal(rows, draw_labelled(Y, 0, per_class=4))
    assert not np.array_equal(rows, draw_labelled(Y, 1, per_class=4))


def test_a_fraction_of_each_class_is_drawn_and_at_least_one_row():
    assert np.bincount(Y[draw_labelled(Y, 0, fraction=0.1)]).tolist() == [3, 2, 1]
    assert np.bincount(Y[draw_labelled(Y, 0, fraction=0.01)]).tolist() == [1, 1, 1]


def test_a_larger_budget_of_the_same_seed_holds_the_smaller_one():
    assert set(draw_labelled(Y, 5, per_class=2)) < set(draw_labelled(Y, 5, per_class=6))


def test_a_class_with_too_few_rows_is_named():
    with pytest.raises(ValueError, match="class 2 has only 10"):
        draw_labelled(Y, 0, per_class=11)


def test_other_labels_are_taken_away_and_the_drawn_rows_written_down(loaded, tmp_path):
    y = granted(loaded, LabelBudget(per_class=3), tmp_path)
    content = json.loads((tmp_path / LABELS_FILE).read_text())
    assert content["labelled"] == np.flatnonzero(y != None).tolist()  # noqa: E711  # element by element
    assert len(content["labelled"]) == 9
    assert set(y[content["labelled"]]) == {"oak", "elm", "ash"}
    assert y[0] in ("oak", None)


def test_no_budget_leaves_the_labels_and_writes_nothing(loaded, tmp_path):
    assert grant_labels(loaded, LabelBudget(), NONE, 0) is loaded
    assert not (tmp_path / LABELS_FILE).exists()


def test_rows_held_out_are_never_granted_and_keep_their_labels_for_the_test(loaded, tmp_path):
    held_out = draw_split(loaded, 0.3, 0)
    y = granted(loaded, LabelBudget(fraction=1.0), tmp_path, held_out)
    assert np.array_equal(encode_labels(y)[0][held_out] >= 0, Y[held_out] >= 0)
    y = granted(loaded, LabelBudget(per_class=2), tmp_path, held_out)
    trained = np.setdiff1d(np.arange(100), held_out)
    assert (encode_labels(y[trained])[0] >= 0).sum() == 6


def test_a_test_part_is_labelled_by_the_names_that_granted_labels_have(loaded):
    own = replace(loaded, x_test=loaded.x_train[:4], y_test=np.array([0, 1, 2, -1]))
    result = grant_labels(own, LabelBudget(per_class=2), NONE, 0)
    assert result.y_test is not None and result.y_test.tolist() == ["oak", "elm", "ash", None]


def test_another_run_can_learn_from_the_very_same_rows(loaded, tmp_path):
    first = granted(loaded, LabelBudget(per_class=3), tmp_path, seed=7)
    again = LabelBudget(source=str(tmp_path / LABELS_FILE))
    (tmp_path / "second").mkdir()
    assert np.array_equal(granted(loaded, again, tmp_path / "second", seed=1), first)


def test_rows_held_out_are_not_written_down_as_learned_from(loaded, tmp_path):
    held_out = draw_split(loaded, 0.3, 0)
    first = granted(loaded, LabelBudget(per_class=2), tmp_path, held_out)
    assert not set(json.loads((tmp_path / LABELS_FILE).read_text())["labelled"]) & set(held_out.tolist())
    again = granted(loaded, LabelBudget(source=str(tmp_path / LABELS_FILE)), tmp_path, held_out)
    assert np.array_equal(again, first)


def test_labels_of_a_csv_take_the_place_of_the_data_s_own(loaded, tmp_path):
    (tmp_path / "new.csv").write_text("row,label\n0,elm\n99,oak\n")
    y = granted(loaded, LabelBudget(source=str(tmp_path / "new.csv")), tmp_path)
    assert {i: label for i, label in enumerate(y) if label is not None} == {0: "elm", 99: "oak"}


def test_labels_of_a_csv_are_integers_where_the_data_s_own_are(loaded, tmp_path):
    numbered = replace(loaded, y_train=np.arange(100) % 3, class_names=None)
    (tmp_path / "new.csv").write_text("row,label\n0,2\n99,7\n")
    y = granted(numbered, LabelBudget(source=str(tmp_path / "new.csv")), tmp_path, np.array([4]))
    assert {i: label for i, label in enumerate(y) if label is not None} == {0: 2, 4: 1, 99: 7}
    (tmp_path / "new.csv").write_text("row,label\n0,2.0\n1,\n99,7\n")  # as pandas writes 2 beside a gap
    y = granted(numbered, LabelBudget(source=str(tmp_path / "new.csv")), tmp_path)
    assert {i: label for i, label in enumerate(y) if label is not None} == {0: 2, 99: 7}
    (tmp_path / "new.csv").write_text("row,label\n0,2\n99,7\n")
    words = replace(numbered, y_train=np.array(["1", "2"] * 50))
    y = granted(words, LabelBudget(source=str(tmp_path / "new.csv")), tmp_path)
    assert y[0] == "2" and y[99] == "7"


@pytest.mark.parametrize("own", [np.arange(100) % 3, np.where(np.arange(100) < 50, 2.0, np.nan)])
def test_a_new_word_makes_text_of_all_classes(loaded, tmp_path, own):
    numbered = replace(loaded, y_train=own, class_names=None)
    (tmp_path / "new.csv").write_text("row,label\n0,2\n1,novel thing\n")
    y = granted(numbered, LabelBudget(source=str(tmp_path / "new.csv")), tmp_path, np.array([5]))
    assert {i: label for i, label in enumerate(y) if label is not None} == {0: "2", 1: "novel thing", 5: "2"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "row,label\n100,oak\n", "no row 100"),
        ("a.csv", "row,label\n-1,oak\n", "no row -1"),
        ("a.csv", "row,label\nfirst,oak\n", "first"),
        ("a.csv", "number,label\n1,oak\n", "no column row"),
        ("a.csv", "row,label\n1,oak\n1,elm\n", "names a row twice"),
        ("a.json", '{"labelled": [1], "rows_sha256": "of others"}', "other data"),
        ("a.json", "{", "a.json"),
    ],
)
def test_a_wrong_file_is_refused_by_name(loaded, tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        granted(loaded, LabelBudget(source=str(tmp_path / name)), tmp_path)


def test_a_file_that_names_a_row_held_out_is_refused(loaded, tmp_path):
    (tmp_path / "leak.csv").write_text("row,label\n5,oak\n")
    with pytest.raises(UsageError, match="row 5 is held out"):
        granted(loaded, LabelBudget(source=str(tmp_path / "leak.csv")), tmp_path, np.array([5]))


def test_two_budgets_at_once_are_refused(loaded, tmp_path):
    with pytest.raises(UsageError, match="--labels-per-class and --label-fraction"):
        granted(loaded, LabelBudget(per_class=1, fraction=0.5), tmp_path)


def test_checksums_tell_data_apart(loaded, tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"labelled": [1, 2], "rows_sha256": loaded.rows_sha256}))
    assert read_labels(path, loaded.rows_sha256) == {1: None, 2: None}
    with pytest.raises(ValueError, match="other data"):
        read_labels(path, replace(loaded, x_train=loaded.x_train + 1).rows_sha256)
