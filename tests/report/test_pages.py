"""The notebook in a real browser: no complaint, nothing loaded, nothing executed, readable on a phone, reachable by keyboard."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.browser import Page, browser
from trainwright.report.compare import build_comparison, compare
from trainwright.report.study_page import build_notebook
from trainwright.runs.folder import Run
from trainwright.studies.jobs import Result
from trainwright.studies.summary import row, write

EVIL = (
    "<script>window.evil=1;alert(1)</script>",
    "<img src=x onerror=window.evil=1>",
    '"><svg onload=window.evil=1>',
    "javascript:window.evil=1",
    "{{ 7*7 }} $\\frac{1}$ </style></title><script>window.evil=1</script>",
)
needs_browser = pytest.mark.skipif(browser() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study in which every text that a user can choose tries to be executed."""
    folder = tmp_path_factory.mktemp("study")
    names = [f"r{i}{text.replace('/', '∕')}" for i, text in enumerate(EVIL)]
    rows, parent = [], None
    for name, text in zip(names, EVIL, strict=True):
        run = Run(folder / "runs" / name)
        run.create("train: {}\n", {"family": "wgan_gp", "recipe": text, "hypothesis": text, "data": {"identity": text}})
        metrics = [{"step": s, "samples/coverage": 0.1 + s / 100, "critic/wasserstein": 30.0 - s} for s in range(1, 20)]
        run.metrics.write_text("".join(json.dumps(m) + "\n" for m in metrics))
        run.event("finding", 10, symptom=text, onset=8)
        run.samples.mkdir()
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(run.samples / "step_00000010.png")
        result = Result("finished", "sick", text, 20, 20, (text,), (text,), 8.0, 0.5, {}, {text: 1.0}, 75.0, 100.0)
        rows.append(
            row(name, {name: result}, "kept", text, parent=parent, change={text: text}, hypothesis=text, source=text)
        )
        parent = name
    (folder / "study.json").write_text(json.dumps({"format": 1, "title": EVIL[4], "family": "wgan_gp"}))
    events = [{"time": "now", "event": text, "experiment": text, "because": text} for text in EVIL]
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    write(folder, {"headline": EVIL[0], "show": list(EVIL), "rows": rows})
    return build_notebook(folder)


@needs_browser
@pytest.mark.parametrize(("width", "phone"), [(1280, False), (390, True)])
def test_the_notebook_in_a_browser(study, width, phone):
    with Page(study, width, 800, phone) as page:
        assert page.complaints == [] and page.requests == []
        assert page.evaluate("window.evil") is None
        assert page.fits(), "something sticks out to the right"
        assert page.evaluate("document.scripts.length") == 0
        assert page.evaluate("document.querySelectorAll('ul.tree li').length") == len(EVIL)
        assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 14
        stops = page.tab_stops()
        assert [s for s in stops if s.startswith("A ")][:2] == ["A Experiments", "A What happened"]
        assert any(s.startswith("SUMMARY") for s in stops) and any(
            "what happened" in s for s in stops if s.startswith("DIV")
        )
        assert page.evaluate("[...document.images].every(i => i.alt && i.naturalWidth > 0)")


@needs_browser
def test_a_comparison_in_a_browser(quick, tmp_path):
    runs = [
        quick("wgan_gp/tiny", f"seed={s}", f"lr_g={r}", run=tmp_path / f"{s}{r}").run
        for s, r in ((0, 1e-4), (1, 1e-4), (0, 1e-5))
    ]
    found = compare(runs)
    assert [sorted(g.runs) for g in found.run_sets] == [[0, 1], [0]]
    assert ("optim.lr_g", ["0.0001", "1e-05"]) in found.differences
    with Page(build_comparison(found, tmp_path / "page.html"), 390, 800, phone=True) as page:
        assert page.complaints == [] and page.requests == [] and page.fits()
        assert "What differs" in page.evaluate("document.body.innerText")
