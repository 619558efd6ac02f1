# SPDX-License-Identifier: BSD-3-Clause
"""MemorizationTrajectory: equal to memorization of every size, on shared masks, and resumable."""

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from small_nets import Tiny, Watch, make_net

from sklearn_difficulty import MemorizationScorer
from sklearn_difficulty.datasets import make_label_noise
from sklearn_difficulty.model_selection import MemorizationTrajectory
from sklearn_difficulty.model_selection._size_tables import means_of_size, values_of_size
from sklearn_difficulty.training import MLP

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*have no category:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*no defined difficulty:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*have learned nothing:UserWarning"),
]


def sizes(*widths, **settings):
    settings = {"max_epochs": 3, "batch_size": 20, "lr": 0.1, **settings}
    return [
        (
            f"w{width}",
            make_net(
                module=MLP,
                module__n_inputs=4,
                module__n_outputs=3,
                module__hidden_units=(width,),
                **settings,
            ),
        )
        for width in widths
    ]


@pytest.fixture(scope="module")
def rows():
    X, y = load_iris(return_X_y=True)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    y, _ = make_label_noise(y, 0.1, random_state=0)
    return X[::2], y[::2]


def trajectory(*widths, **params):
    return MemorizationTrajectory(sizes(*widths), **{"n_members": 8, "random_state": 3, **params})


@pytest.fixture(scope="module")
def fitted(rows):
    return trajectory(2, 8, 32).fit(*rows)


def test_every_size_is_what_memorization_scorer_finds(fitted, rows):
    for s, (_, net) in enumerate(fitted.estimators):
        scorer = MemorizationScorer(net, n_members=8, random_state=3).fit(*rows)
        assert_array_equal(fitted.masks_, scorer.ensemble_.masks_)
        for name in ("p_in_", "p_out_"):
            assert_array_equal(getattr(fitted, name)[s], getattr(scorer, name))
        assert_array_equal(fitted.memorization_se_[s], scorer.standard_error_)
        assert_array_equal(fitted.memorization_[s].astype(np.float32), scorer.difficulty_)


@pytest.mark.filterwarnings("error:.*random_state is not")
def test_the_cost_is_that_of_all_sizes(rows, tmp_path):
    cost = trajectory(2, 8, n_members=2, cache_dir=tmp_path / "cache").estimate_cost(*rows)
    assert cost.trainings == 4
    assert cost.seconds > 0
    assert cost.slowdown >= 1
    assert cost.memory > 1e6
    assert cost.disk > 100
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="not unique"):
        MemorizationTrajectory(2 * sizes(2)).estimate_cost(*rows)


def test_only_bits_are_kept_of_members(fitted):
    assert fitted.correct_.shape == (3, 8, 75)
    arrays = {n: a for n, a in vars(fitted).items() if isinstance(a, np.ndarray) and 8 in a.shape}
    assert set(arrays) == {"correct_", "masks_"}
    assert {a.dtype for a in arrays.values()} == {np.dtype(bool)}


def test_same_seed_same_numbers(fitted, rows, capsys):
    with parallel_config("threading", n_jobs=2):
        again = clone(fitted).set_params(backend="joblib", verbose=1).fit(*rows)
    assert_array_equal(again.correct_, fitted.correct_)
    assert_array_equal(again.category_, fitted.category_)
    assert (fitted.backends_, again.backends_) == (["stacked"] * 3, ["joblib"] * 3)
    assert "size 'w8'" in capsys.readouterr().out


@pytest.mark.parametrize("random_state", [np.random.RandomState(0), None])
def test_a_random_state_is_drawn_from_once(rows, random_state):
    equal = [("one", sizes(4)[0][1]), ("other", sizes(4)[0][1])]
    estimator = MemorizationTrajectory(equal, n_members=2, random_state=random_state)
    first = estimator.fit(*rows).correct_
    assert_array_equal(*first)
    assert (first != estimator.fit(*rows).correct_).any()


