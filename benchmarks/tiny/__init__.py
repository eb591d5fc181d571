"""Quality of the bundled tiny model, measured on pixels."""
