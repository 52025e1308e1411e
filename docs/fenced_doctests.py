"""For mkdocstrings: examples of docstrings as code, not as nested quotations."""

import re

import griffe

# From a line with a prompt to the next empty one, or a dedent.
EXAMPLE = re.compile(r"^( *)>>> .*\n(?:\1(?! *$).*(?:\n|$))*", re.M)


class FencedDoctests(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """The docstring with each run of prompts and outputs between fences."""

    def fence(found: re.Match[str]) -> str:
        indent = found[1]
        return f"{indent}```pycon\n{found[0].rstrip()}\n{indent}```\n"

    return EXAMPLE.sub(fence, text + "\n")
