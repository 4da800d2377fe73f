"""With which releases of a framework a compiled wheel loads, by the symbols that it needs and they define."""
