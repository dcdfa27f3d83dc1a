from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ssavae import figures as fg

VERMILION, GREEN = to_rgb("#D55E00"), to_rgb("#009E73")
RNG = np.random.default_rng(0)


def panel(n_classes: int = 3, n_train: int = 40, n_test: int = 20, notes: str = "") -> fg.MapPanel:
    y = np.arange(n_train) % n_classes
    z = np.stack([np.cos(y), np.sin(y)], 1) + 0.01 * RNG.standard_normal((n_train, 2))
    rows = np.arange(n_test) % n_train
    return fg.MapPanel(
        "digits", z, y, z[rows] + 0.01, y[rows], [f"name {c}" for c in range(n_classes)], notes
    )


def points(axes: Axes, zorder: int) -> np.ndarray:
    return np.concatenate(
        [np.asarray(part.get_offsets()) for part in axes.collections if part.get_zorder() == zorder]
    )


def key_texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def written(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def has(canvas: np.ndarray, color: Sequence[float]) -> np.ndarray:
    return np.asarray(np.isclose(canvas, color).all(axis=-1))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_panels_fill_a_page_from_its_upper_left(n: int) -> None:
    figure = fg.map_panels([panel() for _ in range(n)], title="maps")
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == n
    assert figure.get_size_inches()[0] == (5 if n == 1 else 10)
    assert [text.get_text() for text in (shown[-1].get_legend() or figure.legends[0]).get_texts()] == [
        "name 0",
        "name 1",
        "name 2",
    ]


def test_panel_draws_test_rows_above_paler_training_rows() -> None:
    one = panel(notes="accuracy 0.9")
    figure = fg.map_panels([one])
    axes = figure.axes[0]
    for zorder, z in ((1, one.z_train), (2, one.z_test)):
        np.testing.assert_allclose(sorted(points(axes, zorder).tolist()), sorted(np.asarray(z).tolist()))
    pale, dark = (np.asarray(part.get_facecolor())[:, :3] for part in axes.collections)
    assert {tuple(color) for color in dark} == set(fg.class_colors(3))
    assert pale.mean() > dark.mean() + 0.3
    assert axes.get_xlabel().endswith("accuracy 0.9")
    assert key_texts(figure) == ["pale: train", "dark: test"]


def test_panel_of_many_rows_draws_the_same_subsample_twice_and_says_so() -> None:
    many = panel(n_train=6000, n_test=3000)
    first, again = (fg.map_panels([many]) for _ in range(2))
    assert len(points(first.axes[0], 1)) == 5000
    assert len(points(first.axes[0], 2)) == 2500
    np.testing.assert_array_equal(points(first.axes[0], 2), points(again.axes[0], 2))
    assert any("5,000 and 2,500" in text for text in key_texts(first))


def test_panel_of_many_classes_writes_names_and_leaves_out_the_smaller_of_two_that_overlap() -> None:
    y = np.r_[np.arange(12).repeat(4), 5]
    z = np.stack([y % 4, y // 4], 1).astype(float)
    z[y == 7] = z[y == 5][0]
    names = [f"name {c}" for c in range(12)]
    figure = fg.map_panels([fg.MapPanel("many", z, y, z, y, names)])
    assert set(written(figure)) == set(names) - {"name 7"}
    assert (
        len({np.asarray(part.get_paths()[0].vertices).tobytes() for part in figure.axes[0].collections}) > 2
    )
    assert any("where there is room" in text for text in key_texts(figure))
    key = figure.axes[0].get_legend()
    assert key is not None and [text.get_text() for text in key.get_texts()] == names


def test_the_key_of_101_names_lies_below_its_panel_and_on_the_page() -> None:
    y = np.arange(404) % 101
    z = np.stack([y % 11, y // 11], 1) * 1.0
    names = [f"flamingo head {c}" for c in range(101)]
    figure = fg.map_panels([panel(), fg.MapPanel("many", z, y, z, y, names), panel(), panel()])
    figure.draw_without_rendering()
    key = figure.axes[1].get_legend()
    assert key is not None and len(key.get_texts()) == 101
    box = key.get_window_extent()
    assert box.y1 <= figure.axes[1].get_window_extent().y0, "the key lies on the map"
    assert box.y0 >= figure.axes[3].get_window_extent().y1, "the key lies on the panel below"
    assert box.x0 >= figure.axes[0].get_window_extent().x1 and box.x1 <= figure.bbox.x1
    assert figure.axes[1].get_window_extent().height > 3 * figure.dpi, "the key leaves no room for the map"


def test_panel_shows_unlabelled_rows_in_grey() -> None:
    one = replace(panel(), y_train=np.r_[-2, np.full(39, -1)])
    color = np.asarray(fg.map_panels([one]).axes[0].collections[0].get_facecolor())[:, :3]
    assert np.ptp(color) < 1e-9


N, SIDE = 3, 8
INPUTS = np.full((N, SIDE, SIDE), 0.25)
OUTPUTS = np.full((N, SIDE, SIDE), 0.5)


def beta_line(
    dim: int, gamma: float, beta: float, wrong: Sequence[int] = (), notes: Sequence[str] = ()
) -> fg.BetaLine:
    return fg.BetaLine(dim, gamma, beta, OUTPUTS, np.isin(np.arange(N), wrong), notes)


def canvases(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for image in figure.axes[0].images]


def tiles(canvas: np.ndarray, n_lines: int) -> np.ndarray:
    """Cut a canvas to (lines, n, height, width, 3)."""
    height, width = canvas.shape[0] // n_lines, canvas.shape[1] // N
    return canvas.reshape(n_lines, height, N, width, 3).swapaxes(1, 2)


def marked(canvas: np.ndarray, n_lines: int, color: Sequence[float]) -> list[list[bool]]:
    """Whether the tile of each line and column has the colour."""
    return np.asarray(has(tiles(canvas, n_lines), color).any(axis=(2, 3))).tolist()


def test_sheet_frames_wrong_and_corrected_images_only() -> None:
    lines = [beta_line(2, 0, 0.1, [1, 2]), beta_line(2, 0, 0, [0]), beta_line(2, 0.1, 0, [0])]
    figure = fg.beta_sheet(INPUTS, [*lines, beta_line(2, 0.1, 0.1, [0, 2])], title="sheet")
    head, without, with_term, _ = canvases(figure)
    assert not has(head, VERMILION).any()
    assert marked(without, 2, VERMILION) == [[True, False, False], [False, True, True]]
    assert marked(without, 2, GREEN) == [[False] * 3] * 2
    assert marked(with_term, 2, VERMILION) == [[True, False, False], [True, False, True]]
    assert marked(with_term, 2, GREEN) == [[False] * 3, [False, True, False]]
    assert "γ = 0: 3 of 6 wrong" in written(figure)
    assert "γ = 0.1: 3 of 6 wrong, 1 corrected" in written(figure)


def test_sheet_frames_differ_in_shape_and_leave_the_image_whole() -> None:
    figure = fg.beta_sheet(INPUTS, [beta_line(2, 0, 0, [0]), beta_line(2, 0.1, 0)])
    framed, corrected = tiles(canvases(figure)[1], 1)[0, 0], tiles(canvases(figure)[2], 1)[0, 0]
    middle = framed.shape[0] // 2
    assert has(framed, VERMILION)[middle].any()
    assert not has(corrected, GREEN)[middle].any()
    for tile in (framed, corrected):
        assert has(tile, [0.5] * 3).sum() == (SIDE * 7) ** 2
        assert (tile[0] == 1).all()


def test_sheet_of_a_part_of_the_grid_has_a_column_each_dimension_and_lines_by_beta() -> None:
    lines = [
        beta_line(100, 0.1, 1, notes=["0.9", "12"]),
        beta_line(2, 0, 0.01, notes=["0.8", "13"]),
        beta_line(2, 0, 0.003, [0], notes=["0.7", "14"]),
    ]
    figure = fg.beta_sheet(INPUTS, lines, note_heads=["agreement", "distance"])
    extents = [image.get_extent() for image in figure.axes[0].images]
    assert len(extents) == 5
    assert extents[0][0] == extents[2][0] < extents[1][0] == extents[3][0]
    texts = written(figure)
    assert texts.index("β = 0.003") < texts.index("β = 0.01")
    assert {"input", "agreement", "0.9", "K = 2", "K = 100"} <= set(texts)
    left = {text.get_text(): text.get_position()[0] for text in figure.axes[0].texts}
    assert left["agreement"] == left["0.9"] < left["distance"] == left["12"], "a number is not below its head"
    assert marked(canvases(figure)[2], 2, VERMILION) == [[True, False, False], [False] * 3]


def test_sheet_writes_no_text_outside_the_page() -> None:
    figure = fg.beta_sheet(
        INPUTS,
        [beta_line(2, 0, 0.003, notes=["0.973", "12.34"])],
        title="a title",
        note_heads=["judge\nagrees", "Fréchet\ndistance"],
    )
    page = figure.bbox.padded(1)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert [box for box in boxes if not (page.contains(*box.min) and page.contains(*box.max))] == []


@pytest.mark.parametrize("shape", [(N, 8, 6), (N, 8, 6, 1), (N, 8, 6, 3)])
def test_sheet_takes_grey_and_colour(shape: tuple[int, ...]) -> None:
    images = RNG.random(shape)
    line = fg.BetaLine(2, 0, 0, images, np.zeros(N, bool))
    head, block, _ = canvases(fg.beta_sheet(images, [line]))
    np.testing.assert_array_equal(head, block)
    corner = tiles(head, 1)[0, 1][6:-6, 6:-6]
    np.testing.assert_array_equal(corner[0, 0], np.broadcast_to(images[1, 0, 0], 3))
    np.testing.assert_array_equal(corner[-1, -1], np.broadcast_to(images[1, -1, -1], 3))


def grid(values: dict[str, Any], betas: Sequence[float] = (1, 0, 0.01)) -> list[dict[str, Any]]:
    return [
        {"latent_dim": dim, "gamma": gamma, "beta": beta}
        | {name: value + beta for name, value in values.items()}
        for dim in (2, 100)
        for gamma in (0, 0.1)
        for beta in betas
    ]


def test_regimes_have_a_panel_for_each_metric_and_a_line_for_each_latent_dim_and_gamma() -> None:
    figure = fg.regime_curves(grid({"ssim": 0.2, "agreement": 0.5, "unknown": 1.0}), title="regimes")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["agreement with the judge", "SSIM"]
    for line in shown[1].lines:
        np.testing.assert_allclose(np.asarray(line.get_ydata()), [0.2, 0.21, 1.2])
    styles = {(line.get_color(), line.get_linestyle()) for line in shown[0].lines}
    assert len(styles) == 4
    assert len({color for color, _ in styles}) == 2
    assert key_texts(figure)[1] == "K = 2, γ = 0.1"


def test_regimes_put_0_left_of_a_log_scale_and_mark_the_bands_that_were_measured() -> None:
    axes = fg.regime_curves(grid({"frechet": 1.0})).axes[0]
    ticks = axes.get_xticks()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.01", "1"]
    np.testing.assert_allclose(ticks[1:], [-2, 0])
    assert axes.get_xlim()[0] < ticks[0] < ticks[1]
    assert [text.get_text() for text in axes.texts] == ["blurred", "clear", "mismatch"]
    few = fg.regime_curves(grid({"frechet": 1.0}, betas=[0.03, 0.2])).axes[0]
    assert [text.get_text() for text in few.texts] == ["mismatch"]


def test_regimes_leave_out_what_is_missing_or_nan() -> None:
    rows = grid({"sharpness": 1.0})
    rows[0]["sharpness"], rows[1]["sharpness"] = float("nan"), None
    lines = fg.regime_curves(rows).axes[0].lines
    assert [len(np.asarray(line.get_xdata())) for line in lines] == [1, 3, 3, 3]


LINE = beta_line(2, 0, 0.1)
BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: fg.map_panels([]), "panels must be 1 to 4, found 0"),
    (
        lambda: fg.map_panels([replace(panel(), z_test=np.zeros((20, 3)))]),
        "digits: z_test must have 2 columns",
    ),
    (lambda: fg.map_panels([replace(panel(), y_train=[0])]), r"digits: y_train must have shape \(40,\)"),
    (
        lambda: fg.map_panels([replace(panel(), class_names=["a"])]),
        "digits: y_train must be below the 1 class",
    ),
    (lambda: fg.beta_sheet(INPUTS, []), "lines must hold a line"),
    (lambda: fg.beta_sheet(INPUTS, [LINE, LINE]), "latent_dim 2, gamma 0, beta 0.1 occurs twice"),
    (
        lambda: fg.beta_sheet(INPUTS[:, :4], [LINE]),
        r"images of latent_dim 2, .* must have shape \(3, 4, 8, 3\)",
    ),
    (lambda: fg.beta_sheet(INPUTS[..., None] * [0, 1], [LINE]), "inputs must have 1 or 3 channels, found 2"),
    (lambda: fg.beta_sheet(INPUTS, [replace(LINE, wrong=[True])]), r"wrong of .* must have shape \(3,\)"),
    (lambda: fg.beta_sheet(INPUTS, [replace(LINE, wrong=[0, 1, 0])]), "must hold booleans, found dtype int"),
    (lambda: fg.regime_curves([]), "rows must hold a finite value"),
    (lambda: fg.regime_curves([{"beta": 1.0, "gamma": 0.0}]), "rows must have latent_dim, gamma, beta"),
    (lambda: fg.regime_curves(grid({"ssim": 1.0}, betas=[-1])), "beta must not be negative, found -1"),
    (lambda: fg.regime_curves(grid({"ssim": 1.0}, betas=[1, 1])), "found one twice"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_raises_an_error_that_names_the_argument_and_the_value(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        call()
