"""``python -m reference_node.client`` is a SIP client."""

import sys

from reference_node.client.program import main

sys.exit(main())
