"""The settings that several experiments have, each declared once, in groups so small that one composes what it uses."""

import dataclasses
import functools
import math
from typing import Literal

from experiments.core.settings import (
    EVALUATION,
    FILE,
    FOLDER,
    INPUT,
    NOTHING,
    PIPELINES,
    PRECISIONS,
    RESIDENT,
    SettingError,
    Settings,
    setting,
)
from ib_jax.objectives import BOTTLENECKS, RATE_OBJECTIVES, RESIDUAL_OBJECTIVES

SHARE = "share of the pixel range"

# Settings that training does not depend on, and those that nothing does.
_evaluated = functools.partial(setting, decides=EVALUATION)
_free = functools.partial(setting, decides=NOTHING)
_path = functools.partial(setting, "", local=True)


class Recipe(Settings, group="Run"):
    preset: str = _free("quick", "Values of other settings, where no flag gives them.")


class Workdir(Settings, group="Run"):
    workdir: str = _path(
        "Folder of the run; an unfinished one is resumed. Default: a new one under workdirs/.", path=FOLDER
    )


class Seed(Settings, group="Run"):
    seed: int = setting(0, "Seed of parameters, data order and noise.", least=0, most=2**31 - 1)


class Run(Recipe, Workdir, Seed):
    """One training run."""


class Figures(Settings, group="Run"):
    figures: bool = _free(True, "Whether to draw the figures.")


class Results(Settings, group="Run"):
    results: str = _path("Folder of records, table and figures. Default: results/ in the workdir.", path=FOLDER)


class Output(Settings, group="Run"):
    output: str = _path("JSON record. Default: under workdirs/.", path=FILE)


class Dataset(Settings, group="Data"):
    dataset: str = setting("digits", "Data set; digits needs no download.")


class DataChecksum(Settings, group="Data"):
    data_checksum: str = setting(
        "",
        "Of data of your own: a run on any other is refused. Default: that of what is found, which records keep.",
    )


class DataDir(Settings, group="Data"):
    data_dir: str = _path(
        "Where tensorflow-datasets keeps its data. Default: $TFDS_DATA_DIR or ~/tensorflow_datasets.", path=INPUT
    )


class Validation(Settings, group="Data"):
    num_validation: int = setting(0, "Training examples held out to choose by.", unit="examples", least=0)


class TrainImages(Settings, group="Data"):
    num_train_images: int = setting(0, "Only the first training images; 0 is all of them.", unit="images", least=0)


class Data(Dataset, DataDir, Validation):
    """A data set and what is held out of it."""


class ImageSize(Settings, group="Data"):
    image_size: int = setting(224, "Side of the images.", unit="pixels", least=1)


class Objective(Settings, group="Objective"):
    """What is trained; with `Beta`, `Rho` or both its strength."""

    objective: str = setting("vib", "What is trained.", choices=("cross_entropy", *BOTTLENECKS))

    @property
    def stochastic(self) -> bool:
        """Whether the encoder is stochastic; the baselines are not."""
        return self.objective in BOTTLENECKS

    @property
    def strength_field(self) -> str:
        """The setting that decides how strong the bottleneck is; empty for the baselines."""
        names = [field.name for field in dataclasses.fields(self) if field.name in ("beta", "rho")]
        usual = "beta" if self.objective in RATE_OBJECTIVES else "rho"
        return (usual if usual in names else names[0]) if self.stochastic else ""

    @property
    def strength(self) -> str:
        """The same with its value, for titles and tables."""
        return f"{self.strength_field} = {getattr(self, self.strength_field):g}" if self.stochastic else ""

    @property
    def name(self) -> str:
        """What the model is called in tables and files."""
        return self.objective + (f"_{self.strength.replace(' = ', '')}" if self.stochastic else "")


class ScaledObjective(Objective):
    """An objective that decides the scale of the encoder too."""

    @property
    def encoder_scale(self) -> Literal["learned", "unit", "zero"]:
        """Scale of p(z|x): learned for VIB and VUB, one for CEB, none for the baselines."""
        if not self.stochastic:
            return "zero"
        return "learned" if self.objective in RATE_OBJECTIVES else "unit"


class Beta(Settings, group="Objective"):
    beta: float = setting(
        1e-3, "vib, vub: weight of the rate.", unit="nats per nat", least=0, objectives=RATE_OBJECTIVES
    )


class DropoutRate(Settings, group="Objective"):
    dropout_rate: float = setting(
        0.5, "dropout: share of hidden units dropped.", note="not given", least=0, below=1, objectives=("dropout",)
    )


class Rho(Settings, group="Objective"):
    rho: float = setting(
        3.0,
        "ceb, consistent_ceb: the residual weighs e^-rho.",
        unit="nats per nat",
        least=-math.inf,
        most=math.inf,
        objectives=RESIDUAL_OBJECTIVES,
    )


