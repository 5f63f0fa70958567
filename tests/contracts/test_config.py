"""Configs explain themselves, read back as they were written, and refuse what they do not know."""

import shutil

import pytest

from trainwright import catalog as registry
from trainwright.config.base import extra, leaves
from trainwright.config.names import resolve
from trainwright.config.reading import Settings, add_mapping, read_yaml, validate
from trainwright.config.writing import diff, to_yaml
from trainwright.errors import UserError


def test_every_field_has_a_help_sentence_and_a_hot_mark(family):
    for path, field in leaves(family.config):
        assert field.description and field.description.rstrip().endswith("."), path
        assert isinstance(extra(field, "hot"), bool), path


def test_every_alias_names_one_field(family):
    for path, field in leaves(family.config):
        for alias in extra(field, "aliases"):
            assert resolve(family.config, alias, "test") == path


def test_every_recipe_loads_and_has_a_hypothesis(title):
    family, config = registry.load(title)
    assert config.family == family.name
    assert config.recipe == title
    assert len(config.hypothesis.split()) > 8


def test_a_config_reads_back_as_it_was_written(title, tmp_path):
    family, config = registry.load(title)
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    settings = Settings()
    add_mapping(settings, family.config, read_yaml(file), str(file))
    assert diff(config, validate(settings, family.config)) == []


def test_smoke_overrides_fit_every_recipe(title):
    family = registry.family(title.split("/")[0])
    assert registry.load(title, family.smoke)[1].recipe == title


def test_an_unknown_key_is_refused_with_file_and_line(title, tmp_path):
    family, _ = registry.load(title)
    file = tmp_path / "mine.yaml"
    file.write_text(f"family: {family.name}\ntrain:\n  batchsize: 3\n")
    with pytest.raises(UserError, match=r"line 3: unknown key 'train.batchsize'.*batch_size"):
        registry.load(str(file))


def test_a_cold_change_is_refused_and_a_hot_one_takes_effect(title, quick, finished, tmp_path):
    shutil.copytree(finished(title).run.folder, tmp_path / "run")
    with pytest.raises(UserError, match=r"train.seed: 0 -> 7"):
        quick(title, "seed=7")
    again = quick(title, "steps=8", "batch_size=4")
    assert again.status == "finished"
    event = next(e for e in again.run.events() if e["event"] == "settings_changed")
    assert {"setting": "train.batch_size", "old": 8, "new": 4} in event["changes"]
    assert "batch_size: 4" in again.run.config.read_text()
