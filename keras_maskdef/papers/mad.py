"""Experiments of the MAD paper, as data.

The paper gives neither the number of epochs nor the batch size. It trains with Adam at
0.001; here the rate of the larger networks starts there and falls to zero. The paper
"retrains" a classifier under masks (section 3.1); here the larger networks start from
the weights of the network trained without masks.
"""

from dataclasses import replace

from keras_maskdef.papers.attack_table import AttackTable
from keras_maskdef.papers.autoencoder import Autoencoder
from keras_maskdef.papers.defences import Bare, Compared, Vote, partition
from keras_maskdef.papers.mask_setting import MaskSetting
from keras_maskdef.papers.network import Network
from keras_maskdef.papers.recipe import Cuts, Recipe
from keras_maskdef.papers.remaining_perturbation import RemainingPerturbation
from keras_maskdef.papers.vote_curve import VoteCurve

NO_MASKS, MAD, OURS = "no masks", "MAD", "ours"
UNDEFENDED = "no defence"
RATE = 0.75
# foolbox's default, 9 times 10,000 steps, would take days.
_CW = {"steps": 100, "step_size": 0.05, "binary_search_steps": 5, "initial_const": 0.1}
_FEW_CW = {"steps": 40, "step_size": 0.1, "binary_search_steps": 2, "initial_const": 1}

LENET = Network("mnist", "lenet", mask=MaskSetting(7, RATE), epochs=20)
PLAIN = Network(
    "cifar10",
    "vgg16",
    width=1.0,
    epochs=100,
    batch_size=128,
    schedule="cosine",
)
VGG16 = replace(PLAIN, mask=MaskSetting(8, RATE), pretrained=PLAIN)
_SVHN = replace(PLAIN, dataset="svhn_cropped", architecture="resnet18", width=64)
RESNET18 = replace(_SVHN, mask=MaskSetting(8, RATE), pretrained=_SVHN)

# Half the width, 12 of 100 epochs; figures of 500 images, with fewer repeats.
_VGG16_CUTS = Cuts(
    networks={"width": 0.5, "epochs": 12},
    recipe={
        "images": 500,
        "judgements": 2,
        "options": {"cw": _FEW_CW},
        "adaptive_norms": ("linf",),
        "adaptive_options": {"steps": 10},
        "samples": (5,),
        "checks": False,
    },
)
# The first epsilon of each attack and norm, which the claims are about.
_ABLATION_CUTS = replace(_VGG16_CUTS, recipe={**_VGG16_CUTS.recipe, "first_size": True})
_MAIN_CUTS = replace(
    _VGG16_CUTS,
    recipe={
        **_VGG16_CUTS.recipe,
        "match_images": 64,
        "match_first_size": True,
        "adaptive_options": {"steps": 20},
        "samples": (1, 10),
        "checks": True,
    },
)
_NO_SVHN = "SVHN is not among the data that the figures were made with"


def _under(rate: float) -> Network:
    return replace(VGG16, mask=MaskSetting(8, rate))


def _vote(network: Network, cell_size: int, rate: float = RATE) -> Vote:
    return Vote(network, MaskSetting(cell_size, rate))


MNIST_LENET = AttackTable(
    name="mad/mnist-lenet",
    title="MAD, Table 5: LeNet on MNIST",
    dataset="mnist",
    table_name="mad/table5-lenet-mnist",
    defences={
        NO_MASKS: Bare(LENET),
        MAD: _vote(LENET, 7),
        OURS: partition(LENET, 7),
    },
    beside={NO_MASKS: "attack", MAD: "defence"},
    minutes=60,
    cpu=Cuts(
        recipe={"images": 1000, "options": {"cw": _CW}, "samples": (1, 5, 20)},
    ),
)

CIFAR10_VGG16 = AttackTable(
    name="mad/cifar10-vgg16",
    title="MAD, Table 4: VGG16 on CIFAR-10",
    dataset="cifar10",
    table_name="mad/table4-vgg16-cifar10",
    defences={
        NO_MASKS: Bare(VGG16),
        MAD: _vote(VGG16, 4),
        OURS: partition(VGG16, 8),
        "ours, 4 px": partition(VGG16, 4),
    },
    beside={NO_MASKS: "attack", MAD: "defence"},
    minutes=120,
    cpu=_MAIN_CUTS,
)

SVHN_RESNET18 = AttackTable(
    name="mad/svhn-resnet18",
    title="MAD, Table 5: ResNet18 on SVHN",
    dataset="svhn_cropped",
    table_name="mad/table5-resnet18-svhn",
    defences={
        NO_MASKS: Bare(RESNET18),
        MAD: _vote(RESNET18, 4),
        OURS: partition(RESNET18, 8),
        "ours, 4 px": partition(RESNET18, 4),
    },
    beside={NO_MASKS: "attack", MAD: "defence"},
    minutes=240,
    images=26_032,
    cpu=replace(_MAIN_CUTS, networks={"width": 16, "epochs": 12}),
    not_run=_NO_SVHN,
)

