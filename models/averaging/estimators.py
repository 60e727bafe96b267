"""scikit-learn's classifiers that are a vector of parameters: into a vector, trained on from one, scored from one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Literal, get_args

import numpy as np

from models.errors import ModelError
from models.losses import Floats

Kind = Literal["LogisticRegression", "SGDClassifier", "MLPClassifier"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

#: More than a table of a bank needs; what is told by another party must not fill this one's memory.
MOST_PARAMETERS: Final = 2**20
#: Settings that are the federation's to choose, or that change what the parameters mean.
_OURS: Final = {
    "LogisticRegression": ("warm_start", "random_state", "fit_intercept", "max_iter", "n_jobs", "verbose"),
    "SGDClassifier": ("warm_start", "random_state", "fit_intercept", "max_iter", "loss", "average", "early_stopping"),
    "MLPClassifier": ("warm_start", "random_state", "max_iter", "early_stopping", "verbose"),
}
_ACTIVATIONS: Final[Mapping[str, Any]] = {
    "identity": lambda z: z,
    "logistic": lambda z: 1.0 / (1.0 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0.0),
}
#: Two rows that show an estimator both classes; they only give its arrays their shapes.
_BOTH: Final = np.array([0, 1])


def check_settings(kind: str, settings: Mapping[str, Any]) -> None:
    """Raises ``ModelError`` (``bad_parameter``) for a kind or settings that cannot be averaged.

    Args:
        settings: the estimator's own parameters, as scikit-learn names them.
    """
    if kind not in KINDS:
        raise _bad(f"model {kind!r}; use {', '.join(KINDS)}", f"模型 {kind!r}，请使用 {'、'.join(KINDS)}")
    if ours := sorted(set(settings) & set(_OURS[kind])):
        raise _bad(f"{', '.join(ours)}: fixed by the federation", f"{'、'.join(ours)}：由联邦固定")
    try:
        if n_parameters(kind, settings, 1) > MOST_PARAMETERS:
            raise _bad(f"more than {MOST_PARAMETERS:,} parameters", f"参数超过 {MOST_PARAMETERS:,} 个")
        _shaped(kind, settings, 1, 1, 0)
    except (TypeError, ValueError) as error:
        name = str(error).partition("\n")[0]
        raise _bad(f"settings of {kind}: {name}", f"{kind} 的参数：{name}") from None


def shapes(kind: str, settings: Mapping[str, Any], n_inputs: int) -> list[tuple[int, ...]]:
    """Shapes of the arrays that make up the parameter vector, in its order."""
    if kind != "MLPClassifier":
        return [(1, n_inputs), (1,)]
    told = settings.get("hidden_layer_sizes", (100,))
    hidden: Sequence[int] = told if isinstance(told, Sequence) else (told,)
    sizes = [n_inputs, *hidden, 1]
    return [*pairwise(sizes), *((size,) for size in sizes[1:])]


def n_parameters(kind: str, settings: Mapping[str, Any], n_inputs: int) -> int:
    """Length of the parameter vector."""
    return sum(int(np.prod(shape)) for shape in shapes(kind, settings, n_inputs))


def initial(kind: str, settings: Mapping[str, Any], n_inputs: int, seed: int) -> Floats:
    """Where averaging starts: zeros, or for layers random weights (Glorot & Bengio, AISTATS 2010, eq. 16)."""
    if kind != "MLPClassifier":
        return np.zeros(n_parameters(kind, settings, n_inputs))
    rng, parts = np.random.default_rng(seed), []
    for shape in shapes(kind, settings, n_inputs):
        limit = np.sqrt(6.0 / sum(shape)) if len(shape) == 2 else 0.0
        parts.append(rng.uniform(-limit, limit, shape).ravel())
    return np.concatenate(parts)


def trained(
    kind: str, settings: Mapping[str, Any], start: Floats, inputs: Floats, label: Floats, n_epochs: int, seed: int
) -> Floats:
    """The parameter vector after ``n_epochs`` passes of scikit-learn over the rows (LogisticRegression: so many
    iterations of its solver), begun at ``start``; shape ``(n_parameters,)``.

    Args:
        inputs: shape ``(n_rows, n_inputs)``; label: 0 or 1, both among them.
    """
    from sklearn.exceptions import ConvergenceWarning

    model = _shaped(kind, settings, inputs.shape[1], n_epochs, seed)
    arrays = _cut(start, shapes(kind, settings, inputs.shape[1]))
    classes = label.astype(np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # to stop early is the method
        if kind == "MLPClassifier":
            n_layers = len(arrays) // 2
            model.coefs_, model.intercepts_ = arrays[:n_layers], arrays[n_layers:]
            model.fit(inputs, classes)
            found = [*model.coefs_, *model.intercepts_]
        else:
            model.coef_, model.intercept_ = arrays
            model.fit(inputs, classes)
            found = [model.coef_, model.intercept_]
    return np.concatenate([np.ravel(part) for part in found])


def margin(kind: str, settings: Mapping[str, Any], parameters: Floats, inputs: Floats) -> Floats:
    """Log-odds of default, shape ``(n_rows,)``; row by row the same bits as all at once."""
    arrays = _cut(parameters, shapes(kind, settings, inputs.shape[1]))
    if kind != "MLPClassifier":
        return _linear(inputs, arrays[0].T, arrays[1])[:, 0]
    n_layers, at = len(arrays) // 2, inputs
    activation = _ACTIVATIONS[settings.get("activation", "relu")]
    for k in range(n_layers):
        at = _linear(at, arrays[k], arrays[n_layers + k])
        if k < n_layers - 1:
            at = activation(at)
    return at[:, 0]


def _linear(inputs: Floats, weights: Floats, intercepts: Floats) -> Floats:
    # einsum without BLAS: a product of matrices rounds otherwise for one row than for many.
    found: Floats = np.einsum("ij,jk->ik", inputs, weights, optimize=False) + intercepts
    return found


def _shaped(kind: str, settings: Mapping[str, Any], n_inputs: int, n_epochs: int, seed: int) -> Any:
    """An estimator that goes on from what its parameters are set to, having seen both classes."""
    # CPU seconds: only where one is made.
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.neural_network import MLPClassifier

    common = {**settings, "warm_start": True, "random_state": seed, "max_iter": n_epochs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any
        match kind:
            case "LogisticRegression":
                model = LogisticRegression(**common)
            case "SGDClassifier":
                # Without a tolerance every site makes as many passes as it is asked for.
                model = SGDClassifier(**{"tol": None, **common, "loss": "log_loss"})
            case _:
                model = MLPClassifier(**{"tol": 0.0, "n_iter_no_change": n_epochs + 1, **common})
        model.fit(np.zeros((2, n_inputs)), _BOTH)
    return model


def _cut(parameters: Floats, into: Sequence[tuple[int, ...]]) -> list[Floats]:
    ends = np.cumsum([int(np.prod(shape)) for shape in into])[:-1]
    return [part.reshape(shape).copy() for part, shape in zip(np.split(parameters, ends), into, strict=True)]


def _bad(english: str, chinese: str) -> ModelError:
    return ModelError("bad_parameter", f"This cannot be averaged: {english}.", f"无法平均：{chinese}。")