def test_networks_are_parameters():
    estimator = trajectory(2, 8)
    params = estimator.get_params()
    assert params["w8__lr"] == 0.1
    assert params["w2"] is estimator.estimators[0][1]
    assert set(estimator.get_params(deep=False)) == set(MemorizationTrajectory().get_params())
    copy = clone(estimator).set_params(w8__lr=0.3, n_members=5)
    assert (copy.estimators[1][1].lr, estimator.estimators[1][1].lr) == (0.3, 0.1)
    other = make_net()
    assert copy.set_params(w2=other).estimators[0][1] is other


def test_groups_stay_together(rows):
    groups = np.arange(75) // 5
    masks = trajectory(2, 4, n_members=4).fit(*rows, groups=groups).masks_
    together = masks.reshape(4, 15, 5)
    assert (together == together[:, :, :1]).all()


def test_an_interrupted_fit_goes_on(rows, tmp_path, monkeypatch, fitted):
    from sklearn_difficulty.training.ensemble import runs

    trained = []
    train = runs.train_stack

    def counted(pool, masks, seeds, **rest):
        trained.append(pool.net.module__hidden_units)
        if (len(trained), pool.net.module__hidden_units) == (2, (8,)):
            raise KeyboardInterrupt
        return train(pool, masks, seeds, **rest)

    monkeypatch.setattr(runs, "train_stack", counted)
    estimator = trajectory(2, 8, 32, cache_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(*rows)
    assert not hasattr(estimator, "category_")
    estimator.fit(*rows)
    assert trained == [(2,), (8,), (8,), (32,)]
    assert_array_equal(estimator.correct_, fitted.correct_)
    trajectory(2, 8, 16, 32, cache_dir=tmp_path).fit(*rows)  # one more size
    assert trained[4:] == [(16,)]


def test_a_size_that_diverges_is_named_and_the_others_are_kept(rows, fitted):
    estimator = trajectory(2, 8, 32).set_params(w8__lr=1e30)
    with pytest.raises(ValueError, match="training diverged") as caught:
        estimator.fit(*rows)
    notes = " ".join(caught.value.__notes__)
    assert "at the size 'w8'" in notes
    assert "The other sizes are trained and kept, in the attributes: ['w2', 'w32']." in notes
    assert estimator.size_names_ == ["w2", "w32"]
    assert_array_equal(estimator.correct_, fitted.correct_[[0, 2]])
    assert estimator.summary_["size"].cat.categories.tolist() == ["w2", "w32"]


def test_of_a_single_size_nothing_is_kept(rows):
    estimator = trajectory(2, 8, 32).fit(*rows).set_params(w8__lr=1e30, w32__lr=1e30)
    with pytest.raises(ValueError, match="training diverged") as caught:
        estimator.fit(*rows)
    notes = " ".join(caught.value.__notes__)
    assert "at the size 'w8', and other errors at the sizes ['w32']" in notes
    assert "kept" not in notes
    assert "fitted" not in repr(estimator)
    assert not hasattr(estimator, "summary_")
    assert not hasattr(estimator, "trajectory_frame_")


def test_callbacks_see_the_sizes(rows):
    watch = Watch()
    trajectory(2, 8, n_members=2).set_callbacks(watch).fit(*rows)
    assert watch.begun == ["fit", "size w2", "size w8"]
    assert sorted(watch.ended) == sorted(watch.begun)


def test_frames(fitted, rows):
    X = pd.DataFrame(rows[0], index=[f"row {i}" for i in range(75)], columns=list("abcd"))
    estimator = trajectory(2, 8, 32).fit(X, rows[1])
    frame = estimator.trajectory_frame_
    assert len(frame) == 3 * 75
    assert frame.index[:4].tolist() == ["row 0"] * 3 + ["row 1"]
    wide = frame.pivot(columns="size", values="p_out")
    assert_array_equal(wide.loc["row 7"], fitted.p_out_[:, 7])
    assert_array_equal(frame.loc["row 7", "category"], [fitted.category_[7]] * 3)

    summary = estimator.summary_
    assert summary.columns.tolist() == [
        *("category", "size", "n_rows", "share", "memorization", "memorization_se"),
        *("p_in", "p_in_se", "p_out", "p_out_se"),
    ]
    of_all = summary[summary["category"] == "all"]
    defined = fitted.category_ != "undefined"
    assert of_all["n_rows"].tolist() == [defined.sum()] * 3
    for name in ("memorization", "p_in", "p_out"):
        assert_allclose(of_all[name], getattr(fitted, f"{name}_")[:, defined].mean(axis=1))
    one_size = summary[(summary["size"] == "w8") & (summary["category"] != "all")]
    assert one_size["share"].sum() == pytest.approx(1)
    for _, line in one_size.iterrows():
        chosen = fitted.category_ == line["category"]
        assert line["n_rows"] == chosen.sum()
        if chosen.any():
            assert line["p_out"] == pytest.approx(fitted.p_out_[1, chosen].mean())


def test_rows_that_no_member_holds_out_are_undefined(rows):
    with pytest.warns(UserWarning, match="rows have no category"):
        estimator = trajectory(2, 4, n_members=3).fit(*rows)
    n_in = estimator.masks_.sum(axis=0)
    undefined = (n_in == 0) | (n_in == 3)
    assert_array_equal(estimator.category_ == "undefined", undefined)
    assert estimator.n_undefined_ == undefined.sum() > 0
    assert_array_equal(np.isnan(estimator.memorization_), [undefined] * 2)


def test_standard_errors_of_means_are_those_of_repeated_draws():
    """Members that have a level of their own: rows judged by the same ones err together."""
    rng = np.random.default_rng(0)
    K, n, n_runs = 40, 60, 400
    z = []
    for _ in range(n_runs):
        masks = rng.random((K, n)) < 0.7
        level = rng.uniform(-0.3, 0.3, (K, 1))
        right = rng.random((K, n)) < np.where(masks, 0.6, 0.4) + level
        values = values_of_size(right, np.zeros(n, dtype=bool), masks)
        line = means_of_size(right, masks, values, np.full(n, "constant"))[0]
        z.append(
            [
                (line["p_in"] - 0.6) / line["p_in_se"],
                (line["p_out"] - 0.4) / line["p_out_se"],
                (line["memorization"] - 0.2) / line["memorization_se"],
            ]
        )
    assert_allclose(np.mean(z, axis=0), 0, atol=0.15)  # the error of a mean of 400 is 0.05,
    assert_allclose(np.std(z, axis=0), 1, atol=0.1)  # and of a deviation 0.035


BAD = [
    ([("a", Tiny)], "at least two, the smallest first"),
    ([("a", make_net())], "at least two, the smallest first"),
    ([make_net(), make_net()], "must be a list of"),
    ([("a", make_net()), ("b", "net")], "The estimator 'b' must be a torch network"),
    ([("a", make_net()), ("a", make_net())], "Names provided are not unique"),
    ([("a", make_net()), ("b__c", make_net())], "must not contain __"),
    ([("a", make_net()), ("n_members", make_net())], "conflict with constructor arguments"),
]


@pytest.mark.parametrize(("estimators", "message"), BAD)
def test_bad_sizes_are_refused(estimators, message, rows):
    with pytest.raises(ValueError, match=message):
        MemorizationTrajectory(estimators).fit(*rows)


def test_images_have_no_default_sizes():
    with pytest.raises(ValueError, match="For images there are no default networks of several"):
        MemorizationTrajectory().fit(np.zeros((12, 1, 4, 4)), np.arange(12) % 2)


def test_default_sizes_and_repr(rows):
    estimator = MemorizationTrajectory(n_members=2, train_size=0.5, random_state=0).fit(*rows)
    assert estimator.size_names_ == ["8 units", "32 units", "128 units", "512 units"]
    assert repr(estimator).startswith("MemorizationTrajectory(n_members=2")
    assert "fitted: 2 members at 4 sizes on parts of 75 rows; " in repr(estimator)


def test_the_seed_must_be_an_integer_for_the_cache(rows, tmp_path):
    with pytest.warns(UserWarning, match="finds nothing in cache_dir"):
        trajectory(2, 4, n_members=2, random_state=None, cache_dir=tmp_path).fit(*rows)
