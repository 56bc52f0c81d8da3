"""What is generated from the config classes: the JSON schema, the key reference, the list of presets."""
