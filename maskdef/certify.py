"""`maskdef certify`: proves robustness of a saved model."""

import argparse
from pathlib import Path
from typing import Any

from maskdef.options import add_engine, add_models, count, engine_of, rate

# Names of `keras_maskdef.certification`.
METHODS = ("exact", "per_set", "margin", "majority", "double_masking")
THREATS = ("cells", "patch", "aligned_patch")
_CHANCE = ("majority", "margin", "per_set")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a .keras file")
    parser.add_argument("--images", type=count, default=200, help="images to certify")
    add_models(parser)
    text = "certification method; exact and double_masking are deterministic"
    parser.add_argument("--method", choices=METHODS, default="exact", help=text)
    text = "fraction of hidden cells (default: the model's)"
    parser.add_argument("--mask-rate", type=rate, help=text)
    text = "how masks are drawn (default: the model's)"
    parser.add_argument("--sampling", choices=("bernoulli", "fixed_count"), help=text)
    text = "what an attack may change: any k cells, or a patch of pixels"
    parser.add_argument(
        "--threats", nargs="+", choices=THREATS, default=["cells", "patch"], help=text
    )
    text = "attack sizes: cells, or pixels of a patch side (default: all possible)"
    parser.add_argument("--sizes", nargs="+", type=count, help=text)
    text = f"error probability, for {', '.join(_CHANCE)} (default: 0.001)"
    parser.add_argument("--alpha", type=rate, help=text)
    text = "masks for each image, for the same methods (default: 10000)"
    parser.add_argument("--samples", type=count, help=text)
    text = "MiB of memory for the views in work"
    parser.add_argument("--memory", type=count, default=1024, help=text)
    parser.add_argument("--output", type=Path, help="folder to keep the run in")
    parser.add_argument(
        "--resume", action="store_true", help="resume the run in --output"
    )
    parser.add_argument("--plot", type=Path, help="PNG file for the curves")
    add_engine(parser)


def run(options: argparse.Namespace, console: Any) -> None:
    """Certifies a saved model, and keeps the run if `--output` is given."""
    from keras_maskdef.certification.certify import RESULTS, certify
    from keras_maskdef.core.extras import require
    from keras_maskdef.core.progress import progress_bars, say
    from maskdef.data import images_for, load_models

    _check(options)
    engine = engine_of(options)
    if options.plot:  # fails now, not after the work
        require("matplotlib", "plots")
    (model,) = load_models(options, [options.model])
    test, _ = images_for(options, [model], console)
    mask = _mask(options, model)
    given = {name: getattr(options, name) for name in ("alpha", "samples")}
    given = {name: value for name, value in given.items() if value is not None}
    with progress_bars(console) as start:
        certificates = certify(
            model,
            test.images,
            test.labels,
            options.method,
            mask=mask,
            threats=options.threats,
            sizes=options.sizes,
            memory=options.memory << 20,
            seed=options.seed,
            folder=options.output,
            resume=options.resume,
            engine=engine,
            start=start,
            **given,
        )
    console.print(certificates)
    if options.output:
        say(console, f"wrote {options.output / RESULTS}")
    if options.plot:
        from keras_maskdef.reporting.certificate_curves import plot_certificates

        plot_certificates(certificates, options.plot)
        say(console, f"wrote {options.plot}")


def _mask(options: argparse.Namespace, model: Any) -> Any:
    """The model's mask with another rate or sampling; None without either."""
    from keras_maskdef.certification.parts import take_apart

    other = {name: getattr(options, name) for name in ("mask_rate", "sampling")}
    other = {name: value for name, value in other.items() if value is not None}
    if not other:
        return None
    model_mask = take_apart(model).mask
    return type(model_mask).from_config({**model_mask.get_config(), **other})


def _check(options: argparse.Namespace) -> None:
    for name in ("alpha", "samples"):
        value = getattr(options, name)
        if value is not None and options.method not in _CHANCE:
            raise ValueError(
                f"`--{name}` is an option of `--method` {', '.join(_CHANCE)}; the "
                f"others are deterministic. Received: method={options.method!r}, "
                f"{name}={value}"
            )
    for name in ("mask_rate", "sampling"):
        if getattr(options, name) is not None and options.method == "double_masking":
            raise ValueError(
                f"`--{name.replace('_', '-')}` plays no part in double masking. "
                f"Received: method={options.method!r}, {name}={getattr(options, name)}"
            )
    if options.resume and not options.output:
        raise ValueError(
            "`--resume` needs the `--output` folder of the run. Received: no --output"
        )
