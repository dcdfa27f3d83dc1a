"""Pictures of a run: maps of models whose codes have other than two dimensions."""

import numpy as np
import pytest

from ssavae import SSAVAE, figures
from ssavae.app.runs.pictures import draw_map
from ssavae.data.partition import Part


@pytest.mark.parametrize(
    ("latent_dim", "title"), [(1, "the height is random"), (3, "PCA of mu, 3 dimensions")]
)
def test_a_map_is_drawn_for_every_number_of_dimensions(toy_table, latent_dim, title):
    X, y = toy_table
    model = SSAVAE(latent_dim=latent_dim, n_epochs=1, n_epochs_decoder=1, random_state=0).fit(X, y)
    figure = draw_map(model, Part(np.asarray(X), np.asarray(y)))
    assert isinstance(figure, figures.Figure)
    texts = [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center", "right")]
    assert any(title in text for text in [*texts, figure.get_suptitle()])
