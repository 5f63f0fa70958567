"""Rules that a log alone can bear: what is said of it, and what is not."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import trainwright
from trainwright.diagnosis.best import best
from trainwright.diagnosis.history import History


def csv(folder, **columns):
    """Write a log of columns, each a function of the row."""
    rng = np.random.default_rng(0)
    n = columns.pop("n", 120)
    names = [c.replace("__", "/") for c in columns]
    rows = [",".join([str(i), *(str(f(i, rng)) for f in columns.values())]) for i in range(n)]
    (folder / "log.csv").write_text("\n".join([",".join(["step", *names]), *rows]) + "\n")
    return trainwright.diagnose(folder / "log.csv")


def falling(i, rng):
    return np.exp(-i / 20) + 0.2 + 0.02 * rng.random()


def risen(i, rng):
    return 1.4 + 0.05 * rng.random() if i < 10 else 7.5 + 0.3 * rng.random()


def test_a_loss_that_leaves_its_best_value_is_named_with_its_rate(tmp_path):
    found = csv(tmp_path, loss=risen, learning_rate=lambda i, rng: 0.02 * min(1, (i + 1) / 10))
    assert found.verdict == "sick"
    assert [f.symptom for f in found.alarms] == ["diverging"]
    first = found.alarms[0].remedies[0]
    assert found.alarms[0].causes[0].name == "lr_too_high" and "0.02 to 0.002" in first.advice


@pytest.mark.parametrize("loss", [falling, lambda i, rng: 1 + 0.2 * rng.random(), lambda i, rng: -i / 50])
def test_a_loss_that_falls_or_stays_has_not_left_its_best_value(tmp_path, loss):
    assert "diverging" not in [f.symptom for f in csv(tmp_path, loss=loss).findings]


@pytest.mark.parametrize(
    ("readings", "symptom"),
    [
        ([1.7, 11.4, 11.7, 11.5, 11.4, 12.2, 10.0, 10.9, 10.5], "diverging"),
        ([2.1, 2.0, 1.9, 1.8, 1.9, 1.8, 1.7, 1.8], ""),
        ([0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 3.9, 5.4], ""),  # a warm-up of the KL weight rises like this
    ],
)
def test_a_jump_is_seen_in_a_short_log(tmp_path, readings, symptom):
    found = csv(tmp_path, n=len(readings), loss=lambda i, rng: readings[i])
    assert [f.symptom for f in found.alarms] == ([symptom] if symptom else [])


def test_a_norm_far_above_all_before_it_is_a_spike(tmp_path):
    norms = [15, 10, 8, 92, 29, 5, 8, 8, 11140]
    found = csv(tmp_path, n=9, loss=lambda i, rng: 1.4 + 0.2 * rng.random(), grad_norm=lambda i, rng: norms[i])
    assert [f.symptom for f in found.alarms] == ["spike"]


def test_samples_that_get_worse_for_good_are_named(tmp_path):
    found = csv(tmp_path, FID=lambda i, rng: abs(60 - i) + 20.0, d_loss=lambda i, rng: 1 + 0.1 * rng.random())
    assert [f.symptom for f in found.alarms] == ["diverging"] and found.best_step == 60


def test_a_constant_loss_is_a_plateau_whatever_its_unit_of_steps(tmp_path):
    found = csv(tmp_path, n=30, train_rf=lambda i, rng: 0.4855 + 1e-4 * (i % 2))
    assert [f.symptom for f in found.alarms] == ["plateau"]


def test_a_rate_of_zero_is_named_though_the_run_is_over(tmp_path):
    found = csv(tmp_path, loss=lambda i, rng: 1.5 + 0.1 * rng.random(), learning_rate=lambda i, rng: 0.0)
    assert found.alarms[0].symptom == "frozen_network" and found.alarms[0].causes[0].name == "lr_zero"


def test_a_schedule_that_ends_at_zero_is_none(tmp_path):
    assert not csv(tmp_path, loss=falling, learning_rate=lambda i, rng: 1e-4 * max(0, 1 - i / 110)).alarms


def test_a_gradient_norm_of_zero_was_not_measured(tmp_path):
    assert not csv(tmp_path, loss=falling, grad_norm=lambda i, rng: 0.0).alarms


def test_a_column_of_unknown_meaning_is_judged_for_nan_and_growth(tmp_path):
    assert csv(tmp_path, loss=falling, wobble=lambda i, rng: float("nan") if i > 90 else 1.0).verdict == "crashed"
    grown = csv(tmp_path, loss=falling, wobble=lambda i, rng: (1 if i < 60 else 900) * (1 + 0.1 * rng.random()))
    assert [f.symptom for f in grown.alarms] == ["exploding"]
    assert not csv(tmp_path, loss=falling, tokens_seen=lambda i, rng: 1000 * i).alarms


def test_swings_of_adversarial_losses_are_no_alarm(tmp_path):
    def swing(i, rng):
        return abs(2 * np.sin(i / 3)) + 0.1 * rng.random()

    assert not csv(tmp_path, d_loss=swing, g_loss=lambda i, rng: 2.5 - swing(i, rng)).alarms


def test_a_discriminator_that_has_won_is_named_for_a_loss_of_any_kind(tmp_path):
    found = csv(tmp_path, d_loss=lambda i, rng: 0.7 * np.exp(-i / 10), g_loss=lambda i, rng: 0.7 + i / 8)
    assert [f.symptom for f in found.alarms] == ["critic_dominance"]


def test_pinned_losses_are_named_from_few_readings(tmp_path):
    found = csv(tmp_path, n=9, Err_D=lambda i, rng: 0.0, Err_G=lambda i, rng: 27.631)
    assert found.alarms[0].symptom == "vanishing_losses"


def test_columns_that_are_named_for_their_data_only(tmp_path):
    (tmp_path / "h.json").write_text(json.dumps({"train": [3, 2, 1.5, 1.2], "val": [3, 2.5, 2.2, 2.4]}))
    found = trainwright.diagnose(tmp_path / "h.json")
    assert found.best_step == 3


@pytest.mark.parametrize("column", ["loss/train_step", "train/loss_step", "train_loss_epoch"])
def test_a_loss_with_the_word_step_in_its_name_is_a_loss(tmp_path, column):
    (tmp_path / "log.csv").write_text(f"step,{column}\n" + "".join(f"{i},{1 / (i + 1)}\n" for i in range(20)))
    found = trainwright.diagnose(tmp_path / "log.csv")
    assert found.step == 19


def test_the_best_step_is_the_lowest_held_out_reading():
    rows = [{"step": i, "validation/loss": abs(i - 30) + 1.0} for i in range(0, 100, 10)]
    kept = best(History.of(rows))
    assert kept is not None and (kept.step, kept.passed) == (30, True)
    assert best(History.of([{"step": 1, "loss": 1.0}])) is None


def test_a_log_of_unknown_kind_gets_no_advice_for_one_kind(tmp_path):
    found = csv(tmp_path, loss=lambda i, rng: 1 / (1 + i), val_loss=lambda i, rng: 0.5 + abs(i - 20) / 40)
    text = str(found)
    assert "overfitting" in text and "best step: 20" in text
    assert "KL" not in text and "critic" not in text and "generator" not in text
    assert len(text.splitlines()) <= 24


def test_the_doctor_of_a_log_imports_nothing_heavy(tmp_path):
    csv(tmp_path, loss=falling)
    code = (
        "import sys; sys.argv = ['trainwright', 'doctor', sys.argv[1]]\n"
        "from trainwright.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('heavy:', *{'torch', 'matplotlib', 'pydantic', 'ruamel', 'typer', 'rich', 'scipy'} & set(sys.modules))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log.csv")], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == "heavy:"


def test_what_one_log_does_not_show_is_seen_beside_a_baseline(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    rate = {"learning_rate": lambda i, rng: 2e-4}
    csv(tmp_path / "b", loss=falling, **rate)
    assert not csv(tmp_path / "a", loss=lambda i, rng: 3 * falling(i, rng), **rate).alarms
    found = trainwright.diagnose(tmp_path / "a" / "log.csv", baseline=tmp_path / "b" / "log.csv")
    assert [f.symptom for f in found.alarms] == ["worse_than_baseline"]
    assert found.alarms[0].causes[0].name == "data_differs"
    csv(tmp_path / "a", loss=lambda i, rng: falling(i, rng) + 0.02 * rng.random(), **rate)
    assert not trainwright.diagnose(tmp_path / "a" / "log.csv", baseline=tmp_path / "b" / "log.csv").alarms


def test_another_rate_than_the_baseline_is_the_first_cause(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    csv(tmp_path / "b", loss=falling, learning_rate=lambda i, rng: 2e-4)
    csv(tmp_path / "a", loss=lambda i, rng: 1 + falling(i, rng), learning_rate=lambda i, rng: 2e-6)
    found = trainwright.diagnose(tmp_path / "a" / "log.csv", baseline=tmp_path / "b" / "log.csv")
    assert found.alarms[0].causes[0].name == "rate_differs" and "0.0002" in found.alarms[0].remedies[0].advice


def test_findings_as_sarif(tmp_path):
    csv(tmp_path, loss=risen)
    words = ["doctor", str(tmp_path / "log.csv"), "--sarif", str(tmp_path / "out.sarif")]
    said = subprocess.run([sys.executable, "-m", "trainwright", *words], capture_output=True, text=True, check=False)
    assert said.returncode == 11, said.stderr
    run = json.loads((tmp_path / "out.sarif").read_text())["runs"][0]
    assert [r["ruleId"] for r in run["results"]] == [r["id"] for r in run["tool"]["driver"]["rules"]] == ["diverging"]
    assert run["results"][0]["level"] == "error"


def _ignore() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_a_log_is_followed_and_only_changes_are_said(tmp_path):
    file, rng = tmp_path / "log.csv", np.random.default_rng(0)
    lines = [f"{i},{risen(i, rng)}\n" for i in range(120)]
    file.write_text("step,loss\n" + "".join(lines[:10]))
    words = [sys.executable, "-m", "trainwright", "doctor", str(file), "--follow", "--every", "0.1"]
    # a shell may have set SIGINT to be ignored, which a child inherits
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, preexec_fn=_ignore) as follower:
        assert follower.stdout is not None
        assert "unknown" in follower.stdout.readline()
        with file.open("a") as handle:
            handle.write("".join(lines[10:]))
        os.utime(file, (time.time() + 5, time.time() + 5))
        found = next(line for line in follower.stdout if "sick at step" in line)
        assert "119" in found
        follower.send_signal(signal.SIGINT)
        follower.stdout.read()
        assert follower.wait(60) == 11


def test_a_measure_that_is_sometimes_undefined_is_a_note(tmp_path):
    found = csv(tmp_path, loss=falling, precision=lambda i, rng: float("nan") if i % 7 == 0 else 0.5)
    assert found.verdict == "unknown" and [f.severity for f in found.findings] == ["note"]
    assert "while losses and gradients are finite" in found.findings[0].evidence[0]
    assert csv(tmp_path, loss_a=falling, term=lambda i, rng: float("nan") if i % 7 == 0 else 0.5).verdict == "crashed"
    first = csv(tmp_path, loss=falling, change=lambda i, rng: float("nan") if i == 0 else 0.5)
    assert not first.findings


def test_losses_that_repeat_themselves_mean_that_no_weight_changes(tmp_path):
    losses = [0.9741, 1.3742, 1.2390, 0.9670, 1.0386, 1.1681, 1.3003, 0.8721]
    found = csv(tmp_path, n=14, loss=lambda i, rng: losses[i % 8])
    assert [f.symptom for f in found.alarms] == ["frozen_network"] and "every 8 readings" in found.alarms[0].evidence[0]
    assert not csv(tmp_path, n=14, loss=lambda i, rng: losses[i % 8] - 1e-4 * i).alarms
    assert not csv(tmp_path, n=14, loss=lambda i, rng: 0.1 * (i % 2) + 0.5).alarms  # two values are not a pass


def test_a_held_out_accuracy_that_never_changes_is_one_answer_for_all(tmp_path):
    found = csv(tmp_path, n=12, loss=lambda i, rng: 0.8 - 0.001 * i, val_accuracy=lambda i, rng: 0.3714285)
    assert [f.symptom for f in found.alarms] == ["plateau"] and "same answer" in found.alarms[0].evidence[0]
    for good in (lambda i, rng: 0.37 + 0.01 * i, lambda i, rng: 0.99):
        assert not csv(tmp_path, n=12, loss=lambda i, rng: 0.8 * 0.8**i, val_accuracy=good).alarms


def test_a_held_out_loss_that_stands_still_above_a_falling_one_is_suspect(tmp_path):
    found = csv(tmp_path, n=20, loss=lambda i, rng: 1.2 - 0.03 * i, val_loss=lambda i, rng: 3 + 0.02 * rng.random())
    assert [(f.symptom, f.severity) for f in found.alarms] == [("overfitting", "suspect")]
    near = csv(tmp_path, n=20, loss=lambda i, rng: 1.2 - 0.03 * i, val_loss=lambda i, rng: 1.3 - 0.02 * i)
    assert not near.alarms


def test_a_noisy_loss_is_averaged_before_it_is_called_flat(tmp_path):
    def batch(i, rng):
        return 0.72 + 0.1 * rng.standard_normal()

    assert [f.symptom for f in csv(tmp_path, n=2000, loss=batch, accuracy=lambda i, rng: 0.5).alarms] == ["plateau"]
    learned = csv(tmp_path, n=2000, loss=lambda i, rng: batch(i, rng) * (2 if i < 8 else 1))
    assert not learned.alarms


def test_a_jump_after_which_no_reading_is_as_low_as_before_is_a_spike(tmp_path):
    def loss(i, rng):
        return 4e4 if i == 20 else -1.5 - 0.02 * i if i > 20 else -5.4 + 0.2 * rng.random()

    assert [f.symptom for f in csv(tmp_path, n=32, nll=loss).alarms] == ["spike"]
    assert not csv(tmp_path, n=32, nll=lambda i, rng: 4e4 if i == 20 else -5.4 + 0.2 * rng.random()).alarms


def test_a_loss_that_rises_with_every_reading_to_the_end_is_suspect(tmp_path):
    losses = [2.5, 1.6, 1.1, 0.5, 0.2, 0.09, 0.061, 0.09, 0.11, 0.2, 0.33, 0.46, 0.55]
    assert [f.symptom for f in csv(tmp_path, n=13, loss=lambda i, rng: losses[i]).alarms] == ["diverging"]
    assert not csv(tmp_path, n=10, loss=lambda i, rng: losses[i]).alarms


def test_a_discriminator_that_is_always_right_is_named_for_squared_errors_too(tmp_path):
    def gone(i, rng):
        return 0.1 * 0.8**i + 1e-4 * rng.random()

    found = csv(
        tmp_path, d_real=gone, d_fake=gone, g_adv=lambda i, rng: 1 + 0.004 * rng.standard_normal() - 0.4 * 0.8**i,
        g_l1=lambda i, rng: 1 + 0.99**i,
    )  # fmt: skip
    assert [f.symptom for f in found.alarms] == ["critic_dominance"]


def test_a_discriminator_whose_loss_stands_has_stopped_to_learn(tmp_path):
    found = csv(tmp_path, d_loss=lambda i, rng: 1.00641 + 0.4 * 0.8**i, gen_loss=lambda i, rng: 0.04 + 0.9 * 0.98**i)
    assert [(f.symptom, f.severity) for f in found.alarms] == [("vanishing_losses", "suspect")]


def test_losses_of_single_batches_that_swing_are_a_note(tmp_path):
    found = csv(tmp_path, n=600, train_loss_step=lambda i, rng: 0.02 * np.exp(1.5 * rng.standard_normal()) + 0.9**i)
    assert not found.alarms


def test_errors_and_several_held_out_sets_tell_the_best_step(tmp_path):
    found = csv(tmp_path, n=40, loss=falling, val_rmse=lambda i, rng: 60 + abs(i - 20))
    assert found.best_step == 20
    rows = [{"step": i, "loss": 0.9**i, "eval_g0_loss": 1 + abs(i - 20), "eval_g1_loss": 2.0} for i in range(40)]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
    assert trainwright.diagnose(tmp_path / "trainer_state.json").best_step == 20


def test_a_discriminator_that_is_right_from_the_start_is_named(tmp_path):
    won = csv(
        tmp_path, n=60, d_loss=lambda i, rng: 0.02 * rng.random() + 1e-4, g_loss=lambda i, rng: 5 + 3 * rng.random()
    )
    assert [f.symptom for f in won.alarms] == ["critic_dominance"]
    even = csv(tmp_path, n=60, d_loss=lambda i, rng: 0.5 + 0.2 * rng.random(), g_loss=lambda i, rng: 5 + rng.random())
    assert not even.alarms


def test_one_side_of_a_cyclegan_may_be_lost(tmp_path):
    def logged(d_a, g_a):
        return csv(
            tmp_path, D_A=d_a, G_A=g_a, cycle_A=lambda i, rng: 0.2 + 0.1 * rng.random(), D_B=lambda i, rng: 0.2 + 0.05 * rng.random(),
            G_B=lambda i, rng: 0.4 + 0.1 * rng.random(),
        )  # fmt: skip

    lost = logged(lambda i, rng: 0.3 * 0.9**i, lambda i, rng: 1 - 0.5 * 0.9**i)
    assert [f.symptom for f in lost.alarms] == ["critic_dominance"] and "D_A" in lost.alarms[0].evidence[0]
    assert not logged(lambda i, rng: 0.2 + 0.05 * rng.random(), lambda i, rng: 0.4 + 0.1 * rng.random()).alarms


def test_a_kl_of_any_early_level_explodes_beyond_all_bounds(tmp_path):
    def kl(most):
        return csv(
            tmp_path, loss=falling, KL_loss=lambda i, rng: min(most, 13 * 2.0**i), recon_loss=falling
        )  # fmt: skip

    assert "exploding" in [f.symptom for f in kl(1e15).alarms]
    assert "exploding" not in [f.symptom for f in kl(400.0).alarms]


def test_the_only_column_of_a_log_is_judged_if_it_never_changes(tmp_path):
    (tmp_path / "loss.csv").write_text("0.106\n" + "0.1052032\n" * 60)
    assert [f.symptom for f in trainwright.diagnose(tmp_path / "loss.csv").alarms] == ["plateau"]
    (tmp_path / "loss.csv").write_text("".join(f"{0.1 * 0.97**i}\n" for i in range(60)))
    assert not trainwright.diagnose(tmp_path / "loss.csv").alarms


def test_a_held_out_loss_far_above_its_best_is_diverging_if_training_does_not_improve(tmp_path):
    held = [2.55, 3.62, 3.49, 3.19, 3.96, 3.98, 3.72, 4.46, 4.0, 4.17]
    worse = csv(tmp_path, n=10, loss=lambda i, rng: 1.24 + 0.1 * min(i, 6), val_loss=lambda i, rng: held[i])
    assert [f.symptom for f in worse.alarms] == ["diverging"]
    over = csv(tmp_path, n=10, loss=lambda i, rng: 1.24 - 0.1 * i, val_loss=lambda i, rng: held[i] if i else 2.55)
    assert [f.symptom for f in over.alarms] == ["overfitting"]


@pytest.mark.parametrize("name", ["avr_loss", "step_loss", "loss/average"])
def test_the_flat_loss_of_a_fine_tuned_diffusion_model_is_no_plateau(tmp_path, name):
    found = csv(tmp_path, **{name.replace("/", "__"): lambda i, rng: 0.1 + 0.01 * rng.random()})
    assert found.verdict == "unknown" and not found.alarms
    assert [f.symptom for f in csv(tmp_path, **{name.replace("/", "__"): lambda i, rng: 0.0}).alarms] == ["plateau"]


def test_a_long_log_of_one_number_is_judged_without_comparing_all_with_all(tmp_path):
    (tmp_path / "log.csv").write_text("step,loss\n" + "".join(f"{i},0.0\n" for i in range(60_000)))
    assert [f.symptom for f in trainwright.diagnose(tmp_path / "log.csv").alarms] == ["plateau"]
