import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from tests.shared.lattice_images import PIXEL, image_of

from exitwave.benchmark.cases import Case
from exitwave.benchmark.classification import most_frequent, nearest_spectrum, predict
from exitwave.config.benchmarks import SimulatedBenchmark
from exitwave.config.graph import Node
from exitwave.config.models import Classification
from exitwave.config.structures import NanoparticlesOnSubstrate
from exitwave.errors import ConfigError, TrainingError
from exitwave.training.class_sums import ClassSums
from exitwave.training.classification import check, facts
from exitwave.training.confusion import accuracy, macro_f1
from exitwave.training.encoders import build_classifier
from exitwave.training.examples import HeldExamples
from exitwave.training.kinds import task_of, task_on
from exitwave.training.loop import train
from exitwave.training.networks import LoadedNetwork

CLASSES = ["rings", "stripes", "waves"]


def model(**changes):
    settings = {"target": {"column": "material"}, "epochs": 8, "batch_size": 8, "learning_rate_decay": 0.95}
    return Classification(kind="classification", **settings | changes)


def textures(n, rng):
    """Stripes, or one of two kinds of waves with the same power spectrum: one is the other turned upside down."""
    x = np.mgrid[:32, :32][1]
    places = rng.permutation(np.arange(n) % 3)
    images = []
    for place in places:
        phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(9, 11)
        angle = 2 * np.pi * x / period + phase
        stripes = np.sin(2 * np.pi * x / 4 + phase)
        wave = np.cos(angle) + 0.8 * np.cos(2 * angle)
        images.append([-wave, stripes, wave][place] + rng.normal(0, 0.2, (32, 32)))
    return np.array(images, np.float32), places.astype(np.int64)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return textures(60, rng), textures(30, rng)


def test_textures_are_told_apart_better_than_by_any_baseline(data, tmp_path):
    (images, places), (held, truths) = data
    settings = {"device": "cpu", "precision": "32", "threads": 1, "progress": lambda line: None}
    task = task_of(model(), {"classes": CLASSES})
    examples = (HeldExamples.of([str(i) for i in range(len(inputs))], inputs, targets) for inputs, targets in data)
    result = train(*examples, task, seed=1, checkpoint=tmp_path / "checkpoint.pt", **settings)
    assert list(result.history)[3:6] == ["validation_loss", "validation_accuracy", "validation_f1"]
    with torch.no_grad():
        probability = task.predict(result.network(torch.as_tensor(held)[:, None])).numpy()
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-5)
    reached = (probability.argmax(1) == truths).mean()
    best = result.history.iloc[result.best_epoch - 1]
    assert reached == pytest.approx(best["validation_accuracy"])
    scores = {}
    for fit in (most_frequent, nearest_spectrum):
        rule = fit([Case("a", i + 5, np.array([p]), 1.0, "a") for i, p in zip(images, places, strict=True)], 3)
        found = [int(rule(Case("a", image + 5, np.array([0]), 1.0, "a")).argmax()) for image in held]
        scores[fit.__name__] = (np.array(found) == truths).mean()
    assert scores["most_frequent"] == pytest.approx(1 / 3)
    assert scores["most_frequent"] + 0.15 < scores["nearest_spectrum"] < 0.9 < reached


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mit_b0"])
def test_networks_of_both_libraries_give_one_logit_a_class(name):
    network = build_classifier(model(encoder=name), 4, 1).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 4)


def test_an_unknown_network_is_refused_with_similar_names():
    with pytest.raises(TrainingError, match=r"encoder is 'densenet120'; allowed: .*densenet121"):
        build_classifier(model(encoder="densenet120"), 2, 1)


def test_images_that_a_network_cannot_take_are_refused():
    task = task_of(model(encoder="vit_tiny_patch16_224"), {"classes": CLASSES})
    with pytest.raises(TrainingError, match="vit_tiny_patch16_224 cannot take images of 64 x 64 px"):
        task.check(task.build(), (4, 64, 64))
    with pytest.raises(TrainingError, match="batches of 2 images or more"):
        task_of(model(batch_size=1), {"classes": CLASSES}).check(torch.nn.Identity(), (4, 64, 64))


