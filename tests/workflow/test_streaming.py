"""Plans of trainings that draw new images while they go on."""

import re


def test_a_streamed_training_waits_for_its_exit_waves_and_one_on_stored_images_does_not(unrun):
    unrun.write("streamed.yaml", trainings__sharp__streaming=True, trainings__blurred__streaming=False)
    graph = unrun.snakemake("--dag", "dot", "--until", "training", study="streamed.yaml").stdout
    labels = dict(re.findall(r'^\s*(\d+)\[label = "(.*?)"', graph, re.MULTILINE))
    edges = re.findall(r"^\s*(\d+) -> (\d+)", graph, re.MULTILINE)
    rules = {job: label.split("\\n")[0] for job, label in labels.items()}
    trainings = [job for job, rule in rules.items() if rule == "training"]
    assert len(trainings) == 3
    for training in trainings:
        waits_for = [rules[source] for source, target in edges if target == training]
        assert waits_for.count("dataset") == 1
        assert waits_for.count("images") == 2
        assert waits_for.count("exit_waves") == (2 if "sharp-" in labels[training] else 0)
