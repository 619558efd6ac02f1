# SPDX-License-Identifier: BSD-3-Clause
"""What scorers need of a record: merged, and checked before and after training."""

import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from sklearn_difficulty import VoGScorer
from sklearn_difficulty.training import RecordTraining, TrainingRecord, TrajectoryRecorder
from sklearn_difficulty.training.checkpoints import Checkpoint
from sklearn_difficulty.training.requirements import RecordNeeds


def needs(spec, at_least=1):
    return RecordNeeds.of_checkpoints(spec, at_least=at_least)


def record_of(*epochs, n_epochs=None):
    states = [Checkpoint(epoch, {}) for epoch in epochs]
    return TrainingRecord(nn.Linear(1, 2), states, classes=[0, 1], n_epochs=n_epochs)


def test_union():
    merged = needs(3, at_least=2) | needs("late") | needs([0]) | RecordNeeds(same_rows=True)
    assert merged.recorder().checkpoints.specs == (3, "late", (0,))
    assert merged.same_rows
    assert not (needs(3) | needs("late")).same_rows
    record_of(0, 3, 4, 5, 6).require(merged)
    with pytest.raises(ValueError, match=r"checkpoints='late' needs epochs \[5\]"):
        record_of(0, 3, 4, 6).require(merged)


def test_union_counts_the_checkpoints_of_each_reader():
    # Together the two see three epochs; the first one alone sees a single one.
    merged = needs([4], at_least=2) | needs([5, 6])
    with pytest.raises(ValueError, match=r"at least 2.*offers \[4\] of the 6 epochs"):
        record_of(4, 5, 6).require(merged)
    with pytest.raises(ValueError, match=r"at least 2.*keeps only epochs \[4\]"):
        merged.check_plan(RecordTraining("all"), 6)


def test_recorder_keeps_what_all_readers_need(make_net, data):
    merged = needs(2, at_least=2) | needs("early") | needs([0])
    record = TrainingRecord.from_fit(
        make_net(max_epochs=8), *data, checkpoints=merged.recorder().checkpoints
    )
    assert [c.epoch for c in record.checkpoints] == [0, 1, 2, 3, 4, 8]
    record.require(merged)


def test_check_counts_checkpoints():
    record_of(1, 9).require(needs(10, at_least=2))
    with pytest.raises(ValueError, match=r"at least 2.*offers \[9\] of the 9 epochs"):
        record_of(9).require(needs(10, at_least=2))


@pytest.mark.parametrize(
    ("spec", "kept", "n_epochs", "message"),
    [
        (10, 1, 20, r"at least 2.*max_epochs=20 its recorder keeps only epochs \[20\]"),
        (10, 10, 1, r"at least 2.*max_epochs=1 its recorder keeps only epochs \[1\]"),
        ("late", "early", 20, r"checkpoints='late' needs epochs \[18, 19, 20\]"),
        ([0, 5], 10, 20, r"needs epochs \[0, 5\].*RecordTraining\(checkpoints=\[0, 5\]\)"),
        ([1, 25], "all", 20, "asks for epoch 25, but the network trains for 20"),
        (10, "all", 20, None),
        ("early", 20, 20, None),
        (10, [0, 5, 9], 20, None),
    ],
)
def test_plan_of_a_recorder(spec, kept, n_epochs, message):
    check = needs(spec, at_least=2)
    if message is None:
        check.check_plan(RecordTraining(kept), n_epochs)
        return
    with pytest.raises(ValueError, match=message):
        check.check_plan(RecordTraining(kept), n_epochs)


class NeverTrain(Callback):
    def on_train_begin(self, net, **kwargs):
        raise AssertionError("training has begun")


@pytest.mark.parametrize(
    ("checkpoints", "recorder", "max_epochs", "message"),
    [
        (10, [RecordTraining(1)], 4, "at least 2 checkpoints"),
        ("early", [RecordTraining("late")], 20, r"needs epochs \[1, 2, 3\]"),
        ([0, 2], [RecordTraining("all")], 4, r"needs epochs \[0\]"),
        (10, [], 1, r"keeps only epochs \[1\]. Train for more epochs"),
        ([1, 9], [], 4, "epoch 9, but the network trains for 4 epochs"),
    ],
)
def test_scorer_says_before_training_what_it_lacks(
    make_net, data, checkpoints, recorder, max_epochs, message
):
    net = make_net(callbacks=[*recorder, NeverTrain()], max_epochs=max_epochs)
    with pytest.raises(ValueError, match=message):
        VoGScorer(net, checkpoints=checkpoints).fit(*data)


def test_early_stop_before_a_listed_epoch_is_named_after_training(make_net, data):
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10)
    net = make_net(callbacks=[stop], max_epochs=30)
    with pytest.raises(ValueError, match=r"checkpoints=\[1, 30\] needs epochs \[30\]"):
        VoGScorer(net, checkpoints=[1, 30]).fit(*data)


# --------------------------------------------------------------------------------- trajectories


def of_trajectories(mode="training", **settings):
    return RecordNeeds.of_trajectories(mode, **settings)


def record_with(mode="training", keep_logits=False, **settings):
    recorder = TrajectoryRecorder(2, mode=mode, keep_logits=keep_logits)
    recorder.update([0, 1], torch.eye(2), [0, 1])
    recorder.end_epoch()
    return TrainingRecord(
        nn.Linear(1, 2), [], classes=[0, 1], trajectory=recorder.trajectory(), **settings
    )


def test_union_of_trajectories():
    merged = needs(3) | of_trajectories("evaluation") | of_trajectories("evaluation", logits=True)
    assert (merged.mode, merged.logits, merged.same_rows) == ("evaluation", True, True)
    recorder = merged.recorder()
    assert (recorder.mode, recorder.keep_logits) == ("evaluation", True)
    assert recorder.checkpoints.specs == (3,)
    plain = needs(3).recorder()
    assert (plain.mode, plain.keep_logits) == ("training", False)


def test_two_modes_do_not_fit_into_one_run():
    with pytest.raises(ValueError, match="Use one mode for all scores, or two runs"):
        of_trajectories() | needs(3) | of_trajectories("evaluation")


@pytest.mark.parametrize("given", ["record", "recorder"])
def test_what_a_recording_lacks(given):
    def check(wanted, mode="training", keep_logits=False):
        if given == "record":
            return record_with(mode, keep_logits).require(wanted)
        return wanted.check_plan(RecordTraining(mode=mode, keep_logits=keep_logits), 4)

    check(of_trajectories())
    check(of_trajectories("evaluation", logits=True), "evaluation", True)
    check(needs(3, at_least=0), "evaluation")
    with pytest.raises(ValueError, match=r"mode='training', and these.*mode='evaluation'"):
        check(of_trajectories(), "evaluation")
    with pytest.raises(ValueError, match="keep_logits=True"):
        check(of_trajectories(logits=True))


def test_record_without_trajectory_says_why():
    with pytest.raises(ValueError, match=r"holds none\. Train with"):
        record_of(1).require(of_trajectories())
    problem = TrainingRecord(nn.Linear(1, 2), [], classes=[0, 1], trajectory_problem="it rained")
    with pytest.raises(ValueError, match=r"holds none: it rained\. Train with"):
        problem.require(of_trajectories())
    problem.require(needs(1, at_least=0))
