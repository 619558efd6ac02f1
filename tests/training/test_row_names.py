# SPDX-License-Identifier: BSD-3-Clause
"""TrajectoryRecorder takes rows by any names, and says early what it cannot take."""

import datetime

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_difficulty import TrainingDynamicsScorer, TrainingRecord
from sklearn_difficulty.training import TrajectoryRecorder

N = 12
Z = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3


def recorded(shown, outputs=Z, labels=Y, **settings):
    recorder = TrajectoryRecorder(N, **settings)
    recorder.update(shown, outputs, labels)
    recorder.end_epoch()
    return recorder.trajectory()


EXPECTED = recorded(range(N))
NAMES = {
    "files": [f"image_{i}.png" for i in range(N)],
    "from 1": np.arange(1, N + 1),
    "database": np.arange(N) * 1000 - 7,
    "tensor": torch.arange(N) + 100,
    "pairs": [("train", i) for i in range(N)],
    "pairs of numbers": np.stack([np.arange(N), np.arange(N) % 2], axis=1),
    "Series": pd.Series([f"r{i}" for i in range(N)], index=np.arange(N) * 3),
    "days": [datetime.date(2020, 1, 1 + i) for i in range(N)],
    "floats": np.arange(N) / 2,
    "mixed": [*range(6), *"abcdef"],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_rows_by_any_hashable_name(names):
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1)).tolist()
    listed = list(names)
    found = recorded([listed[i] for i in order], Z[order], Y[order], ids=names)
    assert_array_equal(found.targets, Y)
    assert_allclose(found.probability, EXPECTED.probability)


def test_a_scorer_has_its_rows_in_the_order_of_the_ids():
    names = NAMES["files"]
    found = recorded(names[::-1], Z.flip(0), Y.flip(0), ids=names)
    of_names, of_numbers = (
        TrainingDynamicsScorer(TrainingRecord.from_trajectory(t, classes=list("abc")))
        for t in (found, EXPECTED)
    )
    X, y = np.zeros((N, 1)), np.array(list("abc"))[Y]
    assert_array_equal(of_names.fit(X, y).difficulty_, of_numbers.fit(X, y).difficulty_)
    with pytest.raises(ValueError, match="trained on other rows"):
        of_names.fit(X, y[::-1])


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(N, dtype=float),
        torch.arange(N).double(),
        [torch.tensor(i) for i in range(N)],
        np.arange(N, dtype="u1"),
        pd.Series(range(N), index=range(N, 0, -1)),
        (i for i in range(N)),
    ],
    ids=["floats", "float tensor", "list of tensors", "uint8", "Series", "generator"],
)
def test_row_numbers_of_any_type(ids):
    assert_array_equal(recorded(ids).probability, EXPECTED.probability)


