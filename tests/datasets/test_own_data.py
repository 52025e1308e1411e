"""One's own images and models: folders of photographs, files, networks of others."""

import importlib
import json
import re
import sys
import textwrap
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import keras_maskdef as kmd
from keras_maskdef import datasets
from keras_maskdef.datasets import ImageDataWarning
from keras_maskdef.loading import class_names_of, images_for, load_model, value_range_of
from maskdef import main

QUICK = ("--attacks", "fgsm", "--eot-samples", 1, "--repeats", 2)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def photograph(path, seed, size=(60, 80), mode="RGB", **options):
    """Smooth colours, as JPEG keeps them."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    image = Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.convert(mode).save(path, **options)


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    for index in range(4):
        size = (48 + 10 * index, 80)
        for label, name in enumerate(("cat", "dog")):
            photograph(folder / name / f"{index}.jpg", 10 * index + label, size)
    return folder


def classifier(shape=(32, 32, 3), classes=2, scale=1 / 255, **options):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Rescaling(scale, **options),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes),
        ]
    )


def saved(model, path):
    model.save(path)
    return path


# --- Sources ---------------------------------------------------------------------


def test_a_folder_comes_mixed_scaled_and_whole(photographs):
    data = datasets.load(photographs, image_size=(30, 40))
    assert data.images.shape == (8, 30, 40, 3) and data.class_names == ("cat", "dog")
    ordered = datasets.image_folder(photographs, (30, 40))
    assert data.labels.tolist() != ordered.labels.tolist()
    found = {image.tobytes(): label for image, label in zip(*data[:2], strict=True)}
    for image, label in zip(*ordered[:2], strict=True):
        assert found[image.tobytes()] == label
    part = datasets.load(photographs, "all[2:5]", image_size=(30, 40))
    np.testing.assert_array_equal(part.images, data.images[2:5])
    np.testing.assert_array_equal(part.labels, data.labels[2:5])


def test_scaling_is_that_of_keras_reader(photographs):
    theirs = keras.utils.image_dataset_from_directory(
        photographs, image_size=(30, 40), shuffle=False, batch_size=None, verbose=False
    )
    theirs = np.stack([image for image, _ in theirs.as_numpy_iterator()]) / 255
    ours = datasets.image_folder(photographs, (30, 40)).images
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_folder_of_splits(photographs, tmp_path):
    root = tmp_path / "split"
    root.mkdir()
    photographs.rename(root / "train")
    photograph(root / "val" / "cat" / "0.png", 90)
    photograph(root / "val" / "dog" / "0.png", 91)
    assert len(datasets.load(root, image_size=(8, 8)).labels) == 8
    with pytest.warns(ImageDataWarning, match="60x80 pixels were scaled to 32x32"):
        data, _ = images_for(classifier(), root)
    assert len(data.labels) == 2
    with pytest.raises(ValueError, match=r"`split` must be one of .*Received: split="):
        datasets.load(root, "test", image_size=(8, 8))
    # A number means the same class in all splits, and what unpacking left is no split.
    photograph(root / "val" / "ant" / "0.png", 92)
    (root / "__MACOSX").mkdir()
    (root / ".git").mkdir()
    for split, present in (("train", {1, 2}), ("val", {0, 1, 2})):
        data = datasets.load(root, split, image_size=(8, 8))
        assert data.class_names == ("ant", "cat", "dog")
        assert {*data.labels} == present
    (root / "Val").mkdir()
    (root / "more").mkdir()
    with pytest.raises(ValueError, match="and not both. Received: .* more"):
        datasets.load(root, image_size=(8, 8))


def test_what_may_be_a_split_and_is_a_class(tmp_path):
    for name in ("bus", "train"):
        photograph(tmp_path / name / "0.jpg", 1)
    assert datasets.load(tmp_path).class_names == ("bus", "train")
    upper = tmp_path / "upper"
    for split in ("Train", "Valid"):
        photograph(upper / split / "only" / "0.jpg", 1)
    assert len(datasets.load(upper, "valid").labels) == 1


def test_folders_of_numbers_are_in_their_order(tmp_path):
    for number in range(11):
        photograph(tmp_path / str(number) / "0.jpg", number)
    photograph(tmp_path / "3" / "._0.jpg", 1)
    (tmp_path / "3" / "._1.jpg").write_bytes(b"what macOS leaves")
    data = datasets.load(tmp_path)
    assert data.class_names == tuple(map(str, range(11))) and len(data.labels) == 11


def as_rgb(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), int)


@pytest.mark.parametrize(
    "name, mode, options",
    [
        ("grey.jpg", "L", {}),
        ("grey.png", "L", {}),
        ("grey.bmp", "L", {}),
        ("cmyk.jpg", "CMYK", {"quality": 95}),
        ("palette.png", "P", {}),
        ("palette.gif", "P", {}),
        ("alpha.png", "RGBA", {}),
        ("grey_alpha.png", "LA", {}),
        ("bits.png", "1", {}),
        ("colour.bmp", "RGB", {}),
        ("progressive.jpg", "RGB", {"progressive": True, "quality": 95}),
        ("UPPER.JPEG", "RGB", {"quality": 95}),
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_kind_of_image_is_what_pillow_reads(
    tmp_path, name, mode, options, channels
):
    photograph(tmp_path / "class" / name, 1, mode=mode, **options)
    data = datasets.load(tmp_path, channels=channels)
    assert data.images.shape == (1, 60, 80, channels)
    found = data.images[0] * 255
    expected = as_rgb(tmp_path / "class" / name)
    if channels == 1:
        expected = (expected @ [0.299, 0.587, 0.114])[..., None]
    # Decoders of JPEG differ in how they round and in how they enlarge colours.
    most = 8 if name.lower().endswith(("jpg", "jpeg")) else 1
    differences = abs(found[..., : min(channels, 3)] - expected)
    assert differences.max() <= most and differences.mean() < 2
    if channels == 4:
        assert (data.images[..., 3] == 1).all()


def test_sixteen_bits_keep_their_order(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    (tmp_path / "class").mkdir()
    Image.fromarray(ramp).save(tmp_path / "class" / "ramp.png")
    images = datasets.load(tmp_path).images
    np.testing.assert_allclose(images[0, ..., 1], ramp / 65535, atol=1 / 250)


def test_of_an_animation_the_first_image(tmp_path):
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "lime", "blue")]
    (tmp_path / "class").mkdir()
    path = tmp_path / "class" / "moving.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    images = datasets.load(tmp_path).images
    assert images.shape == (1, 6, 8, 3)
    np.testing.assert_allclose(images[0, 0, 0], [1, 0, 0], atol=0.01)


def test_what_is_left_out_of_a_folder_is_told(photographs):
    (photographs / "cat" / "notes.txt").write_text("no image")
    (photographs / ".DS_Store").write_text("hidden")
    photograph(photographs / "cat" / "new.webp", 5)
    photograph(photographs / "lost.jpg", 5)
    message = r"3 files of .* are left out.*cat/new.webp, cat/notes.txt, lost.jpg"
    with pytest.warns(ImageDataWarning, match=message):
        datasets.load(photographs, image_size=(8, 8))


def stored(path, **arrays):
    np.savez(path, **arrays)
    return path


RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    "x, expected",
    [
        (BYTES, BYTES / 255),
        (BYTES / 255, BYTES / 255),
        (BYTES.astype("uint16") * 257, BYTES / 255),
        (BYTES[..., 0], BYTES[..., :1] / 255),
        (np.asfortranarray(BYTES), BYTES / 255),
    ],
)
@pytest.mark.parametrize(
    "y", [LABELS, LABELS[:, None], np.eye(3)[LABELS], LABELS * 1.0]
)
def test_npz(tmp_path, x, expected, y):
    data = datasets.load(stored(tmp_path / "own.npz", x=x, y=y))
    np.testing.assert_allclose(data.images, expected, atol=1e-6)
    assert data.labels.tolist() == LABELS.tolist()
    assert data.class_names == ("0", "1", "2")


@pytest.mark.parametrize("x", [BYTES // 200, BYTES.astype("uint16") * 16])
def test_dark_integers_are_told(tmp_path, x):
    path = stored(tmp_path / "own.npz", x=x, y=LABELS)
    with pytest.warns(ImageDataWarning, match="are dark: no value is above"):
        datasets.load(path)


@pytest.mark.parametrize("x", [BYTES.astype(float), BYTES / 127.5 - 1])
def test_a_range_that_is_found_in_an_npz_file_is_told(tmp_path, x):
    path = stored(tmp_path / "own.npz", x=x, y=LABELS)
    for split, rows in ((None, slice(None)), ("all[:1]", slice(1))):
        with pytest.warns(ImageDataWarning, match=r"as being on \["):
            images = datasets.load(path, split).images
        np.testing.assert_allclose(images, BYTES[rows] / 255, atol=1e-6)


def test_npz_with_parts_and_names(tmp_path):
    path = stored(
        tmp_path / "own.npz",
        x_train=BYTES[:4],
        y_train=LABELS[:4],
        x_test=BYTES[4:],
        y_test=LABELS[4:],
        class_names=np.array(["ant", "bee", "cat"]),
    )
    assert len(datasets.load(path).labels) == 4
    test = datasets.load(path, "test[1:]")
    np.testing.assert_allclose(test.images, BYTES[5:] / 255, atol=1e-6)
    assert test.class_names == ("ant", "bee", "cat")
    data, _ = images_for(classifier((8, 8, 3), 3), path)
    assert data.labels.tolist() == [1, 2]


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"images": BYTES, "y": LABELS}, r"the arrays `x` and `y`.*\['images', 'y'\]"),
        ({"x": BYTES, "y": LABELS[:5]}, "a label for each"),
        ({"x": BYTES[0, 0], "y": LABELS}, "must be images"),
        ({"x": BYTES * 2.0, "y": LABELS}, r"must lie in \[0, 1\].*max\(\)="),
        ({"x": np.full((6, 2, 2, 1), np.nan), "y": LABELS}, "must lie in"),
        ({"x": BYTES, "y": LABELS + 0.5}, "labels of .* must be integers"),
        ({"x": BYTES, "y": np.array(list("abcabc"))}, "labels of .* must be integers"),
        ({"x": BYTES, "y": LABELS - 1}, r"must be from 0 to 1.*labels.min\(\)=-1"),
        ({"x": BYTES.astype(object), "y": LABELS}, "objects in place of numbers"),
        ({"x": BYTES, "y": np.array(3)}, "a label for each"),
        ({"x": BYTES, "y": LABELS, "class_names": np.array("a")}, "`class_names` of"),
        ({"x": BYTES, "y": LABELS, "class_names": list("aab")}, "different strings"),
        ({"x": BYTES, "y": LABELS, "class_names": list("ab")}, "from 0 to 1"),
        ({"x": BYTES[:0], "y": LABELS[:0]}, "must be images"),
    ],
)
def test_a_wrong_npz_file_says_what_is_wrong(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        datasets.load(stored(tmp_path / "own.npz", **arrays))


def test_files_that_are_no_npz(tmp_path):
    (tmp_path / "text.npz").write_text("no arrays")
    np.save(tmp_path / "one.npy", BYTES)
    whole = stored(tmp_path / "whole.npz", x=BYTES, y=LABELS).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-200])
    for name in ("text.npz", "one.npy", "cut.npz"):
        with pytest.raises(ValueError, match=f"{name} must be .*an .npz file"):
            datasets.load(tmp_path / name)
    (tmp_path / "changed.npz").write_bytes(whole.replace(whole[300:320], bytes(20)))
    with pytest.raises(ValueError, match="changed.npz is damaged"):
        datasets.load(tmp_path / "changed.npz")
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        datasets.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="must be left out for a folder or a file"):
        datasets.load(tmp_path / "text.npz", download=True)


@pytest.fixture
def tfds_folder(tmp_path):
    """A set of photographs of several sizes, and one with no classes."""
    pictures = [
        RNG.integers(0, 256, (10 + n, 12, 3), np.uint8) for n in range(len(LABELS))
    ]
    kinds = {
        "flowers": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
        "unlabelled": tfds.features.Scalar(tf.int64),
    }
    for name, kind in kinds.items():
        rows = tf.data.Dataset.from_generator(
            lambda: (
                {"image": picture, "label": label}
                for picture, label in zip(pictures, LABELS, strict=True)
            ),
            output_signature={
                "image": tf.TensorSpec((None, None, 3), tf.uint8),
                "label": tf.TensorSpec((), tf.int64),
            },
        )
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict(
                {"image": tfds.features.Image(), "label": kind}
            ),
            split_datasets={"validation": rows},
            data_dir=tmp_path,
            disable_shuffling=True,
        )
    return tmp_path


def test_any_set_of_tensorflow_datasets(tfds_folder):
    with pytest.warns(ImageDataWarning, match="scaled to 32x32"):
        data, known = images_for(
            classifier(classes=3), "tfds:flowers", data_dir=tfds_folder, images=50
        )
    assert data.images.shape == (6, 32, 32, 3) and known == (0, 255)
    assert data.labels.tolist() == LABELS.tolist()
    assert data.class_names == ("ant", "bee", "cat")
    with pytest.raises(ValueError, match="differ in size.*Received: image_size=None"):
        datasets.load("tfds:flowers", "validation", tfds_folder)
    with pytest.raises(ValueError, match="images and their classes.*'unlabelled'"):
        datasets.load("tfds:unlabelled", "validation", tfds_folder)
    with pytest.raises(FileNotFoundError, match=r"datasets.load\('tfds:trees'"):
        datasets.load("tfds:trees", data_dir=tfds_folder)


# --- What a model takes ------------------------------------------------------------


def normalized(mean, variance):
    return [keras.layers.Normalization(mean=mean, variance=variance)]


COLOURS = (0.485, 0.456, 0.406), (0.229**2, 0.224**2, 0.225**2)
BYTE_COLOURS = tuple(255 * m for m in COLOURS[0]), tuple(65025 * v for v in COLOURS[1])


@pytest.mark.parametrize(
    "layers, expected",
    [
        ([keras.layers.Rescaling(1 / 255)], (0, 255)),
        ([keras.layers.Rescaling(1 / 256)], (0, 255)),
        ([keras.layers.Rescaling(1 / 127.5, -1)], (0, 255)),
        ([keras.layers.Rescaling(2, -1)], (0, 1)),
        ([keras.layers.Rescaling(255)], (0, 1)),
        ([keras.layers.Rescaling(127.5, 127.5)], (-1, 1)),
        ([keras.layers.Rescaling(1.0), keras.layers.Rescaling(1 / 255)], (0, 255)),
        ([keras.layers.Rescaling(3)], None),
        (normalized(*COLOURS), (0, 1)),
        (normalized(*BYTE_COLOURS), (0, 255)),
        (normalized((0.1, 0.2, -0.3), (0.5, 0.5, 0.5)), None),
        (normalized((0.1, 0.1, 0.1), (0.25, 0.25, 0.25)), None),  # of [-1, 1]
        ([keras.layers.Rescaling(0.99)], None),
        ([keras.layers.Rescaling(1.0, 1e-7)], None),
        ([keras.layers.Rescaling(1 / 255), *normalized(*COLOURS)], (0, 255)),
        ([keras.layers.Resizing(4, 4), keras.layers.Rescaling(1 / 255)], (0, 255)),
        ([keras.layers.Conv2D(3, 1), keras.layers.Rescaling(1 / 255)], None),
        ([kmd.BitDepthReduction(4, value_range=(0, 255))], (0, 255)),
        ([kmd.MedianFilter(3), keras.layers.Conv2D(3, 1)], None),
        ([kmd.MedianFilter(3), keras.layers.Rescaling(1 / 255)], (0, 255)),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_layers_tell_the_range(layers, expected, nested):
    inner = [keras.Sequential([keras.Input((8, 8, 3)), *layers])] if nested else layers
    end = [keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *inner, *end])
    vote = kmd.VotingEnsemble(model, kmd.RandomGridMask(4))
    assert value_range_of(model) == value_range_of(vote) == expected
    model = keras.Model(model.inputs, model.outputs)
    assert value_range_of(model) == expected


def test_a_range_is_not_guessed():
    images = keras.Input((8, 8, 3))
    ways = [keras.layers.Rescaling(255)(images), images]
    ends = [keras.layers.Flatten()(way) for way in ways]
    outputs = keras.layers.Dense(2)(keras.layers.Concatenate()(ends))
    assert value_range_of(keras.Model(images, outputs)) is None

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.rescaling = keras.layers.Rescaling(2, -1)

        def call(self, images):
            return self.rescaling(images / 255)

    model = Own()
    model(np.zeros((1, 8, 8, 3)))
    assert value_range_of(model) is None


@pytest.mark.parametrize(
    "network, expected",
    [
        ("MobileNetV3Small", (0, 255)),
        ("EfficientNetB0", (0, 255)),
        ("EfficientNetV2B0", (0, 255)),
        ("ResNet50", None),
    ],
)
def test_keras_applications_tell_their_range(network, expected):
    made = getattr(keras.applications, network)
    model = made(weights=None, input_shape=(32, 32, 3), classes=2)
    assert value_range_of(model) == expected


def test_a_model_that_does_not_tell_its_range_is_asked_for_it(photographs):
    model = keras.Sequential([*classifier().layers[1:]])
    model.build((None, 32, 32, 3))
    with pytest.raises(ValueError, match="`--value-range LOW HIGH`.*=None"):
        images_for(model, photographs)
    data, known = images_for(kmd.architectures.lenet(), "sample", images=3)
    assert known == (0, 1)  # as datasets of that name are
    with pytest.warns(ImageDataWarning):
        data, _ = images_for(model, photographs, value_range=(-1, 1))
    assert -1 <= data.images.min() < -0.5 and 0.5 < data.images.max() <= 1


def test_images_become_those_of_the_model(tmp_path, photographs):
    path = stored(tmp_path / "own.npz", x=BYTES, y=LABELS % 2)
    with pytest.warns(ImageDataWarning) as told:
        data, _ = images_for(classifier((16, 20, 1)), path)
    assert data.images.shape == (6, 16, 20, 1)
    grey = (BYTES @ np.array([0.299, 0.587, 0.114]))[..., None]
    expected = tf.image.resize(grey, (16, 20)).numpy()
    np.testing.assert_allclose(data.images, expected, atol=0.01)
    assert [str(each.message)[:30] for each in told] == [
        "Images of 3 channels became on",
        "Images of 8x8 pixels were scal",
    ]
    anything = classifier((None, None, 3))
    with pytest.raises(ValueError, match=r"images of \d+x80 to \d+x80 pixels in"):
        images_for(anything, photographs)
    with pytest.warns(ImageDataWarning):
        data, _ = images_for(anything, photographs, image_size=(40, 50), images=3)
    assert data.images.shape == (3, 40, 50, 3)
    with pytest.raises(ValueError, match="`image_size` must be left out"):
        images_for(classifier(), photographs, image_size=(8, 8))
    with pytest.raises(ValueError, match="`models` must take images of one shape"):
        images_for([classifier(), classifier((8, 8, 3))], photographs)
    other = classifier(scale=2, offset=-1)
    with pytest.raises(ValueError, match="in one value range"):
        images_for([classifier(), other], photographs)
    with pytest.raises(ValueError, match="of 1, 3 or 4 channels.*8, 8, 5"):
        images_for(classifier((8, 8, 5)), photographs)


def test_classes_are_matched_by_name_or_number(photographs, tmp_path):
    model = classifier(classes=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageDataWarning)
        with pytest.raises(ValueError, match=r"the 4 classes.*2 classes \(cat, dog\)"):
            images_for(model, photographs)
        names = ["ant", "dog", "bee", "cat"]
        data, _ = images_for(model, photographs, class_names=names)
        expected, _ = images_for(classifier(), photographs)
        assert data.class_names == tuple(names)
        assert [names[n] for n in data.labels] == [
            expected.class_names[n] for n in expected.labels
        ]
        with pytest.raises(ValueError, match="Received: cat of the data"):
            images_for(model, photographs, class_names=["ant", "dog", "bee", "emu"])
        with pytest.raises(ValueError, match="all 4 outputs.*Received: 2 names"):
            images_for(model, photographs, class_names=["cat", "dog"])
    path = stored(tmp_path / "own.npz", x=BYTES, y=LABELS)
    with pytest.warns(ImageDataWarning, match="labels 0 to 2 of the model's 4 classes"):
        data, _ = images_for(classifier((8, 8, 3), 4), path)
    assert len(data.class_names) == 4
    data, _ = images_for(classifier((8, 8, 3), 4), path, class_names=names)
    assert data.class_names == tuple(names)
    assert data.labels.tolist() == LABELS.tolist()
    with pytest.raises(ValueError, match="the 2 classes .* labels from 0 to 2"):
        images_for(classifier((8, 8, 3)), path)


def test_arrays_and_batches_must_be_in_the_range():
    model = classifier((8, 8, 3), 3)
    data, _ = images_for(model, (BYTES.astype("float32"), LABELS))
    np.testing.assert_array_equal(data.images, BYTES)
    with pytest.warns(ImageDataWarning, match="no value is above 1"):
        images_for(model, (BYTES / 255, LABELS))
    with pytest.raises(ValueError, match=r"must lie in \[0, 255\]"):
        images_for(model, (BYTES * 2.0, LABELS))
    batches = tf.data.Dataset.from_tensor_slices((BYTES, LABELS)).batch(4)
    with pytest.warns(ImageDataWarning, match=r"tell the value range \(0.0, 255.0\)"):
        images_for(model, (BYTES / 255, LABELS), value_range=(0, 1))
    np.testing.assert_array_equal(images_for(model, batches)[0].images, BYTES)
    for options in ({"split": "test"}, {"data_dir": "here"}, {"download": True}):
        with pytest.raises(ValueError, match="must be left out for batches"):
            images_for(model, batches, **options)
    for images in (-2, 0):
        with pytest.raises(ValueError, match="`images` must be an integer of at least"):
            images_for(model, batches, images=images)
    first = np.moveaxis(BYTES, -1, 1)
    with pytest.raises(ValueError, match=r"channels last.*\(6, 3, 8, 8\)"):
        images_for(model, (first, LABELS))
    with pytest.raises(ValueError, match="images and labels"):
        images_for(model, (BYTES,))
    with pytest.raises(TypeError, match="`source` must be arrays"):
        images_for(model, None)


def test_several_models_are_of_one_kind(tmp_path, photographs):
    model = classifier()
    vote = kmd.VotingEnsemble(model, kmd.RandomGridMask(8, 0.5))
    anything = classifier((None, None, 3))
    with pytest.warns(ImageDataWarning, match="scaled to 32x32"):
        data, _ = images_for([model, vote, anything], photographs)
    assert data.images.shape[1:] == (32, 32, 3)
    paths = [saved(model, tmp_path / "two.keras")]
    paths.append(saved(classifier(classes=5), tmp_path / "five.keras"))
    output = tmp_path / "run"
    known = ("--dataset", photographs, *QUICK, "--output", output)
    assert run("evaluate", *paths, *known) == 2 and not output.exists()
    with pytest.raises(ValueError, match="`defences` must have the same classes"):
        two_and_five = {"two": model, "five": classifier(classes=5)}
        attack = kmd.evaluation.AttackSetting("fgsm", "linf", 8)
        kmd.evaluate(two_and_five, data, [attack], value_range=(0, 255))
    images = keras.Input((32, 32, 3))
    two = keras.Model(images, {"a": model(images), "b": model(images)})
    for wrong in (
        two,
        classifier(classes=1),
        keras.Sequential([images, keras.layers.Conv2D(2, 1)]),
    ):
        with pytest.raises(ValueError, match=r"one array \(n, classes\).*Received: "):
            images_for(wrong, (data.images, data.labels), value_range=(0, 255))


def test_files_of_classes(tmp_path):
    lines = tmp_path / "classes.txt"
    lines.write_text("tench, Tinca tinca\n\n goldfish \n", encoding="utf-8")
    assert class_names_of(lines) == ["tench, Tinca tinca", "goldfish"]
    index = tmp_path / "imagenet_class_index.json"
    numbers = sorted(range(11), key=str)
    index.write_text(json.dumps({str(n): [f"n{n}", "x"] for n in numbers}))
    assert class_names_of(index) == [f"n{n}" for n in range(11)]
    for content in (["cat", "dog"], {"cat": 0, "dog": 1}):
        index.write_text(json.dumps(content))
        assert class_names_of(index) == ["cat", "dog"]
    for content in ([[]], {"1": ["n2", "b"], "0": ["n1", "a"], "3": ["n3", "c"]}, 3):
        index.write_text(json.dumps(content))
        with pytest.raises(ValueError, match="A file of classes must hold"):
            class_names_of(index)
    lines.write_bytes("caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ValueError, match="names in UTF-8"):
        class_names_of(lines)
    lines.write_bytes("\ufeffcat\n".encode())
    assert class_names_of(lines) == ["cat"]
    lines.write_text("cat\ncat\n")
    with pytest.raises(ValueError, match="2 names, 1 different"):
        class_names_of(lines)


# --- Models of one's own -----------------------------------------------------------

OWN_LAYERS = """
import keras

