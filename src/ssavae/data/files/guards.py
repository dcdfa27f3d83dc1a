"""Guards against damaged and hostile files: one error that names the file, and a limit of unpacked bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssavae._checks import check

UNPACKED_BYTES = 2**28  # that a compressed file may always take
UNPACKED_RATIO = 100  # times its own size that a compressed file may take beyond that


@contextmanager
def guard(path: Path, description: str) -> Iterator[None]:
    """Turn whatever a parser raises on a damaged file into one ValueError that names the file."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:  # parsers of binary files raise errors of every type
        raise ValueError(
            f"{path} is not a readable {description}: {error or type(error).__name__}"
        ) from error


def unpacked_limit(path: Path) -> int:
    """Return the bytes that a compressed file may unpack to."""
    return max(UNPACKED_BYTES, UNPACKED_RATIO * path.stat().st_size)


def check_unpacked(path: Path, n_bytes: int) -> None:
    """Raise ValueError for a compressed file that would unpack to more than is believable."""
    check(
        n_bytes <= unpacked_limit(path),
        f"it would unpack to {n_bytes / 1e9:.1f} GB from {path.stat().st_size / 1e6:.1f} MB: "
        "if you trust it, save it uncompressed",
    )
