"""Attacks, evaluations and proofs on the backend of KERAS_BACKEND.

Run by test_attack_backends.py, with a file of what TensorFlow makes of the same, and
"quick" for the checks that take seconds.
"""

import random
import sys
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import toy
from keras import ops

import keras_maskdef as kmd
from keras_maskdef import evaluation
from keras_maskdef.attacks import (
    Target,
    available,
    craft,
    describe,
    expectation_over_masks,
)
from keras_maskdef.backend.seeding import reseed
from keras_maskdef.evaluation import AttackSetting, Defence
from keras_maskdef.evaluation.matched import match_strength
from keras_maskdef.reporting.html_report import write_report
from maskdef import main

BACKEND = keras.backend.backend()
SIZES = {"l1": 5.0, "l2": 0.7, "linf": 0.05}
CW = {"steps": 30, "binary_search_steps": 2, "initial_const": 5.0}
# Those whose random draws, if any, are NumPy's.
QUICK = {
    ("fgsm", "linf", "foolbox"): {},
    ("bim", "l2", "foolbox"): {},
    ("fgsm", "linf", "cleverhans"): {},
}
OTHERS = {
    ("apgd", "linf", "art"): {"steps": 8},
    ("fgsm", "l1", "foolbox"): {},
    ("cw", "l2", "foolbox"): CW,
    ("deepfool", "linf", "foolbox"): {},
    ("bim", "linf", "cleverhans"): {},
    ("apgd-dlr", "l2", "art"): {"steps": 8},
    ("square", "linf", "art"): {"steps": 12},
}
X, Y = toy.data(20)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def network(scale=1.0, head=None, dtype="float32"):
    """Curved, with the same weights on every backend."""
    layers = [
        keras.layers.Conv2D(4, 3, activation="tanh", dtype=dtype),
        keras.layers.Flatten(dtype=dtype),
        keras.layers.Dense(4, activation=head, dtype=dtype),
    ]
    model = keras.Sequential([keras.Input((10, 10, 1)), *layers])
    generator = np.random.default_rng(0)
    weights = [generator.normal(0, 0.4, w.shape) for w in model.get_weights()]
    weights[2] *= scale
    model.set_weights(weights)
    images = generator.uniform(0.25, 0.75, (20, 10, 10, 1)).astype("float32")
    return model, images, model.predict(images, verbose=0).argmax(-1)


def crafted(attacks):
    model, images, labels = network()
    target = Target(model)
    return {
        f"{name} {norm} {library}": craft(
            name, target, images, labels, SIZES[norm], norm, **options, library=library
        )
        for (name, norm, library), options in attacks.items()
        if BACKEND in describe(name, norm, library).backends
    }


def evaluated():
    """Rows of a defence without randomness: what each attack leaves."""
    rounding = keras.Sequential(
        [keras.Input((8, 8, 1)), kmd.BitDepthReduction(3), toy.classifier()]
    )
    defence = Defence.behind(lambda images: np.round(images * 4) / 4, rounding)
    attacks = [AttackSetting("fgsm", "linf", 0.1), AttackSetting("bim", "l2", 0.5)]
    report = evaluation.evaluate(
        defence, toy.data(), attacks, adaptive=attacks[:1], batch_size=20
    )
    scores = [row.scores.values() for row in report.rows]
    return {
        "rows": np.array([[s and s.accuracy for s in row] for row in scores], float)
    }


def proven():
    mask = kmd.RandomGridMask(2, 0.75, sampling="fixed_count")
    vote = kmd.VotingEnsemble(toy.classifier(), mask)
    images = X[:6].copy()
    images[:3] = np.repeat(np.eye(4), 2, axis=0)[:, [0, 1, 2]].T[:, :, None, None]
    found = {
        method: kmd.certify(vote, images, method=method, sizes=(1, 2), **options)
        for method, options in {
            "exact": {},
            "double_masking": {},
            "per_set": {"samples": 500, "selection": 100},
        }.items()
    }
    return {
        f"{method} {each.threat} {each.size} {name}": getattr(each, name)
        for method, certificates in found.items()
        for each in certificates.certificates
        for name in ("predicted", "certified")
    }


def quick_results():
    return crafted(QUICK)


def results():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", evaluation.checks.RobustnessWarning)
        return {**crafted(QUICK | OTHERS), **evaluated(), **proven()}


def check_results_of_tensorflow(path, found):
    expected = np.load(path)
    assert {name for name in expected if "cleverhans" not in name} <= {*found}
    for name, values in found.items():
        near = np.abs(np.subtract(values, expected[name], dtype=float)) < 1e-4
        # Where two steps of APGD are equally good but for rounding, either is taken.
        assert near.mean() > (0.95 if "apgd" in name else 0.999), name


