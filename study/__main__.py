"""``python -m study`` is the same as ``hastudy``."""

import sys

from study.cli import main

sys.exit(main())
