"""A code in two parts: the classifier reads the map alone, and the detail does not depend on the class."""

import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch

from hostile import rewrite
from ssavae import SSAVAE, Exported, load
from ssavae._checks import UsageError
from ssavae.analysis.explain import why
from ssavae.app.explorer.points import Plane, Points, SelectedRows
from ssavae.app.explorer.service import Service
from ssavae.app.runs.pictures import draw_grid, draw_map
from ssavae.app.runs.settings import plan_parameters
from ssavae.data.partition import Part
from ssavae.detail import DetailLaw
from ssavae.inference.codes import POOLED, Whitening
from ssavae.inference.samplers import Mixture, fit_mixture
from ssavae.networks import Classifier, Spec
from ssavae.onnx.export import export_onnx

SHORT: dict[str, Any] = {"n_epochs": 12, "n_epochs_decoder": 3, "batch_size": 16, "random_state": 0}
SHORT["widths"] = (16, 32)
K, N_MAP = 6, 2


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    centre = np.array([[1.5, 1.5], [1.5, 5.5], [5.5, 3.5]])[y] + rng.normal(0, 0.3, (120, 2))
    rows, columns = np.mgrid[:8, :8]
    distance2 = (rows - centre[:, :1, None]) ** 2 + (columns - centre[:, 1:, None]) ** 2
    return np.exp(-distance2 / rng.uniform(1, 6, (120, 1, 1))).astype(np.float32), y


@pytest.fixture(scope="module")
def model(images):
    return SSAVAE(K, map_dim=N_MAP, **SHORT).fit(*images)


def test_the_classifier_reads_the_map_alone():
    classifier = Classifier(Spec((4,), K, 3, bounded=False, map_dim=N_MAP))
    z = torch.randn(5, K)
    other = torch.cat([z[:, :N_MAP], torch.randn(5, K - N_MAP)], dim=1)
    assert torch.equal(classifier(z), classifier(other))
    assert not torch.equal(classifier(z), classifier(z + 1))
    assert torch.equal(classifier(z), classifier(z[:, :N_MAP]))


@pytest.mark.parametrize("map_dim", [0, -1, 2.0, True])
def test_a_map_of_no_dimensions_is_refused(images, map_dim):
    with pytest.raises(ValueError, match="'map_dim' parameter of SSAVAE"):
        SSAVAE(K, map_dim=map_dim).fit(*images)


def test_a_map_larger_than_the_code_is_refused(images):
    with pytest.raises(ValueError, match="map_dim=7 must be at most latent_dim=6"):
        SSAVAE(K, map_dim=7).fit(*images)
    with pytest.raises(ValueError, match="map_dim 4 is above latent_dim 3"):
        Spec((4,), 3, 2, bounded=False, map_dim=4)


def test_a_map_as_large_as_the_code_is_the_paper_s_code(images):
    whole = SSAVAE(3, **SHORT).fit(*images)
    same = SSAVAE(3, map_dim=3, **SHORT).fit(*images)
    assert np.array_equal(whole.transform(images[0]), same.transform(images[0]))
    assert np.array_equal(whole.reconstruct(images[0]), same.reconstruct(images[0]))


def test_transform_returns_the_map_and_all_of_the_code(model, images):
    X = images[0]
    codes = model.transform(X, detail=True)
    assert codes.shape == (len(X), K) and model.transform(X).shape == (len(X), N_MAP)
    assert np.array_equal(model.transform(X), codes[:, :N_MAP])
    assert model.get_feature_names_out().tolist() == ["z0", "z1"]
    assert model.score(*images) > 0.9


def test_named_columns_are_those_of_the_map(model, images):
    X = images[0]
    try:
        frame = model.set_output(transform="pandas").transform(X)
        assert list(frame.columns) == ["z0", "z1"]
        with pytest.raises(ValueError, match="detail=True returns an array"):
            model.transform(X, detail=True)
    finally:
        model.set_output(transform="default")


def test_points_of_the_map_are_decoded_with_the_mean_detail_or_that_of_rows(model, images):
    X = images[0][:4]
    codes = model.transform(X, detail=True)
    points = codes[::-1, :N_MAP]
    mean_codes = np.column_stack([points, np.zeros((4, K - N_MAP))])
    assert np.array_equal(model.inverse_transform(points), model.inverse_transform(mean_codes))
    own = np.column_stack([points, codes[:, N_MAP:]])
    lent = model.inverse_transform(points, like=X)
    np.testing.assert_allclose(lent, model.inverse_transform(own), atol=1e-5)
    one = np.column_stack([points, np.tile(codes[2, N_MAP:], (4, 1))])
    lent = model.inverse_transform(points, like=X[2:3])
    np.testing.assert_allclose(lent, model.inverse_transform(one), atol=1e-5)
    np.testing.assert_allclose(model.inverse_transform(codes), model.reconstruct(X), atol=1e-5)
    assert model.is_trusted(points).shape == (4,)


