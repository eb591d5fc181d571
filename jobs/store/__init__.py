"""The artifact store: truth about what is rendered, in `<runs>/<job-id>/`."""
