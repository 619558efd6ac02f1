# SPDX-License-Identifier: BSD-3-Clause
"""ConFrag's arithmetic: worked values, truth tables, and what must hold for any targets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sklearn_difficulty.measures import (
    fragment_edges,
    fragment_prior,
    neighborhood_agreement,
    selection_probability,
)
from sklearn_difficulty.measures.fragments import (
    assign_fragments,
    contrastive_pairs,
    draw_rows,
    fragment_centers,
    in_either_draw,
    prediction_agreement,
    representation_agreement,
)

AGES = np.repeat(np.arange(15, 67), 3).astype(float)
CENTERS = [21, 34, 47, 60]


def matchings(fragments):
    """Yield every perfect matching."""
    if not fragments:
        yield []
        return
    first, rest = fragments[0], fragments[1:]
    for partner in rest:
        for others in matchings([f for f in rest if f != partner]):
            yield [(first, partner), *others]


def nearest_pair(matching, edges):
    """The distance between the closest targets of the nearest pair."""
    return min(edges[j] - edges[i + 1] for i, j in matching)


# --------------------------------------------------------------------------- fragments and pairs


@pytest.mark.parametrize(("n_fragments", "n_matchings"), [(4, 3), (6, 15), (8, 105), (10, 945)])
def test_pairs_are_the_matching_whose_nearest_pair_is_farthest(n_fragments, n_matchings):
    edges = np.arange(n_fragments + 1.0)
    distances = [nearest_pair(m, edges) for m in matchings(list(range(n_fragments)))]
    ours = [tuple(pair) for pair in contrastive_pairs(n_fragments).tolist()]
    assert ours == [(i, i + n_fragments // 2) for i in range(n_fragments // 2)]
    assert len(distances) == n_matchings
    assert nearest_pair(ours, edges) == max(distances) == n_fragments // 2 - 1
    assert distances.count(max(distances)) == 1
    mirrored = sorted(tuple(sorted(n_fragments - 1 - f for f in pair)) for pair in ours)
    assert mirrored == ours


@given(st.sampled_from([4, 6, 8]), st.integers(0, 2**32 - 1))
def test_pairs_are_the_farthest_for_fragments_of_any_length(n_fragments, seed):
    edges = np.cumsum(np.random.default_rng(seed).exponential(size=n_fragments + 1))
    ours = contrastive_pairs(n_fragments).tolist()
    best = max(nearest_pair(m, edges) for m in matchings(list(range(n_fragments))))
    assert nearest_pair(ours, edges) == pytest.approx(best)


@pytest.mark.parametrize("n_fragments", [0, 1, 3, 2.5])
def test_pairs_need_an_even_number(n_fragments):
    with pytest.raises(ValueError, match="n_fragments must be even"):
        contrastive_pairs(n_fragments)


def test_ages_fall_into_the_fragments_of_the_paper():
    fragment = assign_fragments(AGES, fragment_edges(AGES))
    assert [AGES[fragment == f].min() for f in range(4)] == [15, 28, 41, 54]
    assert fragment_centers(AGES, fragment, 4).tolist() == CENTERS


@pytest.mark.parametrize("fragmentation", ["length", "count"])
@given(
    y=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40),
    n_fragments=st.sampled_from([1, 2, 4, 6]),
)
def test_fragments_partition_the_rows(fragmentation, y, n_fragments):
    if min(y) == max(y):
        y[0] += 1
    edges = fragment_edges(y, n_fragments, fragmentation=fragmentation)
    fragment = assign_fragments(y, edges)
    assert fragment.min() >= 0
    assert fragment.max() < n_fragments
    order = np.argsort(y, kind="stable")
    assert (np.diff(fragment[order]) >= 0).all()


def test_counts_are_equal_where_targets_differ():
    y = np.random.default_rng(0).lognormal(size=400)
    fragment = assign_fragments(y, fragment_edges(y, 4, fragmentation="count"))
    assert np.bincount(fragment).tolist() == [100] * 4


def test_fewer_targets_than_fragments_are_cut_by_length():
    y = [1, 2, 2, 2]
    assert np.array_equal(fragment_edges(y, fragmentation="count"), fragment_edges(y))


@pytest.mark.parametrize("fragmentation", ["length", "count"])
def test_jitter_moves_a_window_of_one_size_and_keeps_every_rows_own_target(fragmentation):
    y = np.random.default_rng(0).uniform(10, 20, size=1000)
    ranks = y if fragmentation == "length" else np.argsort(np.argsort(y)) / 999
    covered = np.zeros(len(y), dtype=bool)
    for shift in np.linspace(0, 1, 11):
        edges = fragment_edges(y, 4, fragmentation=fragmentation, jitter=0.1, shift=shift)
        fragment = assign_fragments(y, edges)
        kept = fragment >= 0
        covered |= kept
        assert np.ptp(ranks[kept]) / np.ptp(ranks) == pytest.approx(0.9, abs=0.01)
        # The fragment is that of the row's own target, whatever was left out before it.
        for f in range(4):
            inside = y[fragment == f]
            assert (edges[f] <= inside).all()
            assert (inside <= edges[f + 1]).all()
    assert covered.all()
    without = fragment_edges(y, 4, fragmentation=fragmentation)
    for shift in (0, 0.3, 1):
        edges = fragment_edges(y, 4, fragmentation=fragmentation, jitter=0, shift=shift)
        assert np.array_equal(edges, without)
        assert assign_fragments(y, edges).min() == 0


def test_edges_refuse_what_has_no_fragments():
    with pytest.raises(ValueError, match="no two different targets"):
        fragment_edges([3.0, 3.0])
    with pytest.raises(ValueError, match="no two different targets"):
        fragment_edges([])
    with pytest.raises(ValueError, match="'fragmentation' parameter"):
        fragment_edges([1, 2], fragmentation="width")
    with pytest.raises(ValueError, match="'jitter' parameter"):
        fragment_edges([1, 2], jitter=1.0)
    with pytest.raises(ValueError, match="'n_fragments' parameter"):
        fragment_edges([1, 2], 0)
    with pytest.raises(ValueError, match="finite numbers"):
        fragment_edges([1, np.nan])


# ---------------------------------------------------------------------------------------- prior


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (20, (1, 0, 0, 0)),
        (21, (1, 0, 0, 0)),
        (27, (0.762, 0.235, 0.002, 0.001)),
        (28, (0.235, 0.762, 0.003, 0.001)),
        (15, (0.995, 0.003, 0.001, 0.001)),
        (40, (0.003, 0.761, 0.234, 0.002)),
    ],
)
def test_priors_of_ages(age, expected):
    [prior] = fragment_prior([age], CENTERS, value_range=51)
    assert_allclose(prior, expected, atol=1e-3)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9), st.floats(1e-3, 1e3))
def test_prior_is_a_distribution_in_any_unit(y, unit):
    y, centers = np.array(y), np.array([0.1, 0.3, 0.6, 0.9])
    prior = fragment_prior(y, centers, value_range=1)
    assert_allclose(prior.sum(axis=1), 1)
    distance = np.abs(y[:, None] - centers)
    rows = np.arange(len(y))
    assert_allclose(distance[rows, prior.argmax(axis=1)], distance.min(axis=1))
    moved = fragment_prior(7 - unit * y, 7 - unit * centers, value_range=unit)
    assert_allclose(moved, prior, atol=1e-6)
    mirrored = fragment_prior(1 - y, (1 - centers)[::-1], value_range=1)
    assert_allclose(mirrored[:, ::-1], prior, atol=1e-6)


def test_a_fragment_without_rows_has_no_say():
    prior = fragment_prior([0.0, 1.0], [0.0, np.nan, 1.0, np.nan])
    assert_allclose(prior, [[1, 0, 0, 0], [0, 0, 1, 0]], atol=1e-9)
    with pytest.raises(ValueError, match="not all be NaN"):
        fragment_prior([0.0, 1.0], [np.nan])
    with pytest.raises(ValueError, match="pass value_range"):
        fragment_prior([1.0, 1.0], [1.0])


# ------------------------------------------------------------------------------------ agreement


def agreed(votes, n_fragments):
    """The fragments, counted from 1, that agree after one vote per pair."""
    own = np.zeros((1, n_fragments), dtype=bool)
    own[0, np.array(votes) - 1] = True
    return tuple(np.flatnonzero(neighborhood_agreement(own)[0]) + 1)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ((1, 2), (1, 2)),
        ((3, 2), (2, 3)),
        ((3, 4), (3, 4)),
        ((1, 4), ()),
        ((1, 2, 3), (1, 2, 3)),
        ((1, 2, 6), (1, 2)),
        ((4, 2, 3), (2, 3, 4)),
        ((4, 5, 3), (3, 4, 5)),
        ((4, 5, 6), (4, 5, 6)),
        ((1, 5, 6), (5, 6)),
        ((1, 5, 3), ()),
        ((4, 2, 6), ()),
    ],
)
def test_truth_tables(votes, expected):
    assert agreed(votes, 2 * len(votes)) == expected


def test_with_two_fragments_nothing_is_selected():
    own = np.array([[True, False], [False, True]])
    agreement = neighborhood_agreement(own)
    assert not agreement.any()
    assert selection_probability(np.full((2, 2), 0.5), agreement).tolist() == [0, 0]


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 4, 6, 8]))
def test_the_experts_own_agreement_dominates(seed, n_fragments):
    rng = np.random.default_rng(seed)
    own = rng.random((20, n_fragments)) < 0.6
    prior = rng.dirichlet(np.ones(n_fragments), size=20)
    agreement = neighborhood_agreement(own)
    assert (agreement <= own).all()
    probability = selection_probability(prior, agreement)
    assert (probability >= 0).all()
    assert (probability <= selection_probability(prior, own)).all()
    assert (selection_probability(prior, own) <= 1).all()


def test_right_experts_select_clean_rows_and_no_far_ones():
    prior = fragment_prior(CENTERS, CENTERS, value_range=51)
    right = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=bool)
    assert_allclose(selection_probability(prior, neighborhood_agreement(right)), 1, atol=1e-3)
    far = right[[3, 3, 0, 0]]  # what experts say of rows whose true target is elsewhere
    assert selection_probability(prior, neighborhood_agreement(far))[[0, 3]].max() < 1e-3


def test_a_tie_counts_for_both_and_nan_for_none():
    probabilities = np.array([[0.7, 0.3], [0.5, 0.5], [0.2, 0.8], [np.nan, np.nan]])
    assert prediction_agreement(probabilities).astype(int).tolist() == [
        [1, 0],
        [1, 1],
        [0, 1],
        [0, 0],
    ]


@pytest.mark.parametrize(
    ("n_neighbors", "n_second", "expected"),
    [
        (3, 0, [1, 0]),
        (3, 1, [1, 0]),
        (3, 2, [0, 1]),
        (5, 1, [1, 0]),
        (5, 2, [0, 0]),
        (5, 4, [0, 1]),
        (7, 5, [0, 0]),
        (7, 6, [0, 1]),
    ],
)
def test_all_neighbors_but_one_must_agree(n_neighbors, n_second, expected):
    classes = (np.arange(n_neighbors) < n_second).astype(int)[None]
    agreement = representation_agreement(classes, np.array([True]))
    assert agreement.astype(int).tolist() == [expected]
    assert not representation_agreement(classes, np.array([False])).any()


# ---------------------------------------------------------------------------------------- draws


def test_rows_are_drawn_as_often_as_their_probability_says():
    views = np.array([[0.0, 0.2, 0.5, 1.0], [0.0, 0.5, 0.9, 0.3]])
    generator = np.random.default_rng(0)
    share = np.mean([draw_rows(views, generator) for _ in range(20_000)], axis=0)
    assert in_either_draw(views).tolist() == pytest.approx([0, 0.6, 0.95, 1])
    assert_allclose(share, in_either_draw(views), atol=0.01)
    assert share[[0, 3]].tolist() == [0, 1]


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="must have the shape"):
        neighborhood_agreement([True, False])
    with pytest.raises(ValueError, match="must have one shape"):
        selection_probability([[1.0, 0.0]], [[True]])