def test_codes_of_another_shape_are_refused(model, images):
    for codes in (np.zeros((1, 3)), np.zeros(K), np.zeros((1, K, 1))):
        with pytest.raises(ValueError, match=r"are \(n, 6\), points of its map \(n, 2\), found"):
            model.inverse_transform(codes)
    with pytest.raises(ValueError, match=r"like=\.\.\. takes points \(n, 2\)"):
        model.inverse_transform(np.zeros((1, K)), like=images[0][:1])
    with pytest.raises(ValueError, match=r"like=\.\.\. has 3 rows, wanted is one or 2"):
        model.inverse_transform(np.zeros((2, 2)), like=images[0][:3])
    whole = SSAVAE(2, **{**SHORT, "n_epochs": 1, "n_epochs_decoder": 1}).fit(*images)
    with pytest.raises(ValueError, match="of a code in two parts"):
        whole.inverse_transform(np.zeros((1, 2)), like=images[0][:1])


def test_a_walk_between_two_rows_begins_and_ends_with_them(model, images):
    a, b = images[0][:1], images[0][1:2]
    walk = model.interpolate(a, b, 5)
    assert walk.shape == (5, 8, 8)
    np.testing.assert_allclose(walk[[0, -1]], model.reconstruct(np.concatenate([a, b])), atol=1e-5)
    middle = model.transform(np.concatenate([a, b]), detail=True).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(walk[2], model.inverse_transform(middle)[0], atol=1e-5)
    with pytest.raises(ValueError, match="found 2 and 1"):
        model.interpolate(images[0][:2], b)
    with pytest.raises(ValueError, match="n=1 must be at least 2"):
        model.interpolate(a, b, 1)


def test_samples_of_a_class_are_of_it_and_vary(model):
    for c in model.classes_:
        samples = model.sample(30, y=c, random_state=0)
        assert (model.predict(samples) == c).mean() > 0.8
        assert samples.std(axis=0).max() > 0.02


def test_the_detail_is_white_in_every_class(model, images):
    codes = model.transform(images[0], detail=True)[:, N_MAP:]
    for c in model.classes_:
        of_class = codes[model.predict(images[0]) == c]
        assert np.abs(of_class.mean(axis=0)).max() < 0.5
        assert of_class.std(axis=0).max() < 1.3


def test_whitening_is_undone_by_colouring():
    rng = np.random.default_rng(0)
    samplers = {f"class_{c}": fit_mixture(rng.normal(c, 1 + c, (80, K))) for c in range(3)}
    whitening = Whitening.of(samplers, 3, N_MAP)
    codes, probs = rng.normal(size=(600, K)), rng.dirichlet(np.ones(3), 600)
    white = whitening.whiten(codes, probs)
    assert np.array_equal(white[:, :N_MAP], codes[:, :N_MAP])
    np.testing.assert_allclose(whitening.colour(white, probs), codes, atol=1e-9)
    np.testing.assert_allclose(whitening.whiten(codes[7:8], probs[7:8]), white[7:8], atol=1e-12)


def whitened_covariance(pooled: float, c: int) -> np.ndarray:
    """Covariance of the whitened draws of a class, of three whose variances are 1, 4 and 9."""
    rng = np.random.default_rng(0)
    samplers = {f"class_{c}": fit_mixture(rng.normal(c, 1 + c, (80, K))) for c in range(3)}
    whitening = Whitening.of(samplers, 3, N_MAP, pooled)
    drawn = whitening.whiten(samplers[f"class_{c}"].draw(20000, rng), np.tile(np.eye(3)[c], (20000, 1)))
    assert np.abs(drawn[:, N_MAP:].mean(axis=0)).max() < 0.05
    return np.cov(drawn[:, N_MAP:], rowvar=False)


@pytest.mark.parametrize("c", range(3))
def test_whitened_covariances_are_those_of_the_classes_in_part(c):
    np.testing.assert_allclose(whitened_covariance(0.0, c), np.eye(K - N_MAP), atol=0.05)
    variances = np.linalg.eigvalsh(whitened_covariance(POOLED, c))
    assert 0.3 < variances.min() < variances.max() < 1.5


