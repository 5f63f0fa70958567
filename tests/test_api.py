"""The Python API as a user meets it: the script of the tutorial, results that print, errors that name the nearest word."""

import copy
import html
import json
import pickle
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import torch
from pydantic import ConfigDict, TypeAdapter
from typing_extensions import is_typeddict

import trainwright as tw
from trainwright import schemas

RUNS = Path(__file__).parent / "fixtures" / "runs_0_1_0"
TINY: dict[str, object] = {
    "size": 16, "generator_features": 8, "critic_features": 8, "latent_dim": 8, "batch_size": 8, "n_critic": 1, "threads": 1,
    "tracker": "none", "log_every": 2, "validate_every": 3, "checkpoint_every": 3, "sample_every": 6, "sample_count": 4,
    "probe_stride": 1,
}  # fmt: skip


def tiny(sprites: Path, steps: int = 12, **overrides: object) -> tw.Config:
    small = {**TINY, **overrides}
    return tw.Config.from_recipe("wgan_gp/small", data=sprites, train={"steps": steps, "seed": 0}, **small)


@pytest.fixture(scope="module")
def run(sprites, tmp_path_factory) -> tw.Run:
    """A run of a few steps on real sprites."""
    return tw.train(tiny(sprites), tmp_path_factory.mktemp("api") / "first", progress=False)


def test_the_script_of_the_tutorial(sprites, tmp_path, capsys):
    class MyCallback(tw.Callback):
        def __init__(self) -> None:
            self.steps, self.ends = 0, 0

        def on_step_end(self, view):
            self.steps += 1
            return []

        def on_train_end(self, view):
            self.ends += 1
            return []

    for recipe in tw.recipes("wgan_gp"):
        print(recipe.name, "-", recipe.summary)

    config = tw.Config.from_recipe("wgan_gp/small", data=str(sprites), lr_g=1e-4, train={"steps": 12, "seed": 0})
    config = config.replace(**TINY)
    for check in tw.check(config, progress=False):
        print(check.grade, check.message, check.fix)

    mine = MyCallback()
    run = tw.train(config, run_dir=tmp_path / "runs" / "first", callbacks=[mine])
    print(run.status, run.signal("samples/coverage").last)

    diagnosis = tw.diagnose(run)
    for finding in diagnosis.findings:
        print(finding.symptom, finding.onset, finding.causes[:1], [r.advice for r in finding.remedies[:1]])

    study = tw.treat(config, budget="2h", attempts=1, study_dir=tmp_path / "study")
    model = tw.load(study.best_run, weights="ema")
    images = model.sample(64, seed=0)
    print(tw.evaluate(study.best_run, n=16))

    assert "wgan_gp/tiny - " in capsys.readouterr().out
    assert (run.status, run.step, mine.steps, mine.ends) == ("finished", 12, 12, 1)
    assert images.shape == (64, 3, 16, 16) and images.abs().max() <= 1
    assert study.best_run.status == "finished"
    print(model.export(tmp_path / "my_model"))
    again = tw.load(tmp_path / "my_model")
    assert torch.equal(again.sample(3, seed=1), model.sample(3, seed=1))
    assert not list((tmp_path / "my_model").rglob("*optimizer*"))


def test_every_public_name_is_there_documented_and_completed():
    missing = []
    for name in tw.__all__:
        value = getattr(tw, name)
        if name != "__version__" and not (value.__doc__ or "").strip():
            missing.append(name)
    assert missing == []
    assert dir(tw) == sorted(tw.__all__)
    assert (Path(tw.__file__).parent / "py.typed").exists()


