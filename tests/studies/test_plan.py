"""Plans are checked whole before the first step; what stands in them is done in order, once, and a crash changes nothing."""

import itertools
import random

import pytest

from benchmarks.scheduling import after
from benchmarks.simulated import Simulated
from trainwright.diagnosis.doctor import EXIT
from trainwright.errors import UserError
from trainwright.studies.jobs import Result
from trainwright.studies.plan import load, locate, shipped
from trainwright.studies.plan_runner import PlanRunner, together
from trainwright.studies.scheduler import LOSSES, drive
from trainwright.studies.study import Study

HEAD = "title: a plan\nrecipe: wgan_gp/tiny\nseeds: [0, 1, 2]\nexperiments:\n"
BASE = "  - {name: base, hypothesis: it is well as it is, expect: \"base.verdict == 'healthy'\"}\n"


def plan(tmp_path, *lines, head=HEAD):
    file = tmp_path / "plan.yaml"
    file.write_text(head + "".join(f"  - {{{line}}}\n" if "{name" not in line else line for line in lines))
    return load(file)


def line(name, rest=""):
    return f"name: {name}, hypothesis: something is to be shown{', ' if rest else ''}{rest}"


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_plan_is_sound(name):
    made = load(locate(name))
    assert all(e.expect is not None for e in made.experiments)
    assert len(made.head.seeds) >= 3


@pytest.mark.parametrize(
    "lines, reported",
    [
        ((BASE, BASE), "line 6: base: another experiment has the same name"),
        (
            (BASE, line("a", "from: bose")),
            "line 6: a: from: there is no experiment 'bose' before this one. Did you mean 'base'?",
        ),
        ((BASE, line("a", "from: base, change: {lr_g: 1e-5, lr_d: 1e-5}")), "changes lr_g, lr_d at once"),
        ((BASE, line("a", "from: base, change: {lr_x: 1e-5}")), "line 6: a: unknown key 'lr_x'"),
        ((BASE, line("a", "from: base, change: {lr_g: fast}")), "optim.lr_g"),
        ((BASE, line("a", "from: base, change: {lr_g: 2.0e-4}")), "changes no setting of base"),
        (
            (BASE, line("a", "from: base, begin: end, steps: 9, change: {data.size: 16}")),
            "data.size: 32 -> 16 cannot change within a run and its forks",
        ),
        ((BASE, line("a", "begin: end")), "forks from a parent"),
        ((BASE, line("a", "from: base, begin: end")), "it needs `steps`"),
        (
            (BASE, line("a", "when: \"base.verdict == 'helthy'\"")),
            "there is no verdict 'helthy'. Did you mean 'healthy'?",
        ),
        ((BASE, line("a", "when: \"'posterior_colapse' in base.symptoms\"")), "Did you mean 'posterior_collapse'?"),
        ((BASE, line("a", "when: base.verdit")), "verdict"),
        ((BASE, line("a", "when: \"b.verdict == 'sick'\"")), "no experiment 'b' before this one"),
        ((BASE, line("a", "colour: red")), "line 6: unknown key 'colour'"),
        ((line("A"),), "line 5: name"),
    ],
)
def test_a_mistake_is_named_with_its_line_before_anything_is_trained(tmp_path, lines, reported):
    with pytest.raises(UserError) as error:
        plan(tmp_path, *lines)
    assert reported in str(error.value)
    assert "plan.yaml" in str(error.value)


def test_what_must_follow_a_change_and_several_changes_are_allowed_when_said(tmp_path):
    made = plan(
        tmp_path,
        BASE,
        line("a", "from: base, change: {lr_g: x0.1}, with: {n_critic: 1}"),
        line("b", "from: a, change: {lr_g: x2, lr_d: x2}, several_changes: true"),
    )
    config = made.experiments[2].config
    assert (config.optim.lr_g, config.optim.lr_d, config.optim.n_critic) == (
        pytest.approx(4e-5),
        pytest.approx(4e-4),
        1,
    )
    assert set(made.experiments[1].change) == {"optim.lr_g", "optim.n_critic"}


