"""The kind of model is recognised, and nothing of another kind is blamed or advised."""

import pytest

from trainwright.diagnosis.causes import causes
from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.history import History
from trainwright.diagnosis.kinds import KINDS, kinds_of
from trainwright.diagnosis.symptoms import symptoms
from trainwright.report.diagnosis import advice_of


def history(facts=None, **columns) -> History:
    rows = [{"step": 10 * i, **{n.replace("__", "/"): f(i) for n, f in columns.items()}} for i in range(60)]
    return History.of(rows, facts=facts, total=600)


@pytest.mark.parametrize(
    "facts, columns, kinds",
    [
        ({}, {"discriminator__loss": lambda i: 1.0}, {"adversarial"}),
        ({}, {"kl__raw": lambda i: 1.0}, {"variational"}),
        ({}, {"kl__raw": lambda i: 1.0, "critic__loss": lambda i: 1.0}, {"adversarial", "variational"}),
        ({"calls_per_sample": {"net": 50}}, {"loss": lambda i: 1.0}, {"diffusion"}),
        ({"calls_per_sample": {"net": 50}, "operations": ["NllLoss"]}, {"loss": lambda i: 1.0}, {"autoregressive"}),
        ({"operations": ["NllLoss"]}, {"loss": lambda i: 1.0}, {"supervised"}),
        ({"kind": "prediction"}, {"discriminator__loss": lambda i: 1.0}, {"prediction"}),
        ({}, {"loss": lambda i: 1.0}, set()),
    ],
)  # fmt: skip
def test_kinds(facts, columns, kinds):
    assert kinds_of(history(facts, **columns)) == kinds


def test_a_diffusion_loop_is_not_told_of_critics_or_kl_weights():
    flat = {"samples__diversity_ratio": lambda i: 0.01, "loss": lambda i: 0.1}
    found = examine(history({"kind": "diffusion"}, **flat))
    collapse = next(d for d in found.alarms if d.symptom.name == "mode_collapse")
    assert collapse.causes
    for ranked in collapse.causes:
        assert not ranked.cause.kinds or "diffusion" in ranked.cause.kinds
    assert not {"critic_dominance", "posterior_collapse"} & (set(found.unknown) | set(found.clear))
    for advice in advice_of(collapse, found.kinds):
        assert not advice.kinds or "diffusion" in advice.kinds


def test_kinds_of_causes_and_symptoms_exist():
    for one in (*causes().values(), *symptoms().values()):
        assert set(one.kinds) <= set(KINDS)