def test_an_exchange_of_details_keeps_places_and_whitened_details():
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(3, 4, 4))
    roots = roots @ roots.transpose(0, 2, 1) + np.eye(4)
    whitening = Whitening(rng.normal(size=(3, 4)), roots)
    law = DetailLaw(torch.from_numpy(whitening.means), torch.from_numpy(whitening.roots))
    z = rng.normal(size=(7, 6))
    probs = rng.dirichlet(np.ones(3), size=7)
    exchanged = law.exchanged(torch.from_numpy(z), torch.from_numpy(probs)).numpy()
    assert np.array_equal(exchanged[:, :2], z[:, :2])
    white, white_exchanged = whitening.whiten(z, probs), whitening.whiten(exchanged, probs)
    assert white_exchanged[:, 2:] == pytest.approx(np.roll(white[:, 2:], -1, axis=0), abs=1e-9)


def test_step_2_exchanges_the_details_of_a_code_in_two_parts_alone(images, monkeypatch):
    exchanges = []
    original = DetailLaw.exchanged
    monkeypatch.setattr(DetailLaw, "exchanged", lambda *args: exchanges.append(1) or original(*args))
    settings = {**SHORT, "n_epochs": 1, "n_epochs_decoder": 1}
    SSAVAE(K, **settings).fit(*images)
    assert exchanges == []
    SSAVAE(K, map_dim=N_MAP, **settings).fit(*images)
    assert len(exchanges) == 120 // 32
    SSAVAE(K, map_dim=N_MAP, beta=0.0, gamma=0.0, **settings).fit(*images)
    assert len(exchanges) == 120 // 32


def test_moments_of_a_mixture_are_those_of_its_draws():
    rng = np.random.default_rng(0)
    mixture = Mixture(
        np.array([0.3, 0.7]), np.array([[0.0, 1], [4, -1]]), np.array([np.eye(2), [[2, 0], [1, 1.0]]])
    )
    mean, covariance = mixture.moments()
    draws = mixture.draw(200000, rng)
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(draws, rowvar=False), covariance, atol=0.1)


def test_a_model_without_labels_has_one_law(images):
    model = SSAVAE(K, map_dim=N_MAP, **SHORT).fit(images[0])
    assert model.whitening_ is not None and model.whitening_.means.shape == (1, K - N_MAP)
    codes = model.transform(images[0], detail=True)
    np.testing.assert_allclose(model.inverse_transform(codes), model.reconstruct(images[0]), atol=1e-4)


def test_novelty_reads_both_parts(model, images):
    X = images[0]
    draws = model.vec_.code(model.network_inputs(X)).detach().double().numpy()
    moved = draws.copy()
    moved[:, N_MAP:] += 50
    assert (model._log_density(moved) < model._log_density(draws)).all()


def test_a_model_folder_keeps_the_parts(model, images, tmp_path):
    model.save(tmp_path / "model")
    other = load(tmp_path / "model")
    assert (other.map_dim, other.spec_.map_dim) == (N_MAP, N_MAP)
    for detail in (False, True):
        codes = model.transform(images[0], detail=detail)
        assert np.array_equal(other.transform(images[0], detail=detail), codes)
    assert np.array_equal(other.predict(images[0]), model.predict(images[0]))


def test_a_folder_without_the_field_is_the_paper_s_code(images, tmp_path):
    short = {**SHORT, "n_epochs": 1, "n_epochs_decoder": 1}
    model = SSAVAE(3, **short).fit(*images)
    model.save(tmp_path)

    def forget(document):
        del document["model"]["spec"]["map_dim"], document["model"]["params"]["map_dim"]
        return document

    rewrite(tmp_path / "model.json", forget)
    older = load(tmp_path)
    assert older.map_dim is None and older.spec_.n_map == 3
    assert np.array_equal(older.transform(images[0]), model.transform(images[0]))


def test_a_student_learns_both_parts(images):
    short = {**SHORT, "n_epochs_student": 2, "student_widths": (16,)}
    model = SSAVAE(K, map_dim=N_MAP, **short).fit(*images)
    assert model.transform(images[0]).shape == (120, N_MAP)
    assert model.predict_proba(images[0]).shape == (120, 3)


def test_step_1_of_another_model_and_a_new_decoder_keep_the_parts(images):
    plain = SSAVAE(K, map_dim=N_MAP, **SHORT).fit(*images)
    again = SSAVAE(K, map_dim=N_MAP, **SHORT).fit(images[0], images[1], vec=plain)
    assert np.array_equal(again.transform(images[0]), plain.transform(images[0]))
    again.fit_decoder(images[0], beta=0.0)
    assert np.array_equal(again.transform(images[0]), plain.transform(images[0]))


