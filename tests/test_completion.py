"""Completion of the shell: click's own, and the names of networks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.tiny import write_model


def ask(instruction, shell_line="", **environment):
    """What the command tells the shell that asks for completion."""
    words = shell_line.split(" ")
    asked = {"COMP_WORDS": shell_line, "COMP_CWORD": str(len(words) - 1), "_COLORCAPSNET_COMPLETE": instruction}
    command = [sys.executable, "-m", "colorcapsnet"]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **asked, **environment}
    ).stdout


def completions(shell_line, **environment):
    """Of the last word, with the kind that bash is told."""
    return ask("bash_complete", shell_line, **environment).split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_given_its_script(shell):
    told = ask(f"{shell}_source")
    assert f"_COLORCAPSNET_COMPLETE={shell}_complete" in told
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=told, text=True, check=True)


def test_verbs_and_options_are_completed():
    assert {"plain,verify"} <= set(completions("colorcapsnet ver"))
    assert completions("colorcapsnet colorize --viv") == ["plain,--vivid"]
    assert completions("colorcapsnet colorize --chroma-only ") == ["plain,layer", "plain,ab"]


@pytest.mark.parametrize("verb", ["colorize", "evaluate", "finetune", "suggest-hints", "report capsules"])
def test_names_of_models_are_completed_with_the_users_own(verb, tmp_path):
    write_model(tmp_path, "defoe")
    (tmp_path / "models").mkdir()
    write_model(tmp_path / "models", "december")
    found = completions(f"colorcapsnet {verb} --model de", COLORCAPSNET_HOME=str(tmp_path))
    assert found == ["plain,december", "plain,deep"]


def test_what_begins_no_name_is_completed_as_a_file():
    assert completions("colorcapsnet colorize --model ./mi") == ["file,./mi"]
