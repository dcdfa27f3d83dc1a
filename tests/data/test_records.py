"""Recordings of the field: .mat of the bearing centres, audio by class, HDF5, different lengths."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from scipy.io import wavfile

from ssavae.data.labelled import Reading
from ssavae.data.loading import load_dataset

RNG = np.random.default_rng(0)
WINDOWS = Reading(window=16, hop=16)


def noise(n: int) -> np.ndarray:
    return RNG.normal(size=n)


def mat(path: Path, **variables) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, variables, do_compression=True)
    return path


def test_bearing_files_by_class(tmp_path):
    for name, number in (("normal", 97), ("ball", 118)):
        channels = {f"X{number:03d}_{end}_time": noise(100)[:, None] for end in ("DE", "FE")}
        mat(tmp_path / name / f"{number}.mat", **channels, **{f"X{number:03d}RPM": 1797})
    data = load_dataset(tmp_path)
    assert (data.x_train.shape, data.kind) == ((2, 100, 2), "signal")
    assert data.feature_names == ("DE_time", "FE_time") and data.class_names == ("ball", "normal")
    data = load_dataset(tmp_path, Reading(window=16, hop=16, drop=("FE_time",)))
    assert data.x_train.shape == (12, 16, 1) and data.feature_names == ("DE_time",)
    assert data.y_train is not None and np.bincount(data.y_train).tolist() == [6, 6]
    assert data.groups is not None and set(data.groups) == {"ball/118.mat", "normal/97.mat"}


def test_a_file_that_holds_another_files_variables_too(tmp_path):
    own, other = noise(50), noise(50)
    path = mat(tmp_path / "99.mat", X098_DE_time=other, X099_DE_time=own)
    np.testing.assert_array_equal(np.asarray(load_dataset(path).x_train)[0], own)


def test_structures_of_paderborn(tmp_path):
    for i in (1, 2):
        vibration, current, force = noise(64), noise(64), noise(16)
        time = {"Name": "", "Data": np.arange(64) / 64000}
        channels = [
            {"Name": name, "Data": each}
            for name, each in (("vibration_1", vibration), ("phase_current_1", current), ("force", force))
        ]
        record = {"Info": {"Date": "x"}, "X": [time], "Y": channels, "Description": "y"}
        mat(tmp_path / "K001" / f"N15_K001_{i}.mat", **{f"N15_K001_{i}": record})
    with pytest.warns(UserWarning, match="1 channels are not read.*force"):
        data = load_dataset(tmp_path)
    assert data.feature_names == ("vibration_1", "phase_current_1") and data.x_train.shape == (2, 64, 2)


def test_records_of_different_lengths_are_cut_into_windows(tmp_path):
    for name, n in (("a", 40), ("b", 70), ("c", 10)):
        (tmp_path / name).mkdir()
        wavfile.write(tmp_path / name / "1.wav", 8000, (1000 * noise(n)).astype(np.int16))
    with pytest.raises(ValueError, match=r"a/1\.wav has 40 samples, b/1\.wav has 70: .*--window"):
        load_dataset(tmp_path)
    with pytest.warns(UserWarning, match=r"1 records are shorter than a window .*c/1\.wav"):
        data = load_dataset(tmp_path, WINDOWS)
    assert data.x_train.shape == (6, 16, 1) and data.x_train.dtype == np.int16
    assert data.y_train is not None and data.y_train.tolist() == [0] * 2 + [1] * 4


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_audio_by_class(tmp_path, suffix):
    soundfile = pytest.importorskip("soundfile")
    samples = (1000 * RNG.normal(size=(2000, 2))).astype(np.int16)
    (tmp_path / "a").mkdir()
    soundfile.write(tmp_path / "a" / f"1{suffix}", samples, 8000)
    x = np.asarray(load_dataset(tmp_path).x_train)
    assert x.shape == (1, 2000, 2) and x.dtype == (np.float32 if suffix == ".ogg" else np.int16)
    if suffix != ".ogg":
        np.testing.assert_array_equal(x[0], samples)


def test_rates_that_differ_are_said(tmp_path):
    for rate in (8000, 16000):
        wavfile.write(tmp_path / f"{rate}.wav", rate, noise(50))
    with pytest.warns(UserWarning, match="sample rates differ, 8000, 16000 Hz"):
        data = load_dataset(tmp_path)
    assert data.y_train is None and len(data.x_train) == 2


def test_hdf5_holds_arrays_or_channels(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as archive:
        archive["X"] = RNG.normal(size=(5, 3))
        archive["y"] = np.array([[0], [1], [0], [1], [1]])
    data = load_dataset(tmp_path / "a.h5")
    assert (
        data.x_train.shape == (5, 3) and data.y_train is not None and data.y_train.tolist() == [0, 1, 0, 1, 1]
    )
    (tmp_path / "records").mkdir()
    with h5py.File(tmp_path / "records" / "b.hdf5", "w") as archive:
        archive["run/vibration"] = noise(50).astype(np.float32)
    x = np.asarray(load_dataset(tmp_path / "records").x_train)
    assert x.shape == (1, 50) and x.dtype == np.float32


def test_matlab_7_3_is_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "7.mat"
    with h5py.File(path, "w", userblock_size=512) as archive:
        archive["vibration"] = noise(50)[None]
    content = path.read_bytes()
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512, b"\0") + content[512:])
    assert load_dataset(path).x_train.shape == (1, 50)


def test_files_without_a_common_channel(tmp_path):
    mat(tmp_path / "a.mat", p=noise(20), q=noise(20))
    mat(tmp_path / "b.mat", r=noise(20), s=noise(20))
    with pytest.raises(ValueError, match=r"no channel is in every file: a\.mat has p, q, b\.mat has r, s"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("suffix", [".mat", ".h5"])
def test_records_that_would_fill_the_memory(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("ssavae.data.files.guards.UNPACKED_BYTES", 10_000)
    path = tmp_path / f"a{suffix}"
    if suffix == ".mat":
        mat(path, x=np.zeros(200_000))
    else:
        with pytest.importorskip("h5py").File(path, "w") as archive:
            archive.create_dataset("x", (10**9,), np.float64, chunks=True)
    with pytest.raises(ValueError, match="it would unpack to"):
        load_dataset(path)


def test_medmnist(tmp_path):
    images = RNG.integers(0, 255, (6, 8, 8, 3), dtype=np.uint8)
    labels = np.array([[0], [1]] * 3)
    arrays: dict[str, Any] = {
        f"{part}_{key}": each
        for part in ("train", "test", "val")
        for key, each in (("images", images), ("labels", labels))
    }
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.warns(UserWarning, match=r"validation part is not read \(val_images, val_labels\)"):
        data = load_dataset(tmp_path / "a.npz")
    assert data.kind == "image" and data.y_test is not None and data.y_test.tolist() == [0, 1] * 3


def test_gaps_in_windows(tmp_path):
    rows = ["", *map(str, range(99))]  # a gap at the start, a short one, a long one
    rows[20:22] = ["", ""]
    rows[50:60] = ["NA"] * 10
    (tmp_path / "a.csv").write_text("a,b\n" + "".join(f"{value},1\n" for value in rows))
    with pytest.warns(UserWarning, match=r"2 missing values .*2 of 6 windows are left out"):
        data = load_dataset(tmp_path / "a.csv", WINDOWS)
    assert not np.isnan(np.asarray(data.x_train)).any() and np.asarray(data.x_train)[0, 4, 0] == 19
