"""Former command lines still work; a message shows today's form."""

import sys
from collections.abc import Sequence

_FLAGS = {"--judgements": "--repeats", "--samples": "--eot-samples"}


def in_todays_form(arguments: Sequence[str]) -> list[str]:
    """Rewrites arguments of a former form, with a message on standard error.

    >>> in_todays_form(["train", "sfm", "--output", "x.keras"])
    ['train', 'sfm', '--output', 'x.keras']
    >>> in_todays_form(["evaluate", "--recipe=mad/votes", "--scale", "cpu"])
    ['recipe', 'mad/votes', '--scale', 'cpu']
    """
    given = list(arguments)
    command, rest = (given[0], given[1:]) if given else ("", [])
    if command not in ("train", "evaluate"):
        return given
    recipe, others = _taken("--recipe", rest)
    if recipe is not None:
        only = ["--train-only"] if command == "train" else []
        return _told(given, ["recipe", recipe, *only, *others])
    if command == "evaluate":
        renamed = [_renamed(text) for text in rest]
        return given if renamed == rest else _told(given, [command, *renamed])
    # Anything else is a defence, or a typing error that the parser names.
    if rest and rest[0].startswith("-") and rest[0] not in ("-h", "--help"):
        defence, others = _taken("--defence", rest)
        return _told(given, ["train", defence or "mad", *others])
    return given


def _renamed(text: str) -> str:
    name, equals, value = text.partition("=")
    return f"{_FLAGS.get(name, name)}{equals}{value}"


def _taken(flag: str, arguments: list[str]) -> tuple[str | None, list[str]]:
    """The value of an option (or None), and the arguments without it."""
    for place, text in enumerate(arguments):
        name, equals, value = text.partition("=")
        if name == flag and equals:
            return value, arguments[:place] + arguments[place + 1 :]
        if name == flag and place + 1 < len(arguments):
            return arguments[place + 1], arguments[:place] + arguments[place + 2 :]
    return None, arguments


def _told(given: list[str], rewritten: list[str]) -> list[str]:
    former, today = (" ".join(words) for words in (given, rewritten))
    print(f"maskdef: `maskdef {former}` is now `maskdef {today}`", file=sys.stderr)
    return rewritten