def test_a_fork_takes_hot_settings_of_its_data_and_another_shape(tmp_path):
    made = plan(
        tmp_path,
        BASE,
        line("a", "from: base, begin: end, steps: 9, change: {data.augment.flip: 0.25}"),
        line("b", "from: base, begin: end, steps: 9, change: {critic_features: 16}"),
    )
    assert made.experiments[1].config.data.augment.flip == 0.25
    assert made.experiments[2].config.model.critic_features == 16


LADDER = (
    BASE,
    line("a", 'from: base, change: {lr_g: x0.5}, when: "base.verdict == \'healthy\'", expect: "a.score > base.score"'),
    line("b", "from: base, change: {lr_g: x0.5}, when: \"base.verdict == 'sick'\""),
    line("c", "from: b, change: {lr_d: x0.5}"),
    line("d", "from: a, change: {lr_d: x0.5}, when: \"a['nothing'] > 1\""),
    line("e", "from: a, change: {lr_d: x0.5}, expect: \"e['loss'] > 0.5\""),
)


def study(tmp_path):
    found = Study(tmp_path / "study")
    found.open("plan", {"title": "a plan"})
    return found


def finish(made, tmp_path, executor, stop=lambda: False, reported=lambda job, result: None):
    book = study(tmp_path)
    runner = PlanRunner(made, book.runs)
    try:
        return drive(runner, executor, book, stop, reported), runner
    finally:
        book.close()


def table(runner):
    return {
        n: (runner.outcome(n), sorted((s, r.verdict, r.score) for s, r in st.results.items()))
        for n, st in runner.states.items()
    }


def test_conditions_decide_what_runs_and_say_why_not(tmp_path):
    over, runner = finish(plan(tmp_path, *LADDER), tmp_path, Simulated(2))
    assert over
    base = runner.states["base"].result.verdict
    ran, skipped = ("a", "b") if base == "healthy" else ("b", "a")
    assert len(runner.states[ran].results) == 3
    assert "condition not met" in runner.states[skipped].skipped
    if base == "healthy":
        assert runner.outcome("c") == ("not run", "b was not run")
        assert runner.outcome("d") == ("not run", "cannot be decided: a['nothing'] was not measured")
        assert runner.outcome("e")[0] in ("supported", "contradicted", "undecided")


def test_a_driver_that_is_killed_again_and_again_ends_with_the_same_table(tmp_path):
    made = plan(tmp_path, *LADDER)
    _, undisturbed = finish(made, tmp_path / "one", Simulated(3))
    draw = random.Random(4)
    for number in range(200):
        reported, stop = after(draw.randrange(1, 4))
        over, runner = finish(made, tmp_path / "two", Simulated(3, loss=0.2, seed=number), stop, reported)
        if over:
            break
    assert over and number > 2
    assert table(runner) == table(undisturbed)
    ended = [e["experiment"] for e in Study(tmp_path / "two" / "study").events() if e["event"] == "ended"]
    assert len(ended) == len(set(ended))


def test_what_cannot_be_run_is_tried_again_by_the_next_call_and_then_given_up(tmp_path):
    made = plan(tmp_path, BASE, line("a", "from: base, change: {lr_g: x0.5}"))
    over, runner = finish(made, tmp_path, Simulated(1, loss=1.0))
    assert not over and not runner.states["base"].results
    assert set(Study(tmp_path / "study").failures()) == {"base-s0", "base-s1", "base-s2"}
    assert sum(e["event"] == "lost" for e in Study(tmp_path / "study").events()) == 3 * LOSSES
    over, runner = finish(made, tmp_path, Simulated(1))  # what was in the way is mended
    assert over and {r.status for r in runner.states["base"].results.values()} == {"finished"}
    assert not Study(tmp_path / "study").failures()
    hopeless = tmp_path / "hopeless"
    assert not finish(made, hopeless, Simulated(1, loss=1.0))[0]
    over, runner = finish(made, hopeless, Simulated(2, loss=1.0))
    assert {r.status for r in runner.states["base"].results.values()} == {"failed"}


