"""Pieces of work: in any order, by anybody, and again where a worker was killed."""

import importlib.util
import os
import select
import signal
import socket
import sys
import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import toy
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_maskdef as kmd
from keras_maskdef.certification import _run as certification_run
from keras_maskdef.engines import LocalEngine, RayEngine, as_engine
from keras_maskdef.engines import _cluster as cluster
from keras_maskdef.engines._cluster import Share, share
from keras_maskdef.engines._pool import Pool
from keras_maskdef.engines._ray_worker import _heard
from keras_maskdef.engines.ray_engine import _check_own
from keras_maskdef.engines.shipping import pack, unpack
from keras_maskdef.evaluation import AttackSetting, Defence, evaluate
from keras_maskdef.evaluation.columns import columns_of
from keras_maskdef.evaluation.scenario import Scenario
from keras_maskdef.evaluation.worker import AttackBatch, Worker
from maskdef import main

# On a busy machine it takes a worker a minute to import Keras.
pytestmark = pytest.mark.filterwarnings("default:no worker is ready")
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed"
)


class Lost(Exception):
    """A worker was killed."""


class TaskError(Exception):
    def __init__(self, cause):
        self.cause = cause


class MadeUpRay:
    """As much of Ray as a pool sees of it, in one thread.

    Args:
        work: What workers do; it may raise `Lost`.
        order: From a number of calls under way to the one that ends next.
        late: How many times in the beginning none ends in time.
    """

    exceptions = SimpleNamespace(
        RayTaskError=TaskError,
        RayActorError=Lost,
        NodeDiedError=Lost,
        ObjectLostError=Lost,
        OutOfMemoryError=Lost,
    )

    def __init__(self, work, order=lambda count: 0, late=0):
        self._work, self._order, self._late = work, order, late
        self.alive, self.hired = [], 0

    def pool(self, workers):
        return Pool(self, lambda: (Share(workers, 2, 0), self._hire))

    def _hire(self):
        worker = SimpleNamespace()
        worker.ready = SimpleNamespace(remote=lambda: Call(worker, self._make_ready))
        worker.do = SimpleNamespace(
            remote=lambda piece: Call(worker, lambda: ([self._work(piece)], []))
        )
        self.alive.append(worker)
        self.hired += 1
        return worker

    def _make_ready(self):
        return [], []

    def wait(self, refs, num_returns, timeout):
        assert num_returns == 1 and all(ref.worker in self.alive for ref in refs)
        if self._late:
            self._late -= 1
            return [], refs
        return [refs[self._order(len(refs))]], None

    def available_resources(self):
        return {"CPU": 1.0, "memory": 1e9}

    def get(self, ref):
        try:
            return ref.call()
        except Lost:
            self.alive.remove(ref.worker)
            raise
        except Exception as error:
            raise TaskError(error) from None

    def kill(self, worker):
        if worker in self.alive:
            self.alive.remove(worker)


class Call:
    def __init__(self, worker, call):
        self.worker, self.call = worker, call


@pytest.fixture(autouse=True)
def nothing_is_sent(request, monkeypatch):
    """A pool of made-up workers needs no Ray."""
    if "ray_here" not in request.fixturenames:
        monkeypatch.setattr("keras_maskdef.engines._pool.pack", lambda piece: piece)


@settings(deadline=None)
@given(st.data())
def test_each_piece_is_done_once_whoever_is_killed(data):
    workers = data.draw(st.integers(1, 4))
    deaths = data.draw(st.lists(st.integers(0, 9), max_size=8))
    killed = {piece: min(2, deaths.count(piece)) for piece in set(deaths)}

    def work(piece):
        if killed.get(piece, 0):
            killed[piece] -= 1
            raise Lost
        return piece * piece

    ray = MadeUpRay(work, lambda count: data.draw(st.integers(0, count - 1)))
    pool, lost = ray.pool(workers), sum(killed.values())
    # Two lists of pieces: the second does not begin before the first is done.
    for pieces in (range(10), range(10, 13)):
        found = sorted(pool.do(pieces))
        assert found == [(piece, piece * piece) for piece in pieces]
        assert len(ray.alive) == workers
    assert ray.hired == workers + lost
    pool.end()
    assert ray.alive == []


