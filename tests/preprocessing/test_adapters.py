"""Data sets, tensors, masked and sparse rows: what is certain is taken, what is not is said."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from ssavae import SSAVAE
from ssavae.preprocessing.adapters import dataset_labels, label_column, lazy_dataset, lazy_hugging_face
from ssavae.preprocessing.inputs import labels_in, open_rows
from ssavae.preprocessing.preprocessor import Preprocessor

datasets = pytest.importorskip("datasets")
QUICK: dict[str, Any] = {"n_epochs": 1, "n_epochs_decoder": 1, "widths": (8, 8), "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))


class Listed(Dataset[object]):
    """A Dataset of given items."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def opened(x: object) -> np.ndarray:
    return np.asarray(open_rows(x).values)


# ------------------------------------------------------------------------------------- tensors, masks


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(X, requires_grad=True),
        torch.tensor(X).bfloat16(),
        torch.tensor(X).half(),
        torch.tensor(X).to_sparse(),
        torch.tensor(X).T.contiguous().T,
    ],
    ids=lambda tensor: f"{tensor.dtype} {tensor.layout}",
)
def test_tensors_of_every_kind_are_taken(tensor):
    np.testing.assert_allclose(opened(tensor), X, rtol=1e-2, atol=1e-2)
    items = Listed([row.to_dense() for row in tensor])
    np.testing.assert_allclose(opened(items), X, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint8, bool, object])
def test_masked_cells_are_gaps(dtype):
    values = np.arange(12).reshape(4, 3).astype(dtype)
    mask = np.zeros((4, 3), dtype=bool)
    mask[1, 2] = True
    found = opened(np.ma.masked_array(values, mask=mask))
    assert (pd.isna(found) == mask).all()
    assert (found[~mask] == values[~mask]).all()
    unmasked = opened(np.ma.masked_array(values))
    assert (unmasked == values).all()


def test_masked_pixels_are_refused_with_their_position():
    x = np.ma.masked_greater(RNG.random((4, 8, 8)), 2.0)
    x[2, 3, 4] = np.ma.masked
    with pytest.raises(ValueError, match=r"contains NaN: row 2, position \(3, 4\)"):
        SSAVAE(**QUICK).fit(x)


# -------------------------------------------------------------------------------------------- sparse


@pytest.mark.parametrize("form", ["csr_matrix", "csc_array", "coo_matrix", "csr_array", "lil_matrix"])
def test_sparse_rows_give_the_codes_of_dense_ones(form):
    dense = np.where(RNG.random((60, 5)) < 0.4, RNG.poisson(3, (60, 5)), 0).astype(np.float64)
    sparse = getattr(scipy.sparse, form)(dense)
    np.testing.assert_array_equal(opened(sparse), dense)
    if form == "csr_matrix":
        y = np.arange(60) % 2
        model = SSAVAE(**QUICK).fit(sparse, y)
        np.testing.assert_array_equal(model.transform(sparse), SSAVAE(**QUICK).fit(dense, y).transform(dense))


def test_many_sparse_rows_stay_sparse(monkeypatch):
    monkeypatch.setattr("ssavae.preprocessing.lazy.RESIDENT_BYTES", 100)
    rows = open_rows(scipy.sparse.random_array((50, 20), density=0.1, rng=np.random.default_rng(0)))
    assert rows.is_lazy
    inputs = Preprocessor.fit(rows).forward(rows.values[:7])
    assert inputs.shape == (7, 20)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (scipy.sparse.csr_matrix((0, 3)), "Found array with 0 sample"),
        (Listed([]), "Found array with 0 sample"),
        (scipy.sparse.csr_matrix(np.eye(3) * 1j), "X must hold numbers"),
    ],
)
def test_rows_that_are_none_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        open_rows(x)


# ------------------------------------------------------------------------------------ torch Datasets


def test_items_of_one_tensor_have_no_label():
    data = TensorDataset(torch.tensor(X))
    assert labels_in(data) is None
    np.testing.assert_array_equal(opened(data), X)
    assert dataset_labels(TensorDataset(torch.tensor(X), torch.arange(40))) == list(range(40))


@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_tensors_of_images_get_their_channels_last(n_channels):
    images = RNG.random((6, n_channels, 9, 11)).astype(np.float32)
    found = opened(Listed([(torch.tensor(image), i) for i, image in enumerate(images)]))
    np.testing.assert_array_equal(found, np.moveaxis(images, 1, -1))
    as_arrays = Listed(list(np.moveaxis(images, 1, -1)))
    np.testing.assert_array_equal(opened(as_arrays), found)


def test_items_that_are_images_are_read_as_files_are():
    gray = RNG.integers(0, 255, (9, 9), dtype=np.uint8)
    items = Listed([(Image.fromarray(gray), 0), (Image.fromarray(gray).convert("LA"), 1)])
    np.testing.assert_array_equal(opened(items), np.stack([gray, gray]))


def test_datasets_without_rows_or_index_are_refused():
    with pytest.raises(ValueError, match="items of the Dataset are dicts"):
        open_rows(Listed([{"image": X[0]}]))

    class Stream(torch.utils.data.IterableDataset[object]):
        def __iter__(self) -> Any:
            return iter(X)

    with pytest.raises(ValueError, match="pass a map-style Dataset"):
        lazy_dataset(Stream())  # pyright: ignore[reportArgumentType]


