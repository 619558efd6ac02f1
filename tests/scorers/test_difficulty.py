# SPDX-License-Identifier: BSD-3-Clause
"""DifficultyScorer: one training, the very columns of the single scorers, and what it refuses."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from small_nets import Watch, codes_of, make_net
from torch.utils.data import DataLoader

from sklearn_difficulty import (
    DifficultyScorer,
    MarginScorer,
    NeighborConfidenceScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.training import RecordTraining

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Prediction depth is not defined for rows that the network gets wrong.
    pytest.mark.filterwarnings("ignore:.*have no defined difficulty"),
]
MIXED = ["confidence", "forgetting", ("depth", PredictionDepthScorer(n_neighbors=5)), "vog"]


@pytest.fixture(scope="module")
def record(flowers):
    return TrainingRecord.from_fit(make_net(), *flowers, keep_logits=True, random_state=0)


def read(record, scores, flowers, **settings):
    return DifficultyScorer(record, scores=scores, **settings).fit(*flowers)


SINGLE = {
    "vog": VoGScorer(),
    "prediction_depth": PredictionDepthScorer(),
    "neighbor_confidence": NeighborConfidenceScorer(),
    "output_margin": MarginScorer(),
    "input_margin": MarginScorer(kind="input"),
    **{
        name: TrainingDynamicsScorer(measure=name)
        for name in (
            *("confidence", "aum", "loss", "el2n", "entropy", "variability", "aleatoric"),
            *("correctness", "forgetting", "iteration_learned", "iteration_settled", "final_loss"),
            *("grand", "grand_all"),
        )
    },
}


def test_every_column_is_that_of_the_single_scorer(record, flowers):
    X, y = flowers
    scorer = read(record, list(SINGLE), flowers)
    assert scorer.score_names_.tolist() == list(SINGLE)
    singles = {n: clone(s).set_params(estimator=record).fit(X, y) for n, s in SINGLE.items()}
    for name, column in zip(SINGLE, scorer.difficulties_.T, strict=True):
        assert_array_equal(column, singles[name].difficulty_, err_msg=name)
        assert_array_equal(scorer.scorers_[name].difficulty_, column)
        assert type(scorer.scorers_[name]) is type(SINGLE[name])
    visible = [n for n, s in singles.items() if hasattr(s, "transform")]
    assert scorer.get_feature_names_out().tolist() == visible
    assert "forgetting" not in visible
    for labels in (None, y[:20]):
        columns = scorer.transform(X[:20], labels).T
        for name, column in zip(visible, columns, strict=True):
            assert_array_equal(column, singles[name].score_samples(X[:20], labels), err_msg=name)
    assert_array_equal(scorer.score_samples(X[:20], y[:20]), scorer.transform(X[:20], y[:20])[:, 0])


def test_own_training_gives_what_the_record_gives(flowers, record):
    own = read(make_net(), MIXED, flowers, random_state=0)
    assert_array_equal(own.difficulties_, read(record, MIXED, flowers).difficulties_)
    assert own.difficulties_.dtype == np.float32
    assert own.difficulties_.shape == (150, 4)
    assert_array_equal(own.difficulty_, own.difficulties_[:, 0])


class CountFits(Callback):
    events = []

    def on_train_begin(self, net, **kwargs):
        CountFits.events.append("fit")

    def on_epoch_end(self, net, **kwargs):
        CountFits.events.append("epoch")


@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_trains_exactly_once(flowers, mode):
    CountFits.events.clear()
    dynamics = [
        (name, TrainingDynamicsScorer(measure=name, mode=mode)) for name in ("aum", "entropy")
    ]
    scorer = read(make_net(callbacks=[CountFits()]), [*dynamics, "vog", MIXED[2]], flowers)
    assert CountFits.events == ["fit", *["epoch"] * 5]
    for single in scorer.scorers_.values():
        assert single.record_ is scorer.record_
        assert single.estimator is scorer.record_
    assert scorer.record_.trajectory.mode == mode
    scorer.transform(flowers[0])
    assert len(CountFits.events) == 6


def test_needs_are_merged(flowers):
    own = [VoGScorer(checkpoints=[0, 2]), TrainingDynamicsScorer(measure="entropy", checkpoints=1)]
    scorer = read(make_net(), own, flowers)
    assert [c.epoch for c in scorer.record_.checkpoints] == [0, 2, 5]
    assert scorer.record_.trajectory.logits is not None
    assert read(make_net(), ["confidence"], flowers).record_.trajectory.logits is None


def test_names(record, flowers):
    vog = VoGScorer(checkpoints=2)
    scores = [vog, ("other", VoGScorer(target="loss")), ("second", "aum"), "loss"]
    scorer = read(record, scores, flowers)
    assert scorer.score_names_.tolist() == ["vog", "other", "second", "loss"]
    assert scorer.scorers_["vog"] is not vog
    assert vog.estimator is None
    assert not hasattr(vog, "difficulty_")
    assert scorer.scorers_["vog"].checkpoints == 2
    assert read(record, [["other", "vog"]], flowers).score_names_.tolist() == ["other"]
    assert read(record, ("aum",), flowers).score_names_.tolist() == ["aum"]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "scores is empty"),
        (["vog", "VoG"], r"'VoG', which is neither a scorer nor one of \['aleatoric'"),
        (["aum", "aum"], "Two scores are called 'aum'"),
        (["aum", TrainingDynamicsScorer(measure="aum")], "Two scores are called 'aum'"),
        (["aum", ("aum", "vog")], r"Two scores are called 'aum'; pass \(name, scorer\)"),
        ([VoGScorer], "neither a scorer"),
        ([None], "holds None"),
        ("vog", "'scores' parameter"),
        ([("a", "vog", "b")], r"scores holds \('a', 'vog', 'b'\)"),
        ([(1, "vog")], r"scores holds \(1, 'vog'\)"),
        ([TrainingDynamicsScorer(measure="wrong")], "'measure' parameter"),
        ([VoGScorer(checkpoints=1)], "'checkpoints' parameter"),
        ([PredictionDepthScorer(n_neighbors=150)], "n_neighbors=150"),
        ([VoGScorer(wrt="nowhere")], "names no submodule"),
        ([VoGScorer(checkpoints=[1, 99])], "asks for epoch 99"),
        ([("a", "aum"), ("b", TrainingDynamicsScorer(mode="evaluation"))], "both are asked for"),
    ],
)
def test_refused_before_training(flowers, scores, message):
    CountFits.events.clear()
    net = make_net(callbacks=[CountFits()])
    with pytest.raises(ValueError, match=message):
        DifficultyScorer(net, scores=scores).fit(*flowers)
    assert "epoch" not in CountFits.events


def test_many_scorers_in_one_are_not_a_score(flowers):
    with pytest.raises(ValueError, match="DifficultyScorer"):
        DifficultyScorer(make_net(), scores=[DifficultyScorer()]).fit(*flowers)


@pytest.mark.parametrize("first", ["forgetting", "final_loss"])
def test_first_score_decides_about_unseen_rows(record, flowers, first):
    unfitted = DifficultyScorer(record, scores=[first, "confidence"])
    for scorer in (unfitted, clone(unfitted), read(record, [first, "confidence"], flowers)):
        for name in ("transform", "fit_transform", "score_samples"):
            assert not hasattr(scorer, name)
    scorer.set_params(scores=["confidence", first])
    assert hasattr(clone(scorer), "transform")
    assert scorer.fit(*flowers).transform(flowers[0]).shape == (150, 1)


def test_frame_has_the_index_of_X(record, flowers):
    pd = pytest.importorskip("pandas")
    X, y = flowers
    index = pd.Index([f"row {i}" for i in range(150)], name="id")
    frame = pd.DataFrame(X, columns=list("abcd"), index=index)
    scorer = read(record, MIXED, (frame, pd.Series(y, index=index[::-1])))
    found = scorer.difficulty_frame_
    assert found.index.equals(index)
    assert found.columns.tolist() == ["confidence", "forgetting", "depth", "vog"]
    assert_array_equal(found.to_numpy(), scorer.difficulties_)
    assert scorer.feature_names_in_.tolist() == list("abcd")
    again = pickle.loads(pickle.dumps(scorer))
    assert again.difficulty_frame_.index.equals(index)
    scorer.fit(X, y)
    assert scorer.difficulty_frame_.index.equals(pd.RangeIndex(150))
    assert not hasattr(DifficultyScorer(), "difficulty_frame_")


def test_undefined_is_passed_on_to_names(record):
    assert DifficultyScorer(record)._members()["aum"].undefined == "nan"
    members = DifficultyScorer(record, scores=["aum", VoGScorer()], undefined="max")._members()
    assert [m.undefined for m in members.values()] == ["max", "nan"]


def test_undefined_rows_of_each_score(flowers):
    logits = np.random.default_rng(0).normal(size=(4, 150, 3))
    logits[:, 7] = np.nan
    logits[-1, 9] = np.nan
    record = TrainingRecord.from_logits(logits, flowers[1])
    with pytest.warns(UserWarning, match="no defined difficulty") as warned:
        scorer = read(record, ["aum", "final_loss"], flowers)
    assert len(warned) == 2
    assert scorer.n_undefined_ == scorer.scorers_["aum"].n_undefined_ == 1
    assert scorer.scorers_["final_loss"].n_undefined_ == 2
    assert np.isnan(scorer.difficulties_).sum(axis=0).tolist() == [1, 2]
    with pytest.warns(UserWarning, match="largest score"):
        largest = read(record, ["aum"], flowers, undefined="max").difficulty_
    assert largest[7] == np.nanmax(scorer.difficulty_)


def test_scoring_view_reaches_all_scores(flowers):
    X, y = flowers
    scores = ["output_margin", "confidence", "vog"]
    plain = DifficultyScorer(make_net(), scores=scores, random_state=0).fit(X, y)
    view = X + np.float32(0.5)
    viewed = clone(plain).fit(X, y, scoring_view=view)
    assert_array_equal(viewed.difficulties_[:, 1], plain.difficulties_[:, 1])
    for column, name in ((0, "output_margin"), (2, "vog")):
        assert not np.array_equal(viewed.difficulties_[:, column], plain.difficulties_[:, column])
        single = clone(SINGLE[name]).set_params(estimator=make_net(), random_state=0)
        single.fit(X, y, scoring_view=view)
        assert_array_equal(viewed.difficulties_[:, column], single.difficulty_)


def test_other_rows_are_refused_if_a_score_reads_trajectories(record, flowers):
    X, y = flowers
    with pytest.raises(ValueError, match="other rows"):
        read(record, ["vog", "aum"], (X[::-1], y))
    with pytest.warns(UserWarning, match="other rows"):
        read(record, ["vog"], (X[::-1], y))


def test_default_scores(flowers):
    scorer = DifficultyScorer(make_net()).fit(*flowers)
    assert scorer.score_names_.tolist() == ["vog", "prediction_depth", "confidence", "aum"]
    assert np.isfinite(scorer.difficulties_[:, [0, 2, 3]]).all()


def test_seed_reaches_the_scores(flowers):
    scores = [PredictionDepthScorer(n_neighbors=5, max_bank=50)]
    banks = []
    for _ in range(2):
        scorer = DifficultyScorer(make_net(), scores=scores, random_state=0)
        with pytest.warns(UserWarning, match="approximation"):
            scorer.fit(*flowers)
        banks.append(scorer.scorers_["prediction_depth"].bank_indices_)
    assert_array_equal(*banks)


def test_held_out_rows_are_warned_of_though_a_trajectory_knows_them(flowers):
    X, y = flowers[0], codes_of(flowers[1])
    net = make_net(callbacks=[RecordTraining()], train_split=ValidSplit(5)).fit(X, y)
    scorer = DifficultyScorer(FrozenEstimator(net), scores=["prediction_depth", "confidence"])
    with pytest.warns(UserWarning, match="trained on other rows"):
        scorer.fit(X, y)


def test_training_that_cannot_be_recorded_is_refused_before_it(flowers):
    class Batches:
        def __init__(self, dataset, batch_size, shuffle=False):
            self.loader = DataLoader(dataset, batch_size=batch_size)

        def __iter__(self):
            return iter(self.loader)

    seen = []

    class NotesEpochs(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(len(net.history))

    net = make_net(iterator_train=Batches, callbacks=[NotesEpochs()])
    with pytest.raises(ValueError, match="is a Batches, not a DataLoader"):
        DifficultyScorer(net, scores=["confidence"]).fit(*flowers)
    assert seen == []
    assert VoGScorer(net).fit(*flowers).difficulty_.shape == (len(flowers[1]),)


def test_progress_shows_training_and_scores(flowers):
    pytest.importorskip("sklearn.callback")
    watch = Watch()
    DifficultyScorer(make_net(), scores=["aum", "vog"]).set_callbacks(watch).fit(*flowers)
    assert watch.begun.count("epoch") == 5
    for name in ("train", "scores", "aum", "vog"):
        assert watch.begun.count(name) == 1


def test_the_default_network_of_residuals_is_a_regressor(flowers):
    X, _ = flowers
    scorer = DifficultyScorer(scores=["residual", "loss"], random_state=0).fit(X, X[:, 0] + 5)
    assert scorer.classes_ is None
    assert scorer.difficulties_.shape == (150, 2)
