"""Requests that a hostile client may send: a seeded stream of broken JSON, arrays, files and paths."""

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image


class Hostile(NamedTuple):
    """A request."""

    method: str
    path: str
    media_type: str
    body: bytes


JSON, PNG, CSV, NPY = "application/json", "image/png", "text/csv", "application/x-npy"
BODIES = {
    "encode": {"x": [[[0] * 8] * 8]},
    "predict": {"x": {"dtype": "u1", "shape": [1, 8, 8], "bdata": "AAAA"}},
    "novelty": {"x": [[[0] * 8] * 8], "alpha": 0.1},
    "decode": {"z": [[0.0, 0.0]]},
    "sample": {"n": 2, "y": "one", "sampler": "class", "seed": 1},
    "select": {"items": [0, 1]},
}
VALUES = (
    *(None, True, -1, 0, 10**30, 1e308, float("nan"), float("inf"), "", "9", "\ud800", "x" * 1000, "\0"),
    *(
        [],
        [[]],
        [None],
        {},
        {"": {}},
        [1] * 200,
        [[[[[[[[[[1]]]]]]]]]],
        ["f4"],
        {"f4": 1},
        [2**40] * 100,
        [1] * 100,
    ),
)
DTYPES = ("<f8", "|O", "<U5", "<M8[s]", "|V0", "<c16", "<f2", ">i4", [("a", "<f8")], ["<f8"], "", "<f8,<f8")
SHAPES = ((8, 8), (1,) * 100, (), (0,), (-1, 8), (2**62, 4), (1, 8, 8), (10**30,), (8, 8.0), ("8",), [8, 8])


