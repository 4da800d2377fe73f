"""What the solver is offered: the packages that names mean, and the records that we answer for."""