def test_the_package_is_imported_without_torch():
    code = (
        "import sys, trainwright as tw\n"
        "tw.Config.from_recipe('wgan_gp/tiny', lr_g=1e-4); tw.recipes(all=True); tw.Run, tw.UserError\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        tw.trian  # noqa: B018


def test_recipes_say_what_they_are_for():
    shown, everything = tw.recipes(), tw.recipes(all=True)
    assert len(shown) < len(everything)
    assert not any(r.hidden for r in shown)
    assert all(r.summary and "\n" not in r.summary for r in everything)
    assert {r.family for r in tw.recipes("wgan_gp")} == {"wgan_gp"}
    assert {r.name: r.minutes for r in shown}["wgan_gp/tiny"] == 4
    with pytest.raises(tw.UserError, match="'wgan_gp'"):
        tw.recipes("wgan")


def test_a_describing_key_of_a_recipe_is_parsed_strictly(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("family: wgan_gp\nuse_for: my sprites\nminutes: 3\nlr_g: 2e-4\n")
    assert tw.Config.from_file(file).optim.lr_g == 2e-4
    file.write_text("family: wgan_gp\nminutes: soon\n")
    with pytest.raises(tw.UserError, match=r"line 2: minutes: .*valid number"):
        tw.Config.from_file(file)


def test_a_config_is_made_by_leaf_alias_and_section():
    config = tw.Config.from_recipe(
        "wgan_gp/small",
        data=Path("my_images"),
        lr_g=1e-5,
        LAMBDA_GP=5,
        train={"steps": 20_000, "plateau": {"min_lr": 1e-7}},
    )
    assert (config.family, config.recipe) == ("wgan_gp", "wgan_gp/small")
    assert (config.optim.lr_g, config.optim.lambda_gp, config.data.source) == (1e-5, 5, "my_images")
    assert (config.train.steps, config.train.plateau.min_lr, config.train.batch_size) == (20_000, 1e-7, 64)
    other = config.replace(betas=(0.5, 0.9), lr_d={"kind": "linear", "start": 1e-4, "end": 0.0, "over": 100})
    assert tuple(other.optim.betas) == (0.5, 0.9) and other.optim.lr_d.end == 0 and other.train.steps == 20_000
    assert other != config and other.replace() == other
    assert repr(config) == "Config('wgan_gp/small')"
    assert {"optim", "train", "data", "replace"} <= set(dir(config))
    assert copy.deepcopy(config) == config == pickle.loads(pickle.dumps(config))


def test_a_config_is_written_as_yaml_and_read_back(tmp_path):
    config = tw.Config.from_recipe("wgan_gp/small", lr_g=3e-5)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert tw.Config.from_file(tmp_path / "config.yaml").optim == config.optim


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda: tw.Config.from_recipe("wgan_gp/smal"), "Did you mean 'wgan_gp/small'"),
        (lambda: tw.Config.from_recipe("wgan_gp/small", lr_gg=1), "Did you mean 'lr_g'"),
        (lambda: tw.Config.from_recipe("wgan_gp/small", train={"step": 1}), "Did you mean 'train.steps'"),
        (lambda: tw.Config.from_recipe("wgan_gp/small", train=5), "is a section"),
        (lambda: tw.Config.from_recipe("wgan_gp/small", lr_g="fast"), "lr_g='fast'"),
        (lambda: tw.Config.from_recipe("mine.yaml"), "Config.from_file"),
        (lambda: tw.Config.from_file("nowhere.yaml"), "no such file"),
        (lambda: tw.Config.from_recipe("wgan_gp/tiny").replace(n_critics=1), "Did you mean 'n_critic'"),
        (lambda: tw.Run("nowhere"), "no such run folder"),
        (lambda: tw.Study("nowhere"), "no study"),
        (lambda: tw.diagnose("nowhere.csv"), "no such file or folder"),
        (lambda: tw.load(RUNS / "wgan_gp", weights="emma"), "Did you mean 'ema'"),
        (lambda: tw.evaluate(RUNS / "wgan_gp", weights="averaged"), "expected one of ema, raw, best"),
        (lambda: tw.compare([RUNS / "wgan_gp"]), "two or more"),
        (lambda: tw.Run(RUNS / "wgan_gp").signal("critic/los"), "Did you mean 'critic/loss'"),
        (lambda: tw.treat(tw.Config.from_recipe("wgan_gp/tiny"), budget="2 days"), "expected a time such as"),
        (lambda: tw.train(tw.Config.from_recipe("wgan_gp/tiny"), on_exists="resum"), "Did you mean 'resume'"),
    ],
)
def test_a_mistake_is_a_sentence_with_the_nearest_name(make, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tw.UserError) as error:
        make()
    assert expected in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_section_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Did you mean 'train'"):
        tw.Config.from_recipe("wgan_gp/tiny").trian  # noqa: B018