class TrainSamples(Settings, group="Objective"):
    num_train_samples: int = setting(
        1, "Bottlenecks: samples of z for each example and step.", least=1, objectives=BOTTLENECKS
    )


class Schedule(Settings, group="Objective"):
    schedule: str = setting("constant", "How the strength is reached.", objectives=BOTTLENECKS)


class AnnealEpochs(Settings, group="Objective"):
    anneal_epochs: float = setting(1.0, "Length of a linear schedule.", unit="epochs", above=0, objectives=BOTTLENECKS)


class LatentDim(Settings, group="Network"):
    latent_dim: int = setting(256, "K, dimensions of the code z.", least=1)


class HiddenWidth(Settings, group="Network"):
    hidden_width: int = setting(1024, "Units of each of the two ReLU layers.", least=1)


class ScaleShift(Settings, group="Network"):
    scale_shift: float = setting(
        0.0, "Added before the softplus that gives the scale of p(z|x).", objectives=BOTTLENECKS
    )


class ScaleWidth(Settings, group="Network"):
    scale_width: float = setting(1.0, "Factor of all widths and channels.", above=0)


class Precision(Settings, group="Network"):
    precision: str = setting(
        "float32",
        "Of the networks' products; parameters, statistics and losses are float32 in any case.",
        choices=PRECISIONS,
    )


class Encoder(Settings, group="Network"):
    encoder: str = setting(
        "random",
        "Folder with a Hugging Face BERT (config.json, model.safetensors, tokenizer.json), its name on the hub, or "
        "random: untrained and small.",
    )
    max_length: int = setting(48, "Tokens that a text is cut to.", unit="tokens", least=3)


class Epochs(Settings, group="Training"):
    num_epochs: int = setting(10, "Length of training.", unit="epochs", least=1)


class Batch(Settings, group="Training"):
    batch_size: int = setting(100, "Size of the global batch, over all devices.", unit="examples", least=1)


class Fit(Epochs, Batch):
    """How long, on how many at a time, how fast."""

    learning_rate: float = setting(1e-3, "Rate at the start.", above=0)


class AverageDecay(Settings, group="Training"):
    average_decay: float = setting(
        0.0, "Decay of the debiased Polyak average, which is evaluated; 0 for none.", least=0, below=1
    )


class StaircaseDecay(Settings, group="Training"):
    decay_rate: float = setting(0.97, "Factor of each staircase decay of the rate.", above=0)
    epochs_per_decay: float = setting(2.0, "Time between decays.", unit="epochs", above=0)


class Training(Fit, AverageDecay):
    """How a model is trained in full."""

    weight_decay: float = setting(0.0, "Decoupled weight decay, times the learning rate.", least=0)
    steps_per_call: int = _free(
        0,
        "Steps in one compiled loop; 0 is a whole epoch, or with grain what fits into memory. A stop or resume happens "
        "between two loops.",
        unit="steps",
        least=0,
    )
    num_microbatches: int = setting(
        1, "Parts in which a device takes its batch, adding up gradients, to save memory; must divide it.", least=1
    )
    remat: bool = setting(False, "Compute activations again in the backward pass, to save memory.")


class Pipeline(Settings, group="Training"):
    input_pipeline: str = _free(
        RESIDENT,
        "resident: all training images lie on each device. grain: read from disk as they are needed, each process its "
        "share, for data that does not fit. Both take the same batches.",
        choices=PIPELINES,
    )


class EvalSamples(Settings, group="Evaluation"):
    num_eval_samples: int = _evaluated(
        12, "Samples of z behind the averaged prediction.", least=1, objectives=BOTTLENECKS
    )


class EvalEpochs(Settings, group="Evaluation"):
    epochs_per_eval: int = _evaluated(1, "Time between evaluations, and between checkpoints.", unit="epochs", least=1)


class Evaluation(EvalSamples, EvalEpochs):
    """How a model is evaluated, and how often."""

    eval_batch_size: int = _free(1000, "Examples in one evaluation batch.", unit="examples", least=1)


class Betas(Settings, group="Sweep"):
    betas: tuple[float, ...] = setting(
        (1e-3, 1e-1), "A bottleneck for each.", unit="nats per nat", above=0, distinct=True
    )


class Objectives(Settings, group="Sweep"):
    objectives: str = _free("vib,vub,ceb", "What is compared, with commas between.")

    @property
    def compared(self) -> tuple[str, ...]:
        """The objectives by name."""
        return split(self.objectives)


class Seeds(Settings, group="Sweep"):
    num_seeds: int = _free(1, "Models of each kind, their seeds from --seed (else 0) on.", least=1)