def test_a_piece_that_ends_every_worker_ends_the_run():
    tries = []

    def work(piece):
        tries.append(piece)
        if piece == 1:
            raise Lost("out of memory")
        return piece

    ray = MadeUpRay(work)
    pool, done = ray.pool(2), []
    says = "`workers` must have.*memory.*one piece of work.*workers=2.*out of memory"
    with pytest.raises(ChildProcessError, match=says):
        done.extend(pool.do(range(3)))
    assert tries.count(1) == 3 and tries.count(0) == 1
    pool.end()
    assert ray.alive == []


def test_workers_that_end_before_they_are_ready_end_the_run(monkeypatch):
    def make_ready(self):
        raise Lost("out of memory")

    monkeypatch.setattr(MadeUpRay, "_make_ready", make_ready)
    ray = MadeUpRay(None)
    pool = ray.pool(1)
    with pytest.raises(ChildProcessError, match="each at its start.*workers=1;"):
        list(pool.do([0]))
    assert ray.hired == 3


def test_a_pool_says_what_it_waits_for():
    """Each time that a minute is over, until the first worker is ready."""
    pool = MadeUpRay(lambda piece: piece, late=2).pool(3)
    says = "no worker is ready.*3, with cores: 2 each. Free.*cores: 1, GPUs: 0"
    with pytest.warns(UserWarning, match=says) as warned:
        assert list(pool.do([7])) == [(7, 7)]
    assert len(warned) == 2


@pytest.mark.filterwarnings("default")
def test_warnings_of_workers_are_given_here():
    """With their own place, and as often as in one process."""
    results, heard = _heard(lambda: [warnings.warn("from here", stacklevel=1)])
    assert results == [None]
    assert [(text, file) for text, _, file, _ in heard] == [("from here", __file__)]

    class Speaking(MadeUpRay):
        def get(self, ref):
            results, _ = super().get(ref)
            return results, [
                (f"odd: {n % 2}", UserWarning, "far.py", 7) for n in results
            ]

    with pytest.warns(UserWarning) as given:
        warnings.simplefilter("default")
        list(Speaking(lambda piece: piece).pool(2).do(range(6)))
    assert sorted(str(each.message) for each in given) == ["odd: 0", "odd: 1"]
    assert {(each.filename, each.lineno) for each in given} == {("far.py", 7)}


def test_an_error_of_the_work_is_its_own_and_final():
    tries = []

    def work(piece):
        tries.append(piece)
        raise FloatingPointError("not finite")

    pool = MadeUpRay(work).pool(1)
    with pytest.raises(FloatingPointError, match="not finite"):
        list(pool.do([7, 8]))
    assert tries == [7]


def test_nobody_is_hired_for_nothing_and_nothing_is_made_too_early():
    made = []

    def pieces():
        for number in range(6):
            made.append(number)
            yield number

    ray = MadeUpRay(lambda piece: piece)
    pool = ray.pool(2)
    assert list(pool.do([])) == [] and ray.hired == 0
    # Two are under way while one more waits for a worker.
    ahead = [len(made) - done for done, _ in enumerate(pool.do(pieces()))]
    assert max(ahead) <= 4 and ray.hired == 2


@pytest.mark.parametrize(
    ("nodes", "workers", "expected"),
    [
        ([{"CPU": 2}], None, (2, 1, 0)),
        ([{"CPU": 16, "GPU": 1}], None, (1, 16, 1)),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 4}], 3, (3, 5, 1)),
        # Nobody works on two machines: three of five cores would not fit.
        ([{"CPU": 8}, {"CPU": 8}], 3, (3, 4, 0)),
        ([{"object_store_memory": 1e9}, {"CPU": 3}], 2, (2, 1, 0)),
    ],
)
def test_shares_of_a_cluster(nodes, workers, expected):
    found = share(nodes, workers)
    assert (found.workers, found.cpus, found.gpus) == expected


@pytest.mark.parametrize(
    ("nodes", "free", "workers", "expected"),
    [
        ([{"CPU": 8}], [{"CPU": 8}], 1, (1, 8, 0)),
        ([{"CPU": 8}], [{"CPU": 3}], 1, (1, 3, 0)),
        # Two can begin; the third, with no more cores than they, when there is room.
        ([{"CPU": 8}], [{"CPU": 2}], 3, (3, 1, 0)),
        ([{"CPU": 8}, {"CPU": 8}], [{"CPU": 8}, {"CPU": 2}], 2, (2, 4, 0)),
        ([{"CPU": 4}], [{}], None, (4, 1, 0)),
        # One GPU is free: its worker does not get the cores of those that wait.
        ([{"CPU": 8, "GPU": 4}], [{"CPU": 8, "GPU": 1}], None, (4, 2, 1)),
    ],
)
def test_shares_of_a_cluster_that_others_use(nodes, free, workers, expected):
    found = share(nodes, workers, free)
    assert (found.workers, found.cpus, found.gpus) == expected


