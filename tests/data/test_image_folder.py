"""Folders of images as they are found: formats, transparency, EXIF, pages, sizes, litter, strange files."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageOps

from ssavae.data.labelled import Reading
from ssavae.data.loading import load_dataset
from ssavae.preprocessing.images import IMAGE_PIXELS, IMAGE_SUFFIXES, SUFFIXES_OF, pixels_of

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 6\n%%EndComments\nshowpage\n"


def save(image: Image.Image, path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_suffix_is_read(tmp_path, suffix):
    format = next(format for format, suffixes in SUFFIXES_OF.items() if suffix in suffixes)
    image = Image.fromarray(GRAY)
    image = image.convert("F") if suffix == ".pfm" else image.convert("1") if suffix == ".pbm" else image
    save(image, tmp_path / "a" / f"1{suffix.upper()}", format=format)
    x = np.asarray(load_dataset(tmp_path).x_train)
    assert x.shape[1:3] == GRAY.shape and x.max() > 100


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "RGB"])
@pytest.mark.parametrize("stroke", [0, 255])
def test_what_is_transparent_is_white(tmp_path, mode, stroke):
    is_ground = GRAY > 128
    if mode in ("LA", "RGBA"):
        image = Image.new(mode, GRAY.shape[::-1], (stroke,) * len(mode))
        image.putalpha(Image.fromarray(np.where(is_ground, 0, 255).astype(np.uint8)))
        save(image, tmp_path / "a" / "1.png")
    else:  # one value, or entry of the palette, counts as transparent
        values = np.where(is_ground, 1, stroke).astype(np.uint8)
        image = Image.fromarray(values).convert(mode)
        transparent = (1, 1, 1) if mode == "RGB" else 1
        save(image, tmp_path / "a" / "1.png", transparency=transparent)
    with pytest.warns(UserWarning, match="1 images have an alpha channel"):
        x = np.asarray(load_dataset(tmp_path).x_train)[0]
    x = x if x.ndim == 2 else x[..., 0]
    assert (x[is_ground] == 255).all() and (x[~is_ground] == stroke).all()


def test_partly_transparent_pixels_are_mixed_with_white():
    image = Image.new("RGBA", (2, 2), (0, 0, 0, 51))
    assert (pixels_of(image) == 204).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_images_are_upright(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(Image.fromarray(COLOUR), tmp_path / "a" / f"1{suffix}", exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(np.asarray(load_dataset(tmp_path).x_train)[0], expected)


def test_what_is_not_read_is_counted_and_named_in_one_warning(tmp_path):
    for name in ("a/1.png", "b/2.png", "b/deeper/3.png"):
        save(Image.fromarray(GRAY), tmp_path / name)
    for name in ("a/x.heic", "README.md", "b/deeper/y.svg", "a/._1.png", "b/Thumbs.db", "__MACOSX/a/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    with pytest.warns(UserWarning, match="3 files are not read, as they are no images") as caught:
        data = load_dataset(tmp_path)
    message = str(caught.pop().message)
    assert not caught and all(name in message for name in ("README.md", "a/x.heic", "b/deeper/y.svg"))
    assert data.y_train is not None and data.y_train.tolist() == [0, 1, 1]


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".webp"])
def test_further_pages_are_named(tmp_path, suffix):
    pages = [Image.fromarray(page) for page in (GRAY, 255 - GRAY)]
    save(pages[0], tmp_path / "a" / f"1{suffix}", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match=rf"1 images have more than one page.*a/1\{suffix}"):
        load_dataset(tmp_path)


def test_a_folder_without_classes_is_unlabelled(tmp_path):
    save(Image.fromarray(GRAY), tmp_path / "1.png")
    data = load_dataset(tmp_path)
    assert len(data.x_train) == 1 and data.y_train is None


SIZES = {"L": GRAY, "RGB": COLOUR, "I;16": GRAY.astype(np.uint16) * 256, "F": GRAY / np.float32(255)}


@pytest.mark.parametrize("mode", SIZES)
def test_sizes_that_differ_are_resized_as_asked(tmp_path, mode):
    image = Image.fromarray(SIZES[mode])
    save(image, tmp_path / "a" / "1.tif")
    save(image.transpose(Image.Transpose.ROTATE_90), tmp_path / "b" / "2.tif")
    with pytest.raises(ValueError, match=r"images of 2 sizes .*1\.tif is 6x9 .*resize .*--resize 6x9"):
        load_dataset(tmp_path)
    x = np.asarray(load_dataset(tmp_path, Reading(resize=(3, 4))).x_train)
    assert x.shape[:3] == (2, 3, 4) and x.dtype == SIZES[mode].dtype
    np.testing.assert_allclose(x.mean(axis=(1, 2)), np.stack([SIZES[mode].mean(axis=(0, 1))] * 2), rtol=0.1)


# ---- files that are not what they are called


@pytest.fixture
def no_ghostscript(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("Ghostscript was called")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", refuse)


@pytest.mark.parametrize("where", ["folder", "npz", "hugging face"])
def test_an_eps_reaches_no_decoder(tmp_path, no_ghostscript, where):
    path = tmp_path / "data"
    if where == "folder":
        (path / "a").mkdir(parents=True)
        (path / "a" / "1.png").write_bytes(EPS)
    elif where == "npz":
        path = tmp_path / "data.npz"
        np.savez(path, jpeg_train=np.frombuffer(EPS, np.uint8), ends_train=[len(EPS)], y_train=[0])
    else:
        datasets = pytest.importorskip("datasets")
        rows = datasets.Dataset.from_dict({"image": [{"bytes": EPS, "path": None}]})
        rows.cast_column("image", datasets.Image()).save_to_disk(path)
    with pytest.raises(ValueError, match=r"(1\.png|image 0|column 'image') is not a readable image"):
        load_dataset(path)


def png_of_size(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(60000, 60000), (IMAGE_PIXELS + 1, 1), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels(tmp_path, width, height):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(png_of_size(width, height))
    with pytest.raises(ValueError, match=r"1\.png is not a readable image: .*pixels"):
        load_dataset(tmp_path)
