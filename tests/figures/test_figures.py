from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ssavae import figures as fg

RNG = np.random.default_rng(0)
NAMES = [f"class {c}" for c in range(12)]


def offsets(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(part.get_offsets()) for part in figure.axes[0].collections]


def legend_texts(figure: Figure) -> list[str]:
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    return [text.get_text() for legend in legends if legend is not None for text in legend.get_texts()]


def picture(figure: Figure, i: int = 0) -> np.ndarray:
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    return np.asarray(shown[i])


def test_map_draws_every_point_once_unlabelled_first() -> None:
    z, y = RNG.standard_normal((60, 2)), np.arange(60) % 4 - 1
    figure = fg.latent_map(z, y, NAMES[:3], title="a map")
    drawn = offsets(figure)
    np.testing.assert_array_equal(drawn[0], z[y == -1])
    assert sum(map(len, drawn)) == 60
    assert legend_texts(figure) == ["class 0", "class 1", "class 2", "unlabelled"]


def test_map_colours_follow_the_class_index_even_when_classes_are_absent() -> None:
    figure = fg.latent_map([[0.0, 0.0], [1.0, 1.0]], [2, 2], NAMES[:3])
    color = figure.axes[0].collections[-1].get_facecolor()
    np.testing.assert_allclose(np.asarray(color)[0, :3], fg.class_colors(3)[2])


def test_map_of_many_classes_writes_names_at_the_medians_beside_its_key() -> None:
    y = np.arange(120) % 12
    z = np.stack([y * 3.0, -y * 1.0], 1)
    figure = fg.latent_map(z, y, NAMES)
    written = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert written["class 7"] == (21.0, -7.0)
    assert len(written) == 12
    assert legend_texts(figure) == NAMES


def test_map_leaves_out_a_name_that_has_no_room_and_says_so() -> None:
    z = np.repeat([[0.0, 0.0], [1.0, 1.0]], [40, 20], axis=0)
    figure = fg.latent_map(z, np.where(z[:, 0] == 0, np.arange(60) % 11, 11), NAMES)
    assert len(figure.axes[0].texts) == 2
    assert "where there is room" in figure.legends[0].get_title().get_text()