def test_an_old_name_of_a_recipe_is_an_alias():
    assert tw.Config.from_recipe("gaussian_vae/sound_picture").recipe == "gaussian_vae/sound_image"


def test_checks_name_what_cannot_work(sprites):
    found = tw.check(tiny(sprites, lr_g=10.0, lr_d=10.0), progress=False)
    assert found[0].grade in ("warn", "stop") and found[0].message and found[0].fix
    assert {c.grade for c in found} <= {"ok", "warn", "stop"}


def test_a_run_shows_its_state(run, sprites):
    assert (run.status, run.step) == ("finished", 12)
    assert run.verdict in ("healthy", "suspect", "sick", "unknown") and run.reason
    series = run.signal("critic/loss")
    assert series.steps[-1] == 12 and len(series.values) == len(series.steps) and series.last == series.values[-1]
    assert "critic/loss" in run.signals and "step" not in run.signals
    assert run.events()[0]["event"] == "started"
    assert run.config.train.steps == 12 and run.config.data.source == str(sprites)
    assert repr(run).startswith("Run(") and "finished at step 12" in repr(run)
    assert run._repr_html_().startswith("<table>") and "data:image/png;base64," in run._repr_html_()
    assert Path(run) == run.path


def test_training_again_resumes_and_goes_further(sprites, tmp_path):
    folder = tmp_path / "run"
    tw.train(tiny(sprites, 4), folder, progress=False)
    again = tw.train(tiny(sprites, 6), folder, progress=False)
    assert again.step == 6
    assert [e["event"] for e in again.events() if e["event"] in ("started", "resumed")] == ["started", "resumed"]
    with pytest.raises(tw.UserError, match="holds a run already"):
        tw.train(tiny(sprites, 6), folder, on_exists="error", progress=False)
    other = tw.train(tiny(sprites, 4), folder, on_exists="new", progress=False)
    assert other.path == tmp_path / "run-2" and other.step == 4


def test_a_folder_is_named_after_what_differs_from_the_recipe(sprites, tmp_path, monkeypatch):
    from trainwright.api import _run_dir

    monkeypatch.chdir(tmp_path)
    config = tw.Config.from_recipe("wgan_gp/small", lr_g=3e-5)
    assert _run_dir(config, None, "resume") == Path("runs/wgan_gp-small-optim.lr_g=3e-05")
    assert _run_dir(tw.Config.from_recipe("wgan_gp/small"), None, "resume") == Path("runs/wgan_gp-small")


def test_progress_is_shown_or_not(sprites, tmp_path, capsys):
    tw.train(tiny(sprites, 4), tmp_path / "silent", progress=False)
    assert capsys.readouterr() == ("", "")
    tw.train(tiny(sprites, 4), tmp_path / "shown")
    said = capsys.readouterr().out
    assert "wgan_gp/small: " in said and "run folder: " in said and "step 4/4" in said


def test_a_diagnosis_of_a_run_has_causes_and_remedies_that_print():
    found = tw.diagnose(RUNS / "wgan_gp")
    assert (found.verdict, found.alarms[0].symptom) == ("sick", "mode_collapse")
    first = found.alarms[0]
    assert first.title and first.onset == 12 and first.severity == "sick" and "nearly identical" in first.evidence[0]
    assert str(first.causes[0]) == f"{first.causes[0].title} ({first.causes[0].reason})"
    assert first.remedies[0].advice in str(first.remedies[0])
    assert "mode collapse, since step 12" in str(found) and "cause 1:" in str(found)
    assert repr(found).startswith("Diagnosis('wgan_gp': sick, mode_collapse")
    page = found._repr_html_()
    assert page.startswith("<pre>") and html.escape(first.evidence[0]) in page and "<svg" in page


