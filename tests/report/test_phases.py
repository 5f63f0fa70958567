"""The timeline of phases says when each began, with what weights, and why it ended or was skipped."""

import json

from trainwright.report.run_page import build_report
from trainwright.report.timeline import timeline

PHASES = [{"name": "a", "settings": {"lr_g": 1}}, {"name": "b"}, {"name": "c"}]
EVENTS = [
    {"event": "started", "step": 0},
    {"event": "phase_ended", "step": 10, "phase": "a", "because": "gate passed"},
    {"event": "phase_skipped", "step": 10, "phase": "b", "because": "x > 20 (is 15)"},
    {"event": "phase_started", "step": 10, "phase": "c", "weights_of_step": 8, "reinitialized": ["critic"]},
]


def test_timeline() -> None:
    a, b, c = timeline(PHASES, EVENTS, 17)
    assert (a.begin, a.end, a.because, a.settings) == (0, 10, "gate passed", {"lr_g": 1})
    assert (b.begin, b.steps, b.because) == (None, 0, "skipped: x > 20 (is 15)")
    assert (c.begin, c.end, c.because, c.notes) == (10, 17, "runs", ["weights of step 8", "critic reinitialised"])
    assert [s.name for s in timeline(PHASES, EVENTS[:1], 3)] == ["a"]


def test_the_page_of_a_run_with_phases_shows_them(quick) -> None:
    phases = [{"name": "first", "steps": 3}, {"name": "second", "steps": 3, "settings": {"lambda_gp": 2.0}}]
    run = quick("wgan_gp/tiny", f"phases={json.dumps(phases)}", "steps=null").run
    page = build_report(run).read_text(encoding="utf-8")
    assert "<h2>Phases</h2>" in page
    assert "lambda_gp: 2.0" in page and "budget of 3 steps used up" in page and "weights of step 3" in page
    plain = quick("wgan_gp/tiny", run=run.folder.with_name("plain")).run
    assert "<h2>Phases</h2>" not in build_report(plain).read_text(encoding="utf-8")
