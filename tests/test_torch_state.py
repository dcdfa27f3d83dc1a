"""Whatever the program around has set in torch: the same bits, and its settings as they were."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from ssavae import SSAVAE, _torch_state, load
from ssavae._torch_state import drawn_from, evaluated, tf32_matrices
from ssavae.networks import Encoder, Spec, build_networks
from ssavae.training import steps

QUICK: dict[str, Any] = {"n_epochs": 2, "n_epochs_decoder": 1, "batch_size": 16, "widths": (8, 4)}
RNG = np.random.default_rng(0)
Y = np.arange(48) % 3
KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "table": (RNG.normal(size=(48, 5)) + Y[:, None], {"augment": ("noise", "mixup")}),
    "image": (RNG.random((48, 8, 8)), {"augment": ("translate", "flip", "erase")}),
    "signal": (RNG.normal(size=(48, 16, 2)), {"weight_consistency": 1.0, "augment": ("mixup",)}),
    "student": (
        RNG.random((48, 8, 8)),
        {"weight_consistency": 1.0, "student_widths": (4,), "n_epochs_student": 1},
    ),
    "rows": (RNG.normal(size=(48, 5)), {"weight_consistency": 1.0}),
}


class Noisy(nn.Module):
    """An encoder with dropout, which draws from torch's global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(Spec((5,), 2, 3, False, (8, 4)))

    def forward(self, x: torch.Tensor) -> Any:
        return self.encoder(nn.functional.dropout(x, 0.3, self.training))


def trained(kind: str, seed: int = 0) -> SSAVAE:
    X, params = KINDS[kind]
    own: dict[str, Any] = params | ({"kind": "signal"} if kind == "signal" else {})
    return SSAVAE(**QUICK, **own, random_state=seed).fit(X, Y)


def bits(model: SSAVAE) -> bytes:
    networks = (model.vec_, model.decoder_, model.discriminator_)
    return b"".join(value.numpy().tobytes() for net in networks for value in net.state_dict().values())


@contextmanager
def default_dtype(dtype: torch.dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    assert torch.get_default_dtype() == dtype
    torch.set_default_dtype(before)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)


STATES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "double": lambda: default_dtype(torch.float64),
    "half": lambda: default_dtype(torch.float16),
    "no_grad": lambda: torch.no_grad(),
    "inference_mode": lambda: torch.inference_mode(),
    "deterministic": lambda: deterministic(),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "device": lambda: torch.device("meta"),
    "errstate": lambda: np.errstate(all="raise"),
}


@pytest.mark.parametrize(
    ("kind", "state"), [(k, s) for k in KINDS for s in STATES if k == "student" or s == "double"]
)
def test_any_state_of_torch_gives_the_same_bits(kind, state, tmp_path):
    X, _ = KINDS[kind]
    alone = trained(kind)
    expected = [alone.transform(X), alone.novelty(X), alone.sample(3, random_state=0)]
    alone.save(tmp_path)
    with STATES[state]():
        model = trained(kind)
        loaded = load(tmp_path)
        for each in (model, loaded):
            found = [each.transform(X), each.novelty(X), each.sample(3, random_state=0)]
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert bits(model) == bits(alone) == bits(loaded)
    assert bits(model.fit_decoder(X)) == bits(loaded.fit_decoder(X)) == bits(alone.fit_decoder(X))


def test_three_fits_in_three_threads_give_the_bits_of_each_alone():
    work = [("table", 0), ("rows", 1), ("image", 2), ("signal", 3)]
    alone = [bits(trained(*each)) for each in work]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state(legacy=False)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    with ThreadPoolExecutor(4) as pool:
        together = [*pool.map(lambda each: bits(trained(*each)), work)]
    sys.setswitchinterval(before)
    assert together == alone
    assert torch.equal(torch_state, torch.get_rng_state())
    assert repr(numpy_state) == repr(np.random.get_state(legacy=False))


def test_networks_with_dropout_of_their_own_take_turns():
    X = KINDS["table"][0]
    encoder = Noisy()

    def fit(seed: int) -> bytes:
        return bits(SSAVAE(**QUICK, encoder=encoder, random_state=seed).fit(X, Y))

    alone = [fit(seed) for seed in (0, 1)]
    assert alone[0] != alone[1]
    state = torch.get_rng_state()
    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(fit, (0, 1))] == alone
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("shape", [(5,), (2, 16), (1, 9, 7)])
def test_weights_are_those_of_a_global_seed_and_the_global_state_stays(shape):
    spec = Spec(shape, 2, 3, False, student_widths=(4,))
    torch.manual_seed(3)
    expected = [value for net in build_networks(spec, True) for value in net.state_dict().values()]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with default_dtype(torch.float64), drawn_from(3):
        built = [value for net in build_networks(spec, True) for value in net.state_dict().values()]
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(expected, built, strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_threads_leave_modes_and_gradients_as_they_were(training):
    model = trained("table")
    X = KINDS["table"][0]
    codes = model.transform(X)
    model.vec_.train(training)
    model.vec_.classifier.eval()
    modes = [part.training for part in model.vec_.modules()]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda _: [model.transform(X) for _ in range(10)], range(8))]
    sys.setswitchinterval(before)
    assert all(np.array_equal(codes, each) for thread in found for each in thread)
    assert all(parameter.requires_grad for parameter in model.vec_.parameters())
    assert [part.training for part in model.vec_.modules()] == modes


def test_modes_come_back_after_an_error():
    module = nn.Sequential(nn.Dropout(), nn.ReLU().eval())
    with pytest.raises(RuntimeError), evaluated(module), evaluated(module):
        assert not any(part.training for part in module.modules())
        raise RuntimeError
    assert [part.training for part in module] == [True, False]


