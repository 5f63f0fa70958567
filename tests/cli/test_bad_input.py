"""Wrong configs, data folders and command lines: one or two sentences, exit code 2, no traceback, nothing half-written."""

import os
import sys
from pathlib import Path

import pytest

from trainwright.cli import main

TRAIN = ["train", "wgan_gp/tiny", "--root", "{tmp}/runs"]

COMMAND_LINES = {
    "unknown recipe": (["train", "wgan_gp/smal"], "Did you mean 'wgan_gp/small'"),
    "unknown family": (["train", "wgan/small"], "no recipe"),
    "family without recipe": (["train", "wgan_gp"], "choose one of its recipes"),
    "missing recipe file": (["train", "{tmp}/no.yaml"], "no such file"),
    "override without value": ([*TRAIN, "lr_g"], "expected key=value"),
    "override without key": ([*TRAIN, "=3"], "expected key=value"),
    "unknown key": ([*TRAIN, "learning_rat_g=1"], "unknown key"),
    "misspelt leaf": ([*TRAIN, "n_critics=3"], "Did you mean 'n_critic'"),
    "misspelt dotted": ([*TRAIN, "optim.lrg=3"], "unknown key"),
    "lr alone": ([*TRAIN, "lr=1e-4"], "lr_g"),
    "section without shorthand": ([*TRAIN, "optim=3"], "is a section"),
    "text for a number": ([*TRAIN, "lr_g=fast"], "valid number"),
    "fraction for a whole": ([*TRAIN, "n_critic=2.5"], "valid integer"),
    "bool for a number": ([*TRAIN, "batch_size=true"], "valid integer"),
    "negative rate": ([*TRAIN, "lr_g=-1e-4"], "greater than or equal to 0"),
    "zero critic steps": ([*TRAIN, "n_critic=0"], "greater than or equal to 1"),
    "zero batch": ([*TRAIN, "batch_size=0"], "greater than or equal to 2"),
    "ema decay of one": ([*TRAIN, "ema_decay=1.0"], "less than 1"),
    "one beta": ([*TRAIN, "betas=[0.5]"], "betas"),
    "beta of one": ([*TRAIN, "betas=[0.5, 1.0]"], "less than 1"),
    "size no power of two": ([*TRAIN, "data.size=48"], "power of two"),
    "size too small": ([*TRAIN, "data.size=8"], "greater than or equal to 16"),
    "two channels": ([*TRAIN, "channels=2"], "1, 3 or 4"),
    "large at 16 px": (["train", "wgan_gp/large", "data.size=16"], "at least 32"),
    "unknown architecture": ([*TRAIN, "architecture=huge"], "'small' or 'large'"),
    "unknown colour": ([*TRAIN, "background=whit"], "should be a colour"),
    "hue too strong": ([*TRAIN, "color_jitter=[0.1, 0.1, 0.1, 0.9]"], "less than or equal to 0.5"),
    "jitter of three": ([*TRAIN, "color_jitter=[0.1, 0.1, 0.1]"], "color_jitter"),
    "schedule without end": ([*TRAIN, "lr_g={{kind: linear, over: 10}}"], "must be given"),
    "unknown schedule": ([*TRAIN, "lr_g={{kind: wave, end: 1}}"], "lr_g"),
    "schedule goes negative": ([*TRAIN, "lambda_gp={{kind: linear, end: -1, over: 5}}"], "below 0"),
    "schedule points back": ([*TRAIN, "lr_g={{kind: piecewise, points: [[5, 1], [2, 1]]}}"], "growing t"),
    "broken flow value": ([*TRAIN, "betas=[0, 0.9"], "not valid YAML"),
    "infinite rate": ([*TRAIN, "lr_g=.inf"], "finite"),
    "nan rate": ([*TRAIN, "lr_d=.nan"], "lr_d"),
    "half precision": ([*TRAIN, "precision=16-mixed"], "32-true"),
    "batch not shared": ([*TRAIN, "devices=3", "batch_size=32"], "multiple of train.devices"),
    "no such accelerator": ([*TRAIN, "accelerator=cuda"], "cannot be used here"),
    "ambiguous key": ([*TRAIN, "data.kind=3"], "unknown key"),
    "missing data folder": ([*TRAIN, "data={tmp}/nowhere"], "neither a folder"),
    "data is a file": ([*TRAIN, "data={tmp}/text.txt"], "is a file"),
    "empty data folder": ([*TRAIN, "data={tmp}/empty"], "no files"),
    "folder of text": ([*TRAIN, "data={tmp}/texts"], "is not an image"),
    "folder of text, skipped": ([*TRAIN, "data={tmp}/texts", "on_error=skip"], "none of the 1 files"),
    "truncated image": ([*TRAIN, "data={tmp}/truncated"], "half.png is damaged"),
    "empty image file": ([*TRAIN, "data={tmp}/hollow"], "void.png is not an image"),
    "one image only": ([*TRAIN, "data={tmp}/single"], "at least 2 are needed"),
    "misspelt built-in": ([*TRAIN, "data=sprite"], "Did you mean 'sprites'"),
    "a tracker that does not exist": (
        [*TRAIN, "tracker=neptune"],
        "'tensorboard', 'wandb', 'mlflow', 'trackio' or 'none'",
    ),
    "yaml unknown key": (["train", "{tmp}/unknown.yaml"], "line 3: unknown key 'optim.lrd'"),
    "yaml wrong type": (["train", "{tmp}/type.yaml"], "line 2: optim.n_critic"),
    "yaml twice the same key": (["train", "{tmp}/twice.yaml"], "not valid YAML"),
    "yaml broken": (["train", "{tmp}/broken.yaml"], "not valid YAML"),
    "yaml a list": (["train", "{tmp}/list.yaml"], "expected a mapping"),
    "yaml without family": (["train", "{tmp}/orphan.yaml"], "expected a line 'family: NAME'"),
    "yaml of an unknown family": (["train", "{tmp}/stranger.yaml"], "no family 'wgan_pg'"),
    "yaml extends itself": (["train", "{tmp}/circle.yaml"], "circle"),
    "yaml not text": (["train", "{tmp}/binary.yaml"], "not UTF-8 text"),
    "sample of nothing": (["sample", "{tmp}/nothing"], "no such run folder"),
    "sample of a plain folder": (["sample", "{tmp}/empty"], "has no run.json"),
    "evaluate nothing": (["evaluate", "{tmp}/nothing"], "no such run folder"),
    "report of nothing": (["report", "{tmp}/nothing"], "no such run folder"),
    "resume nothing": (["resume", "{tmp}/nothing"], "no such run folder"),
    "damaged run.json": (["report", "{tmp}/damaged"], "cannot be read"),
    "runs of a missing root": (["runs", "--root", "{tmp}/nothing"], "no such folder"),
    "run folder below a file": ([*TRAIN, "--run", "{tmp}/text.txt/x"], "text.txt"),
    "unknown verb": (["trian"], "No such command"),
    "zero samples": (["sample", "{tmp}/empty", "-n", "0"], "-n"),
}