@given(st.data())
def test_as_many_as_can_begin_at_once(data):
    """One at least while any core is free, and no more cores than in a free cluster."""
    cores = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    left = [data.draw(st.integers(0, count)) for count in cores]
    workers = data.draw(st.integers(1, sum(cores)))
    nodes, free = ([{"CPU": count} for count in counts] for counts in (cores, left))
    each = share(nodes, workers, free)
    assert 1 <= each.cpus <= share(nodes, workers).cpus
    assert sum(count // each.cpus for count in left) >= min(workers, sum(left))


def test_what_a_worker_takes_over(monkeypatch):
    found = cluster.settings()
    assert found["deterministic"] is False and found["floatx"] == "float32"
    called = []
    enable = "tensorflow.config.experimental.enable_op_determinism"
    monkeypatch.setattr(enable, lambda: called.append(True))
    cluster.set_up(found)
    assert not called
    cluster.set_up({**found, "deterministic": True})
    assert called and keras.config.floatx() == "float32"
    # The process that asked may have memory on the same GPU.
    assert cluster.environment(3).items() >= {
        ("OMP_NUM_THREADS", "3"),
        ("TF_FORCE_GPU_ALLOW_GROWTH", "true"),
        ("XLA_PYTHON_CLIENT_PREALLOCATE", "false"),
    }


def test_an_address_besides_that_of_this_process():
    own = SimpleNamespace(gcs_address="10.0.0.1:6379")
    ray = SimpleNamespace(get_runtime_context=lambda: own)
    for address in (None, "auto", own.gcs_address):
        _check_own(ray, address)
    says = "`address` must be left out.*10.0.0.1:6379.*address='10.9.8.7:6379'"
    with pytest.raises(ValueError, match=says):
        _check_own(ray, "10.9.8.7:6379")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([{"CPU": 2}], "each core of the cluster, 2. Received: workers=3"),
        ([{"CPU": 8, "GPU": 1}], "each GPU of the cluster, 1. Received: workers=3"),
        ([], "of the cluster, 0"),
    ],
)
def test_no_more_workers_than_there_is_room_for(nodes, message):
    with pytest.raises(ValueError, match=message):
        share(nodes, 3)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("spark", ValueError, "`engine` must be one of 'local', 'ray'"),
        (3, TypeError, "`engine` must be of local, ray, or one of"),
    ],
)
def test_unknown_engines(value, error, message):
    with pytest.raises(error, match=message):
        as_engine(value)


