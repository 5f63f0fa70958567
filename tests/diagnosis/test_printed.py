"""Printed logs: lines that imitate those of common programs, each read with its columns and steps."""

import numpy as np
import pytest

from trainwright.diagnosis.importers import read
from trainwright.errors import UserError

CYCLEGAN = "================ Training Loss (Fri May 17 00:29:50 2019) ================\n" + "".join(
    f"(epoch: {e}, iters: {i}, time: 0.189, data: 0.278) G_GAN: {2 + e}.261 G_L1: 40.5 D_real: 0.056 D_fake: 0.233 \n"
    for e in (1, 2)
    for i in (100, 200, 300)
)
COMBOGAN = "".join(
    f"(epoch: 1, iters: {i}, time: 0.29) D: 0.1, 0.3 | G: 0.2, 0.4 | Cyc: 0.1, 0.1 | \n" for i in (100, 200, 300)
)
SLASHES = "".join(f"Epoch: 00{e}/020 | Batch {b:03}/400 | Gen/Dis Loss: {e}.5/0.25\n" for e in (1, 2) for b in (0, 200))
KERAS = "".join(
    f"Epoch {e}/100\n250/250 [==============================] - 70s 256ms/step - loss: {9 - e}.5 - rmse: 8 - val_loss: {e}.25\n"
    for e in range(1, 6)
)
EXAMPLES = "".join(
    f"Train Epoch: {e} [{n}/60000 ({n // 600}%)]\tLoss: {3 - e}.{n // 6400}\n" for e in (1, 2) for n in (0, 6400, 12800)
)
BRACKETS = "".join(f"[{e:02}/50] [{b:03}/400] mean_loss : {4 - e}.27\n" for e in (0, 1) for b in (0, 200))
NESTED = "".join(f"{n} (5, 1) [D loss: (-28.5)(R -43.2, F 2.7, G 1.2)] [G loss: -3.{n}]\n" for n in range(60, 66))
LOGGER = "".join(
    f"(INFO) (vae.py) (14-Dec-24 12:1{i}:27) # [Train Epoch: 18/50] [{4000 * i}/28306 particles] "
    f"gen loss=0.5, kld={i}.3, beta=0.125\n"
    for i in range(5)
)
DATED = "".join(f"2024-07-26 15:2{i}:47,069 - step: {50 * i}, training_loss: 1.{i}e+04\n" for i in range(5))
BAR = (
    "".join(f"\rEpoch 3:  {i}%|███▌     | {i}/100 [00:12<00:15,  3.2it/s, loss=0.{i}, v_num=1]" for i in range(10, 15))
    + "\n"
)
COLOURED = "".join(f"\x1b[32mINFO\x1b[0m step={i} loss=tensor(0.{i}, device='cuda:0')\n" for i in range(1, 5))
SPACES = "".join(f"step {i} loss 0.{i} lr 2e-4\n" for i in range(1, 5))


@pytest.mark.parametrize(
    ("text", "columns", "steps", "first"),
    [
        (CYCLEGAN, {"G_GAN": "generator/adversarial", "G_L1": "reconstruction/weighted"}, 6, 3.261),
        (COMBOGAN, {"D": "discriminator/loss", "G": "generator/loss"}, 3, 0.2),
        (SLASHES, {"Gen Loss": "generator/loss", "Dis Loss": "discriminator/loss"}, 4, 1.5),
        (KERAS, {"loss": "loss", "val_loss": "validation/loss"}, 5, 8.5),
        (EXAMPLES, {"Loss": "loss"}, 6, 2.0),
        (BRACKETS, {"mean_loss": "loss"}, 4, 4.27),
        (LOGGER, {"gen loss": "generator/loss", "kld": "kl/raw", "beta": "weight/vae/kl"}, 5, 0.5),
        (DATED, {"training_loss": "loss"}, 5, 1e4),
        (BAR, {"loss": "loss"}, 5, 0.10),
        (COLOURED, {"loss": "loss"}, 4, 0.1),
        (SPACES, {"loss": "loss", "lr": "lr/all"}, 4, 0.1),
    ],
    ids=[
        "cyclegan",
        "combogan",
        "slashes",
        "keras",
        "examples",
        "brackets",
        "logger",
        "dated",
        "bar",
        "coloured",
        "spaces",
    ],
)
def test_a_format(tmp_path, text, columns, steps, first):
    file = tmp_path / "train_log.txt"
    file.write_text(text)
    log = read(file)
    assert log.kind == "text"
    assert {c: s for c, s in log.columns.items() if c in columns} == columns
    series = log.history.signals[next(iter(columns.values()))]
    assert len(series) == steps and series.values[0] == pytest.approx(first)
    assert (np.diff(series.steps) > 0).all()


