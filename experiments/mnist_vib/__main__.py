"""Train a bottleneck classifier, attack it and draw it.

Paper:    Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): Table 1, Figure 2.
Run:      python -m experiments.mnist_vib                               digits, no download, under a minute
          python -m experiments.mnist_vib --latent_dim=2 --beta=0.01    the same, with the codes drawn
          python -m experiments.mnist_vib --dataset=mnist --preset=paper --objective=vib --beta=1e-3
          python -m experiments.mnist_vib --dataset=mnist --preset=tuned
          python -m experiments.mnist_vib --dataset=mnist --objective=ceb --rho=3
          python -m experiments.mnist_vib --dataset=pets.npz            your own images; also a folder, or tfds:NAME
Cost:     the paper preset trains 200 epochs of MNIST, some twenty minutes on two CPU cores; the tuned one 60.
Expect:   the paper prints 1.13 % error with 12 samples on MNIST, its authors' notebook 1.21 %; what this module
          measured stands in experiments/results/mnist_vib/table.md.
Leaves:   config.json, metrics.jsonl, results.json, per_example.npz, checkpoints and figures in the workdir.
"""

from experiments.core import app
from experiments.mnist_vib.run import run
from experiments.mnist_vib.settings import PRESETS, Config

if __name__ == "__main__":
    app.main(run, Config, doc=__doc__, presets=PRESETS)
