# SPDX-License-Identifier: BSD-3-Clause
"""The hinge loss without margin: by hand, by its property, and in a skorch net."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_difficulty import VoGScorer
from sklearn_difficulty.training import MLP, ScaledL1Loss, TrainingRecord, ZeroMarginHingeLoss
from sklearn_difficulty.training.skorch_net import head_of

LOGITS = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0], [1.0, 3.0, 2.0], [0.5, 0.5, 0.5]])
LABELS = torch.tensor([1, 2, 0, 0])


@pytest.fixture
def drawn():
    """Return 20 rows of logits in double precision, with labels right and wrong."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(5, (20,), generator=generator)
    is_right = logits.argmax(1) == labels
    assert 0 < is_right.sum() < 20
    return logits, labels, is_right


@pytest.mark.parametrize(
    ("reduction", "expected"), [("none", [0.0, 1.0, 3.0, 0.0]), ("sum", 4.0), ("mean", 1.0)]
)
def test_by_hand(reduction, expected):
    assert ZeroMarginHingeLoss(reduction)(LOGITS, LABELS).tolist() == expected


def test_mean_is_the_default():
    assert ZeroMarginHingeLoss()(LOGITS, LABELS).item() == 1.0


def test_double_loop(drawn):
    logits, labels, _ = drawn
    expected = [
        sum(max(0.0, float(z[j] - z[i])) for j in range(5) if j != i)
        for z, i in zip(logits, labels, strict=True)
    ]
    assert_allclose(ZeroMarginHingeLoss("none")(logits, labels), expected, rtol=1e-12)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_relation_to_torch(drawn, reduction):
    logits, labels, _ = drawn
    theirs = nn.MultiMarginLoss(margin=0.0, reduction=reduction)(logits, labels)
    assert_allclose(ZeroMarginHingeLoss(reduction)(logits, labels), 5 * theirs, rtol=1e-12)


def test_gradient(drawn):
    logits, labels, is_right = drawn
    logits = logits.requires_grad_()
    loss = ZeroMarginHingeLoss("sum")
    assert torch.autograd.gradcheck(lambda z: loss(z, labels), logits)
    loss(logits, labels).backward()
    assert not logits.grad[is_right].any()
    assert logits.grad[~is_right].any(dim=1).all()
    # A step against the gradient raises the label's logit, unlike with the printed formula.
    assert (logits.grad[range(20), labels][~is_right] < 0).all()


def test_tie_with_the_label_has_no_gradient():
    logits = torch.tensor([[2.0, 2.0, 1.0]], requires_grad=True)
    ZeroMarginHingeLoss()(logits, torch.tensor([0])).backward()
    assert not logits.grad.any()


def test_nan_is_not_hidden():
    logits = torch.tensor([[float("nan"), 1.0], [2.0, 1.0]])
    losses = ZeroMarginHingeLoss("none")(logits, torch.tensor([1, 0]))
    assert losses.isnan().tolist() == [True, False]


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(3), torch.tensor(0)),
        (torch.zeros(3, 2, 2), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(3, 2), torch.zeros(3, 1, dtype=torch.int64)),
    ],
)
def test_shapes_are_checked(logits, labels):
    with pytest.raises(ValueError, match=r"Expected logits of shape \(n, n_classes\).* got"):
        ZeroMarginHingeLoss()(logits, labels)


@pytest.mark.parametrize("label", [3, -1])
def test_labels_without_a_column_are_refused(label):
    with pytest.raises((IndexError, RuntimeError), match=f"{label} is out of bounds"):
        ZeroMarginHingeLoss()(torch.zeros(2, 3), torch.tensor([0, label]))


def test_labels_must_be_integers():
    with pytest.raises(RuntimeError, match=r"int64"):
        ZeroMarginHingeLoss()(torch.zeros(2, 3), torch.tensor([0.0, 1.0]))


def test_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="'mean', 'sum' or 'none'; got 'median'"):
        ZeroMarginHingeLoss("median")(LOGITS, LABELS)


@pytest.fixture
def hinge_net(make_net):
    return make_net(
        MLP,
        module__n_inputs=4,
        module__n_outputs=3,
        module__hidden_units=(8,),
        criterion=ZeroMarginHingeLoss,
        predict_nonlinearity=partial(torch.softmax, dim=-1),
        max_epochs=10,
        iterator_train__shuffle=True,
    )


def test_net_learns_with_it(hinge_net, data):
    X, y = data
    record = TrainingRecord.from_fit(hinge_net, X, y, random_state=0)
    assert head_of(record.net).name == record.outputs == "logits"
    assert isinstance(record.net, NeuralNetClassifier)
    assert np.mean(record.net.predict(X) == y) > 0.8
    assert_allclose(record.net.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert_array_equal(record.net.predict_proba(X).argmax(axis=1), record.net.predict(X))


def test_skorch_needs_to_be_told_the_softmax(hinge_net, data):
    X, y = data
    hinge_net.set_params(predict_nonlinearity="auto")
    net = TrainingRecord.from_fit(hinge_net, X, y, random_state=0).net
    with torch.no_grad():
        assert_allclose(net.predict_proba(X), net.module_(torch.tensor(X)), rtol=1e-5)


def test_record_is_saved_without_it_and_asks_for_it(hinge_net, data, tmp_path):
    record = TrainingRecord.from_fit(hinge_net, *data, random_state=0)
    record.save(tmp_path / "record")
    again = TrainingRecord.load(tmp_path / "record")
    assert again.criterion is None
    assert_array_equal(
        VoGScorer(again).fit(*data).difficulty_, VoGScorer(record).fit(*data).difficulty_
    )
    with pytest.raises(ValueError, match="criterion"):
        VoGScorer(again, target="loss").fit(*data)
    again = TrainingRecord.load(tmp_path / "record", criterion=ZeroMarginHingeLoss())
    ours, theirs = (VoGScorer(r, target="loss").fit(*data) for r in (record, again))
    assert_array_equal(theirs.raw_difficulty_, ours.raw_difficulty_)
    assert np.ptp(ours.raw_difficulty_) > 0


def test_scaled_absolute_error_has_no_units():
    outputs, targets = (
        torch.tensor([[1.0, 30.0], [2.0, 40.0]]),
        torch.tensor([[2.0, 30.0], [2.0, 20.0]]),
    )
    losses = ScaledL1Loss([1.0, 10.0], reduction="none")(outputs, targets)
    assert losses.tolist() == [[1.0, 0.0], [0.0, 2.0]]
    assert ScaledL1Loss([1.0, 10.0])(outputs, targets).item() == 0.75
    assert ScaledL1Loss()(outputs, targets).item() == nn.L1Loss()(outputs, targets).item()


@pytest.mark.parametrize("scale", [0.0, [1.0, -1.0], float("inf"), float("nan")])
def test_scales_of_absolute_errors_are_positive(scale):
    with pytest.raises(ValueError, match="scale must be positive and finite"):
        ScaledL1Loss(scale)
