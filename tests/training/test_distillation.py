# SPDX-License-Identifier: BSD-3-Clause
"""A student that learns from a teacher: the loss, where teachers come from, and what leaks."""

import pickle
import signal

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.helper import predefined_split
from small_nets import Codebook, EndsInSoftmax, FlatLogit, TwoLayers, TwoTables, codebook, make_net
from torch import nn
from torch.utils.data import TensorDataset

from sklearn_difficulty import (
    DistilledClassifier,
    FilteredClassifier,
    LabelErrorScorer,
    MemorizationScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.model_selection import cross_val_difficulty
from sklearn_difficulty.training import RecordTraining, ResampledEnsemble
from sklearn_difficulty.training.teachers import distillation_loss

LEAK = r"teacher .*fitted"
STEP = {"max_epochs": 1, "batch_size": -1, "lr": 1.0, "iterator_train__shuffle": False}


def weights(record):
    return [p.detach().clone() for p in record.module.parameters()]


def as_known(module, classes=(0, 1, 2), **settings):
    """Return a record of a module as it is: a teacher that is not trained."""
    return TrainingRecord.from_checkpoints(
        module, [module.state_dict()], classes=list(classes), **settings
    )


# ------------------------------------------------------------------------------------ the loss


def test_loss_is_that_of_the_formula():
    student = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[1.0, 1.0, 0.0], [0.0, 3.0, -2.0]], dtype=torch.float64)
    for temperature in (1.0, 4.0):
        p, q = (np.exp(z.numpy() / temperature) for z in (teacher, student))
        p, q = (a / a.sum(axis=1, keepdims=True) for a in (p, q))
        expected = temperature**2 * (p * np.log(p / q)).sum(axis=1).mean()
        assert_allclose(distillation_loss(student, teacher, temperature), expected)
    assert distillation_loss(student, student, 4.0) == 0


def test_gradient_at_a_high_temperature_compares_logits():
    # Hinton et al., section 2.1: with T large, T^2 times the gradient tends to (z - v) / n_classes
    # for logits that are centred in every row.
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    student, teacher = (z - z.mean(dim=1, keepdim=True) for z in (student, teacher))
    student.requires_grad_()
    distillation_loss(student, teacher, 1e4).backward()
    assert_allclose(5 * student.grad, (student - teacher).detach() / 4, atol=1e-3)


def test_one_step_goes_down_the_mixed_loss(data):
    """The step of a net without hidden layers, beside one that is taken by hand."""
    X, y = data
    known = nn.Linear(4, 3)
    start = nn.Linear(4, 3)
    student = make_net(module=start, **STEP)
    for alpha, temperature in ((0.9, 4.0), (1.0, 2.0), (0.3, 1.0)):
        net = DistilledClassifier(
            student, as_known(known), alpha=alpha, temperature=temperature, random_state=0
        ).fit(X, y)
        weight, bias = (p.detach().clone().requires_grad_() for p in start.parameters())
        rows, codes = torch.tensor(X), torch.tensor(y)
        logits = rows @ weight.T + bias
        soft = distillation_loss(logits, known(rows).detach(), temperature)
        loss = (1 - alpha) * nn.functional.cross_entropy(logits, codes) + alpha * soft
        loss.backward()
        found = weights(net.record_)
        assert_allclose(found[0], (weight - weight.grad).detach(), atol=1e-6)
        assert_allclose(found[1], (bias - bias.grad).detach(), atol=1e-6)
        assert_allclose(net.student_.history[-1, "train_loss"], loss.item(), rtol=1e-5)


