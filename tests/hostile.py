"""Mutated model folders, exports and training states: what strangers and broken disks hand over."""

import copy
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssavae._serialize import sha256
from ssavae.persistence.schema import document_sha256

Place = tuple[Any, Any]  # a container and a key or index in it

ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    10**6,
    2**31,
    2**63,
    10**400,
    -(2**70),
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 100_000,
    "é\ud800\0",
    "<f8",
    "|O",
    "__import__('os')",
    "../../x",
    [],
    {},
    [[]],
    [None],
    [1e9] * 3,
    [10**9] * 3,
    [1] * 50_000,
    {"dtype": "O"},
    ["a", 1],
]


def nested(depth: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def places(tree: Any) -> list[Place]:
    """Every place of a JSON tree."""
    found: list[Place] = []
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        found += [(node, key) for key in keys]
        nodes += [node[key] for key in keys]
    return found


def mutate_tree(tree: Any, rng: random.Random) -> Any:
    """Change one place of a JSON tree, or two."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice([1, 1, 1, 2])):
        node, key = rng.choice(places(tree))
        what = rng.randrange(8)
        if what == 0:
            del node[key]
        elif what == 1:
            other, other_key = rng.choice(places(tree))
            node[key] = copy.deepcopy(other[other_key])
        elif what == 2 and isinstance(node[key], list | str) and node[key]:
            node[key] = node[key] * 2 if rng.random() < 0.5 else node[key][:-1]
        elif what == 3 and isinstance(node[key], int | float):
            node[key] = node[key] * rng.choice([-1, 0, 2, 10, 10**9, 0.5]) + rng.choice([0, 1])
        elif what == 4 and isinstance(node, dict):
            node[rng.choice(["more", "checkpoint_folder", "encoder", ""])] = rng.choice(ODD_VALUES)
        elif what == 5:
            node[key] = nested(rng.choice([5, 400, 900]))
        else:
            node[key] = rng.choice(ODD_VALUES)
        if not places(tree):
            break
    return tree


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Cut, extend, repeat, flip or overwrite bytes."""
    position = rng.randrange(max(1, len(content)))
    return rng.choice(
        [
            content[:position],
            content + bytes(rng.randrange(100)),
            content[:position] + rng.randbytes(8) + content[position + 8 :],
            content[:position] + content[position : position + 50] * 3 + content[position:],
            b"",
            b"\0" * len(content),
            b"[" * 100_000,
            b"\xff\xfe" + content,
            content.replace(b"1", b"NaN"),
            content.replace(b"\n", b"\r\0"),
        ]
    )


def mutate_tensors(content: bytes, rng: random.Random) -> bytes:
    """Change the header of a safetensors file, or its values."""
    size = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    what = rng.randrange(7)
    name = rng.choice([key for key in header if key != "__metadata__"])
    if what == 0:
        return struct.pack("<Q", rng.choice([0, 1, size - 1, size + 1, 2**40, 2**63])) + content[8:]
    if what == 1:
        header = mutate_tree(header, rng)
    elif what == 2:
        other = rng.choice([key for key in header if key != "__metadata__"])
        header[name], header[other] = header[other], header[name]
    elif what == 3:
        header[name]["dtype"] = rng.choice(
            ["I32", "BOOL", "U8", "F64", "F16", "BF16", "C64", "I64", "F8_E4M3"]
        )
    elif what == 4:
        header[name]["shape"] = header[name]["shape"][::-1] + rng.choice([[], [1], [0, 2**40]])
    elif what == 5:
        start, end = header[name]["data_offsets"]
        value = rng.choice([b"\0\0\xc0\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\1\0\0\0"])
        body = body[:start] + (value * (end - start))[: end - start] + body[end:]
    else:
        return mutate_bytes(content, rng)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a document, and its checksum of itself with it."""
    document = change(json.loads(path.read_text()))
    if isinstance(document, dict):
        document["sha256"] = document_sha256(document)
    path.write_text(json.dumps(document))


def mutate_model_folder(folder: Path, rng: random.Random) -> None:
    """Mutate a model folder, most often with checksums that fit again."""
    model, weights, history = (folder / n for n in ("model.json", "weights.safetensors", "history.csv"))
    what = rng.randrange(10)
    if what < 5:
        rewrite(model, lambda document: document | {"model": mutate_tree(document["model"], rng)})
    elif what == 5:
        rewrite(model, lambda document: mutate_tree(document, rng))
    elif what == 6:
        model.write_bytes(mutate_bytes(model.read_bytes(), rng))
    elif what == 7:
        history.write_bytes(content := mutate_bytes(history.read_bytes(), rng))
        rewrite(model, lambda document: document | {"history_sha256": sha256(content)})
    else:
        weights.write_bytes(content := mutate_tensors(weights.read_bytes(), rng))
        rewrite(model, lambda document: document | {"weights_sha256": sha256(content)})


def mutate_export(folder: Path, rng: random.Random) -> None:
    """Mutate an export, most often with checksums that fit again."""
    description = folder / "exported.json"
    what = rng.randrange(10)
    if what < 7:
        rewrite(description, lambda document: mutate_tree(document, rng))
    elif what == 7:
        description.write_bytes(mutate_bytes(description.read_bytes(), rng))
    else:
        graph = rng.choice(sorted(folder.glob("*.onnx")))
        graph.write_bytes(content := mutate_bytes(graph.read_bytes(), rng))
        checksum = {graph.stem: sha256(content)}
        rewrite(description, lambda document: document | {"graphs": document["graphs"] | checksum})


def mutate_state(folder: Path, rng: random.Random) -> None:
    """Mutate the state of an unfinished run."""
    path = folder / "resume" / "state.safetensors"
    path.write_bytes(mutate_tensors(path.read_bytes(), rng))


# ------------------------------------------------------------------------- a process that tries them


def use_model(folder: Path) -> str:
    """Load a model folder and use it for the first time; say what came of it."""
    from ssavae import load
    from ssavae.persistence.schema import ModelFolderError

    try:
        model = load(folder)
    except ModelFolderError as error:
        assert str(folder) in str(error) and len(str(error)) < 1000, f"not clear: {error}"
        return "refused"
    except ValueError as error:
        assert "was trained with your own" in str(error), f"not clear: {error}"
        return "refused"
    rows = np.load(folder / "rows.npy", allow_pickle=False)
    codes = model.transform(rows)
    if not np.isfinite(codes).all():  # finite weights can be too large
        with pytest.raises(ValueError, match="codes are not finite"):
            model.novelty(rows)
        return "refused"
    model.predict(rows), model.novelty(rows), model.is_novel(rows)
    model.inverse_transform(codes), model.sample(3, random_state=0)
    model.is_trusted(codes), model.sample(3, sampler="aggregate")
    return "loaded"


def use_export(folder: Path) -> str:
    """Open an export and use it for the first time; say what came of it."""
    from ssavae.onnx.runtime import Exported
    from ssavae.persistence.schema import ModelFolderError

    try:
        exported = Exported(folder)
    except ModelFolderError as error:
        assert str(folder) in str(error) and len(str(error)) < 1000, f"not clear: {error}"
        return "refused"
    rows = np.load(folder / "rows.npy", allow_pickle=False)
    exported.predict(rows), exported.reconstruct(rows)
    return "loaded"


def use_state(folder: Path) -> str:
    """Read the state of an unfinished run; say what came of it."""
    from ssavae.persistence.schema import ModelFolderError
    from ssavae.persistence.training_state import load_state

    try:
        load_state(folder)
    except ModelFolderError as error:
        assert str(folder) in str(error), f"not clear: {error}"
        return "refused"
    return "loaded"


def try_all(use: Callable[[Path], str], mutate: Callable[[Path, random.Random], None]) -> None:
    """Mutate copies of the folders of the command line, use each, and print what came of it as JSON."""
    n, *bases = sys.argv[2:]
    counts, raw, slowest = Counter(), [], 0.0
    import ssavae.estimator  # so that it is no part of the first one's time
    import ssavae.onnx.runtime  # noqa: F401

    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(int(n)):
            folder = Path(scratch) / str(seed)
            shutil.copytree(bases[seed % len(bases)], folder)
            start = time.process_time()
            try:
                sys.setrecursionlimit(10_000)
                mutate(folder, random.Random(seed))
                sys.setrecursionlimit(1000)
                counts[use(folder)] += 1
            except Exception as error:
                raw.append(f"{seed}: {type(error).__name__}: {str(error)[:300]}")
            slowest = max(slowest, time.process_time() - start)
            shutil.rmtree(folder)
    print(json.dumps({"counts": counts, "raw": raw, "slowest": slowest, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """Return the most memory of this process: ``ru_maxrss`` would count the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def results_of(kind: str, n: int, bases: list[Path]) -> dict[str, Any]:
    """Run this file as a process that may take 16 GiB of addresses, and return what it prints."""
    command = [sys.executable, "-W", "ignore", __file__, kind, str(n), *map(str, bases)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_results(results: dict[str, Any], n: int) -> None:
    """No raw error, nothing slower than 5 s of the processor, no more than 1 GiB."""
    assert results["raw"] == []
    assert sum(results["counts"].values()) == n and results["counts"]["refused"] > n // 3
    assert results["slowest"] < 5.0 and results["peak_mb"] < 1024


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (16 * 2**30, 16 * 2**30))
    tried = {
        "model": (use_model, mutate_model_folder),
        "export": (use_export, mutate_export),
        "state": (use_state, mutate_state),
    }
    try_all(*tried[sys.argv[1]])
