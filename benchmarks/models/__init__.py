"""The trained models and labelled data that the benchmark runs on."""
