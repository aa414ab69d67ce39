"""Compare DeepWordBug and PWWS with TextAttack's, and with a naive search, on the same texts and the same model.

Paper:    Gao et al., DeepWordBug (2018); Ren et al., PWWS (2019); Morris et al., TextAttack (2020).
Run:      python -m experiments.text_attack_comparison                      made-up reviews, a minute
          python -m experiments.text_attack_comparison --dataset=imdb_reviews --num_texts=50 --num_words=100
              --encoder=sentence-transformers/all-MiniLM-L6-v2 --num_train=2000 --max_length=512
                                                                            IMDB; hours on two cores, most TextAttack's
Needs:    WordNet for PWWS (python -m nltk.downloader wordnet). TextAttack, whose rows say so where it is missing:
              python -m venv ta; ta/bin/pip install (what the extra text-peers lists)
              ta/bin/pip install --no-deps textattack==0.3.11; export TEXT_PEER_PYTHON=$PWD/ta/bin/python
Method:   a frozen BERT, the mean of its tokens' vectors and a linear head fitted by scikit-learn, the same weights in
          JAX and in PyTorch, the same tokeniser file, stop words and WordNet, one process after the other on all cores.
          Success is judged for all by the JAX model, and words are counted alike, as pieces between white space: a
          library's own verdict is not asked for. Ours is run twice, the second time with nothing remembered but the
          compiled programs; its seconds are those of the second run, and the first's stand beside them. What TextAttack
          does otherwise at equal settings stands at the head of `experiments/text_attack_comparison/textattack.py`.
Expect:   success rate (McNemar's test) and words changed (paired t-test) within sampling error, and at least 10 times
          fewer seconds.
Leaves:   a JSON record, by default workdirs/text_attack_comparison/<dataset>.json, a page of adversarial
          texts side by side, and table.md made of all records there.
"""

from experiments.core import app
from experiments.text_attack_comparison.run import run
from experiments.text_attack_comparison.settings import ERRORS, TextComparisonConfig

if __name__ == "__main__":
    app.main(run, TextComparisonConfig, doc=__doc__, errors=ERRORS)
