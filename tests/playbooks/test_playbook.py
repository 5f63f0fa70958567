"""Every shipped remedy is sound and fits its family; order, arithmetic and error texts are as the docs say."""

import json
import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from trainwright import catalog as registry
from trainwright import plugins
from trainwright.config.base import extra, flatten, leaves
from trainwright.config.reading import Settings, validate
from trainwright.config.schedules import Curve
from trainwright.diagnosis.causes import causes
from trainwright.diagnosis.symptoms import symptoms
from trainwright.errors import UserError
from trainwright.playbooks import remedy as module
from trainwright.playbooks.remedy import RELATIVE, apply, load, playbook, remedies_for

GUIDES = {"wgan_gp", "gaussian_vae", "sequence_vae", "latent_diffusion", "video_vaegan"}
OWN = [(name, remedy) for name in registry.families() for remedy in playbook(name)]
WHERE = [f"{name}-{remedy.playbook}-{remedy.name}" for name, remedy in OWN]
FAMILIES = Path(module.__file__).parents[1] / "families"
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "treatment_runs.jsonl"
BLOCK = """\
remedies:
  first:
    for: [blur]
    change:
      x.y: x2
    apply: hot
    advice: Double y.
    why: It may well help.
    sources:
      - WGAN-GP guide, section 1
      - WGAN-GP guide, section 2
      - Author et al. 2020
    evidence: untested

  a:
    for: [blur]
    causes: [lr_too_low]
    change:
      x.y: x3
      x.z: "+2"
    apply: hot
    why: >-
      It may well help: with +2, for
      example.
    sources: [Author et al. 2020]
    evidence: untested
"""
LINE = "{name: a, for: [blur], change: {x.y: x2}, apply: hot, source: Somebody, evidence: untested, why: It may well help.}"


def marks(family):
    return {".".join(path): bool(extra(field, "hot")) for path, field in leaves(registry.family(family).config)}


def base(family, remedy):
    """Settings that are on, so that there is something to multiply, and that differ from what the remedy asks for."""
    values = flatten(registry.family(family).config())
    augmented = {"data.augment.color_jitter": [0.1, 0.1, 0.1, 0.02], "data.augment.rotation": 10.0}
    values |= {path: value for path, value in augmented.items() if path in remedy.change}
    values |= {"train.max_grad_norm": 0.001, "train.steps": 1000}
    values["fact.beta_threshold"] = 80.0
    return {
        path: value
        for path, value in values.items()
        if path in marks(family) or path in remedy.change or path.startswith("fact.")
    }


def test_every_guide_and_the_literature_have_a_playbook():
    assert {remedy.playbook for remedy in playbook()} == GUIDES | {"literature"}
    for family in GUIDES:
        assert playbook(family)[0].playbook == family
        assert playbook(family)[-1].playbook == "literature"


@pytest.mark.parametrize(("family", "remedy"), OWN, ids=WHERE)
def test_a_change_names_settings_of_its_family_and_is_marked_as_they_are(family, remedy):
    known = marks(family)
    for path in remedy.change:
        assert path in known
    if remedy.apply == "hot":
        assert all(known[path] for path in remedy.change), "a setting of it needs a new run"


@pytest.mark.parametrize(
    ("family", "remedy"),
    [x for x in OWN if x[1].change],
    ids=[w for w, x in zip(WHERE, OWN, strict=True) if x[1].change],
)
def test_a_change_gives_a_config_that_the_family_accepts(family, remedy):
    values = base(family, remedy)
    try:
        values |= apply(remedy, values)
    except UserError as error:
        assert "already" in str(error)
    settings = Settings()
    for path, value in values.items():
        if not path.startswith("fact."):
            settings.put(tuple(path.split(".")), value, "remedy")
    validate(settings, registry.family(family).config)


@pytest.mark.parametrize("remedy", playbook(), ids=lambda r: f"{r.playbook}-{r.name}")
def test_a_remedy_says_enough(remedy):
    assert set(remedy.symptoms) <= set(symptoms()) and set(remedy.causes) <= set(causes())
    assert remedy.evidence != "contradicted" or len(remedy.against) > 10
    assert remedy.sources and all(len(source) > 8 for source in remedy.sources)
    for sentence in filter(None, (remedy.why, remedy.against, remedy.advice)):
        assert re.match(r"[A-Z]|z is", sentence), "begin with a capital"
        assert sentence.endswith(".")
    for value in remedy.change.values():
        if isinstance(value, dict):
            plain = {k: 1.0 if isinstance(v, str) and RELATIVE.fullmatch(v) else v for k, v in value.items()}
            TypeAdapter(Curve).validate_python(plain)


