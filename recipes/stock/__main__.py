"""`python -m recipes.stock FOLDER --recipe hparams/NAME.yaml OUT`: see recipes.stock.convert."""

import sys

from recipes.stock.convert import main

sys.exit(main())
