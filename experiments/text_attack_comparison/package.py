"""The package TextAttack 0.3.11, made to import without its downloads and without what its recipes here never use.

Its import loads some twenty packages, flair among them, downloads corpora of nltk's, and reads nltk's stop words.
DeepWordBug and PWWS use none of it: packages that are not installed are stood in for by empty modules, the downloads
are declared done, and the stop words are the caller's. The recipes are the package's, unchanged.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pathlib
import sys
import tempfile
import types
from collections.abc import Iterator, Sequence
from typing import Any

NEEDED = ("torch", "transformers", "textattack", "nltk", "lru", "editdistance", "filelock", "requests", "tqdm")
"""What has to be installed."""

PRETENDED = (
    *("bert_score", "datasets", "flair", "jieba", "langdetect", "language_tool_python", "lemminflect", "Levenshtein"),
    *("more_itertools", "num2words", "OpenHowNet", "pandas", "pinyin", "terminaltables", "word2number"),
)
"""What is imported with it but not used by the two recipes on English text."""


def load(stop_words: Sequence[str]) -> Any:
    """The package, with these words for nltk's English stop words.

    Raises:
      ImportError: something in `NEEDED` is not installed.
    """
    if "textattack" in sys.modules:
        raise RuntimeError("textattack is imported already, with stop words that cannot be changed")
    import nltk.corpus

    words = list(stop_words)
    nltk.corpus.stopwords = types.SimpleNamespace(words=lambda language: words)
    absent = [name for name in PRETENDED if importlib.util.find_spec(name) is None]
    with tempfile.TemporaryDirectory() as folder, _pretended(absent):
        (pathlib.Path(folder) / "post_install_check_3").touch()  # else it downloads
        os.environ["TA_CACHE_DIR"] = folder
        return importlib.import_module("textattack")


@contextlib.contextmanager
def no_downloads() -> Iterator[None]:
    """PWWS asks for a corpus of other languages each time it is built; English needs WordNet alone."""
    import nltk

    download, nltk.download = nltk.download, lambda *args, **kwargs: False
    try:
        yield
    finally:
        nltk.download = download


class _EmptyModule(types.ModuleType):
    """Has every class, without content, and every submodule."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].isupper():
            return type(name, (), {})
        return importlib.import_module(f"{self.__name__}.{name}")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, names: Sequence[str]):
        self._names = frozenset(names)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] in self._names:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _EmptyModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


@contextlib.contextmanager
def _pretended(names: Sequence[str]) -> Iterator[None]:
    finder = _Finder(names)
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