@pytest.mark.parametrize("remedy", playbook(), ids=lambda r: f"{r.playbook}-{r.name}")
def test_a_remedy_says_in_one_sentence_what_to_do_in_any_loop(remedy):
    assert 10 < len(remedy.advice) < 180
    assert not re.search(r"\. [A-Z]", remedy.advice), "one sentence"
    settings = set().union(*(marks(family) for family in registry.families()))
    assert not set(re.findall(r"[a-z]\w*(?:\.\w+)+", remedy.advice)) & settings, "words, not names of settings"


FILES = sorted({*plugins.playbooks().values(), module.LITERATURE} | set(FAMILIES.glob("*/cause_tests.yaml")))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_an_entry_is_a_block_of_short_lines(file):
    lines = file.read_text().splitlines()
    assert max(map(len, lines)) <= 110
    assert not any(re.match(r"  (- )?\{", line) for line in lines)


def test_the_guides_are_named():
    for file in FILES:
        text = " ".join(line.strip() for line in file.read_text().splitlines())
        assert re.findall(r"[Tt]he guide(?:'s)? (?!itself\b)\S+ \S+", text) == [], file


def test_a_remedy_is_stated_once():
    """Two remedies of one file make the same change only where something else is known of it, or it begins otherwise."""
    seen = {}
    for remedy in playbook():
        if remedy.change:
            change = json.dumps(remedy.change, sort_keys=True)
            known = (remedy.causes, remedy.evidence, remedy.against, remedy.apply)
            other = seen.setdefault((remedy.playbook, change, known), remedy)
            assert other is remedy, f"{remedy.name} and {other.name}"


def test_remedies_of_committed_results_are_found_by_their_old_names():
    known = {(r.playbook, name): r for r in playbook() for name in (r.name, *r.aliases)}
    attempts = [a for line in RESULTS.read_text().splitlines() for a in json.loads(line).get("attempts", ())]
    tried = {(a["playbook"], a["remedy"]) for a in attempts if a["remedy"]}
    assert len(tried) > 50
    assert tried - set(known) == set()


def test_every_symptom_and_every_cause_has_a_remedy():
    assert [name for name in symptoms() if not remedies_for(name)] == []
    addressed = {cause for remedy in playbook() for cause in remedy.causes}
    assert set(causes()) - addressed == set()


def test_the_likeliest_cause_comes_first():
    found = remedies_for("mode_collapse", ("latent_too_small", "lr_ratio"), "wgan_gp")
    unmeasured = [r for r in found if r.cure_rate is None and r.evidence != "contradicted"]
    ranks = [0 if "latent_too_small" in r.causes else 1 if "lr_ratio" in r.causes else 2 for r in unmeasured]
    assert ranks == sorted(ranks) and set(ranks) >= {0, 2}


def test_what_was_seen_to_fail_gives_way_to_a_less_likely_cause(tmp_path, monkeypatch):
    file = write(
        tmp_path,
        LINE.replace("change", "causes: [network_too_small], cure_rate: 0.0, tried: 6, change"),
        LINE.replace("name: a", "name: b").replace("x2", "x3").replace("change", "causes: [latent_too_small], change"),
    )
    monkeypatch.setattr(module, "playbook", lambda family: load(file))
    assert [r.name for r in remedies_for("blur", ("network_too_small", "latent_too_small"), "wgan_gp")] == ["b", "a"]


def test_measured_cure_rates_belong_to_remedies_that_exist():
    known = {f"{r.playbook}/{name}": r for r in playbook() for name in (r.name, *r.aliases)}
    for name, (cured, tried) in module.measured().items():
        assert 0 <= cured <= tried <= known[name].tried


def test_cure_rates_under_earlier_names_are_added(tmp_path, monkeypatch):
    rates = {f"{tmp_path.name}/{name}": rate for name, rate in {"a": (1, 4), "old": (3, 4), "other": (0, 9)}.items()}
    monkeypatch.setattr(module, "measured", lambda: rates)
    remedy = load(write(tmp_path, LINE.replace("name: a", "name: a, aliases: [old]")))[0]
    assert (remedy.cure_rate, remedy.tried) == (0.5, 8)