# ------------------------------------------------------------------------------------ channels first


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((3, 32, 32), None), ((1, 28, 28), None), ((4, 9, 60), None), ((3, 200), "signal"), ((1, 16), "signal")],
)
def test_channels_that_can_only_come_first_are_refused_with_the_remedy(shape, kind):
    last = (*shape[1:], shape[0])
    with pytest.raises(ValueError, match=r"channels go last: pass np\.moveaxis") as error:
        Preprocessor.fit(np.zeros((5, *shape)), kind)
    assert str(last) in str(error.value)
    assert Preprocessor.fit(np.moveaxis(np.zeros((5, *shape)), 1, -1), kind).input_shape == shape


@pytest.mark.parametrize(("shape", "kind"), [((22, 200), "signal"), ((12, 64, 64), None)])
def test_channels_that_seem_to_come_first_are_warned_of(shape, kind):
    with pytest.warns(
        UserWarning, match=f"read as {shape[-1]} channels: if the first side is that of channels"
    ):
        Preprocessor.fit(np.zeros((5, *shape)), kind)


@pytest.mark.parametrize(
    ("shape", "kind"), [((200, 22), "signal"), ((32, 32, 3), None), ((9, 9, 64), None), ((16, 16), "signal")]
)
def test_channels_that_come_last_are_not_warned_of(shape, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Preprocessor.fit(np.zeros((5, *shape)), kind)


# ------------------------------------------------------------------------------------- Hugging Face


def images(n: int = 12) -> list[Image.Image]:
    return [Image.fromarray(RNG.integers(0, 255, (9, 9), dtype=np.uint8)) for _ in range(n)]


def hugging_face(**columns: Any) -> Any:
    features = {name: feature for name, (_, feature) in columns.items()}
    values = {name: values for name, (values, _) in columns.items()}
    return datasets.Dataset.from_dict(values, features=datasets.Features(features))


CLASSES = (["a", "b", "c"] * 4, datasets.ClassLabel(names=["a", "b", "c"]))
TEXTS = (["a", "b", "c"] * 4, datasets.Value("string"))
INTEGERS = ([0, 1, 2] * 4, datasets.Value("int64"))
NAMES = ([f"{i}.png" for i in range(12)], datasets.Value("string"))
NUMBERS = (list(range(12)), datasets.Value("float64"))


def test_two_columns_of_classes_are_not_chosen_from():
    data = hugging_face(img=(images(), datasets.Image()), fine_label=CLASSES, coarse_label=CLASSES)
    with pytest.raises(
        ValueError, match="columns 'fine_label' and 'coarse_label' hold classes: choose one, as y="
    ):
        SSAVAE(**QUICK).fit(data)
    assert open_rows(data).shape == (12, 9, 9)  # with y given there is nothing to choose
    table = hugging_face(a=NUMBERS, fine_label=CLASSES, coarse_label=CLASSES)
    assert open_rows(table).names == ("a",)


@pytest.mark.parametrize("column", [TEXTS, INTEGERS])
@pytest.mark.parametrize("name", ["category", "species", "fine"])
def test_columns_beside_images_that_may_hold_classes_are_named(column, name):
    data = hugging_face(img=(images(), datasets.Image()), file=NAMES, **{name: column})
    with pytest.warns(
        UserWarning, match=rf"no row has a label: if '{name}' does, give it as y=X\['{name}'\]"
    ):
        assert labels_in(data) is None


def test_a_column_of_numbers_called_category_is_named():
    with pytest.warns(UserWarning, match="if 'category' does"):
        assert label_column(hugging_face(a=NUMBERS, category=INTEGERS)) is None


def test_columns_that_hold_no_classes_are_not_named():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert label_column(hugging_face(img=(images(), datasets.Image()), file=NAMES)) is None
        assert label_column(hugging_face(a=NUMBERS, b=INTEGERS)) is None
        assert (
            label_column(hugging_face(img=(images(), datasets.Image()), label=CLASSES, kind=TEXTS)) == "label"
        )


@pytest.mark.parametrize("n_gray", [0, 1, 11, 12])
@pytest.mark.parametrize("is_gray_first", [False, True])
def test_gray_images_among_colour_get_colour(n_gray, is_gray_first):
    order = range(12) if is_gray_first else reversed(range(12))
    gray = images()
    mixed = [gray[i] if i < n_gray else gray[i].convert("RGB") for i in order]
    rows = opened(hugging_face(img=(mixed, datasets.Image())))
    expected = np.stack([np.asarray(image.convert("L" if n_gray == 12 else "RGB")) for image in mixed])
    np.testing.assert_array_equal(rows, expected)


def test_an_image_that_does_not_fit_is_named_by_its_row(monkeypatch):
    monkeypatch.setattr("ssavae.preprocessing.adapters.SAMPLE_ROWS", 1)
    monkeypatch.setattr("ssavae.preprocessing.adapters.random_subset", lambda size, n: np.arange(n))
    gray = images()
    for other in (gray[5].convert("RGB"), gray[5].resize((10, 9))):
        data = hugging_face(img=([*gray[:5], other], datasets.Image()))
        with pytest.raises(
            ValueError, match=r"images of column 'img' differ in size, colour or depth: .* in row 5"
        ):
            lazy_hugging_face(data)[:]
