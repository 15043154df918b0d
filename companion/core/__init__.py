"""The book's equations: data, network, losses, training, metrics, and the record of settings that decides a run."""
