"""The SIP client: ``python -m reference_node.client`` (`reference_node.client.program`)."""
