"""The `maskdef` command, one module for each sub-command.

It lies beside `keras_maskdef`, whose import loads Keras and TensorFlow, so that
`--help` and errors in options are fast. A sub-command has `add_options(parser)` and
`run(options, console)`, which imports what it uses.
"""

from maskdef.command import main as main
