"""Claims about what closes the loop: experiments, arms, estimates, logs."""