@pytest.mark.parametrize("rule", ["budget: {steps: 2000}", "stop_when: a.ended", "budget: {runs: 3}"])
@pytest.mark.parametrize("left", [2, 1000])
def test_a_plan_that_ended_early_shows_the_same_when_it_is_given_again(tmp_path, rule, left):
    lines = [
        line(name, "" if name == "a" else f"from: a, change: {{lr_g: x0.{i}}}") for i, name in enumerate("abcd", 4)
    ]
    made = plan(tmp_path, *lines, head=HEAD.replace("seeds", f"{rule}\nseeds"))
    reported, stop = after(left)
    finish(made, tmp_path, Simulated(4), stop, reported)
    _, first = finish(made, tmp_path, Simulated(2))
    over, again = finish(made, tmp_path, Simulated(3, loss=1.0))  # nothing is run
    assert over and first.stopped and again.stopped == first.stopped
    assert table(again) == table(first)
    ended = [e["experiment"] for e in Study(tmp_path / "study").events() if e["event"] == "ended"]
    assert sum(len(s.results) for s in again.states.values()) == len(ended)


def test_a_journal_of_other_settings_is_refused(tmp_path):
    finish(plan(tmp_path, BASE), tmp_path, Simulated(1))
    other = plan(tmp_path, BASE, head=HEAD.replace("seeds", "settings: {n_critic: 7}\nseeds"))
    with pytest.raises(UserError, match="the journal holds experiment base-s0 with other settings"):
        finish(other, tmp_path, Simulated(1))


def test_what_has_no_checkpoint_to_be_forked_from_is_skipped_with_the_reason(tmp_path):
    made = plan(
        tmp_path, BASE, line("a", "from: base, begin: end, steps: 500"), line("b", "from: a, change: {lr_g: x0.5}")
    )
    over, runner = finish(made, tmp_path, Simulated(2))  # simulated runs leave no checkpoints
    assert over
    assert runner.outcome("a") == ("not run", "base has no checkpoint to fork from")
    assert runner.outcome("b") == ("not run", "a was not run")


def test_a_budget_and_a_stop_rule_end_a_plan_and_say_so(tmp_path):
    short = HEAD.replace("seeds", "budget: {runs: 2}\nseeds")
    _, runner = finish(plan(tmp_path, BASE, head=short), tmp_path, Simulated(1))
    assert runner.stopped == "the budget of runs is spent"
    rule = HEAD.replace("seeds", "stop_when: base.ended\nseeds")
    _, runner = finish(
        plan(tmp_path, BASE, line("a", "from: base, change: {lr_g: x0.5}"), head=rule), tmp_path / "rule", Simulated(1)
    )
    assert "stop rule holds" in runner.stopped and runner.outcome("a")[0] == "not run"


def test_a_study_is_refused_to_another_plan_and_to_a_second_process(tmp_path):
    first = study(tmp_path)
    with pytest.raises(UserError, match="in use by another process"):
        Study(tmp_path / "study").open("plan", {"title": "a plan"})
    first.close()
    with pytest.raises(UserError, match="started with another title"):
        Study(tmp_path / "study").open("plan", {"title": "another"})


def test_a_journal_whose_last_line_was_cut_short_is_read_up_to_there(tmp_path):
    made = plan(tmp_path, BASE)
    _, whole = finish(made, tmp_path, Simulated(1))
    journal = tmp_path / "study" / "events.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    over, runner = finish(made, tmp_path, Simulated(1))
    assert over and table(runner) == table(whole)


def test_seeds_together_take_the_median_and_of_equal_verdicts_the_worse():
    made = together(
        [Result("finished", v, score=s, symptoms=y) for v, s, y in (("healthy", 0.1, ()), ("sick", 0.5, ("blur",)))]
    )
    assert (made.verdict, made.score, made.symptoms) == ("sick", pytest.approx(0.3), ("blur",))


def test_of_equally_frequent_verdicts_unknown_is_milder_than_any_alarm():
    order = ("healthy", "unknown", "suspect", "sick", "crashed")
    assert set(order) == set(EXIT)
    for milder, worse in itertools.combinations(order, 2):
        for pair in ((milder, worse), (worse, milder)):
            assert together([Result("finished", verdict) for verdict in pair]).verdict == worse
