"""``trainwright.watch`` in plain PyTorch loops on real images: faults are told while they happen, healthy twins stay silent."""

import json
import random

import numpy as np
import pytest
import torch

import trainwright
from benchmarks.doctor.loops import LOOPS
from trainwright.diagnosis.causes import causes
from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.input import open_input
from trainwright.diagnosis.symptoms import symptoms
from trainwright.errors import UserError
from trainwright.results import Finding


def trained(kind: str, folder=None, **changes):
    said: list[str] = []
    options = {"data": "sprites", "seed": 0, "steps": 500, "width": 64, **changes}
    watch, _ = LOOPS[kind](
        options, lambda **given: trainwright.watch(**given, say=said.append, folder=folder, every=40, budget=0.2)
    )
    return watch, said


def test_a_healthy_vae_gets_no_word():
    watch, said = trained("vae")
    assert (watch.latest.verdict, said) == ("healthy", [])


@pytest.mark.parametrize(
    "kind, changes, symptom, cause",
    [
        ("vae", {"reduction": "mean", "beta": 1.0}, "posterior_collapse", "reduction_mismatch"),
        ("vae", {"frozen": ["decoder"]}, "wiring", "not_trained"),
        ("vae", {"lr": 0.1}, "non_finite", "lr_too_high"),
        ("gan", {"dies_at": 200}, "dead_critic", "dead_units"),
        ("gan", {"lr_d": 2e-3, "lr_g": 2e-5}, "critic_dominance", "lr_ratio"),
    ],
)
def test_a_fault_is_told_with_its_cause(kind, changes, symptom, cause):
    _, said = trained(kind, **changes)
    reported = [sentence for sentence in said if symptoms()[symptom].title in sentence]
    assert reported, said
    assert causes()[cause].title in reported[0]


def test_what_it_wrote_is_read_again_with_the_same_verdict(tmp_path):
    trained("vae", folder=tmp_path / "mine", reduction="mean", beta=1.0)
    rows = [json.loads(line) for line in (tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 500
    events = [json.loads(line) for line in (tmp_path / "mine" / "events.jsonl").read_text().splitlines()]
    assert "posterior_collapse" in {e["symptom"] for e in events}
    again = examine(open_input(tmp_path / "mine", {}, 500).history)
    assert "posterior_collapse" in {d.symptom.name for d in again.alarms}


def test_findings_read_like_those_of_diagnose():
    watch, _ = trained("vae", reduction="mean", beta=1.0)
    for live in watch.latest.findings:
        public = Finding._of(live, None)
        for name in ("title", "onset", "severity", "evidence"):
            assert getattr(live, name) == getattr(public, name)
        assert str(live) == str(public)
    assert watch.latest.findings


def test_watching_leaves_training_as_it_was():
    def last(watched: bool) -> torch.Tensor:
        torch.manual_seed(0)
        net = torch.nn.Linear(8, 8)
        sgd = torch.optim.SGD(net.parameters(), 0.1)
        real = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
        options = {
            "sample": lambda n: net(real[:n]).detach(),
            "real": real,
            "networks": {"net": net},
            "every": 5,
            "say": None,
        }
        watch = trainwright.watch(total=40, budget=1.0, **options) if watched else None
        for step in range(40):
            loss = (net(torch.randn(16, 8)) - 1).square().mean()
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            if watch is not None:
                watch(step, loss=loss)
        return net.weight.detach()

    assert torch.equal(last(True), last(False))


def test_a_sample_function_that_draws_noise_leaves_training_as_it_was():
    def trained_with(watched: bool) -> tuple[torch.Tensor, float, float]:
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        net = torch.nn.Linear(8, 8)
        sgd = torch.optim.SGD(net.parameters(), 0.1)
        real = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
        drawn = []

        def sample(n: int) -> torch.Tensor:
            drawn.append((np.random.rand(), random.random()))
            with torch.no_grad():
                return net(torch.randn(n, 8))

        options = {"sample": sample, "real": real, "every": 5, "budget": 1.0, "say": None}
        watch = trainwright.watch(total=40, **options) if watched else None
        for step in range(40):
            loss = (net(torch.randn(16, 8)) - 1).square().mean()
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            if watch is not None:
                watch(step + 1, loss=loss)
        assert bool(drawn) is watched
        return net.weight.detach(), float(np.random.rand()), random.random()

    with_watch, without = trained_with(True), trained_with(False)
    assert torch.equal(with_watch[0], without[0]) and with_watch[1:] == without[1:]


def test_names_can_be_given_and_a_half_given_pair_is_refused():
    watch = trainwright.watch(total=100, names={"my_thing": "kl/nats"}, say=None)
    for step in range(60):
        watch(step, my_thing=0.001)
    assert "kl/nats" in watch.history().signals
    with pytest.raises(UserError, match="belong together"):
        trainwright.watch(sample=lambda n: torch.zeros(n, 4))


def test_very_few_real_samples_are_enough_to_watch_and_one_is_refused():
    few = torch.randn(3, 3, 8, 8)
    watch = trainwright.watch(total=60, sample=lambda n: torch.randn(n, 3, 8, 8), real=few, every=10, say=None)
    for step in range(60):
        watch(step, loss=1 / (step + 1))
    assert any("samples/coverage" in row for row in watch.rows)
    with pytest.raises(UserError, match="at least 2"):
        trainwright.watch(sample=lambda n: few, real=few[:1])


def test_a_row_is_the_mean_of_what_was_given_as_it_was_then():
    watch = trainwright.watch(total=240, say=None)
    running, graph = torch.ones(()), torch.ones((), requires_grad=True) * 3
    watch(1, loss=running)
    running.zero_()  # as loops do that add up their losses in place
    watch(2, {"beta": 0.5}, loss=graph)
    watch(3, loss=0.0)
    values = {row["step"]: row["loss"] for row in watch.rows}
    assert values == {1: 1.0, 3: 1.5}
    assert not any(watch.window.values())


def test_a_second_diagnosis_at_the_same_step_finds_no_frozen_network():
    network = torch.nn.Linear(4, 4)
    watch = trainwright.watch(total=399, networks={"network": network}, every=100, say=None)
    for step in range(399):  # looks at 99, 199, 299 and 399
        with torch.no_grad():
            network.weight += 0.01
        watch(step + 1, loss=1.0 / (step + 1))
    assert watch.rows[-1]["update_ratio/network"] > 0
    assert "frozen_network" not in {finding.symptom.name for finding in watch.diagnose().alarms}
    assert watch.rows[-1]["update_ratio/network"] > 0


def test_a_folder_that_is_read_again_gives_the_same_verdict_causes_and_onsets(tmp_path):
    from tests.diagnosis.test_inspection import gan

    real = trainwright.watch

    def written(*args, **options):
        return real(*args, **{**options, "folder": tmp_path / "w"})

    trainwright.watch, again = written, real
    try:
        watch = gan("gradients_not_cleared")
    finally:
        trainwright.watch = again
    live = watch.latest
    read = examine(open_input(tmp_path / "w", {}).history)
    assert (read.verdict, read.kinds) == (live.verdict, live.kinds)
    assert [(d.symptom.name, d.onset, [r.cause.name for r in d.causes]) for d in read.findings] == [
        (d.symptom.name, d.onset, [r.cause.name for r in d.causes]) for d in live.findings
    ]
    public = trainwright.diagnose(tmp_path / "w")
    assert "opt_d.zero_grad()" in public.alarms[0].remedies[0].advice