def test_a_diagnosis_of_a_log_of_another_program(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,mine,g_loss\n" + "".join(f"{i},{-3 - i % 3},{i % 5}\n" for i in range(60)) + "60,nan,1\n")
    found = tw.diagnose(log, columns={"mine": "critic/loss"}, steps=1000)
    assert found.verdict == "crashed"
    assert any("mine was read as critic/loss" in note for note in found.notes)
    assert all(remedy.advice for finding in found.findings for remedy in finding.remedies)


def test_a_model_samples_by_seed_and_kind_of_weights(run, tmp_path):
    model = tw.load(run)
    assert (model.step, model.config.train.steps, model.averaged) == (12, 12, True)
    images = model.sample(5, seed=3)
    assert images.shape == (5, 3, 16, 16) and images.dtype == torch.float32 and images.abs().max() <= 1
    assert torch.equal(images, tw.load(run.path).sample(5, seed=3))
    assert not torch.equal(images, model.sample(5, seed=4))
    assert not torch.equal(images, tw.load(run, weights="raw").sample(5, seed=3))
    grid, *files = model.save_samples(tmp_path / "samples", 5, seed=3)
    assert grid.exists() and len(files) == 5 and all(file.exists() for file in files)
    with pytest.raises(tw.UserError, match="no best checkpoint"):
        tw.load(run, weights="best")
    with pytest.raises(tw.UserError, match="n=0"):
        model.sample(0)


def test_an_evaluation_prints_as_a_table(run):
    found = tw.evaluate(run, n=16)
    assert found["coverage"] == {r["metric"]: r["value"] for r in found.rows}["coverage"]
    assert "16 samples of step 12" in str(found) and "precision" in str(found)
    assert found._repr_html_().count("<tr>") == len(found.rows) + 1
    assert json.loads((run.path / "evaluation.json").read_text()) == found.as_dict()
    validate(schemas.EvaluationJson, found.as_dict())
    with pytest.raises(tw.UserError, match="Did you mean 'coverage'"):
        found["coverag"]


def test_a_comparison_has_rows_differences_and_a_page(tmp_path):
    found = tw.compare([RUNS / "wgan_gp", RUNS / "wgan_gp_seed1"])
    assert len(found.rows) == 2 and found.groups == ["wgan_gp"]
    assert ("seeds", ["0, 1"]) in found.differences
    assert "2 runs that differ only in their seed" in found.headline and found.headline in str(found)
    assert found.save(tmp_path / "page.html").read_text().startswith("<!doctype html>")
    validate(schemas.ComparisonJson, found.as_dict())


def test_what_the_command_line_prints_fits_its_schema(run, capsys):
    from trainwright.cli import app

    def said(*words: str) -> typing.Any:
        with pytest.raises(SystemExit):
            app(list(words))
        return json.loads(capsys.readouterr().out)

    for recipe in said("recipes", "--all", "--json"):
        validate(schemas.RecipeJson, recipe)
    for row in said("runs", "--root", str(run.path.parent), "--json"):
        validate(schemas.RunJson, row)
    validate(schemas.DiagnosisJson, said("doctor", str(RUNS / "wgan_gp"), "--json", "--chart", str(run.path / "x.svg")))
    for check in said("check", "wgan_gp/tiny", f"data={run.config.data.source}", "threads=1", "--json"):
        validate(schemas.CheckJson, check)


def validate(schema: typing.Any, value: object) -> None:
    """Strict: a key that the schema does not name is an error, at every depth."""

    def strict(kind: typing.Any) -> None:
        if is_typeddict(kind):
            kind.__pydantic_config__ = ConfigDict(extra="forbid")
            for inner in typing.get_type_hints(kind).values():
                strict(inner)
        for inner in typing.get_args(kind):
            strict(inner)

    strict(schema)
    TypeAdapter(schema).validate_json(json.dumps(value), strict=True)
