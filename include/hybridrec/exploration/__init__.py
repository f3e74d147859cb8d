"""Try blends on some users: arms, who gets which by chance, what came of it, and what that says of each."""