def test_the_library_of_an_engine_is_asked_for_first(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(kmd.datasets, "load", lambda *arguments: None)
    with pytest.raises(ImportError, match=r"pip install 'keras-maskdef\[ray\]'"):
        kmd.evaluate(None, None, [], engine="ray")
    for command in ("evaluate", "certify"):
        assert main([command, "none.keras", "--engine", "ray"]) == 2
        assert "keras-maskdef[ray]" in capsys.readouterr().err
        assert main([command, "none.keras", "--workers", "2"]) == 2
        assert "`--workers` is an option of `--engine ray`" in capsys.readouterr().err


class Reversed:
    """Two workers, made of what was sent; the last piece is done first."""

    def __init__(self):
        self.pieces = []

    @contextmanager
    def started(self, work):
        workers = [unpack(pack(work)) for _ in range(2)]

        def do(pieces):
            for number, piece in enumerate(list(pieces)[::-1]):
                self.pieces.append(piece)
                for result in workers[number % 2](unpack(pack(piece))):
                    yield piece, result

        yield do


def files(folder):
    """All that a run wrote, but for what it timed."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {p.name: p.read_bytes() for p in paths if p.name != "speed.json"}


def evaluated(folder, engine, resume=False):
    classifier = toy.classifier()
    rounded = Defence.behind(lambda images: np.round(images * 8) / 8, classifier)
    return evaluate(
        {"vote": toy.vote(classifier), "rounded": rounded},
        toy.data(),
        [AttackSetting("fgsm", "linf", 0.1)],
        adaptive=[AttackSetting("pgd", "linf", 0.2, options={"steps": 3})],
        eot_samples=(1, 4),
        repeats=2,
        batch_size=16,
        sanity_checks=False,
        folder=folder,
        resume=resume,
        engine=engine,
    )


def certified(folder, engine):
    mask = kmd.RandomGridMask(2, 0.75)
    vote = kmd.VotingEnsemble(toy.classifier(), mask)
    options = {"samples": 100, "selection": 20, "folder": folder, "engine": engine}
    return kmd.certify(vote, *toy.data(), "per_set", **options)


@pytest.fixture(scope="module")
def evaluated_here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("here") / "run"
    evaluated(folder, LocalEngine())
    return files(folder)


@pytest.fixture
def certified_here(tmp_path, monkeypatch):
    monkeypatch.setattr(certification_run, "_PIECE", 120 * 12)  # 12 images each
    certified(tmp_path / "here", "local")
    return files(tmp_path / "here")


@needs_ray
def test_an_evaluation_is_the_same_elsewhere_in_any_order(evaluated_here, tmp_path):
    engine = Reversed()
    evaluated(tmp_path / "run", engine)
    assert files(tmp_path / "run") == evaluated_here
    # One more mask a step waits; all other scenarios are done together.
    first = engine.pieces[0].scenario
    assert (first.threat_model, first.samples) == ("adaptive", 1)
    # What is there is not done again: here all of one batch, and one column of another.
    for outcome in (tmp_path / "run/outcomes").glob("*--00001.npz"):
        outcome.unlink()
    column = "classifier-fgsm-linf-foolbox--01--00002"
    (tmp_path / f"run/outcomes/{column}.npz").unlink()
    again = Reversed()
    evaluated(tmp_path / "run", again, resume=True)
    assert files(tmp_path / "run") == evaluated_here
    assert {piece.batch for piece in again.pieces} == {1, 2}
    assert [p.columns for p in again.pieces if p.batch == 2] == [("vote",)]


@needs_ray
def test_certificates_are_the_same_elsewhere_in_any_order(certified_here, tmp_path):
    engine = Reversed()
    certified(tmp_path / "run", engine)
    assert [piece.first for piece in engine.pieces] == [36, 24, 12, 0]
    assert files(tmp_path / "run") == certified_here


def test_certificates_do_not_depend_on_the_pieces(
    certified_here, tmp_path, monkeypatch
):
    monkeypatch.setattr(certification_run, "_PIECE", 1)
    certified(tmp_path / "run", "local")
    name = "certificates.json"
    assert files(tmp_path / "run")[name] == certified_here[name]


class Scaled(keras.layers.Layer):
    """Of the process that made it, and of no other."""

    def __init__(self, factor=1.0, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, images):
        return images * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Forgetful(Scaled):
    def get_config(self):
        return keras.layers.Layer.get_config(self)


Scaled.__module__ = Forgetful.__module__ = "__main__"


def scaled(layer):
    classifier = toy.classifier()
    return keras.Sequential([keras.Input((8, 8, 1)), layer, classifier])


@needs_ray
def test_models_arrive_as_they_were():
    images = toy.data()[0]
    model = scaled(Scaled(0.5))
    model.compile(loss="mse", jit_compile=True)
    other = kmd.defend(model, masker=None, filters=[kmd.MedianFilter(3)])
    sent, twin, again = unpack(pack((model, other, model)))
    assert sent is again and sent.jit_compile and not twin.jit_compile
    for here, there in ((model, sent), (other, twin)):
        outputs = here.predict_on_batch(images), there.predict_on_batch(images)
        np.testing.assert_array_equal(*outputs)


@needs_ray
@pytest.mark.parametrize("what", ["a lock", "a forgetful layer"])
def test_what_cannot_be_sent_is_refused(what, tmp_path):
    classifier = toy.classifier()
    if what == "a lock":
        lock = __import__("threading").Lock()

        def locked(images):
            with lock:
                return images

        defence = Defence.behind(locked, classifier)
        error, message = TypeError, "as a .keras file.*cloudpickle.*lock"
    else:
        defence = scaled(Forgetful(0.5))
        error, message = ValueError, "the same after it was saved.*get_config"
    attacks = [AttackSetting("fgsm", "linf", 0.1)]
    with pytest.raises(error, match=message):
        evaluate(defence, toy.data(), attacks, eot_samples=(1,), engine=Reversed())


class Counted(keras.layers.Layer):
    """Counts the images that go through it."""

    seen = 0

    def call(self, images):
        def add(count):
            Counted.seen += int(count)
            return np.int64(count)

        counted = tf.numpy_function(add, [tf.shape(images)[0]], tf.int64)
        with tf.control_dependencies([counted]):
            return tf.identity(images)


@pytest.mark.parametrize(("steps", "samples"), [(5, 4), (7, 2)])
def test_the_sum_of_passes_in_the_docs(steps, samples):
    """Steps and a control times masks, ten judgements of three votes, 2 x votes."""
    layers = [keras.Input((8, 8, 1)), Counted(), *toy.classifier().layers]
    vote = toy.vote(keras.Sequential(layers))
    images, labels = toy.data(6)
    worker = Worker(vote, columns_of(vote, images), images, None, 0, judgements=10)
    options = (("steps", steps),)
    attack = Scenario("adaptive", "pgd", "linf", (0.1,), "foolbox", options, samples)
    list(worker(AttackBatch(attack, 0, images, labels, ("defended",))))  # compiles
    Counted.seen = 0
    list(worker(AttackBatch(attack, 1, images, labels, ("defended",))))
    assert Counted.seen == len(images) * ((steps + 1) * samples + 10 * 3 + 2 * 3)


@needs_ray
def test_an_address_where_nobody_answers():
    with socket.socket() as taken:  # and does not listen
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with RayEngine(address=address).started(print) as do:
            with pytest.raises(ConnectionError, match="nobody answers"):
                list(do([0]))


@pytest.fixture(scope="module")
def ray_here(tmp_path_factory):
    """A cluster of two cores, which the engines of this module find and leave alone."""
    ray = pytest.importorskip("ray")
    quiet = {"log_to_driver": False, "logging_level": "error"}
    ray.init("local", num_cpus=2, include_dashboard=False, **quiet)
    yield ray
    ray.shutdown()


class Disturbed:
    """A Ray engine of two workers that call a function in the middle of each piece."""

    def __init__(self, disturb):
        self.disturb = disturb

    @contextmanager
    def started(self, work):
        with RayEngine(workers=2).started(disturbed(work, self.disturb)) as do:
            yield do


def disturbed(work, disturb):
    def work_and_disturb(piece):
        for result in work(piece):
            yield result
            disturb()

    return work_and_disturb


def only_once(act, marker):
    """In a worker, the first time that one comes here."""
    driver = os.getpid()

    def disturb():
        if os.getpid() != driver:
            try:
                marker.touch(exist_ok=False)
            except FileExistsError:
                return
            act()

    return disturb


@pytest.mark.slow
def test_ray_does_the_piece_of_a_killed_worker_again(
    ray_here, evaluated_here, tmp_path
):
    """The bytes of one process, though a worker died with a piece half done."""
    marker = tmp_path / "was here"
    disturb = only_once(lambda: os.kill(os.getpid(), signal.SIGKILL), marker)
    evaluated(tmp_path / "run", Disturbed(disturb))
    assert marker.exists()
    assert files(tmp_path / "run") == evaluated_here


@pytest.mark.slow
def test_ray_certifies_the_same(ray_here, certified_here, tmp_path):
    certified(tmp_path / "run", "ray")
    assert files(tmp_path / "run") == certified_here


@pytest.mark.slow
def test_ray_workers_are_killed_from_outside_and_die_with_the_run(ray_here):
    def work(piece):
        yield os.getpid()
        if piece == "fail":
            raise FloatingPointError("not finite")

    with RayEngine(workers=2).started(work) as do:
        found, killed = [], None
        for piece, pid in do(range(8)):
            found.append(piece)
            if killed is None:
                os.kill(pid, signal.SIGKILL)
                killed = pid
            assert pid != killed or len(found) < 3
        assert sorted(found) == list(range(8))
        last = os.pidfd_open(pid)
        with pytest.raises(FloatingPointError, match="not finite"):
            list(do(["fail"]))
    assert select.select([last], [], [], 60)[0]


@pytest.mark.slow
def test_ray_is_stopped_by_control_c(ray_here, tmp_path):
    """In the middle of a piece that would never end; its worker ends, too."""
    driver, pid_of = os.getpid(), tmp_path / "pid"

    def work(piece):
        pid_of.write_text(str(os.getpid()))
        os.kill(driver, signal.SIGINT)
        signal.pause()
        yield

    with pytest.raises(KeyboardInterrupt):
        with RayEngine(workers=1).started(work) as do:
            try:
                list(do([0]))
            finally:
                worker = os.pidfd_open(int(pid_of.read_text()))
    assert select.select([worker], [], [], 60)[0]


@pytest.mark.slow
def test_ray_has_room_for_no_more(ray_here):
    with RayEngine(workers=3).started(print) as do:
        with pytest.raises(ValueError, match="each core of the cluster, 2"):
            list(do([0]))
