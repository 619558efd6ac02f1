# SPDX-License-Identifier: BSD-3-Clause
"""LaterLayerForgetting: layers whose weights are drawn anew in every generation."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Literal

from sklearn.utils._param_validation import Interval, StrOptions
from skorch import NeuralNet

from ..._parameters import check_parameters
from ...networks.forward import plain_module
from .drawing import Keep, draw_anew, kept_entries, names_to_draw, next_seed, write_drawn
from .generations import Generations


class LaterLayerForgetting(Generations):
    r"""Draw the weights of the later layers anew at the start of every generation (LLF) [1]_.

    A skorch callback. The training is cut into generations; all but the first begin with fresh
    weights in the later layers, and train the whole network on. Other settings of `layers`, `draw`
    and `keep` are the experiments that the authors compare it with, knowledge evolution among
    them [2]_. It goes into a net's `callbacks`, and so into every scorer, record and ensemble that
    trains the net.

    Parameters
    ----------
    split : str or list of str, default="auto"
        Which layers are the later ones. A name, of a module or a parameter: the later layers begin
        there, in the order of definition. A list of names: these are the later layers. "auto": half
        of the blocks are early, rounded up, and the head is always later; blocks are the parts of
        the module, and of the `nn.Sequential` and `nn.ModuleList` in it, that hold weights. Every
        parameter belongs to one group, and something must learn in both.
    n_generations : int, default=4
        Number of generations, the first, ordinary one included: the paper's "N3" is 4 here.
    epochs_per_generation : int, default=12
        Epochs of a generation. `max_epochs` of the net must be the product of both.
    layers : {"later", "early", "all"}, default="later"
        Whose weights are drawn anew.
    draw : {"fresh", "fixed"}, default="fresh"
        Whether every generation draws other weights, or all of them the same.
    keep : {None, "filters", "weights"}, default=None
        What stays of the weights that would be drawn anew, in all generations the same. None:
        nothing. "filters": the weights between the first units of a layer and the first of the
        layer before, a slim network inside the large one; all inputs of the first layer and all
        outputs of the last. "weights": each weight by chance. With ``layers="all"``, knowledge
        evolution.
    keep_share : float, default=0.5
        The share r in (0, 1) of what `keep` keeps.

    Attributes
    ----------
    early_, later_ : list of str
        The names of the parameters of each group, once training has begun.

    Raises
    ------
    ValueError
        When training begins: if `max_epochs` is not the number of epochs of all generations, the
        split is none, a weight is parametrized so that it is not known how to draw it, the net
        stops early or carries another callback of this kind.

    See Also
    --------
    SimulatedAnnealingEarlyLayers : Lets the early layers climb the loss instead.

    Notes
    -----
    With weights :math:`\theta^l` of layer l, the first later layer L and a fresh draw
    :math:`\theta'`, a generation begins with

    .. math::

        \theta^l \leftarrow M^l \odot \theta^l + (1 - M^l) \odot \theta'^l, \qquad
        M^l = 1 \text{ if } l < L, \text{ else } 0

    where ``keep="filters"`` sets :math:`M^l_{ij} = 1` for the first ⌈r C_out⌉ of C_out outputs i
    and the first ⌈r C_in⌉ of C_in inputs j, and ``keep="weights"`` with probability r. Only weights
    of two and more dimensions that learn are drawn: biases, and weights and running statistics of
    normalisation, stay. They are drawn as the net's module draws them when it is made; where it is
    an instance, or holds constants or weights from a file, as the layer itself does. For torch's
    linear and convolutional layers both are, unless the module has a way of its own, the authors'
    draw, uniform in :math:`\pm 1 / \sqrt{n}` with n inputs per unit (Kaiming uniform,
    :math:`a = \sqrt 5`). The draws follow the seed of the training.

    Every generation has a new optimizer, so that momentum is empty, and begins the **learning-rate
    schedules** anew (skorch's `LRScheduler`): their length is that of a generation, as in
    ``T_max=epochs_per_generation``. Any optimizer will do.

    **Training that is taken up again** (`partial_fit`, `warm_start`, skorch's `LoadInitState`) goes
    on in the epoch that the net's history has reached; what a fixed draw was, and what was kept, is
    known as long as the callback lives, pickles of it included. The history holds "generation"
    (from 0) of every epoch. Members of an ensemble that carry this callback are trained one by one.

    What it did to accuracy, prediction depth and transfer in our own, much smaller runs is in the
    :ref:`user guide <what_training_does>`.

    References
    ----------
    .. [1] Zhou, Vani, Larochelle and Courville, "Fortuitous Forgetting in Connectionist Networks",
       ICLR 2022, :arxiv:`2202.00155`.
    .. [2] Taha, Shrivastava and Davis, "Knowledge Evolution in Neural Networks", CVPR 2021,
       :arxiv:`2103.05152`.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> from sklearn_difficulty.training import LaterLayerForgetting
    >>> X, y = load_digits(return_X_y=True)
    >>> forgetting = LaterLayerForgetting(n_generations=3, epochs_per_generation=4)
    >>> net = NeuralNetClassifier(
    ...     nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
    ...     criterion=nn.CrossEntropyLoss,
    ...     max_epochs=12,
    ...     callbacks=[forgetting],
    ...     verbose=0,
    ... )
    >>> net = net.fit(X.astype("float32") / 16, y)
    >>> forgetting.early_, forgetting.later_
    (['0.weight', '0.bias'], ['2.weight', '2.bias'])
    >>> net.history[:, "generation"]
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    """

    def __init__(
        self,
        split: str | Sequence[str] = "auto",
        n_generations: int = 4,
        epochs_per_generation: int = 12,
        layers: Literal["later", "early", "all"] = "later",
        draw: Literal["fresh", "fixed"] = "fresh",
        keep: Keep | None = None,
        keep_share: float = 0.5,
    ) -> None:
        self.split = split
        self.n_generations = n_generations
        self.epochs_per_generation = epochs_per_generation
        self.layers = layers
        self.draw = draw
        self.keep = keep
        self.keep_share = keep_share

    def initialize(self) -> LaterLayerForgetting:
        """Forget the last fit, and what it drew."""
        self.draw_seed_: int | None = None
        self.keep_seed_: int | None = None
        return super().initialize()

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_parameters(
            "LaterLayerForgetting",
            layers=(self.layers, [StrOptions({"later", "early", "all"})]),
            draw=(self.draw, [StrOptions({"fresh", "fixed"})]),
            keep=(self.keep, [StrOptions({"filters", "weights"}), None]),
            keep_share=(self.keep_share, [Interval(Real, 0, 1, closed="neither")]),
        )

    def _prepare(self, net: NeuralNet) -> None:
        super()._prepare(net)
        names_to_draw(plain_module(net.module_), self._chosen())

    def _chosen(self) -> list[str]:
        """Return the parameters among which weights are drawn anew."""
        of = {"later": self.later_, "early": self.early_, "all": [*self.early_, *self.later_]}
        return of[self.layers]

    def _start_generation(self, net: NeuralNet) -> None:
        module = plain_module(net.module_)
        names = names_to_draw(module, self._chosen())
        if self.draw_seed_ is None or self.draw == "fresh":
            self.draw_seed_ = next_seed()
        kept = {}
        if self.keep is not None:
            if self.keep_seed_ is None:
                self.keep_seed_ = next_seed()
            kept = kept_entries(module, names, self.keep, self.keep_share, self.keep_seed_)
        write_drawn(module, draw_anew(net, names, self.draw_seed_), kept)
