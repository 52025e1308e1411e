"""The `maskdef` command, one module for each sub-command.

It lies beside `keras_maskdef`, whose import takes that of Keras and TensorFlow, so that
`--help` and a mistyped option are answered at once. A sub-command has
`add_options(parser)` and `run(options, console)`, which imports what it uses.
"""

from maskdef.command import main as main
