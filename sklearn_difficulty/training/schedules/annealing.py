# SPDX-License-Identifier: BSD-3-Clause
"""SimulatedAnnealingEarlyLayers: early layers that climb the loss for a while, again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from skorch import NeuralNet

from ..._parameters import check_parameters
from ...networks.forward import plain_module
from .drawing import draw_anew, names_to_draw, next_seed, write_drawn
from .generations import Generations, split_groups


class SimulatedAnnealingEarlyLayers(Generations):
    r"""Let the early layers climb the loss for some epochs of every generation (SEAL) [1]_.

    A skorch callback. The training is cut into generations. From the second one on, the early
    layers ascend the gradient of the loss for the first epochs while the later layers go on
    descending; then all descend. No weight is ever drawn anew. It goes into a net's `callbacks`,
    and so into every scorer, record and ensemble that trains the net.

    Parameters
    ----------
    split : str or list of str, default="auto"
        Which layers are the later ones. A name, of a module or a parameter: the later layers begin
        there, in the order of definition. A list of names: these are the later layers. "auto": half
        of the blocks are early, rounded up, and the head is always later; blocks are the parts of
        the module, and of the `nn.Sequential` and `nn.ModuleList` in it, that hold weights. Every
        parameter belongs to one group, and something must learn in both.
    n_generations : int, default=4
        Number of generations, the first, ordinary one included.
    epochs_per_generation : int, default=12
        Epochs of a generation. `max_epochs` of the net must be the product of both.
    ascent_epochs : int or "quarter", default="quarter"
        Epochs of ascent at the start of every generation but the first. "quarter": a quarter of the
        generation, rounded down, at least one. 0: none, so that training restarts in every
        generation and nothing else happens.
    ascent_scale : float, default=0.01
        Size of an ascending step as a share of the descending step, S below. −1 descends as usual.
    ascent_weight_decay : float, default=0.0
        The factor of the weight decay of ascending layers. With a negative rate, decay inflates
        weights.
    reverse : bool, default=False
        Whether the later layers ascend, the head included, and the early ones descend.
    freeze_descenders : bool, default=False
        Whether the other layers stand still while some ascend.
    reset_later : bool, default=False
        Whether every generation but the first also draws the weights of the later layers anew, as
        `LaterLayerForgetting` does.

    Attributes
    ----------
    early_, later_ : list of str
        The names of the parameters of each group, once training has begun.

    Raises
    ------
    ValueError
        When training begins: if `max_epochs` is not the number of epochs of all generations, the
        split is none, the optimizer is not SGD, the net stops early or carries another callback of
        this kind. In an epoch of ascent: if the loss or a weight becomes NaN or infinite.

    See Also
    --------
    LaterLayerForgetting : Draws the later layers anew instead.
    RecordTraining : Keeps checkpoints and what the net says in every epoch, counted through.

    Notes
    -----
    With the gradient g of the loss of a batch, the momentum buffer v, the scheduled rate
    :math:`\eta(e)` of epoch e of a generation, and k epochs of ascent, a step is

    .. math:: \theta_\mathrm{early} \leftarrow
        \theta_\mathrm{early} + S\, \eta(e)\, v_\mathrm{early}

    .. math:: \theta_\mathrm{later} \leftarrow
        \theta_\mathrm{later} - \eta(e)\, v_\mathrm{later}

    while e < k, and descent for both from e = k on. One backward pass serves both. Weight decay is
    part of v for the later layers and not, by default, for the ascending ones. Momentum is emptied
    at the start of a generation and where the ascent ends. The network stays in train mode, so that
    running statistics of batch normalisation follow the ascent.

    **Learning-rate schedules** (skorch's `LRScheduler`) see and record the descending rate, and
    begin anew with every generation: their length is that of a generation, as in
    ``T_max=epochs_per_generation``. Parameter groups of your own keep their settings and are
    divided into early and later layers. Optimizers other than SGD are refused: they normalise
    their steps, and S would no longer be a share of the gradient.

    **Training that is taken up again** (`partial_fit`, `warm_start`, skorch's `LoadInitState`,
    listed behind this callback) goes on in the epoch that the net's history has reached.

    The history holds "generation" (from 0), "event_ascent" and "early_norm", the Euclidean norm of
    the early weights, of every epoch. Loss per phase is read from there. Members of an ensemble
    that carry this callback are trained one by one.

    What it did to accuracy, prediction depth and transfer in our own, much smaller runs is in the
    :ref:`user guide <what_training_does>`.

    References
    ----------
    .. [1] Sarfi, Karimpour, Chaudhary, Khalid, Ravanelli, Mudur and Belilovsky, "Simulated
       Annealing in Early Layers Leads to Better Generalization", CVPR 2023,
       :arxiv:`2304.04858`.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> from sklearn_difficulty import PredictionDepthScorer
    >>> from sklearn_difficulty.training import SimulatedAnnealingEarlyLayers
    >>> X, y = load_digits(return_X_y=True)
    >>> net = NeuralNetClassifier(
    ...     nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
    ...     criterion=nn.CrossEntropyLoss,
    ...     lr=0.1,
    ...     batch_size=32,
    ...     max_epochs=8,
    ...     callbacks=[
    ...         SimulatedAnnealingEarlyLayers(
    ...             split="2", n_generations=2, epochs_per_generation=4
    ...         )
    ...     ],
    ... )
    >>> scorer = PredictionDepthScorer(net, random_state=0).fit(X / 16, y)
    >>> trained = scorer.record_.net
    >>> trained.history[:, "generation"]
    [0, 0, 0, 0, 1, 1, 1, 1]
    >>> trained.history[:, "event_ascent"]
    [False, False, False, False, True, False, False, False]
    """

    def __init__(
        self,
        split: str | Sequence[str] = "auto",
        n_generations: int = 4,
        epochs_per_generation: int = 12,
        ascent_epochs: int | Literal["quarter"] = "quarter",
        ascent_scale: float = 0.01,
        ascent_weight_decay: float = 0.0,
        reverse: bool = False,
        freeze_descenders: bool = False,
        reset_later: bool = False,
    ) -> None:
        self.split = split
        self.n_generations = n_generations
        self.epochs_per_generation = epochs_per_generation
        self.ascent_epochs = ascent_epochs
        self.ascent_scale = ascent_scale
        self.ascent_weight_decay = ascent_weight_decay
        self.reverse = reverse
        self.freeze_descenders = freeze_descenders
        self.reset_later = reset_later

    # ------------------------------------------------------------------------------- checks

    def _check_parameters(self) -> None:
        super()._check_parameters()
        last = self.epochs_per_generation - 1
        check_parameters(
            "SimulatedAnnealingEarlyLayers",
            ascent_epochs=(
                self.ascent_epochs,
                [StrOptions({"quarter"}), Interval(Integral, 0, None, closed="left")],
            ),
            ascent_scale=(self.ascent_scale, [Interval(Real, None, None, closed="neither")]),
            ascent_weight_decay=(
                self.ascent_weight_decay,
                [Interval(Real, 0, None, closed="left")],
            ),
            reverse=(self.reverse, ["boolean"]),
            freeze_descenders=(self.freeze_descenders, ["boolean"]),
            reset_later=(self.reset_later, ["boolean"]),
        )
        if self._n_ascents() > last:
            raise ValueError(
                f"ascent_epochs={self.ascent_epochs!r} leaves no epoch of descent in a generation "
                f"of {self.epochs_per_generation}. Lower it, or raise epochs_per_generation."
            )

    def _n_ascents(self) -> int:
        """Return the number of epochs of ascent in a generation."""
        if self.ascent_epochs == "quarter":
            return max(1, self.epochs_per_generation // 4)
        return int(self.ascent_epochs)

    def _prepare(self, net: NeuralNet) -> None:
        super()._prepare(net)
        optimizer = net.optimizer_
        if self._n_ascents() and not isinstance(optimizer, torch.optim.SGD):
            raise ValueError(
                f"{type(optimizer).__name__} does not step in proportion to the gradient, so that "
                "ascent_scale would not be a share of it, and near a minimum the ascent would be "
                "as fast as anywhere. Pass optimizer=torch.optim.SGD."
            )
        parameters = dict(plain_module(net.module_).named_parameters(remove_duplicate=False))
        groups = {"early": self.early_, "later": self.later_}
        split_groups(optimizer, {k: {parameters[n] for n in names} for k, names in groups.items()})

    # ----------------------------------------------------------------------------- training

    def initialize(self) -> SimulatedAnnealingEarlyLayers:
        """Forget the last fit."""
        for hook in getattr(self, "hooks_", ()):  # of a training that an error has ended
            hook.remove()
        self.hooks_: list[Any] = []
        self.is_ascending_ = False
        return super().initialize()

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Refuse what cannot be trained in generations, before the first epoch."""
        self._stand_down(net.optimizer_)
        super().on_train_begin(net, X=X, y=y, **kwargs)

    def _start_generation(self, net: NeuralNet) -> None:
        if self.reset_later:
            module = plain_module(net.module_)
            names = names_to_draw(module, self.later_)
            write_drawn(module, draw_anew(net, names, next_seed()), {})

    def _start_epoch(self, net: NeuralNet, generation: int, epoch: int) -> None:
        n_ascents = self._n_ascents() if generation else 0
        self.is_ascending_ = epoch < n_ascents
        if n_ascents and epoch == n_ascents:
            net.optimizer_.state.clear()  # the momentum of the ascent
        if self.is_ascending_:
            self._ascend(net.optimizer_)
        net.history.record("event_ascent", self.is_ascending_)

    def _ascend(self, optimizer: torch.optim.Optimizer) -> None:
        """Turn steps around, in the step alone: schedules go on from the descending rate."""
        climbing = "later" if self.reverse else "early"

        def turn(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            _turn_back(optimizer)  # should a step have ended with an error
            for group in optimizer.param_groups:
                group["descent"] = group["lr"], group["weight_decay"]
                if group["layers"] == climbing:
                    group["lr"] = -self.ascent_scale * group["lr"]
                    group["weight_decay"] = self.ascent_weight_decay * group["weight_decay"]
                elif self.freeze_descenders:
                    group["lr"] = 0.0 * group["lr"]

        self.hooks_ = [
            optimizer.register_step_pre_hook(turn),
            optimizer.register_step_post_hook(_turn_back),
        ]

    def _stand_down(self, optimizer: torch.optim.Optimizer) -> None:
        """Ascend no more."""
        for hook in self.hooks_:
            hook.remove()
        self.hooks_, self.is_ascending_ = [], False
        _turn_back(optimizer)

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        """Stop where the ascent has gone too far."""
        if training and self.is_ascending_:
            loss = net.history[-1]["batches"][-1].get("train_loss", 0.0)
            self._refuse_unless_finite(loss, "The training loss", net)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Note how large the early weights are, and whether they can still be used."""
        parameters = dict(plain_module(net.module_).named_parameters(remove_duplicate=False))
        norms = [parameters[name].detach().float().norm() for name in self.early_]
        norm = float(torch.stack([n.cpu() for n in norms]).norm())
        net.history.record("early_norm", norm)
        if self.is_ascending_:
            self._refuse_unless_finite(norm, "The norm of the early layers' weights", net)
        self._stand_down(net.optimizer_)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Leave the optimizer as it is in descent, also where training was stopped."""
        self._stand_down(net.optimizer_)

    def _refuse_unless_finite(self, value: float, name: str, net: NeuralNet) -> None:
        """Raise for a number that shows that the ascent has diverged."""
        if not math.isfinite(value):
            generation, epoch = divmod(len(net.history) - 1, self.epochs_per_generation)
            raise ValueError(
                f"{name} became {value} in epoch {epoch + 1} of generation {generation}, an epoch "
                f"of ascent: it has diverged. Lower ascent_scale ({self.ascent_scale}), "
                f"ascent_epochs ({self._n_ascents()}) or the learning rate (lr={net.lr})."
            )

    def __getstate__(self) -> dict[str, Any]:
        # A net may be pickled in the middle of a step, by another callback; hooks stay here.
        state = dict(super().__getstate__())
        return state | ({"hooks_": []} if "hooks_" in state else {})


def _turn_back(optimizer: torch.optim.Optimizer, *args: Any) -> None:
    """Give the groups the settings of descent."""
    for group in optimizer.param_groups:
        if "descent" in group:
            group["lr"], group["weight_decay"] = group.pop("descent")
