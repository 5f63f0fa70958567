"""The example package of a third-party family works once it is installed, and broken plug-ins never take others with them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "third_party_family"
HOW_TO = ROOT / "docs" / "how-to"


def install(target: Path, source: Path, name: str, groups: dict[str, dict[str, str]]) -> None:
    """Put a package where ``pip install --target`` would, with its metadata; a build would need the network."""
    shutil.copytree(source, target / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    info = target / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    lines = [f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in points.items()) for group, points in groups.items()]
    (info / "entry_points.txt").write_text("\n\n".join(lines) + "\n")


def install_example(target: Path) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    install(target, EXAMPLE / "mlp_vae", project["name"], project["entry-points"])


def python(target: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(target), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=280, env=env, cwd=cwd)


def trainwright(target: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return python(target, "-m", "trainwright", *words, cwd=cwd)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    install_example(target)
    return target


def test_its_recipe_is_listed(installed: Path):
    result = trainwright(installed, "recipes", "--json")
    assert result.returncode == 0, result.stderr
    listed = {entry["recipe"] for entry in json.loads(result.stdout)}
    assert {"mlp_vae/small", "wgan_gp/small"} <= listed
    assert result.stderr == ""


def test_it_trains_and_the_doctor_reads_its_signal(installed: Path, sprites: Path, tmp_path: Path):
    words = ["steps=4", "data.size=16", "batch_size=8", "log_every=1", "validate_every=2", "tracker=none"]
    result = trainwright(installed, "train", "mlp_vae/small", f"data={sprites}", *words, cwd=tmp_path)
    assert result.returncode in (0, 10, 11, 13), result.stdout + result.stderr
    (metrics,) = tmp_path.rglob("metrics.jsonl")
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert rows[-1]["step"] == 4
    assert any("pixels/saturated_excess" in row for row in rows)


def test_its_symptom_is_explained_with_cause_and_remedy(installed: Path):
    result = trainwright(installed, "explain", "saturated_outputs")
    assert result.returncode == 0, result.stderr
    assert "the gain before the tanh is too large" in result.stdout
    assert "lower_output_gain" in result.stdout or "model.output_gain" in result.stdout


def test_its_symptom_is_found_with_its_cause(installed: Path):
    code = (
        "from trainwright.diagnosis.doctor import examine\n"
        "from trainwright.diagnosis.history import History\n"
        "rows = [{'step': 20 * i, 'vae/loss': 9.0 - i / 9, 'pixels/saturated_excess': 0.6} for i in range(1, 20)]\n"
        "found = examine(History.of(rows, {'model.output_gain': 8.0}))\n"
        "print([(d.symptom.name, d.causes[0].cause.name) for d in found.findings])\n"
    )
    result = python(installed, "-c", code)
    assert "('saturated_outputs', 'output_gain')" in result.stdout, result.stderr


def test_discovery_imports_neither_torch_nor_pydantic(installed: Path):
    code = (
        "import sys\nfrom trainwright import plugins\n"
        "assert 'mlp_vae' in plugins.families() and 'saturated_outputs' in plugins.symptoms() and plugins.causes()\n"
        "assert not {'torch', 'pydantic'} & set(sys.modules)\n"
    )
    result = python(installed, "-c", code)
    assert result.returncode == 0, result.stderr


# ---- a package without a family --------------------------------------------------------------------------------------

EXTRAS = '''
"""A symptom, its causes and a further cause of a symptom that everybody has."""
from trainwright.diagnosis.definitions import Assessment, Cause, Symptom, Unknown

SYMPTOM = Symptom(
    name="too_quiet", title="too quiet", what="Nothing.", measured="Nothing.", bounds={}, detect=lambda h: Unknown("sound")
)
CAUSES = [
    Cause(name="muted", title="somebody muted it", of=("too_quiet",), assess=lambda h, o: Assessment(0.9, "muted")),
    Cause(name="full_moon", title="the moon is full", of=("exploding",), assess=lambda h, o: Assessment(0.1, "moon")),
]
CRASHES = Symptom(
    name="crashes", title="crashes", what="It.", measured="It.", bounds={}, detect=lambda h: 1 / 0
)
'''
REMEDY = (
    'remedies:\n  - {{name: unmute, for: [too_quiet], causes: [{cause}], change: {{}}, advice: "Turn it up.", '
    'apply: restart, source: "This test", evidence: untested, why: "Sound needs volume."}}\n'
)


def extras(folder: Path, cause: str = "muted") -> Path:
    package = folder / "extras"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(EXTRAS)
    (package / "playbook.yaml").write_text(REMEDY.format(cause=cause))
    return package


def test_a_package_registers_symptoms_causes_and_a_playbook(tmp_path: Path):
    groups = {
        "trainwright.symptoms": {"too_quiet": "extras:SYMPTOM"},
        "trainwright.causes": {"extras": "extras:CAUSES"},
        "trainwright.playbooks": {"extras": "extras"},
    }
    install(tmp_path / "to", extras(tmp_path / "from"), "extras", groups)
    result = trainwright(tmp_path / "to", "explain", "too_quiet")
    assert result.returncode == 0, result.stderr
    assert "somebody muted it" in result.stdout and "Turn it up" in result.stdout
    assert "the moon is full" in trainwright(tmp_path / "to", "explain", "exploding").stdout


BROKEN = {
    "an import that fails": ("trainwright.families", "bad", "no_such_package:FAMILY", "no_such_package"),
    "a name that is not there": ("trainwright.causes", "bad", "extras:NOTHING", "NOTHING"),
    "an object of another kind": ("trainwright.symptoms", "bad", "extras:CAUSES", "expected a Symptom"),
    "a name that is taken": ("trainwright.families", "bad", "trainwright.families.wgan_gp:FAMILY", "already"),
    "a playbook without a file": ("trainwright.playbooks", "bad", "trainwright.nn", "playbook.yaml"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plug_in_is_a_warning_that_names_it_and_the_rest_works(case: str, tmp_path: Path):
    group, name, value, reason = BROKEN[case]
    install_example(tmp_path / "to")
    install(tmp_path / "to", extras(tmp_path / "from"), "extras", {group: {name: value}})
    result = trainwright(tmp_path / "to", "explain", "saturated_outputs")
    assert result.returncode == 0, result.stderr
    assert "the gain before the tanh is too large" in result.stdout
    warning = " ".join(result.stderr.split())
    assert "PluginWarning" in warning and f"{group}: {name} = {value} of the package extras" in warning
    assert reason in warning


def test_a_playbook_that_is_not_sound_is_left_out(tmp_path: Path):
    groups = {
        "trainwright.symptoms": {"too_quiet": "extras:SYMPTOM"},
        "trainwright.playbooks": {"extras": "extras"},
    }
    install(tmp_path / "to", extras(tmp_path / "from", cause="nobody_knows"), "extras", groups)
    result = trainwright(tmp_path / "to", "explain", "exploding")
    assert result.returncode == 0, result.stderr
    assert "the playbook extras is skipped" in result.stderr and "nobody_knows" in result.stderr


def test_a_symptom_whose_code_fails_leaves_the_verdict_to_the_others(tmp_path: Path):
    groups = {"trainwright.symptoms": {"crashes": "extras:CRASHES"}}
    install(tmp_path / "to", extras(tmp_path / "from"), "extras", groups)
    code = (
        "from trainwright.diagnosis.doctor import examine\n"
        "from trainwright.diagnosis.history import History\n"
        "found = examine(History.of({'step': i, 'loss': 1.0, 'samples/coverage': 0.9} for i in range(1, 400)))\n"
        "print('crashes' in found.unknown, len(found.clear) > 0)\n"
    )
    result = python(tmp_path / "to", "-c", code)
    assert result.stdout.strip() == "True True", result.stderr
    assert "the symptom crashes is skipped: ZeroDivisionError" in result.stderr


# ---- the pages -------------------------------------------------------------------------------------------------------


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (HOW_TO / page).read_text(), re.DOTALL)


def test_what_the_page_on_families_shows_stands_in_the_example():
    files = [*EXAMPLE.rglob("*.py"), *EXAMPLE.rglob("*.yaml"), EXAMPLE / "pyproject.toml"]
    shown = [b for language in ("python", "yaml", "toml") for b in blocks("add-a-family.md", language)]
    assert len(shown) >= 4
    for block in shown:
        assert any(block.strip() in file.read_text() for file in files), block


@pytest.fixture(scope="module")
def of_the_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that the page on symptoms shows, file by file, installed with the entry points of the page."""
    folder, target = tmp_path_factory.mktemp("page"), tmp_path_factory.mktemp("installed_page")
    symptom, cause, test = blocks("add-a-symptom.md", "python")
    package = folder / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "pale.py").write_text(f"{symptom}\n\n{cause}")
    (package / "playbook.yaml").write_text(blocks("add-a-symptom.md", "yaml")[0])
    (entry_points,) = blocks("add-a-symptom.md", "toml")
    install(target, package, "my_package", tomllib.loads(entry_points)["project"]["entry-points"])
    (target / "tests").mkdir()
    (target / "tests" / "test_pale.py").write_text(test)
    return target


