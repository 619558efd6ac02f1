# SPDX-License-Identifier: BSD-3-Clause
"""The one table of small instances: what is true of every public estimator is tested on these."""

from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import HuberRegressor, Ridge
from sklearn.naive_bayes import GaussianNB
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch.nn import CrossEntropyLoss
from torch.optim import Adam

from sklearn_difficulty import (
    ConFragRegressor,
    ConFragSelector,
    ConsistencyScorer,
    DifficultyFilter,
    DifficultyQuadrantClassifier,
    DifficultyScorer,
    DistilledClassifier,
    FilteredClassifier,
    FilteredRegressor,
    ForgettingUnderPerturbationScorer,
    LabelErrorScorer,
    MarginScorer,
    MemorizationScorer,
    NeighborConfidenceScorer,
    NormGradScorer,
    PredictionDepthScorer,
    TargetErrorScorer,
    TrainingDynamicsScorer,
    VoGScorer,
)
from sklearn_difficulty.model_selection import MemorizationTrajectory
from sklearn_difficulty.scorers._base import BaseDifficultyScorer
from sklearn_difficulty.training import MLP, ResampledEnsemble

FEW_MEMBERS = LabelErrorScorer(n_members=2, train_size=0.5, n_neighbors=2, random_state=0)


class AdaptingNet(NeuralNetRegressor):
    """Has as many inputs and outputs as its training rows."""

    def fit(self, X, y, **fit_params):
        self.set_params(module__n_inputs=X.shape[1], module__n_outputs=y[0].size)
        return super().fit(X, y, **fit_params)

    def __repr__(self):  # skorch's own differs from process to process, and names the tests
        return "AdaptingNet()"


ADAPTING = AdaptingNet(MLP, module__hidden_units=(4,), max_epochs=2, verbose=0)
LOSS = TrainingDynamicsScorer(ADAPTING, measure="loss", random_state=0)


class AdaptingExpert(NeuralNetClassifier):
    """Has as many inputs as its training rows, and two outputs."""

    def fit(self, X, y, **fit_params):
        self.set_params(module__n_inputs=X.shape[1])
        return super().fit(X, y, **fit_params)

    def __repr__(self):
        return "AdaptingExpert()"


FAST = {"module__hidden_units": (8,), "optimizer": Adam, "lr": 0.05, "max_epochs": 6, "verbose": 0}
REGRESSOR = AdaptingNet(MLP, batch_size=32, **FAST)
EXPERT = AdaptingExpert(MLP, module__n_outputs=2, criterion=CrossEntropyLoss, batch_size=16, **FAST)