def test_the_list_of_warning_filters_does_not_grow():
    X = KINDS["table"][0]
    trained("table").transform(X)
    n = len(warnings.filters)
    for _ in range(2):
        trained("table").transform(X)
    assert len(warnings.filters) == n


FORK = """
    import multiprocessing, numpy as np, torch
    from ssavae import SSAVAE
    torch.set_num_threads(2)
    X = np.random.default_rng(0).random((600, 28, 28))
    y = np.arange(600) % 2
    model = SSAVAE(n_epochs=1, n_epochs_decoder=0, widths=(8, 8, 8), random_state=0).fit(X, y)
    expected = model.predict(X)

    def work():
        assert (model.predict(X) == expected).all()
        SSAVAE(n_epochs=1, n_epochs_decoder=1, widths=(4,)).fit(X[:64, :4, 0], y[:64])

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(60)
    print("hangs" if child.is_alive() else child.exitcode, torch.get_num_threads())
    child.kill()
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_child_predicts_and_trains():
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK)], capture_output=True, text=True, timeout=200
    )
    assert run.stdout.split() == ["0", "2"], run.stderr


# ------------------------------------------------------------------------------ settings on a GPU

GPU = torch.device("cuda")


def settings() -> dict[str, object]:
    """Return what a training on a GPU sets."""
    return {
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fill": torch._C._get_deterministic_fill_uninitialized_memory(),
        "convolutions": torch.backends.cudnn.deterministic,
        "search": torch.backends.cudnn.benchmark,
        "matrices": torch.get_float32_matmul_precision(),
        "cublas": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


DETERMINISTIC = {
    "algorithms": True,
    "fill": False,
    "convolutions": True,
    "search": False,
    "cublas": ":4096:8",
}


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Let every device count as a GPU; return the settings of a program that searches for fast kernels."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(_torch_state, "_is_cuda", lambda device: True)
    monkeypatch.setattr(_torch_state, "_check_cublas", lambda device: None)
    return settings()


def test_deterministic_settings_are_put_back_also_after_an_error(as_on_a_gpu):
    with pytest.raises(KeyError), _torch_state.deterministic(GPU, warn_only=True):
        assert settings() == as_on_a_gpu | DETERMINISTIC | {"warn only": True}
        raise KeyError
    assert settings() == as_on_a_gpu


def test_the_last_of_several_threads_puts_the_settings_back(as_on_a_gpu):
    first, second = _torch_state.deterministic(GPU), _torch_state.deterministic(GPU)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert settings() == as_on_a_gpu | DETERMINISTIC
    second.__exit__(None, None, None)
    assert settings() == as_on_a_gpu


def test_a_cpu_needs_no_settings(monkeypatch):
    before = settings()
    with _torch_state.deterministic(torch.device("cpu")), tf32_matrices(torch.device("cpu")):
        assert settings() == before


def test_a_workspace_that_the_user_has_chosen_stays(as_on_a_gpu, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with _torch_state.deterministic(GPU):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_cublas_that_was_used_before_is_an_error_that_says_what_to_do(as_on_a_gpu, monkeypatch):
    monkeypatch.undo()
    check = _torch_state._check_cublas
    monkeypatch.setattr(_torch_state, "_is_cuda", lambda device: True)
    monkeypatch.setattr(_torch_state, "_check_cublas", lambda device: check(torch.device("cpu")))
    monkeypatch.setattr(torch.Tensor, "__matmul__", mock.Mock(side_effect=RuntimeError("not deterministic")))
    before = settings()
    message = r"CUBLAS_WORKSPACE_CONFIG.*deterministic=False"
    with pytest.raises(ValueError, match=message), _torch_state.deterministic(GPU):
        raise AssertionError
    assert settings() == before


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, DETERMINISTIC),
        ({"deterministic": False}, {}),
        ({"precision": "tf32"}, DETERMINISTIC | {"matrices": "high"}),
        ({"deterministic": False, "precision": "tf32"}, {"matrices": "high"}),
    ],
)
def test_a_fit_on_a_gpu_sets_them_while_it_trains(params, expected, as_on_a_gpu, monkeypatch):
    seen = []

    def step(*arguments: Any, **named: Any) -> dict[str, torch.Tensor]:
        seen.append(settings())
        return original(*arguments, **named)

    original = steps.vec_step
    monkeypatch.setattr(steps, "vec_step", step)
    x, _ = KINDS["table"]
    model = SSAVAE(device="cpu", random_state=0, **QUICK, **params).fit(x, Y)
    assert seen and all(each == as_on_a_gpu | expected for each in seen)
    assert settings() == as_on_a_gpu
    model.transform(x)
    assert settings() == as_on_a_gpu


def test_settings_of_a_gpu_change_no_bit_on_a_cpu():
    x, _ = KINDS["table"]
    codes = [
        SSAVAE(device="cpu", random_state=0, deterministic=flag, **QUICK).fit(x, Y).transform(x)
        for flag in (True, False)
    ]
    assert np.array_equal(codes[0], codes[1])


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_on_a_gpu_gives_the_same_bits(kind):
    x, params = KINDS[kind]
    shared: dict[str, Any] = QUICK | params | {"random_state": 0, "device": "cuda"}
    first, second = (SSAVAE(**shared).fit(x, Y) for _ in range(2))
    for name in ("transform", "novelty", "reconstruct"):
        assert np.array_equal(getattr(first, name)(x), getattr(second, name)(x)), name
    samples = [np.asarray(model.sample(9, random_state=0)) for model in (first, second)]
    assert np.array_equal(samples[0], samples[1])
