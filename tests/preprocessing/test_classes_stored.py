"""Classes of every type: stored as they are, or refused before training with a hint."""

import datetime
import decimal
import enum
import fractions
import json

import numpy as np
import pandas as pd
import pytest

from ssavae.persistence.schema import Classes, read
from ssavae.preprocessing.labels import check_labels


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


STORED = {
    "text": ["a", "b"],
    "text of numpy": np.array(["a", "bb"]),
    "text with $, NUL and a lone surrogate": np.array(["$a", "b\0", "\ud800"], dtype=object),
    "int8": np.array([1, 2], dtype=np.int8),
    "uint64": np.array([2**63, 2**64 - 1], dtype=np.uint64),
    "big-endian": np.array([1, 2], dtype=">i4"),
    "booleans": [True, False],
    "objects of booleans": np.array([True, False, None], dtype=object),
    "floats that are integers": [0.0, 1.0],
    "float16": np.array([1.0, 2.0], dtype=np.float16),
    "integers with None": np.array([1, 2, None], dtype=object),
    "integers beyond 64 bits": np.array([2**70, 2**71], dtype=object),
    "IntEnum": np.array([Level.LOW, Level.HIGH], dtype=object),
    "categories of pandas": pd.Categorical(["x", "y"]),
    "nullable text": pd.array(["x", "y", None], dtype="string"),
}
REFUSED = {
    "bytes that are no text": (np.array([b"\xff", b"\xfe"]), r"type bytes, as b'\\xff'.*label\.decode\(\)"),
    "dates": (
        np.array([datetime.date(2020, 1, d) for d in (1, 2)], dtype=object),
        r"type date.*str\(label\)",
    ),
    "Decimal": (np.array([decimal.Decimal(1), decimal.Decimal(2)], dtype=object), "type Decimal"),
    "Fraction": (np.array([fractions.Fraction(1, 2), fractions.Fraction(1, 3)], dtype=object), "Fraction"),
    "intervals": (pd.Series(pd.cut(np.arange(10), 3)), "type Interval"),
    "periods": (pd.Series(pd.period_range("2020", periods=3, freq="Y")), "type Period"),
    "timestamps": (np.array([pd.Timestamp("2020"), pd.Timestamp("2021")], dtype=object), "type Timestamp"),
    "tuples": (pd.Series([("a", 1), ("b", 2)]), "type tuple"),
    "lists": (pd.Series([["a"], ["b"]]), "type list"),
    "complex": (np.array([1j, 2j], dtype=object), "type complex"),
    "records": (np.array([(1,), (2,)], dtype=[("a", int)]), "type tuple"),
    "long double": (np.array([1, 2], dtype=np.longdouble), "type longdouble"),
    "objects": (np.array([object(), object()]), "type object"),
}


@pytest.mark.parametrize(
    "y", [np.array([b"a", b"", b"b"]), [b"a", None, b"b"], pd.Series([b"a", None, b"b"])]
)
def test_bytes_are_text(y):
    labels, classes = check_labels(y, 3)
    assert labels.tolist() == [0, -1, 1] and classes.tolist() == ["a", "b"]


@pytest.mark.parametrize("kind", STORED)
def test_classes_come_back_as_they_were(kind):
    labels, classes = check_labels(STORED[kind], len(STORED[kind]))
    document = json.loads(
        json.dumps({"dtype": Classes.of(classes).dtype, "names": Classes.of(classes).names})
    )
    again = read(Classes, document, "classes").array()
    assert again.tolist() == classes.tolist() and again.dtype.kind == classes.dtype.kind
    assert [type(name) for name in again.tolist()] == [type(name) for name in classes.tolist()]
    assert set(labels[labels >= 0]) == set(range(len(classes)))


@pytest.mark.parametrize("kind", REFUSED)
def test_classes_that_no_model_can_hold_are_refused_with_a_hint(kind):
    y, message = REFUSED[kind]
    with pytest.raises(ValueError, match=f"y holds labels of {message}" if "type" in message else message):
        check_labels(y, len(y))


@pytest.mark.parametrize(
    "damaged",
    [
        {"dtype": "<i8", "names": ["a", "b"]},
        {"dtype": "|u1", "names": [1, 300]},
        {"dtype": "<U9", "names": [1, 2]},
        {"dtype": "<U100000000", "names": ["a", "a"]},
        {"dtype": "|O", "names": ["a", 1]},
        {"dtype": "|O", "names": ["a", None]},
        {"dtype": "|V8", "names": []},
        {"dtype": "M8[D]", "names": ["2020-01-01"]},
        {"dtype": "(100000,)<i8", "names": [1, 2]},
        {"dtype": "<U1", "names": ["a" * 2**20, *map(str, range(100))]},
        {"dtype": "<f8", "names": [1e999, 2.0]},
        {"dtype": "<f8", "names": "ab"},
        {"dtype": ["<f8"], "names": []},
        {"dtype": "<f8"},
        [],
    ],
)
def test_damaged_classes_are_refused(damaged):
    with pytest.raises(ValueError, match="classes"):
        read(Classes, damaged, "classes").array()