def test_map_of_101_classes_names_each_once_below_it() -> None:
    y = np.arange(404) % 101
    z = np.stack([y % 11, y // 11], 1) * 1.0
    names = [f"a class with number {c} and a long name" for c in range(101)]
    figure = fg.latent_map(z, y, names)
    figure.draw_without_rendering()
    texts = legend_texts(figure)
    assert len(texts) == 101 and texts[7] == names[7]
    key = figure.legends[0].get_window_extent()
    assert key.x0 >= 0 and key.x1 <= figure.bbox.x1, "the key is wider than the page"
    assert key.y0 >= 0 and key.y1 <= figure.axes[0].get_window_extent().y0, "the key lies on the map"
    assert figure.axes[0].get_window_extent().height > 3 * figure.dpi, "the key leaves no room for the map"


def test_map_regions_are_drawn_behind_the_points_and_to_scale() -> None:
    xs, ys = np.linspace(0, 1, 5), np.linspace(0, 2, 3)
    labels = np.zeros((3, 5), dtype=int)
    labels[2] = 1
    figure = fg.latent_map([[0.5, 1.0]], [0], NAMES[:2], regions=(xs, ys, labels))
    axes = figure.axes[0]
    mesh = next(part for part in axes.collections if part.get_array() is not None)
    np.testing.assert_array_equal(np.asarray(mesh.get_array()).reshape(3, 5), labels)
    assert mesh.get_zorder() < min(part.get_zorder() for part in axes.collections if part is not mesh)
    assert axes.get_ylim() == (0, 2)


def test_map_hatches_where_it_is_unreliable() -> None:
    line, mask = np.linspace(0, 1, 5), np.zeros((5, 5), dtype=bool)
    mask[:, 3:] = True
    z, y = RNG.random((9, 2)), np.zeros(9, dtype=int)
    hatched = fg.latent_map(z, y, ["a"], untrusted=(line, line, mask))
    hatches = [c for c in hatched.axes[0].collections if c.get_hatch() or getattr(c, "hatches", None)]
    assert len(hatches) == 1
    box = hatches[0].get_paths()[0].get_extents()
    assert box.x0 == pytest.approx(0.625) and box.x1 == 1
    clear = fg.latent_map(z, y, ["a"], untrusted=(line, line, ~(mask | True)))
    assert len(clear.axes[0].collections) == len(hatched.axes[0].collections) - 1


def test_map_of_a_pca_says_so() -> None:
    figure = fg.latent_map(RNG.random((5, 2)), [0] * 5, NAMES[:1], explained=[0.61, 0.2])
    assert figure.axes[0].get_xlabel() == "principal component 1 (61% of variance)"


@pytest.mark.parametrize("n", [1, 10, 11, 101])
def test_colours_differ_and_stand_out_from_white(n: int) -> None:
    colors = fg.class_colors(n)
    assert len(set(colors)) == n
    assert max(np.dot(to_rgb(color), [0.21, 0.72, 0.07]) for color in colors) < 0.8


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_grid_shows_row_0_at_the_lowest_y(channels: tuple[int, ...]) -> None:
    images = np.zeros((2, 3, 4, 5, *channels))
    images[0, 0], images[1, 2] = 1.0, 0.5
    figure = fg.decoded_grid(images, (-1, 2, 0, 4))
    canvas, axes = picture(figure), figure.axes[0]
    assert canvas.shape == (8, 15, *(channels if channels == (3,) else ()))
    assert (canvas[4:, :5] == 1).all()
    assert (canvas[:4, 10:] == 0.5).all()
    assert (axes.get_xlim(), axes.get_ylim()) == ((-1, 2), (0, 4))


def test_each_input_is_above_its_output() -> None:
    x, x_rec = np.full((13, 8, 8), 0.25), np.full((13, 8, 8), 0.75)
    figure = fg.reconstructions(x, x_rec, [str(i) for i in range(13)])
    pair = picture(figure, 12)
    assert (pair[:8] == 0.25).all()
    assert (pair[-8:] == 0.75).all()
    assert [axes.get_title() for axes in figure.axes if axes.images] == [str(i) for i in range(13)]


@pytest.mark.parametrize("kind", ["table", "signal"])
def test_table_and_signal_draw_both_lines(kind: fg.Kind) -> None:
    x = RNG.standard_normal((3, 20))
    figure = fg.reconstructions(x, x + 1, ["a", "b", "c"], kind=kind)
    lines = figure.axes[1].lines
    np.testing.assert_array_equal(lines[0].get_ydata(), x[1])
    np.testing.assert_array_equal(lines[1].get_ydata(), x[1] + 1)
    assert legend_texts(figure) == ["input", "output"]


def test_samples_put_each_class_in_its_own_line() -> None:
    y = np.r_[np.zeros(15, int), np.full(3, 2), -1]
    x = np.r_[np.full(15, 0.2), np.full(3, 0.6), 0.9][:, None, None] * np.ones((1, 8, 8))
    figure = fg.class_samples(x, y, NAMES[:3])
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["class 0", "class 2"]
    assert (picture(figure, 0) == 0.2).all()
    few = picture(figure, 1)
    assert few.shape == (8, 80)
    assert (few[:, :24] == 0.6).all()
    assert (few[:, 24:] == 1).all()


def test_samples_of_many_classes_stay_on_a_page() -> None:
    y = np.arange(101).repeat(2)
    figure = fg.class_samples(RNG.random((202, 8, 8)), y, [f"name {c}" for c in range(101)])
    assert figure.get_size_inches()[1] < 14
    assert sum(bool(axes.images) for axes in figure.axes) == 101


def test_samples_of_signals_lie_side_by_side() -> None:
    figure = fg.class_samples(RNG.random((20, 30)), np.arange(20) % 2, NAMES[:2], kind="signal")
    starts = [float(np.min(np.asarray(line.get_xdata()))) for line in figure.axes[0].lines]
    assert len(starts) == 10
    assert (np.diff(starts) > 30).all()


def test_samples_of_signals_have_one_scale_in_the_data_s_unit() -> None:
    x = np.zeros((20, 30))
    x[3, 7] = 6.0  # one impact
    figure = fg.class_samples(
        x, np.arange(20) % 2, NAMES[:2], kind="signal", xlabel="sample", ylabel="acceleration, g"
    )
    assert figure.get_supxlabel().startswith("sample") and figure.get_supylabel() == "acceleration, g"
    limits = {axes.get_ylim() for axes in figure.axes}
    assert len(limits) == 1 and limits.pop()[1] > 6, "an impact is cut, or classes cannot be compared"
    assert max(float(np.max(np.asarray(line.get_ydata()))) for line in figure.axes[1].lines) == 6
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0", "29"]


def test_novelty_roc_draws_the_curve_of_each_group_and_the_limit_on_it() -> None:
    known = np.linspace(0, 1, 101)
    figure = fg.novelty_roc(known, {"far": known + 2, "same": known}, limit=0.945)
    right = figure.axes[1]
    assert [line.get_label() for line in right.lines if ":" in str(line.get_label())] == [
        "far: 1.000",
        "same: 0.500",
    ]
    dots = [np.asarray(line.get_xydata()) for line in right.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots, [[[6 / 101, 1]], [[6 / 101, 6 / 101]]])
    far = next(line for line in right.lines if line.get_label() == "far: 1.000")
    assert [0.0, 1.0] in np.asarray(far.get_xydata()).tolist()
    assert list(np.asarray(figure.axes[0].lines[0].get_xdata())) == [0.945, 0.945]


def test_novelty_roc_of_many_groups_is_one_curve() -> None:
    figure = fg.novelty_roc([0.0, 1.0], {str(i): [2.0] for i in range(9)})
    assert [str(line.get_label()) for line in figure.axes[1].lines[1:]] == ["9 groups together: 1.000"]


def test_strips_put_each_walk_in_its_line_and_each_step_in_its_column() -> None:
    rows = np.arange(6)[:, None, None].repeat(8, 1).repeat(8, 2).reshape(2, 3, 8, 8) / 6
    figure = fg.strips(rows, ["z0", "z1"], ["a", "b", "c"])
    for line in (0, 1):
        shown = picture(figure, line)
        assert [shown[4, 4 + 9 * step] for step in range(3)] == rows[line, :, 0, 0].tolist()
        assert (shown[:, 8] == 1).all()  # a gap
    texts = {text.get_text(): text.xy for text in figure.axes[0].texts}  # pyright: ignore[reportAttributeAccessIssue]
    assert texts["b"][0] - texts["a"][0] == 9 and "z0" in texts
    assert [text.get_text() for text in figure.axes[1].texts] == ["z1"]


def test_strips_of_signals_share_the_scale_of_their_line() -> None:
    rows = RNG.random((2, 4, 20)) * np.array([1.0, 9.0])[:, None, None]
    figure = fg.strips(rows, ["z0", "z1"], list("abcd"), kind="signal", xlabel="sample", ylabel="g")
    assert len(figure.axes) == 8
    np.testing.assert_array_equal(figure.axes[5].lines[0].get_ydata(), rows[1, 1])
    assert len({axes.get_ylim() for axes in figure.axes[4:]}) == 1
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("sample", "g")


def test_strips_of_a_table_show_the_columns_that_change_most_with_their_names(tmp_path: Path) -> None:
    rows = np.zeros((2, 3, 30))
    rows[1, 2, 5:25] = np.linspace(1, 2, 20)
    figure = fg.strips(rows, ["z0", "z1"], list("abc"), kind="table", columns=[f"c{i}" for i in range(30)])
    fg.save(figure, tmp_path / "a.png")  # drawing must not clear the names that both panels share
    shown = figure.axes[1].images[0].get_array()
    assert shown is not None
    np.testing.assert_array_equal(shown, rows[1][:, 5:25].T)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [f"c{i}" for i in range(5, 25)]
    assert "10 more" in figure.get_supxlabel()


SHARE = np.linspace(-1, 1, 12)
WALK = np.stack([np.full(12, t) for t in (0.0, 0.5, 1.0)])


def test_saliency_of_a_signal_draws_the_row_its_counterpart_and_every_share() -> None:
    row = RNG.random(12)
    figure = fg.saliency(row, SHARE, WALK, [0.1, 0.5, 0.9], ["ball", "normal"], kind="signal", ylabel="g")
    curve, bars, way = figure.axes
    np.testing.assert_array_equal(curve.lines[0].get_ydata(), row)
    np.testing.assert_array_equal(curve.lines[1].get_ydata(), WALK[-1])
    heights = [segment[1][1] for segment in bars.collections[0].get_segments()]  # pyright: ignore
    np.testing.assert_allclose(heights, SHARE)
    assert way.lines[0].get_ydata().tolist() == [0.1, 0.5, 0.9]  # pyright: ignore
    assert curve.get_ylabel() == "g" and "ball" in bars.get_ylabel()


def test_saliency_of_an_image_has_as_many_pixels_as_the_image_and_colours_for_both_classes() -> None:
    row, share = RNG.random((8, 8)), RNG.standard_normal((8, 8))
    figure = fg.saliency(row, share, np.stack([row, 1 - row]), [0.0, 1.0], ["4", "9"])
    real, heat, other, _, way = figure.axes[0], figure.axes[1], figure.axes[2], *figure.axes[3:]
    assert (np.asarray(real.images[0].get_array()) == row).all()
    assert (np.asarray(other.images[0].get_array()) == 1 - row).all()
    drawn = heat.images[-1]
    assert (np.asarray(drawn.get_array()) == share).all()
    low, high = drawn.get_clim()
    assert low is not None and high == -low
    red, blue = drawn.to_rgba(np.array([high, low]))
    assert red[0] > red[2] and blue[2] > blue[0], "red speaks for the class of the row"
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"0.00", "1.00"} <= texts and way is not None
    assert "read as 4" in real.get_title() and "as 9" in other.get_title()


def test_saliency_of_a_table_draws_the_largest_shares_beside_both_values() -> None:
    share = np.zeros(40)
    share[[3, 30]] = [-2.0, 5.0]
    row, path = RNG.random(40), RNG.random((3, 40))
    names = [f"column {i}" for i in range(40)]
    figure = fg.saliency(row, share, path, [0, 0.5, 1], ["a", "b"], kind="table", columns=names)
    bars, values = figure.axes[:2]
    assert [tick.get_text() for tick in bars.get_yticklabels()][-2:] == ["column 3", "column 30"]
    assert [bar.get_width() for bar in bars.patches][-2:] == [-2.0, 5.0]  # pyright: ignore
    assert values.lines[0].get_xdata()[-1] == row[30] and values.lines[1].get_xdata()[-1] == path[-1][30]  # pyright: ignore


HISTORY: list[dict[str, Any]] = [
    {"step": "vec", "epoch": 1, "loss_kl": 900.0, "seconds": 3.0, "val_accuracy": None},
    {"step": "vec", "epoch": 2, "loss_kl": 1.0, "seconds": 3.0, "val_accuracy": 0.9},
    {"step": "decoder", "epoch": 1, "loss_rec": np.float32(2.0), "loss_adv": -500.0},
    {"step": "decoder", "epoch": 2, "loss_rec": np.float32(1.0), "loss_adv": 500.0},
]


def test_reliability_draws_bins_beside_the_diagonal() -> None:
    curve, bars = fg.reliability_diagram([0.55, 0.95], [0.5, 0.9], [10, 30]).axes
    drawn = [np.asarray(line.get_xydata()).tolist() for line in curve.lines]
    assert drawn == [[[0, 0], [1, 1]], [[0.55, 0.5], [0.95, 0.9]]]
    heights = [segment[1][1] for segment in bars.collections[0].get_segments()]  # type: ignore[attr-defined]
    assert heights == [0.25, 0.75]
    intervals = np.array(curve.collections[0].get_segments())[:, :, 1]  # type: ignore[attr-defined]
    assert all(low < share < high for (low, high), share in zip(intervals, [0.5, 0.9], strict=True))


def test_loss_curves_have_a_panel_for_each_value_and_log_only_where_it_fits() -> None:
    figure = fg.loss_curves(HISTORY)
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_visible()}
    assert set(panels) == {"vec: loss_kl", "vec: val_accuracy", "decoder: loss_rec", "decoder: loss_adv"}
    scales = {name: axes.get_yscale() for name, axes in panels.items()}
    assert [name for name, scale in scales.items() if scale == "log"] == ["vec: loss_kl"]
    np.testing.assert_array_equal(panels["decoder: loss_rec"].lines[0].get_ydata(), [2, 1])
    np.testing.assert_array_equal(panels["vec: val_accuracy"].lines[0].get_xdata(), [2])