def check_gradient_by_hand():
    model = toy.classifier()
    kernel, bias = model.get_weights()
    logits = X.reshape(len(X), -1) @ kernel + bias
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = ((shares - np.eye(toy.CLASSES)[Y]) @ kernel.T).reshape(X.shape)
    softmax = keras.Sequential([model, keras.layers.Softmax()])
    for attacked in (model, softmax, lambda images: model(images)):
        loss, gradient = Target(attacked).loss_gradient(X, Y)
        np.testing.assert_allclose(array(gradient), expected, atol=1e-4)
        each = -np.log(shares[np.arange(len(X)), Y])
        np.testing.assert_allclose(array(loss), each.sum(), rtol=1e-4)


def check_masks_are_fresh_and_repeatable(model, attacked=None):
    """In every call that a target compiles: none may have its masks compiled in."""
    target = Target(attacked or model)
    target.compile(X)  # draws some
    calls = [target.logits, lambda x: target.loss_gradient(x, Y)[1]]
    if target.views > 1:
        calls.append(target.view_logits)
    for call in calls:
        reseed([model], 1)
        first, second = array(call(X)), array(call(X))
        assert (first != second).any()
        reseed([model], 1)
        np.testing.assert_array_equal(first, array(call(X)))


def check_libraries_that_differentiate():
    """Foolbox takes these attacks' gradients itself, around the compiled call."""
    vote = expectation_over_masks(toy.vote(), 2)
    seed = vote.mask.seed_generator.state
    for name, options in {"deepfool": {}, "cw": CW}.items():
        before = array(seed.value)
        craft(name, vote, X, Y, 1.0, "l2", **options)
        assert (array(seed.value) != before).any()
    if BACKEND == "torch":
        craft("fgsm", vote, X, Y, 0.1, library="cleverhans")
        assert all(weight.value.grad is None for weight in vote.weights)


def check_live_weights():
    model = toy.classifier()
    target = Target(model)
    before = array(target.logits(X))
    model.set_weights([2 * weight for weight in model.get_weights()])
    np.testing.assert_allclose(array(target.logits(X)), 2 * before, rtol=1e-5)


def check_models_without_a_gradient(attacks):
    rounding = kmd.BitDepthReduction(2, gradient="exact")
    model = keras.Sequential([keras.Input((8, 8, 1)), rounding, toy.classifier()])
    model.trainable = False
    _, gradient = Target(model).loss_gradient(X, Y)
    np.testing.assert_array_equal(array(gradient), np.zeros_like(X))
    for name in attacks:
        made = craft(name, model, X, Y, 0.1)
        np.testing.assert_allclose(made, X, atol=1e-6)


def check_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    dense = keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), dense])
    keras.config.set_dtype_policy("float32")
    target = Target(model)
    assert keras.backend.standardize_dtype(model(X).dtype) == "bfloat16"
    for result in (target.logits(X), *target.loss_gradient(X, Y)):
        assert keras.backend.standardize_dtype(result.dtype) == "float32"


def check_heads():
    """Of weights that are sure of their answers, in float32 and in float16."""
    expected = head_gradients(None, "float32")
    assert 0 < np.abs(expected).max((1, 2, 3)).min() < 1e-5
    found = head_gradients("softmax", "float32")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-12)
    for head in (None, "softmax"):
        half = head_gradients(head, "mixed_float16")
        flat = [each.reshape(len(each), -1) for each in (expected, half)]
        lengths = [np.linalg.norm(each, axis=1) for each in flat]
        cosines = np.sum(flat[0] * flat[1], axis=1) / np.prod(lengths, axis=0)
        assert cosines.min() > 0.9, cosines


def head_gradients(head, dtype):
    model, images, labels = network(12.0, head, dtype)
    return array(Target(model).loss_gradient(images, labels)[1])


def states():
    import eagerpy

    known = [np.random.get_state()[1].tolist(), random.getstate()]  # noqa: NPY002
    if BACKEND == "torch":
        import torch

        known.append(torch.get_rng_state().tolist())
    key = eagerpy.JAXTensor.key
    return [*known, None if key is None else np.asarray(key).tolist()]


