"""What is installed: the wheel, in an empty environment, has the library alone, and the README's first examples run."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys
import venv
import zipfile

import pytest

import ib_jax

ROOT = pathlib.Path(__file__).parent.parent
CARD = {"jax", "flax", "optax", "chex", "tensorflow-datasets", "orbax-checkpoint"}
ONLY_EXPERIMENTS = {"absl-py", "jinja2", "matplotlib", "pandas", "rich"}


def names(requirements):
    return {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}


def test_the_version_is_the_packages():
    assert importlib.metadata.version("ib-jax") == ib_jax.__version__


def test_the_library_needs_no_package_of_the_experiments():
    requirements = importlib.metadata.requires("ib-jax")
    always = names(line for line in requirements if "extra ==" not in line)
    assert always >= CARD
    assert not ONLY_EXPERIMENTS & always
    assert names(line for line in requirements if 'extra == "experiments"' in line) == ONLY_EXPERIMENTS


def test_experiments_without_their_packages_say_what_to_install():
    code = "import importlib.util as u; u.find_spec = lambda name: None if name == 'rich' else 1; import experiments"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stderr
    assert "ModuleNotFoundError: experiments need rich: pip install -e '.[experiments]'" in said


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, *build], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_the_library_and_no_other_package(wheel):
    files = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in files}
    assert tops == {"ib_jax", f"ib_jax-{ib_jax.__version__}.dist-info"}
    assert {f"ib_jax/{path.relative_to(ROOT / 'ib_jax')}" for path in (ROOT / "ib_jax").rglob("*.py")} <= set(files)
    assert "ib_jax/py.typed" in files


@pytest.mark.slow
def test_it_runs_from_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run = lambda *arguments: subprocess.run(
        [python, *arguments], check=True, cwd=tmp_path, text=True, capture_output=True
    )
    run("-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    estimator, *others = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "I(X;Z) <=" in run("-c", estimator).stdout
    functions = next(example for example in others if "adversarial = " in example)
    run("-c", functions + "\nassert adversarial.inputs.shape == (8, 4)")
    said = run("-c", "import ib_jax; print(ib_jax.__version__, ib_jax.__file__)").stdout.split()
    assert said[0] == ib_jax.__version__
    assert pathlib.Path(said[1]).is_relative_to(tmp_path)
    rooms = "; ".join(f"ib_jax.{name}" for name in ib_jax.__all__)
    run("-c", f"import ib_jax; {rooms}; ib_jax.data.load('digits')")
    missing = subprocess.run([python, "-c", "import experiments"], cwd=tmp_path, capture_output=True, text=True)
    assert "No module named 'experiments'" in missing.stderr
