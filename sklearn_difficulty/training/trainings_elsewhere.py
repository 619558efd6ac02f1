# SPDX-License-Identifier: BSD-3-Clause
"""Records of trainings that ran elsewhere: boosted trees, and the logs of other tools."""

from __future__ import annotations

from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any, Self

from sklearn.utils._param_validation import HasMethods, Interval

from .._parameters import check_parameters
from .log_files import trajectory_of_log
from .staged import staged_trajectory


class TrainingsElsewhere:
    """Constructors of `TrainingRecord` for what no network of torch was trained for here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the parts; `TrainingRecord` does."""

    @classmethod
    def from_staged(
        cls, estimator: Any, X: Any, y: Any, *, stages: int = 50, keep_logits: bool = False
    ) -> Self:
        """Make a record of boosted trees, whose stages are the epochs.

        Boosting adds tree to tree. What the sum of the first trees says about a training row is
        what a network says after an epoch: the mean loss over the stages, their margins and
        forgetting have the same formulas.

        Parameters
        ----------
        estimator : classifier or regressor
            Fitted on `X` and `y`: a boosting model of scikit-learn (with ``staged_predict_proba``
            or ``staged_predict``), XGBoost, LightGBM or CatBoost, or a Pipeline that ends in one.
            Where it stopped early and predicts with its best stage, stages end there.
        X : {array-like, DataFrame, sparse matrix} of shape (n_samples, n_features)
            The training rows, as the estimator takes them.
        y : array-like of shape (n_samples,)
            Their given labels, of the estimator's ``classes_``; targets for a regressor.
        stages : int, default=50
            How many stages are read, evenly spaced, the last one included; all, if there are
            fewer. XGBoost and LightGBM sum up all trees of a stage anew for each.
        keep_logits : bool, default=False
            Keep the logarithms of all class probabilities too: 4 bytes per stage, row and class.

        Returns
        -------
        record : TrainingRecord
            Without a network, for the scores that are read from trajectories.

        Raises
        ------
        TypeError
            If the model is not trained in stages.

        See Also
        --------
        sklearn_difficulty.TrainingDynamicsScorer : What to read from it.

        Notes
        -----
        Take small trees. On the cut of diamonds, of which 10 or 20 % were flipped, the mean loss of
        trees of depth 3 finds flipped labels with an average precision of 0.77, as that of a
        network (0.75); with the default trees of scikit-learn, which know 93 % of the given labels
        in the end, 0.61.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from sklearn.ensemble import HistGradientBoostingClassifier
        >>> from sklearn.metrics import average_precision_score
        >>> from sklearn_difficulty import TrainingDynamicsScorer, TrainingRecord
        >>> from sklearn_difficulty.datasets import make_label_noise
        >>> X, y = load_digits(return_X_y=True)
        >>> y_noisy, is_flipped = make_label_noise(y, rate=0.1, random_state=0)
        >>> trees = HistGradientBoostingClassifier(max_iter=30).fit(X, y_noisy)
        >>> record = TrainingRecord.from_staged(trees, X, y_noisy)
        >>> record
        TrainingRecord(trajectories of 30 epochs)
        >>> scorer = TrainingDynamicsScorer(record, measure="loss").fit(X, y_noisy)
        >>> bool(average_precision_score(is_flipped, scorer.difficulty_) > 0.9)
        True
        """
        check_parameters(
            "from_staged",
            estimator=(estimator, [HasMethods(["fit", "predict"])]),
            stages=(stages, [Interval(Integral, 1, None, closed="left")]),
            keep_logits=(keep_logits, ["boolean"]),
        )
        trajectory, classes, outputs = staged_trajectory(estimator, X, y, stages, keep_logits)
        return cls(None, [], classes=classes, outputs=outputs, trajectory=trajectory)

    @classmethod
    def from_file(
        cls,
        path: str | PathLike[str],
        *,
        ids: Any = None,
        y: Any = None,
        classes: Any = None,
        keep_logits: bool = False,
    ) -> Self:
        r"""Make a record from a log of the training dynamics that another tool wrote.

        Parameters
        ----------
        path : path-like
            One of

            - a folder of `Dataset Cartography <https://github.com/allenai/cartography>`_, with a
              file ``*_epoch_N.jsonl`` per epoch, or one such file, whose lines have ``guid``,
              ``logits_epoch_N`` and ``gold``;
            - ``full_aum_records.csv`` of the package aum (``AUMCalculator(...,
              compressed=False)``), which holds margins: only measures of margins and of right
              and wrong predictions can be read from it;
            - a table with a line per epoch and row: ``.npz`` with the arrays ``epoch``, ``id``,
              ``logits`` (n_lines, n_classes) and ``label``; ``.parquet`` or ``.csv`` with columns
              of these names, or with ``logit_0``, ``logit_1``, ... in place of ``logits``. Epochs
              may have any numbers that can be ordered.

            Names and labels in a ``.csv`` file are kept as they are written, also 007, NA and None.
        ids : array-like of shape (n_samples,), default=None
            What the log calls the rows, in the order that X and y have: any hashable values, each
            once. None takes them for the numbers of the rows from 0 on.
        y : array-like of shape (n_samples,), default=None
            The given labels. None takes those of the log, with which they must agree for aum.
        classes : array-like of shape (n_classes,), default=None
            What the columns stand for. None takes the positions 0, 1, ... if the labels are such,
            else the sorted labels.
        keep_logits : bool, default=False
            Keep all logits too: 4 bytes per epoch, row and class.

        Returns
        -------
        record : TrainingRecord
            Without a network, for the scores that are read from trajectories. An epoch without a
            line for a row did not show it.

        Raises
        ------
        ValueError
            If the file has another layout, or names rows that `ids` does not.

        Examples
        --------
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> from sklearn_difficulty import TrainingDynamicsScorer, TrainingRecord
        >>> folder = Path(tempfile.mkdtemp())
        >>> for epoch in range(3):
        ...     lines = [
        ...         {
        ...             "guid": name,
        ...             f"logits_epoch_{epoch}": [2.0 * epoch, 1.0],
        ...             "gold": gold,
        ...         }
        ...         for name, gold in [("b", 1), ("a", 0)]
        ...     ]
        ...     file = folder / f"dynamics_epoch_{epoch}.jsonl"
        ...     _ = file.write_text("\n".join(map(json.dumps, lines)))
        >>> record = TrainingRecord.from_file(
        ...     folder, ids=["a", "b"], classes=["yes", "no"]
        ... )
        >>> scorer = TrainingDynamicsScorer(record, measure="aum").fit(
        ...     [[0.0], [0.0]], ["yes", "no"]
        ... )
        >>> scorer.raw_
        array([ 1., -1.], dtype=float32)
        """
        check_parameters(
            "from_file",
            path=(path, [str, PathLike]),
            keep_logits=(keep_logits, ["boolean"]),
        )
        trajectory, classes = trajectory_of_log(Path(path), ids, y, classes, keep_logits)
        return cls(None, [], classes=classes, trajectory=trajectory)
