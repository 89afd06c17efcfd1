"""The registrar node and proxy: ``python -m reference_node.node`` (`reference_node.node.service`)."""
