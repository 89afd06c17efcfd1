"""``python -m reference_node.node`` is the registrar node."""

import sys

from reference_node.node.service import main

sys.exit(main())
