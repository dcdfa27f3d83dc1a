"""SSAVAE as users of scikit-learn and PyTorch know an estimator."""

import copy
import pickle
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

import ssavae
from ssavae import SSAVAE, load
from ssavae.networks import Decoder, Encoder, Spec
from ssavae.training import steps

QUICK = {"n_epochs": 40, "n_epochs_decoder": 3, "widths": (32, 16), "learning_rate": 1e-2, "random_state": 0}

EXPECTED_FAILURES = {
    "check_classifiers_classes": "it takes -1 for a class, here -1 marks a row without a label",
    "check_sample_weight_equivalence_on_dense_data": "batches are drawn by rows, whatever their weights",
    "check_sample_weight_equivalence_on_sparse_data": "batches are drawn by rows, whatever their weights",
    "check_supervised_y_no_nan": "it wants NaN labels refused, here NaN marks a row without a label",
}


@parametrize_with_checks(
    [
        SSAVAE(
            n_epochs=25, n_epochs_decoder=1, batch_size=32, learning_rate=2e-2, widths=(32,), random_state=0
        )
    ],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_the_contract_of_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="constant column")
        check(estimator)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X.reshape(-1, 8, 8) / 16, y, test_size=400, random_state=0, stratify=y)


@pytest.fixture(scope="module")
def model(digits):
    X, _, y, _ = digits
    return SSAVAE(n_epochs=20, n_epochs_decoder=25, widths=(16, 32, 32), random_state=0).fit(X, y)


def weights(model: SSAVAE) -> list[torch.Tensor]:
    modules = (model.vec_, model.decoder_, model.discriminator_)
    return [value for module in modules for value in module.state_dict().values()]


def test_it_learns_to_classify_and_to_decode(model, digits):
    X, X_test, _, y_test = digits
    assert model.score(X_test, y_test) > 0.8
    error = np.mean((model.reconstruct(X_test) - X_test) ** 2)
    assert error < 0.8 * np.mean((X.mean(axis=0) - X_test) ** 2)
    probs = model.predict_proba(X_test)
    assert np.allclose(probs.sum(axis=1), 1, atol=1e-5)
    assert probs.max(axis=1).std() > 1e-3


def test_shapes_and_units_are_those_of_the_rows(model, digits):
    X = digits[1]
    assert model.transform(X).shape == (len(X), 2)
    assert model.reconstruct(X).shape == X.shape
    assert model.inverse_transform([[0.0, 1.0]]).shape == (1, 8, 8)
    assert model.reconstruct(X).dtype == X.dtype
    as_bytes = SSAVAE(n_epochs=1, n_epochs_decoder=1, widths=(8, 8)).fit((255 * X).astype(np.uint8))
    assert as_bytes.reconstruct((255 * X).astype(np.uint8)).dtype == np.uint8


def test_a_row_s_code_does_not_depend_on_the_others(model, digits):
    X = digits[1][:60]
    alone = np.concatenate([model.transform(row[None]) for row in X])
    np.testing.assert_allclose(model.transform(X), alone, atol=1e-5)
    np.testing.assert_allclose(model.transform(X[::-1])[::-1], alone, atol=1e-5)


