"""Advice in error messages about a data set that is missing, damaged or in another format."""

from pathlib import Path

from ib_jax.data.spec import ImageSpec

_REGISTER = "https://image-net.org/download-images"
# What the command `tfds` of tensorflow-datasets 4.9.10 needs to start and to write.
_PACKAGES = "tensorflow-cpu tensorflow-datasets array_record apache-beam mlcroissant importlib_resources"


def how_to_replace(spec: ImageSpec, folder: Path) -> str:
    """What to do about a damaged prepared copy."""
    if spec.read_raw is not None:
        return f"Delete {folder} and run again; it will be prepared afresh."
    data_dir = folder.parents[len(Path(spec.name).parts)]
    return f"Delete {folder} and prepare it again, with {_PACKAGES} installed: {_build_command(spec, data_dir)}"


def how_to_convert(spec: ImageSpec, folder: Path) -> str:
    """What to do about a prepared copy that is not in array_record format."""
    if spec.read_raw is not None:
        return "move that folder away and run again; it will be prepared afresh."
    return (
        f"convert it, with {_PACKAGES} installed: "
        f"tfds convert_format --dataset_version_dir={folder} --out_file_format=array_record"
    )


def how_to_build(spec: ImageSpec, data_dir: Path) -> str:
    """What to do about a missing data set that the user has to prepare with tensorflow-datasets."""
    steps = [f"pip install {_PACKAGES} {spec.needs}".rstrip()]
    if spec.manual_files:
        steps.append(f"put {' and '.join(spec.manual_files)}, as {_REGISTER} offers them to those who register,")
        steps.append(f"    into {data_dir / 'downloads' / 'manual'}")
    steps.append(_build_command(spec, data_dir))
    lines = "\n".join(f"       {step}" for step in steps)
    return f"""The data set {spec.name} {spec.version} is not on this machine.
Looked for a prepared copy in {spec.prepared_dir(data_dir)}
Either of these will do:
  1. If it lies elsewhere, pass data_dir= or set the environment variable TFDS_DATA_DIR.
  2. Prepare it once. Only this needs TensorFlow, and may be done in an environment or on a machine of its own:
{lines}"""


def _build_command(spec: ImageSpec, data_dir: Path) -> str:
    return f"tfds build {spec.name} --file_format=array_record --data_dir={data_dir}"
