"""``treat``, ``plan``, ``search``, ``compare`` and ``notebook`` as a user meets them: real processes, real kills, wrong input."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

WORDS = (
    "size=16", "generator_features=8", "critic_features=8", "latent_dim=8", "batch_size=8", "n_critic=2", "threads=1",
    "tracker=none", "log_every=2", "validate_every=5", "checkpoint_every=5", "sample_every=10", "sample_count=4", "probe_stride=1",
)  # fmt: skip
PLAN = """
title: Rates <script>alert(1)</script>
recipe: wgan_gp/tiny
settings: {steps: 20}
seeds: [0, 1]
show: [samples/diversity_ratio]
experiments:
  - {name: base, hypothesis: "<img src=x onerror=alert(2)> it learns", expect: "base.step == 20"}
  - {name: slower, from: base, change: {lr_g: x0.5}, hypothesis: half the rate learns too, expect: "slower.step > 100"}
  - {name: longer, from: base, begin: end, steps: 10, hypothesis: ten more steps help, expect: "longer['samples/coverage'] >= 0"}
  - {name: never, from: base, change: {lr_d: x0.5}, when: "base.step > 20", hypothesis: this one is not to be run}
"""


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "trainwright", *words]


def run(*words: str, cwd=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=280, cwd=cwd)


@pytest.fixture(scope="module")
def plan(tmp_path_factory, sprites):
    file = tmp_path_factory.mktemp("plan") / "rates.yaml"
    file.write_text(PLAN)
    return str(file), (f"data={sprites}", *WORDS)


@pytest.fixture(scope="module")
def done(plan, tmp_path_factory):
    """A plan that was run to its end without a disturbance."""
    folder = tmp_path_factory.mktemp("studies") / "done"
    said = run("plan", "run", plan[0], *plan[1], "--study", str(folder), "--workers", "2")
    assert said.returncode == 0, said.stderr
    return folder, said.stdout


def outcome(folder):
    """What a plan's table says, without what a clock says."""
    table = json.loads((folder / "table.json").read_text())
    clock = ("seconds", "speed", "levels", "effects")
    rows = [{k: v for k, v in row.items() if k not in clock} for row in table["rows"]]
    levels = [
        {k: v for k, v in row.get("levels", {}).items() if not k.startswith(("speed/", "monitor/"))}
        for row in table["rows"]
    ]
    return table["headline"], rows, levels


