"""Folders of files by class: the files of train/ and test/, their classes, and what is left out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

UNLABELLED = ("unlabelled", "unlabeled")
TRAIN = ("train", "training")
TEST = ("test", "testing")
LITTER = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir")  # that file managers leave


@dataclass(frozen=True)
class ClassFolders:
    """The files of a folder with one sub-folder per class, those of the training part first."""

    folder: Path
    files: tuple[Path, ...]
    y: np.ndarray  # (n_files,), index into class_names, -1 where unlabelled
    class_names: tuple[str, ...]
    n_train: int

    @property
    def names(self) -> list[str]:
        """Paths of the files inside the folder."""
        return [file.relative_to(self.folder).as_posix() for file in self.files]


def list_class_folders(folder: Path, suffixes: Collection[str], content: str) -> ClassFolders:
    """List the files with some suffixes in a folder with one sub-folder per class, or with train/ and test/.

    A sub-folder ``unlabelled/`` holds files without a class, as does a folder without sub-folders. Deeper
    folders belong to the class above them. One warning names the files that are left out.

    Parameters
    ----------
    folder : Path
    suffixes : collection of str
    content : str
        Noun for the files in errors, in the plural.

    Raises
    ------
    ValueError
        There are no such files, or one lies outside the class folders.
    """
    parts = _find_parts(folder, suffixes)
    listed = [_list_part(part, suffixes, content) for part in parts]
    pairs = [pair for part in listed for pair in part]
    files = tuple(file for _, file in pairs)
    names = tuple(sorted({name for name, _ in pairs if name is not None}))
    index = {name: i for i, name in enumerate(names)}
    y = np.array([-1 if name is None else index[name] for name, _ in pairs], dtype=np.int64)
    left_out = sorted(file for file in walk(folder) if file.suffix.lower() not in suffixes)
    if left_out:
        first = and_more([file.relative_to(folder).as_posix() for file in left_out])
        warnings.warn(
            f"{folder}: {len(left_out)} files are not read, as they are no {content}: {first}", stacklevel=2
        )
    return ClassFolders(folder, files, y, names, len(listed[0]))


def walk(folder: Path) -> Iterator[Path]:
    """Yield every file in a folder and the folders below it, but hidden ones and litter."""
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if _is_visible(name))
        if Path(parent).resolve() in Path(parent).absolute().parents:  # a link to a folder above it
            folders.clear()
            continue
        yield from (Path(parent, name) for name in sorted(files) if _is_visible(name))


def and_more(names: Sequence[str], n: int = 5) -> str:
    """Join the first names of a list.

    >>> and_more(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in LITTER


def _entries(folder: Path, suffixes: Collection[str]) -> tuple[list[Path], list[Path]]:
    """List the visible sub-folders, and the files with some suffixes, right inside a folder."""
    visible = sorted(entry for entry in folder.iterdir() if _is_visible(entry.name))
    folders = [entry for entry in visible if entry.is_dir()]
    return folders, [entry for entry in visible if entry.is_file() and entry.suffix.lower() in suffixes]


def _find_parts(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the folders of the training part, and of the test part if there is one."""
    folders, loose = _entries(folder, suffixes)
    train = _named(folders, TRAIN)
    test = _named(folders, TEST)
    if train is None or _entries(train, suffixes)[1]:  # with files right inside, "train" names a class
        return [folder]
    if others := [other.name for other in (*folders, *loose) if other not in (train, test)]:
        names = f"{train.name}/ and {'test' if test is None else test.name}/"
        raise ValueError(f"{folder}: only {names} may stand side by side, found {', '.join(others)}")
    return [train] if test is None else [train, test]


def _named(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    return next((folder for folder in folders if folder.name.lower() in names), None)


def _list_part(folder: Path, suffixes: Collection[str], content: str) -> list[tuple[str | None, Path]]:
    """List the files of a part with the name of their class, None where they are unlabelled."""
    class_folders, loose = _entries(folder, suffixes)
    pairs: list[tuple[str | None, Path]] = [
        (None if class_folder.name in UNLABELLED else class_folder.name, file)
        for class_folder in class_folders
        for file in walk(class_folder)
        if file.suffix.lower() in suffixes
    ]
    if loose and pairs:
        raise ValueError(f"{loose[0]} lies outside the class folders: move it to its class or to unlabelled/")
    pairs += [(None, file) for file in loose]
    if not pairs:
        wanted = f"sub-folders by class with {', '.join(suffixes)}"
        raise ValueError(f"{folder} holds no {content}: wanted are {wanted}")
    return pairs
