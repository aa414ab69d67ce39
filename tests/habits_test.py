"""What surrounds the code agrees with it: workflows, hooks, templates, version, citation, change log."""

import os
import pathlib
import re
import tomllib

import pytest
import yaml

import ib_jax
from tests.__main__ import LINT

ROOT = pathlib.Path(__file__).parent.parent
GITHUB = ROOT / ".github"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
by_name = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def parsed(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps_of(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def pythons():
    """As pyproject.toml says."""
    found = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each) for each in PROJECT["classifiers"]]
    return [match[1] for match in found if match]


@by_name
def test_a_workflow_runs_what_ci_runs(path):
    """Each of its commands stands in .ci/run; a folder that is an argument may be another one there."""
    ci = (ROOT / ".ci" / "run").read_text()
    commands = [step["run"] for step in steps_of(parsed(path)) if "run" in step]
    assert len(commands) >= 2
    for command in commands:
        said = command.removesuffix(" dist") if command.startswith(".ci/") else command
        assert f" {said}\n" in ci or f' {said} "$folder' in ci, command
        if said.startswith(".ci/"):
            assert os.access(ROOT / said, os.X_OK)


def test_ci_runs_in_the_order_of_its_comment():
    steps = re.findall(r'^ *step "([^"$]*)', (ROOT / ".ci" / "run").read_text(), re.M)
    assert [step.strip() for step in steps] == [
        "install with",
        "README's second line, cold, install aside",
        "install with",
        "fast tests with the newest Python and JAX",
        "install for the documentation",
        "documentation",
        "sdist and wheel",
        "slow tests",
    ]


def test_the_workflow_of_tests_has_every_python_that_is_supported():
    matrix = parsed(GITHUB / "workflows" / "tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == pythons()
    assert PROJECT["requires-python"] == f">={pythons()[0]}"


@by_name
def test_extras_that_a_workflow_installs_exist(path):
    extras = re.findall(r'-e "\.\[(.+)\]"', path.read_text())
    assert extras
    assert {name for group in extras for name in group.split(",")} <= set(PROJECT["optional-dependencies"])


def test_hooks_are_the_checks_that_the_tests_begin_with():
    (repository,) = parsed(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}  # the versions of the extra `dev`
    entries = [hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]]
    assert entries == [" ".join(part for part in command if part not in (".", "--check")) for command in LINT]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_something(path):
    form = parsed(path)
    assert {"name", "description", "body"} <= set(form)
    fields = [each for each in form["body"] if each["type"] != "markdown"]
    names = [each["id"] for each in fields]
    assert len(set(names)) == len(names) > 2
    assert all(each["attributes"]["label"] for each in fields)
    assert any(each.get("validations", {}).get("required") for each in fields)


def test_there_is_a_form_for_a_bug_a_feature_and_a_wrong_number():
    assert [path.stem for path in FORMS] == ["bug", "feature", "wrong_number"]
    assert isinstance(parsed(GITHUB / "ISSUE_TEMPLATE" / "config.yml")["blank_issues_enabled"], bool)


def test_one_version_everywhere():
    citation = parsed(ROOT / "CITATION.cff")
    newest = re.search(r"^## (\S+), (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert citation["version"] == newest[1] == ib_jax.__version__
    assert citation["date-released"] == newest[2]
    assert citation["license"] == PROJECT["license"]
    cited = {reference["url"] for reference in citation["references"]}
    assert cited == {url for url in PROJECT["urls"].values() if "arxiv.org" in url}


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md"])
def test_links_of_a_page_at_the_root_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text()):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_nothing_that_reads_a_file_can_run_code_in_it():
    """SECURITY.md says so."""
    forbidden = r"\bpickle\.(load|Unpickler)|\bimport (pickle|dill|joblib|marshal|shelve)|torch\.load|allow_pickle=True"
    for folder in ("ib_jax", "experiments"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not re.search(forbidden, path.read_text()), path
