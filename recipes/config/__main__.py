"""`python -m recipes.config hparams/NAME.yaml [--key value …]` prints the whole recipe."""

import sys

from recipes.config.arguments import parse_arguments
from recipes.config.flattening import flatten
from recipes.errors import command_line


@command_line
def main(argv=None):
    """Print the whole recipe."""
    arguments = parse_arguments(argv, "Print a whole recipe as one plain HyperPyYAML file, ready to edit.")
    print(flatten(arguments.source, arguments.overrides), end="")


if __name__ == "__main__":
    sys.exit(main())
