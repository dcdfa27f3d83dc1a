"""scikit-learn's model selection on partly labelled rows: a splitter, and a scorer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from ssavae.preprocessing.labels import Labels, encode_labels, labelled_rows

Scores = float | dict[str, float]


class SemiSupervisedSplit(BaseCrossValidator):
    """Splits the labelled rows, and adds the unlabelled ones to every training part.

    Test parts hold labelled rows only. Training parts begin with the labelled rows, so that the short ones
    of a learning curve have labels. Where there are groups, unlabelled rows of a group that is tested are
    in neither part.

    Parameters
    ----------
    cv : int or splitter of scikit-learn
        How the labelled rows are split; a number is one of stratified folds.

    Examples
    --------
    >>> for train, test in SemiSupervisedSplit(2).split(np.zeros((6, 1)), [0, None, 0, 1, None, 1]):
    ...     print(train, test)
    [2 5 1 4] [0 3]
    [0 3 1 4] [2 5]
    """

    __metadata_request__split = {"groups": True}  # noqa: RUF012  # scikit-learn's form

    def __init__(self, cv: int | BaseCrossValidator = 5) -> None:
        self.cv = cv

    def split(  # pyright: ignore[reportIncompatibleMethodOverride]  # the stub takes arrays alone
        self, X: ArrayLike, y: Labels | None = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices of training and test part, once for each split.

        Parameters
        ----------
        X : rows
        y : (n,)
            Labels as in :meth:`ssavae.SSAVAE.fit`.
        groups : (n,) or None

        Raises
        ------
        ValueError
            If X and y differ in length, no row has a label, or the splitter refuses the labelled rows.
        """
        n_rows = _num_samples(X)
        labelled = labelled_rows(y, n_rows)
        unlabelled = np.setdiff1d(np.arange(n_rows), labelled)
        group_of = None if groups is None else np.asarray(groups)
        for train, test in self._splits(labelled, y, group_of):
            free = unlabelled
            if group_of is not None:
                free = unlabelled[~np.isin(group_of[unlabelled], group_of[test])]
            yield np.concatenate([train, free]), test

    def get_n_splits(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: ArrayLike | None = None, y: Labels | None = None, groups: ArrayLike | None = None
    ) -> int:
        """Return the number of splits; some splitters need the rows or groups to tell."""
        if y is None:
            return cast(int, self._splitter(None).get_n_splits(X, y, groups))
        labelled = labelled_rows(y, len(encode_labels(y)[0]))
        return sum(1 for _ in self._splits(labelled, y, None if groups is None else np.asarray(groups)))

    def _splits(
        self, labelled: np.ndarray, y: Labels | None, groups: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        assert y is not None
        classes = encode_labels(y)[0][labelled]
        group_of = None if groups is None else groups[labelled]
        for train, test in self._splitter(classes).split(labelled, classes, group_of):
            yield labelled[train], labelled[test]

    def _splitter(self, classes: np.ndarray | None) -> BaseCrossValidator:
        return cast(BaseCrossValidator, check_cv(cast(int, self.cv), classes, classifier=True))


class SemiSupervisedScorer:
    """A scorer of scikit-learn applied to the rows that have a label.

    Parameters
    ----------
    scoring : str, callable, list or dict
        As for ``sklearn.model_selection.cross_validate``.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> model = DummyClassifier(constant="a", strategy="constant").fit([[0], [0]], ["a", "b"])
    >>> SemiSupervisedScorer("balanced_accuracy")(model, [[0], [1], [2]], ["a", "b", None])
    0.5
    """

    def __init__(self, scoring: str | Callable[..., float] | list[str] | dict[str, object]) -> None:
        self.scoring = scoring

    def __call__(
        self, estimator: BaseEstimator, X: ArrayLike, y: Labels, sample_weight: ArrayLike | None = None
    ) -> Scores:
        """Return the score of the labelled rows.

        Raises
        ------
        ValueError
            If X and y differ in length, or no row has a label.
        """
        labelled = labelled_rows(y, _num_samples(X))
        indices, classes = encode_labels(y)
        weights = {} if sample_weight is None else {"sample_weight": np.asarray(sample_weight)[labelled]}
        scorer = cast(Callable[..., Scores], check_scoring(estimator, self.scoring))
        return scorer(estimator, _safe_indexing(X, labelled), classes[indices[labelled]], **weights)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.scoring!r})"