def hostile_requests(n: int, seed: int = 0) -> Iterator[Hostile]:
    """Generate n requests."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        yield KINDS[i % len(KINDS)](rng)


def _pick(rng: np.random.Generator, values):
    return values[int(rng.integers(len(values)))]


def _post(rng: np.random.Generator, body: bytes) -> Hostile:
    return Hostile("POST", f"/api/{_pick(rng, list(BODIES))}", JSON, body)


def wrong_values(rng: np.random.Generator) -> Hostile:
    """A valid body in which one value, at any depth, is another."""
    name = _pick(rng, list(BODIES))
    document = json.loads(json.dumps(BODIES[name]))
    place, key = document, _pick(rng, list(document))
    while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
        place = place[key]
        key = _pick(rng, list(place)) if isinstance(place, dict) else int(rng.integers(len(place)))
    place[key] = _pick(rng, VALUES)
    return Hostile("POST", f"/api/{name}", JSON, json.dumps(document).encode())


def damaged_bytes(rng: np.random.Generator) -> Hostile:
    """A valid body with some bytes changed, cut off or repeated."""
    name = _pick(rng, list(BODIES))
    body = bytearray(json.dumps(BODIES[name]).encode())
    for _ in range(int(rng.integers(1, 4))):
        body[int(rng.integers(len(body)))] = int(rng.integers(256))
    body = body[: int(rng.integers(1, len(body) + 1))] * int(rng.integers(1, 3))
    return Hostile("POST", f"/api/{name}", JSON, bytes(body))


def many_values(rng: np.random.Generator) -> Hostile:
    """Very many items, keys, rows or texts."""
    n = int(10 ** rng.uniform(3, 6.3))
    item = _pick(rng, [b"1", b'"a"', b"[]", b"{}", b"null", b"-1", b"1e400", b"[[1]]", b'{"a":1}'])
    key = _pick(rng, [b"x", b"z", b"items", b"n"])
    if rng.random() < 0.3:
        return _post(rng, b"{" + b",".join(b'"%d":%s' % (i, item) for i in range(n // 4)) + b"}")
    body = b'{"%s":[%s]}' % (key, b",".join([item] * n))
    return _post(rng, body[:9_900_000])


def deep_nesting(rng: np.random.Generator) -> Hostile:
    """Lists or objects within one another, closed or not."""
    n = int(10 ** rng.uniform(1, 5.5))
    start, end = _pick(rng, [(b"[", b"]"), (b'{"x":', b"}"), (b'[{"z":', b"}]")])
    inner = start * n + b"1" + end * (n if rng.random() < 0.5 else 0)
    return _post(rng, b'{"%s":%s}' % (_pick(rng, [b"x", b"z"]), inner))


def odd_arrays(rng: np.random.Generator) -> Hostile:
    """Packed arrays whose dtype, shape and bytes are of other kinds or do not fit together."""
    shape = _pick(
        rng, [[1, 8, 8], [1] * 100, [2**31 - 1] * 8, [-1], [], [0, 8, 8], "888", {"0": 1}, [1.5], [None]]
    )
    dtype = _pick(rng, ["u1", "f4", "f8", "O", ["u1"], {"u1": 1}, None, 1, "", "u1,u1"])
    data = _pick(rng, ["", "AAAA", "%%%", "AA==" * 1000, 5, None, ["A"], "\u00e9", "A" * 4_000_000])
    return _post(rng, json.dumps({"x": {"dtype": dtype, "shape": shape, "bdata": data}}).encode())


def odd_npy(rng: np.random.Generator) -> Hostile:
    """An .npy whose header and data do not fit together."""
    descr, shape = _pick(rng, DTYPES), _pick(rng, SHAPES)
    order = _pick(rng, [True, False, 3])
    header = f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape!r}}}\n".encode()
    if rng.random() < 0.2:
        header = b"(" * int(rng.integers(10, 60_000))
    data = bytes(_pick(rng, [0, 8, 64, 512, 1_000_000]))
    return Hostile(
        "POST", "/api/land", NPY, b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data
    )


def odd_images(rng: np.random.Generator) -> Hostile:
    """A PNG that is large, damaged, of another mode, or no PNG at all."""
    content = io.BytesIO()
    mode = _pick(rng, ["L", "RGBA", "P", "I;16", "1", "LA"])
    side = int(_pick(rng, [1, 8, 300, 3000]))
    Image.new(mode, (side, int(rng.integers(1, 20)))).save(content, _pick(rng, ["PNG", "PNG", "TIFF"]))
    body = bytearray(content.getvalue())
    if rng.random() < 0.6:
        body[int(rng.integers(len(body)))] ^= 1 << int(rng.integers(8))
    if rng.random() < 0.3:
        body[16:24] = struct.pack(">II", *rng.integers(0, 2**32, 2, dtype=np.uint64))
        body[29:33] = struct.pack(">I", zlib.crc32(body[12:29]))
    return Hostile("POST", "/api/land", PNG, bytes(body))


def odd_csv(rng: np.random.Generator) -> Hostile:
    """A csv of odd sizes and characters."""
    cell = _pick(
        rng, [b"1", b"", b"nan", b'"', b"\xff", b"1e999", b"x\0", b"=1", "\u0661".encode(), b"1_0", b"\r"]
    )
    line = b",".join([cell] * int(10 ** rng.uniform(0, 5)))
    return Hostile("POST", "/api/land", CSV, (line + b"\n") * int(10 ** rng.uniform(0, 2)))


def odd_addresses(rng: np.random.Generator) -> Hostile:
    """Paths, queries and methods that nothing answers."""
    path = _pick(
        rng,
        [
            *(
                "/api/points?x_axis=" + "9" * 3000,
                "/api/points?axes=" + "a" * 3000,
                "/api/items/-1",
                "/api/items/1e3",
            ),
            *(
                "/api/items/" + "9" * 5000,
                "/api/trust?x_axis=0&y_axis=0",
                "/api/columns/" + "%2e%2e%2f" * 100,
            ),
            *(
                "/api/columns/%ff%fe",
                "/api/points?%00=%00",
                "/..%2f..%2fetc/passwd",
                "/" + "a/" * 3000,
                "/api/land",
            ),
        ],
    )
    return Hostile(_pick(rng, ["GET", "GET", "PUT", "DELETE", "OPTIONS", "BREW"]), path, JSON, b"")


KINDS: list[Callable[[np.random.Generator], Hostile]] = [
    *(wrong_values, damaged_bytes, many_values, deep_nesting, odd_arrays),
    *(odd_npy, odd_images, odd_csv, odd_addresses, wrong_values),
]