_RATES = {"1/3": 1 / 3, "1/2": 1 / 2, "3/4": 3 / 4, "4/5": 4 / 5}
MASK_RATES = AttackTable(
    name="mad/mask-rates",
    title="MAD, Table 1: mask rates, VGG16 on CIFAR-10",
    dataset="cifar10",
    table_name="mad/table1-mask-rates",
    defences={
        "0": Bare(PLAIN),
        **{name: _vote(_under(rate), 4, rate) for name, rate in _RATES.items()},
        "ours, 1/2": partition(_under(1 / 2), 8, 1 / 2),
        "ours, 3/4": partition(VGG16, 8),
    },
    beside={name: name for name in ("0", *_RATES)},
    match_images=0,
    minutes=120,
    cpu=replace(_ABLATION_CUTS, columns=("0", "1/2", "3/4", "ours, 1/2", "ours, 3/4")),
)

MASKED_PHASES = AttackTable(
    name="mad/masked-phases",
    title="MAD, Table 2: masks in training and in test, VGG16 on CIFAR-10",
    dataset="cifar10",
    table_name="mad/table2-masked-phases",
    defences={
        "neither": Bare(PLAIN),
        "training": Bare(VGG16),
        "test": _vote(PLAIN, 4),
        "both": _vote(VGG16, 4),
        "ours, both": partition(VGG16, 8),
    },
    beside={name: name for name in ("neither", "training", "test", "both")},
    match_images=0,
    minutes=75,
    cpu=_VGG16_CUTS,
)

GRID_SIZES = AttackTable(
    name="mad/grid-sizes",
    title="MAD, Table 3: cells in training and in test, VGG16 on CIFAR-10",
    dataset="cifar10",
    table_name="mad/table3-grid-sizes",
    defences={
        f"{trained} and {tested}": _vote(
            replace(VGG16, mask=MaskSetting(trained, RATE)), tested
        )
        for trained, tested in ((4, 2), (4, 4), (8, 2), (8, 4), (8, 8))
    }
    | {"ours, 8 and 4": partition(VGG16, 4), "ours, 8 and 8": partition(VGG16, 8)},
    beside={
        name: name for name in ("4 and 2", "4 and 4", "8 and 2", "8 and 4", "8 and 8")
    },
    match_images=0,
    minutes=90,
    cpu=replace(
        _ABLATION_CUTS,
        columns=("8 and 2", "8 and 4", "8 and 8", "ours, 8 and 4", "ours, 8 and 8"),
    ),
)

VOTES = VoteCurve(
    name="mad/votes",
    title="MAD, Figure 2: accuracy and images a second by the number of votes",
    dataset="cifar10",
    table_name="mad/table4-vgg16-cifar10",
    only=("pgd",),
    first_size=True,
    defences={
        MAD: _vote(VGG16, 4),
        "MAD, 8 px": _vote(VGG16, 8),
        OURS: partition(VGG16, 8),
        "ours, majority": replace(partition(VGG16, 8), pooling="majority"),
    },
    match_images=0,
    minutes=75,
    cpu=replace(_VGG16_CUTS, recipe={**_VGG16_CUTS.recipe, "options": {}}),
)

REMAINING = RemainingPerturbation(
    name="mad/remaining-perturbation",
    title="MAD, Figure 3: accuracy when a part of the perturbation is taken away",
    dataset="cifar10",
    network=PLAIN,
    table_name="mad/table4-vgg16-cifar10",
    minutes=60,
    cpu=Cuts(
        networks=_VGG16_CUTS.networks,
        recipe={"images": 500, "options": {"cw": _FEW_CW}},
    ),
)

COMPARISON = AttackTable(
    name="mad/comparison",
    title="MAD, Table 6: MAD beside other defences, VGG16 on CIFAR-10",
    dataset="cifar10",
    table_name="mad/table6-comparison",
    defences={
        UNDEFENDED: Bare(PLAIN),
        "MagNet": Compared(PLAIN, "reformed", reformer=Autoencoder("cifar10")),
        "Parseval networks": Bare(replace(PLAIN, parseval=1e-3, pretrained=PLAIN)),
        "Gaussian vote": Compared(
            replace(PLAIN, noise=0.1, pretrained=PLAIN),
            "gaussian_vote_defence",
            {"stddev": 0.1, "votes": 5},
        ),
        "feature squeezing": Compared(PLAIN, "feature_squeezing"),
        "JPEG": Compared(PLAIN, "jpeg"),
        "TVM": Compared(PLAIN, "total_variation"),
        MAD: _vote(VGG16, 4),
        OURS: partition(VGG16, 8),
    },
    beside={name: name for name in ("MagNet", "Parseval networks", MAD)},
    not_built=("Denoised smoothing", "PCL"),
    match_images=0,
    minutes=400,
    cpu=_ABLATION_CUTS,
)

RECIPES: tuple[Recipe, ...] = (
    MNIST_LENET,
    CIFAR10_VGG16,
    SVHN_RESNET18,
    MASK_RATES,
    MASKED_PHASES,
    GRID_SIZES,
    VOTES,
    REMAINING,
    COMPARISON,
)
