"""Every experiment's tables are made from its committed records, by the command that is told."""

import pytest

from experiments.core import render
from experiments.core.records import RecordError
from experiments.report import __main__ as program
from experiments.report import find


@pytest.mark.parametrize("name", find.names())
def test_the_committed_table_is_made_from_the_committed_records(name):
    folders = find.folders(name)
    assert folders
    for folder in folders:
        assert (folder / "table.md").read_text() == render.markdown(find.make(name, folder))


def test_figures_and_tables_are_written_beside_the_records_of_a_folder(tmp_path, capsys):
    record = find.RESULTS / "mnist_vib" / "digits" / "vib_seed0.json"
    (tmp_path / "vib_seed0.json").write_bytes(record.read_bytes())
    program.main(["mnist_vib", f"--folder={tmp_path}"])
    assert "VIB on digits" in capsys.readouterr().out
    made = {path.name for path in tmp_path.iterdir()} - {"vib_seed0.json"}
    assert made == {"table.md", "training.png", "robustness.png", "reliability.png", "latent_plane.png"}


def test_mistakes_are_answered(tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"report: mnist has no report; those that have: .*mnist_vib"):
        program.main(["mnist"])
    with pytest.raises(SystemExit, match=r"report: no record in .*: run python -m experiments.mnist_vib first"):
        program.main(["mnist_vib", f"--folder={tmp_path}"])
    with pytest.raises(SystemExit):
        program.main([f"--folder={tmp_path}"])
    assert "--folder is for one NAME" in capsys.readouterr().err
    with pytest.raises(RecordError, match="there is no folder"):
        find.make("mnist_vib", tmp_path / "none")
