"""Fixtures of the tests in a browser: models, servers of their maps, and pages."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine

from ssavae import SSAVAE
from ssavae.data.labelled import LabelledData, Reading
from ssavae.data.partition import read


@pytest.fixture(scope="module")
def digits() -> LabelledData:
    return read("digits")


@pytest.fixture(scope="module")
def digits_model(digits: LabelledData) -> SSAVAE:
    small: dict[str, Any] = {"widths": (16, 32, 32), "validation_fraction": 0.1}
    model = SSAVAE(n_epochs=4, n_epochs_decoder=1, random_state=0, **small)
    return model.fit(digits.x_train, np.array(digits.class_names)[digits.y_train])


@pytest.fixture(scope="module")
def digits_url(digits: LabelledData, digits_model: SSAVAE) -> Iterator[str]:
    from browser_screens import serving

    with serving(digits_model, digits) as url:
        yield url


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> LabelledData:
    """A csv with a column of text besides the numbers, and missing values in another."""
    numbers: Any = load_wine(as_frame=True)
    table = numbers.data.assign(cellar=np.where(numbers.data["alcohol"] > 13, "upper", "lower"))
    table.loc[::9, "ash"] = np.nan
    path = tmp_path_factory.mktemp("wine") / "wine.csv"
    table.assign(cultivar="grown " + numbers.target.astype(str)).to_csv(path, index=False)
    return read(str(path), Reading(label="cultivar"))


@pytest.fixture(scope="module")
def wine_model(wine: LabelledData) -> SSAVAE:
    from browser_screens import frame

    model = SSAVAE(n_epochs=25, n_epochs_decoder=5, random_state=0)
    return model.fit(frame(wine), wine.y_train)


@pytest.fixture(scope="module")
def wine_url(wine: LabelledData, wine_model: SSAVAE) -> Iterator[str]:
    from browser_screens import serving

    with serving(wine_model, wine) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from browser_screens import CHROMIUM, SOFTWARE_WEBGL, playwright

    with playwright.sync_playwright() as tools:
        launched = tools.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE_WEBGL)
        yield launched
        launched.close()


@pytest.fixture
def screen(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages of a size; at the end none of them may have had an error."""
    from browser_screens import Screen

    opened: list[Any] = []

    def new(size: tuple[int, int] = (1280, 800), *, offline: bool = False, **settings: Any) -> Any:
        viewport = {"width": size[0], "height": size[1]}
        context = browser.new_context(viewport=viewport, color_scheme="light", offline=offline, **settings)
        opened.append(Screen(context.new_page()))
        return opened[-1]

    yield new
    for each in opened:
        each.page.context.close()
    assert [each.errors for each in opened if each.errors] == []