def test_a_plan_says_what_came_of_each_hypothesis(done):
    folder, said = done
    rows = {row["name"]: row for row in json.loads((folder / "table.json").read_text())["rows"]}
    assert {n: r["outcome"] for n, r in rows.items()} == {
        "base": "supported", "slower": "contradicted", "longer": "supported", "never": "not run",
    }  # fmt: skip
    assert "2 supported, 1 contradicted, 1 not run" in said
    assert rows["longer"]["step"] == 30 and rows["longer"]["trained"] == 20  # ten steps for each of two seeds
    assert rows["slower"]["effects"]["samples/diversity_ratio"]["n"] == 2
    child = json.loads((folder / "runs" / "longer-s1" / "run.json").read_text())
    assert child["parent"] == "base-s1" and child["forked_at"] == 20
    first = json.loads((folder / "runs" / "longer-s1" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["step"] > 20  # a child's curve begins at the fork


def test_nothing_that_a_user_wrote_is_executed_by_the_page(done):
    page = (done[0] / "notebook.html").read_text()
    assert "<script" not in page.lower() and "onerror" not in page.replace("&lt;img src=x onerror=alert(2)&gt;", "")
    assert "Content-Security-Policy" in page
    assert 'src="http' not in page and 'href="http' not in page and "url(http" not in page


def test_the_same_command_trains_nothing_again(done, plan):
    folder, _ = done
    before = outcome(folder)
    stamps = {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/metrics.jsonl")}
    said = run("plan", "run", plan[0], *plan[1], "--study", str(folder))
    assert said.returncode == 0, said.stderr
    assert outcome(folder) == before
    assert stamps == {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/metrics.jsonl")}


def test_a_plan_of_another_recipe_is_refused_and_its_table_stays(plan, tmp_path):
    folder = tmp_path / "study"
    recipe = tmp_path / "own.yaml"
    recipe.write_text("family: wgan_gp\ntrain: {steps: 4, batch_size: 8, log_every: 2}\n")
    file = tmp_path / "plan.yaml"
    file.write_text(
        f"title: a plan\nrecipe: {recipe}\nexperiments:\n  - {{name: base, hypothesis: it is well as it is}}\n"
        "  - {name: other, from: base, change: {lr_g: x0.5}, hypothesis: it is better so}\n"
    )
    words = ("plan", "run", str(file), *plan[1], "--study", str(folder))
    assert run(*words).returncode == 0
    table = (folder / "table.json").read_text()
    assert [row["status"] for row in json.loads(table)["rows"]] == ["finished", "finished"]
    recipe.write_text(recipe.read_text().replace("steps: 4", "steps: 5"))
    said = run(*words)
    assert said.returncode == 2 and "the journal holds experiment base with other settings" in said.stderr
    assert (folder / "table.json").read_text() == table


def test_a_driver_that_is_killed_at_any_moment_ends_with_the_same_table(done, plan, tmp_path):
    folder, draw = tmp_path / "killed", random.Random(2)
    words = command("plan", "run", plan[0], *plan[1], "--study", str(folder), "--workers", "2")
    for _ in range(3):
        driver = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(draw.uniform(4, 14))
        os.kill(driver.pid, signal.SIGKILL)  # the driver alone: its workers find out by themselves
        driver.wait()
    said = subprocess.run(words, capture_output=True, text=True, timeout=280)
    assert said.returncode == 0, said.stderr
    assert outcome(folder) == outcome(done[0])


def test_ctrl_c_ends_a_treatment_with_a_checkpoint_and_the_same_command_goes_on(sprites, tmp_path):
    folder = tmp_path / "study"
    broken = ("lr_g=0.0", "steps=60", f"data={sprites}", *WORDS)
    words = command("treat", "wgan_gp/tiny", *broken, "--study", str(folder))
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = folder / "runs" / "00-untreated" / "metrics.jsonl"
    until = time.monotonic() + 120
    while not metrics.exists() and time.monotonic() < until:
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=120)
    if started.returncode == 130:  # else it had ended before the signal came
        assert "continues (" in err and "Traceback" not in err + out
    said = subprocess.run(words, capture_output=True, text=True, timeout=280)
    assert said.returncode in (0, 11), said.stderr
    assert "best run:" in said.stdout and "notebook:" in said.stdout
    decisions = [
        json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines() if '"decision"' in line
    ]
    assert decisions[0]["experiment"] == "00-untreated"
    assert len({d["experiment"] for d in decisions}) == len(decisions)


SPACE = """
title: rates
recipe: wgan_gp/tiny
space:
  lr_g: {low: 1.0e-5, high: 1.0e-2, log: true}
  n_critic: {low: 1, high: 3}
  ema_warmup: {choices: [true, false]}
trials: 4
steps: 20
pruner: PRUNER
"""


@pytest.mark.parametrize("pruner", ["hyperband", "none"])
def test_a_search_goes_on_with_the_same_trials(sprites, tmp_path, pruner):
    file, folder = tmp_path / "space.yaml", tmp_path / "study"
    file.write_text(SPACE.replace("PRUNER", pruner))
    words = ("search", str(file), f"data={sprites}", *WORDS, "--study", str(folder))
    first = run(*words)
    assert first.returncode == 0, first.stderr
    before = outcome(folder)
    assert "4 trials" in before[0] and len(before[1]) == 4
    journal = folder / "events.jsonl"
    kept = journal.read_text().splitlines(keepends=True)[:3]  # as after a crash: one trial has ended, another was begun
    journal.write_text("".join(kept))
    started = [json.loads(line)["experiment"].partition("-")[0] for line in kept if '"started"' in line]
    for trial in (folder / "runs").iterdir():
        if trial.name not in started:
            shutil.rmtree(trial)
    again = run(*words)
    assert again.returncode == 0, again.stderr
    old, new = ({row["name"]: row["change"] for row in rows} for rows in (before[1], outcome(folder)[1]))
    assert len(new) == 4 and started
    assert {name: new[name] for name in started} == {name: old[name] for name in started}


def test_compare_takes_seeds_together_and_says_what_differs(done, tmp_path):
    runs = [str(done[0] / "runs" / name) for name in ("base-s0", "base-s1", "slower-s0", "slower-s1")]
    page = tmp_path / "page.html"
    said = run("compare", *runs, "--out", str(page))
    assert said.returncode == 0, said.stderr
    assert "over 2 seeds" in said.stdout
    assert "optim.lr_g" in said.stdout and "optim.lr_d" not in said.stdout
    assert "What differs" in page.read_text()


def test_compare_tells_runs_of_one_name_apart_and_takes_a_repetition_for_no_chance(done, tmp_path):
    other = tmp_path / "other" / "base-s0"
    shutil.copytree(done[0] / "runs" / "slower-s0", other)
    first = str(done[0] / "runs" / "base-s0")
    page = tmp_path / "page.html"
    said = run("compare", first, first, str(other), "--out", str(page))
    assert said.returncode == 0, said.stderr
    assert "other/base-s0: quality" in said.stdout and "runs/base-s0, from one seed" in said.stdout
    again = tmp_path / "again" / "base-s0"
    shutil.copytree(first, again)
    said = run("compare", first, str(again), str(other), "--out", str(page))
    assert "again/base-s0 repeats runs/base-s0" in said.stdout and "seeds" in said.stdout
    assert "from one seed" in said.stdout


@pytest.mark.parametrize(
    "words, reported",
    [
        (("plan", "run", "nowhere.yaml"), "no such file"),
        (("plan", "run", "wgan_gp/tuning"), "Did you mean 'wgan_gp/tuning_order'?"),
        (("plan", "check", "bad.yaml"), "bad.yaml: line 2: unknown key 'recipes'"),
        (("search", "space.yaml"), "low must be below high"),
        (("search", "space.yaml", "lr_x=3"), "low must be below high"),
        (("treat", "wgan_gp/tiny", "--budget", "2 days"), "expected a time such as"),
        (("treat", "wgan_gp/tinny"), "wgan_gp/tiny"),
        (("compare", "one"), "two or more"),
        (("compare", "one", "two"), "no such run folder"),
        (("report", "."), "neither a run nor a study"),
        (("notebook", "."), "neither a run nor a study"),
        (("plan", "run", "wgan_gp/tuning_order", "data=nowhere/"), "nowhere"),
        (("plan", "run", "wgan_gp/tuning_order", "--study", "bad.yaml"), "cannot be created or written"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(words, reported, tmp_path):
    (tmp_path / "bad.yaml").write_text("title: x\nrecipes: wgan_gp/tiny\nexperiments: []\n")
    (tmp_path / "space.yaml").write_text("title: x\nrecipe: wgan_gp/tiny\nspace: {lr_g: {low: 2.0, high: 1.0}}\n")
    said = run(*words, cwd=tmp_path)
    assert said.returncode == 2, said.stdout + said.stderr
    assert reported in said.stderr and "Traceback" not in said.stderr
    assert len([line for line in said.stderr.strip().splitlines() if not line.startswith("preparing")]) == 1
