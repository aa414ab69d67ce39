"""Where compiled programs are kept, so that the next start does not compile them again."""

import contextlib
import hashlib
import os
import pathlib
import platform

import jax

AUTO, NONE = "auto", "none"
MOST_BYTES = 1 << 30


def keep_programs(folder: str) -> None:
    """Keeps compiled programs in a folder, from which this and further processes take them.

    Args:
      folder: where; "auto" is where JAX_COMPILATION_CACHE_DIR says, or else `user_folder()`, of which the oldest half
        is dropped once it has grown past 1 GiB, nowhere if that cannot be written to; "none" is nowhere.
    """
    if folder == NONE:
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if folder == AUTO:
        if getattr(jax.config, "jax_compilation_cache_dir"):  # noqa: B009 - unknown to type checkers
            return
        try:
            user_folder().mkdir(parents=True, exist_ok=True)
        except OSError:  # a home that cannot be written to: JAX would warn of each program
            return
        folder = str(user_folder())
        drop_oldest(pathlib.Path(folder), MOST_BYTES)
    jax.config.update("jax_compilation_cache_dir", os.path.abspath(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def user_folder() -> pathlib.Path:
    """In the user's cache folder, one for each kind of processor: a home may be shared by machines of many kinds."""
    known = pathlib.Path("/proc/cpuinfo")  # of Linux
    lines = known.read_text("utf-8", "replace").splitlines() if known.exists() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    kind = hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:12]
    caches = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return caches / "ib_jax" / "compiled" / kind


def drop_oldest(folder: pathlib.Path, most_bytes: int) -> None:
    """Deletes the oldest files of a folder that is larger, until half of that is left; another process may, too."""
    sizes = []
    for path in folder.iterdir() if folder.is_dir() else []:
        with contextlib.suppress(OSError):
            status = path.stat()
            sizes.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in sizes)
    if total <= most_bytes:
        return
    for _, size, path in sorted(sizes):
        if total <= most_bytes // 2:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
