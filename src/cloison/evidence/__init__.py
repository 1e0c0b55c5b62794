"""What an audit leaves: outcomes, the run folder, the document and its readable forms."""