def test_held_out_rows_are_drawn_beside_the_loss_they_measure_and_the_kept_epoch_is_marked() -> None:
    rows = [{"step": "vec", "epoch": e, "loss_class": 10.0 / e**2, "val_loss": 9.0 / e} for e in (1, 2, 3, 4)]
    (axes,) = fg.loss_curves(rows, best_epochs={"vec": 3}).axes
    training, held_out, mark = axes.lines
    np.testing.assert_array_equal(training.get_ydata(), [r["loss_class"] for r in rows])
    np.testing.assert_array_equal(held_out.get_ydata(), [r["val_loss"] for r in rows])
    assert axes.get_yscale() == "log" and np.asarray(mark.get_xdata()).tolist() == [3, 3]
    assert [text.get_text() for text in axes.texts] == ["kept: 3"]


def test_confusion_matrix_is_shaded_by_the_share_of_its_class() -> None:
    figure = fg.confusion_matrix(
        [[3, 1, 0], [0, 0, 0], [0, 0, 7]], ["a", "empty", "a rather long class name"]
    )
    np.testing.assert_array_equal(picture(figure), [[0.75, 0.25, 0], [0, 0, 0], [0, 0, 1]])
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["1", "3", "7"]
    assert figure.axes[0].get_yticklabels()[2].get_text() == "a rather long class name"


