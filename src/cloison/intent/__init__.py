"""What is declared: the inventory's file models, the loader, the checks, and the network derived from them."""