def test_same_seed_same_bits_and_the_global_random_state_is_left_alone(digits):
    X, _, y, _ = digits
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state(legacy=False)["state"]["key"].copy()
    a, b, other = (
        SSAVAE(n_epochs=1, n_epochs_decoder=1, random_state=s).fit(X[:300], y[:300]) for s in (5, 5, 6)
    )
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state(legacy=False)["state"]["key"]).all()
    assert all(torch.equal(p, q) for p, q in zip(weights(a), weights(b), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(weights(a), weights(other), strict=True))
    torch.randn(1)  # a different global state changes nothing
    again = SSAVAE(n_epochs=1, n_epochs_decoder=1, random_state=5).fit(X[:300], y[:300])
    assert all(torch.equal(p, q) for p, q in zip(weights(a), weights(again), strict=True))


def test_a_saved_model_is_the_model(model, digits, tmp_path):
    X = digits[1]
    model.save(tmp_path)
    again = load(tmp_path)
    assert again.get_params() == model.get_params()
    assert (again.transform(X) == model.transform(X)).all()
    assert (again.predict(X) == model.predict(X)).all()
    assert (again.reconstruct(X) == model.reconstruct(X)).all()
    assert (again.sample(6, random_state=1) == model.sample(6, random_state=1)).all()
    assert (again.is_novel(X) == model.is_novel(X)).all()
    assert [row["step"] for row in again.history_] == [row["step"] for row in model.history_]
    assert again.fit_decoder(X, gamma=0.0).gamma_ == 0.0


def test_the_decoder_alone_can_be_trained_again(digits):
    X, _, y, _ = digits
    model = SSAVAE(n_epochs=2, n_epochs_decoder=1, widths=(8, 8), random_state=0).fit(X, y)
    vec = [value.clone() for value in model.vec_.state_dict().values()]
    before = model.reconstruct(X)
    model.fit_decoder(X, beta=0.0, gamma=0.0)
    assert (model.beta_, model.gamma_) == (0.0, 0.0)
    assert all(torch.equal(p, q) for p, q in zip(vec, model.vec_.state_dict().values(), strict=True))
    assert not np.allclose(before, model.reconstruct(X))
    assert set(model.history_[-1]) >= {"loss_rec"} and "loss_adv" not in model.history_[-1]


def test_samples_of_a_class_are_read_as_the_class_and_differ(model):
    X = model.sample(30, y=3, random_state=0)
    assert (model.predict(X) == 3).mean() >= 0.9
    assert len(np.unique(X.round(2), axis=0)) == 30
    named = model.sample(4, y=[0, 1, 2, 3], random_state=0)
    assert named.shape == (4, 8, 8)
    for sampler in ("aggregate", "prior"):
        assert np.isfinite(model.sample(5, sampler=sampler, random_state=0)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.sample(3, y="four"), "'four' is no class of this model"),
        (lambda m: m.sample(3, sampler="best"), "sampler='best' is unknown"),
        (lambda m: m.sample(3, y=1, sampler="prior"), "needs sampler='class'"),
        (
            lambda m: m.inverse_transform([[1.0, 2.0, 3.0]]),
            r"codes of this model are \(n, 2\), found \(1, 3\)",
        ),
        (lambda m: m.transform(np.zeros((2, 8, 9))), r"rows of shape \(8, 9\)"),
        (lambda m: m.transform(np.full((2, 8, 8), np.nan)), "contains NaN: row 0"),
    ],
)
def test_wrong_calls_get_one_clear_error(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_noise_is_more_novel_than_digits(model, digits):
    X = digits[1]
    noise = np.random.default_rng(0).random(X.shape)
    assert np.median(model.novelty(noise)) > 2 * np.median(model.novelty(X))
    calibrated = copy.deepcopy(model).calibrate(X[:200])
    assert calibrated.is_novel(X[200:]).mean() == pytest.approx(0.05, abs=0.06)
    assert calibrated.is_novel(noise).mean() > 0.8
    assert model.is_novel(noise).mean() > 0.7


def test_without_labels_it_maps_and_decodes_but_does_not_classify(digits):
    X = digits[0][:300]
    model = SSAVAE(n_epochs=2, n_epochs_decoder=1, widths=(8, 8), random_state=0).fit(X)
    assert model.transform(X).shape == (300, 2)
    assert model.sample(4, random_state=0).shape == (4, 8, 8)
    assert len(model.classes_) == 0
    with pytest.raises(ValueError, match="trained without labels"):
        model.predict(X)


def test_few_labels_among_many_rows_help(digits):
    X, X_test, y, y_test = digits
    few = np.full(len(y), None, dtype=object)
    rng = np.random.default_rng(0)
    for c in range(10):
        labelled = rng.choice(np.flatnonzero(y == c), 8, replace=False)
        few[labelled] = f"digit {c}"
    quick: dict[str, Any] = {"n_epochs": 10, "n_epochs_decoder": 1, "learning_rate": 3e-3}
    model = SSAVAE(**quick, widths=(16, 32, 32), random_state=0).fit(X, few)
    assert model.classes_.tolist() == [f"digit {c}" for c in range(10)]
    names = np.array([f"digit {c}" for c in y_test])
    assert model.score(X_test, names) > 0.6


def test_tables_keep_columns_and_units():
    bunch: Any = load_iris(as_frame=True)
    frame = bunch.frame
    X, y = frame.drop(columns="target"), frame["target"].map({0: "setosa", 1: "versicolor", 2: "virginica"})
    model = SSAVAE(**{**QUICK, "n_epochs_decoder": 100}).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.feature_names_in_.tolist() == X.columns.tolist()
    assert np.abs(model.reconstruct(X).mean(axis=0) - X.mean().to_numpy()).max() < 0.5
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(X.rename(columns={X.columns[0]: "length"}))


def test_signals_with_channels():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    X = np.sin(np.linspace(0, 20, 40)[None, :, None] * (1 + y[:, None, None])) + 0.1 * rng.normal(
        size=(120, 40, 2)
    )
    model = SSAVAE(kind="signal", n_epochs=15, n_epochs_decoder=2, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.reconstruct(X).shape == X.shape


def test_pipeline_grid_search_and_clone(toy_table):
    X, y = toy_table
    pipeline = make_pipeline(StandardScaler(), SSAVAE(**QUICK)).fit(X, y)
    assert pipeline.score(X, y) > 0.9
    search = GridSearchCV(SSAVAE(**QUICK), {"latent_dim": [1, 3]}, cv=2).fit(X, y)
    assert search.best_params_["latent_dim"] in (1, 3)
    fitted = SSAVAE(**QUICK).fit(X, y)
    fresh: SSAVAE = clone(fitted)  # pyright: ignore[reportAssignmentType]
    assert fresh.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(X)


def test_a_fitted_model_survives_pickling_and_deep_copies(model, digits):
    again = pickle.loads(pickle.dumps(model))
    assert (again.transform(digits[1]) == model.transform(digits[1])).all()
    assert all(torch.equal(p, q) for p, q in zip(weights(again), weights(model), strict=True))
    assert (copy.deepcopy(model).predict(digits[1]) == model.predict(digits[1])).all()


def test_it_shows_its_html(model):
    assert "SSAVAE" in model._repr_html_()


def test_a_dataset_trains_like_its_rows(digits):
    X, _, y, _ = digits
    images = X[:200].astype(np.float32)
    labels = y[:200]

    class Images(torch.utils.data.Dataset):
        def __len__(self):
            return len(images)

        def __getitem__(self, i):
            return images[i], labels[i]

    settings = {"n_epochs": 2, "n_epochs_decoder": 1, "widths": (8, 8), "random_state": 0}
    lazy = SSAVAE(**settings).fit(Images())
    in_memory = SSAVAE(**settings).fit(images, labels)
    np.testing.assert_allclose(lazy.transform(Images()), in_memory.transform(images), atol=1e-5)
    assert (lazy.predict(Images()) == in_memory.predict(images)).mean() > 0.99


class OwnEncoder(nn.Module):
    """A user's encoder: one hidden layer, two features."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(5, 12)
        self.out = nn.Linear(12, 4)

    def forward(self, x):
        h = torch.tanh(self.hidden(x))
        mu, logvar = self.out(h).chunk(2, dim=1)
        return mu, logvar, (h, mu)


def test_networks_of_the_user(toy_table, tmp_path):
    X, y = toy_table
    encoder = OwnEncoder()
    decoder = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 5))
    before = encoder.hidden.weight.clone()
    model = SSAVAE(**QUICK, encoder=encoder, decoder=decoder).fit(X, y)
    assert model.score(X, y) > 0.9
    assert torch.equal(before, encoder.hidden.weight)  # a copy of the user's module was trained
    model.save(tmp_path)
    with pytest.raises(ValueError, match="trained with your own encoder"):
        load(tmp_path)
    again = load(tmp_path, encoder=OwnEncoder(), decoder=decoder)
    assert (again.transform(X) == model.transform(X)).all()
    spec = Spec((5,), 2, 3, False)
    with pytest.raises(ValueError, match=r"weights\.safetensors"):
        load(tmp_path, encoder=Encoder(spec), decoder=Decoder(spec))


def test_the_history_has_every_loss_and_measure(digits):
    X, X_test, y, y_test = digits
    model = SSAVAE(n_epochs=2, n_epochs_decoder=2, widths=(8, 8), validation_fraction=0.1, random_state=0)
    model.fit(X, y, eval_set=(X_test, y_test))
    first = model.history_[0]
    last = model.history_[-1]
    assert set(first) == {
        "step", "epoch", "seconds", "loss_class", "loss_kl", "loss_detail", "val_loss", "eval_accuracy",
    }  # fmt: skip
    assert set(last) == {
        "step", "epoch", "seconds", "loss_rec", "loss_adv", "loss_latent", "loss_disc", "val_loss",
    }  # fmt: skip
    assert model.history_[1]["eval_accuracy"] == pytest.approx(model.score(X_test, y_test))


def test_early_stopping_ends_both_steps_early(toy_table):
    X, y = toy_table
    model = SSAVAE(
        n_epochs=300, n_epochs_decoder=300, learning_rate=0.02, widths=(16,), validation_fraction=0.2,
        patience=3, random_state=0,
    ).fit(X, y)  # fmt: skip
    epochs = {step: sum(row["step"] == step for row in model.history_) for step in ("vec", "decoder")}
    assert epochs["vec"] < 300
    assert epochs["decoder"] < 300


def test_fewer_rows_than_a_batch_and_constant_columns(toy_table):
    X, y = toy_table
    X = np.c_[X[:9], np.full(9, 4.0)]
    with pytest.warns(UserWarning, match="constant column: 5"):
        model = SSAVAE(n_epochs=3, n_epochs_decoder=1, random_state=0).fit(X, y[:9])
    assert np.allclose(model.reconstruct(X)[:, 5], 4.0, atol=2.0)


def test_resume_needs_a_folder_and_the_same_data(toy_table, tmp_path, monkeypatch):
    X, y = toy_table
    with pytest.raises(ValueError, match="needs checkpoint_folder"):
        SSAVAE(**QUICK).fit(X, y, resume=True)
    model = SSAVAE(n_epochs=2, n_epochs_decoder=1, checkpoint_folder=tmp_path, checkpoint_every=1)
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        model.fit(X, y, resume=True)
    with monkeypatch.context() as patched:  # a run that dies after its last checkpoint
        patched.setattr("ssavae.estimator.fit_samplers", lambda *_: (_ for _ in ()).throw(OSError("died")))
        with pytest.raises(OSError, match="died"):
            model.fit(X, y)
    with pytest.raises(ValueError, match="other data or parameters"):
        model.fit(X[::-1], y, resume=True)
    with pytest.raises(NotFittedError):
        model.transform(X)
    assert model.fit(X, y, resume=True).transform(X).shape == (120, 2)  # with the seed of the first run


@pytest.mark.parametrize(
    "params",
    [
        {"latent_dim": np.int64(2), "beta": np.float32(0.1), "random_state": np.int64(3)},
        {"weight_consistency": np.float32(0.5), "weight_kl": np.float64(0.1), "random_state": 0},
        {"widths": np.array([8, 8]), "random_state": np.random.RandomState(0)},
        {"widths": (np.int64(8),), "random_state": None},
    ],
)
def test_parameters_may_be_numbers_of_numpy(toy_table, tmp_path, params):
    X, y = toy_table
    model = SSAVAE(n_epochs=2, n_epochs_decoder=1).set_params(**params).fit(X, y)
    model.save(tmp_path)
    assert (load(tmp_path).transform(X) == model.transform(X)).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"n_epochs_decoder": -1},
            "'n_epochs_decoder' .* must be an int in the range .0, inf. or None",
        ),
        ({"batch_size": 1}, "'batch_size' .* must be an int in the range .2, inf. or None. Got 1 "),
        ({"gamma": -1.0}, "'gamma' .* must be a float in the range .0.*, inf.. Got -1.0 "),
        ({"widths": (8, 0)}, "'widths' .* must be an int in the range .1, inf.. Got 0 "),
        (
            {"student_widths": np.array([0])},
            "'student_widths' .* an int in the range .1, inf.. Got 0 ",
        ),
        ({"patience": 3}, "patience=3 needs held-out rows"),
        ({"validation_fraction": 0.99}, "leaves under 2 of 120 rows"),
        (
            {"random_state": 2**33},
            "'random_state' .* must be an int in the range .0, 4294967295.",
        ),
        ({"precision": "16-mixed"}, "precision='16-mixed' is not supported"),
        ({"device": "warp"}, "device='warp'"),
    ],
)
def test_invalid_parameters_are_refused(toy_table, params, message):
    X, y = toy_table
    with pytest.raises(ValueError, match=message):
        SSAVAE(n_epochs=1, n_epochs_decoder=1).set_params(**params).fit(X, y)


@pytest.mark.parametrize(
    "names", [["a", "b", None], [True, False, None], [1.5, 2.0, None], [4, 7, None], ["x", "y", "z"]], ids=str
)
def test_classes_of_any_type_survive_saving(toy_table, tmp_path, names):
    X, y = toy_table
    labels = np.array(names, dtype=object)[y]
    if names[0] == 1.5:
        with pytest.raises(ValueError, match="Unknown label type"):
            SSAVAE(**QUICK).fit(X, labels)
        return
    model = SSAVAE(**{**QUICK, "n_epochs": 5}).fit(X, labels)
    model.save(tmp_path)
    before = torch.get_rng_state()
    again = load(tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert again.classes_.tolist() == model.classes_.tolist() == sorted(n for n in names if n is not None)
    assert (again.predict(X) == model.predict(X)).all()
    assert again.sample(3, y=names[0], random_state=0).shape == (3, 5)


def test_mixed_precision_trains_on_the_cpu(toy_table):
    X, y = toy_table
    model = SSAVAE(**{**QUICK, "n_epochs": 60}, precision="bf16-mixed").fit(X, y)
    assert model.score(X, y) > 0.8
    assert model.transform(X).dtype == np.float32


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives(digits):
    X, X_test, y, _ = digits
    settings: dict = {"n_epochs": 6, "n_epochs_decoder": 2, "widths": (16, 32, 32), "random_state": 0}
    state = torch.cuda.get_rng_state()
    models = [SSAVAE(**settings, device=device).fit(X, y) for device in ("cpu", "cuda")]
    assert torch.equal(state, torch.cuda.get_rng_state())
    scores = [model.score(X, y) for model in models]
    assert scores[1] == pytest.approx(scores[0], abs=0.05)
    assert np.isfinite(models[1].reconstruct(X_test)).all()


def test_missing_labels_of_pandas_are_unlabelled(toy_table):
    X, y = toy_table
    series: Any = pd.Series(np.array(["a", "b", None], dtype=object)[y])
    model = SSAVAE(**QUICK).fit(X, series)
    assert model.classes_.tolist() == ["a", "b"]


def test_the_vec_alone_can_be_trained_and_given_a_decoder_later(toy_images):
    X, y = toy_images
    model = SSAVAE(n_epochs=3, n_epochs_decoder=0, widths=(8, 8), random_state=0).fit(X, y)
    assert {row["step"] for row in model.history_} == {"vec"}
    untrained = np.mean((model.reconstruct(X) - X) ** 2)
    codes = model.transform(X)
    mixture = model.samplers_["class_0"]
    model.set_params(n_epochs_decoder=20).fit_decoder(X)
    assert np.mean((model.reconstruct(X) - X) ** 2) < untrained
    assert np.quantile(model.novelty(X), 0.95) == pytest.approx(
        1.5, abs=0.5
    )  # the limits are those of the new decoder
    assert np.array_equal(model.transform(X), codes)
    assert model.samplers_["class_0"] is mixture  # it depends on the VEC alone


def test_a_dataframe_with_every_kind_of_column(tmp_path):
    rng = np.random.default_rng(0)
    n = 80
    y = np.arange(n) % 2
    X = pd.DataFrame({"heat": rng.normal(20 + 10 * y, 2), "maker": rng.choice(["ABB", "GE"], n)})
    X["running"] = rng.random(n) < 0.5
    X["count"] = rng.integers(0, 5, n)
    X.loc[::9, "heat"] = np.nan
    X.loc[3, "maker"] = None
    model = SSAVAE(**QUICK).set_params(n_epochs=30, batch_size=16).fit(X, y)
    assert model.score(X, y) > 0.85
    frames: list[Any] = [model.reconstruct(X), model.inverse_transform(model.transform(X)), model.sample(9)]
    for decoded in frames:
        assert list(decoded.columns) == list(X.columns)
        assert set(decoded["maker"].dropna()) <= {"ABB", "GE"} and decoded["running"].dtype == bool
        assert (decoded["count"] % 1 == 0).all()
    model.save(tmp_path)
    loaded = load(tmp_path)
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
    with pytest.warns(
        UserWarning, match="column 'maker' has 'Siemens', which training did not have, in row 0"
    ):
        loaded.transform(X.assign(maker="Siemens").head(2))
    with pytest.raises(ValueError, match="feature names"):
        loaded.transform(X.rename(columns={"heat": "temperature"}))
    one_by_one = np.concatenate([model.transform(X.iloc[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(one_by_one, model.transform(X)[:5], atol=1e-5)


def frames_of_ours(stack: traceback.StackSummary) -> list[str]:
    """Return the frames of a stack that are in the package, as ``file:function``, outermost first."""
    package = Path(ssavae.__file__).parent
    paths = [(Path(frame.filename), frame.name) for frame in stack]
    return [f"{path.relative_to(package)}:{name}" for path, name in paths if path.is_relative_to(package)]


@pytest.mark.parametrize("stage", ["vec", "student", "decoder"])
def test_a_traceback_from_a_step_is_short(toy_table, monkeypatch, stage):
    step = getattr(steps, f"{stage}_step")
    stacks: list[traceback.StackSummary] = []

    def recording_step(*args, **kwargs):
        stacks.append(traceback.extract_stack())
        return step(*args, **kwargs)

    monkeypatch.setattr(steps, f"{stage}_step", recording_step)
    X, y = toy_table
    epochs: dict[str, Any] = {"n_epochs": 1, "n_epochs_student": 1, "n_epochs_decoder": 1}
    SSAVAE(**epochs, student_widths=(8,), widths=(8,), random_state=0).fit(X, y)
    frames = frames_of_ours(stacks[0])
    assert frames[0] == "estimator.py:fit"
    assert len(frames) <= 5, frames
    assert len({frame.partition(":")[0] for frame in frames}) <= 4, frames