def test_columns_of_samples_are_drawn_beside_the_real_ones_in_their_units() -> None:
    words = np.array(["red", "blue", "red", None], dtype=object)
    numbers = np.array([900.0, 1000.0, np.nan, 1100.0])
    figure = fg.column_distributions([("price", numbers, numbers + 50), ("colour", words, words[:2])])
    price, colour = [axes for axes in figure.axes if axes.get_visible()]
    assert price.get_xlim()[0] < 950 and price.get_xlim()[1] > 1000 and price.get_title() == "price"
    assert next(tick.get_text() for tick in colour.get_xticklabels()) == "red"
    heights = [bar.get_height() for bar in colour.patches]  # type: ignore[attr-defined]
    assert heights[0] == 0.5 and max(heights) <= 1


def test_pdf_holds_truetype_fonts(tmp_path: Path) -> None:
    content = fg.save(fg.loss_curves(HISTORY), tmp_path / "a.pdf").read_bytes()
    assert b"/CIDFontType2" in content and b"/Type3" not in content


def test_both_axes_of_a_map_have_one_scale() -> None:
    figure = fg.latent_map(RNG.normal(size=(50, 2)) * [10, 1], np.zeros(50, dtype=int), ["a"])
    figure.draw_without_rendering()
    axes = figure.axes[0]
    box = axes.get_window_extent()
    units = [np.ptp(axes.get_xlim()) / box.width, np.ptp(axes.get_ylim()) / box.height]
    assert units[0] == pytest.approx(units[1], rel=0.01)


