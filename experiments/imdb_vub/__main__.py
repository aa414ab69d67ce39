"""Bottleneck heads on a frozen text encoder, attacked with DeepWordBug and PWWS.

Paper:    Weingarten et al., Tighter bounds on the information bottleneck (VUB, 2024): section 4.2, Table 2, Table 3,
          Figure 3.
Run:      python -m experiments.imdb_vub                                    made-up reviews, no download, two minutes
          python -m experiments.imdb_vub --preset=small --workdir=DIR       IMDB, MiniLM: as measured here
          python -m experiments.imdb_vub --preset=paper --encoder=FOLDER    a BERT of imdb_finetune, or one's own
Needs:    pip install ib-jax[text]; `python -m nltk.downloader wordnet` for PWWS, `stopwords` for --protocol=paper.
Does:     computes the encoder's features of all texts once and keeps them on disk; trains a deterministic head (of an
          encoder whose folder has its classifier, as imdb_finetune leaves it, the vanilla row is the network itself)
          and heads with VIB, VUB and CEB at each beta and seed, those of one objective as one population; then attacks
          all of them side by side, so that a text which many heads are asked about goes through the encoder once. A
          search is told the mean of --num_score_samples samples of z; success is judged on fresh ones. --protocol=both
          does it the paper's way as well, told and judged by one sample. All that is done is kept: after a stop the
          same command goes on.
Cost:     small: about two and a half hours on two CPU cores, nearly all of it an encoder of 10.6 million weights that
          reads 40 to 60 texts of 128 tokens a second: half an hour or less for the features, 72 minutes for DeepWordBug
          and 44 for PWWS on 35 heads.
Expect:   the paper: 93.0 % vanilla, VIB 91.0 %, VUB 93.2 % at beta 1e-3; DeepWordBug succeeds on 54.3, 35.1, 27.5 %,
          PWWS on 100, 41.6, 28.4 %. What was measured here stands in experiments/results/imdb_vub/table.md.
Leaves:   a record for each objective, table.md, figure3.png and robustness.png in --results; features, heads and every
          adversarial text in the workdir, some of them as a page, adversarial.html.
"""

from experiments.core import app
from experiments.imdb_vub.run import run
from experiments.imdb_vub.settings import ERRORS, PRESETS, TextConfig

if __name__ == "__main__":
    app.main(run, TextConfig, doc=__doc__, presets=PRESETS, errors=ERRORS)
