# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's callbacks see the tasks of a fit, and can stop its training."""

import numpy as np
import pytest
import small_nets
from instances import FEW_MEMBERS
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import EarlyStopping

from sklearn_difficulty import DifficultyFilter, FilteredClassifier, VoGScorer
from sklearn_difficulty._progress import SILENT, Task, root_task
from sklearn_difficulty.training import TrainingRecord

pytestmark = pytest.mark.usefixtures("one_thread")
callback = pytest.importorskip("sklearn.callback")


class Watch(small_nets.Watch):
    """Also counts how often it is torn down, and asks to stop at the end of an epoch."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.stop_after, self.torn_down = stop_after, 0

    def teardown(self, estimator, context):
        self.torn_down += 1

    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        return context.task_name == "epoch" and self.ended.count("epoch") == self.stop_after


class PropagatedWatch(Watch):
    max_propagation_depth = None


def test_tasks_of_a_fit(make_net, data):
    watch = Watch()
    VoGScorer(make_net(), batch_size=16).set_callbacks(watch).fit(*data)
    assert watch.begun == ["fit", "train", *["epoch"] * 4, "score", *["block"] * 3]
    assert sorted(watch.ended) == sorted(watch.begun)
    assert watch.ended.index("train") > max(i for i, t in enumerate(watch.ended) if t == "epoch")
    assert watch.torn_down == 1


def test_tasks_of_a_fit_on_a_record(make_net, data):
    watch = Watch()
    VoGScorer(TrainingRecord.from_fit(make_net(), *data)).set_callbacks(watch).fit(*data)
    assert watch.begun == ["fit", "score", "block"]
    assert sorted(watch.ended) == sorted(watch.begun)


@pytest.mark.parametrize("checkpoints", [10, "late"])
def test_callback_that_asks_to_stop_ends_training_well(make_net, data, checkpoints):
    watch = Watch(stop_after=3)
    net = make_net(max_epochs=20)
    scorer = VoGScorer(net, checkpoints=checkpoints).set_callbacks(watch).fit(*data)
    assert scorer.record_.n_epochs == 3
    assert [c.epoch for c in scorer.record_.checkpoints] == [1, 2, 3]
    assert np.isfinite(scorer.difficulty_).all()
    assert watch.begun.count("epoch") == watch.ended.count("epoch") == 3


def test_epoch_on_which_another_callback_stops_is_ended(make_net, data):
    watch = Watch()
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10)
    net = make_net(max_epochs=20, callbacks=[stop])
    scorer = VoGScorer(net).set_callbacks(watch).fit(*data)
    n = scorer.record_.n_epochs
    assert n < 20
    assert watch.begun.count("epoch") == watch.ended.count("epoch") == n
    assert sorted(watch.ended) == sorted(watch.begun)


def test_failing_fit_is_torn_down(make_net, data):
    watch = Watch()
    with pytest.raises(ValueError, match="one column per class"):
        VoGScorer(make_net(module__n_outputs=2)).set_callbacks(watch).fit(*data)
    assert watch.torn_down == 1
    assert "train" not in watch.ended


def test_progress_bar(make_net, data, capsys):
    pytest.importorskip("rich")
    VoGScorer(make_net(), random_state=0).set_callbacks(callback.ProgressBar()).fit(*data)
    assert "VoGScorer" in capsys.readouterr().out


@pytest.mark.parametrize("meta", ["pipeline", "search"])
@pytest.mark.parametrize("kind", ["watch", "bar"])
def test_callbacks_through_meta_estimators(make_net, data, meta, kind, capsys):
    if kind == "bar":
        pytest.importorskip("rich")
    watch = PropagatedWatch() if kind == "watch" else callback.ProgressBar()
    scorer = VoGScorer(make_net(max_epochs=2), random_state=0)
    if meta == "pipeline":
        estimator, n_fits = make_pipeline(StandardScaler(), scorer), 1
    else:
        estimator = GridSearchCV(
            scorer,
            {"formula": ["rms", "mean_std"]},
            cv=2,
            scoring=lambda estimator, X, y: 0.0,
        )
        n_fits = 5
    estimator.set_callbacks(watch)
    estimator.fit(*data)
    if kind == "watch":
        assert watch.begun.count("epoch") == watch.ended.count("epoch") == 2 * n_fits


FILTERS = [
    FilteredClassifier(scorer=FEW_MEMBERS),
    FilteredClassifier(make_pipeline(StandardScaler(), LogisticRegression()), scorer=FEW_MEMBERS),
    DifficultyFilter(FEW_MEMBERS),
]


@pytest.mark.parametrize("estimator", FILTERS, ids=["classifier", "pipeline", "filter"])
@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.filterwarnings("error:.*does not support callbacks")
def test_filters_show_the_fits_inside(data, estimator, memory, tmp_path):
    watch = PropagatedWatch()
    estimator = clone(estimator)
    if hasattr(estimator, "memory"):
        estimator.set_params(memory=str(tmp_path) if memory else None)
    estimator.set_callbacks(watch).fit(*data)
    assert watch.begun[0] == "fit"
    # The ends of scorer and estimator are told by themselves.
    assert watch.begun.count("epoch") == watch.ended.count("epoch") == 2 * 20
    assert watch.torn_down == 1
    for part in (estimator.scorer_, getattr(estimator, "estimator_", None)):
        assert not hasattr(part, "_skl_callbacks")
        assert not hasattr(part, "_parent_callback_ctx")


@pytest.mark.filterwarnings("error:.*does not support callbacks")
def test_a_search_over_a_filter_is_seen(data, capsys):
    pytest.importorskip("rich")
    estimator = FilteredClassifier(DecisionTreeClassifier(), scorer=FEW_MEMBERS)
    search = GridSearchCV(estimator, {"drop": [0.0, 0.1]}, cv=2)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(*data)
    assert "FilteredClassifier" in capsys.readouterr().out
    watch = PropagatedWatch()
    search.set_callbacks(watch).fit(*data)
    assert watch.ended.count("epoch") == 5 * 2 * 20


def test_stacks_go_on_epoch_by_epoch(data):
    shares = []

    class Share(PropagatedWatch):
        def on_fit_task_end(self, estimator, context):
            super().on_fit_task_end(estimator, context)
            if context.task_name == "epoch":
                shares.append(len(context.parent._children_map) / context.parent.max_subtasks)

    scorer = clone(FEW_MEMBERS).set_callbacks(Share()).fit(*data)
    assert scorer.ensemble_.backend_ == "stacked"
    np.testing.assert_allclose(shares, np.arange(1, 41) / 40)


def test_the_last_line_says_what_was_found(data, capsys):
    scorer = clone(FEW_MEMBERS).set_params(verbose=1).fit(*data)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("2 of 2 members are trained after")
    assert lines[-1] == f"LabelErrorScorer: {scorer._found()}"


def test_silence_without_callbacks(make_net, data):
    class Plain:
        pass

    with root_task(Plain(), 2) as task, task.subtask("train", None) as inner:
        assert inner is task is SILENT
    with Task().subtask("epoch") as task:
        assert not task.stop_requested
