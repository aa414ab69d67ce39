"""The information curve: one bottleneck network at many strengths and seeds, trained and attacked as one program.

Paper:    Alemi, Fischer, Dillon, Murphy, Deep Variational Information Bottleneck (2017): Figure 1, (a) to (d). Tighter
          Bounds on the Information Bottleneck (arXiv 2402.07639): Figure 3, the information plane through training.
Run:      python -m experiments.information_curve                                 digits, K = 2, four minutes
          python -m experiments.information_curve --dataset=mnist --preset=paper --betas=1e-9..1 --num_seeds=5 \\
              --latent_dims=256,2                                                 the paper's figure in full
          python -m experiments.information_curve --dataset=mnist --preset=paper --num_epochs=60 --latent_dims=256,2 \\
              --alone                                                             model by model, with a record each
          python -m experiments.information_curve --dataset=mnist --objective=ceb --betas=1e-9..0.1
Flags:    those below, and all of mnist_vib but --beta, --rho, --latent_dim, --encoder_scale. --betas are those of any
          objective: of vib and vub beta, of ceb and consistent_ceb rho = log((1 - beta) / beta), of label_smoothing and
          confidence_penalty their own weight.
Cost:     a model of 60 epochs of MNIST: three to four minutes on two CPU cores. The whole figure is 100 models of 200
          epochs: a matter for an accelerator (experiments/results/benchmark/sweep.json projects it).
Expect:   1.13 % error at beta = 1e-3 with K = 256 in the paper, 3.18 % with K = 2; about 10 bits of I(X;Z) suffice.
          Here, with 60 epochs, K = 256 (two seeds) 1.18 % at 1e-4 and 1.32 % at 1e-3; K = 2 (one seed) 3.00 %.
Leaves:   in the workdir a folder for each K with checkpoints and metrics, and in --results a record for each K,
          table.md, figure1.png and information_plane.png.
"""

from experiments.core import app
from experiments.information_curve.run import run
from experiments.information_curve.settings import PRESETS, VARIED, Config, CurveConfig

if __name__ == "__main__":
    app.main(run, CurveConfig, Config, doc=__doc__, presets=PRESETS, without=VARIED)
