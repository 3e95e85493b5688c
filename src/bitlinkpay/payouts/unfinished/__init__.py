"""What is still open on which network: orders, money on its way in, payments on their way out."""
