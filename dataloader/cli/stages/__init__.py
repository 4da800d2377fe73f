"""What commands are made of: a session, the stages that solve and write, what one leaves for the next."""
