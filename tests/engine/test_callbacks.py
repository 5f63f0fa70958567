"""Callbacks of one's own: hooks, requests, a view that cannot be written to, and the same numbers with and without them."""

import subprocess
import sys

import pytest
import torch

from tests.conftest import SMOKE, all_tensors, quick_config, signals
from trainwright.engine.callbacks.base import Callback, Event, Finish, Note, Record, Rollback, Save, Stop
from trainwright.engine.display import Silent
from trainwright.engine.session import train
from trainwright.runs.folder import Run

TITLE = "wgan_gp/tiny"


@pytest.fixture
def fit(tmp_path, sprites):
    def go(*callbacks, run="run", words=(), stop=lambda: False):
        family, config = quick_config(TITLE, sprites, *words)
        return train(family, config, Run(tmp_path / run), Silent(), stop, callbacks=callbacks)

    return go


class Recorder(Callback):
    """Write down every call."""

    name = "recorder"

    def __init__(self):
        self.calls, self.count = [], 0

    def on_train_start(self, view):
        self.calls.append(("start", view.step, view.fresh))

    def on_step_end(self, view):
        self.count += 1
        self.calls.append(("step", view.step))
        return Record({"mine/count": float(self.count)})

    def on_epoch_end(self, view):
        self.calls.append(("epoch", view.step))

    def on_log(self, view, row):
        assert row["critic/loss"] == row["critic/loss"]
        self.calls.append(("log", view.step))

    def on_train_end(self, view):
        self.calls.append(("end", view.step, view.verdict))

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


def test_hooks_come_in_order_and_signals_reach_the_log(fit):
    mine = Recorder()
    outcome = fit(mine)
    assert outcome.status == "finished"
    assert mine.calls[0] == ("start", 0, True)
    assert [call for call in mine.calls if call[0] == "step"] == [("step", n) for n in range(1, 7)]
    assert [call for call in mine.calls if call[0] == "log"] == [("log", 2), ("log", 4), ("log", 6)]
    assert mine.calls[-1][:2] == ("end", 6)
    assert [row["mine/count"] for row in signals(outcome.run)] == [1.5, 3.5, 5.5]


def test_a_callback_changes_no_number_and_its_state_is_resumed(fit, finished):
    asked = iter([False, False, True])
    first = fit(Recorder(), stop=lambda: next(asked, False))
    assert (first.status, first.step) == ("interrupted", 3)
    mine = Recorder()
    again = fit(mine)
    assert mine.calls[0] == ("start", 3, False)
    assert mine.count == 6
    whole, parts = all_tensors(finished(TITLE).run), all_tensors(again.run)
    assert [key for key in whole if not torch.equal(whole[key], parts[key])] == []


def test_the_view_cannot_be_written_to(fit):
    class Meddler(Callback):
        def on_step_end(self, view):
            view.step = 100

    with pytest.raises(AttributeError, match="return a request"):
        fit(Meddler())


class Once(Callback):
    """Ask for something after one step."""

    def __init__(self, step, *requests):
        self.step, self.requests = step, requests

    def on_step_end(self, view):
        return self.requests if view.step == self.step else None


def test_stop_ends_with_a_checkpoint_and_the_same_command_resumes(fit):
    outcome = fit(Once(3, Stop("enough"), Note("stopping"), Event("mine", reason="a test")))
    assert (outcome.status, outcome.step, outcome.message) == ("stopped", 3, "enough")
    assert (outcome.run.checkpoints / "step_00000003").exists()
    assert next(e for e in outcome.run.events() if e["event"] == "mine")["reason"] == "a test"
    again = fit()
    assert (again.status, again.step) == ("finished", 6)


def test_finish_takes_the_final_measurements(fit):
    outcome = fit(Once(3, Finish("good enough")))
    assert (outcome.status, outcome.step) == ("finished", 3)
    assert (outcome.run.samples / "step_00000003.png").exists()
    assert signals(outcome.run)[-1]["step"] == 3


def test_save_writes_where_it_is_asked_to(fit, tmp_path):
    fit(Once(3, Save(tmp_path / "mine", keep=1)), Once(5, Save(tmp_path / "mine", keep=1)))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["step_00000005"]


def test_rollback_takes_another_path_and_is_limited(fit):
    outcome = fit(Once(5, Rollback("try again")), words=("max_rollbacks=2",))
    assert (outcome.status, outcome.step) == ("stopped", 5)
    assert [e["event"] for e in outcome.run.events()].count("rollback") == 2
    assert "no rollback is left" in outcome.message


def test_what_is_no_request_is_named(fit):
    with pytest.raises(TypeError, match="not a request"):
        fit(Once(1, "stop"))


SCRIPT = """
import sys
from pathlib import Path
from trainwright.engine.callbacks.base import Callback, Save, Stop
from trainwright.engine.display import Silent
from trainwright.engine.session import train
from trainwright.catalog import load
from trainwright.runs.folder import Run


class Mine(Callback):
    def on_step_end(self, view):
        assert view.is_main
        if view.step == 3:
            return [Save(view.run.folder / "mine"), Stop("enough")]


if __name__ == "__main__":
    folder, title, *words = sys.argv[1:]
    family, config = load(title, words)
    outcome = train(family, config, Run(Path(folder)), Silent(), callbacks=[Mine()])
    assert (outcome.status, outcome.step) == ("stopped", 3), outcome
"""


def test_a_request_of_the_main_process_reaches_the_other_one(tmp_path, sprites):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    family, _ = quick_config(TITLE, sprites)
    words = (*family.smoke, *SMOKE, f"data={sprites}", "tracker=none", "devices=2", "accelerator=cpu")
    command = [sys.executable, str(script), str(tmp_path / "run"), TITLE, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    assert Run(tmp_path / "run").read()["status"] == "stopped"
    assert (tmp_path / "run" / "mine" / "step_00000003").exists()
