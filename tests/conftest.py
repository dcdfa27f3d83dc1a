"""What every test gets: a seeded random state that is put back, checked shapes, toy data."""

import builtins
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from jaxtyping import Float, Int, install_import_hook

ROOT = Path(__file__).resolve().parents[1]
collect_ignore = ["conftest.py"]  # it has no doctests, and shares its name with those of subfolders
SEED = 20200901

# Shapes and dtypes in signatures are checked while the tests run. The hook has to stand before the modules
# are imported: pytest loads this file before it collects tests or docstrings, here and in workers of xdist.
CHECKED = [f"ssavae.{name}" for name in ("losses", "networks", "inference.samplers")]
if not any(name in sys.modules for name in CHECKED):
    # the modules import the names for type checkers only, and beartype looks for them in builtins at last
    builtins.Float, builtins.Int = Float, Int  # pyright: ignore[reportAttributeAccessIssue]
    install_import_hook(CHECKED, "beartype.beartype")

# A shell lets what it starts in the background ignore these, and tests of interrupts send them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The same examples on every run; no deadline, because a busy machine is no failure.
settings.register_profile("ssavae", deadline=None, derandomize=True)
settings.load_profile("ssavae")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked gpu where torch sees no accelerator."""
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device"))


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Each test starts from the same random state and leaves no trace in the next one's."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        np.random.seed(SEED)
        random.seed(SEED)
        yield
    np.random.set_state(numpy_state)
    random.setstate(python_state)


@pytest.fixture
def float64() -> Iterator[None]:
    """New tensors and modules are double precision, as gradcheck and exact comparisons want them."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the real data sets: SSAVAE_DATA, else ../shared/data beside the repository."""
    folder = Path(os.environ.get("SSAVAE_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(
            f"no real data: {folder} is not a folder; set SSAVAE_DATA to one that holds mnist.npz etc."
        )
    return folder


@pytest.fixture
def toy_images() -> tuple[np.ndarray, np.ndarray]:
    """64 gray images of 8 x 8 in [0, 1], float32, and their class: a blob at one of three places."""
    rng = np.random.default_rng(SEED)
    y = np.arange(64) % 3
    centre = np.array([[1.5, 1.5], [1.5, 5.5], [5.5, 3.5]])[y] + rng.normal(0, 0.3, (64, 2))
    rows, columns = np.mgrid[:8, :8]
    distance2 = (rows - centre[:, :1, None]) ** 2 + (columns - centre[:, 1:, None]) ** 2
    blobs = np.exp(-distance2 / 3) + rng.normal(0, 0.02, (64, 8, 8))
    return blobs.clip(0, 1).astype(np.float32), y


@pytest.fixture
def toy_table() -> tuple[np.ndarray, np.ndarray]:
    """120 rows of 5 columns, float64, in columns of unlike scale, and their class: three Gaussians."""
    rng = np.random.default_rng(SEED)
    y = np.arange(120) % 3
    means = np.array([[0, 0, 0, 0, 0], [4, 0, 4, 0, 0], [0, 4, 0, 4, 0]])
    return (means[y] + rng.normal(size=(120, 5))) * [1, 10, 0.1, 1, 100], y
