"""The training of SFM-Defense, which alternates between masker and classifier."""

import copy
import math
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_maskdef.backend import replicas
from keras_maskdef.backend.barrier import wait_for_all
from keras_maskdef.backend.compiled_call import compiled_call
from keras_maskdef.callbacks import _backup
from keras_maskdef.callbacks._masker_data import (
    batch_size_of,
    check_labelled,
    masker_data,
)
from keras_maskdef.callbacks._masker_trainer import DEFENDED, MaskerTrainer
from keras_maskdef.callbacks._preparation import (
    build_filters,
    check_classifier,
    check_mask,
    check_replicas,
    check_sharing,
    made_anew,
    optimizer_on_replicas,
    reconstruction_weight,
    scaled_in_half,
)
from keras_maskdef.callbacks._train_view import present_next_step
from keras_maskdef.callbacks.mask_warnings import (
    EmptyMaskWarning,
    FullMaskWarning,
)
from keras_maskdef.core.arguments import (
    check_choice,
    check_int,
    check_not_negative,
    check_positive,
    check_positive_int,
)
from keras_maskdef.core.batches import ShuffledBatches
from keras_maskdef.core.random_state import kept_random_state
from keras_maskdef.inspection.agreement import check_value_ranges
from keras_maskdef.inspection.structure import as_filters
from keras_maskdef.layers import SparseFeatureMasker
from keras_maskdef.losses import NORMS

TRAIN_ON = ("filtered", "masked")
EMPTY, FULL = 0.02, 0.98
BATCH_SIZE = 64


