"""Carlini-Wagner against stochastic models: what the samples of each gradient do, and what the rule of stopping.

Paper:    Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): section 4.2.3, Figure 6. Its
          attack climbs and judges the mean softmax over 12 samples of z, at confidence 0, and hardly ever succeeds.
Run:      python -m experiments.carlini_wagner                                     two models of digits, no download
          python -m experiments.carlini_wagner --dataset=mnist --preset=paper --num_epochs=60
Does:     trains VIB at several betas and seeds, or takes the models from the workdir. Attacks each in every
          combination of samples in a gradient, what they are averaged over (losses, or the softmax), and the
          confidence: the lead in nats at which a search takes an image for a success. The attack at the mean of z
          stands beside them. All are judged by 12 fresh samples. A model with a record is not attacked again.
Cost:     on MNIST, 200 images and two CPU cores, some five minutes a model beside its training and other work.
Expect:   at confidence 0 the attack ends on a lucky draw of z, whatever averages its gradients: it reports an image for
          nearly each, and a few to half of them fool fresh samples. With the lead that the model's noise asks for (the
          attack's default) nearly all do, with 12 samples or more in each gradient.
Leaves:   a record for each model and seed, table.md and figure.png in --results.
"""

from experiments.carlini_wagner.run import run
from experiments.carlini_wagner.settings import PRESETS, StudyConfig
from experiments.core import app

if __name__ == "__main__":
    app.main(run, StudyConfig, doc=__doc__, presets=PRESETS)
