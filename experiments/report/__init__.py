"""Tables, figures and the site of all experiments, from their records."""
