"""What a test merchant may do to simulated networks and to the clock."""
