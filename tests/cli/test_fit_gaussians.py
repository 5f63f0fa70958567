"""``trainwright data fit-gaussians`` as a user types it, on real images, with Ctrl-C and kill -9 in between."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from trainwright.cli import main

SETTINGS = ["--count", "32", "size=32", "max_steps=25"]


def command(sprites, out, *words):
    return [
        sys.executable,
        "-m",
        "trainwright",
        "data",
        "fit-gaussians",
        str(sprites),
        *SETTINGS,
        "--out",
        str(out),
        *words,
    ]


@pytest.fixture
def environment(tmp_path):
    return {**os.environ, "TRAINWRIGHT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}


def fits(tmp_path):
    return len(list((tmp_path / "cache" / "gaussians" / "fits").rglob("*.safetensors")))


def test_it_fits_reports_and_trains(sprites, tmp_path, environment):
    out = tmp_path / "fits"
    done = subprocess.run(command(sprites, out), capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "40 images as 32 Gaussians each: PSNR median" in done.stdout
    with (out / "quality.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 40 and all(float(row["psnr_db"]) > 5 for row in rows)
    page = (out / "quality.html").read_text()
    assert page.count("data:image/png;base64,") == 48
    assert "http" not in page.replace("http-equiv", "")
    assert len(json.loads((out / "fits.json").read_text())["names"]) == 40
    words = [
        "train",
        "gaussian_vae/small",
        f"data={out}",
        "count=32",
        "max_steps=25",
        "enough=40",
        "layout=adaptive",
        "form=raw",
    ]
    words += [
        "variables=inverse_scale",
        "order=morton",
        "latent_dim=8",
        "steps=2",
        "threads=1",
        "--run",
        str(tmp_path / "run"),
    ]
    trained = subprocess.run(
        [sys.executable, "-m", "trainwright", *words], capture_output=True, text=True, env=environment, timeout=200
    )
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "run" / "samples" / "step_00000002.png").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_leaves_nothing_half_done_and_goes_on(sprites, tmp_path, environment, how):
    slow = [
        word if word != "max_steps=25" else "max_steps=400" for word in command(sprites, tmp_path / "fits", "workers=2")
    ]
    process = subprocess.Popen(
        slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell may have it ignored in the background
    )  # fmt: skip
    begin = time.monotonic()
    while fits(tmp_path) < 4 and time.monotonic() - begin < 120:
        time.sleep(0.1)
    process.send_signal(how)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), errors
    assert "Traceback" not in errors
    before = fits(tmp_path)
    assert 4 <= before < 40
    assert not (tmp_path / "fits" / "fits.json").exists()
    again = subprocess.run(slow, capture_output=True, text=True, env=environment, timeout=280)
    assert again.returncode == 0, again.stderr
    assert fits(tmp_path) == 40


CASES = {
    "no such folder": (["{tmp}/nowhere"], "neither a folder"),
    "a text file": (["{tmp}/texts"], "is not an image"),
    "too few": (["sprites", "--count", "2"], "--count"),
    "unknown setting": (["sprites", "layouts=slots"], "Did you mean 'layout'"),
    "unknown layout": (["sprites", "layout=grid"], "'adaptive' or 'slots'"),
    "unknown blend": (["sprites", "blend=alpha"], "'normalised' or 'sum'"),
    "odd size": (["sprites", "size=60"], "power of two"),
    "out is a file": (["sprites", "--out", "{tmp}/texts/a.txt"], "is a file"),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_input_is_answered_in_a_sentence_or_two(case, tmp_path, monkeypatch, capsys):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("hello")
    words, expected = CASES[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["trainwright", "data", "fit-gaussians", *(w.format(tmp=tmp_path) for w in words)])
    with pytest.raises(SystemExit) as exit_info:
        main()
    message = capsys.readouterr().err
    assert exit_info.value.code == 2, message
    assert expected in message and "Traceback" not in message and len(message) < 700
    assert not (tmp_path / "fits").exists()


MODEL_CASES = {
    "count and stages": (["fitting.count=102"], "must be a multiple of 4"),
    "slots need their latent": (["architecture=slots", "latent_dim=100"], "latent_dim must be a multiple"),
    "order without slots": (["order=fitted"], "an adaptive fit has no order"),
    "one stage": (["encoder_filters=[32]"], "encoder_filters"),
    "negative beta": (["max_beta=-1"], "greater than or equal to 0"),
    "unknown reduction": (["reduction=avg"], "'group_mean', 'channel_sum', 'mean' or 'sum'"),
    "patience of nothing": (["early_stopping_patience=0"], "greater than or equal to 1"),
}


@pytest.mark.parametrize("case", MODEL_CASES)
def test_wrong_models_are_refused_before_anything_is_fitted(case, tmp_path, monkeypatch, capsys):
    words, expected = MODEL_CASES[case]
    monkeypatch.setattr(
        sys, "argv", ["trainwright", "train", "gaussian_vae/conv1d_base", *words, "--root", str(tmp_path)]
    )
    with pytest.raises(SystemExit) as exit_info:
        main()
    message = capsys.readouterr().err
    assert exit_info.value.code == 2 and expected in message, message
    assert list(tmp_path.iterdir()) == []