def check_seeds():
    target = Target(toy.classifier())
    libraries = [("pgd", "foolbox"), ("apgd", None), ("hopskipjump", None)]
    if BACKEND == "torch":
        libraries.append(("pgd", "cleverhans"))
    for name, library in libraries:
        before = states()
        first, again, other = (
            craft(name, target, X[:6], Y[:6], 0.1, seed=s, library=library, steps=2)
            for s in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()
        assert states() == before


def refused(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except ValueError as error:
        assert f"Received: keras.backend.backend()={BACKEND!r}" in str(error)
    else:
        raise AssertionError(f"{arguments} runs on {BACKEND}")


def check_what_is_refused():
    model = toy.classifier()
    cleverhans = [("mim", None), ("diverse", None)]
    if BACKEND == "jax":
        cleverhans += [(name, "cleverhans") for name in ("fgsm", "bim", "pgd")]
    for name, library in cleverhans:
        refused(craft, name, model, X, Y, 0.1, library=library)
        setting = AttackSetting(name, "linf", 0.1, library)
        refused(evaluation.evaluate, model, (X, Y), [setting])
        assert BACKEND not in describe(name, library=library).backends
    assert ("mim", "linf") not in available()
    assert ("mim", "linf") in available("tensorflow")
    assert set(available()) == {
        (name, norm) for name, norm in available("tensorflow")
    } - {("mim", "linf"), ("diverse", "linf")}


def check_past_a_function():
    """What the classifier's gradient is at the function's result."""
    model, _, _ = network()
    images, labels = toy.data(6)
    images = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    (white,) = Defence.behind(np.round, model).white_box
    loss, gradient = Target(white).loss_gradient(images, labels)
    known = Target(model).loss_gradient(np.round(images), labels)
    np.testing.assert_allclose(array(loss), array(known[0]), rtol=1e-5)
    np.testing.assert_allclose(array(gradient), array(known[1]), atol=1e-5)


def check_past_a_function_of_the_same_backend():
    """JAX must not wait for its own callback: this would hang."""
    rounding = kmd.BitDepthReduction(3)
    defence = Defence.behind(lambda images: array(rounding(images)), toy.classifier())
    target = Target(defence.white_box[0])
    for name in ("bim", "deepfool", "apgd"):
        made = craft(name, target, X, Y, 0.1, steps=2)
        assert (made != X).any()


def check_a_run(folder):
    """Resumed, a run has the bytes of one that never stopped; it makes a page."""
    plan = {
        "attacks": [AttackSetting("fgsm", "l2", 0.5)],
        "threat_models": ("white_box",),
        "adaptive": [AttackSetting("pgd", "linf", 0.1, options={"steps": 3})],
        "samples": (1, 3),
        "judgements": 3,
        "batch_size": 20,
    }
    defended = keras.Sequential(
        [keras.Input((8, 8, 1)), kmd.BitDepthReduction(3), toy.vote()]
    )
    whole, resumed = folder / "whole", folder / "resumed"
    for path in (whole, resumed):
        keras.utils.set_random_seed(len(str(path)))  # of no influence
        report = evaluation.evaluate(defended, toy.data(), folder=path, **plan)
    assert any("masks frozen" in note for note in report.notes)
    for number, path in enumerate(sorted((resumed / "outcomes").iterdir())):
        if number % 3:
            path.unlink()
    (resumed / "results.json").unlink()
    evaluation.evaluate(defended, toy.data(), folder=resumed, resume=True, **plan)
    for name in ("results.json", "gallery.npz"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    assert write_report(whole)[0].stat().st_size > 10_000


def check_matched_strength():
    setting = AttackSetting("pgd", "linf", 0.1, options={"steps": 5})
    match = match_strength(toy.classifier(), toy.data(), setting, 0.5)
    assert abs(match.accuracy - 0.5) < 0.1


def check_early_exit():
    vote = toy.vote(votes=5)
    images, _ = toy.data(60)
    reseed([vote], 3)
    full = kmd.predict(vote, images, early_exit=False, seed=1)
    early, views = kmd.predict(vote, images, seed=1, return_views=True)
    np.testing.assert_array_equal(full, early)
    assert 3 <= views.min() < views.max() <= 5


def check_the_command(folder):
    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    digits = keras.Sequential([keras.Input((28, 28, 1)), *layers])
    vote = kmd.VotingEnsemble(digits, kmd.RandomGridMask(7), votes=3)
    vote.build((None, 28, 28, 1))
    vote.save(folder / "v.keras")
    command = f"evaluate {folder}/v.keras --images 8 --attacks fgsm --samples 1 2"
    main([*command.split(), "--repeats", "2", "--output", f"{folder}/run"])
    assert (folder / "run" / "results.json").exists()


def check_quickly(path):
    check_results_of_tensorflow(path, quick_results())
    check_gradient_by_hand()
    check_masks_are_fresh_and_repeatable(expectation_over_masks(toy.vote(), 3))
    check_live_weights()
    check_models_without_a_gradient(["bim"])
    check_mixed_precision()
    check_heads()
    check_what_is_refused()
    check_past_a_function()


def check(path):
    check_results_of_tensorflow(path, results())
    masked = keras.Sequential(
        [keras.Input((8, 8, 1)), kmd.RandomGridMask(2), toy.classifier()]
    )
    for model in (toy.vote(), masked, expectation_over_masks(masked, 3)):
        check_masks_are_fresh_and_repeatable(model)
    check_masks_are_fresh_and_repeatable(masked, lambda images: masked(images))
    check_libraries_that_differentiate()
    check_models_without_a_gradient(["deepfool"])
    check_seeds()
    check_matched_strength()
    check_early_exit()
    check_past_a_function_of_the_same_backend()
    with tempfile.TemporaryDirectory() as folder:
        check_a_run(Path(folder))
        check_the_command(Path(folder))


if __name__ == "__main__":
    warnings.simplefilter("ignore", evaluation.checks.RobustnessWarning)
    {"quick": check_quickly, "all": check}[sys.argv[2]](sys.argv[1])
