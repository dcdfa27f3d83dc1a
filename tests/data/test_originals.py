"""Named sets built from small files in the formats of their originals."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from ssavae.app.cli import main
from ssavae.data import catalog, originals
from ssavae.data.loading import load_dataset

RNG = np.random.default_rng(0)
SHARED = Path(os.environ.get("SSAVAE_DATA", "no such folder"))


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def write_omniglot(folder: Path) -> int:
    """Two alphabets in an archive, one in a folder; the ink of character c begins in row 20 * c."""
    paper = np.full((105, 105), True)
    with ZipFile(folder / "images_background.zip", "w") as archive:
        archive.writestr("__MACOSX/images_background/._Korean/x/0001_01.png", b"")
        for alphabet in ("Korean", "Bengali"):
            for c in (1, 2):
                for drawer in range(1, 21):
                    drawing = paper.copy()
                    drawing[20 * c : 20 * c + 15] = False
                    name = f"images_background/{alphabet}/character{c:02}/00{c:02}_{drawer:02}.png"
                    archive.writestr(name, png(drawing))
    for drawer in range(1, 21):
        path = folder / "unzipped/images_evaluation/Angelic/character01" / f"0965_{drawer:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(paper))
    return 100


def write_silhouettes(folder: Path) -> int:
    names = np.array([["ant", "bass", "Faces 2"]], dtype=object)
    mat = {"classnames": names}
    for part, n in (("train", 5), ("val", 3), ("test", 4)):
        upright = np.ones((n, 28, 28), dtype=np.uint8)
        upright[:, 20:, :5] = 0  # an object at the lower left
        mat |= {
            f"{part}_data": upright.swapaxes(1, 2).reshape(n, 784),
            f"{part}_labels": np.arange(n)[:, None] % 3 + 1,
        }
    savemat(folder / "caltech101_silhouettes_28_split1.mat", mat)
    return 12


def write_plant(folder: Path) -> int:
    (folder / "TE_process").mkdir()
    for fault in range(22):
        for suffix, n in (("", 3), ("_te", 162)):
            values = 100 * fault + np.arange(n)[:, None] + np.arange(52) / 100
            on_its_side = fault == 0 and not suffix
            np.savetxt(
                folder / f"TE_process/d{fault:02}{suffix}.dat", values.T if on_its_side else values, "%15.7e"
            )
    return 22 * 165


def write_bearings(folder: Path) -> int:
    for number in originals.RECORDS.values():
        n = 20_000 if number == 97 else 5_000
        times = np.arange(n) / (48_000 if number == 97 else 12_000)
        signal = np.sin(2 * np.pi * 100 * times)[:, None]
        key = f"X{number:03}"
        savemat(
            folder / f"{number}.mat",
            {f"{key}_DE_time": signal, f"{key}_FE_time": 9 * signal, f"{key}RPM": 1797},
        )
    return 10 * (10 + 2)


WRITE: dict[str, Callable[[Path], int]] = {
    "omniglot": write_omniglot,
    "caltech101_silhouettes": write_silhouettes,
    "tennessee_eastman": write_plant,
    "cwru_bearing": write_bearings,
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SSAVAE_DATA", raising=False)
    monkeypatch.setattr(catalog, "_cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "downloads").mkdir()
    return tmp_path / "downloads"


def build(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    rows = WRITE[name](folder)
    monkeypatch.setitem(catalog.SETS, name, replace(catalog.SETS[name], rows=rows))
    with np.load(originals.build(name, folder)) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", WRITE)
def test_a_built_set_is_found_and_looks_like_ours(name: str, folder: Path, cache: Path, monkeypatch) -> None:
    arrays = build(name, folder, monkeypatch)
    loaded = load_dataset(name)
    assert loaded.kind == catalog.SETS[name].kind
    np.testing.assert_array_equal(np.asarray(loaded.x_train), arrays["x_train"])
    assert [path.name for path in cache.iterdir()] == [f"{name}.npz"]
    if (SHARED / f"{name}.npz").is_file():
        with np.load(SHARED / f"{name}.npz") as ours:
            assert set(arrays) == set(ours)
            wanted = {key: (ours[key].dtype.kind, ours[key].ndim, ours[key].shape[1:]) for key in ours}
            assert {key: (x.dtype.kind, x.ndim, x.shape[1:]) for key, x in arrays.items()} == wanted
            assert {key: x.dtype for key, x in arrays.items() if x.dtype.kind != "U"} == {
                key: ours[key].dtype for key in ours if ours[key].dtype.kind != "U"
            }


def test_omniglot_has_bright_ink_and_15_of_20_drawings_in_training(folder, cache, monkeypatch) -> None:
    arrays = build("omniglot", folder, monkeypatch)
    assert arrays["class_names"].tolist() == ["Bengali", "Korean", "Angelic"]
    assert np.bincount(arrays["char_train"]).tolist() == [15] * 5
    assert np.bincount(arrays["y_test"]).tolist() == [10, 10, 5]
    drawn = sorted(
        zip(
            *(np.r_[arrays[f"{key}_train"], arrays[f"{key}_test"]] for key in ("char", "drawer")), strict=True
        )
    )
    assert drawn == [(c, drawer) for c in range(5) for drawer in range(1, 21)]
    second = arrays["x_train"][arrays["char_train"] == 1]
    assert (second[:, 11:14] == 255).all() and (second[:, :10] == 0).all()
    assert (arrays["x_train"][arrays["y_train"] == 2] == 0).all()


def test_silhouettes_stand_upright_and_validation_rows_come_last(folder, cache, monkeypatch) -> None:
    arrays = build("caltech101_silhouettes", folder, monkeypatch)
    assert arrays["class_names"].tolist() == ["ant", "bass", "Faces 2"]
    assert arrays["is_val"].tolist() == [False] * 5 + [True] * 3
    assert arrays["y_train"].tolist() == [0, 1, 2, 0, 1, 0, 1, 2]
    assert (arrays["x_test"][:, 20:, :5] == 255).all() and arrays["x_test"].sum() == 4 * 8 * 5 * 255


def test_the_plant_is_normal_before_a_fault_starts(folder, cache, monkeypatch) -> None:
    arrays = build("tennessee_eastman", folder, monkeypatch)
    assert arrays["y_train"].tolist() == np.repeat(np.arange(22), 3).tolist()
    last = arrays["run_test"] == 21
    assert arrays["y_test"][last].tolist() == [0] * 160 + [21] * 2
    assert arrays["x_test"][last][161, 3] == np.float32(2261.03)
    assert arrays["x_train"][1, 51] == np.float32(1.51)
    assert arrays["feature_names"][[0, 40, 41, 51]].tolist() == ["XMEAS(1)", "XMEAS(41)", "XMV(1)", "XMV(11)"]


def test_the_normal_bearing_is_sampled_as_the_others(folder, cache, monkeypatch) -> None:
    arrays = build("cwru_bearing", folder, monkeypatch)
    assert np.bincount(arrays["y_train"]).tolist() == [10] * 10
    assert np.bincount(arrays["y_test"]).tolist() == [2] * 10
    spectra = np.abs(np.fft.rfft(arrays["x_train"] * np.hanning(1024)))
    assert set(spectra.argmax(axis=1)) == {round(100 * 1024 / 12_000)}
    assert np.abs(arrays["x_train"]).max() < 1.1, "another sensor was read"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("omniglot", "images_background.zip"),
        ("caltech101_silhouettes", "caltech101_silhouettes_28_split1.mat"),
        ("tennessee_eastman", "TE_process/d07_te.dat"),
        ("cwru_bearing", "209.mat"),
    ],
)
def test_a_missing_or_damaged_original_is_named(name: str, file: str, folder, cache, monkeypatch) -> None:
    WRITE[name](folder)
    with pytest.raises(ValueError, match=rf"rows of {name}, not {catalog.SETS[name].rows:,}"):
        originals.build(name, folder)
    (folder / file).write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match=Path(file).name):
        originals.build(name, folder)
    (folder / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"no {Path(file).name} in .*{catalog.SETS[name].source}"):
        originals.build(name, folder)
    with pytest.raises(FileNotFoundError, match=f"ssavae data build {name} --from FOLDER"):
        load_dataset(name)
    assert not cache.exists()


def test_the_command_builds_and_refuses(folder, cache, monkeypatch, capsys) -> None:
    build("caltech101_silhouettes", folder, monkeypatch)
    with pytest.raises(SystemExit, match="0"):
        main(["data", "build", "caltech101_silhouettes", "--from", str(folder)])
    assert capsys.readouterr().out.startswith("caltech101_silhouettes is at ")
    for name, message in (
        ("mnist", "mnist is not built from files"),
        ("omnigolt", "no data set or path called"),
    ):
        with pytest.raises(SystemExit) as exit:
            main(["data", "build", name, "--from", str(folder)])
        assert exit.value.code != 0 and message in capsys.readouterr().err


# ---------------------------------------------------------- the published sets, as far as they are here


def ours(name: str) -> dict[str, np.ndarray]:
    path = SHARED / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.mark.slow
def test_omniglot_is_split_as_ours(folder, cache) -> None:
    wanted = ours("omniglot")
    blank = png(np.full((105, 105), True))
    alphabet_of = dict(zip(wanted["char_train"].tolist(), wanted["y_train"].tolist(), strict=True))
    for part, chars in (("images_background", range(964)), ("images_evaluation", range(964, 1623))):
        with ZipFile(folder / f"{part}.zip", "w") as archive:
            for char in chars:
                place = f"{part}/{wanted['class_names'][alphabet_of[char]]}/character{char:04}"
                for drawer in range(1, 21):
                    archive.writestr(f"{place}/{char:04}_{drawer:02}.png", blank)
    built = np.load(originals.build("omniglot", folder))
    for key in wanted:
        if not key.startswith("x_"):
            np.testing.assert_array_equal(built[key], wanted[key])


@pytest.mark.slow
def test_silhouettes_and_plant_come_back_to_the_bit(folder, cache) -> None:
    wanted = ours("caltech101_silhouettes")
    mat = {"classnames": wanted["class_names"].astype(object)[None]}
    n = 4100
    for part, x, y in (
        ("train", wanted["x_train"][:n], wanted["y_train"][:n]),
        ("val", wanted["x_train"][n:], wanted["y_train"][n:]),
        ("test", wanted["x_test"], wanted["y_test"]),
    ):
        mat |= {
            f"{part}_data": (x == 0).swapaxes(1, 2).reshape(-1, 784).astype(np.uint8),
            f"{part}_labels": y[:, None] + 1,
        }
    savemat(folder / "caltech101_silhouettes_28_split1.mat", mat)
    plant = ours("tennessee_eastman")
    for part, suffix in (("train", ""), ("test", "_te")):
        for fault in range(22):
            rows = plant[f"x_{part}"][plant[f"run_{part}"] == fault]
            np.savetxt(folder / f"d{fault:02}{suffix}.dat", rows, "%.9e")
    for name, arrays in (("caltech101_silhouettes", wanted), ("tennessee_eastman", plant)):
        with np.load(originals.build(name, folder)) as built:
            assert set(built) == set(arrays)
            for key in arrays:
                np.testing.assert_array_equal(built[key], arrays[key], strict=True)
