"""What the README promises: its examples run, its links and commands exist."""

import pathlib
import re

import jax
import jax.numpy as jnp
import pytest

from ib_jax import bounds

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.standard
def test_the_examples_run_in_order():
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    for example in examples:
        exec(example, names)
    for grads in ("grads", "plain_grads", "equinox_grads", "nnx_grads"):
        leaves = [leaf for leaf in jax.tree.leaves(names[grads]) if hasattr(leaf, "dtype")]
        assert leaves
        assert all(jnp.isfinite(leaf).all() and (leaf != 0).any() for leaf in leaves), grads
    assert names["losses_of_members"].shape == (3, 2)
    assert names["adversarial"].inputs.shape == (8, 4)
    assert set(names["objectives"]) == set(bounds.__all__)
    for bound in names["objectives"].values():
        assert jnp.isfinite(names["plain_loss"](names["params"], bound))


def test_links_and_modules_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    for module in re.findall(r"python -m ([\w.]+)", README):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
