"""Records cut into windows, and their spectra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssavae.data.labelled import Reading
from ssavae.data.loading import load_dataset
from ssavae.data.windows import log_spectrum, windows_of_records, windows_of_rows


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.integers(1, 6),
    st.integers(1, 4),
)
@pytest.mark.filterwarnings("ignore:.*are shorter than a window")
def test_windows_stay_inside_their_record(lengths, window, hop):
    groups = np.repeat([f"run {i}" for i in range(len(lengths))], lengths)
    x = np.c_[np.arange(len(groups)), np.repeat(np.arange(len(lengths)), lengths)].astype(float)
    if max(lengths) < window:
        with pytest.raises(ValueError, match=f"window={window}: no record is as long"):
            windows_of_rows(x, groups, window, hop)
        return
    cut = windows_of_rows(x, groups, window, hop)
    assert len(cut.x) == sum(max(0, (n - window) // hop + 1) for n in lengths)
    assert (np.diff(cut.x[..., 0], axis=1) == 1).all()
    assert (cut.x[..., 1] == cut.x[:, :1, 1]).all()
    assert (cut.x[:, -1, 0] == cut.last).all()
    assert (groups[cut.last] == cut.groups).all()


def test_a_group_in_two_places_is_refused():
    with pytest.raises(ValueError, match="not consecutive: sort the table by group and time"):
        windows_of_rows(np.zeros((3, 1)), np.array(["a", "b", "a"]), 1, 1)


def test_records_of_several_channels():
    x = np.arange(2 * 10 * 3).reshape(2, 10, 3)
    cut = windows_of_records(x, None, 4, 3)
    assert cut.x.shape == (6, 4, 3)
    np.testing.assert_array_equal(cut.x[4], x[1, 3:7])
    assert cut.groups.tolist() == ["0"] * 3 + ["1"] * 3 and cut.last.tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="window=11: records have 10 samples"):
        windows_of_records(x, None, 11, 1)


def test_a_spectrum_tells_tones_apart_and_forgets_their_phase():
    t = np.arange(256)
    tones = np.stack([np.sin(2 * np.pi * f * t / 256 + phase) for f in (16, 40) for phase in (0.0, 1.0)])
    spectra = log_spectrum(tones)
    assert spectra.shape == (4, 129) and spectra.argmax(axis=1).tolist() == [16, 16, 40, 40]
    np.testing.assert_allclose(spectra[0, 14:19], spectra[1, 14:19], atol=1e-3)
    both = log_spectrum(np.stack([tones[0], tones[2]], axis=-1)[None])
    np.testing.assert_allclose(both[0, :, 1], spectra[2], atol=1e-6)
    assert np.isfinite(log_spectrum(np.zeros((1, 32)))).all()


def test_a_table_in_time_becomes_windows_with_the_label_of_their_end(tmp_path):
    lines = [f"{run},{t},{int(t >= 20)}" for run in "ab" for t in range(40)]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["run,sensor,fault", *lines]))
    data = load_dataset(path, Reading("fault", "run", window=16, hop=2))
    assert data.kind == "signal" and data.x_train.shape == (26, 16, 1)
    assert data.y_train is not None and data.groups is not None
    assert data.y_train.tolist() == 2 * [int(end >= 20) for end in range(15, 40, 2)]
    assert data.groups.tolist() == ["a"] * 13 + ["b"] * 13
    assert len(load_dataset(path, Reading("fault", "run", window=16)).x_train) == 2 * 7  # hop is a quarter
    with pytest.raises(ValueError, match="hop=2 needs a window"):
        load_dataset(path, Reading("fault", hop=2))
    with pytest.raises(ValueError, match="spectrum needs signals"):
        load_dataset(path, Reading("fault", spectrum=True))


def test_long_signals_of_a_file_are_cut_by_record(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 128))
    np.savez(tmp_path / "a.npz", X=x, y=np.arange(6) % 2)
    reading = Reading(window=64, hop=32, spectrum=True)
    data = load_dataset(tmp_path / "a.npz", reading, kind="signal")
    assert data.x_train.shape == (18, 33)
    assert data.groups is not None and data.groups.tolist() == np.repeat(np.arange(6), 3).astype(str).tolist()
    with pytest.raises(ValueError, match="digits holds images"):
        load_dataset("digits", reading)