def test_without_a_cause_contradicted_remedies_come_last_and_a_change_comes_once():
    found = remedies_for("mode_collapse", family="wgan_gp")
    order = [("supported", "untested", "contradicted").index(r.evidence) for r in found if r.cure_rate is None]
    assert order == sorted(order)
    changes = [str(r.change) for r in found if r.change]
    assert len(changes) == len(set(changes))


def test_a_measured_cure_rate_comes_before_evidence(tmp_path, monkeypatch):
    rates = {"failed": "0.1", "unknown": "null", "cured": "0.9"}
    lines = [
        LINE.replace("name: a", f"name: {n}, cure_rate: {r}").replace("x2", f"x{i + 2}")
        for i, (n, r) in enumerate(rates.items())
    ]
    lines.append(
        LINE.replace("name: a", "name: refuted")
        .replace("untested", "contradicted, against: A measurement")
        .replace("x2", "x9")
    )
    file = write(tmp_path, *lines)
    monkeypatch.setattr(module, "playbook", lambda family: load(file))
    assert [r.name for r in remedies_for("blur", family="wgan_gp")] == ["cured", "unknown", "failed", "refuted"]


def write(folder, *lines):
    file = folder / "playbook.yaml"
    file.write_text("remedies:\n" + "".join(f"  - {line}\n" for line in lines))
    return file


def one(tmp_path, change):
    return load(write(tmp_path, LINE.replace("{x.y: x2}", change)))[0]


SETTINGS = {
    "lr": 1e-4,
    "n": 5,
    "filters": [64, 32],
    "jitter": [0.1, 0.02],
    "name": "small",
    "none": None,
    "curve": {"kind": "cosine", "start": 2e-4, "end": 1e-5, "over": 100.0, "warmup": 10.0, "unit": "step"},
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("{lr: x0.1}", {"lr": 1e-5}),
        ("{lr: 3e-5}", {"lr": 3e-5}),
        ('{n: "+2"}', {"n": 7}),
        ("{n: x0.6}", {"n": 3}),
        ("{n: x0.5}", {"n": 3}),
        ("{filters: x2}", {"filters": [128, 64]}),
        ("{jitter: [x1, x0.5]}", {"jitter": [0.1, 0.01]}),
        ("{lr: x3 of curve}", {"lr": {**SETTINGS["curve"], "start": 6e-4, "end": 3e-5}}),
        ("{curve: x0.1}", {"curve": {**SETTINGS["curve"], "start": 2e-5, "end": 1e-6}}),
        ("{n: x2 of n, none: x2}", {"n": 10}),
        ("{none: 1.0}", {"none": 1.0}),
        (
            "{lr: {kind: linear, start: 0.0, end: x1, over: 50}}",
            {"lr": {"kind": "linear", "start": 0.0, "end": 1e-4, "over": 50}},
        ),
        ("{curve: {kind: linear, end: x1, over: 50}}", {"curve": {"kind": "linear", "end": 2e-4, "over": 50}}),
    ],
)
def test_arithmetic_of_a_change(tmp_path, change, expected):
    assert apply(one(tmp_path, change), SETTINGS) == expected


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ("{lrs: x2}", r"remedy a: no setting 'lrs' in this run. Did you mean 'lr'"),
        ("{lr: x2 of lrs}", r"lr: 'x2 of lrs': no setting 'lrs' in this run"),
        ("{name: x2}", r"name is 'small', which cannot be multiplied"),
        ("{none: x2}", r"none has no value in this run"),
        ("{n: 5}", r"changes nothing: n is 5 already"),
    ],
)
def test_what_cannot_be_applied_is_refused(tmp_path, change, reported):
    with pytest.raises(UserError, match=reported):
        apply(one(tmp_path, change), SETTINGS)


