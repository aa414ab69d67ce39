"""The history of a run on disk: cut off by a kill, and rewound."""

from ib_jax.training import metrics_log


def test_a_line_cut_off_by_a_kill_is_left_out_and_later_rows_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert metrics_log.read(path) == []
    for step in (1, 2, 3):
        metrics_log.append(path, {"step": step})
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"step": 4, "lo')
    assert [row["step"] for row in metrics_log.read(path)] == [1, 2, 3]
    assert [row["step"] for row in metrics_log.rewind(path, 2)] == [1, 2]
    metrics_log.append(path, {"step": 3})
    assert [row["step"] for row in metrics_log.read(path)] == [1, 2, 3]
