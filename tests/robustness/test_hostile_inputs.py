# SPDX-License-Identifier: BSD-3-Clause
"""Hostile input to every argument of everything public: a right value, or an error with a name."""

import inspect

import numpy as np
import pytest
from robustness.entries import ENTRIES, NOT_ATTACKED, UNBOUNDED
from robustness.hostile import ANYTHING, BROKEN, DATASETS, EQUAL, OF_TORCH
from robustness.outcomes import difference, outcome_of

import sklearn_difficulty
from sklearn_difficulty import (
    datasets,
    estimator_checks,
    measures,
    metrics,
    model_selection,
    training,
)

ROOMS = (sklearn_difficulty, datasets, estimator_checks, measures, metrics, model_selection)
# Plain calls of these are refused: they need files or take minutes, or have no meaning.
REFUSED = {
    *("check_difficulty_scorer", "load_fashion_mnist"),
    *("MemorizationScorer.score_samples", "MemorizationScorer.transform"),
    *("NormGradScorer.maps", "NormGradScorer.layer_maps"),  # a row of a table is one location
}
ARGUMENTS = [
    (name, argument)
    for name, entry in ENTRIES.items()
    for argument in entry.plain
    if argument not in NOT_ATTACKED
]

CALLBACKS = ("RecordTraining", "SimulatedAnnealingEarlyLayers", "LaterLayerForgetting")

# Of an estimator's rows every sixth value is tried, and others for the next method or class: they
# go through the same checks. `-m fuzz` tries all.
SHARE_OF_ESTIMATORS = 6


def hostile_values(name, argument):
    """Yield what an argument is given: a word for it, how it is made, whether it is plain."""
    for word, make in ANYTHING.items():
        if argument in UNBOUNDED and word.startswith("10**"):
            continue
        if argument == "n_jobs" and hasattr(make(), "__float__"):
            continue  # workers cost seconds
        if argument in ("layers", "probes", "readout", "metric") and callable(make()):
            continue  # a function of the user's, which fails in its own way
        if name in CALLBACKS and word == "generator":
            continue  # skorch copies its callbacks
        yield word, make, False
    plain = ENTRIES[name].plain[argument]
    if isinstance(plain, np.ndarray):
        all_forms = [(EQUAL, True), (BROKEN, False)]
        if argument in ("X", "X_test", "scoring_view"):
            all_forms.append((DATASETS, False))
        for forms, is_equal in all_forms:
            for word, (suits, change) in forms.items():
                if "Filter" in name and word in OF_TORCH:
                    continue  # the user's own estimator, of scikit-learn here, gets X as it is
                if suits(plain):
                    yield word, lambda change=change: change(plain.copy()), is_equal


def some_values(name, argument):
    """Return what is tried in every run."""
    values = list(hostile_values(name, argument))
    is_of_rows = isinstance(ENTRIES[name].plain[argument], np.ndarray)
    if "." not in name or not is_of_rows:
        return values
    return values[ARGUMENTS.index((name, argument)) % SHARE_OF_ESTIMATORS :: SHARE_OF_ESTIMATORS]


def problems_of(name, argument, values):
    """Yield what goes wrong when this argument is hostile."""
    entry = ENTRIES[name]
    expected = outcome_of(entry).value
    for word, make, is_equal in values:
        value = make()
        # What items can be joined, and which names a module takes, is between the user and torch.
        outcome = outcome_of(
            lambda value=value: entry(**{argument: value}),
            argument,
            named=entry.named,
            notes_suffice=word in DATASETS or word.startswith("dict of"),
            may_be_infinite=entry.may_be_infinite,
        )
        problem = outcome.problem
        if not problem and is_equal and outcome.error is None:
            problem = difference(outcome.value, expected)
        if problem:
            yield f"{name}({argument}={word}): {problem}"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Let words that are taken for paths lead to an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ENTRIES)
def test_the_plain_call_works(name):
    outcome = outcome_of(ENTRIES[name])
    assert not outcome.problem
    assert (outcome.error is not None) == (name in REFUSED)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_hostile_input(name, argument):
    problems = list(problems_of(name, argument, some_values(name, argument)))
    assert not problems, "\n".join(problems)


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_all_hostile_input(name, argument):
    problems = list(problems_of(name, argument, hostile_values(name, argument)))
    assert not problems, "\n".join(problems)


def test_there_are_many_hostile_inputs():
    assert sum(len(some_values(*pair)) for pair in ARGUMENTS) > 10_000


def test_nothing_public_is_forgotten():
    missing = []
    for room in (*ROOMS, training):
        for name in set(room.__all__) - {"__version__", "CostEstimate"}:  # which only we make
            thing = getattr(room, name)
            if inspect.ismodule(thing):
                continue
            mine = {n: e for n, e in ENTRIES.items() if n.split(".")[0] == name}
            attacked = {argument for entry in mine.values() for argument in entry.plain}
            arguments = set(inspect.signature(thing).parameters)
            missing += [f"{name}({a})" for a in arguments - attacked - NOT_ATTACKED]
    assert not missing
