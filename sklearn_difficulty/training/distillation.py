# SPDX-License-Identifier: BSD-3-Clause
"""Distillation: a network is taught by another one, which was trained on the same rows.

`DistilledClassifier` makes a net of its student by adding a callback, `Distillation`. So the net is
trained as any other, alone or as a member of an ensemble, and the teacher with it, on its rows.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from .._progress import CallbackSupportMixin, root_task, with_callbacks
from .._randomness import alone
from .._reprs import ShowsFindings
from ..networks.answers import answers
from ..rows.rows import Rows, as_rows
from ..rows.width import check_width
from .bare_modules import refuse_bare_modules
from .checkpoints import CheckpointPlan
from .default import untrained_net
from .fit import targets_for, unfitted_clone
from .record import TrainingRecord, train_record
from .recorder import RecordTraining
from .skorch_net import (
    StandsForNet,
    collate_fn,
    columns_of,
    is_regression,
    keep_trace,
    warn_of_seen_rows,
)
from .teachers import Distillation, given_teacher

__all__ = ["DistilledClassifier"]


class DistilledClassifier(
    ShowsFindings, CallbackSupportMixin, ClassifierMixin, BaseEstimator, StandsForNet
):
    r"""Classifier whose network, the student, learns from labels and from a teacher network.

    A teacher is trained on the rows first; then the student is trained to give the right labels
    and, at a raised temperature, the class probabilities of the teacher. A teacher that is larger,
    or trained otherwise, hands on what it knows about which classes are alike. Where labels are
    wrong, its probabilities are softer than the labels, and the student memorises less of them.

    It is a classifier of scikit-learn, and can be passed wherever this library takes a skorch net:
    to scorers, to `ResampledEnsemble`, and to `TrainingRecord.from_fit`, which train a teacher with
    every student, on its rows.

    Parameters
    ----------
    student : skorch.NeuralNet, default=None
        The untrained network that predicts in the end. None takes `training.default_network`. A
        `RecordTraining` among its callbacks decides what `record_` holds.
    teacher : skorch.NeuralNet, FrozenEstimator, TrainingRecord or None, default=None
        A net is trained anew on the rows of every fit. A ``FrozenEstimator`` around a skorch net
        that was fitted with `RecordTraining`, or a `TrainingRecord`, is a fitted teacher and stays
        as it is; where rows are held out, in ensembles and cross-validation, it is refused, because
        it may have seen them. None trains a net with the student's own settings from another seed
        (self-distillation).
    alpha : float, default=0.9
        Weight of the teacher in the loss, from 0 (labels alone: plain training, and no teacher is
        trained) to 1 (the teacher alone).
    temperature : float, default=4.0
        What the logits of both are divided by; larger is softer.
    random_state : int, RandomState or None, default=None
        Seeds the trainings of both. The student's is the one of a plain training by this seed.
        Scorers and ensembles, which have a seed of their own, do not read it.
    verbose : int, default=0
        0 trains silently; otherwise the nets print what they are set to print.

    Attributes
    ----------
    student_ : skorch.NeuralNet
        The trained student.
    teacher_ : TrainingRecord or None
        The teacher, its network as ``teacher_.module``; None for ``alpha=0``.
    record_ : TrainingRecord
        The training of the student, which scorers take in place of a net.
    classes_ : ndarray of shape (n_classes,)
        The classes, in the order of the columns.
    n_features_in_ : int
        Size of axis 1 of X, for arrays.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, for DataFrames whose names are all strings.

    See Also
    --------
    FilteredClassifier : Leaves out the rows whose labels seem to be wrong.
    MemorizationScorer : Measures what distillation lowers.
    sklearn_difficulty.training.ResampledEnsemble : Many students, each with a teacher of its own.

    Notes
    -----
    For a row with logits :math:`z` of the student and :math:`v` of the teacher, and a label
    :math:`y`, the loss is

    .. math:: (1 - \alpha)\, \ell(z, y) + \alpha\, T^2 \sum_c p_c \log \frac{p_c}{q_c}

    averaged over the rows of a batch, where :math:`p = \mathrm{softmax}(v / T)`,
    :math:`q = \mathrm{softmax}(z / T)`, :math:`\ell` is the criterion of the student,
    :math:`\alpha` the weight, :math:`T` the temperature, and :math:`c` runs over the classes. The
    factor :math:`T^2` keeps the gradients of both parts comparable, which without it fall with
    :math:`1 / T^2`. Of networks that return probabilities the logarithms take the place of logits.

    The teacher is asked in evaluation mode about each batch as the student sees it, random
    augmentation included, which takes one forward pass of the teacher more for every step. The loss
    on a validation set is that of the labels alone.

    Members with teachers are not stacked; they are trained one by one. A memory of labels that the
    teacher has learned by heart is handed on, too: on noisy labels, stop the teacher early, or
    filter the rows.

    References
    ----------
    G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015,
    :arxiv:`1503.02531`.

    M. Lukasik, V. Nagarajan, A. S. Rawat, A. K. Menon, S. Kumar, "What do larger image classifiers
    memorise?", TMLR 2024, :arxiv:`2310.05337`: distillation lowers memorization.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn_difficulty import DistilledClassifier
    >>> from sklearn_difficulty.training import default_network
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    >>> small = default_network(X, y).set_params(module__hidden_units=(16,))
    >>> large = default_network(X, y)
    >>> net = DistilledClassifier(small, large, random_state=0).fit(X, y)
    >>> net.predict(X_test[:3])
    array([2, 8, 2])
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "student": [NeuralNet, None],
        "teacher": [NeuralNet, FrozenEstimator, TrainingRecord, None],
        "alpha": [Interval(Real, 0, 1, closed="both")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        student: Any = None,
        teacher: Any = None,
        *,
        alpha: float = 0.9,
        temperature: float = 4.0,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.student = student
        self.teacher = teacher
        self.alpha = alpha
        self.temperature = temperature
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> DistilledClassifier:
        """Train the teacher, unless it is fitted, and then the student.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), tensor, DataFrame, dict of arrays, or Dataset
            The training rows.
        y : array-like of shape (n_samples,), default=None
            Their labels, of any type. May be None for a Dataset that yields (x, y).

        Returns
        -------
        self : object
            Fitted.
        """
        fitted = [n for n in vars(self) if n.endswith("_") and not n.startswith("_")]
        for name in [*fitted, "_row_shape"]:
            self.__dict__.pop(name, None)
        refuse_bare_modules(self, "student", "teacher")
        self._validate_params()
        with root_task(self, 1) as progress:
            rows = as_rows(X, collate_fn=collate_fn(self), estimator=self, columns=columns_of(self))
            check_width(self, X, rows, reset=True)
            net = self._net_for(rows, y)
            warn_of_seen_rows(net)
            classes, targets = targets_for(net, rows, y)
            with progress.subtask("train", net.max_epochs) as training:
                self.record_ = train_record(
                    net,
                    rows,
                    targets,
                    classes,
                    recorder=RecordTraining(CheckpointPlan()),
                    random_state=self.random_state,
                    verbose=self.verbose,
                    progress=training,
                )
        assert self.record_.net is not None
        self.student_, self.classes_ = self.record_.net, self.record_.classes_
        found = [c for _, c in self.student_.callbacks_ if isinstance(c, Distillation)]
        self.teacher_ = found[0].teacher_ if found else None
        self._n_rows = len(rows)
        return self

    def _net_for(self, X: Rows, y: Any) -> NeuralNet:
        """Return a net like the student that learns from the teacher."""
        refuse_bare_modules(self, "student", "teacher")
        self._validate_params()
        net = untrained_net(self.student, X, y, self)
        teacher = net if self.teacher is None else self.teacher
        for role, value in (("student", net), ("teacher", teacher)):
            if isinstance(value, NeuralNet) and is_regression(value):
                raise ValueError(f"The {role} is a regressor; distillation is defined for classes.")
        if self.alpha == 0:
            return net
        if net.callbacks == "disable":
            raise ValueError(
                "callbacks='disable' of the student leaves no place for its teacher. Leave out "
                "callbacks one by one, for example callbacks__print_log=None."
            )
        given_teacher(teacher)  # what cannot be read is refused before anything is trained
        taught = unfitted_clone(net)
        keep_trace(net, taught)
        distillation = Distillation(teacher, float(self.alpha), float(self.temperature))
        taught.callbacks = [*(taught.callbacks or ()), ("distillation", distillation)]
        return taught

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Return the student's class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), float32
            In the order of `classes_`.
        """
        check_is_fitted(self)
        columns = self.record_.columns
        rows = as_rows(X, collate_fn=collate_fn(self), estimator=self, columns=columns)
        check_width(self, X, rows, reset=False)
        with alone():
            return answers(self.record_.module, rows, self.record_.head)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of every row.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Rows of the kind that `fit` was given.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Of `classes_`.
        """
        columns = self.predict_proba(X).argmax(axis=1)
        return self.classes_[columns]

    def __sklearn_clone__(self) -> DistilledClassifier:
        copy = super().__sklearn_clone__()
        keep_trace(self.student, copy.student)
        keep_trace(self.teacher, copy.teacher)
        return copy

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classes_")

    def _found(self) -> str:
        taught = "without a teacher" if self.teacher_ is None else "with a teacher"
        return f"{self._n_rows} rows of {len(self.classes_)} classes, learned {taught}"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = True
        return tags
