# SPDX-License-Identifier: BSD-3-Clause
"""Ensembles of regressors: what members say of rows that they held out, in any backend."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch import NeuralNetRegressor
from small_nets import TwoLayers, make_net
from torch import nn

from sklearn_difficulty import ConsistencyScorer, MemorizationScorer
from sklearn_difficulty._progress import SILENT
from sklearn_difficulty.training import ResampledEnsemble

X = np.random.default_rng(0).normal(size=(48, 4)).astype(np.float32)
TARGETS = {1: X @ np.array([1, 2, 0, -1], dtype="f4"), 2: X[:, :2] * np.float32(3)}


def ensemble_of(n_outputs=1, **settings):
    net = make_net(
        NeuralNetRegressor,
        criterion=nn.MSELoss,
        module__n_outputs=n_outputs,
        max_epochs=3,
        lr=0.05,
        batch_size=8,
    )
    defaults = {"n_members": 4, "train_size": 0.5, "keep_members": True, "random_state": 0}
    return ResampledEnsemble(net, **{**defaults, **settings})


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_members_speak_of_rows_that_they_held_out(n_outputs):
    y = TARGETS[n_outputs]
    ensemble = ensemble_of(n_outputs).fit(X, y)
    assert ensemble.classes_ is None
    assert ensemble.predictions_.shape == (4, 48, n_outputs)
    held_out = ~ensemble.masks_
    with torch.no_grad():
        said = [ensemble.record(k).module(torch.from_numpy(X)).numpy() for k in range(4)]
    assert_allclose(ensemble.predictions_, said, rtol=1e-5, atol=1e-6)
    expected = [
        np.mean([said[k][i] for k in range(4) if held_out[k, i]], axis=0) for i in range(48)
    ]
    assert_allclose(ensemble.out_of_sample_prediction("last"), expected, rtol=1e-5, atol=1e-6)
    over_epochs = ensemble.out_of_sample_prediction()
    assert over_epochs.shape == (48, n_outputs)
    assert not np.allclose(over_epochs, expected, atol=1e-3)
    assert_allclose(ensemble.member_probability(X[:5]), ensemble.predictions_[:, :5], atol=1e-6)
    assert_array_equal(ensemble.targets(X, y), y)
    assert not hasattr(ensemble, "train_accuracy_")
    assert repr(ensemble).endswith("4 members on parts of 48 rows")


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_stacked_members_are_those_one_by_one(n_outputs):
    y = TARGETS[n_outputs]
    stacked = ensemble_of(n_outputs, backend="stacked").fit(X, y)
    single = ensemble_of(n_outputs, backend="joblib").fit(X, y)
    assert (stacked.backend_, stacked.why_not_stacked_) == ("stacked", None)
    assert_allclose(stacked.predictions_, single.predictions_, rtol=1e-3, atol=1e-4)
    for a, b in zip(
        stacked.mean_held_out_prediction_, single.mean_held_out_prediction_, strict=True
    ):
        assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backend", ["stacked", "joblib"])
def test_finished_members_are_found_again(tmp_path, capsys, backend):
    settings = {"cache_dir": tmp_path, "backend": backend, "verbose": 1}
    first = ensemble_of(**settings).fit(X, TARGETS[1])
    capsys.readouterr()
    again = ensemble_of(**settings).fit(X, TARGETS[1])
    assert "4 of 4 members found in the cache" in capsys.readouterr().out
    assert_array_equal(again.predictions_, first.predictions_)
    assert_array_equal(again.out_of_sample_prediction(), first.out_of_sample_prediction())


def test_rows_that_are_not_among_those_to_train_on():
    ensemble = ensemble_of()
    rows = np.arange(48) % 3 > 0
    view = ensemble_of().fit(X, TARGETS[1])._rows(X)
    ensemble._train(view, TARGETS[1], view, None, SILENT, among=rows)
    assert not ensemble.masks_[:, ~rows].any()
    assert_array_equal(ensemble.masks_[:, rows], ensemble_of().fit(X, TARGETS[1]).masks_[:, rows])
    assert np.isfinite(ensemble.out_of_sample_prediction()).all()


def test_what_only_classes_have_is_refused():
    y = TARGETS[1]
    with pytest.raises(ValueError, match="keeps the shares of classes"):
        ensemble_of(stratify=True).fit(X, y)
    of_regressors = ensemble_of().fit(X, y)
    with pytest.raises(TypeError, match="take out_of_sample_prediction"):
        of_regressors.out_of_sample_probability()
    of_classes = ResampledEnsemble(make_net(module=TwoLayers, max_epochs=1), n_members=2)
    of_classes.fit(X, np.arange(48) % 3)
    with pytest.raises(TypeError, match="take out_of_sample_probability"):
        of_classes.out_of_sample_prediction()
    with pytest.raises(ValueError, match="average must be 'epochs' or 'last'"):
        of_regressors.out_of_sample_prediction("first")
    for scorer in (ConsistencyScorer, MemorizationScorer):
        with pytest.raises(ValueError, match="agreement between members is defined for classes"):
            scorer(of_regressors).fit(X, y)
