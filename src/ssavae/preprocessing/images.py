"""Image files -> pixels. Every image is opened here: by a named list of decoders, below a limit of pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssavae._checks import check

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES_OF = {  # formats that Pillow decodes itself: EPS, for one, it would hand to Ghostscript
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
}
IMAGE_SUFFIXES = tuple(suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes)
IMAGE_PIXELS = 89_478_485  # from which Pillow warns of a decompression bomb
ORIENTATION = 0x0112  # the EXIF tag
TURNED = (5, 6, 7, 8)  # EXIF orientations whose width is the height of the stored pixels


@contextmanager
def open_image(
    source: Path | bytes, name: object, formats: tuple[str, ...] = tuple(SUFFIXES_OF)
) -> Iterator[Image]:
    """Open an image file, or the content of one, without decoding its pixels.

    Parameters
    ----------
    source : Path or bytes
    name : object
        Name of the image in errors.
    formats : tuple of str
        Formats to try, of ``SUFFIXES_OF``.

    Raises
    ------
    ValueError
        It is none of these formats, damaged (here or in the body of the ``with`` block) or too large.
    """
    from PIL import Image

    try:
        with Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats
        ) as image:
            width, height = image.size
            check(width * height <= IMAGE_PIXELS, f"{width} x {height} pixels are over {IMAGE_PIXELS:,}")
            yield image
    except Exception as error:  # of a damaged file: each decoder raises errors of its own
        raise ValueError(f"{name} is not a readable image: {error}") from error


def read_image(source: Path | bytes, name: object, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return the pixels of an image file, or of the content of one, upright: see :func:`pixels_of`."""
    with open_image(source, name) as image:
        return pixels_of(image, size)


def shape_of(image: Image) -> tuple[int, ...]:
    """Return the shape of an open image's pixels, (H, W) or (H, W, 3), not yet decoded unless it must be."""
    is_turned_tiff = image.format == "TIFF" and image.getexif().get(ORIENTATION) in TURNED
    if image.mode[0] == "P" or is_turned_tiff:  # of grays alone, perhaps; Pillow 10 gives the size as stored
        return pixels_of(image).shape
    width, height = image.size[::-1] if _orientation(image) in TURNED else image.size
    return (height, width) if _is_gray(image) else (height, width, 3)


def pixels_of(image: Image, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return an image's pixels: (H, W) where it is gray, a palette of grays included, else (H, W, 3).

    The image is turned upright as its EXIF orientation says. What is transparent is laid on white.

    Parameters
    ----------
    image : PIL.Image.Image
    size : (H, W) or None
        Size to resize it to; None leaves it as it is.
    """
    from PIL import Image

    if image.mode[0] in "IF":  # 16 or 32 bits of gray, which convert() would clip
        return _resize_numbers(np.asarray(upright_and_opaque(image)), size)
    converted = upright_and_opaque(image).convert("L" if _is_gray(image) else "RGB")
    if size is not None:
        converted = converted.resize((size[1], size[0]), Image.Resampling.LANCZOS)
    pixels = np.asarray(converted)
    is_gray_palette = image.mode[0] == "P" and (pixels == pixels[..., :1]).all()
    return pixels[..., 0] if is_gray_palette else pixels


def upright_and_opaque(image: Image) -> Image:
    """Return an image turned as its EXIF orientation says, and laid on white where it is transparent."""
    from PIL import Image, ImageOps

    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF" or not image.has_transparency_data:
        return image
    colour = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)


def _resize_numbers(pixels: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    from PIL import Image

    if size is None:
        return pixels
    resized = np.asarray(
        Image.fromarray(pixels.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BOX)
    )
    return np.rint(resized).astype(pixels.dtype) if pixels.dtype.kind in "iu" else resized


def _is_gray(image: Image) -> bool:
    return image.mode[0] in "1LIF" and image.mode != "LAB"


def _orientation(image: Image) -> int:
    """Return the EXIF orientation by which an image is still to be turned."""
    if image.format == "TIFF":  # Pillow turns it itself
        return 1
    if image.format == "PNG" and "exif" not in image.info:  # to look behind the pixels would decode them
        return 1
    return image.getexif().get(ORIENTATION, 1)
