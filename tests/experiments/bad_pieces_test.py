"""The table of bad inputs, continued: what experiments keep of frozen networks, and a tokeniser of another model."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.feature_cache import CacheCorruptError, FeatureCache
from experiments.imagenet_features import attack as image_attacks
from experiments.imdb_vub import attack as text_attacks
from experiments.imdb_vub import encoder, load_encoder
from ib_jax import data, hub, models
from ib_jax.files import DamagedFileError
from tests.bad_input import Case, refused, table

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"
AGAIN = "delete it to have it computed again"
TEXTS = ["a good film", "a bad film"]
TINY = models.BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=6)


def cache(folder, damage, file="shard_000001.npy", ask=FeatureCache.missing):
    """Fills a cache in the folder, damages a file of it, and asks for what is missing."""
    made = FeatureCache(folder, {"network": "a"}, 5, 2, 3)
    for index in range(made.num_shards):
        rows = len(made.rows(index))
        made.write(index, np.ones((rows, 2)), np.zeros(rows))
    path = made.folder / file
    path.write_bytes(damage(path.read_bytes()))
    ask(made)


def image_attack(folder, damage):
    """Keeps the answers to three images, damages the file, and asks for them again."""
    source = data.ArraySource(data.Split(np.zeros((3, 2, 2, 3), np.uint8), np.arange(3, dtype=np.int32)))
    own = types.SimpleNamespace(_source=source)
    own._in_blocks = lambda rows, make, block: image_attacks.Attacks._in_blocks(own, rows, make, block)

    def ask():
        return image_attacks.Attacks._kept(
            own, folder / "clean.npz", np.arange(3), lambda rows, images, labels: {"answers": labels}
        )

    assert ask()["answers"].tolist() == [0, 1, 2]
    (folder / "clean.npz").write_bytes(damage((folder / "clean.npz").read_bytes()))
    ask()


def text_answer(folder, written):
    (folder / "text_00000.json").write_bytes(written)
    text_attacks._known(folder / "text_00000.json")


def larger_tokeniser(folder):
    """A BERT of 8 tokens with a tokeniser of 9."""
    tokens = jnp.ones((1, 2), int)
    shapes = jax.eval_shape(models.BertModel(TINY).init, jax.random.key(0), tokens, tokens > 0)["params"]
    models.save_bert(folder, TINY, jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes))
    tokenise = data.word_tokenizer(TEXTS, max_length=9, vocab_size=8)
    tokenise.tokenizer.add_tokens(["added"])
    tokenise.save(folder)
    load_encoder(str(folder), TEXTS, max_length=9)


def other_texts(_):
    """An encoder whose tokeniser was changed after it was loaded."""
    loaded = load_encoder(encoder.RANDOM, TEXTS, max_length=9)
    loaded.tokenise.tokenizer.add_tokens([f"added{number}" for number in range(400)])
    split = data.TextSplit(("added399",), np.zeros(1, np.int32))
    encoder.features_of_texts(loaded, split, batch_size=1)(loaded.params, range(1), jax.devices()[0])


CASES = [
    Case("a shard cut", lambda at: cache(at, lambda all_: all_[:-3]), CacheCorruptError, ("shard_000001.npy", AGAIN)),
    Case("a shard empty", lambda at: cache(at, lambda _: b""), CacheCorruptError, ("is damaged (empty)", AGAIN)),
    Case(
        "a shard of zeros", lambda at: cache(at, lambda _: bytes(999)), DamagedFileError, ("nothing but zeros", AGAIN)
    ),
    Case("a shard a pointer", lambda at: cache(at, lambda _: POINTER), DamagedFileError, ("git lfs pull",)),
    Case(
        "a shard read later",
        lambda at: cache(at, lambda all_: all_[:-3], ask=FeatureCache.read),
        CacheCorruptError,
        ("DIR/features-", "shard_000001.npy is damaged", AGAIN),
    ),
    Case(
        "features.json of zeros",
        lambda at: cache(at, lambda _: bytes(99), "features.json"),
        CacheCorruptError,
        ("features.json", "nothing but zeros", "delete its folder"),
    ),
    Case(
        "features.json a list",
        lambda at: cache(at, lambda _: b"[]", "features.json"),
        CacheCorruptError,
        ("features.json does not say what its folder's name stands for", "delete the folder"),
    ),
    Case(
        "answers to images cut",
        lambda at: image_attack(at, lambda all_: all_[:200]),
        DamagedFileError,
        ("DIR/clean.npz is damaged", "delete it to have its attack made again"),
    ),
    Case(
        "answers to a text cut",
        lambda at: text_answer(at, b'{"vib_seed0": {"label"'),
        DamagedFileError,
        ("DIR/text_00000.json is damaged", "delete it to have its text attacked again"),
    ),
    Case(
        "no answers to a text",
        lambda at: text_answer(at, json.dumps({"vib_seed0": {"label": 1}}).encode()),
        DamagedFileError,
        ("DIR/text_00000.json is damaged", "delete it to have its text attacked again"),
    ),
    Case(
        "a tokeniser of more tokens",
        larger_tokeniser,
        models.CheckpointError,
        ("DIR/tokenizer.json has 9 tokens", "DIR/config.json says vocab_size = 8", "give the tokeniser of this model"),
    ),
    Case("tokens beyond the vocabulary", other_texts, ValueError, ("below vocab_size = 400", "for text 0")),
    Case(
        "an encoder in a bucket",
        lambda _: load_encoder("gs://b/bert", TEXTS, max_length=9),
        hub.HubUnavailableError,
        ("'gs://b/bert'", "a folder of this machine"),
    ),
]


@table(*CASES)
def test_it_is_refused_in_one_line_that_says_what_to_do(case, tmp_path):
    refused(case, tmp_path)


def test_after_the_remedy_only_the_damaged_shard_is_missing(tmp_path):
    def mend(made):
        (made.folder / "shard_000001.npy").unlink()
        assert made.missing() == [1]

    cache(tmp_path, lambda _: b"", ask=mend)
