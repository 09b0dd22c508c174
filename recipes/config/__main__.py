"""`python -m recipes.config hparams/NAME.yaml [--key value …]` prints the whole recipe."""

import sys

from recipes.config.recipe import main

sys.exit(main())
