# SPDX-License-Identifier: BSD-3-Clause
import json

import numpy as np
import pandas as pd
import pytest
import torch
from aum import AUMCalculator
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_difficulty import (
    LabelErrorScorer,
    TargetErrorScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
)

IRIS = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])


# ------------------------------------------------------------------------------- boosted trees


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingClassifier(max_iter=5, random_state=0),
        GradientBoostingClassifier(n_estimators=5, random_state=0),
        AdaBoostClassifier(n_estimators=5, random_state=0),
        make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=5)),
        make_pipeline(
            PCA(2), make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=5))
        ),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_stages_are_epochs(model, n_classes):
    X, y = IRIS[0][-50 * n_classes :], NAMES[IRIS[1][-50 * n_classes :]]
    _, codes = np.unique(y, return_inverse=True)
    model.fit(X, y)
    record = TrainingRecord.from_staged(model, X, y, keep_logits=True)
    trajectory = record.trajectory
    assert trajectory.n_epochs == 5
    assert record.classes_.tolist() == NAMES[-n_classes:].tolist()
    final = model.predict_proba(X)
    given = final[np.arange(len(y)), codes]
    assert_allclose(trajectory.probability[-1], given, rtol=1e-5)
    assert_allclose(trajectory.loss[-1], -np.log(given), rtol=1e-4, atol=1e-6)
    assert_array_equal(record.classes_[trajectory.predicted[-1]], model.predict(X))
    assert_allclose(np.exp(trajectory.logits[-1]), final, rtol=1e-4, atol=1e-6)
    loss = TrainingDynamicsScorer(record, measure="loss").fit(X, y).difficulty_
    assert_allclose(loss, trajectory.loss.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingRegressor(max_iter=4),
        GradientBoostingRegressor(n_estimators=4, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_stages_of_regressors(model):
    X, y = load_diabetes(return_X_y=True)
    record = TrainingRecord.from_staged(model.fit(X, y), X, y)
    assert record.classes_ is None
    assert_allclose(record.trajectory.loss[-1], (model.predict(X) - y) ** 2, rtol=1e-4, atol=1e-2)


def test_wrong_targets_are_found_from_what_trees_said_on_the_way():
    X, y = load_diabetes(return_X_y=True)
    is_wrong = np.arange(len(y)) % 15 == 0
    y = np.where(is_wrong, y + 400, y)
    trees = GradientBoostingRegressor(n_estimators=30, random_state=0).fit(X, y)
    record = TrainingRecord.from_staged(trees, X, y, keep_logits=True)
    said = np.mean(list(trees.staged_predict(X)), axis=0)
    scorer = TargetErrorScorer(record).fit(X, y)
    assert scorer.method_ == "one_fit"
    assert_allclose(scorer.predictions_, said, rtol=1e-5)
    assert is_wrong[np.argsort(-scorer.difficulty_)[: is_wrong.sum()]].mean() > 0.8
    with pytest.raises(ValueError, match="no network"):
        scorer.score_samples(X)


@pytest.mark.parametrize("scorer", [LabelErrorScorer(), TargetErrorScorer()])
def test_what_a_record_must_keep_is_said(scorer):
    X, y = IRIS
    make = HistGradientBoostingRegressor, HistGradientBoostingClassifier
    model = make[isinstance(scorer, LabelErrorScorer)](max_iter=4).fit(X, y)
    record = TrainingRecord.from_staged(model, X, y)
    with pytest.raises(ValueError, match="keep_logits=True"):
        scorer.set_params(estimator=record).fit(X, y)


def test_as_many_stages_as_asked_for_and_the_last_one():
    X, y = IRIS
    model = HistGradientBoostingClassifier(max_iter=23).fit(X, y)
    loss = TrainingRecord.from_staged(model, X, y).trajectory.loss
    assert len(loss) == 23
    some = TrainingRecord.from_staged(model, X, y, stages=4).trajectory.loss
    assert_array_equal(some, loss[[5, 11, 17, 22]])


def test_trees_that_stopped_early_end_there():
    X, y = IRIS
    model = HistGradientBoostingClassifier(
        max_iter=50, early_stopping=True, n_iter_no_change=2, random_state=0
    ).fit(X, y)
    record = TrainingRecord.from_staged(model, X, y)
    assert record.n_epochs == model.n_iter_ < 50


def test_flipped_labels_of_trees_are_found_from_one_fit():
    X, y = IRIS
    y = y.copy()
    y[[3, 70, 120]] = [2, 0, 1]
    model = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(X, y)
    record = TrainingRecord.from_staged(model, X, y, keep_logits=True)
    loss = TrainingDynamicsScorer(record, measure="loss").fit(X, y).difficulty_
    assert set(np.argsort(-loss)[:6]) >= {3, 70, 120}
    assert LabelErrorScorer(record).fit(X, y).method_ == "one_fit"


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (RandomForestClassifier(5), TypeError, "RandomForestClassifier does not say"),
        (HistGradientBoostingClassifier(), NotFittedError, "not fitted"),
        (object(), TypeError, r"'estimator' parameter of from_staged must .* 'fit' and 'predict'"),
    ],
)
def test_models_without_stages_are_refused(model, error, message):
    X, y = IRIS
    if isinstance(model, RandomForestClassifier):
        model.fit(X, y)
    with pytest.raises(error, match=message):
        TrainingRecord.from_staged(model, X, y)


