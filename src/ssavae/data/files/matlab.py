"""MATLAB files up to version 7, checked before SciPy parses them: on damaged tags its parser can crash.

The format is MathWorks' "MAT-File Level 5": elements of a tag (type, size) and their content, the elements of
a matrix being flags, dimensions, name and content.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from ssavae._checks import check
from ssavae.data.files.guards import check_unpacked, guard, unpacked_limit

NUMBERS = frozenset([1, 2, 3, 4, 5, 6, 7, 9, 12, 13])  # types of elements that hold numbers
TEXT = frozenset([16, 17, 18])
MATRIX = 14
COMPRESSED = 15
CELL, STRUCTURE, OBJECT, CHARACTERS, SPARSE = range(1, 6)  # classes of a matrix; those of numbers follow
NUMERIC_CLASSES = range(6, 16)
DEEPEST = 20  # matrices within matrices


def read_matlab(path: Path) -> dict[str, object]:
    """Return the variables of a .mat file: arrays, or structures with their fields as attributes.

    Raises
    ------
    ValueError
        The file is damaged, unpacks to too much, or holds objects of MATLAB.
    """
    from scipy.io import loadmat

    with guard(path, ".mat"):
        content = path.read_bytes()
        if 0 not in content[:4]:  # a file of level 4 has such a byte
            _check_level_5(path, memoryview(content))
        variables = loadmat(path, squeeze_me=True, struct_as_record=False)
    return {name: value for name, value in variables.items() if not name.startswith("__")}


def _check_level_5(path: Path, content: memoryview) -> None:
    check(bytes(content[126:128]) in (b"IM", b"MI"), "it has no header")
    order = "little" if bytes(content[126:128]) == b"IM" else "big"
    budget = unpacked_limit(path)
    for kind, element in _elements(content[128:], order):
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = memoryview(unpacker.decompress(element, budget))
            if unpacker.unconsumed_tail or not budget:
                check_unpacked(path, unpacked_limit(path) + 1)
            budget -= len(unpacked)
            matrices = list(_elements(unpacked, order))
        else:
            matrices = [(kind, element)]
        for inner, matrix in matrices:
            check(inner == MATRIX, f"an element has the type {inner}")
            _check_matrix(matrix, order)


def _elements(content: memoryview, order: Literal["little", "big"]) -> Iterator[tuple[int, memoryview]]:
    """Yield type and content of the elements that follow one another."""
    position = 0
    while position < len(content):
        check(position + 8 <= len(content), "it is truncated")
        first = int.from_bytes(content[position : position + 4], order)
        if first >> 16:  # up to four bytes lie within the tag
            kind, size, start, end = first & 0xFFFF, first >> 16, position + 4, position + 8
            check(size <= 4, f"a short element has {size} bytes")
        else:
            kind, size = first, int.from_bytes(content[position + 4 : position + 8], order)
            start = position + 8
            end = start + size if kind == COMPRESSED else start + size + -size % 8
        check(start + size <= len(content), f"an element of {size:,} bytes is truncated")
        yield kind, content[start : start + size]
        position = end


def _check_matrix(matrix: memoryview, order: Literal["little", "big"], depth: int = 0) -> None:
    """Raise ValueError for a matrix whose elements are not those of its class and dimensions."""
    if len(matrix) == 0:
        return
    check(depth < DEEPEST, f"matrices are nested over {DEEPEST} deep")
    flags, sizes, name, *content = _elements(matrix, order)
    check(flags[0] == 6 and len(flags[1]) == 8, "a matrix has no flags")
    check(sizes[0] == 5 and len(sizes[1]) % 4 == 0 and len(sizes[1]) >= 8, "a matrix has no dimensions")
    check(name[0] == 1, "a matrix has no name")
    word = int.from_bytes(flags[1][:4], order)
    kind, is_complex = word & 0xFF, bool(word & 0x800)
    shape = np.frombuffer(sizes[1], np.dtype(np.int32).newbyteorder("<" if order == "little" else ">"))
    check(bool((shape >= 0).all()), f"a matrix has the shape {tuple(shape.tolist())}")
    size = math.prod(shape.tolist())
    types = [each for each, _ in content]
    if kind in (CELL, STRUCTURE, OBJECT):
        n_before = {CELL: 0, STRUCTURE: 2, OBJECT: 3}[kind]
        n_fields = 1 if kind == CELL else _n_fields(content[:n_before], order)
        expected = [*types[:n_before], *[MATRIX] * min(size * n_fields, len(matrix))]
    else:
        n = {CHARACTERS: 1, SPARSE: 3 + is_complex}.get(kind, 1 + is_complex)
        check(kind in (CHARACTERS, SPARSE, *NUMERIC_CLASSES), "it holds an object or a function of MATLAB")
        expected = [each for each in types if each in (NUMBERS | TEXT if kind == CHARACTERS else NUMBERS)][:n]
        check(len(expected) == n, "a matrix lacks its content")
    check(types == expected, f"a matrix of class {kind} holds elements of the types {types[:9]}")
    for each, element in content:
        if each == MATRIX:
            _check_matrix(element, order, depth + 1)


def _n_fields(content: list[tuple[int, memoryview]], order: Literal["little", "big"]) -> int:
    """Return the number of fields of a structure."""
    check(len(content) >= 2 and content[-2][0] == 5 and content[-1][0] == 1, "a structure has no fields")
    length = int.from_bytes(content[-2][1], order)
    names = len(content[-1][1])
    check(0 < length <= 64 and names % length == 0, "a structure has damaged names of fields")
    return names // length