class MembersAtOnce(Settings, group="Sweep"):
    members_at_once: int = _free(
        -1, "Members computed side by side on a device, the others in turn; 0 is all, -1 what is fastest.", least=-1
    )


class Members(MembersAtOnce):
    """How a population lies on the devices."""

    memory_gib: float = _free(
        0.0, "Memory of a device that the members may take; 0 is what is free.", unit="GiB", least=0
    )


class AttackImages(Settings, group="Attacks"):
    num_attack_images: int = _evaluated(1000, "First test images that are attacked.", unit="images", least=1)


class AttackBatch(Settings, group="Attacks"):
    attack_batch_size: int = _free(250, "Images attacked at a time.", unit="images", least=1)


class Export(Settings, group="Attacks"):
    export_images: str = _path(
        "Folder for the attacked images of the models that have no record yet: NumPy files and a manifest for each. "
        "Default: they are not kept.",
        path=FOLDER,
    )


class Epsilon(Settings, group="Attacks"):
    epsilon: float = _evaluated(0.1, "L-inf radius.", unit=SHARE, above=0)


class Radius(Settings, group="Attacks"):
    radius: float = _evaluated(0.1, "The L-inf radius of which more is measured.", above=0)


class FgsmEpsilons(Settings, group="Attacks"):
    fgsm_epsilons: tuple[float, ...] = _evaluated((0.1, 0.3, 0.5), "Radii of FGSM.", unit=SHARE, above=0, distinct=True)


class PgdEpsilons(Settings, group="Attacks"):
    pgd_epsilons: tuple[float, ...] = _evaluated((0.2, 0.3), "Radii of PGD.", unit=SHARE, above=0, distinct=True)


class PgdSteps(Settings, group="Attacks"):
    pgd_steps: int = _evaluated(20, "Steps of PGD.", unit="steps", least=1)


class Eot(Settings, group="Attacks"):
    num_eot_samples: int = _evaluated(10, "Samples of z averaged in each gradient of an attack (EOT).", least=1)


class FgsmImages(Settings, group="Attacks"):
    num_fgsm_images: int = _evaluated(1000, "First test images attacked by FGSM.", unit="images", least=1)


class PgdImages(Settings, group="Attacks"):
    num_pgd_images: int = _evaluated(1000, "First test images attacked by PGD.", unit="images", least=1)


class Queries(Settings, group="Attacks"):
    num_queries: int = _evaluated(1000, "Queries of Square for an image.", unit="queries", least=1)


class Square(Queries):
    """The black-box attack."""

    num_square_images: int = _evaluated(200, "First test images attacked by Square.", unit="images", least=1)


class DeepfoolSteps(Settings, group="Attacks"):
    deepfool_steps: int = _evaluated(100, "Most steps of DeepFool.", unit="steps", least=1)


class CwSteps(Settings, group="Attacks"):
    cw_steps: int = _evaluated(200, "Carlini-Wagner: steps of each round.", unit="steps", note="not given", least=1)


class CwRounds(Settings, group="Attacks"):
    cw_binary_steps: int = _evaluated(6, "Carlini-Wagner: rounds of the search for c.", note="not given", least=1)


class CwRate(Settings, group="Attacks"):
    cw_learning_rate: float = _evaluated(0.03, "Carlini-Wagner: Adam's rate.", note="not given", above=0)


class CwConst(Settings, group="Attacks"):
    cw_const: float = _evaluated(0.1, "Carlini-Wagner: the one c.", unit="per nat", above=0)


class CwImages(Settings, group="Attacks"):
    num_cw_images: int = _evaluated(100, "First test images attacked by Carlini-Wagner.", unit="images", least=1)


class CwSearch(CwSteps, CwRounds, CwRate):
    """Carlini-Wagner with a search for c."""

    cw_initial_const: float = _evaluated(0.1, "Carlini-Wagner: the first c.", unit="per nat", note="not given", above=0)


class AttackNames(Settings, group="Attacks"):
    attacks: str = _free("all", "What is attacked with, with commas between; or all.")


class NumImages(Settings, group="Evaluation"):
    num_images: int = _evaluated(1000, "First test images.", unit="images", least=1)


class Checkpoint(Settings, group="Network"):
    checkpoint: str = _free(
        "", "Workdir of a finished cross_entropy run of experiments.mnist_vib. Default: train a network."
    )


class Peers(Settings, group="Peers"):
    peers: str = _free("", "Other libraries' ways, with commas between.")


def split(names: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


def check_names(flag: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Raises SettingError for a name that is not known."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SettingError(f"--{flag} must be of {', '.join(known)}, got {', '.join(unknown)}")
