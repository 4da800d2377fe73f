"""Every verb as it looks in a terminal of 80 and of 100 columns: made by ``nox -s sessions``, kept in docs/sessions."""