def test_advice_cannot_be_applied():
    advice = next(r for r in playbook("wgan_gp") if not r.change)
    with pytest.raises(UserError, match="to be done by hand: "):
        apply(advice, SETTINGS)


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        ("blur", "blurr", r"line 3: a: no symptom 'blurr'. Did you mean 'blur'\?"),
        (
            "for: [blur]",
            "for: [blur], causes: [lr_to_low]",
            r"line 3: a: no cause 'lr_to_low'. Did you mean 'lr_too_low'",
        ),
        ("for: [blur]", "for: [blur], families: [wgan]", r"line 3: a: no family 'wgan'. Did you mean 'wgan_gp'"),
        ("{x.y: x2}", "{}", r"line 3: a: it changes no setting, so `advice` must say"),
        ("untested", "contradicted", r"line 3: a: it is contradicted, so `against` must say"),
        ("x2", "+2", r"line 3: a: put quotes around an amount to add"),
        ("hot", "warm", r"line 3: a: apply: input should be 'hot' or 'restart'"),
        ("why: It", "because: It", r"line 3: a: unknown key 'because'"),
        ("name: a", "name: first", r"line 3: 'first' is there already, on line 2"),
        ("name: a, ", "", r"line 3: a remedy without a name: name: field required"),
        ("untested", "untested, line: 4", r"line 3: a: unknown key 'line'"),
        ("untested", "untested, sources: [Somebody else]", r"line 3: a: give either `sources` or `source`"),
        ("untested", "untested, aliases: [first]", r"line 3: 'first' is there already, on line 2"),
    ],
)
def test_an_unsound_remedy_of_a_list_is_named(tmp_path, old, new, reported):
    file = write(tmp_path, LINE.replace("name: a", "name: first"), LINE.replace(old, new, 1))
    with pytest.raises(UserError, match=r"playbook\.yaml: " + reported):
        load(file)


def test_a_mapping_and_a_list_read_the_same(tmp_path):
    (tmp_path / "playbook.yaml").write_text(BLOCK)
    first, second = load(tmp_path / "playbook.yaml")
    assert (first.name, second.name) == ("first", "a") and (first.line, second.line) == (2, 15)
    assert second.why == "It may well help: with +2, for example."
    assert second.change == {"x.y": "x3", "x.z": "+2"}
    (tmp_path / "other").mkdir()
    listed = load(write(tmp_path / "other", LINE))[0]
    assert listed.sources == ("Somebody",) and listed.source == "Somebody"


def test_a_guide_is_named_once_in_the_line_of_sources(tmp_path):
    (tmp_path / "playbook.yaml").write_text(BLOCK)
    assert load(tmp_path / "playbook.yaml")[0].source == "WGAN-GP guide, section 1; section 2; Author et al. 2020"


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        ("causes: [lr_too_low]", "causes: [lr_to_low]", r"line 15: a: no cause 'lr_to_low'. Did you mean 'lr_too_low'"),
        ('"+2"', "+2", r"line 15: a: put quotes around an amount to add"),
        ("      x.y: x3\n", "      x.y: [x1, +2]\n", r"line 15: a: put quotes around an amount to add"),
        ("    causes: [", "    name: b\n    causes: [", r"line 15: a: unknown key 'name'; the key above it"),
        ("    causes: [", "    cause: [", r"line 15: a: unknown key 'cause'. Did you mean 'causes'"),
        ("    causes: [", "    aliases: [first]\n    causes: [", r"line 15: 'first' is there already, on line 2"),
        ("    sources: [Author et al. 2020]\n", "", r"line 15: a: sources: field required"),
        ("    sources: [Author et al. 2020]\n", "    sources: []\n", r"line 15: a: `sources` must name at least one"),
        ("  a:\n", "  first:\n", r"line 15: not valid YAML: found duplicate key \"first\""),
        ("  a:\n", "  A:\n", r"line 15: A: name: string should match pattern"),
        ("  first:\n", "  none: nothing\n  first:\n", r"line 2: expected a remedy with `for`.*found 'nothing'"),
    ],
)
def test_an_unsound_block_is_named(tmp_path, old, new, reported):
    file = tmp_path / "playbook.yaml"
    file.write_text(new.join(BLOCK.rsplit(old, 1)))
    with pytest.raises(UserError, match=r"playbook\.yaml: " + reported):
        load(file)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"no symptom 'mode_colapse'. Did you mean 'mode_collapse'"):
        remedies_for("mode_colapse")
    with pytest.raises(UserError, match=r"no cause 'lr_ratios'. Did you mean 'lr_ratio'"):
        remedies_for("mode_collapse", ("lr_ratios",))
    with pytest.raises(UserError, match=r"no family 'wgan_pg'. Did you mean 'wgan_gp'"):
        playbook("wgan_pg")


@pytest.mark.parametrize("empty", ["{}", "[]"])
def test_a_playbook_may_be_empty(tmp_path, empty):
    (tmp_path / "playbook.yaml").write_text(f"remedies: {empty}\n")
    assert load(tmp_path / "playbook.yaml") == ()


def test_a_file_without_remedies_is_refused(tmp_path):
    file = tmp_path / "playbook.yaml"
    file.write_text("remedies: none\n")
    with pytest.raises(UserError, match="expected a mapping of name to remedy under 'remedies:'"):
        load(file)
