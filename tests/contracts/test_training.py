"""Two steps, finite numbers, samples, saving and loading, and bit-exact resume: for every recipe."""

import math
import shutil

import numpy as np
import pytest
import torch

from tests.conftest import all_tensors, quick_config, signals
from trainwright import catalog as registry
from trainwright.engine.inference import load
from trainwright.engine.model import build
from trainwright.runs.folder import Run


def test_two_steps_move_every_network_and_stay_finite(title, quick, sprites):
    outcome = quick(title, "steps=2", "log_every=1")
    assert outcome.status == "finished"
    rows = signals(outcome.run)
    assert [row["step"] for row in rows] == [1, 2]
    assert all(math.isfinite(v) for row in rows for v in row.values())
    family, config = quick_config(title, sprites)
    begin, end = build(family, config), all_tensors(outcome.run)
    trained = {name for group in begin.groups.values() for name in group.networks}
    assert trained
    for name in trained:
        network = begin.networks[name]
        moved = [not torch.equal(p, end[f"network.{name}.{key}"]) for key, p in network.named_parameters()]
        assert any(moved), f"{name} did not move"


def test_resume_is_bit_exact(title, quick, finished, tmp_path):
    whole = finished(title)
    steps_taken = iter([False, False, True])  # asks to stop after the third step, in the middle of a log window
    first = quick(title, run=tmp_path / "parts", stop=lambda: next(steps_taken, False))
    assert (first.status, first.step) == ("interrupted", 3)
    second = quick(title, run=tmp_path / "parts")
    assert (second.status, second.step) == ("finished", 6)
    one, two = all_tensors(whole.run), all_tensors(second.run)
    assert one.keys() == two.keys()
    assert [key for key in one if not torch.equal(one[key], two[key])] == []
    assert signals(whole.run) == signals(second.run)
    assert whole.run.losses.read_text() == second.run.losses.read_text()
    for grid in whole.run.samples.iterdir():
        assert grid.read_bytes() == (second.run.samples / grid.name).read_bytes()


def test_extending_a_finished_run_equals_a_longer_run(title, quick, finished, tmp_path):
    whole = finished(title)
    quick(title, "steps=4", run=tmp_path / "parts")
    longer = quick(title, run=tmp_path / "parts")
    one, two = all_tensors(whole.run), all_tensors(longer.run)
    assert [key for key in one if not torch.equal(one[key], two[key])] == []


def test_a_loaded_system_samples_what_the_run_drew(title, finished):
    outcome = finished(title)
    family = registry.family(title.split("/")[0])
    trained = load(family, outcome.run)
    assert trained.step == 6
    first = torch.cat(list(trained.samples(5, seed=1)))
    again = torch.cat(list(trained.samples(5, seed=1)))
    other = torch.cat(list(trained.samples(5, seed=2)))
    assert len(first) == 5
    assert torch.isfinite(first).all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.abs().max() <= 1


def test_sampling_and_held_out_signals_leave_training_untouched(title, quick, finished):
    often = finished(title)  # every third step
    seldom = quick(title, "sample_every=100", "validate_every=100")
    one, two = all_tensors(often.run), all_tensors(seldom.run)
    assert [key for key in one if not torch.equal(one[key], two[key])] == []


def test_another_seed_gives_another_run(title, quick, finished):
    first, other = (signals(outcome.run)[0] for outcome in (finished(title), quick(title, "steps=2", "seed=1")))
    losses = [name for name in first if name.endswith("/loss")]
    assert losses and any(first[name] != other[name] for name in losses)


def test_every_term_is_recorded_with_weight_and_share(title, finished):
    row = signals(finished(title).run)[-1]
    terms = [name.removeprefix("weight/") for name in row if name.startswith("weight/")]
    assert terms
    for term in terms:
        assert term in row
        assert 0 <= row[f"share/{term}"] <= 1
    for group in {term.split("/")[0] for term in terms}:
        shares = [row[f"share/{term}"] for term in terms if term.startswith(f"{group}/")]
        assert sum(shares) == pytest.approx(1, abs=1e-6)
        assert row[f"grad_norm/{group}"] > 0
        assert row[f"lr/{group}"] > 0


def test_preflight_speaks_within_seconds_and_leaves_no_trace(title, sprites, tmp_path, monkeypatch):
    from trainwright.engine.preflight import preflight_of

    monkeypatch.chdir(tmp_path)
    family, config = quick_config(title, sprites)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    found = preflight_of(family, config, family.load(config).open_data(config), seconds=0.5)
    assert torch.equal(before, torch.random.get_rng_state())
    assert {c.name for c in found} >= {"lr_probe", "range"}
    assert all(c.message and c.grade in ("ok", "warn", "stop") for c in found)
    assert not list(tmp_path.iterdir())


def test_the_same_command_on_a_finished_run_keeps_its_verdict(title, quick, finished, tmp_path):
    run = Run(shutil.copytree(finished(title).run.folder, tmp_path / "run"))
    run.update(verdict="sick", verdict_reason="as an example")
    again = quick(title)
    assert again.status == "finished"
    assert (run.read()["verdict"], run.read()["verdict_reason"]) == ("sick", "as an example")


def test_every_run_is_watched(title, finished, sprites):
    rows = signals(finished(title).run)
    seen = {name for row in rows for name in row}
    config = quick_config(title, sprites)[1]
    if config.train.probe_count and getattr(config, "mode", "full_train") == "full_train":
        assert {"samples/diversity_ratio", "samples/coverage", "real/coverage"} <= seen
    else:  # an autoencoder makes no samples; a run on a few images is judged by whether it gives them back
        assert {"reconstructions/psnr", "overfit/psnr"} & seen
    assert any(name.startswith("update_ratio/") for name in seen)


def test_grids_are_readable_pictures(title, finished):
    from PIL import Image

    outcome = finished(title)
    assert [p.name for p in sorted(outcome.run.samples.iterdir())] == [f"step_{s:08d}.png" for s in (0, 3, 6)]
    with Image.open(outcome.run.samples / "step_00000006.png") as image:
        assert np.asarray(image).std() >= 0
        assert min(image.size) >= 64


def test_the_run_folder_says_what_it_is(title, finished):
    run: Run = finished(title).run
    facts = run.read()
    assert facts["status"] == "finished"
    assert facts["recipe"] == title
    assert facts["hypothesis"]
    assert facts["step"] == facts["steps"] == 6
    assert sum(facts["parameters"].values()) > 0
    assert [e["event"] for e in run.events() if e["event"] != "finding"] == ["started", "finished"]
