"""Compiled programs are kept for the next process, quietly, in a folder that does not grow for ever."""

import os
import pathlib
import subprocess
import sys

import pytest

from experiments.core.compilation_cache import drop_oldest, user_folder

CODE = """
import sys
from experiments.core.compilation_cache import keep_programs
keep_programs(sys.argv[1])
import jax
print(jax.jit(lambda x: jax.numpy.sin(x) @ x)(jax.numpy.ones((3, 3))).sum())
"""


def kept(tmp_path: pathlib.Path, folder: str, **environment: str) -> tuple[list[str], str]:
    """The programs that lie in the user's cache folder after a process, and what it said on stderr."""
    forgotten = ("JAX_COMPILATION_CACHE_DIR", "TF_CPP_MIN_LOG_LEVEL")
    own = {name: value for name, value in os.environ.items() if name not in forgotten}
    own |= {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.getcwd(), **environment}
    ended = subprocess.run([sys.executable, "-c", CODE, folder], env=own, capture_output=True, text=True, check=True)
    assert float(ended.stdout) == pytest.approx(27 * 0.8414710, rel=1e-5)
    return sorted(path.name for path in tmp_path.rglob("jit__lambda*-cache")), ended.stderr


@pytest.mark.standard
def test_programs_are_kept_by_default_and_taken_without_a_word(tmp_path: pathlib.Path) -> None:
    first, _ = kept(tmp_path, "auto")
    assert len(first) == 1
    (path,) = tmp_path.rglob(first[0])
    written = path.stat().st_mtime_ns
    assert kept(tmp_path, "auto") == (first, "")
    assert path.stat().st_mtime_ns == written
    assert path.parent.parent == tmp_path / "ib_jax" / "compiled"


@pytest.mark.standard
def test_there_is_a_switch_and_the_environment_comes_first(tmp_path: pathlib.Path) -> None:
    assert kept(tmp_path / "none", "none")[0] == []
    elsewhere = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "own"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    assert kept(tmp_path / "user", "auto", **elsewhere)[0] == []
    assert list((tmp_path / "own").glob("jit__lambda*"))
    assert kept(tmp_path / "user", str(tmp_path / "given"))[0] == []
    assert list((tmp_path / "given").glob("jit__lambda*"))
    (tmp_path / "file").touch()
    assert kept(tmp_path / "file", "auto") == ([], "")  # no folder can be made there


def test_the_oldest_programs_go_first(tmp_path: pathlib.Path) -> None:
    for age, name in enumerate("abcde"):
        (tmp_path / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    drop_oldest(tmp_path, 50)
    assert len(list(tmp_path.iterdir())) == 5
    drop_oldest(tmp_path, 49)  # 24 bytes stay: two of 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    drop_oldest(tmp_path / "missing", 1)


def test_machines_of_another_kind_have_another_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = user_folder()
    monkeypatch.setattr("platform.machine", lambda: "another")
    assert here.parent == user_folder().parent == tmp_path / "ib_jax" / "compiled"
    assert here != user_folder()