def test_labels_that_the_trees_do_not_know_are_refused():
    X, y = IRIS
    model = HistGradientBoostingClassifier(max_iter=2).fit(X[:100], y[:100])
    with pytest.raises(ValueError, match="not trained on"):
        TrainingRecord.from_staged(model, X, y)
    with pytest.raises(ValueError, match="'stages'"):
        TrainingRecord.from_staged(model, X[:100], y[:100], stages=0)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost"])
def test_stages_of_other_libraries(library):
    module = pytest.importorskip(library)
    X, y = IRIS
    model = {
        "xgboost": lambda: module.XGBClassifier(n_estimators=6, n_jobs=1),
        "lightgbm": lambda: module.LGBMClassifier(n_estimators=6, n_jobs=1, verbose=-1),
        "catboost": lambda: module.CatBoostClassifier(
            n_estimators=6, verbose=0, thread_count=1, allow_writing_files=False
        ),
    }[library]()
    model.fit(X, y)
    trajectory = TrainingRecord.from_staged(model, X, y, stages=3).trajectory
    assert trajectory.n_epochs == 3
    given = model.predict_proba(X)[np.arange(len(y)), y]
    assert_allclose(trajectory.probability[-1], given, rtol=1e-4)
    assert trajectory.loss[0].mean() > trajectory.loss[-1].mean()


# ------------------------------------------------------------------------------ logs of others


@pytest.fixture
def history():
    """Return logits (3 epochs, 4 rows, 3 classes), labels and the record that they make."""
    logits = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    y = np.array([0, 2, 1, 1])
    return logits, y, TrainingRecord.from_logits(logits, y)


def lines_of(logits, y, names, order):
    """Yield epoch, name, logits and label of every line, rows of an epoch in some order."""
    for epoch, of_rows in enumerate(logits):
        for row in order:
            yield epoch, names[row], of_rows[row], y[row]


