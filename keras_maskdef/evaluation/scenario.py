"""The attacks of a run, their threat models and their order."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from keras_maskdef.attacks import describe
from keras_maskdef.evaluation.threat_models import THREAT_MODELS
from keras_maskdef.results.wording import eot_samples, norm

# Strong, cheap, and there in every norm; steps and step sizes are foolbox's.
_ADAPTIVE = "pgd"


@dataclass(frozen=True)
class AttackSetting:
    """An attack: its name, norm, epsilon and options.

    Args:
        name: Name of `attacks.available()`.
        norm: `"l1"`, `"l2"` or `"linf"`.
        epsilon: Perturbation budget, on the scale of the images.
        library: Library of the attack, if several have it; `None` for the first.
        options: Options that differ from the library's defaults, such as `{"steps": 30,
            "step_size": 1 / 255}`. Step sizes are on the scale of the images, too.

    Returns:
        A frozen record; its options are sorted pairs, without values of None.

    Raises:
        ValueError: In `evaluate` and `match_strength`, for an unknown attack or option,
            or an invalid epsilon.

    Example:

    >>> pgd = AttackSetting("pgd", "linf", 0.1, options={"steps": 20})
    >>> pgd.options
    (('steps', 20),)
    """

    name: str
    norm: str
    epsilon: float
    library: str | None = None
    options: Any = ()

    def __post_init__(self) -> None:
        options = self.options
        if isinstance(options, Mapping):
            options = tuple(sorted(options.items()))
        given = tuple((name, value) for name, value in options if value is not None)
        object.__setattr__(self, "options", given)


@dataclass(frozen=True)
class Scenario:
    """One attack under one threat model, with all its epsilons.

    Args:
        threat_model: A name of `THREAT_MODELS`, or `"none"`, `"noise"`, `"frozen"`.
        attack: Name of the attack, or `"clean"`.
        norm: Norm of the attack.
        epsilons: Its epsilons, in rising order.
        library: Its library.
        options: Options that differ from the library's defaults.
        samples: EOT samples of an adaptive attack.
    """

    threat_model: str
    attack: str = "clean"
    norm: str | None = None
    epsilons: tuple[float, ...] = (0.0,)
    library: str | None = None
    options: tuple[tuple[str, Any], ...] = ()
    samples: int | None = None

    @property
    def key(self) -> str:
        """A name for files, different for every scenario of a run."""
        options = [f"{name}={value!r}" for name, value in self.options]
        parts = [self.threat_model, self.attack, self.norm, self.library]
        masks = "" if self.samples is None else f"-{self.samples}masks"
        return "-".join([part for part in parts if part] + options) + masks

    @property
    def uses_gradient(self) -> bool:
        """Whether the attack follows the gradient by the images."""
        if self.attack == "clean":
            return False
        return describe(self.attack, self.norm or "linf", self.library).uses_gradient

    @property
    def key_without_samples(self) -> str:
        """The key for a defence without randomness, where EOT samples do not matter."""
        return replace(self, samples=None).key

    @property
    def title(self) -> str:
        """Title of the progress bar."""
        knowledge = self.threat_model.replace("_", " ")
        samples = "" if self.samples is None else f", {eot_samples(self.samples)}"
        attack = f"{self.attack} {norm(self.norm)}".strip()
        if knowledge in ("none", self.attack):
            return attack
        return f"{knowledge}: {attack}{samples}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "options": dict(self.options)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Scenario":
        """The scenario from what `to_dict` returned."""
        fields = {
            **plain,
            "epsilons": tuple(plain["epsilons"]),
            "options": tuple(sorted(plain["options"].items())),
        }
        return cls(**fields)

    @property
    def same_attack(self) -> tuple[Any, ...]:
        """What adaptive scenarios with different numbers of EOT samples share."""
        return (self.threat_model, self.attack, self.norm, self.library, self.options)


def scenarios(
    attacks: Sequence[AttackSetting],
    threat_models: Sequence[str],
    adaptive: Sequence[AttackSetting] | None,
    samples: Sequence[int],
    checks: bool,
) -> list[Scenario]:
    """The plan of a run: clean, noise, attacks, then the adaptive ones.

    Args:
        attacks: The attacks of each threat model.
        threat_models: Names of `THREAT_MODELS`; the adaptive one is always there.
        adaptive: The adaptive attacks; by default PGD in each norm and epsilon of
            `attacks`.
        samples: Numbers of EOT samples of the adaptive attacks, in rising order.
        checks: Whether to run the sanity checks as well.
    """
    unknown = sorted(set(threat_models) - set(THREAT_MODELS))
    if unknown:
        raise ValueError(
            f"`threat_models` must be of {', '.join(THREAT_MODELS)}. "
            f"Received: threat_models={tuple(threat_models)}"
        )
    if adaptive is None:
        adaptive = _adaptive(attacks)
    if not adaptive:
        raise ValueError(
            "`adaptive` must hold an attack, or `attacks` one to take its size from: "
            "the adaptive row is never left out. Received: adaptive=(), attacks=()"
        )
    plan = [Scenario("none")]
    if checks:
        plan += _noise([*attacks, *adaptive])
    for threat_model in THREAT_MODELS:
        if threat_model in threat_models and threat_model != "adaptive":
            plan += _grouped(threat_model, attacks)
    for number in samples:
        plan += _grouped("adaptive", adaptive, number)
    if checks:
        plan += _grouped("frozen", adaptive)
    return plan


def _grouped(
    threat_model: str, settings: Sequence[AttackSetting], samples: int | None = None
) -> list[Scenario]:
    """One scenario for each attack, in the order of its first appearance."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for setting in settings:
        info = describe(setting.name, setting.norm, setting.library)
        key = (setting.name, setting.norm, info.library, setting.options)
        groups.setdefault(key, []).append(float(setting.epsilon))
    return [
        Scenario(
            threat_model, name, norm, tuple(sorted({*sizes})), library, options, samples
        )
        for (name, norm, library, options), sizes in groups.items()
    ]


def _noise(settings: Sequence[AttackSetting]) -> list[Scenario]:
    sizes = [AttackSetting("noise", s.norm, s.epsilon) for s in settings]
    return _grouped("noise", sizes)


def _adaptive(attacks: Sequence[AttackSetting]) -> list[AttackSetting]:
    sizes = dict.fromkeys((setting.norm, setting.epsilon) for setting in attacks)
    return [AttackSetting(_ADAPTIVE, norm, epsilon) for norm, epsilon in sizes]
