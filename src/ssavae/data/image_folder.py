"""Folders of images by class -> rows and labels; many images stay files and are decoded when needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssavae.preprocessing.lazy import LazyArray, pixels_of

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff")
UNLABELLED = ("unlabelled", "unlabeled")


class Folder(NamedTuple):
    """Images as found, unread."""

    x_train: LazyArray  # (n, H, W), or (n, H, W, 3) as soon as one image has colour
    y_train: np.ndarray | None  # (n,), int64 with -1 unlabelled; None: no labels
    x_test: LazyArray | None
    y_test: np.ndarray | None
    class_names: tuple[str, ...] | None


def read_folder(folder: Path) -> Folder:
    """Look through a folder: sub-folders by class, ``unlabelled/`` among them, or train/ and test/ with such.

    Raises
    ------
    ValueError
        There are no images, they are of two sizes, or one lies where it has no class or cannot be read.
    """
    train_folder, test_folder = _split(folder)
    train = _labelled_files(train_folder)
    rows = train + (_labelled_files(test_folder) if test_folder else [])
    names = tuple(sorted({name for name, _ in rows if name is not None}))
    index = {name: i for i, name in enumerate(names)}
    x = _images([file for _, file in rows])  # train and test at once: both gray or both in colour
    y = np.array([-1 if name is None else index[name] for name, _ in rows], dtype=np.int64)
    first, rest = slice(len(train)), slice(len(train), None)
    return Folder(
        x.take(first),
        y[first] if names else None,
        x.take(rest) if test_folder else None,
        y[rest] if names and test_folder else None,
        names or None,
    )


def _split(folder: Path) -> tuple[Path, Path | None]:
    train, test = folder / "train", folder / "test"
    if not train.is_dir() or _entries(train)[1]:  # with images right inside, "train" is the name of a class
        return folder, None
    if others := [other.name for other in _entries(folder)[0] if other not in (train, test)]:
        raise ValueError(f"{folder}: only train/ and test/ may stand side by side, found {', '.join(others)}")
    return train, test if test.is_dir() else None


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the visible sub-folders and images of a folder, each sorted."""
    seen = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    folders = [entry for entry in seen if entry.is_dir()]
    return folders, [entry for entry in seen if entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES]


def _labelled_files(folder: Path) -> list[tuple[str | None, Path]]:
    classes, loose = _entries(folder)
    if loose:
        raise ValueError(f"{loose[0]} lies outside the class folders: move it to its class or to unlabelled/")
    found = [(sub.name, file) for sub in classes for file in _entries(sub)[1]]
    if not found:
        suffixes = ", ".join(IMAGE_SUFFIXES)
        raise ValueError(f"{folder} holds no images: wanted are sub-folders by class with {suffixes}")
    return [(None if name in UNLABELLED else name, file) for name, file in found]


def _images(files: Sequence[Path]) -> LazyArray:
    """Return images of one size, (n, H, W), or (n, H, W, 3) as soon as one has colour; only looked at."""
    looks = [_look(file) for file in files]
    for look, file in zip(looks, files, strict=True):
        if (look.shape[:2], look.dtype) != (looks[0].shape[:2], looks[0].dtype):
            one, two = (f"{each.shape[1]}x{each.shape[0]} {each.dtype}" for each in (looks[0], look))
            raise ValueError(f"images of two sizes (width x height): {files[0]} is {one}, {file} is {two}")
    look = max(looks, key=lambda look: len(look.shape))  # in colour as soon as one is
    read = partial(_read_images, list(files), look)
    return LazyArray((len(files), *look.shape), look.dtype, read, is_cheap_to_scan=False)


class _Look(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _look(file: Path) -> _Look:
    """Say what an image is, from its first bytes where they tell."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            mode, size = image.mode, image.size[::-1]
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{file} is not a readable image: {error}") from error
    if mode[0] in "IFP":  # numbers of other types, or a palette that may be all gray
        pixels = _read_image(file)
        return _Look(pixels.shape, pixels.dtype)
    return _Look(size if mode in ("1", "L", "LA") else (*size, 3), np.dtype(np.uint8))


def _read_images(files: list[Path], look: _Look, numbers: np.ndarray) -> np.ndarray:
    found = np.empty((len(numbers), *look.shape), look.dtype)
    for row, i in zip(found, numbers.tolist(), strict=True):
        pixels = _read_image(files[i])
        row[...] = pixels[..., None] if pixels.ndim < len(look.shape) else pixels
    return found


def _read_image(file: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return pixels_of(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{file} is not a readable image: {error}") from error