@keras.saving.register_keras_serializable(package="keras_maskdef")
class AlternatingTraining(keras.callbacks.Callback):
    """Trains a sparse feature masker alternately with the classifier being fit.

    Pass it as a callback to `classifier.fit`. After each epoch the masker is trained
    for one pass over `data`, with the current classifier as a fixed feature extractor
    in inference mode. Only the masker learns in the pass, from images alone: labels in
    `data` are not used. Afterwards `defend(classifier, masker, filters)` builds the
    defended model.

    The classifier's weights, statistics, optimizer, flags and compiled step are the
    same as without the callback, except that its training steps get the images after
    `preprocessing`, or after the mask and `preprocessing`, as `train_on` says.
    Validation by `fit` gets the images unchanged.

    The callback logs the following, for callbacks later in the list, the progress bar
    and `history`: `masker_loss`; its terms without their weights, `masker_sparsity`,
    `masker_semantic` and `masker_reconstruction`; `masker_density` (the mean of the
    mask); and `masker_agreement` (the fraction of images whose predicted class the mask
    does not change). They are NaN for epochs without a pass. With `validation_data`
    also `val_masker_...` and `val_defended_accuracy`. To monitor one of them, set
    `mode="min"` or `"max"`.

    If the classifier is fit on several replicas (`tf.distribute`) or devices
    (`keras.distribution`), so is the masker, with the same weights on all of them. Of
    arrays only whole batches are used. One process writes to `backup_dir`, and all
    resume from it. Create the masker under `strategy.scope()`.

    Note: `EarlyStopping(restore_best_weights=True)` and `ModelCheckpoint` handle only
    the classifier: the masker was not last trained with the weights that they restore.
    Choose the weights of the losses with care, see `keras_maskdef.losses`.

    Args:
        masker: `SparseFeatureMasker` to train.
        data: Images for the masker's passes, in its `value_range`: `x`, `(x, y)`, a
            `tf.data.Dataset`, `PyDataset` or `DataLoader` of batches. Arrays are
            shuffled by `seed`; datasets keep their order. Do not give the same
            shuffling dataset object to `fit`: each pass would advance its order.
        preprocessing: Filter layer, or a sequence of them: T of Algorithm 1. The masker
            and the classifier are trained on its output. It must keep the shape and
            have no trainable weights.
        sparsity_weight: Float, w1, at least 0.
        semantic_weight: Float, w2, at least 0.
        reconstruction_weight: Float, w3, at least 0. `None` computes it from `rho`.
        rho: Float above 0, `w1 * sqrt(H * W * C) / w3` (for `norms="batch"` times
            the root of the batch size). Below 1 the mask of ones is optimal. A larger
            `rho` gives a sparser mask and a lower clean accuracy. Try values from 1.05
            to 1.3.
        norms: `"image"` or `"batch"`, see `keras_maskdef.losses`.
        train_on: The images that the classifier is trained on. `"filtered"`: `T(x)`,
            Algorithm 1. `"masked"`: `T(x * mask(x))` from the first pass on, as in the
            defended model.
        optimizer: The masker's Keras optimizer, or its name.
        pretraining_epochs: Integer, epochs of the classifier before the first pass,
            counted over all calls of `fit` with this callback.
        steps_per_epoch: Integer, batches of a pass; all by default. Required where
            `data` has no end. Each pass restarts a dataset: shuffle it, or every pass
            gets the same batches. Arrays are shuffled.
        batch_size: Integer, images in a batch of arrays, 64 by default. With
            `norms="batch"` and `rho` it is required where `data` does not state it.
        validation_data: `(x, y)` or a dataset of such batches, to evaluate on.
        backup_dir: Folder where the masker and its optimizer are saved after each pass,
            for a `fit` that resumes with `keras.callbacks.BackupAndRestore`. A pass
            that was lost between the two backups is repeated.
        delete_backup: Boolean, whether to delete the backups at the end of the
            training, as `BackupAndRestore` does.
        verbose: 0 or 1, whether the passes show progress bars.
        seed: Integer for the order of arrays.

    Raises:
        TypeError: For a `masker` that is no `SparseFeatureMasker`, `data` that can be
            iterated only once or holds dictionaries, a `preprocessing` that is no
            layer.
        ValueError: For an argument out of its range, `data` without a batch or, without
            `steps_per_epoch`, known to have no end, or such `validation_data`; when
            `fit` begins, for a classifier that is not built or does not return `(batch,
            classes)`, images of another shape than it takes, a mask outside [0, 1], a
            `preprocessing` that changes the shape or has trainable weights; and under
            a strategy with several replicas for a masker created outside its scope,
            `norms="batch"`, or a batch that cannot be divided evenly.

    Warns:
        IdentityOptimumWarning: The weights have a `rho` below 1.
        EmptyMaskWarning, FullMaskWarning: The density of a pass was below 0.02 or above
            0.98: the training has collapsed.

    Example:

    >>> import numpy as np
    >>> import keras_maskdef as kmd
    >>> x, y = np.random.rand(64, 16, 16, 3).astype("float32"), np.arange(64) % 4
    >>> classifier = keras.Sequential(
    ...     [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(4)]
    ... )
    >>> classifier.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
    >>> network = kmd.architectures.attention_unet((16, 16, 3), widths=(4, 8))
    >>> masker = kmd.SparseFeatureMasker(network)
    >>> alternating = kmd.AlternatingTraining(masker, x)
    >>> history = classifier.fit(x, y, epochs=2, callbacks=[alternating], verbose=0)
    >>> len(history.history["masker_density"])
    2

    Reference:
        Yu, Wang, Wang, Tian, Yu: SFM-Defense (2022), sections 4 and 5, Algorithm 1.
    """

    def __init__(
        self,
        masker: SparseFeatureMasker,
        data: Any,
        preprocessing: Any = None,
        sparsity_weight: float = 2.5e-3,
        semantic_weight: float = 1.0,
        reconstruction_weight: float | None = None,
        rho: float = 1.15,
        norms: str = "image",
        train_on: str = "filtered",
        optimizer: Any = "adam",
        pretraining_epochs: int = 0,
        steps_per_epoch: int | None = None,
        batch_size: int | None = None,
        validation_data: Any = None,
        backup_dir: str | os.PathLike[str] | None = None,
        delete_backup: bool = True,
        verbose: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(masker, SparseFeatureMasker):
            raise TypeError(
                f"`masker` must be a SparseFeatureMasker. Received: masker={masker!r}"
            )
        self.masker = masker
        self.preprocessing = as_filters("preprocessing", preprocessing)
        check_value_ranges([masker, *self.preprocessing])
        self.sparsity_weight = check_not_negative("sparsity_weight", sparsity_weight)
        self.semantic_weight = check_not_negative("semantic_weight", semantic_weight)
        self.reconstruction_weight = (
            None
            if reconstruction_weight is None
            else check_not_negative("reconstruction_weight", reconstruction_weight)
        )
        self.rho = check_positive("rho", rho)
        self.norms = check_choice("norms", norms, NORMS)
        self.train_on = check_choice("train_on", train_on, TRAIN_ON)
        self.optimizer = keras.optimizers.get(optimizer)
        self.pretraining_epochs = check_int("pretraining_epochs", pretraining_epochs, 0)
        self.steps_per_epoch = (
            None
            if steps_per_epoch is None
            else check_positive_int("steps_per_epoch", steps_per_epoch)
        )
        self.batch_size = (
            None if batch_size is None else check_positive_int("batch_size", batch_size)
        )
        self.seed = check_int("seed", seed, 0)
        self.data = masker_data(
            data, self.batch_size or BATCH_SIZE, self.seed, self.steps_per_epoch
        )
        self.validation_data = check_labelled(validation_data)
        self.backup_dir, self.delete_backup = backup_dir, bool(delete_backup)
        self.verbose = int(verbose)
        self._last_pass: int | None = None
        self._epochs_seen = 0
        self._learned: list[np.ndarray] | None = None
        self._forget_classifier()

    def _forget_classifier(self) -> None:
        """Resets the state that belongs to one classifier."""
        self._trainer: MaskerTrainer | None = None
        self._views: dict[str, Callable[[Any], Any]] = {}
        self._view: Callable[[Any], Any] | None = None
        self._trained: keras.Model | None = None
        self._share_statistics: Callable[[], None] | None = None
        self._strategy: Any = None
        self._sharing = 1
        self._first_epoch = True

    def __getstate__(self) -> dict[str, Any]:
        """The state of a copy, which continues from here with its next classifier."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        if self._trainer is not None:
            learned = self._trainer.optimizer.variables
            copied._learned = _backup.values_of(learned)
            copied.optimizer = made_anew(self.optimizer)
        copied._forget_classifier()
        copied.set_model(None)
        return copied.__dict__

    def __deepcopy__(self, memo: dict[int, Any]) -> "AlternatingTraining":
        """Shares the data, as a `tf.data.Dataset` cannot be copied."""
        memo.update({id(data): data for data in (self.data, self.validation_data)})
        copied = object.__new__(type(self))
        copied.__dict__.update(copy.deepcopy(self.__getstate__(), memo))
        return copied

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self._trained is not self.model:
            self._strategy = replicas.strategy_of(self.model)
            with replicas.scope(self._strategy):
                self._prepare()
        self._first_epoch = True

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self._first_epoch:
            self._first_epoch = False
            self._resume(epoch)
        masked = self.train_on == "masked" and self._last_pass is not None
        self._view = self._views.get("masked" if masked else "filtered")

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self._view is not None:
            present_next_step(self.model, self._view)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = {} if logs is None else logs
        broken = not math.isfinite(logs.get("loss", 0.0))
        pretraining = max(epoch, self._epochs_seen) < self.pretraining_epochs
        self._epochs_seen += 1
        if pretraining or broken:
            logs.update(dict.fromkeys(self._names(), math.nan))
            return
        logs.update(self._pass(epoch))
        self._report(logs)
        self._save(epoch)

    def on_train_end(self, logs: dict | None = None) -> None:
        if self._first_epoch:  # no epoch was left for this `fit`
            self._resume(self.params["epochs"])
            if self.backup_dir is not None:
                wait_for_all(self._strategy)  # another process may still be reading
        if self.backup_dir is not None and self.delete_backup and self._writes:
            _backup.Backup(self.backup_dir).delete()

    def get_config(self) -> dict[str, Any]:
        """All arguments but `data` and `validation_data`, which cannot be saved."""
        serialize = keras.saving.serialize_keras_object
        return {
            "masker": serialize(self.masker),
            "preprocessing": [serialize(layer) for layer in self.preprocessing],
            "optimizer": serialize(self.optimizer),
            "backup_dir": None if self.backup_dir is None else str(self.backup_dir),
            **{
                name: getattr(self, name)
                for name in (
                    "sparsity_weight",
                    "semantic_weight",
                    "reconstruction_weight",
                    "rho",
                    "norms",
                    "train_on",
                    "pretraining_epochs",
                    "steps_per_epoch",
                    "batch_size",
                    "delete_backup",
                    "verbose",
                    "seed",
                )
            },
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], data: Any, validation_data: Any = None
    ) -> "AlternatingTraining":
        """Builds the callback from a config, which does not hold the data."""
        deserialize = keras.saving.deserialize_keras_object
        built = {
            "masker": deserialize(config["masker"]),
            "preprocessing": [deserialize(layer) for layer in config["preprocessing"]],
            "optimizer": deserialize(config["optimizer"]),
        }
        arguments = {**config, **built}
        return cls(data=data, validation_data=validation_data, **arguments)

    def _prepare(self) -> None:
        """Runs the checks that need the classifier, and builds the trainer."""
        shape = check_classifier(self.model, self.data)
        if not self.masker.built:
            self.masker.build((None, *shape))
        batch_size = batch_size_of(self.data) or self.batch_size
        self._sharing = replicas.sharing(self._strategy)
        check_sharing(self.data, batch_size, self._sharing)
        check_replicas(self.masker, self.norms, self._strategy)
        check_mask(self.masker, shape)
        self.optimizer = optimizer_on_replicas(self.optimizer, self._strategy)
        filters = build_filters(self.preprocessing, shape)
        weight = reconstruction_weight(
            self.sparsity_weight,
            self.reconstruction_weight,
            self.rho,
            shape,
            batch=1 if self.norms == "image" else batch_size,
        )
        weights = (self.sparsity_weight, self.semantic_weight, weight)
        self._trainer = MaskerTrainer(
            self.masker, self.model, filters, weights, self.norms
        )
        self._trainer.compile(
            scaled_in_half(self.optimizer, self.masker, self.model),
            jit_compile=self.model.jit_compile,
            run_eagerly=self.model.run_eagerly,
        )
        self._trainer.optimizer.build(self._trainer.trainable_variables)
        if self._learned is not None:
            _backup.assign(self._trainer.optimizer.variables, self._learned)
            self._learned = None
        self._share_statistics = replicas.share(
            [
                variable
                for variable in self.masker.non_trainable_variables
                if keras.backend.is_float_dtype(variable.dtype)
            ],
            self._strategy,
        )
        self._views = {}
        if filters is not None:
            self._views["filtered"] = compiled_call(filters, self._strategy)
        if self.train_on == "masked":
            stack = [keras.Input(shape), self.masker, *self.preprocessing]
            self._views["masked"] = compiled_call(
                keras.Sequential(stack), self._strategy
            )
        self._trained = self.model

    def _pass(self, epoch: int) -> dict[str, float]:
        """Trains the masker on the data once; restores it if that fails."""
        trainer, share = self._trainer, self._share_statistics
        assert trainer is not None and share is not None
        trainer.take_snapshot()
        if isinstance(self.data, ShuffledBatches):
            self.data.start_epoch(epoch)
        variables = self._variables()
        before = _backup.values_of(variables)
        try:
            with kept_random_state(), replicas.scope(self._strategy):
                history = trainer.fit(
                    self.data,
                    initial_epoch=epoch,
                    epochs=epoch + 1,
                    steps_per_epoch=self._steps(),
                    shuffle=False,
                    verbose=self.verbose,
                    callbacks=[keras.callbacks.TerminateOnNaN()],
                ).history
                if "loss" not in history:
                    raise ValueError(
                        "`data` must hold at least one batch in every pass. "
                        f"Received: data={self.data!r}"
                    )
                share()
                results = {name: values[-1] for name, values in history.items()}
                finite = math.isfinite(results["loss"])
                if self.validation_data is not None and finite:
                    results.update(self._validate())
        except BaseException:
            _backup.assign(variables, before)
            raise
        if not finite:
            _backup.assign(variables, before)
        self._last_pass = epoch
        renamed = {_renamed(name): float(value) for name, value in results.items()}
        renamed.pop(f"masker_{DEFENDED}", None)
        return renamed

    def _steps(self) -> int | None:
        """The steps of a pass; several devices use only whole batches of arrays."""
        if self._sharing == 1 or not isinstance(self.data, ShuffledBatches):
            return self.steps_per_epoch
        whole = self.data.whole_batches
        return min(self.steps_per_epoch or whole, whole)

    def _validate(self) -> dict[str, float]:
        data, labels = self.validation_data, None
        if isinstance(data, Sequence) and not isinstance(data, keras.utils.PyDataset):
            data, labels, *_ = data
        results = self._trainer.evaluate(  # type: ignore[union-attr]
            *((data,) if labels is None else (data, labels)),
            batch_size=None if labels is None else self.batch_size or BATCH_SIZE,
            verbose=0,
            return_dict=True,
        )
        return {f"val_{name}": value for name, value in results.items()}

    def _report(self, logs: dict) -> None:
        if not math.isfinite(logs["masker_loss"]):
            warnings.warn(
                "The masker's loss is not finite: its pass is undone and the training "
                "stops. A smaller learning rate may help.",
                stacklevel=2,
            )
            self.model.stop_training = True
            return
        density = logs["masker_density"]
        if density < EMPTY:
            warnings.warn(
                f"The mask hides nearly everything (density {density:.3f}). Give the "
                "reconstruction more weight (a smaller `rho`), or sparsity less.",
                EmptyMaskWarning,
                stacklevel=2,
            )
        if density > FULL:
            warnings.warn(
                f"The mask hides nearly nothing (density {density:.3f}). Give sparsity "
                "more weight, or the reconstruction less (a larger `rho`).",
                FullMaskWarning,
                stacklevel=2,
            )

    def _resume(self, epoch: int) -> None:
        """Restores the masker's state at the beginning of `epoch`, if it is another."""
        if self.backup_dir is None or self._last_pass == epoch - 1:
            return
        backup = _backup.Backup(self.backup_dir)
        last = epoch - 1
        if last < self.pretraining_epochs:
            if self._writes:
                backup.delete()
            return
        values = backup.load(last)
        if values is not None:
            _backup.assign(self._variables(), values)
            self._last_pass = last
            return
        earlier = backup.load(last - 1)
        if earlier is not None:
            _backup.assign(self._variables(), earlier)
        elif last != self.pretraining_epochs:
            warnings.warn(
                f"`backup_dir` holds no masker of the epoch before {epoch}: the masker "
                f"goes on as it is. Received: backup_dir={str(self.backup_dir)!r}",
                stacklevel=2,
            )
            return
        # The run was killed after the classifier's backup and before this one. The
        # classifier is in its state at that epoch's end, so the pass is repeated.
        self._pass(last)
        self._save(last)

    def _save(self, epoch: int) -> None:
        if self.backup_dir is None:
            return
        values = _backup.values_of(self._variables())  # may need all replicas
        if self._writes:
            _backup.Backup(self.backup_dir).save(epoch, values)

    @property
    def _writes(self) -> bool:
        """Whether this process writes the backups."""
        return replicas.writes_files(self._strategy)

    def _variables(self) -> list[keras.Variable]:
        return [*self.masker.variables, *self._trainer.optimizer.variables]  # type: ignore[union-attr]

    def _names(self) -> list[str]:
        metrics = [metric.name for metric in self._trainer.metrics]  # type: ignore[union-attr]
        names = [f"masker_{name}" for name in metrics if name != DEFENDED]
        if self.validation_data is not None:
            names += [_renamed(f"val_{name}") for name in metrics]
        return names


def _renamed(name: str) -> str:
    """Adds the prefix `masker_`, except to the defended model's accuracy."""
    if name == f"val_{DEFENDED}":
        return name
    if name.startswith("val_"):
        return f"val_masker_{name.removeprefix('val_')}"
    return f"masker_{name}"
