"""Train ResNets on ImageNet through the conditional entropy bottleneck, and attack them.

Paper:    Fischer and Alemi, CEB Improves Model Robustness (2020): section 3.2, Figures 3 and 4, Table 1.
Run:      python -m experiments.imagenet_ceb                              a narrow ResNet on digits, to see it run
          python -m experiments.imagenet_ceb --preset=paper --rho=3
          python -m experiments.imagenet_ceb --preset=paper --rhos=1..10 --baseline      one model after another
          python -m experiments.imagenet_ceb --preset=paper --objective=consistent_ceb --width=2 --rho=3
          python -m experiments.imagenet_ceb --preset=paper --objective=cross_entropy --augment=flip
          python -m experiments.imagenet_ceb --preset=paper --scale_epochs=0.1 --batch_size=1024
          python -m experiments.corruptions --workdirs=DIR,DIR --attack   Table 1, Figures 3 and 4 of all of them
Does:     trains one model, or one for each of --rhos, over all devices of all processes, batch normalisation in step;
          random crops on the host, in a thread for each core, flips and AutoAugment on the device; a batch in as few
          parts, and as many steps at once, as the memory allows. Then targeted and untargeted PGD, transfer, Square and
          the rest of `experiments.core.image_settings`, if --num_attack_images is positive.
Needs:    imagenet2012 prepared by tensorflow-datasets as array_record; the error says how where it is not.
Units:    radii are levels of 255. The paper's epsilon is 16 for both norms; it does not say in which units for L2.
Cost:     the paper's 270 epochs are 346 million images for each model: 12 hours of a TPU v3-8 at 8,000 images/s.
Expect:   the paper: ResNet-50 without AutoAugment 24.0 % error with cross-entropy, 22.8 % with CEB. Not measured here.
Leaves:   config.json, metrics.jsonl, results.json and checkpoints in the workdir, with --rhos in a folder of it for
          each model; in results/ a record of the attacks on each.
"""

from experiments.core import app
from experiments.imagenet_ceb.run import run
from experiments.imagenet_ceb.settings import PRESETS, ImageNetAttacks, ImageNetConfig, SweepSettings, scaled

if __name__ == "__main__":
    app.main(run, ImageNetConfig, SweepSettings, ImageNetAttacks, doc=__doc__, presets=PRESETS, adjust=scaled)
