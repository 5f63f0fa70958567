"""Every ``trainwright`` command on a page is a valid command line; nothing is carried out here, see ``test_snippets.py``."""

import re

import pytest

from tests.docs.command_lines import parse
from tests.docs.pages import blocks, commands, name, pages
from tools import catalog
from trainwright.errors import UserError

SHELL = ("sh", "bash", "console", "shell")
EXAMPLE = "mlp_vae"  # of examples/third_party_family, which tests/plugins installs


@pytest.mark.parametrize("page", pages(), ids=name)
def test_commands_are_valid(page):
    wrong = []
    for block in blocks(page, *SHELL):
        for line in commands(block.text):
            try:
                parse(line)
            except UserError as error:
                wrong.append(f"line {block.line}: trainwright {line}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", pages(), ids=name)
def test_verbs_in_the_text_exist(page):
    for line in re.findall(r"(?<!`)`trainwright ([a-z][^`\n]*)`", page.read_text()):
        verbs = re.match(r"[a-z-]+(?:\|[a-z]+)*", line)
        assert verbs, line
        try:
            parse(verbs[0].split("|")[0] + " --help")
        except UserError as error:
            pytest.fail(f"`trainwright {line}`: {error}")


@pytest.mark.parametrize("page", pages(), ids=name)
def test_recipes_in_yaml_are_valid(page, tmp_path):
    for block in blocks(page, "yaml"):
        family = re.search(r"^family: (\w+)", block.text, re.MULTILINE)
        if family and family[1] != EXAMPLE and "..." not in block.text:
            file = tmp_path / "page.yaml"
            file.write_text(block.text)
            assert catalog.load(str(file))[0].name == family[1]


@pytest.mark.parametrize(
    "line",
    [
        "train wgan_gp/small data=images/ lr_g=1e-5",
        "train mine.yaml lr_d=2e-4",
        "doctor losses.csv --map d=critic/loss --json",
        "explain mode_collapse",
        "resume runs/x steps=20",
        "train RECIPE",
        "train --help",
        "",
    ],
)
def test_valid_lines_pass(line):
    assert parse(line) is None  # an error would be raised


@pytest.mark.parametrize(
    "line",
    [
        "trian wgan_gp/small",
        "train wgan_gp/smal",
        "train wgan_gp/small lr_q=1",
        "train wgan_gp/small n_critic=-1",
        "train wgan_gp/small --no-such-option",
        "train",
        "train wgan_gp/small data",
        "explain mode_colapse",
        "resume runs/x no_such_key=20",
        "plan run no_such/plan",
        "doctor x --experiment-steps few",
    ],
)
def test_invalid_lines_are_found(line):
    with pytest.raises(UserError):
        parse(line)


def test_commands_are_found_in_a_block():
    text = "cd x  # trainwright no\n$ trainwright doctor a.csv  # why\nA=1 bin/trainwright train \\\n  x/y && trainwright runs | head\n"
    assert list(commands(text)) == ["doctor a.csv", "train    x/y", "runs"]
