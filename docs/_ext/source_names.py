"""The reference in the words of the source, which autodoc would take from the imported objects.

Signatures keep the names of types (`EncodeFn`, not what it stands for) and of defaults. Constants and type aliases have
the docstring below their assignment. A name in backticks links to its entry, with or without `ib_jax.` in front.
"""

import ast
import functools
import importlib
import inspect
import pathlib
import re
import types
from typing import Any

from sphinx.application import Sphinx


@functools.cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(pathlib.Path(importlib.import_module(module).__file__).read_text(encoding="utf-8"))


def assignment(module: str, name: str) -> tuple[str, str] | None:
    """The value and the docstring of a constant, in the file that assigns it; None if there is no such file."""
    body = tree_of(module).body
    for statement, below in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(statement, ast.ImportFrom) and name in {alias.asname or alias.name for alias in statement.names}:
            return assignment(statement.module, name)
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if name in {getattr(target, "id", None) for target in targets}:
            said = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and below.value.value
            return ast.unparse(statement.value), inspect.cleandoc(said or "")
    return None


def document_constant(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """What the source says of a constant; of a union also what it stands for, as autodoc says of other aliases."""
    if what == "data" and (found := assignment(*name.rsplit(".", 1))):
        value, text = found
        alias = ["", f"alias of ``{value}``"] if isinstance(obj, types.UnionType) else []
        lines[:] = [*text.splitlines(), *alias, ""]


def escape_letters(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """The letter of "num_classes: C." begins no list."""
    lines[:] = [re.sub(r"^(\s+(?:\w+: )?)([A-Za-z])\.(?=$| )", r"\1\\\2.", line) for line in lines]


def fields(record: type) -> str:
    """The fields of a record, whose types stand below, with their defaults where these are short."""

    def field(parameter: inspect.Parameter) -> str:
        default = parameter.default
        if default is parameter.empty:
            return parameter.name
        plain = isinstance(default, bool | int | float | str | tuple | None)
        return f"{parameter.name}={default!r}" if plain else f"{parameter.name}={getattr(default, '__name__', '...')}"

    of_flax = {"parent", "name"} if hasattr(record, "setup") else set()
    return f"({', '.join(field(p) for p in inspect.signature(record).parameters.values() if p.name not in of_flax)})"


def write_signature(app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: Any, returns: Any) -> Any:
    """The signature as it is written, without `self`."""
    if inspect.isclass(obj) and hasattr(obj, "_fields"):  # a NamedTuple
        return fields(obj), None
    function = inspect.unwrap(obj.__init__ if inspect.isclass(obj) else getattr(obj, "__func__", obj))
    if not inspect.isfunction(function) or not signature:
        return None
    try:
        node = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function))).body[0]
    except (OSError, SyntaxError):  # made by `dataclass`
        node = None
    if not isinstance(node, ast.FunctionDef):
        return (fields(obj), None) if inspect.isclass(obj) else None
    arguments = node.args
    if arguments.args and arguments.args[0].arg in {"self", "cls"}:
        del arguments.args[0]
    result = ast.unparse(node.returns) if node.returns and not inspect.isclass(obj) else None
    return f"({ast.unparse(arguments)})", result


def find_entry(app: Sphinx, env: Any, node: Any, contnode: Any) -> Any:
    """`losses.cross_entropy`, `attacks.Runner` and the names of `ib_jax.types`, from wherever they are written."""
    if node.get("refdomain") != "py":
        return None
    domain = env.domains["py"]
    target = node["reftarget"].removeprefix("ib_jax.")
    module = node.get("py:module") or ""
    parent, inner = module.rpartition(".")[0], target.partition(".")[2]  # estimators.X and types.X are at ib_jax.X
    for name in (f"ib_jax.{target}", f"ib_jax.types.{target}", f"{parent}.{target}", f"ib_jax.{inner}"):
        if name in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, contnode)
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", document_constant, priority=900)  # after napoleon
    app.connect("autodoc-process-docstring", escape_letters, priority=100)  # before napoleon
    app.connect("autodoc-process-signature", write_signature)
    app.connect("missing-reference", find_entry)
    return {"parallel_read_safe": True}
