"""Folders of images by class; the images are read as they are needed where they are many."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssavae._checks import check
from ssavae.data.files.class_folders import ClassFolders, and_more, list_class_folders
from ssavae.data.labelled import LabelledData
from ssavae.preprocessing.images import IMAGE_SUFFIXES, open_image, pixels_of, read_image, shape_of
from ssavae.preprocessing.lazy import LazyArray, load_if_small


def read_image_folder(folder: Path, size: tuple[int, int] | None = None) -> LabelledData:
    """Read a folder with one sub-folder per class, or with train/ and test/ that hold such sub-folders.

    A sub-folder ``unlabelled/`` holds images without a class; deeper folders belong to the class above them.
    Images are (H, W), or (H, W, 3) as soon as one of them has colour, upright, and opaque: what is
    transparent is laid on white. One warning names what is not read.

    Parameters
    ----------
    folder : Path
    size : (H, W) or None
        Size to resize the images to.

    Raises
    ------
    ValueError
        There are no images, their sizes differ, or an image lies outside the class folders or is damaged.
    """
    listed = list_class_folders(folder, IMAGE_SUFFIXES, "images")
    x = _open_images(listed, size)  # both parts at once: both gray or both in colour
    y = listed.y if listed.class_names else None
    n = listed.n_train
    has_test = n < len(x)
    return LabelledData(
        folder.resolve().name,
        load_if_small(x.take(slice(n))),
        None if y is None else y[:n],
        load_if_small(x.take(slice(n, None))) if has_test else None,
        y[n:] if y is not None and has_test else None,
        class_names=listed.class_names or None,
        kind="image",
        source=str(folder),
    )


class _Format(NamedTuple):
    """Shape (H, W) or (H, W, 3) and dtype of an image, and what of its file is not read as it is."""

    shape: tuple[int, ...]
    dtype: np.dtype
    is_transparent: bool
    has_pages: bool

    def __str__(self) -> str:
        return f"{self.shape[0]}x{self.shape[1]} {self.dtype}"


def _open_images(listed: ClassFolders, size: tuple[int, int] | None) -> LazyArray:
    """Return images of one size, (n, H, W), or (n, H, W, 3) as soon as one has colour; not read yet."""
    formats = [_read_format(file, size) for file in listed.files]
    _check_formats(listed.files, formats)
    has_pages = [each.has_pages for each in formats]
    is_transparent = [each.is_transparent for each in formats]
    _warn(listed, has_pages, "more than one page or frame: only the first is read")
    _warn(listed, is_transparent, "an alpha channel: what is transparent is read as white")
    common = max(formats, key=lambda each: len(each.shape))
    read = partial(_read_images, list(listed.files), common, size)
    return LazyArray((len(formats), *common.shape), common.dtype, read, is_cheap_to_scan=False)


def _check_formats(files: Sequence[Path], formats: Sequence[_Format]) -> None:
    first = formats[0]
    sizes = Counter(each.shape[:2] for each in formats)
    height, width = sizes.most_common(1)[0][0]
    for each, file in zip(formats, files, strict=True):
        if each.shape[:2] != first.shape[:2]:
            raise ValueError(
                f"images of {len(sizes)} sizes (height x width): {files[0]} is {first}, {file} is {each}; "
                f"resize them, for example to the most frequent size with --resize {height}x{width}"
            )
        check(each.dtype == first.dtype, f"images of two types: {files[0]} is {first}, {file} is {each}")


def _warn(listed: ClassFolders, flags: Sequence[bool], problem: str) -> None:
    """Warn of the images that are not read as they are."""
    names = [name for name, flag in zip(listed.names, flags, strict=True) if flag]
    if names:
        warnings.warn(
            f"{listed.folder}: {len(names)} images have {problem} ({and_more(names)})", stacklevel=2
        )


def _read_format(file: Path, size: tuple[int, int] | None) -> _Format:
    """Read shape and dtype of an image, from its first bytes where they suffice."""
    with open_image(file, file) as image:
        dtype = pixels_of(image).dtype if image.mode[0] in "IF" else np.dtype(np.uint8)
        is_transparent = image.has_transparency_data
        shape = shape_of(image)
        has_pages = getattr(image, "is_animated", False)
    return _Format(shape if size is None else (*size, *shape[2:]), dtype, is_transparent, has_pages)


def _read_images(
    files: list[Path], common: _Format, size: tuple[int, int] | None, indices: np.ndarray
) -> np.ndarray:
    images = np.empty((len(indices), *common.shape), common.dtype)
    for image, i in zip(images, indices.tolist(), strict=True):
        pixels = read_image(files[i], files[i], size)
        image[...] = pixels[..., None] if pixels.ndim < len(common.shape) else pixels
    return images