def test_the_validation_loss_is_that_of_the_labels(data):
    X, y = data
    valid = TensorDataset(torch.tensor(X), torch.tensor(y))
    net = DistilledClassifier(
        make_net(train_split=predefined_split(valid)), as_known(TwoLayers()), random_state=0
    ).fit(X, y)
    with torch.no_grad():
        outputs = net.record_.module(torch.tensor(X))
    expected = nn.functional.cross_entropy(outputs, torch.tensor(y))
    assert_allclose(net.student_.history[-1, "valid_loss"], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("module", "criterion", "n_classes"),
    [(EndsInSoftmax, nn.NLLLoss, 3), (FlatLogit, nn.BCEWithLogitsLoss, 2)],
)
def test_networks_of_other_outputs(module, criterion, n_classes, data):
    X, y = data
    y = np.minimum(y, n_classes - 1)
    student = make_net(module=module, criterion=criterion, max_epochs=60)
    net = DistilledClassifier(student, alpha=1.0, random_state=0).fit(X, y)
    assert net.predict_proba(X).shape == (48, n_classes)
    assert_allclose(net.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert net.score(X, y) > 0.9


# -------------------------------------------------------------------------- alpha=0, the control


def test_without_distillation_it_is_plain_training(data):
    X, y = data
    net = DistilledClassifier(make_net(), alpha=0, random_state=3).fit(X, y)
    plain = TrainingRecord.from_fit(make_net(), X, y, random_state=3)
    assert all(map(torch.equal, weights(net.record_), weights(plain)))
    assert net.teacher_ is None


def test_the_teacher_takes_nothing_from_the_student(data):
    """Start, order and dropout are those of plain training: with a mere trace of it, all is alike.

    A weight of 1e-12 changes no step in single precision.
    """
    X, y = data

    class Dropped(TwoLayers):
        def forward(self, x):
            return super().forward(nn.functional.dropout(x, 0.5, self.training))

    net = DistilledClassifier(make_net(module=Dropped), alpha=1e-12, random_state=3).fit(X, y)
    plain = TrainingRecord.from_fit(make_net(module=Dropped), X, y, random_state=3)
    for found, expected in zip(weights(net.record_), weights(plain), strict=True):
        assert_allclose(found, expected, atol=1e-6)
    teacher = weights(net.teacher_)
    assert not torch.equal(teacher[0], weights(plain)[0])  # another seed


def test_ensembles_without_distillation_are_plain_ones(data):
    X, y = data
    plain = ResampledEnsemble(make_net(), n_members=2, random_state=0).fit(X, y)
    net = DistilledClassifier(make_net(), alpha=0)
    found = ResampledEnsemble(net, n_members=2, random_state=0).fit(X, y)
    assert_array_equal(found.given_probability_, plain.given_probability_)
    assert found.backend_ == plain.backend_ == "stacked"


# ------------------------------------------------------------------------ where teachers come from


def test_teachers_of_members_see_the_rows_of_their_members(data):
    y = data[1]
    X = np.eye(48, dtype=np.float32)
    seen = []

    class Rows(Callback):
        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            seen[-1].update(batch[0].argmax(axis=1).tolist())

        def on_train_begin(self, net, **kwargs):
            seen.append(set())

    scorer = MemorizationScorer(
        DistilledClassifier(codebook(48), codebook(48).set_params(callbacks=[Rows()])),
        n_members=4,
        train_size=0.5,
        random_state=0,
    ).fit(X, y)
    ensemble = scorer.ensemble_
    assert [sorted(rows) for rows in seen] == [np.flatnonzero(m).tolist() for m in ensemble.masks_]
    assert ensemble.backend_ == "joblib"
    assert "'distillation'" in ensemble.why_not_stacked_


def test_a_student_learns_what_its_teacher_was_told(data):
    X, y = data
    teacher = make_net(max_epochs=40)
    net = DistilledClassifier(make_net(max_epochs=40), teacher, alpha=1.0, random_state=0)
    assert net.fit(X, y).score(X, y) > 0.9
    assert not teacher.initialized_
    assert net.teacher_.n_epochs == 40
    agree = net.teacher_.module(torch.tensor(X)).argmax(dim=1).numpy() == net.predict(X)
    assert agree.mean() > 0.95


def test_without_a_teacher_the_student_is_trained_twice(data):
    X, y = data
    seen = []

    class Widths(Callback):
        def on_train_begin(self, net, **kwargs):
            seen.append((net.module__n_inputs, net.lr))

    student = make_net(module__n_inputs=4, callbacks=[Widths()], lr=0.05)
    DistilledClassifier(student, random_state=0).fit(X, y)
    assert seen == [(4, 0.05), (4, 0.05)]


def fitted_teachers(X, y):
    net = make_net(callbacks=[RecordTraining()]).fit(X, y)
    return [
        FrozenEstimator(net),
        TrainingRecord.from_net(net),
        FrozenEstimator(DistilledClassifier(make_net(), random_state=0).fit(X, y)),
    ]


def test_a_fitted_teacher_stays_as_it_is(data):
    X, y = data
    for teacher in fitted_teachers(X, y):
        net = DistilledClassifier(make_net(), teacher, random_state=0)
        assert clone(net).teacher is teacher
        net.fit(X, y)
        given = net.teacher_.module
        before = [p.clone() for p in given.parameters()]
        net.fit(X, y)
        assert all(map(torch.equal, before, given.parameters()))


def test_a_fitted_teacher_is_a_leak_where_rows_are_held_out(data):
    X, y = data
    held_out = [
        lambda net: ResampledEnsemble(net, n_members=2).fit(X, y),
        lambda net: LabelErrorScorer(net, n_neighbors=2).fit(X, y),
        lambda net: cross_val_difficulty(VoGScorer(net), X, y, cv=2),
    ]
    for teacher in fitted_teachers(X, y):
        for fit in held_out:
            with pytest.raises(ValueError, match=LEAK):
                fit(DistilledClassifier(make_net(), teacher))
    # What a single training with such a teacher leaves behind is none to start from, either.
    scorer = VoGScorer(DistilledClassifier(make_net(), teacher), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=LEAK):
        ResampledEnsemble(scorer.estimator_, n_members=2).fit(X, y)


def test_a_teacher_that_starts_from_weights_that_have_seen_rows(data):
    X, y = data
    teacher = make_net(module=TwoLayers()).fit(X, y)
    with pytest.warns(UserWarning, match="was fitted before and its module is an instance"):
        DistilledClassifier(make_net(), teacher, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=LEAK):
        ResampledEnsemble(DistilledClassifier(make_net(), teacher), n_members=2).fit(X, y)
    copy = clone(DistilledClassifier(make_net(), teacher))  # which it does not forget
    with pytest.raises(ValueError, match=LEAK):
        ResampledEnsemble(copy, n_members=2).fit(X, y)


def test_teachers_that_know_other_classes(data):
    X, y = data
    for classes in ((0, 1, 5), (2, 1, 0)):
        net = DistilledClassifier(make_net(), as_known(TwoLayers(), classes))
        with pytest.raises(ValueError, match=r"teacher.*\[0, 1, 2\]"):
            net.fit(X, y)
    history = np.random.default_rng(0).normal(size=(2, 48, 3))
    net = DistilledClassifier(make_net(), TrainingRecord.from_logits(history, y))
    with pytest.raises(ValueError, match="no network"):
        net.fit(X, y)


def test_more_columns_than_classes(data):
    X, y = data
    student = make_net(module__n_outputs=5, max_epochs=60)
    net = DistilledClassifier(student, clone(student), random_state=0).fit(X, y + 1)
    assert_array_equal(net.classes_, np.arange(5))
    assert net.score(X, y + 1) > 0.9
    with pytest.raises(ValueError, match="teacher"):
        DistilledClassifier(student, make_net(), random_state=0).fit(X, y + 1)


def test_errors_of_the_teacher_say_so(data):
    X, y = data
    with pytest.raises(ValueError, match="training diverged") as raised:
        DistilledClassifier(
            make_net(), make_net(lr=1e30, optimizer__weight_decay=1e30), random_state=0
        ).fit(X, y)
    assert any("teacher" in note for note in raised.value.__notes__)


class OwnStep(NeuralNetClassifier):
    """Takes its loss straight from the criterion."""

    def train_step_single(self, batch, **fit_params):
        X, y = batch
        outputs = self.infer(X)
        loss = self.criterion_(outputs, y)
        loss.backward()
        return {"loss": loss, "y_pred": outputs}


def test_a_training_step_that_does_not_ask_for_the_loss(data):
    net = DistilledClassifier(make_net(OwnStep), make_net())
    with pytest.raises(ValueError, match=r"train_step of OwnStep .* does not learn from"):
        net.fit(*data)
    net.set_params(alpha=0).fit(*data)


def test_ctrl_c_in_the_teacher_ends_the_fit(data):
    class Interrupt(Callback):
        def on_epoch_end(self, net, **kwargs):
            signal.raise_signal(signal.SIGINT)

    net = DistilledClassifier(make_net(), make_net(callbacks=[Interrupt()]))
    with pytest.raises(KeyboardInterrupt):
        net.fit(*data)


# ----------------------------------------------------------------------------- among the others


def test_labels_and_rows_of_any_kind(data):
    X, y = data
    names = np.array(["a", "b", "c"])[y]
    net = DistilledClassifier(make_net(max_epochs=40), random_state=0).fit(X, names)
    assert set(net.predict(X)) == {"a", "b", "c"}
    assert net.score(X, names) > 0.9
    dataset = TensorDataset(torch.tensor(X), torch.tensor(y))
    of_items = DistilledClassifier(make_net(max_epochs=40), random_state=0).fit(dataset)
    assert_array_equal(of_items.predict_proba(dataset), net.predict_proba(X))
    tables = {"left": X[:, :2], "right": X[:, 2:]}
    of_tables = DistilledClassifier(make_net(module=TwoTables, max_epochs=40), random_state=0)
    assert_array_equal(of_tables.fit(tables, y).predict_proba(tables), net.predict_proba(X))


def test_scorers_read_it_like_any_network(data):
    X, y = data
    net = DistilledClassifier(make_net(), random_state=0)
    by_scorer = VoGScorer(net, random_state=5).fit(X, y)
    by_itself = clone(net).set_params(
        random_state=5, student__callbacks=[RecordTraining()], teacher=make_net()
    )
    by_itself.fit(X, y)
    frozen = FrozenEstimator(by_itself), FrozenEstimator(by_itself.student_)
    for given in (by_itself.record_, *frozen):
        assert_array_equal(VoGScorer(given).fit(X, y).difficulty_, by_scorer.difficulty_)
    record = TrainingRecord.from_fit(net, X, y, random_state=5)
    assert_array_equal(VoGScorer(record).fit(X, y).difficulty_, by_scorer.difficulty_)
    assert record.trajectory.n_epochs == 5
    pickle.loads(pickle.dumps(by_scorer)).score_samples(X)


def test_a_frozen_one_knows_its_labels_and_rows(data):
    X, y = data
    names = np.array(["a", "b", "c"])[y]
    net = DistilledClassifier(make_net(callbacks=[RecordTraining()]), random_state=0)
    scorer = VoGScorer(FrozenEstimator(net.fit(X, names))).fit(X, names)
    assert_array_equal(scorer.classes_, ["a", "b", "c"])
    with pytest.warns(UserWarning, match="trained on other rows"):
        VoGScorer(FrozenEstimator(net)).fit(X[::-1], names[::-1])
    with pytest.raises(NotFittedError):
        VoGScorer(FrozenEstimator(clone(net))).fit(X, names)


def test_a_recorder_of_the_student_decides_what_is_recorded(data):
    X, y = data
    student = make_net(callbacks=[RecordTraining(mode="evaluation", keep_logits=True)])
    scorer = LabelErrorScorer(DistilledClassifier(student), method="one_fit", random_state=0)
    assert scorer.fit(X, y).record_.trajectory.mode == "evaluation"


def test_parameters_are_tuned_in_place(data):
    X, y = data
    search = GridSearchCV(
        FilteredClassifier(
            DistilledClassifier(make_net(), make_net(), random_state=0),
            scorer=TrainingDynamicsScorer(DistilledClassifier(make_net()), random_state=0),
            drop=0.1,
        ),
        {
            "estimator__alpha": [0.0, 0.5],
            "estimator__teacher__max_epochs": [2],
            "scorer__estimator__student__lr": [0.05],
        },
        cv=2,
    ).fit(X, y)
    assert search.best_estimator_.scorer_.estimator_.lr == 0.05


def test_a_cache_tells_teachers_apart(data, tmp_path):
    X, y = data
    found = [
        ResampledEnsemble(
            DistilledClassifier(make_net(), teacher, temperature=temperature),
            n_members=2,
            cache_dir=tmp_path,
            random_state=0,
        ).fit(X, y)
        for teacher, temperature in ((None, 4.0), (make_net(lr=0.5), 4.0), (None, 4.0), (None, 1.0))
    ]
    a, b, c, d = (ensemble.given_probability_ for ensemble in found)
    assert_array_equal(a, c)
    assert not np.array_equal(a, b)
    assert not np.array_equal(a, d)
    assert len(list(tmp_path.iterdir())) == 6


def test_the_net_that_a_scorer_leaves_behind_can_be_trained_by_scorers_alone(data):
    X, y = data
    scorer = VoGScorer(DistilledClassifier(make_net()), random_state=0).fit(X, y)
    again = VoGScorer(clone(scorer.estimator_), random_state=0).fit(X, y)
    assert_array_equal(again.difficulty_, scorer.difficulty_)
    with pytest.raises(ValueError, match="DistilledClassifier"):
        clone(scorer.estimator_).fit(X, y)


def test_what_is_refused(data):
    X, y = data
    for settings, message in (
        ({"student": nn.Linear(4, 3)}, "'student' parameter"),
        ({"teacher": Codebook}, "'teacher' parameter"),
        ({"alpha": 1.1}, "'alpha' parameter"),
        ({"temperature": 0}, "'temperature' parameter"),
        ({"student": make_net(criterion=nn.MSELoss)}, "student is a regressor"),
        ({"teacher": make_net(criterion=nn.MSELoss)}, "teacher is a regressor"),
        ({"student": make_net(callbacks="disable")}, "callbacks='disable'"),
        ({"teacher": FrozenEstimator(make_net())}, "not fitted"),
    ):
        net = DistilledClassifier(make_net()).set_params(**settings)
        with pytest.raises((ValueError, NotFittedError), match=message):
            net.fit(X, y)
    net = DistilledClassifier(make_net(), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="4 features"):
        net.predict(X[:, :3])
