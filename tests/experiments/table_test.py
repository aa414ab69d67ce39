from experiments.mnist_vib import table as mnist_vib_table


def record(objective, seed, error, num_epochs=200):
    config = {"preset": "paper", "objective": objective, "beta": 1e-3, "latent_dim": 256, "seed": seed}
    test = {"error_avg": error, "error_one": error + 0.005, "error_mean": error, "rate_bits": 22.0}
    test |= {"information_zy_bits": 3.2, "calibration_error": 0.01}
    rows = [{"attack": "PGD-20", "norm": "linf", "epsilons": [0.1, 0.2], "accuracy": [0.5, 0.1 * seed]}]
    robustness = {"num_images": 1000, "clean_accuracy": 0.99, "rows": rows}
    return {"config": config | {"num_epochs": num_epochs}, "test": test, "robustness": robustness}


def test_seeds_are_averaged_and_their_range_given_beside_the_papers_value():
    table = mnist_vib_table.render(
        [record("vib", 0, 0.012), record("vib", 1, 0.014), record("cross_entropy", 0, 0.0138)]
    )
    vib, baseline = (line for line in table.splitlines() if line.startswith("| paper, 200 epochs"))
    assert "| vib, beta 0.001 | 0, 1 | 1.30 % (1.20 % to 1.40 %) | 1.80 % (1.70 % to 1.90 %) |" in vib
    assert "| 1.13 % | 22.00 (22.00 to 22.00) |" in vib
    assert "| cross_entropy | 0 | - | - | 1.38 % | 1.38 % | - | 3.200 | 1.00 % |" in baseline
    assert "| paper | vib | 50.0 % | 5.0 % |" in table


def test_the_committed_table_is_made_from_the_committed_records():
    records = mnist_vib_table.read_records(mnist_vib_table.RESULTS)
    assert records
    assert (mnist_vib_table.RESULTS / "table.md").read_text() == mnist_vib_table.render(records)
