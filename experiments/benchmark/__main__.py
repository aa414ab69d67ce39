"""Measure the speed of training, of populations, of attacks, of augmentation and of many devices.

Run:      python -m experiments.benchmark                             the train step, about five minutes on two cores
          python -m experiments.benchmark --suite=sweep               a population of models beside one: six minutes
          python -m experiments.benchmark --suite=scaling             one device, two, four, ... all of all processes
          python -m experiments.benchmark --suite=attacks             PGD, CW, DeepFool, many radii: 15 minutes
          python -m experiments.benchmark --suite=augment             AutoAugment beside torchvision's: four minutes
          python -m experiments.benchmark --suite=corruptions         19 corruptions of images: six minutes
          python -m experiments.benchmark --suite=images              convolutional networks; large ones on a GPU or TPU
          python -m experiments.benchmark --suite=reading             ImageNet's JPEGs by threads and cores: two minutes
          python -m experiments.benchmark --suite=adversarial         adversarial steps in plain ones: eight minutes
          python -m experiments.benchmark --suite=estimators          scikit-learn's MLPClassifier beside: two minutes
          python -m experiments.benchmark --suite=distances           distance against seconds of minimal-norm attacks
          python -m experiments.benchmark --suite=cold                the first call of each attack in a new process
          python -m experiments.benchmark --suite=all                 all of them, each with a record of its own
          python -m experiments.benchmark --peers=none                without PyTorch
          On a TPU pod every process runs the same command. To try many devices on a CPU, start with
          XLA_FLAGS=--xla_force_host_platform_device_count=8 PJRT_NPROC=64. PJRT_NPROC slows a single device down, so
          leave it out for the other suites; members of a population need no word from each other, nor it.
Needs:    pip install torch==2.13.0 for the peers (`pip install ib-jax[benchmark]`), ib-jax[peers] for the attacks and
          augmentation, ib-jax[corruptions] for the corruptions; without them their rows say so.
Method:   the rows take turns, round after round, so that a slow minute of the machine hits all alike; each PyTorch
          variant is a process of its own that sleeps between its turns; the first stretch of each row, with its
          compiling, is reported apart. Leave the machine alone meanwhile: PyTorch's threads suffer most from company.
          FLOPs are those of the matrix products and, beside them, those that XLA counts; the share of the peak (MFU) is
          of the rate that the machine reaches in a large matrix product of the same precision, in the same rounds.
Expect:   on two cores at least 2.5 times eager PyTorch with plain Adam, no less than the best PyTorch variant, and 65 %
          of the float32 matrix peak. Eight models of K = 256 together at least 0.95 times as fast as one alone, of
          K = 2 with 128 units 3 times, if the matrix peak allows that. PGD 2.2 times, CW 2.6 times the fastest library
          as installed (1.2 and 1.5 times with AVX-512 forced), DeepFool 10 times torchattacks; eight radii in less than
          4 times the time of one. AutoAugment 5 times the fastest way of torchvision at 32 x 32. Convolutional networks
          at least 0.9 times the speed of their steps in a Python loop, in training, in a population and under attack;
          on a GPU or TPU 40 % of the bfloat16 peak.
Leaves:   a JSON record, by default workdirs/benchmark/<suite>.json.
"""

from experiments.benchmark.run import run
from experiments.benchmark.settings import Config
from experiments.core import app
from experiments.core.worker import WorkerError

if __name__ == "__main__":
    app.main(run, Config, doc=__doc__, errors=(WorkerError,))
