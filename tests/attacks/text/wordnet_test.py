"""WordNet as nltk has it, where it is installed; and what is said where it is not."""

import importlib
import types

import pytest

from ib_jax.attacks import text


@pytest.fixture(scope="module")
def synonyms():
    pytest.importorskip("nltk")
    try:
        return text.wordnet_synonyms()
    except LookupError as error:
        pytest.skip(str(error))


def test_synonyms_are_those_of_the_corpus(synonyms):
    """Of every word that WordNet's files list in a synset with "movie", read from the files themselves."""
    from nltk.corpus import wordnet as corpus

    lemmas = set()
    with corpus.open("data.noun") as file:
        for line in file:
            if line.startswith(" "):
                continue
            fields = line.split(" | ")[0].split()
            names = [fields[4 + 2 * at].lower() for at in range(int(fields[3], 16))]
            if "movie" in names:
                lemmas |= set(names)
    expected = sorted(lemma for lemma in lemmas - {"movie"} if "_" not in lemma)
    assert list(synonyms("Movie", None)) == expected
    assert "film" in expected


def test_part_of_speech_and_inflection(synonyms):
    assert "derail" in synonyms("jump", "v")
    assert set(synonyms("jump", "n")) < set(synonyms("jump", None))
    assert synonyms("jump", "a") == ()
    assert "movie" in synonyms("movies", "n")
    assert "regretful" in synonyms("bad", "a")


def test_words_that_wordnet_does_not_know_have_no_synonyms(synonyms):
    for word in ("qwxz", "фильм", "电影", "हिन्दी", "e\u0301te\u0301", "it's", "f**k", "@"):
        assert synonyms(word, None) == ()


def test_every_synonym_is_one_word_in_small_letters(synonyms):
    found = {new for word in ("good", "Dr.", "us", "june", "state", "atlantic", "lsd") for new in synonyms(word, None)}
    assert len(found) > 20
    assert all(text.split(new).words == (new,) and new == new.lower() for new in found)


def test_case_is_restored_in_an_attack(synonyms):
    candidates = text.synonym_swaps(synonyms)(0, text.split("MOVIES Movies movies"))
    assert candidates(0)[0] == candidates(2)[0].upper()
    assert candidates(1)[0] == candidates(2)[0].capitalize()


def test_missing_nltk_and_data_are_named_with_the_command_that_gets_them(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    for make in (text.wordnet_synonyms, text.nltk_stop_words, text.nltk_tagger, text.pwws):
        with pytest.raises(ModuleNotFoundError, match=r"pip install ib-jax\[text\]"):
            make()

    def no_data(*args):
        raise LookupError("forty lines of nltk's own")

    corpora = types.SimpleNamespace(wordnet=types.SimpleNamespace(ensure_loaded=no_data))
    monkeypatch.setattr(importlib, "import_module", {"nltk.corpus": corpora}.__getitem__)
    for make in (text.wordnet_synonyms, text.pwws):
        with pytest.raises(LookupError, match=r"python -m nltk\.downloader wordnet$"):
            make()
    absent = types.SimpleNamespace(stopwords=types.SimpleNamespace(ensure_loaded=no_data))
    monkeypatch.setattr(importlib, "import_module", {"nltk.corpus": absent}.__getitem__)
    with pytest.raises(LookupError, match=r"python -m nltk\.downloader stopwords$"):
        text.nltk_stop_words()
    monkeypatch.setattr(importlib, "import_module", lambda name: types.SimpleNamespace(pos_tag=no_data))
    with pytest.raises(LookupError, match=r"python -m nltk\.downloader averaged_perceptron_tagger_eng"):
        text.nltk_tagger()
    assert text.pwws(synonyms=lambda word, part: ())  # asks nltk for nothing


def test_tags_are_wordnets_letters(monkeypatch):
    tags = {"film": "NN", "films": "NNS", "saw": "VBD", "good": "JJR", "well": "RB", "the": "DT", "He": "PRP"}
    nltk = types.SimpleNamespace(pos_tag=lambda words: [(word, tags.get(word, "CD")) for word in words])
    monkeypatch.setattr(importlib, "import_module", lambda name: nltk)
    words = ["He", "saw", "the", "good", "films", "well", "42"]
    assert text.nltk_tagger()(words) == (None, "v", None, "a", "n", "r", None)
    assert text.nltk_tagger()([]) == ()


def test_stop_words_are_nltks_english_ones_and_an_attack_takes_them(monkeypatch):
    lists = {"english": ["the", "don't"]}
    corpora = types.SimpleNamespace(stopwords=types.SimpleNamespace(ensure_loaded=lambda: None, words=lists.get))
    monkeypatch.setattr(importlib, "import_module", {"nltk.corpus": corpora}.__getitem__)
    words = text.nltk_stop_words()
    assert words == {"the", "don't"}
    monkeypatch.undo()  # scikit-learn is imported below
    may_touch, by_default = (text.deep_word_bug(stop_words=own).may_touch for own in (words, None))
    assert [may_touch("The"), may_touch("however")] == [False, True]
    assert [by_default("The"), by_default("however")] == [False, False]
