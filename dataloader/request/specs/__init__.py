"""Requirements as values: what people type, where it comes from, whether it applies, what several say together."""