def test_the_unit_test_of_the_page_on_symptoms_passes_and_can_fail(of_the_page: Path):
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_pale.py")
    result = python(of_the_page, *words, cwd=of_the_page)
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    file = of_the_page / "my_package" / "pale.py"
    sound = file.read_text()
    file.write_text(sound.replace("contrast.values < bound", "contrast.values > bound"))
    result = python(of_the_page, *words, cwd=of_the_page)
    file.write_text(sound)
    assert "1 failed" in result.stdout, result.stdout + result.stderr


def test_the_package_of_the_page_on_symptoms_is_explained_and_judges(of_the_page: Path):
    result = trainwright(of_the_page, "explain", "pale")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert "the weight decay is too strong" in result.stdout and "optim.weight_decay" in result.stdout
    code = (
        "from trainwright.diagnosis.doctor import examine\n"
        "from trainwright.diagnosis.history import History\n"
        "rows = [{'step': 50 * i, 'samples/contrast_ratio': 0.3} for i in range(1, 20)]\n"
        "for decay in (2.0, 0.01, None):\n"
        "    found = examine(History.of(rows, {} if decay is None else {'optim.weight_decay': decay}, total=1000))\n"
        "    (cause,) = found.alarms[0].causes\n"
        "    print(found.verdict, found.alarms[0].symptom.name, cause.cause.name, cause.weight.score)\n"
    )
    result = python(of_the_page, "-c", code)
    assert result.stdout.splitlines() == [f"suspect pale strong_decay {score}" for score in (0.9, 0.1, 0.5)], result


def test_the_benchmark_entry_of_the_page_on_symptoms_has_the_form_of_the_table():
    shown = YAML(typ="safe").load(blocks("add-a-symptom.md", "yaml")[1])
    table = YAML(typ="safe").load((ROOT / "benchmarks" / "doctor" / "settings.yaml").read_text())
    for key, values in (("faults", "strengths"), ("healthy", "variants")):
        for entry in shown[key]:
            assert entry.keys() == table[key][0].keys()
            assert len(entry[values]) == len(table["bases"][entry["kind"]])


def test_the_remedy_of_the_page_is_that_of_the_playbook():
    (block,) = (b for b in blocks("add-a-remedy.md", "yaml") if b.startswith("remedies:\n"))
    playbook = ROOT / "src" / "trainwright" / "families" / "wgan_gp" / "playbook.yaml"
    assert block.removeprefix("remedies:\n") in playbook.read_text()