def test_labels_of_few_rows_are_enough(images):
    y = np.where(np.arange(120) < 12, images[1], -1)
    model = SSAVAE(K, map_dim=N_MAP, **SHORT).fit(images[0], y)
    assert model.score(*images) > 0.8


def test_onnx_gives_the_same(model, images, tmp_path):
    pytest.importorskip("onnxscript")
    export_onnx(model, tmp_path / "onnx")
    exported = Exported(tmp_path / "onnx")
    X = images[0][:9]
    for detail in (False, True):
        expected = model.transform(X, detail=detail)
        np.testing.assert_allclose(exported.transform(X, detail=detail), expected, atol=1e-4)
    np.testing.assert_allclose(exported.predict_proba(X), model.predict_proba(X), atol=1e-4)
    np.testing.assert_allclose(exported.reconstruct(X), model.reconstruct(X), atol=1e-4)
    points = model.transform(X)
    np.testing.assert_allclose(exported.inverse_transform(points), model.inverse_transform(points), atol=1e-4)
    description = json.loads((tmp_path / "onnx" / "exported.json").read_text())
    assert description["map_dim"] == N_MAP and len(description["whitening"]["roots"]) == 3


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("exported")
    export_onnx(model, folder)
    return folder


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("map_dim", 0, "map_dim 0 and whitening do not fit latent_dim 6"),
        ("map_dim", None, "map_dim None and whitening do not fit latent_dim 6"),
        ("whitening", None, "map_dim 2 and whitening do not fit latent_dim 6"),
        ("means", [[0.0] * 4], r"whitening.means must be \(3, 4\), found \(1, 4\)"),
        (
            "roots",
            [[[0.0] * 4] * 4, [[0.0] * 3] * 4, [[0.0] * 4] * 4],
            r"whitening.roots must be \(3, 4, 4\)",
        ),
    ],
)
def test_parts_of_an_export_that_do_not_fit_are_refused(exported, tmp_path, field, value, message):
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)

    def damage(document):
        (document if field in document else document["whitening"])[field] = value
        return document

    rewrite(tmp_path / "exported.json", damage)
    with pytest.raises(ValueError, match=message):
        Exported(tmp_path)


def test_the_command_line_takes_it():
    parameters = plan_parameters(None, {"latent_dim": K}, ["map_dim=2"])
    assert (parameters["latent_dim"], parameters["map_dim"]) == (K, 2)
    assert plan_parameters(None, {}, ["map_dim=none"])["map_dim"] is None
    with pytest.raises(UsageError, match="map_dim"):
        plan_parameters(None, {}, ["map_dim=two"])


def test_pictures_show_the_map(model, images):
    part = Part(*images)
    (axes,) = draw_map(model, part).axes[:1]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z₁", "z₂")
    assert draw_grid(model, part, 4) is not None


def test_the_explorer_shows_the_map(model, images):
    selected = SelectedRows(Part(*images), np.arange(120), np.arange(120), {}, 120)
    service = Service(model, Points.of(model, selected))
    plane = service.read_plane(0, 1, "pca")
    points = np.column_stack(plane.project(service.points.z))
    np.testing.assert_allclose(points, model.transform(images[0]), atol=1e-5)
    lifted = plane.lift(points[:3])
    np.testing.assert_allclose(
        lifted[:, N_MAP:], np.tile(service.points.z[:, N_MAP:].mean(axis=0), (3, 1)), atol=1e-5
    )
    other = service.read_plane(1, 4, None)
    assert not np.array_equal(other.x_axis, plane.x_axis)


def test_a_map_of_more_dimensions_is_projected_alone():
    z = np.random.default_rng(0).normal(size=(50, 5)) * [1, 2, 3, 100, 100]
    plane = Plane.pca(z, 3)
    assert not plane.x_axis[3:].any() and not plane.y_axis[3:].any()
    assert abs(plane.x_axis[2]) > 0.9
    line = Plane.pca(z, 1)
    assert line.x_axis[0] != 0 and not line.y_axis.any()


def test_an_explanation_keeps_the_row_s_own_detail(model, images):
    pytest.importorskip("captum")
    explanation = why(model, images[0][:1])
    assert explanation.path.shape[1] == K
    assert (explanation.path[:, N_MAP:] == explanation.path[0, N_MAP:]).all()
    assert explanation.probability[-1] > explanation.probability[0]