@keras.saving.register_keras_serializable("own")
class Doubled(keras.layers.Layer):
    def call(self, images):
        return 2.0 * images
"""


def test_what_training_needed_is_not_needed(tmp_path):
    """In a process that knows neither loss, metric nor schedule."""
    model = classifier((8, 8, 3))

    def my_loss(labels, scores):
        return keras.losses.sparse_categorical_crossentropy(labels, scores, True)

    class MyRate(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1

        def get_config(self):
            return {}

    model.compile(keras.optimizers.SGD(MyRate()), my_loss, metrics=[my_loss])
    model.fit(BYTES.astype("float32"), LABELS % 2, verbose=0)
    path = saved(model, tmp_path / "own.keras")
    with pytest.raises((TypeError, ValueError)):
        keras.saving.load_model(path)
    loaded = load_model(path)
    np.testing.assert_allclose(loaded(BYTES), model(BYTES), rtol=1e-5)
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras', of the format
        model.save(tmp_path / "old.h5")
    np.testing.assert_allclose(
        load_model(tmp_path / "old.h5")(BYTES), model(BYTES), rtol=1e-5
    )


def test_a_file_that_is_no_model_says_so(tmp_path, monkeypatch):
    path = saved(classifier(), tmp_path / "own.keras")
    (tmp_path / "cut.keras").write_bytes(path.read_bytes()[:-500])
    (tmp_path / "text.h5").write_text("no model")
    twice = keras.layers.Lambda(lambda images: 2 * images)
    saved(keras.Sequential([keras.Input((4, 4, 1)), twice]), tmp_path / "lambda.keras")
    for name, message in (
        ("cut.keras", "must be a .keras file.*damaged"),
        ("text.h5", "cannot be loaded"),
        ("lambda.keras", "cannot be loaded.*such as `Rescaling` in the place of"),
        ("nowhere.keras", "`path` must be a .keras or .h5 file"),
    ):
        with pytest.raises((FileNotFoundError, ValueError), match=message):
            load_model(tmp_path / name)
    (tmp_path / "broken_for_test.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImportError, match="fails with ZeroDivisionError"):
        load_model(path, ["broken_for_test"])


def test_layers_of_ones_own_are_imported(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_layers_for_test.py").write_text(textwrap.dedent(OWN_LAYERS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    own_layers = importlib.import_module("own_layers_for_test")
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), own_layers.Doubled(), *classifier().layers]
    )
    path = saved(model, tmp_path / "own.keras")
    data = stored(tmp_path / "own.npz", x=BYTES, y=LABELS % 2)
    del keras.saving.get_custom_objects()["own>Doubled"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("own_layers_for_test")
    command = ("evaluate", path, "--dataset", data, "--value-range", 0, 255, *QUICK)
    assert run(*command) == 2
    error = capsys.readouterr().err
    assert "`maskdef ... --import MODULE`" in error and "Doubled" in error
    assert run(*command, "--import", "own_layers_for_test") == 0
    assert run(*command, "--import", "no_such_module") == 2
    assert "no_such_module" in capsys.readouterr().err


# --- The commands ------------------------------------------------------------------


def test_an_application_is_measured_on_photographs(tmp_path, photographs, capsys):
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV3Small(
        weights=None, input_shape=(48, 48, 3), classes=2
    )
    path = saved(network, tmp_path / "mobilenet.keras")
    folder = tmp_path / "run"
    assert (
        run("evaluate", path, "--dataset", photographs, *QUICK, "--output", folder) == 0
    )
    out = capsys.readouterr()
    assert "48x48x3 in [0, 255], 2 classes: 0 cat, 1 dog" in " ".join(out.out.split())
    assert out.out.rstrip().splitlines()[-1].endswith("report.html")
    page = (folder / "report.html").read_text()
    assert "cat" in page and "mobilenet" in page
    results = json.loads((folder / "results.json").read_text())
    assert results["settings"]["images"] == 8
    assert results["settings"]["value_range"] == [0, 255]
    with pytest.warns(ImageDataWarning):
        data, _ = images_for(network, photographs)
    right = np.mean(np.argmax(network(data.images), -1) == data.labels)
    clean = results["rows"][0]["scores"]["mobilenet"]["accuracy"]
    assert clean == pytest.approx(right)


def test_a_network_of_keras_hub_is_measured_with_its_preprocessor(
    tmp_path, photographs
):
    hub = pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(0)
    converter = hub.layers.VGGImageConverter(image_size=(32, 32), scale=1 / 255)
    task = hub.models.ImageClassifier(
        backbone=hub.models.VGGBackbone([1, 1], [4, 8], image_shape=(32, 32, 3)),
        num_classes=2,
        preprocessor=hub.models.VGGImageClassifierPreprocessor(converter),
    )
    path = saved(task, tmp_path / "task.keras")
    model = load_model(path)
    assert value_range_of(model) == (0, 255)
    with pytest.warns(ImageDataWarning):
        data, _ = images_for(model, photographs)
    np.testing.assert_allclose(
        model(data.images), task.predict(data.images, verbose=0), rtol=1e-4
    )
    folder = tmp_path / "run"
    assert (
        run("evaluate", path, "--dataset", photographs, *QUICK, "--output", folder) == 0
    )
    assert (folder / "report.html").exists()


def test_a_folder_is_trained_on_measured_and_certified(tmp_path, photographs, capsys):
    for defence, options in (
        ("mad", ("--vote", "none", "--epochs", 1)),
        ("certified", ("--cell-size", 16, "--epochs", 1)),
        ("sfm", ("--epochs", 1, "--pretraining-epochs", 1, "--median", 2)),
    ):
        path = tmp_path / f"{defence}.keras"
        arguments = (defence, "--image-size", 32, 32, *options)
        source = ("--dataset", photographs)
        assert run("train", *arguments, *source, "--output", path) == 0
        said = " ".join(capsys.readouterr().out.split())
        then = "certify" if defence == "certified" else "evaluate"
        command = f"maskdef {then} {path} --dataset OTHER-IMAGES --value-range 0 1"
        assert command in said
    models = [tmp_path / "mad.keras", tmp_path / "sfm.keras"]
    known = (*source, "--value-range", 0, 1)
    assert run("evaluate", *models, *known, *QUICK) == 0
    proof = ("--method", "double_masking", "--sizes", 1, "--images", 2)
    assert run("certify", tmp_path / "certified.keras", *known, *proof) == 0


def made(folder):
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda folder: folder / "nowhere" / "x", "no file or folder"),
        (
            lambda folder: (folder / "empty").mkdir() or folder / "empty",
            "has no folders",
        ),
        (lambda folder: (folder / "bee").mkdir(), "there are none in 'bee'"),
        (
            lambda folder: (folder / "cat" / "0.jpg").write_bytes(b"no image") and None,
            "not a readable image: .*cat/0.jpg",
        ),
        (
            lambda folder: photograph(folder / "bee" / "0.jpg", 7),
            r"the 2 classes of the model.*3 classes \(bee, cat, dog\)",
        ),
    ],
)
def test_a_bad_folder_is_one_clear_line(tmp_path, photographs, change, message, capsys):
    folder = change(photographs) or photographs
    path = saved(classifier(), tmp_path / "own.keras")
    output = tmp_path / "run"
    command = ("evaluate", path, "--dataset", folder, *QUICK, "--output", output)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageDataWarning)
        assert run(*command) == 2
    error = capsys.readouterr().err
    assert "maskdef: error: " in error and "Traceback" not in error
    assert re.search(message, error)
    assert not output.exists()


def test_a_class_of_one_image_is_measured(tmp_path, capsys):
    photograph(tmp_path / "photographs" / "only" / "0.jpg", 3)
    path = saved(classifier(classes=1), tmp_path / "own.keras")
    assert run("evaluate", path, "--dataset", tmp_path / "photographs", *QUICK) == 2
    assert "of 2 classes or more" in capsys.readouterr().err
    photograph(tmp_path / "photographs" / "other" / "0.jpg", 4)
    path = saved(classifier(), tmp_path / "own.keras")
    assert run("evaluate", path, "--dataset", tmp_path / "photographs", *QUICK) == 0


def test_more_images_than_there_are(tmp_path, photographs, capsys):
    path = saved(classifier(), tmp_path / "own.keras")
    command = ("evaluate", path, "--dataset", photographs, *QUICK)
    assert run(*command, "--images", 9) == 2
    assert "`--images` must be at most 8" in capsys.readouterr().err
    assert run(*command, "--split", "test") == 2
    assert "`split` must be one of ('all',)" in capsys.readouterr().err
    assert run(*command, "--split", "all[2:5]", "--output", tmp_path / "run") == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["settings"]["images"] == 3