@pytest.mark.parametrize(
    "outputs",
    [Z.numpy(), Z.tolist(), Z.numpy().astype(">f8"), pd.DataFrame(Z.numpy()), (Z, "more")],
    ids=["ndarray", "list", "big-endian", "frame", "tuple"],
)
def test_outputs_of_any_form(outputs):
    assert_allclose(recorded(range(N), outputs).probability, EXPECTED.probability, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": NAMES["files"]}, r"ids hold strings, such as \['image_0.png'\].*ids=\[...\]"),
        ({"ids": NAMES["from 1"]}, r"from 0 to 11; a batch holds 1 to 12.*ids=\[...\]"),
        ({"ids": np.arange(N) - 1}, "a batch holds -1 to 10"),
        ({"ids": np.arange(N) + 0.5}, "not torch.float64"),
        ({"ids": np.ones(N, bool)}, r"of a mask, np.flatnonzero\(mask\)"),
        ({"ids": range(N - 1)}, "11 ids, outputs of shape"),
        ({"labels": torch.eye(3)[Y]}, r"labels.argmax\(dim=1\)"),
        ({"labels": Z.softmax(1)}, r"labels.argmax\(dim=1\)"),
        ({"labels": list("abc" * 4)}, "labels hold strings; pass positions"),
        ({"labels": Y + 1}, r"labels hold \[3\] and must be positions of the 3 classes"),
        ({"labels": Y - 1}, r"labels hold \[-1\]"),
        ({"labels": Y + 0.5}, "must be positions"),
        ({"outputs": torch.zeros(N, 5, 3)}, r"outputs of shape \(12, 5, 3\)"),
        ({"outputs": torch.tensor(1.0)}, "one entry per row, not be one number"),
        ({"outputs": np.array(["a"] * N)}, "outputs hold strings"),
    ],
)
def test_what_is_no_batch_is_refused_at_once(changes, message):
    batch = {"ids": range(N), "outputs": Z, "labels": Y, **changes}
    with pytest.raises(ValueError, match=message):
        TrajectoryRecorder(N).update(**batch)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ids": ["a", "b", "a"]}, "each of the 3 rows once; got 3 ids, 2 of them different"),
        ({"ids": ["a", "b"]}, "got 2 ids"),
        ({"ids": [{}, {}, {}]}, "hashable"),
        ({"n_rows": 0}, "at least 1"),
        ({"n_rows": 2.5}, "integer"),
        ({"n_rows": True}, "integer"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        TrajectoryRecorder(**{"n_rows": 3, **settings})


def test_unknown_names_are_listed():
    recorder = TrajectoryRecorder(3, ids=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"A batch names 2 row.*\['d', 'e'\].*\['a', 'b'"):
        recorder.update(["a", "d", "e"], Z[:3], Y[:3])


def test_rows_with_nan_outputs_are_undefined():
    outputs = Z.clone()
    outputs[4] = torch.nan
    found = recorded(range(N), outputs)
    assert np.flatnonzero(np.isnan(found.probability[0])).tolist() == [4]
    assert found.predicted[0, 4] == -1
    record = TrainingRecord.from_trajectory(found)
    for measure in ("confidence", "forgetting", "correctness", "iteration_learned"):
        scorer = TrainingDynamicsScorer(record, measure=measure)
        with pytest.warns(UserWarning, match=r"1 row\(s\) have no defined difficulty, first \[4\]"):
            scorer.fit(np.zeros((N, 1)), Y.numpy())
        assert scorer.n_undefined_ == 1


@pytest.mark.parametrize("shape", [(N, 1), (N,)])
def test_a_single_logit_is_told_from_logits(shape):
    with pytest.raises(ValueError, match=r"one per class.*outputs='binary_logit'.*'values'"):
        TrajectoryRecorder(N).update(range(N), torch.zeros(shape), [0] * N)


def test_a_record_of_a_recorder_itself_needs_no_rows():
    y = np.array(["a", "b"])[np.arange(N) % 2]
    recorder = TrajectoryRecorder(N, outputs="binary_logit")
    for epoch in range(3):
        recorder.update(range(N), torch.linspace(-1, epoch, N)[:, None], np.arange(N) % 2)
        recorder.end_epoch()
    record = TrainingRecord.from_trajectory(recorder, classes=["a", "b"])
    assert record.outputs == "binary_logit"
    without_rows = TrainingDynamicsScorer(record).fit(None, y)
    texts = pd.DataFrame({"text": [f"row {i}" for i in range(N)], "other": ["x", "z"] * (N // 2)})
    assert_array_equal(
        without_rows.difficulty_,
        TrainingDynamicsScorer(record).fit(np.zeros((N, 1)), y).difficulty_,
    )
    with pytest.warns(UserWarning, match="texts that hardly repeat"):
        on_texts = TrainingDynamicsScorer(record).fit(texts, y)
    assert_array_equal(without_rows.difficulty_, on_texts.difficulty_)
    with pytest.raises(ValueError, match=r"trained on other rows \(other labels\)"):
        TrainingDynamicsScorer(record).fit(None, y[::-1])
    with pytest.raises(ValueError, match="X is None"):
        TrainingDynamicsScorer().fit(None, y)
