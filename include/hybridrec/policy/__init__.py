"""Store which list each segment of users gets, and rank by it; evaluation decides."""
