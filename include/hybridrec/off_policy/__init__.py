"""Judge policies by what others served: estimates of what they would have earned, and what a run would have answered."""