def test_parts_of_a_loss_in_brackets_are_named_after_it(tmp_path):
    (tmp_path / "log.txt").write_text(NESTED)
    log = read(tmp_path / "log.txt")
    assert {"D loss R", "D loss F", "D loss G"} <= set(log.unused) | {
        n.removeprefix("other/") for n in log.history.signals
    }
    assert log.history.signals["generator/loss"].steps[0] == 60


def test_epochs_and_batches_give_steps_and_the_length_of_the_run(tmp_path):
    (tmp_path / "log.txt").write_text(SLASHES)
    log = read(tmp_path / "log.txt")
    assert list(log.history.signals["generator/loss"].steps) == [0, 200, 400, 600]
    assert log.history.total == 20 * 400


def test_the_newest_of_several_runs_is_read_and_that_is_said(tmp_path):
    one = "".join(f"Step {i}: loss=0.{i}\n" for i in range(1, 10))
    (tmp_path / "log.txt").write_text(one + one.replace("loss=0.", "loss=7."))
    log = read(tmp_path / "log.txt")
    assert log.history.signals["loss"].values.min() > 7
    assert any("several runs" in note for note in log.notes)


def test_a_nan_that_is_printed_once_is_kept(tmp_path):
    text = "".join(f"[Epoch 1] [{i}/100] L7: 0.{i}\n" for i in range(10, 30)) + "====> Average KLD = nan\n"
    (tmp_path / "log.txt").write_text(text)
    series = [s for n, s in read(tmp_path / "log.txt").history.signals.items() if not np.isfinite(s.values).all()]
    assert len(series) == 1


def test_prose_is_no_log(tmp_path):
    (tmp_path / "notes.txt").write_text(
        "Chapter one.\nThe quick brown fox was here in 1999 and again\nwith 3 friends.\n"
    )
    with pytest.raises(UserError, match=r"notes.txt"):
        read(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    "text",
    [
        "[Epoch 1]\n" * 5,
        "loss: \n" * 9,
        "\x1b[31m\n" * 9,
        "a" * 100_000 + " 1\n",
        "1/0 2/0\n" * 9,
    ],
)
def test_odd_text_is_an_error_in_one_sentence(tmp_path, text):
    (tmp_path / "log.txt").write_text(text)
    with pytest.raises(UserError):
        read(tmp_path / "log.txt")


def test_the_label_of_a_progress_bar_is_no_value(tmp_path):
    bars = "".join(
        f"Epoch {e}/9 train:  {i}%|█▌   | {26 * i}/2590 [00:00<00:48, 53it/s]\n"
        for e in range(1, 9)
        for i in range(1, 40)
    )
    lines = "".join(f"Epoch {e}/9 Train Loss: {1 / e:.3f} Val Loss: {2 / e:.3f}\n" for e in range(1, 9))
    (tmp_path / "train.log").write_text(bars + lines)
    assert set(read(tmp_path / "train.log").columns) == {"Train Loss", "Val Loss"}


def test_numbers_without_names_are_a_table(tmp_path):
    (tmp_path / "log.txt").write_text("".join(f"{1000 + i}: {-5 + 0.1 * i:.3f}\n" for i in range(20)))
    assert len(read(tmp_path / "log.txt").history.signals["other/2"]) == 20


def test_a_comment_above_the_header_is_skipped(tmp_path):
    (tmp_path / "monitor.csv").write_text('#{"t_start": 17.5, "env_id": "X"}\nr,l,t\n' + "1.0,2,3.5\n" * 5)
    assert set(read(tmp_path / "monitor.csv").unused) == {"r", "l", "t"}