def test_loss_curves_draw_a_history_with_a_nan() -> None:
    rows = [{"step": "vec", "epoch": e, "loss_kl": v} for e, v in enumerate([1.0, float("nan"), 3.0])]
    assert len(fg.loss_curves(rows).axes) == 1


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml")])
def test_save_writes_one_whole_file(tmp_path: Path, name: str, start: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    assert fg.save(fg.loss_curves(HISTORY), path) == path
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(source: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        fg.save(Figure(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


ONE = np.zeros((1, 8, 8))
BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: fg.latent_map(np.zeros((2, 3)), [0, 0], ["a"]), "z must have 2 columns, found 3"),
    (lambda: fg.latent_map([[np.nan, 0]], [0], ["a"]), "z must be finite, found 1 NaN"),
    (lambda: fg.latent_map(np.zeros((2, 2)), [0], ["a"]), r"y must have shape \(2,\), found \(1,\)"),
    (lambda: fg.latent_map(np.zeros((1, 2)), [1], ["a"]), "y must be below the 1 class names, found 1"),
    (lambda: fg.latent_map(np.zeros((1, 2)), [0], ["a"], explained=[1]), "explained must hold two fractions"),
    (
        lambda: fg.latent_map([[0.0, 0.0]], [0], ["a"], regions=([0, 1], [0, 1, 2], np.zeros((2, 3)))),
        r"values of regions must have shape \(3, 2\), found \(2, 3\)",
    ),
    (lambda: fg.decoded_grid(ONE, (0, 1, 0, 1)), r"images must have 4 or 5 axes, found shape \(1, 8, 8\)"),
    (lambda: fg.decoded_grid(ONE[None], (0, 1)), "extent must be x0, x1, y0, y1, found 2"),
    (lambda: fg.reconstructions(ONE, ONE[:, 1:]), r"x_rec must have the shape \(1, 8, 8\) of x"),
    (lambda: fg.reconstructions(ONE, ONE, ["a", "b"]), "labels must have 1 entries, found 2"),
    (lambda: fg.reconstructions(ONE, ONE, kind="table"), "x must have 2 axes"),
    (lambda: fg.class_samples(ONE, [-1], ["a"]), "y must have a labelled row"),
    (lambda: fg.class_samples(ONE[:0], [], ["a"]), "x is empty"),
    (lambda: fg.novelty_roc([0.0], {}), "new must hold a group of rows"),
    (lambda: fg.novelty_roc([0.0], {"a": [np.nan]}), r"new\['a'\] must be finite"),
    (lambda: fg.strips(ONE, ["a"], ["b"]), "rows must have 4 or 5 axes"),
    (lambda: fg.strips(ONE[None], ["a", "b"], ["c"]), "line_names must have 1 entries, found 2"),
    (lambda: fg.strips(ONE[None], ["a"], []), "step_names must have 1 entries, found 0"),
    (
        lambda: fg.strips(ONE, ["a"], ["b"] * 8, kind="table", columns=["c"]),
        "columns must have 8 entries, found 1",
    ),
    (
        lambda: fg.saliency(ONE[0], ONE[0, 1:], ONE, [0.0], ["a", "b"]),
        r"share must have shape \(8, 8\), found \(7, 8\)",
    ),
    (lambda: fg.saliency(ONE[0], ONE[0], ONE, [0.0], ["a"]), "classes must name two classes, found 1"),
    (lambda: fg.loss_curves([]), "history must hold a finite value"),
    (lambda: fg.loss_curves([{"loss": 1.0}]), "history must have step and epoch"),
    (lambda: fg.save(Figure(), "a.gif"), "path must end in .png, .svg or .pdf, found 'a.gif'"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_raises_an_error_that_names_the_argument_and_the_value(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_no_pyplot_and_no_global_state() -> None:
    code = "import sys, ssavae.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    paths = {"PYTHONPATH": str(Path(fg.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=paths, check=False).returncode == 0


# Machado, Oliveira and Fernandes 2009: linear RGB as seen without one type of cone
BLIND = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def cielab(rgb: np.ndarray) -> np.ndarray:
    """Convert linear RGB (n, 3) to CIELAB, in which a distance of 2 is just noticeable."""
    xyz = rgb.clip(0, 1) @ XYZ.T / XYZ.sum(axis=1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def smallest_distance(colors: list[tuple[float, float, float]], seen: np.ndarray) -> float:
    rgb = np.array(colors)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab = cielab(linear @ seen.T)
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)
    return float(apart[np.triu_indices(len(rgb), 1)].min())


@pytest.mark.parametrize("blindness", [None, *BLIND])
def test_colour_blind_readers_can_distinguish_ten_colours(blindness: str | None) -> None:
    seen = np.eye(3) if blindness is None else np.array(BLIND[blindness])
    assert smallest_distance(fg.class_colors(10), seen) > 15


def test_the_check_of_colours_can_fail() -> None:
    orange, dark_yellow = to_rgb("#E69F00"), to_rgb("#D2C200")
    assert smallest_distance([orange, dark_yellow], np.eye(3)) > 15
    assert smallest_distance([orange, dark_yellow], np.array(BLIND["deuteranopia"])) < 6


def test_an_image_sheet_names_its_columns_and_sets_the_first_apart():
    images = np.random.default_rng(0).random((3, 5, 6, 8, 1))
    figure = fg.image_sheet(images, ["row", "a", "b", "c", "d"], title="sheet")
    first, others = figure.axes
    assert [text.get_text() for text in first.get_xticklabels()] == ["row"]
    assert [text.get_text() for text in others.get_xticklabels()] == ["a", "b", "c", "d"]
    shapes = [np.asarray(each.images[0].get_array()).shape for each in (first, others)]
    assert shapes == [(18, 8), (18, 32)]
    with pytest.raises(ValueError, match="column_names must have 5 entries, found 2"):
        fg.image_sheet(images, ["a", "b"])
    with pytest.raises(ValueError, match="2 columns or more, found 1"):
        fg.image_sheet(images[:, :1])
