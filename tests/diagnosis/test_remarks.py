"""Remarks on a log that change no verdict, and logs that are longer than memory."""

import numpy as np
import pytest

import trainwright
from trainwright.diagnosis.importers import columns, read


def diagnosed(folder, columns, n=200):
    """Write a CSV of columns, each a function of the row, and diagnose it."""
    rows = [",".join(str(f(i)) for f in columns.values()) for i in range(n)]
    (folder / "log.csv").write_text("\n".join([",".join(columns), *rows]) + "\n")
    return trainwright.diagnose(folder / "log.csv")


def noise(i):
    return np.random.default_rng(i).random()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"step_time": lambda i: (0.3 if i < 120 else 0.9) + 0.02 * noise(i)}, "since about step 12"),
        ({"elapsed": lambda i: 0.3 * i + (0.6 * (i - 120) if i > 120 else 0)}, "3.0 times as long"),
        ({"steps_per_second": lambda i: 3.3 if i < 120 else 1.1}, "3.0 times as long"),
        ({"batch_time": lambda i: 0.5, "data_time": lambda i: 0.3}, "waits for data for 60%"),
        ({"step_time": lambda i: 0.3 + 0.1 * noise(i)}, ""),
        ({"batch_time": lambda i: 0.5, "data_time": lambda i: 0.05}, ""),
    ],
)  # fmt: skip
def test_the_time_of_steps(tmp_path, named, said):
    found = diagnosed(tmp_path, {"step": lambda i: i, "loss": lambda i: 2 * 0.99**i, **named})
    assert (said in " ".join(found.remarks)) if said else not found.remarks
    assert found.verdict == "unknown"


def test_a_loss_that_falls_whenever_a_pass_begins_is_learned_by_heart(tmp_path):
    trainer = {"step": lambda i: i, "learning_rate": lambda i: 2e-4, "grad_norm": lambda i: 1 + noise(i)}
    stairs = diagnosed(
        tmp_path,
        trainer | {"loss": lambda i: [1.4, 1.0, 0.6, 0.3][i // 50] + 0.04 * noise(i), "epoch": lambda i: i / 50},
    )
    assert "by heart" in stairs.remarks[0] and "seen 3.98 times" in stairs.remarks[0]
    smooth = diagnosed(
        tmp_path, trainer | {"loss": lambda i: 1.4 * 0.995**i + 0.04 * noise(i), "epoch": lambda i: i / 33}
    )
    assert "hold 5 % out" in smooth.remarks[0] and "by heart" not in smooth.remarks[0]


def test_the_steps_about_as_good_as_the_best_are_named(tmp_path):
    held = {"step": lambda i: i, "loss": lambda i: 2 * 0.98**i, "val_loss": lambda i: 1 + ((i - 60) / 100) ** 2}
    found = diagnosed(tmp_path, held)
    assert found.best_step == pytest.approx(60, abs=4)
    assert any("of the best from step 4" in r and "to step" not in r for r in found.remarks), found.remarks


def test_a_run_of_trainwright_has_no_remarks(tmp_path):
    rows = {"step": lambda i: i, "epoch": lambda i: i / 20, "samples/coverage": lambda i: 0.9}
    ours = {"samples/precision": lambda i: 0.9, "generator/loss": lambda i: 1.0, "critic/loss": lambda i: 1.0}
    assert not diagnosed(tmp_path, rows | ours).remarks


@pytest.mark.parametrize("form", ["csv", "jsonl", "text"])
def test_a_long_log_is_thinned_as_it_is_read(tmp_path, monkeypatch, form):
    for module in (columns, "trainwright.diagnosis.importers.text"):
        monkeypatch.setattr(
            module if not isinstance(module, str) else __import__(module, fromlist=["x"]), "MOST_ROWS", 1000
        )
    monkeypatch.setattr("trainwright.diagnosis.importers.csv.CHUNK", 700)
    monkeypatch.setattr("trainwright.diagnosis.importers.jsonl.CHUNK", 700)
    n = 9000
    values = [(i, "nan" if i == 4321 else f"{2 + i / n:.5f}", f"{i / n:.4f}" if i % 100 == 7 else "") for i in range(n)]
    lines = {
        "csv": ["step,loss,val_loss", *(f"{i},{a},{b}" for i, a, b in values)],
        "jsonl": [
            f'{{"step": {i}, "loss": {a.replace("nan", "NaN")}' + (f', "val_loss": {b}}}' if b else "}")
            for i, a, b in values
        ],
        "text": [f"step: {i} loss: {a}" + (f" val_loss: {b}" if b else "") for i, a, b in values],
    }[form]
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    found = read(tmp_path / "log").history.signals
    loss, held = found["loss"], found["validation/loss"]
    assert 400 < len(loss) <= 1000 + 700 and len(held) == 90
    assert np.isnan(loss.at(np.array([4321.0]))).all() and np.isnan(loss.values).sum() == 1
    fine = np.isfinite(loss.values)
    assert loss.values[fine] == pytest.approx(2 + loss.steps[fine] / n, abs=1e-4)
    assert held.values == pytest.approx(held.steps / n, abs=1e-3)
    assert loss.steps[-1] >= n - 16


def test_rows_are_counted_though_they_are_thinned(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "MOST_ROWS", 1000)
    monkeypatch.setattr("trainwright.diagnosis.importers.csv.CHUNK", 700)
    (tmp_path / "log.csv").write_text("loss\n" + "".join(f"{i}\n" for i in range(9000)))
    loss = read(tmp_path / "log.csv").history.signals["loss"]
    assert len(loss) < 2000 and loss.values == pytest.approx(loss.steps - 1)
