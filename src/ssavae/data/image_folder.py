"""Folders of images by class; the images are read as they are needed where they are many."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssavae.data.labelled import LabelledData
from ssavae.preprocessing.lazy import LazyArray, load_if_small, pixels_of

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff")
UNLABELLED = ("unlabelled", "unlabeled")


def read_image_folder(folder: Path) -> LabelledData:
    """Read a folder with one sub-folder per class, or with train/ and test/ that hold such sub-folders.

    A sub-folder ``unlabelled/`` holds images without a class. Images are (H, W), or (H, W, 3) as soon as one
    of them has colour.

    Raises
    ------
    ValueError
        There are no images, their sizes differ, or an image lies outside the class folders or is damaged.
    """
    train_folder, test_folder = _find_parts(folder)
    train = _list_images(train_folder)
    test = [] if test_folder is None else _list_images(test_folder)
    images = train + test
    class_names = tuple(sorted({name for name, _ in images if name is not None}))
    index = {name: i for i, name in enumerate(class_names)}
    x = _open_images([file for _, file in images])  # both parts at once: both gray or both in colour
    y = np.array([-1 if name is None else index[name] for name, _ in images], dtype=np.int64)
    n_train = len(train)
    return LabelledData(
        folder.resolve().name,
        load_if_small(x.take(slice(n_train))),
        y[:n_train] if class_names else None,
        load_if_small(x.take(slice(n_train, None))) if test else None,
        y[n_train:] if class_names and test else None,
        class_names=class_names or None,
        kind="image",
        source=str(folder),
    )


def _find_parts(folder: Path) -> tuple[Path, Path | None]:
    """Return the folders of the training and the test part."""
    train = folder / "train"
    test = folder / "test"
    if not train.is_dir() or _entries(train)[1]:  # with images right inside, "train" is the name of a class
        return folder, None
    if others := [other.name for other in _entries(folder)[0] if other not in (train, test)]:
        raise ValueError(f"{folder}: only train/ and test/ may stand side by side, found {', '.join(others)}")
    return train, test if test.is_dir() else None


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the visible sub-folders and images of a folder, each sorted."""
    visible = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    folders = [entry for entry in visible if entry.is_dir()]
    return folders, [entry for entry in visible if entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES]


def _list_images(folder: Path) -> list[tuple[str | None, Path]]:
    """List the images of a part with the name of their class, None where they are unlabelled."""
    class_folders, loose = _entries(folder)
    if loose:
        raise ValueError(f"{loose[0]} lies outside the class folders: move it to its class or to unlabelled/")
    images = [
        (None if class_folder.name in UNLABELLED else class_folder.name, file)
        for class_folder in class_folders
        for file in _entries(class_folder)[1]
    ]
    if not images:
        suffixes = ", ".join(IMAGE_SUFFIXES)
        raise ValueError(f"{folder} holds no images: wanted are sub-folders by class with {suffixes}")
    return images


class _Format(NamedTuple):
    """Shape (H, W) or (H, W, 3) and dtype of an image."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __str__(self) -> str:
        return f"{self.shape[1]}x{self.shape[0]} {self.dtype}"


def _open_images(files: Sequence[Path]) -> LazyArray:
    """Return images of one size, (n, H, W), or (n, H, W, 3) as soon as one has colour; not read yet."""
    formats = [_read_format(file) for file in files]
    first = formats[0]
    for each, file in zip(formats, files, strict=True):
        if (each.shape[:2], each.dtype) != (first.shape[:2], first.dtype):
            raise ValueError(f"images of two sizes (width x height): {files[0]} is {first}, {file} is {each}")
    common = max(formats, key=lambda each: len(each.shape))
    read = partial(_read_images, list(files), common)
    return LazyArray((len(files), *common.shape), common.dtype, read, is_cheap_to_scan=False)


def _read_format(file: Path) -> _Format:
    """Read shape and dtype of an image, from its first bytes where they suffice."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            mode = image.mode
            size = image.size[::-1]
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{file} is not a readable image: {error}") from error
    if mode[0] in "IFP":  # numbers of other types, or a palette that may be all gray
        pixels = _read_image(file)
        return _Format(pixels.shape, pixels.dtype)
    return _Format(size if mode in ("1", "L", "LA") else (*size, 3), np.dtype(np.uint8))


def _read_images(files: list[Path], common: _Format, indices: np.ndarray) -> np.ndarray:
    images = np.empty((len(indices), *common.shape), common.dtype)
    for image, i in zip(images, indices.tolist(), strict=True):
        pixels = _read_image(files[i])
        image[...] = pixels[..., None] if pixels.ndim < len(common.shape) else pixels
    return images


def _read_image(file: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return pixels_of(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{file} is not a readable image: {error}") from error