def test_a_network_sees_quarters_of_autocorrelations_in_training_and_after(tmp_path):
    classes = ["hexagonal", "square"]
    block = model(representation="autocorrelation", encoder="test_resnet", epochs=1, preprocessing={"median": 1})
    task = task_of(block, {"classes": classes})
    images = np.stack([image_of(classes[i % 2], 0.2 * i, counts=200.0, seed=i, size=96)[0] for i in range(12)])
    seen, truth = task.inputs({"counts": images}), np.arange(12, dtype=np.int64) % 2
    assert seen.shape == (12, 2, 96, 96)
    sets = (HeldExamples.of([str(i) for i in part], seen[part], truth[part]) for part in (range(8), range(8, 12)))
    settings = {"device": "cpu", "precision": "32", "threads": 1, "progress": lambda line: None}
    network = train(*sets, task, seed=1, checkpoint=tmp_path / "checkpoint.pt", **settings).network
    with torch.no_grad():
        expected = task.predict(network(torch.as_tensor(seen[8:9])))[0]
    benchmark = SimulatedBenchmark(kind="simulated", datasets=["any"], trainings=["any"], size=1)
    # An image of another pixel is brought to that of the network.
    finer = np.repeat(np.repeat(images[8], 2, 0), 2, 1)
    for image, pixel, apart in ((images[8], PIXEL, 1e-5), (finer, PIXEL / 2, 0.02)):
        case = Case("a", image, truth[8:9], pixel, "a")
        found = predict(LoadedNetwork(network, task, PIXEL, {}), case, benchmark, task)
        np.testing.assert_allclose(found[:2], expected, atol=apart)


def manifest(materials):
    return pd.DataFrame({"material": materials, "dose": 1.0})


def test_classes_are_the_sorted_values_of_the_column(caplog):
    rows = manifest(["Pt", "Au", "Pt", None])
    task = task_on(model(), rows)
    assert task.facts == {"classes": ["", "Au", "Pt"]}
    assert task.targets({}, rows).tolist() == [2, 1, 2, 0]
    assert task.statistics(np.array([]), rows) == {"": 1, "Au": 1, "Pt": 2}
    assert task.statistics(np.array([]), rows[:2].assign(material=["Au", "Pt"])) == {"": 0, "Au": 1, "Pt": 1}
    assert "no image for training shows the class '';" in caplog.text
    with pytest.raises(TrainingError, match="whose material is 'Ag', which no image of the dataset has"):
        task.targets({}, manifest(["Ag"]))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (manifest(["Au", "Au"]), "found 1 different values of 'material'"),
        (manifest([str(i) for i in range(101)]), "found 101 different values of 'material'.*2 to 100"),
        (pd.DataFrame({"dose": [1.0]}), "found 'material', which the images of the dataset do not have"),
    ],
)
def test_a_column_that_makes_no_classes_is_refused(rows, sentence):
    with pytest.raises(TrainingError, match=sentence):
        facts(model(), rows)


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("materials", "'materials', which the images do not have; allowed: perhaps material"),
        ("folder", "'folder', which the images do not have"),
        ("radius_mean", "'radius_mean', which holds numbers"),
    ],
)
def test_a_column_that_cannot_be_a_class_is_refused_before_there_is_an_image(column, sentence):
    particles = Node("structures", "gold", NanoparticlesOnSubstrate.model_construct(), {})
    with pytest.raises(ConfigError, match=sentence):
        check(model(target={"column": column}), [particles])


def test_scores_of_a_confusion_matrix_are_those_of_scikit_learn():
    rng = np.random.default_rng(3)
    truth, guess = rng.integers(4, size=200), rng.integers(4, size=200)
    guess[:120] = truth[:120]
    logits = torch.nn.functional.one_hot(torch.as_tensor(guess), 5).double()
    whole = ClassSums.of(logits, torch.as_tensor(truth), 0.0)
    parts = [ClassSums.of(logits[i : i + 30], torch.as_tensor(truth[i : i + 30]), 0.0) for i in range(0, 200, 30)]
    total = parts[0]
    for part in parts[1:]:
        total += part
    assert torch.equal(total.confusion, whole.confusion)
    assert float(total.loss) == pytest.approx(float(whole.loss))
    confusion = whole.confusion.numpy()
    assert accuracy(confusion) == pytest.approx(accuracy_score(truth, guess))
    # The fifth class neither occurs nor was found.
    assert macro_f1(confusion) == pytest.approx(f1_score(truth, guess, average="macro"))
    both = np.stack([confusion, np.zeros_like(confusion)])
    np.testing.assert_allclose(macro_f1(both), [macro_f1(confusion), np.nan])


def test_label_smoothing_raises_the_loss_of_a_certain_network():
    outputs, targets = torch.tensor([[20.0, 0.0, 0.0]]), torch.tensor([0])
    sharp, smooth = (task_of(model(label_smoothing=s), {"classes": CLASSES}) for s in (0.0, 0.1))
    assert sharp.objective(outputs, targets) < 1e-6
    assert smooth.objective(outputs, targets).item() == pytest.approx(0.1 * 20 * 2 / 3, rel=1e-3)
