"""Columns of categories that are numbers: decoded rows hold codes that exist."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ssavae import SSAVAE, load
from ssavae.persistence.schema import read
from ssavae.preprocessing.inputs import open_rows
from ssavae.preprocessing.preprocessor import Preprocessor

CODES = {
    "integers": [7, 4000, 31],
    "floats": [0.5, 2.25, -1.0],
    "texts": ["u", "v", "w"],
    "booleans": [True, False],
}


def frame(codes: list[Any], n: int = 60) -> pd.DataFrame:
    y = np.arange(n) % len(codes)
    code = pd.Categorical([codes[i] for i in y])
    return pd.DataFrame({"code": code, "x": np.random.default_rng(0).normal(size=n) + y})


@pytest.mark.parametrize("has_gap", [False, True])
@pytest.mark.parametrize("codes", CODES.values(), ids=CODES)
def test_a_categorical_column_comes_back_as_it_was(codes, has_gap):
    x = frame(codes)
    if has_gap:
        x.loc[3, "code"] = None
    rows = open_rows(x)
    preprocessor = Preprocessor.fit(rows)
    assert preprocessor.columns[0].kind == "category"
    assert set(preprocessor.columns[0].categories) == {*codes, *([None] if has_gap else [])}
    decoded = preprocessor.inverse(preprocessor.forward(np.asarray(rows.values)))[:, 0]
    assert decoded.tolist() == [None if value != value else value for value in x["code"].astype(object)]
    restored = read(Preprocessor, json.loads(json.dumps(asdict(preprocessor))), "preprocess")
    assert restored == preprocessor
    for code in codes:
        assert restored.columns[0].parse(str(code)) == code


def test_codes_are_the_same_whatever_holds_them():
    x = frame(CODES["integers"])
    preprocessor = Preprocessor.fit(open_rows(x))
    expected = preprocessor.forward(np.asarray(open_rows(x).values))
    for other in (x.astype({"code": int}), x.astype({"code": float}), x.astype({"code": object})):
        np.testing.assert_array_equal(preprocessor.forward(np.asarray(open_rows(other).values)), expected)
    unknown = x.astype({"code": int}).replace({"code": {31: 32}})
    with pytest.warns(
        UserWarning, match="column 'code' has 32.*which training did not have, in row 2, 20 in all"
    ):
        preprocessor.forward(np.asarray(open_rows(unknown).values))


def test_parts_of_rows_know_their_categories():
    rows = open_rows(frame(CODES["integers"]))
    for part in (rows.take(slice(9)), rows.subset(np.arange(9))):
        assert Preprocessor.fit(part).columns[0].categories == (7, 31, 4000)


def test_a_model_decodes_codes_that_exist(tmp_path):
    x = frame(CODES["integers"])
    SSAVAE(n_epochs=1, n_epochs_decoder=1, widths=(8, 8), random_state=0).fit(x, np.arange(60) % 2).save(
        tmp_path / "m"
    )
    model = load(tmp_path / "m")
    for decoded in (model.reconstruct(x), model.sample(20, random_state=0)):
        assert set(pd.DataFrame(decoded)["code"]) <= {7, 31, 4000}


def test_categories_of_other_types_are_refused():
    x = pd.DataFrame({"code": pd.cut(np.arange(9.0), 3), "x": np.arange(9.0)})
    with pytest.raises(ValueError, match=r"column 'code' holds Interval.* in row 0: wanted are numbers"):
        Preprocessor.fit(open_rows(x))