# The smallest one comes first. A public estimator without an entry fails the first test.
INSTANCES = {
    ConFragRegressor: [ConFragRegressor(REGRESSOR, expert=EXPERT)],
    ConFragSelector: [
        ConFragSelector(expert=EXPERT),
        ConFragSelector(expert=EXPERT, fragmentation="count", jitter=0, view="prediction"),
    ],
    ConsistencyScorer: [
        ConsistencyScorer(n_members=2, train_size=0.5),
        ConsistencyScorer(n_members=2, train_size=0.7, keep_members=False, undefined="max"),
    ],
    DifficultyFilter: [
        DifficultyFilter(TrainingDynamicsScorer(), drop=0.1),
        DifficultyFilter(
            DifficultyQuadrantClassifier(n_members=2, validation_size=0.5, n_neighbors=2),
            quadrants=("looks_like_a_different_class",),
        ),
    ],
    DifficultyQuadrantClassifier: [
        DifficultyQuadrantClassifier(n_members=2, validation_size=0.5, n_neighbors=2),
    ],
    DifficultyScorer: [
        DifficultyScorer(scores=["confidence", "forgetting", VoGScorer(checkpoints=2)]),
        DifficultyScorer(
            scores=[("depth", PredictionDepthScorer(n_neighbors=2)), "input_margin", "aum"],
            undefined="max",
        ),
    ],
    DistilledClassifier: [
        DistilledClassifier(),
    ],
    FilteredClassifier: [
        FilteredClassifier(),
        FilteredClassifier(scorer=FEW_MEMBERS, action="weight"),
        FilteredClassifier(LinearDiscriminantAnalysis(), scorer=FEW_MEMBERS, action="relabel"),
    ],
    FilteredRegressor: [
        FilteredRegressor(scorer=LOSS, drop=0.1),
        FilteredRegressor(HuberRegressor(), scorer=LOSS, drop=0.2),
        FilteredRegressor(scorer=TrainingDynamicsScorer(measure="residual"), drop=0.0),
    ],
    ForgettingUnderPerturbationScorer: [
        ForgettingUnderPerturbationScorer(checkpoints=2, n_repeats=2),
        ForgettingUnderPerturbationScorer(perturbation="prune", checkpoints=[20], undefined="max"),
    ],
    LabelErrorScorer: [
        LabelErrorScorer(n_members=2, train_size=0.5, n_neighbors=2),
        LabelErrorScorer(n_members=2, n_neighbors=None, keep_members=False, undefined="max"),
        LabelErrorScorer(method="one_fit"),
        LabelErrorScorer(method="neighbors", n_neighbors=2, noise="instance"),
        LabelErrorScorer(GaussianNB(), n_members=2, train_size=0.5),
    ],
    MarginScorer: [
        MarginScorer(),
        MarginScorer(kind="input"),
        MarginScorer(kind="input", log=True, undefined="max"),
    ],
    MemorizationScorer: [MemorizationScorer(n_members=2, train_size=0.5)],
    MemorizationTrajectory: [MemorizationTrajectory(n_members=2, train_size=0.5)],
    NeighborConfidenceScorer: [
        NeighborConfidenceScorer(n_neighbors=3),
        NeighborConfidenceScorer(n_neighbors=1, probes=r"layers\..", undefined="max"),
    ],
    NormGradScorer: [
        NormGradScorer(checkpoints=2),
        NormGradScorer(
            layers=r"layers\..",
            selective=True,
            order=1,
            direction="adversarial",
            checkpoints="late",
        ),
        NormGradScorer(
            variant="layer", target="predicted", layer_weights="linear", checkpoints=[0, 20]
        ),
    ],
    PredictionDepthScorer: [
        PredictionDepthScorer(n_neighbors=3),
        PredictionDepthScorer(n_neighbors=2, metric="cosine", normalize=True, undefined="max"),
        PredictionDepthScorer(n_neighbors=2, probes=["layers.0"], include_input=False),
    ],
    ResampledEnsemble: [ResampledEnsemble(n_members=2, train_size=0.5)],
    TargetErrorScorer: [
        TargetErrorScorer(n_members=2, train_size=0.5, n_rounds=1, undefined="max"),
        TargetErrorScorer(Ridge(), n_members=2, train_size=0.5),
        TargetErrorScorer(ADAPTING, method="one_fit", standardize=False),
        TargetErrorScorer(ADAPTING, method="neighbors", n_neighbors=2, scale="global"),
    ],
    TrainingDynamicsScorer: [
        TrainingDynamicsScorer(),
        TrainingDynamicsScorer(measure="aum", mode="evaluation", checkpoints="late"),
        TrainingDynamicsScorer(measure="entropy", undefined="max"),
        TrainingDynamicsScorer(measure="forgetting"),
        TrainingDynamicsScorer(measure="grand", checkpoints=2),
    ],
    VoGScorer: [
        VoGScorer(checkpoints=2),
        VoGScorer(checkpoints="late", target="loss", formula="mean_std", normalize="dataset"),
        VoGScorer(checkpoints=[0, 20], target="probability", formula="cvpr", normalize=None),
    ],
}
ALL = [instance for instances in INSTANCES.values() for instance in instances]
OF_TARGETS = (TargetErrorScorer,)  # which are numbers, where the others read classes
SCORERS = [
    instance
    for instance in ALL
    if isinstance(instance, BaseDifficultyScorer) and not isinstance(instance, OF_TARGETS)
]
# Without those that a classifier of scikit-learn judges for.
OF_NETWORKS = [scorer for scorer in SCORERS if scorer.estimator is None]
# One of each class, for what takes long.
SMALLEST = [instances[0] for instances in INSTANCES.values()]
SMALLEST_SCORERS = [instance for instance in SMALLEST if instance in SCORERS]