@pytest.fixture
def corner(tmp_path: Path) -> Path:
    """A folder with one of everything that is wrong."""
    from PIL import Image

    for name in ("empty", "texts", "truncated", "hollow", "single", "damaged"):
        (tmp_path / name).mkdir()
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "texts" / "notes.txt").write_text("not an image")
    noise = Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3))
    noise.save(tmp_path / "truncated" / "half.png")
    os.truncate(tmp_path / "truncated" / "half.png", 3000)
    (tmp_path / "hollow" / "void.png").touch()
    noise.save(tmp_path / "single" / "one.png")
    (tmp_path / "damaged" / "run.json").write_text('{"format": ')
    recipes = {
        "unknown": "family: wgan_gp\noptim:\n  lrd: 1e-4\n",
        "type": "family: wgan_gp\nn_critic: often\n",
        "twice": "family: wgan_gp\nlr_g: 1\nlr_g: 2\n",
        "broken": "family: [wgan_gp\n",
        "list": "- family\n",
        "orphan": "lr_g: 1e-4\n",
        "stranger": "family: wgan_pg\n",
        "circle": "family: wgan_gp\nextends: circle.yaml\n",
    }
    for name, text in recipes.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    return tmp_path


@pytest.mark.parametrize("case", COMMAND_LINES)
def test_bad_input_is_answered_in_a_sentence_or_two(case, corner, monkeypatch, capsys):
    words, expected = COMMAND_LINES[case]
    monkeypatch.chdir(corner)
    monkeypatch.setattr(sys, "argv", ["trainwright", *(word.format(tmp=corner) for word in words)])
    before = sorted(corner.rglob("*"))
    with pytest.raises(SystemExit) as exit_info:
        main()
    message = capsys.readouterr().err
    assert exit_info.value.code == 2, message
    assert "Traceback" not in message
    assert expected.replace("{tmp}", str(corner)) in message
    assert len(message) < 700
    runs = [
        p
        for p in sorted(corner.rglob("*"))
        if p not in before and p.name in ("run.json", "config.yaml", "metrics.jsonl")
    ]
    assert runs == [], "something was half-written"


def test_there_are_at_least_forty():
    assert len(COMMAND_LINES) >= 40