def write_cartography(folder, logits, y, names, order):
    for epoch in range(len(logits)):
        lines = [
            json.dumps({"guid": name, f"logits_epoch_{e}": z.tolist(), "gold": int(label)})
            for e, name, z, label in lines_of(logits, y, names, order)
            if e == epoch
        ]
        (folder / f"training_dynamics_epoch_{epoch}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def write_npz(folder, logits, y, names, order):
    epoch, name, z, label = zip(*lines_of(logits, y, names, order), strict=True)
    np.savez(folder / "log.npz", epoch=epoch, id=name, logits=np.stack(z), label=label)
    return folder / "log.npz"


def write_parquet(folder, logits, y, names, order):
    epoch, name, z, label = zip(*lines_of(logits, y, names, order), strict=True)
    columns = {"epoch": epoch, "id": name, "logits": [list(row) for row in z], "label": label}
    pd.DataFrame(columns).to_parquet(folder / "log.parquet")
    return folder / "log.parquet"


def write_csv(folder, logits, y, names, order):
    epoch, name, z, label = zip(*lines_of(logits, y, names, order), strict=True)
    table = pd.DataFrame({"epoch": epoch, "id": name, "label": label})
    table[["logit_0", "logit_1", "logit_2"]] = np.stack(z)
    table.to_csv(folder / "log.csv", index=False)
    return folder / "log.csv"


WRITERS = [write_cartography, write_npz, write_parquet, write_csv]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("names", [np.arange(4), np.array(["d", "a", "c", "b"])])
def test_logs_are_read_in_the_order_of_the_rows(write, names, history, tmp_path):
    logits, y, expected = history
    path = write(tmp_path, logits, y, names.tolist(), order=[2, 0, 3, 1])
    ids = None if names.dtype.kind == "i" else names
    record = TrainingRecord.from_file(path, ids=ids, keep_logits=True)
    for name in ("probability", "margin", "loss", "el2n", "predicted", "targets", "logits"):
        found, wanted = (getattr(r.trajectory, name) for r in (record, expected))
        assert_allclose(found, wanted, rtol=1e-5, err_msg=name)


def test_epochs_of_a_folder_are_in_order_beyond_nine(tmp_path):
    logits = np.random.default_rng(0).normal(size=(12, 2, 2)).astype(np.float32)
    write_cartography(tmp_path, logits, np.array([0, 1]), [0, 1], [0, 1])
    margin = TrainingRecord.from_file(tmp_path).trajectory.margin
    assert_allclose(margin[:, 0], logits[:, 0, 0] - logits[:, 0, 1], rtol=1e-5)


def test_rows_that_an_epoch_did_not_log_are_not_shown(history, tmp_path):
    logits, y, _ = history
    path = write_npz(tmp_path, logits, y, [0, 1, 2, 3], order=[0, 1, 3])
    trajectory = TrainingRecord.from_file(path, y=y).trajectory
    assert np.isnan(trajectory.loss[:, 2]).all()
    assert not np.isnan(trajectory.loss[:, [0, 1, 3]]).any()


@pytest.mark.parametrize("write", WRITERS)
def test_labels_come_from_y_with_names_of_classes(write, history, tmp_path):
    logits, y, _ = history
    path = write(tmp_path, logits, y, [0, 1, 2, 3], order=[3, 2, 1, 0])
    record = TrainingRecord.from_file(path, y=NAMES[y])
    assert record.classes_.tolist() == NAMES.tolist()
    assert_array_equal(record.trajectory.targets, y)
    scorer = TrainingDynamicsScorer(record).fit(np.zeros((4, 1)), NAMES[y])
    assert_allclose(scorer.raw_, record.trajectory.probability.mean(axis=0), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of aum, with pandas 3
def test_margins_of_aum(history, tmp_path):
    logits, y, expected = history
    calculator = AUMCalculator(str(tmp_path), compressed=False)
    names = ["d", "a", "c", "b"]
    for of_rows in logits:
        order = [2, 0, 3, 1]
        z = torch.from_numpy(of_rows[order])
        calculator.update(z, torch.from_numpy(y[order]), [names[row] for row in order])
    calculator.finalize()
    record = TrainingRecord.from_file(tmp_path / "full_aum_records.csv", ids=names)
    assert_allclose(record.trajectory.margin, expected.trajectory.margin, rtol=1e-4)
    assert_array_equal(record.trajectory.predicted, expected.trajectory.predicted)
    assert_array_equal(record.trajectory.targets, y)
    scorer = TrainingDynamicsScorer(record, measure="aum").fit(np.zeros((4, 1)), y)
    means = pd.read_csv(tmp_path / "aum_values.csv").set_index("sample_id")["aum"]
    assert_allclose(scorer.raw_, means[names], rtol=1e-4)
    with pytest.raises(ValueError, match="compressed=False"):
        TrainingRecord.from_file(tmp_path / "aum_values.csv")
    with pytest.raises(ValueError, match="Pass the file itself"):
        TrainingRecord.from_file(tmp_path)


def test_what_is_no_log_is_refused(history, tmp_path):
    logits, y, _ = history
    with pytest.raises(FileNotFoundError):
        TrainingRecord.from_file(tmp_path / "nothing.npz")
    with pytest.raises(ValueError, match="not a log that can be read"):
        TrainingRecord.from_file(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="Dataset Cartography"):
        TrainingRecord.from_file(tmp_path / "notes.txt")
    pd.DataFrame({"epoch": [0], "loss": [1.0]}).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ValueError, match="it needs epoch, id, and logits"):
        TrainingRecord.from_file(tmp_path / "other.csv")
    (tmp_path / "half.jsonl").write_text('{"guid": 1, "gold": 0}\n')
    with pytest.raises(ValueError, match="line 1"):
        TrainingRecord.from_file(tmp_path / "half.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        TrainingRecord.from_file(tmp_path / "empty.jsonl")
    np.savez(tmp_path / "short.npz", epoch=[0], id=[0, 1], logits=np.zeros((2, 2)), label=[0, 1])
    with pytest.raises(ValueError, match="one epoch, id and label a line"):
        TrainingRecord.from_file(tmp_path / "short.npz")
    path = write_npz(tmp_path, logits, y, ["a", "b", "c", "d"], order=[0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"pass ids=\[\.\.\.\]"):
        TrainingRecord.from_file(path)
    with pytest.raises(ValueError, match=r"log\.npz names 1 row.*does not, first \['d'\]"):
        TrainingRecord.from_file(path, ids=["a", "b", "c", "e"])
    np.savez(tmp_path / "bare.npz", epoch=[0, 0], id=[0, 1], logits=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="holds no labels"):
        TrainingRecord.from_file(tmp_path / "bare.npz")
    with pytest.raises(ValueError, match="y holds 1 labels"):
        TrainingRecord.from_file(tmp_path / "bare.npz", y=[0])


@pytest.mark.parametrize("names", [["007", "1"], ["NA", "null"], ["1", "2"]])
def test_names_in_csv_files_are_what_they_look_like(names, tmp_path):
    write_csv(tmp_path, np.eye(3)[None, :2], ["None", "NA"], names, order=[0, 1])
    record = TrainingRecord.from_file(
        tmp_path / "log.csv", ids=names[::-1], classes=["NA", "None", "other"]
    )
    assert record.classes_[record.trajectory.targets].tolist() == ["NA", "None"]
    write_csv(tmp_path, np.eye(3)[None, :2], [0, ""], names, order=[0, 1])
    with pytest.raises(ValueError, match="no label"):
        TrainingRecord.from_file(tmp_path / "log.csv", ids=names)


def test_margins_of_aum_are_those_of_the_labels(tmp_path):
    path = tmp_path / "full_aum_records.csv"
    path.write_text(
        "sample_id,num_measurements,target_logit,target_val,other_logit,other_val,margin,aum\n"
        "a,1,0,2,1,1,1,1\nb,1,1,2,0,1,1,1\n"
    )
    record = TrainingRecord.from_file(path, ids=["b", "a"], y=["no", "yes"], classes=["yes", "no"])
    assert_array_equal(record.trajectory.targets, [1, 0])
    with pytest.raises(ValueError, match="other labels than y, first of row 1: 0 in place of 1"):
        TrainingRecord.from_file(path, ids=["b", "a"], y=[1, 1])
    with pytest.raises(ValueError, match="there are 1 classes"):
        TrainingRecord.from_file(path, ids=["b", "a"], classes=["yes"])


def test_broken_logs_are_named(tmp_path):
    for text in ('{"guid": 1, "logits', "[1]"):
        (tmp_path / "broken.jsonl").write_text(f"{text}\n")
        with pytest.raises(ValueError, match=r"broken\.jsonl, line 1"):
            TrainingRecord.from_file(tmp_path / "broken.jsonl")
    np.savez(tmp_path / "empty.npz", epoch=[], id=[], logits=np.zeros((0, 2)), label=[])
    with pytest.raises(ValueError, match="is empty"):
        TrainingRecord.from_file(tmp_path / "empty.npz")
