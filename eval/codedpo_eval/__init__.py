"""codedpo's benchmark harness: figures that a leaderboard and a reviewer can believe."""
